#!/usr/bin/env python3
"""The lecture's ablations: each loss term off, noise off, other numbers of keypoints, no O-Net.

    tools/ablate.py runs/ablation --config configs/keypointnet/demo.yaml --steps 1000 --seeds 0 1 2
    tools/ablate.py runs/ablation --config … --only all no_pose n3

Every variant is trained for the same number of steps and evaluated on the held-out models. The
table goes to the terminal, every figure to OUT/results.json, held-out views to OUT/keypoints.png.
Stopped, it goes on when run again. The views have to be there: `make demo` renders demo.yaml's.
"""

from __future__ import annotations

from pathlib import Path

from keypointnet.ablation import VARIANTS, Study, run_study
from keypointnet.checkpoints import CheckpointError
from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.training import TrainingError


def main(arguments: list[str] | None = None) -> None:
    parser = Parser("ablate", __doc__)
    add = parser.add_argument
    add("out", type=Path, help="folder for the runs")
    add("--config", help="YAML file; the paper's settings without one")
    add("--only", nargs="+", default=list(VARIANTS), metavar="VARIANT", help=", ".join(VARIANTS))
    add("--seeds", nargs="+", type=int, default=[0], help="of each variant (0)")
    add("--steps", type=at_least_one, help="of each run, schedules scaled (the configuration's)")
    add("overrides", nargs="*", metavar="key=value", help="settings to change in all variants")
    args = parser.parse_intermixed_args(arguments)
    stopped = "\nstopped; the same command goes on from here"
    with errors_in_one_line("ablate", CheckpointError, TrainingError, stopped=stopped):
        table = run_study(
            Study(
                config=args.config,
                overrides=tuple(args.overrides),
                variants=tuple(args.only),
                seeds=tuple(args.seeds),
                steps=args.steps,
            ),
            args.out,
        )
    print(f"\n{table}\n\nheld-out views of each: {args.out / 'keypoints.png'}")


if __name__ == "__main__":
    main()
