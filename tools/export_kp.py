#!/usr/bin/env python3
"""Writes a checkpoint's weights to predict with, without the optimiser.

    tools/export_kp.py runs/chair/checkpoints/best.safetensors chair.safetensors --half

eval_kp.py reads the result like any checkpoint; training cannot go on from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keypointnet.checkpoints import CheckpointError, export_weights, read_checkpoint


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="safetensors file to write")
    parser.add_argument("--half", action="store_true", help="float16: half the size")
    args = parser.parse_args(arguments)
    try:
        if args.out.resolve() == args.checkpoint.resolve():
            sys.exit(f"export_kp: {args.out}: would replace the checkpoint itself; name another")
        export_weights(args.checkpoint, args.out, half=args.half)
        step = read_checkpoint(args.out).step
    except CheckpointError as error:
        sys.exit(f"export_kp: {error}")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, step {step}")


if __name__ == "__main__":
    main()
