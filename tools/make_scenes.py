#!/usr/bin/env python
"""Make COCO-format pictures of several overlapping objects of one class.

    tools/make_scenes.py crowds/train --models chair:0-300 --pictures 5000
    tools/make_scenes.py crowds/test --models chair:300-360 --pictures 500 --seed 1
    tools/make_scenes.py crowds/cars --models meshes/cars --split train --backgrounds photos/
    tools/make_scenes.py crowds/many --models chair:0-300 --pictures 100000 --shard $I/20

OUT/images holds the pictures, OUT/annotations.json visible and amodal masks, points, cameras,
occlusion and MaxIoU (kp2seg/data/scenes.py says what is in it). A run that was stopped goes on
where it was when the same command is given again; more pictures may be asked for then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from keypointnet.command_line import (
    Parser,
    at_least_one,
    errors_in_one_line,
    picture_size,
    shard,
)
from keypointnet.files import write_whole
from keypointnet.progress import progress_bar
from keypointnet.views.backgrounds import find_pictures
from keypointnet.views.crew import Outcome, WorkerError, failure_report
from keypointnet.views.scene_files import (
    models_of_split,
    plan_pictures,
    prepare_scenes,
    render_scenes,
)
from keypointnet.views.scene_layout import SceneRange
from keypointnet.views.scenes import SceneSettings
from keypointnet.views.sources import class_name, find_sources
from keypointnet.views.storage import StorageError, read_json


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    scenes = SceneRange()
    parser = Parser("make_scenes", __doc__)
    add = parser.add_argument
    add("out", type=Path, help="the folder to make")
    add(
        "--models",
        required=True,
        help="of one class: a ShapeNetCore synset, a folder of meshes, TREE::SELECTION, FAMILY:N, "
        "FAMILY:START-END",
    )
    add("--split", choices=("train", "test"), help="only these of the split.json beside the models")
    add("--name", help="of the class (the family, or the folder of models)")
    add("--pictures", type=at_least_one, default=1000, help="how many (1000)")
    add("--size", type=picture_size, default=(256, 256), help="pixels, N or HxW (256)")
    add("--backgrounds", type=Path, metavar="DIR", help="pictures to crop (made up without)")
    add("--seed", type=int, default=0)
    cores = len(os.sched_getaffinity(0))
    add("--workers", type=at_least_one, default=cores, help="processes (all cores)")
    add("--shard", type=shard, default=(0, 1), metavar="I/N", help="part I of N, from 0")
    for name, kind, about in (
        ("objects", int, "in a picture"),
        ("scale", float, "of a model, 1: longest side 2"),
        ("gap", float, "between neighbours, the same units"),
        ("elevation", float, "of the camera above ground, degrees"),
        ("fov", float, "horizontal field of view, degrees"),
        ("fill", float, "extent of all objects, 1: the picture's"),
    ):
        low_high = getattr(scenes, name if hasattr(scenes, name) else f"{name}_deg")
        add(
            f"--{name}",
            type=kind,
            nargs=2,
            default=low_high,
            metavar=("MIN", "MAX"),
            help=f"{about} {low_high}",
        )
    add(
        "--spread",
        type=float,
        default=scenes.spread_deg,
        help=f"of neighbours off the line of sight, degrees ({scenes.spread_deg:g})",
    )
    add("--shadow", type=float, default=0.5, help="on the ground under the objects, 0 to 1 (0.5)")
    add("--quality", type=int, default=92, help="of the JPEG files (92)")
    add("--timeout", type=float, default=600.0, help="seconds for one picture (600)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Make the pictures, print what failed. Returns the exit code: 1 when there are none."""
    args = parse_arguments(arguments)
    stopped = "stopped; the same command goes on from here"
    with errors_in_one_line("make_scenes", StorageError, WorkerError, stopped=stopped):
        return make(args)


def make(args: argparse.Namespace) -> int:
    settings = SceneSettings(
        size=args.size,
        seed=args.seed,
        layout=SceneRange(
            objects=tuple(args.objects),
            scale=tuple(args.scale),
            gap=tuple(args.gap),
            spread_deg=args.spread,
            elevation_deg=tuple(args.elevation),
            fov_deg=tuple(args.fov),
            fill=tuple(args.fill),
        ),
        shadow=args.shadow,
        quality=args.quality,
    )
    sources = models_of_split(args.models, find_sources(args.models), args.split)
    backgrounds = [] if args.backgrounds is None else find_pictures(args.backgrounds)
    name = args.name or class_name(args.models)
    prepare_scenes(args.out, settings, sources, backgrounds, name)
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
            jobs, args.out, settings, sources, backgrounds, workers, args.timeout
        ):
            (done if outcome.error is None else failed).append(outcome)
            left_out.update(outcome.notes)
            bar.update()
    if left_out:
        print(f"{len(left_out)} files cannot be used, others took their places:")
        print("\n".join(f"  {line}" for line in sorted(left_out)))
    print("\n".join(failure_report(args.out, args.shard, len(done), failed)))
    write_annotations(args.out, args.pictures, args.shard, failed)
    return 1 if failed and not done and not present else 0


def write_annotations(
    out: Path, pictures: int, part: tuple[int, int], failed: list[Outcome]
) -> None:
    """annotations.json of the pictures that are there; of a run in parts, when all are."""
    missing = {int(outcome.id) for outcome in failed}
    if part != (0, 1):
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
    # Detectron2 comes with it, for seconds; the workers, and parts of a run, need none of it
    from kp2seg.data.scenes import scenes_to_coco

    coco = scenes_to_coco(out, read_json(out / "scenes.json"), numbers)
    write_whole(out / "annotations.json", json.dumps(coco).encode())
    print(f"{len(coco['annotations'])} objects in {len(numbers)} pictures: {out}/annotations.json")


if __name__ == "__main__":
    sys.exit(main())
