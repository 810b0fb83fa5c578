#!/usr/bin/env python3
r"""Says how far a KeypointNet's points can be trusted on a data set with true masks.

    tools/eval_discovery.py --model chair-64 instances_val2017.json --images val2017 \
        --category chair
    tools/eval_discovery.py CHECKPOINT crowds/test/annotations.json --out quality.json

Prints the share of the points that count which lie in the true masks, and how far points move when
the crop is mirrored, its box changed by up to 10 %, or turned by 15°: medians, in diagonals of the
box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from keypointnet.checkpoints import read_checkpoint, trained_model
from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.files import write_json
from keypointnet.progress import progress_bar
from keypointnet.tensor_files import CheckpointError
from kp2seg.command_line import add_finding, add_network, check_outputs, finding_of, network_of
from kp2seg.data.object_boxes import object_masks, read_object_boxes, read_object_picture
from kp2seg.evaluation.discovered_points import PointQuality, PointQualityMeter
from kp2seg.lazy_config import choose_device


def main(words: Sequence[str] | None = None) -> None:
    parser = Parser("eval_discovery", __doc__)
    add = parser.add_argument
    add_network(parser, "DATASET")
    add("--images", type=Path, help="folder of the pictures (images/ beside DATASET)")
    add("--category", help="class to look at, where DATASET has several")
    add_finding(parser)
    add("--seed", type=int, default=0, help="of the changed boxes (0)")
    add("--device", default="auto")
    add("--out", type=Path, help="JSON to write")
    args = parser.parse_intermixed_args(words)
    with errors_in_one_line("eval_discovery", CheckpointError, torch.OutOfMemoryError):
        weights, dataset = network_of(args)
        finding = finding_of(args)
        check_outputs([args.out] if args.out else [], [weights, dataset])
        images = args.images or dataset.parent / "images"
        checkpoint = read_checkpoint(weights)
        model = trained_model(checkpoint, choose_device(args.device))
        boxes = read_object_boxes(dataset, images, category=args.category, need_masks=True)
        boxes.report.log()
        meter = PointQualityMeter(model, checkpoint.config.data.image_size, finding, seed=args.seed)
        for image, rows in progress_bar(boxes.by_picture(), desc="look", unit="picture"):
            picture = read_object_picture(image, images)
            meter.add(picture, np.array([row["bbox"] for row in rows]), object_masks(image, rows))
        quality = meter.result()
        print(table(quality))
        if args.out:
            about = {"weights": str(args.model or weights), "dataset": str(dataset)}
            write_json(args.out, {**about, "finding": asdict(finding), **quality.as_dict()})


def table(quality: PointQuality) -> str:
    inside = "–" if math.isnan(quality.inside) else f"{100 * quality.inside:.1f} %"
    return "\n".join(
        [
            f"objects                             {quality.objects}",
            f"points that count, of each          {quality.points:.1f}",
            f"of these in the true mask           {inside}",
            f"moved in the mirrored crop, median  {100 * quality.flip:.1f} % of the diagonal",
            f"in a box changed by up to 10 %      {100 * quality.box:.1f} %",
            f"turned by 15 degrees                {100 * quality.turn:.1f} %",
        ]
    )


if __name__ == "__main__":
    main()
