#!/usr/bin/env python3
"""Trains a mask model from keypoints.

    tools/train_seg.py --config-file configs/kp2seg/light.py train.out=runs/mine train.steps=2000
    tools/train_seg.py --config-file configs/kp2seg/light.py --resume
    tools/train_seg.py --config-file configs/kp2seg/light.py --eval-only
    tools/train_seg.py --config-file configs/kp2seg/pose2seg_r50.py --num-gpus 8

Data sets are looked for under $DETECTRON2_DATASETS; see README.md for their layout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import kp2seg  # noqa: F401  before Detectron2, whose warnings it keeps to itself

# isort: split
import torch
from detectron2.engine import launch
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.tensor_files import CheckpointError, load_weights
from kp2seg.build import Evaluator, build_model, build_trainer
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.lazy_config import SegConfigError, load_seg_config
from kp2seg.training import SegTrainingError, checkpoint_files

USERS_ERRORS = (CheckpointError, SegTrainingError, torch.OutOfMemoryError)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("train_seg", __doc__)
    add = parser.add_argument
    add("--config-file", required=True, help="such as configs/kp2seg/light.py")
    add("--resume", action="store_true", help="go on from the last checkpoint")
    add("--eval-only", action="store_true", help="figures of train.init, or of the best checkpoint")
    add("--strict", action="store_true", help="stop at the first bad annotation or picture")
    add("--num-gpus", type=at_least_one, default=1, help="of each machine")
    add("--num-machines", type=at_least_one, default=1)
    add("--machine-rank", type=int, default=0, help="of this machine, from 0")
    add("--dist-url", default="auto", help="of machine 0, as tcp://host:port, with several")
    add("overrides", nargs="*", metavar="key=value", help="settings to change")
    args = parser.parse_intermixed_args(words)
    if args.num_gpus > 1 and torch.cuda.device_count() < args.num_gpus:
        parser.error(f"--num-gpus {args.num_gpus}: there are {torch.cuda.device_count()}")
    if args.num_machines > 1 and args.dist_url == "auto":
        parser.error("--num-machines: several need --dist-url tcp://host:port")
    if args.num_machines > 1 and not torch.cuda.is_available():
        parser.error("--num-machines: several need CUDA, and there is none here")
    return args


def train(args: argparse.Namespace) -> None:
    config = load_seg_config(args.config_file, args.overrides)
    setup_logger(name="kp2seg")
    setup_logger(name="detectron2")
    last, best = checkpoint_files(config.train.out)
    if args.eval_only:
        figures = evaluate(
            config, config.train.init or (best if best.exists() else last), args.strict
        )
    else:
        if last.exists() and not args.resume:
            raise SegConfigError(
                f"train.out: {config.train.out} holds a run already; go on with --resume, or "
                "choose another"
            )
        trainer = build_trainer(config, strict=args.strict)
        if args.resume:
            trainer.resume()
        figures = trainer.fit()
    for name, value in figures.items():
        print(f"{name:40} {value:.4f}")


def evaluate(config: DictConfig, weights: str | Path, strict: bool) -> dict[str, float]:
    checkpoint = read_seg_checkpoint(weights)
    model = build_model(config)
    load_weights(model, checkpoint.weights, checkpoint.path)
    return Evaluator(config, model, strict=strict)(model.eval())


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    with errors_in_one_line("train_seg", *USERS_ERRORS, resumes=not args.eval_only):
        try:
            launch(
                train,
                args.num_gpus,
                num_machines=args.num_machines,
                machine_rank=args.machine_rank,
                dist_url=args.dist_url,
                args=(args,),
            )
        except torch.multiprocessing.ProcessRaisedException as error:
            sys.exit(f"train_seg: a process failed: {str(error).strip().splitlines()[-1]}")


if __name__ == "__main__":
    main()
