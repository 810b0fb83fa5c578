"""Which objective a training run has: the paper's, the orientation network's, or the taught one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from keypointnet.config import TrainConfig
from keypointnet.objective import orientation_losses, pair_losses
from keypointnet.teaching import taught_losses
from keypointnet.views.pairs import PairBatch

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
        if config.run.taught:
            return taught_losses(predict, batch, config.loss, step=step, autocast=autocast)
        return pair_losses(
            predict, batch, config.loss, step=step, generator=generator, autocast=autocast
        )

    return objective
