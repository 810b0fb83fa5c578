#!/usr/bin/env python
"""Make COCO-format pictures of crowds of made-up people, every mask and joint known exactly.

    tools/make_crowd.py syncrowd/train --pictures 5000 --bodies 0-224
    tools/make_crowd.py syncrowd/val --pictures 500 --bodies 224-256 --seed 1
    tools/make_crowd.py syncrowd/test --moderate 0.4 --hard 0.4 --backgrounds photos/
    tools/make_crowd.py syncrowd/train --pictures 100000 --bodies 0-224 --shard $I/20

OUT/images holds the pictures, OUT/annotations.json visible and amodal masks, COCO's 17 joints,
cameras, occlusion and MaxIoU (kp2seg/data/scenes.py says what is in it; visibility is OCHuman's: 2
seen or hidden by oneself, 1 hidden by others, 0 outside the picture). In DETECTRON2_DATASETS,
syncrowd/train and syncrowd/val are the data sets syncrowd_{train,val}. A run that was stopped goes
on where it was when the same command is given again; more pictures may be asked for then.

Bodies come from anny (pip install 'kp2seg[people]'); the first run makes a library of them, for a
minute or more, and keeps it in the user's cache (ANNY_CACHE_DIR names another folder).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line, picture_size
from keypointnet.people.bodies import BODIES, open_library
from keypointnet.people.crowd_layout import CrowdRange
from keypointnet.people.crowd_settings import CrowdSettings, prepare_crowd
from keypointnet.people.crowds import CrowdMaker
from keypointnet.views.backgrounds import find_pictures
from keypointnet.views.crew import WorkerError
from keypointnet.views.scene_runs import add_run_flags, make_pictures
from keypointnet.views.storage import StorageError, read_json


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    crowds = CrowdRange()
    parser = Parser("make_crowd", __doc__)
    add = parser.add_argument
    add("out", type=Path, help="the folder to make")
    add("--pictures", type=at_least_one, default=1000, help="how many (1000)")
    add("--size", type=picture_size, default=(384, 512), help="pixels, N or HxW (384x512)")
    for name, about in (
        ("moderate", "of pictures whose largest MaxIoU is 0.5 to 0.75"),
        ("hard", "of those where it is above"),
        ("furniture", "of those where a thing stands before somebody"),
    ):
        default = getattr(crowds, name)
        add(f"--{name}", type=float, default=default, help=f"share {about} ({default:g})")
    for name, kind, about in (
        ("people", int, "in a picture, at most 8"),
        ("elevation", float, "of the camera above the horizon, degrees"),
        ("fov", float, "horizontal field of view, degrees"),
        ("fill", float, "extent of all people, 1: the picture's"),
    ):
        low_high = getattr(crowds, name if hasattr(crowds, name) else f"{name}_deg")
        add(
            f"--{name}",
            type=kind,
            nargs=2,
            default=low_high,
            metavar=("MIN", "MAX"),
            help=f"{about} {low_high}",
        )
    add(
        "--bodies",
        type=body_range,
        default=(0, BODIES),
        metavar="START-END",
        help=f"which of the {BODIES}: for people who are in no other folder (all)",
    )
    add("--backgrounds", type=Path, metavar="DIR", help="pictures to crop (made up without)")
    add("--shadow", type=float, default=0.6, help="on the ground, 0 to 1 (0.6)")
    add_run_flags(parser)
    return parser.parse_args(arguments)


def body_range(text: str) -> tuple[int, int]:
    """A flag's bodies, of "0-224". Raises: argparse.ArgumentTypeError: it is none."""
    match = re.fullmatch(r"(\d+)-(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]) <= BODIES:
        raise argparse.ArgumentTypeError(
            f"expected START-END within 0-{BODIES}, as 0-224, got {text!r}"
        )
    return int(match[1]), int(match[2])


def main(arguments: list[str] | None = None) -> int:
    """Make the pictures, print what failed. Returns the exit code: 1 when there are none."""
    args = parse_arguments(arguments)
    stopped = "stopped; the same command goes on from here"
    with errors_in_one_line("make_crowd", StorageError, WorkerError, stopped=stopped):
        return make(args)


def make(args: argparse.Namespace) -> int:
    settings = CrowdSettings(
        size=args.size,
        seed=args.seed,
        layout=CrowdRange(
            people=tuple(args.people),
            moderate=args.moderate,
            hard=args.hard,
            furniture=args.furniture,
            elevation_deg=tuple(args.elevation),
            fov_deg=tuple(args.fov),
            fill=tuple(args.fill),
        ),
        bodies=args.bodies,
        shadow=args.shadow,
        quality=args.quality,
    )
    backgrounds = [] if args.backgrounds is None else find_pictures(args.backgrounds)
    open_library()  # made here, once, before every worker needs it
    prepare_crowd(args.out, settings, backgrounds)
    open_maker = partial(CrowdMaker, settings, backgrounds)
    return make_pictures(args, open_maker, annotations_of, "people")


def annotations_of(out: Path, numbers: Sequence[int]) -> dict[str, Any]:
    """COCO JSON of the pictures."""
    from kp2seg.data.scenes import scenes_to_coco  # Detectron2 comes with it, for seconds

    return scenes_to_coco(out, read_json(out / "scenes.json"), numbers, "make_crowd")


if __name__ == "__main__":
    sys.exit(main())
