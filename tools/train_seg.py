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

from detectron2.engine import default_argument_parser, launch
from detectron2.utils.logger import setup_logger

from keypointnet.tensor_files import CheckpointError
from kp2seg.build import build_evaluation, build_trainer
from kp2seg.checkpoints import load_seg_weights, read_seg_checkpoint
from kp2seg.data.problems import DataError
from kp2seg.lazy_config import SegConfigError, load_seg_config
from kp2seg.template_files import TemplateError
from kp2seg.training import SegTrainingError


def train(args: argparse.Namespace) -> None:
    config = load_seg_config(args.config_file, args.opts)
    setup_logger(name="kp2seg")
    setup_logger(name="detectron2")
    trainer = build_trainer(config, strict=args.strict)
    if args.eval_only:
        weights = read_seg_checkpoint(config.train.init or trainer.last)
        load_seg_weights(trainer.model, weights.weights, weights.path)
        figures = build_evaluation(config)(trainer.model.eval())
    else:
        if trainer.last.exists() and not args.resume:
            raise SegConfigError(
                f"train.out: {trainer.out} holds a run already; go on with --resume, or choose "
                "another"
            )
        if args.resume:
            trainer.resume()
        figures = trainer.fit()
    for name, value in figures.items():
        print(f"{name:40} {value:.4f}")


def main() -> None:
    parser = default_argument_parser(epilog="")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--strict", action="store_true", help="stop at the first bad annotation")
    arguments = parser.parse_args()
    if not arguments.config_file:
        parser.error("--config-file is needed, such as configs/kp2seg/light.py")
    try:
        launch(
            train,
            arguments.num_gpus,
            num_machines=arguments.num_machines,
            machine_rank=arguments.machine_rank,
            dist_url=arguments.dist_url,
            args=(arguments,),
        )
    except (SegConfigError, DataError, CheckpointError, TemplateError, SegTrainingError) as error:
        sys.exit(f"train_seg: {error}")
    except KeyboardInterrupt:
        print("stopped; --resume goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
