#!/usr/bin/env python3
"""Discovers 3-D keypoints of chairs from rendered views alone, in minutes on two CPU cores.

    tools/quickstart.py              what `make demo` runs; stopped, it goes on when run again
    tools/quickstart.py --fresh      starts anew

Renders parametric chairs, trains a small KeypointNet on most of them, evaluates it on the others,
and draws what it found there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from keypointnet.command_line import Parser, errors_in_one_line


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser("quickstart", __doc__)
    add = parser.add_argument
    add("--fresh", action="store_true", help="remove an earlier demo from OUT first")
    add("--out", type=Path, default=Path("runs/demo"), help="folder to write (runs/demo)")
    add("--config", type=Path, default=Path(__file__).parents[1] / "configs/keypointnet/demo.yaml")
    add("--train", help="models to train on (chair:0-300)")
    add("--test", help="held-out models (chair:10000-10012)")
    add("--views", type=int, help="views of each model (40)")
    add("--workers", type=int, help="rendering processes (all cores)")
    add(
        "--minutes",
        type=float,
        default=7.8,
        help="train for fewer steps where all would take longer; 0: no limit (7.8)",
    )
    add("overrides", nargs="*", metavar="key=value", help="settings of the training to change")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    # Imported here because rendering processes import this file, and need none of it.
    from keypointnet.checkpoints import CheckpointError
    from keypointnet.config import load_config
    from keypointnet.quickstart import DemoModels, discard, format_demo_table, run_demo
    from keypointnet.training import TrainingError
    from keypointnet.views.workers import WorkerError

    chosen = {name: getattr(args, name) for name in ("train", "test", "views")}
    stopped = "\nstopped; the same command goes on from here"
    errors = CheckpointError, TrainingError, WorkerError
    with errors_in_one_line("quickstart", *errors, stopped=stopped):
        if args.fresh:
            discard(args.out)
        result = run_demo(
            load_config(args.config, args.overrides),
            DemoModels(**{name: value for name, value in chosen.items() if value is not None}),
            args.out,
            workers=args.workers,
            limit_s=60 * args.minutes,
        )
    print(f"\n{format_demo_table(result)}\n")
    if result.resumed:
        print("an earlier run had done a part of this; the seconds are of the rest")
    print(f"held-out chairs with the keypoints found: {result.picture}")


if __name__ == "__main__":
    main()
