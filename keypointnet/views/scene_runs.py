"""A run of a tool that makes a folder of scenes: what is left to do, its pictures, its words."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keypointnet.command_line import at_least_one, shard
from keypointnet.files import write_whole
from keypointnet.progress import progress_bar
from keypointnet.views.crew import Outcome, failure_report
from keypointnet.views.scene_files import OpenMaker, plan_pictures, render_scenes

ToCoco = Callable[[Path, Sequence[int]], dict[str, Any]]
"""A folder and its pictures' numbers -> their COCO JSON."""


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """What is said of a run, and not of the pictures."""
    add = parser.add_argument
    add("--seed", type=int, default=0)
    cores = len(os.sched_getaffinity(0))
    add("--workers", type=at_least_one, default=cores, help="processes (all cores)")
    add("--shard", type=shard, default=(0, 1), metavar="I/N", help="part I of N, from 0")
    add("--quality", type=int, default=92, help="of the JPEG files (92)")
    add("--timeout", type=float, default=600.0, help="seconds for one picture (600)")


def make_pictures(
    args: argparse.Namespace, open_maker: OpenMaker, to_coco: ToCoco, things: str = "objects"
) -> int:
    """Make the pictures, print what failed, write annotations.json.

    Args:    args: out, pictures, and the flags of add_run_flags.
             to_coco: may import what takes seconds; the workers, and parts of a run, need none.
             things: what the annotations are of.
    Returns: the exit code: 1 when there is no picture.
    Raises:  as scene_files.render_scenes.
    """
    jobs, present = plan_pictures(args.out, args.pictures, args.shard)
    if present:
        print(f"{present} pictures are there already")
    done: list[Outcome] = []
    failed: list[Outcome] = []
    left_out: set[str] = set()
    workers = min(args.workers, max(1, len(jobs)))
    total = sum(len(job.numbers) for job in jobs)
    with progress_bar(total=total, unit="picture", smoothing=0.05, disable=not jobs) as bar:
        for outcome in render_scenes(
            jobs, args.out, open_maker, args.quality, workers, args.timeout
        ):
            (done if outcome.error is None else failed).append(outcome)
            left_out.update(outcome.notes)
            bar.update()
    if left_out:
        print(f"{len(left_out)} files cannot be used, others took their places:")
        print("\n".join(f"  {line}" for line in sorted(left_out)))
    print("\n".join(failure_report(args.out, args.shard, len(done), failed)))
    _write_annotations(args, failed, to_coco, things)
    return 1 if failed and not done and not present else 0


def _write_annotations(
    args: argparse.Namespace, failed: list[Outcome], to_coco: ToCoco, things: str
) -> None:
    """annotations.json of the pictures that are there; of a run in parts, when all are."""
    out, pictures = args.out, args.pictures
    missing = {int(outcome.id) for outcome in failed}
    if args.shard != (0, 1):
        missing = {number for job in plan_pictures(out, pictures)[0] for number in job.numbers}
        if missing:
            print(
                f"{len(missing)} of {pictures} pictures are still to come; the part that ends "
                "last writes annotations.json, or the same command without --shard"
            )
            return
    numbers = [number for number in range(pictures) if number not in missing]
    if not numbers:
        return
    coco = to_coco(out, numbers)
    write_whole(out / "annotations.json", json.dumps(coco).encode())
    print(f"{len(coco['annotations'])} {things} in {len(numbers)} pictures: {out}/annotations.json")
