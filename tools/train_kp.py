#!/usr/bin/env python3
"""Trains a KeypointNet.

tools/train_kp.py --config configs/keypointnet/chair.yaml optim.steps=2000 run.out=runs/chair
torchrun --nproc-per-node 2 tools/train_kp.py --config …     several processes or machines
"""

from __future__ import annotations

from keypointnet.checkpoints import CheckpointError
from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.config import load_config
from keypointnet.distributed import Processes
from keypointnet.training import Trainer, TrainingError


def main() -> None:
    parser = Parser("train_kp", __doc__)
    parser.add_argument("--config", help="YAML file; the paper's settings without one")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--overfit", action="store_true", help="train on one batch alone")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings to change")
    arguments = parser.parse_intermixed_args()
    with errors_in_one_line("train_kp", CheckpointError, TrainingError, resumes=True):
        config = load_config(arguments.config, arguments.overrides)
        processes = Processes.from_torchrun(config.run.device)
        try:
            trainer = Trainer(
                config,
                resume=arguments.resume,
                overfit=arguments.overfit,
                processes=processes,
            )
            if trainer.step >= config.optim.steps and processes.is_main:
                print(f"{trainer.last}: all {trainer.step} steps are done")
            summary = trainer.run()
        finally:
            processes.leave()
    if summary and processes.is_main:
        print(
            f"held out: mean {summary['mean_deg']:.2f}°, median {summary['median_deg']:.2f}°, "
            f"flips {summary['flips']:.1%}, 3D-SE {summary['se_3d']:.3f}; "
            f"checkpoints in {config.run.out}/checkpoints"
        )


if __name__ == "__main__":
    main()
