#!/usr/bin/env python3
r"""Finds the keypoints of every object of a data set with a trained KeypointNet.

    tools/discover.py runs/chair/checkpoints/last.safetensors instances_val2017.json points.json \
        --images val2017 --category chair
    tools/discover.py --model chair-64 scenes/annotations.json points.json
    tools/discover.py CHECKPOINT DATASET OUT.json --detections results.json

DATASET is COCO JSON of any kind; each box becomes a square crop. OUT.json is COCO keypoint JSON:
tools/build_templates.py makes templates of it, tools/train_seg.py trains on it. Answers are kept
beside it in OUT.answers.jsonl, so a run that was stopped goes on, and another --min-confidence
needs no network. OUT.png shows some of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.drawing import save_picture
from keypointnet.tensor_files import CheckpointError
from keypointnet.views.cameras import CameraRange
from kp2seg.command_line import (
    add_finding,
    add_network,
    check_outputs,
    finding_of,
    network_of,
)
from kp2seg.discovery import discover_dataset, drawn_crops, sides_agree
from kp2seg.lazy_config import choose_device


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("discover", __doc__)
    add = parser.add_argument
    add_network(parser, "DATASET", "OUT")
    add("--images", type=Path, help="folder of the pictures (images/ beside DATASET)")
    add("--category", help="class to look at, where DATASET has several")
    add("--detections", type=Path, help="COCO results whose boxes are taken, not the annotations'")
    add("--min-score", type=float, default=0.5, help="of a detection (0.5)")
    add_finding(parser)
    add("--masks", action="store_true", help="take the objects' masks for what is on them, not "
        "their boxes; they are the truth that a test must not know")  # fmt: skip
    add("--fov", type=float, default=CameraRange().fov_deg, help="field of view of the training "
        f"views, degrees ({CameraRange().fov_deg:g})")  # fmt: skip
    add("--like", type=Path, help="earlier OUT.json of the same network, whose names are taken")
    add("--strict", action="store_true", help="stop at the first bad row or picture")
    add("--batch", type=at_least_one, default=32, help="objects at once (32)")
    add("--device", default="auto")
    args = parser.parse_intermixed_args(words)
    if not 0 < args.fov < 180:
        parser.error(f"--fov: expected degrees between 0 and 180, got {args.fov:g}")
    return args


def run(args: argparse.Namespace) -> None:
    weights, dataset, out = network_of(args)
    images = args.images or dataset.parent / "images"
    finding = finding_of(args)
    if out.suffix != ".json":
        raise ValueError(f"{out}: expected a name that ends in .json; OUT.png is written, too")
    sheet = out.with_suffix(".png")
    check_outputs([out, sheet], [weights, dataset, args.detections, args.like])
    found = discover_dataset(
        weights,
        dataset,
        images,
        out,
        finding,
        name=args.model,
        category=args.category,
        detections=args.detections,
        min_score=args.min_score,
        like=args.like,
        fov_deg=args.fov,
        use_masks=args.masks,
        strict=args.strict,
        batch=args.batch,
        device=choose_device(args.device),
    )
    result, answers, boxes, size = found
    save_picture(sheet, drawn_crops(boxes, answers, size, images, finding))
    (category,) = result["categories"]
    n = len(result["annotations"])
    counted = sum(row["num_keypoints"] for row in result["annotations"]) / n
    print(f"{out}: {n} objects, {counted:.1f} of {len(category['keypoints'])} points each")
    print(f"  names: {', '.join(category['keypoints'])}")
    share = sides_agree(answers, category["keypoints"])
    if share is not None and share < 0.7:
        print(
            f"  which is left and which right is told in the same way in only {share:.0%} of the "
            "objects: these are not pictures that the network knows, and its points are guesses"
        )


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    stopped = "stopped; the same command goes on"
    with errors_in_one_line("discover", CheckpointError, torch.OutOfMemoryError, stopped=stopped):
        run(args)


if __name__ == "__main__":
    main()
