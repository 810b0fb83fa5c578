#!/usr/bin/env python3
r"""Joins a KeypointNet and the masks' model trained on its keypoints into one checkpoint.

    tools/bundle.py runs/chair/checkpoints/last.safetensors \
        runs/chair-masks/checkpoints/best.safetensors chair.safetensors --points points.json

The result takes pictures with boxes, or with a detector before it, and gives masks:
kp2seg.build.trained_model(read_seg_checkpoint("chair.safetensors")), tools/eval_seg.py,
tools/demo.py. Where the settings are not those of the points that the masks were trained on, a
warning says in what.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from keypointnet.checkpoints import read_checkpoint
from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.files import file_sha256
from keypointnet.tensor_files import CheckpointError
from kp2seg.build import trained_model
from kp2seg.bundle import bundled, differences
from kp2seg.checkpoints import SegCheckpoint, read_seg_checkpoint, save_seg_checkpoint
from kp2seg.command_line import add_finding, check_outputs, finding_of
from kp2seg.discovery import earlier_result
from kp2seg.keypoint_sources.discovered import Finding


def main(words: Sequence[str] | None = None) -> None:
    parser = Parser("bundle", __doc__)
    parser.add_argument("keypointnet", type=Path, help="checkpoint of tools/train_kp.py")
    parser.add_argument("masks", type=Path, help="checkpoint of tools/train_seg.py")
    parser.add_argument("out", type=Path, help="where to write, .safetensors")
    text = "what tools/discover.py wrote with the KeypointNet: its settings are taken"
    parser.add_argument("--points", type=Path, help=text)
    add_finding(parser)
    args = parser.parse_args(words)
    if args.out.suffix != ".safetensors":
        parser.error(f"{args.out}: expected a name that ends in .safetensors")
    with errors_in_one_line("bundle", CheckpointError):
        check_outputs([args.out], [args.keypointnet, args.masks, args.points])
        parts = read_checkpoint(args.keypointnet), read_seg_checkpoint(args.masks)
        category, finding = None, finding_of(args)
        if args.points is not None:
            if finding != Finding():
                raise ValueError("--points: has the settings; leave out the flags that give others")
            category, finding = earlier_result(args.points, args.keypointnet)
        weights, config = bundled(*parts, finding, category)
        groups = {"model": weights}
        # What cannot be used replaces nothing.
        trained_model(SegCheckpoint(args.out, parts[1].step, config, {}, groups))
        save_seg_checkpoint(args.out, groups, step=parts[1].step, config=config)
        other = differences(parts[1], finding, file_sha256(args.keypointnet))
    if other:
        print(
            f"bundle: warning: {args.masks} was trained on points of {'; '.join(other)}: its masks "
            "may be worse than in its training",
            file=sys.stderr,
        )
    print(f"{args.out}: {args.keypointnet} and {args.masks}")


if __name__ == "__main__":
    main()
