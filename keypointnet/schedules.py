"""What changes from step to step of a training run. Steps are counted from 0."""

from __future__ import annotations

import math

from keypointnet.config import OptimConfig


def learning_rate(step: int, config: OptimConfig) -> float:
    """The learning rate of a step, counted from 0."""
    if config.schedule == "constant":
        return config.learning_rate
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
