#!/usr/bin/env python3
"""Writes a mask model's weights to predict with, without the optimiser.

    tools/export_seg.py runs/light/checkpoints/last.safetensors people.safetensors --half

Takes bundles, too. eval_seg.py and demo.py read the result like any checkpoint; training can start
from it (train.init), but not go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.tensor_files import CheckpointError
from kp2seg.checkpoints import export_seg_weights, read_seg_checkpoint
from kp2seg.command_line import check_outputs


def main(words: Sequence[str] | None = None) -> None:
    parser = Parser("export_seg", __doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="safetensors file to write")
    parser.add_argument("--half", action="store_true", help="float16: half the size")
    args = parser.parse_args(words)
    with errors_in_one_line("export_seg", CheckpointError):
        check_outputs([args.out], [args.checkpoint])
        export_seg_weights(args.checkpoint, args.out, half=args.half)
        step = read_seg_checkpoint(args.out).step
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, step {step}")


if __name__ == "__main__":
    main()
