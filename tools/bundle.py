#!/usr/bin/env python3
r"""Joins a KeypointNet and the masks' model trained on its keypoints into one checkpoint.

    tools/bundle.py runs/chair/checkpoints/last.safetensors \
        runs/chair-masks/checkpoints/best.safetensors chair.safetensors

The result takes pictures with boxes, or with a detector before it, and gives masks:
kp2seg.build.trained_model(read_seg_checkpoint("chair.safetensors")), tools/eval_seg.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keypointnet.checkpoints import read_checkpoint
from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.tensor_files import CheckpointError
from kp2seg.build import trained_model
from kp2seg.bundle import bundled
from kp2seg.checkpoints import read_seg_checkpoint, save_seg_checkpoint
from kp2seg.command_line import add_finding, finding_of


def main(words: Sequence[str] | None = None) -> None:
    parser = Parser("bundle", __doc__)
    parser.add_argument("keypointnet", type=Path, help="checkpoint of tools/train_kp.py")
    parser.add_argument("masks", type=Path, help="checkpoint of tools/train_seg.py")
    parser.add_argument("out", type=Path, help="where to write, .safetensors")
    add_finding(parser)
    args = parser.parse_args(words)
    if args.out.suffix != ".safetensors":
        parser.error(f"{args.out}: expected a name that ends in .safetensors")
    with errors_in_one_line("bundle", CheckpointError):
        parts = read_checkpoint(args.keypointnet), read_seg_checkpoint(args.masks)
        weights, config = bundled(*parts, finding_of(args))
        save_seg_checkpoint(args.out, {"model": weights}, step=parts[1].step, config=config)
        trained_model(read_seg_checkpoint(args.out))  # it can be used
    print(f"{args.out}: {args.keypointnet} and {args.masks}")


if __name__ == "__main__":
    main()
