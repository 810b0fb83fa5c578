#!/usr/bin/env python3
r"""Says what discovered keypoints are worth for masks, on data of one's own.

    tools/loop.py CHECKPOINT OUT --category chair \
        --train instances_train2017.json@train2017 --train scenes/annotations.json@scenes/images \
        --repeat 8 1 --test instances_val2017.json@val2017 --mask-rcnn
    tools/loop.py --model chair-64 OUT --train A.json@A --test B.json@B --true --seeds 0 1 2

Finds the keypoints of a trained KeypointNet in the boxes of COCO instance JSON, clusters them into
templates, trains masks on them, on no keypoints (the boxes alone) and, with --true, on the files'
own, and scores all of them on the boxes of --test; with --mask-rcnn a Mask R-CNN, too, trained for
the same time. OUT/seed-N/report.html shows it, OUT/results.json has the figures. Run again, it goes
on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.tensor_files import CheckpointError
from kp2seg.command_line import add_finding, add_network, finding_of, network_of
from kp2seg.data.catalog import file_and_folder
from kp2seg.loop.own import LoopStudy, format_loop_study, run_loop_study
from kp2seg.loop.points import ObjectData
from kp2seg.training import SegTrainingError

ROOT = Path(__file__).parents[1]


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("loop", __doc__)
    add = parser.add_argument
    add_network(parser, "OUT")
    add("--train", action="append", required=True, metavar="FILE.json@IMAGES",
        help="COCO instance JSON and the folder of its pictures; may be given again")  # fmt: skip
    add("--test", required=True, metavar="FILE.json@IMAGES", help="to score on")
    add("--category", help="the class, where a file has several")
    add("--repeat", type=at_least_one, nargs="+", metavar="N",
        help="how often a picture of each --train is shown in an epoch (1)")  # fmt: skip
    add("--true", action="store_true", help="compare with the files' own keypoints")
    add("--config-file", type=Path, default=ROOT / "configs/kp2seg/demo.py",
        help="LazyConfig of the masks (configs/kp2seg/demo.py)")  # fmt: skip
    add("--steps", type=at_least_one, help="of each training (the configuration's)")
    add("--mask-rcnn", nargs="?", type=Path, metavar="CONFIG",
        const=ROOT / "configs/kp2seg/mask_rcnn_light.py",
        help="compare with a Mask R-CNN (configs/kp2seg/mask_rcnn_light.py)")  # fmt: skip
    add("--mask-rcnn-override", action="append", default=[], metavar="key=value",
        help="setting of it to change; may be given again")  # fmt: skip
    add("--templates", type=at_least_one, default=12, help="of the poses (12)")
    add("--seeds", type=int, nargs="+", default=[0], help="of the trainings (0)")
    add_finding(parser)
    parser.set_defaults(corners=True)
    add("--override", action="append", default=[], metavar="key=value",
        help="setting of the masks to change; may be given again")  # fmt: skip
    add("--device", default="auto")
    args = parser.parse_intermixed_args(words)
    if args.repeat and len(args.repeat) != len(args.train):
        parser.error(f"--repeat: expected {len(args.train)} numbers, one for each --train")
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        parser.error(f"--seeds: expected different numbers of at least 0, got {args.seeds}")
    return args


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    stopped = "stopped; the same command goes on"
    errors = CheckpointError, SegTrainingError, torch.OutOfMemoryError
    with errors_in_one_line("loop", *errors, stopped=stopped):
        weights, out = network_of(args)
        study = LoopStudy(
            weights,
            tuple(ObjectData(*file_and_folder(name), args.category) for name in args.train),
            ObjectData(*file_and_folder(args.test), args.category),
            args.config_file,
            repeat=tuple(args.repeat) if args.repeat else None,
            overrides=tuple(args.override),
            steps=args.steps,
            detector=args.mask_rcnn,
            detector_overrides=tuple(args.mask_rcnn_override),
            true=args.true,
            templates=args.templates,
            finding=finding_of(args),
            seeds=tuple(args.seeds),
        )
        result = run_loop_study(study, out, device=args.device)
    print(f"\n{format_loop_study(result)}")
    print(f"figures: {out / 'results.json'}; to look at: {result.report}")


if __name__ == "__main__":
    main()
