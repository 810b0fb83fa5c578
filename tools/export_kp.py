#!/usr/bin/env python3
"""Writes a checkpoint's weights to predict with, without the optimiser.

    tools/export_kp.py runs/chair/checkpoints/best.safetensors chair.safetensors --half

eval_kp.py reads the result like any checkpoint; training cannot go on from it.
"""

from __future__ import annotations

from pathlib import Path

from keypointnet.checkpoints import CheckpointError, export_weights, read_checkpoint
from keypointnet.command_line import Parser, errors_in_one_line


def main(arguments: list[str] | None = None) -> None:
    parser = Parser("export_kp", __doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="safetensors file to write")
    parser.add_argument("--half", action="store_true", help="float16: half the size")
    args = parser.parse_args(arguments)
    with errors_in_one_line("export_kp", CheckpointError):
        if args.out.resolve() == args.checkpoint.resolve():
            parser.error(f"{args.out}: would replace the checkpoint itself; name another")
        export_weights(args.checkpoint, args.out, half=args.half)
        step = read_checkpoint(args.out).step
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, step {step}")


if __name__ == "__main__":
    main()
