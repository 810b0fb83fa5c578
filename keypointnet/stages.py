"""Which objective a training run has: the paper's, the orientation network's, or a teacher's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from keypointnet.checkpoints import read_checkpoint, trained_model
from keypointnet.config import ConfigError, TrainConfig
from keypointnet.objective import orientation_losses, pair_losses
from keypointnet.teaching import agreed_points, taught_losses
from keypointnet.views.pairs import ModelViews, PairBatch

Objective = Callable[[nn.Module, PairBatch, int, torch.Generator], dict[str, Tensor]]
"""(network, batch, step, random numbers) → every term of the loss, and their sum as "total"."""


def make_objective(config: TrainConfig, autocast: torch.autocast | None) -> Objective:
    """The objective of a configuration.

    Args:    autocast: of the network; the losses are float32 always.
    """

    def objective(
        predict: nn.Module, batch: PairBatch, step: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        if config.optim.trained == "orientation":
            return orientation_losses(predict, batch, config.loss, autocast=autocast)
        if config.run.teacher is not None:
            return taught_losses(predict, batch, config.loss, autocast=autocast)
        return pair_losses(
            predict, batch, config.loss, step=step, generator=generator, autocast=autocast
        )

    return objective


def taught_points(
    config: TrainConfig, models: Sequence[ModelViews], device: torch.device, *, progress: bool
) -> dict[str, Tensor]:
    """What `run.teacher` says of each training model, by name; empty without a teacher.

    Returns: (2, N, 3) for each, see `teaching.agreed_points`.
    Raises:  ConfigError: it has another number of keypoints.  CheckpointError: it is none.
    """
    if config.run.teacher is None:
        return {}
    checkpoint = read_checkpoint(config.run.teacher)
    teacher = trained_model(checkpoint, device)
    if teacher.num_keypoints != config.model.num_keypoints:
        raise ConfigError(
            f"run.teacher: {config.run.teacher} has {teacher.num_keypoints} keypoints, "
            f"model.num_keypoints is {config.model.num_keypoints}"
        )
    names = [views.name for views in models]
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        raise ConfigError(
            f"data.train: two stores have a model {min(repeated)}; with run.teacher, folders of "
            "stores need different names"
        )
    size = checkpoint.config.data.image_size
    points = agreed_points(teacher, models, size=size, progress=progress)
    return dict(zip(names, points, strict=True))
