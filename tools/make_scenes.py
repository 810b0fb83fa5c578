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
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line, picture_size
from keypointnet.views.backgrounds import find_pictures
from keypointnet.views.crew import WorkerError
from keypointnet.views.scene_files import models_of_split, prepare_scenes
from keypointnet.views.scene_layout import SceneRange
from keypointnet.views.scene_runs import add_run_flags, make_pictures
from keypointnet.views.scenes import SceneMaker, SceneSettings
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
    add("--alike", type=float, default=scenes.alike, metavar="SHARE",
        help=f"of pictures whose objects are all of one model ({scenes.alike:g})")  # fmt: skip
    add_run_flags(parser)
    add("--shadow", type=float, default=0.5, help="on the ground under the objects, 0 to 1 (0.5)")
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
            alike=args.alike,
        ),
        shadow=args.shadow,
        quality=args.quality,
    )
    sources = models_of_split(args.models, find_sources(args.models), args.split)
    backgrounds = [] if args.backgrounds is None else find_pictures(args.backgrounds)
    name = args.name or class_name(args.models)
    prepare_scenes(args.out, settings, sources, backgrounds, name)
    open_maker = partial(SceneMaker, sources, settings, backgrounds)
    return make_pictures(args, open_maker, annotations_of)


def annotations_of(out: Path, numbers: Sequence[int]) -> dict[str, Any]:
    """COCO JSON of the pictures."""
    from kp2seg.data.scenes import scenes_to_coco  # Detectron2 comes with it, for seconds

    return scenes_to_coco(out, read_json(out / "scenes.json"), numbers)


if __name__ == "__main__":
    sys.exit(main())
