"""What changes from step to step of a training run. Steps are counted from 0."""

from __future__ import annotations

import math

from keypointnet.config import DataConfig, OptimConfig


def learning_rate(step: int, config: OptimConfig) -> float:
    """The learning rate of a step, counted from 0."""
    if config.schedule == "constant":
        return config.learning_rate
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def pair_angle_deg(step: int, config: DataConfig) -> float:
    """How far the views of a pair may be apart at a step: from `first_angle_deg` to 180."""
    share = min(step / config.angle_steps, 1.0) if config.angle_steps > 0 else 1.0
    return config.first_angle_deg + (180.0 - config.first_angle_deg) * share
