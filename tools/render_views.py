#!/usr/bin/env python
"""Render views of models into a store that train_kp.py and eval_kp.py read.

    tools/render_views.py ShapeNetCore.v2/03001627 views/chairs --workers 8
    tools/render_views.py meshes/ views/mine --views 60 --size 64
    tools/render_views.py chair:300 views/parametric
    tools/render_views.py person:600 views/people --views 24 --size 64
    tools/render_views.py 'ShapeNetCore.v2::chair/swivel*' views/swivel
    tools/render_views.py ShapeNetCore.v2 views/all --shard $SLURM_ARRAY_TASK_ID/100

TREE::SELECTION takes some of a tree's models, by synset or keyword: chair, 03001627,
chair/swivel*, tag:office, or several with commas (keypointnet/shapenet/selection.py says more).

A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from keypointnet.command_line import (
    Parser,
    at_least_one,
    errors_in_one_line,
    picture_size,
    shard,
)
from keypointnet.files import write_json
from keypointnet.progress import progress_bar
from keypointnet.views.cameras import CameraRange
from keypointnet.views.crew import failure_report, shard_file
from keypointnet.views.generate import RenderSettings, plan_jobs, prepare_store
from keypointnet.views.sources import ModelSource, find_sources, models_folder
from keypointnet.views.storage import StorageError, read_json, read_split
from keypointnet.views.workers import Outcome, WorkerError, render_jobs


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    paper = CameraRange()
    parser = Parser("render_views", __doc__)
    add = parser.add_argument
    add(
        "models",
        help="a ShapeNetCore tree, a folder of meshes, TREE::SELECTION, FAMILY:N, FAMILY:START-END",
    )
    add("out", type=Path, help="the store's folder")
    add("--views", type=at_least_one, default=200, help="views of each model (200)")
    add("--size", type=picture_size, default=(128, 128), help="pixels, N or HxW (128)")
    cores = len(os.sched_getaffinity(0))
    add("--workers", type=at_least_one, default=cores, help="processes (all cores)")
    add("--shard", type=shard, default=(0, 1), metavar="I/N", help="part I of N, from 0")
    add("--seed", type=int, default=0)
    add("--limit", type=int, help="only the first so many models")
    add("--variants", type=int, default=0, help="deformed and recoloured copies of each model (0)")
    add("--variation", type=float, default=1.0, help="how strongly the copies differ (1)")
    add("--distance", type=float, default=paper.distance, help="of the camera (30)")
    add("--fov", type=float, default=paper.fov_deg, help="horizontal, degrees (5)")
    for name, about in (("elevation", "above ground"), ("roll", "of the camera")):
        low_high = getattr(paper, f"{name}_deg")
        add(
            f"--{name}",
            type=float,
            nargs=2,
            default=low_high,
            metavar=("MIN", "MAX"),
            help=f"{about}, degrees {low_high}",
        )
    add("--shift", type=float, default=paper.shift, help="of the camera, each axis (0.2)")
    add("--lights", choices=("paper", "random"), default="paper")
    add(
        "--background",
        type=_background,
        default=None,
        metavar="transparent|R,G,B",
        help="a colour (0-255 each) makes pictures without a mask, not for training (transparent)",
    )
    add("--timeout", type=float, default=600.0, help="seconds for one model's views (600)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Render, print what failed. Returns the exit code: 1 when nothing could be rendered."""
    args = parse_arguments(arguments)
    stopped = "stopped; the same command goes on from here"
    with errors_in_one_line("render_views", StorageError, WorkerError, stopped=stopped):
        return render(args)


def render(args: argparse.Namespace) -> int:
    settings = RenderSettings(
        size=args.size,
        views=args.views,
        seed=args.seed,
        cameras=CameraRange(
            distance=args.distance,
            fov_deg=args.fov,
            elevation_deg=tuple(args.elevation),
            roll_deg=tuple(args.roll),
            shift=args.shift,
        ),
        lights=args.lights,
        background=args.background,
        variation=args.variation,
    )
    sources = find_sources(args.models)
    jobs, present = plan_jobs(sources, args.out, args.variants, args.shard, args.limit)
    prepare_store(args.out, settings)  # when nothing can be wrong with the rest any more
    _copy_split(args.models, args.out, sources)
    workers = min(args.workers, max(1, len(jobs)))
    if present:
        print(f"{present} models and variants are there already")
    done: list[Outcome] = []
    failed: list[Outcome] = []
    total = settings.views * sum(len(job.variants) for job in jobs)
    with progress_bar(total=total, unit="view", smoothing=0.05, disable=not jobs) as bar:
        for outcome in render_jobs(jobs, args.out, settings, workers, args.timeout):
            (done if outcome.error is None else failed).append(outcome)
            bar.update(settings.views)
    report(args.out, args.shard, done, failed)
    return 1 if failed and not done and not present else 0


def report(out: Path, part: tuple[int, int], done: list[Outcome], failed: list[Outcome]) -> None:
    """Print what failed or was repaired, and write it beside the views, a file for each shard."""
    notes = {outcome.id: list(outcome.notes) for outcome in done if outcome.notes}
    if notes:
        path = shard_file(out, "notes", part)
        known = read_json(path) or {}
        write_json(path, dict(sorted((known | notes).items())))
        print(f"{len(notes)} read with a repair or an omission, see {path}")
    print("\n".join(failure_report(out, part, len(done), failed)))


def _copy_split(models: str, out: Path, sources: Sequence[ModelSource]) -> None:
    """The split of the models is the split of their views; of a selection, what was selected."""
    folder = models_folder(models)
    split = read_split(folder)  # says what is wrong with it
    if split is None:
        return
    if folder == Path(models):
        (out / "split.json").write_bytes((folder / "split.json").read_bytes())
        return
    before = read_split(out) or {}
    kept = {source.id for source in sources}.union(*before.values())
    write_json(
        out / "split.json",
        {side: [name for name in ids if name in kept] for side, ids in split.items()},
    )


def _background(text: str) -> tuple[int, int, int] | None:
    if text == "transparent":
        return None
    match = re.fullmatch(r"(\d+),(\d+),(\d+)", text)
    if match is None or max(map(int, match.groups())) > 255:
        raise argparse.ArgumentTypeError(f"expected transparent or 255,255,255, got {text!r}")
    red, green, blue = map(int, match.groups())
    return red, green, blue


if __name__ == "__main__":
    sys.exit(main())
