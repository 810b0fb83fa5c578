#!/usr/bin/env python3
"""Finds keypoints that nobody labelled, and masks along them, in minutes on two CPU cores.

    tools/quickstart.py                    what `make demo` runs; run again, it goes on
    tools/quickstart.py --fresh            starts anew
    tools/quickstart.py --keypoints-only   stops at the keypoints

Renders parametric chairs, trains a small KeypointNet on most of them, evaluates it on the others,
and draws what it found there. Then a second network learns to find the same points in crowded
pictures; crowds of chairs are rendered, the points found in them and clustered into templates, and
a mask model trained on them, beside one on true keypoints and one on none. OUT/report.html shows
all of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line

if TYPE_CHECKING:
    from keypointnet.config import TrainConfig
    from keypointnet.quickstart import DemoModels, DemoResult

ROOT = Path(__file__).parents[1]
STOPPED = "\nstopped; the same command goes on from here"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser("quickstart", __doc__)
    add = parser.add_argument
    add("--fresh", action="store_true", help="remove an earlier demo from OUT first")
    add("--out", type=Path, default=Path("runs/demo"), help="folder to write (runs/demo)")
    add("--keypoints-only", action="store_true", help="no crowds and no masks")
    add("--config", type=Path, default=ROOT / "configs/keypointnet/demo.yaml",
        help="of KeypointNet")  # fmt: skip
    add("--crowded", type=Path, default=ROOT / "configs/keypointnet/demo-pictures.yaml",
        metavar="CONFIG", help="of the KeypointNet for crowded pictures")  # fmt: skip
    add("--crowded-override", action="append", default=[], metavar="key=value",
        help="setting of it to change; may be given several times")  # fmt: skip
    add("--train", help="models to train on (chair:0-300)")
    add("--test", help="held-out models (chair:10000-10012)")
    add("--views", type=at_least_one, help="views of each model (40)")
    add("--masks", type=Path, default=ROOT / "configs/kp2seg/demo.py", metavar="CONFIG",
        help="LazyConfig of the mask model")  # fmt: skip
    add("--mask-override", action="append", default=[], metavar="key=value",
        help="setting of it to change; may be given several times")  # fmt: skip
    add("--crowd-train", help="models of the crowds to train on (chair:0-300)")
    add("--crowd-test", help="held-out models of crowds (chair:10000-10060)")
    add("--pictures", type=at_least_one, nargs=2, metavar=("TRAIN", "TEST"),
        help="how many crowds (500 80)")  # fmt: skip
    add("--templates", type=at_least_one, help="of the poses (12)")
    add("--min-confidence", type=float, help="of a point that counts in a crowd (0.3)")
    add("--min-on-object", type=float, help="share of its probability in the box (0.5)")
    add("--seed", type=int, default=0, help="of everything random (0)")
    add("--workers", type=at_least_one, help="rendering processes (all cores)")
    add(
        "--minutes",
        type=float,
        default=9.6,
        help="train for fewer steps where all would take longer; 0: no limit (9.6)",
    )
    add("overrides", nargs="*", metavar="key=value", help="settings of KeypointNet to change")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    # Imported here because rendering processes import this file, and need none of it.
    from keypointnet.checkpoints import CheckpointError
    from keypointnet.config import load_config
    from keypointnet.demo_state import discard
    from keypointnet.quickstart import DemoModels, format_demo_table, run_demo
    from keypointnet.training import TrainingError
    from keypointnet.views.workers import WorkerError

    given = {name: getattr(args, name) for name in ("train", "test", "views")}
    models = DemoModels(**{name: value for name, value in given.items() if value is not None})
    how = {"workers": args.workers, "limit_s": 60 * args.minutes}
    errors = CheckpointError, TrainingError, WorkerError
    with errors_in_one_line("quickstart", *errors, stopped=STOPPED):
        config = load_config(args.config, [f"run.seed={args.seed}", *args.overrides])
        if args.fresh:
            discard(args.out)
        if not args.keypoints_only:
            result, table, report = whole_loop(args, config, models, how)
        else:
            result = run_demo(config, models, args.out, **how)
            table, report = format_demo_table(result), None
    print(f"\n{table}\n")
    if result.resumed:
        print("an earlier run had done a part of this; the seconds are of the rest")
    print(f"held-out chairs with the keypoints found: {result.picture}")
    if report is not None:
        print(f"everything, to look at: {report}")


def whole_loop(
    args: argparse.Namespace, config: TrainConfig, models: DemoModels, how: dict[str, Any]
) -> tuple[DemoResult, str, Path]:
    """What the first half found, the table of both, and the report."""
    from keypointnet.config import load_config
    from kp2seg.keypoint_sources.discovered import Finding
    from kp2seg.loop.demo import LoopSettings, format_loop_table, run_loop_demo
    from kp2seg.training import SegTrainingError

    given = {"train": args.crowd_train, "test": args.crowd_test, "templates": args.templates}
    if args.pictures is not None:
        given["train_pictures"], given["test_pictures"] = args.pictures
    finding = {name: getattr(args, name) for name in ("min_confidence", "min_on_object")}
    loop = LoopSettings(
        masks=str(args.masks),
        overrides=tuple(args.mask_override),
        seed=args.seed,
        finding=Finding(corners=True, **{k: v for k, v in finding.items() if v is not None}),
        **{name: value for name, value in given.items() if value is not None},
    )
    crowded = load_config(args.crowded, args.crowded_override)
    with errors_in_one_line("quickstart", SegTrainingError, stopped=STOPPED):
        result = run_loop_demo(config, crowded, models, loop, args.out, **how)
    return result.keypoints, format_loop_table(result), result.report


if __name__ == "__main__":
    main()
