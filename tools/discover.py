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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from keypointnet.checkpoints import read_checkpoint, trained_model
from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.drawing import save_picture
from keypointnet.files import file_sha256, write_json
from keypointnet.tensor_files import CheckpointError
from keypointnet.views.cameras import CameraRange
from kp2seg.command_line import (
    add_finding,
    add_network,
    check_outputs,
    finding_of,
    network_of,
)
from kp2seg.data.coco_json import check_lists, read_json
from kp2seg.data.object_boxes import read_object_boxes
from kp2seg.data.problems import DataError
from kp2seg.discovery import drawn_crops, keypoint_json, look_at_objects, sides_agree
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
    args = parser.parse_args(words)
    if not 0 < args.fov < 180:
        parser.error(f"--fov: expected degrees between 0 and 180, got {args.fov:g}")
    return args


def run(args: argparse.Namespace) -> None:
    weights, dataset, out = network_of(args)
    images = args.images or dataset.parent / "images"
    finding = finding_of(args)
    check_outputs([out], [weights, dataset, args.detections, args.like])
    digest = file_sha256(weights)
    like = None if args.like is None else earlier_category(args.like, digest)
    boxes = read_object_boxes(
        dataset,
        images,
        category=args.category,
        detections=args.detections,
        min_score=args.min_score,
        need_masks=args.masks,
        strict=args.strict,
    )
    boxes.report.log()
    checkpoint = read_checkpoint(weights)
    model = trained_model(checkpoint, choose_device(args.device))
    size = checkpoint.config.data.image_size
    about = {
        "weights": digest,
        "dataset": file_sha256(dataset),
        "detections": args.detections and file_sha256(args.detections),
        "category": boxes.category["name"],
        "images": str(images.resolve()),
        "context": finding.context,
        "masks": args.masks,
    }
    answers = look_at_objects(
        model,
        size,
        boxes,
        images,
        finding,
        out.with_suffix(".answers.jsonl"),
        about,
        batch=args.batch,
        use_masks=args.masks,
    )
    result = keypoint_json(boxes, answers, size, finding, args.fov, like)
    result["discovery"] = {
        "weights": str(args.model or weights),
        "sha256": digest,
        **asdict(finding),
    }
    write_json(out, result)
    save_picture(out.with_suffix(".png"), drawn_crops(boxes, answers, size, images, finding))
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


def earlier_category(path: Path, digest: str) -> dict[str, Any]:
    """The category of an earlier result. Raises: DataError: it is of another network."""
    earlier = read_json(path)
    check_lists(earlier, str(path))
    if earlier.get("discovery", {}).get("sha256") != digest:
        raise DataError(f"{path}: is no result of these weights, so its names mean other points")
    category: dict[str, Any] = earlier["categories"][0]
    return category


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    stopped = "stopped; the same command goes on"
    with errors_in_one_line("discover", CheckpointError, torch.OutOfMemoryError, stopped=stopped):
        run(args)


if __name__ == "__main__":
    main()
