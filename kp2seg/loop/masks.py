"""Training and scoring of the masks of one point set."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectron2.engine import HookBase
from omegaconf import DictConfig

from keypointnet.files import write_json
from keypointnet.progress import progress_bar
from keypointnet.views.storage import read_json
from kp2seg.build import build_trainer
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.data.catalog import read_dataset
from kp2seg.evaluation.cache import Cache
from kp2seg.evaluation.evaluate import Evaluation, evaluate
from kp2seg.evaluation.subsets import evaluate_ranges
from kp2seg.lazy_config import load_seg_config
from kp2seg.loop.points import PointSet
from kp2seg.prediction_cache import cached_predictions
from kp2seg.training import checkpoint_files


@dataclass(frozen=True)
class MaskResult:
    """Masks of one point set.

    Attributes:
        points: the set.  checkpoint: of the model.
        evaluation: of its masks.  predictions: the masks.
        ranges: on moderate and hard objects, see `evaluate_ranges`.
        seconds: of the training, in all its runs.
    """

    points: PointSet
    checkpoint: Path
    evaluation: Evaluation
    predictions: Cache
    seconds: float
    ranges: Mapping[str, Evaluation] = field(default_factory=dict)


def mask_config(
    file: Path, overrides: Sequence[str], points: PointSet, out: Path, **train: Any
) -> DictConfig:
    """The configuration of a training run on a point set.

    Args:    file: of LazyConfig.  overrides: of it.  out: the run's folder.
             train: of its section train, e.g. steps.
    Raises:  SegConfigError: what is wrong is named.
    """
    config = load_seg_config(file, overrides)
    config.data.train, config.data.test = list(points.train), [points.test]
    if points.templates is not None:
        config.model.templates = str(points.templates)
    config.train.update({"out": str(out), **train})
    return config


def masks_of(
    config: DictConfig, points: PointSet, *, device: str = "auto", amp: bool = True
) -> MaskResult:
    """Trains, or goes on with, a run of `mask_config`, and scores its last weights.

    Raises: SegConfigError, DataError, CheckpointError, SegTrainingError: what is wrong is named.
    """
    clock = Path(config.train.out) / "seconds.json"
    seconds = read_json(clock) or 0.0
    last, _ = checkpoint_files(config.train.out)
    if not last.exists() or read_seg_checkpoint(last).step < config.train.steps:
        trainer = build_trainer(config)
        trainer.resume()
        trainer.register_hooks([_ProgressHook(f"masks, {points.name}")])
        started = time.monotonic()
        try:
            trainer.fit()
        finally:
            seconds += time.monotonic() - started
            if clock.parent.is_dir():
                write_json(clock, seconds)
    data = read_dataset(points.test, keypoints=points.templates is not None)
    file = Path(config.train.out) / "test.predictions.json"
    cache = cached_predictions(
        last, points.test, data, file, device=device, amp=amp, renew=True, progress=True
    )
    scores = evaluate(data.coco, cache.predictions)
    ranges = evaluate_ranges(data.coco, cache.predictions)
    return MaskResult(points, last, scores, cache, seconds, ranges)


def seconds_per_step(config: DictConfig) -> float:
    """Measures a training step of `mask_config` on this machine: the median of a few.

    The first ones take twice as long: every number of people has kernels of its own to be made.
    """
    hook = _TimingHook()
    with tempfile.TemporaryDirectory() as folder:
        config = config.copy()
        config.train.update({"steps": 16, "out": folder, "eval_every": 0, "checkpoint_every": 100})
        trainer = build_trainer(config)
        trainer.register_hooks([hook])
        trainer.train(0, 16)
    return statistics.median(hook.seconds[8:])


class _ProgressHook(HookBase):
    """A bar with the loss."""

    def __init__(self, title: str) -> None:
        self.title = title

    def before_train(self) -> None:
        """Called by the trainer."""
        trainer = self.trainer
        self.bar = progress_bar(
            total=trainer.max_iter, initial=trainer.start_iter, desc=self.title, unit="step"
        )

    def after_step(self) -> None:
        """Called by the trainer."""
        loss = self.trainer.storage.history("total_loss").avg(20)
        self.bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self.bar.update()

    def after_train(self) -> None:
        """Called by the trainer."""
        self.bar.close()


class _TimingHook(HookBase):
    """How long each step takes, its data included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_step(self) -> None:
        """Called by the trainer."""
        self.started = time.monotonic()

    def after_step(self) -> None:
        """Called by the trainer."""
        self.seconds.append(time.monotonic() - self.started)
