"""What a configuration of the right types must not say."""

from __future__ import annotations

import math

from keypointnet.config import PYRAMID_STRIDES, ConfigError, TrainConfig


def check_config(config: TrainConfig) -> None:
    """Raises ConfigError, naming the key, for a value of the right type that makes no sense."""
    positive = {
        "model.num_keypoints": config.model.num_keypoints,
        "model.channels": config.model.channels,
        "model.downsample": config.model.downsample,
        "model.orientation_downsample": config.model.orientation_downsample,
        "data.image_size": config.data.image_size,
        "optim.steps": config.optim.steps,
        "optim.pairs_per_step": config.optim.pairs_per_step,
        "run.log_every": config.run.log_every,
        "run.eval_every": config.run.eval_every,
        "run.eval_pairs": config.run.eval_pairs,
        "run.checkpoint_every": config.run.checkpoint_every,
    }
    for key, number in positive.items():
        if number <= 0:
            raise ConfigError(f"{key}: expected a positive number, got {number}")
    a, o = config.data.augmentation, config.optim
    limits: tuple[tuple[str, float, float, float], ...] = (
        ("optim.gradient_norm", o.gradient_norm, 1e-9, math.inf),
        ("optim.learning_rate", o.learning_rate, 0, math.inf),
        ("optim.weight_decay", o.weight_decay, 0, math.inf),
        ("optim.ema_decay", o.ema_decay, 0, 1),
        ("optim.warmup", o.warmup, 0, 1),
        ("loss.pose_noise", config.loss.pose_noise, 0, math.inf),
        ("run.seed", config.run.seed, 0, math.inf),
        ("data.augmentation.mirror", a.mirror, 0, 1),
        ("data.augmentation.background", a.background, 0, 1),
        ("data.augmentation.occluder", a.occluder, 0, 1),
        ("data.augmentation.neighbours", a.neighbours, 0, 1),
        ("data.augmentation.crop", a.crop, 0, 0.9),
        ("data.augmentation.grey", a.grey, 0, 1),
        ("data.augmentation.noise", a.noise, 0, math.inf),
    )
    for key, given, low, high in limits:
        if not low <= given <= high:
            expected = f"{low:g} to {high:g}" if high < math.inf else f"at least {low:g}"
            raise ConfigError(f"{key}: expected {expected}, got {given}")
    if config.data.image_size % config.model.downsample:
        raise ConfigError(
            f"data.image_size: expected a multiple of model.downsample = "
            f"{config.model.downsample}, got {config.data.image_size}"
        )
    if config.model.downsample % config.model.orientation_downsample:
        raise ConfigError(
            "model.downsample: expected a multiple of model.orientation_downsample = "
            f"{config.model.orientation_downsample}, got {config.model.downsample}"
        )
    for key, value, choices in (
        ("optim.trained", config.optim.trained, ("all", "orientation", "keypoints")),
        ("optim.schedule", config.optim.schedule, ("constant", "one_cycle")),
        ("loss.variant", config.loss.variant, ("paper", "released")),
        ("model.trunk", config.model.trunk, ("dilated", "pyramid")),
        ("model.orientation_network", config.model.orientation_network, ("dilated", "residual")),
    ):
        if value not in choices:
            raise ConfigError(f"{key}: expected {' or '.join(choices)}, got {value!r}")
    if config.model.trunk == "pyramid" and config.model.downsample not in PYRAMID_STRIDES:
        raise ConfigError(
            f"model.downsample: a pyramid has strides {', '.join(map(str, PYRAMID_STRIDES))}, got "
            f"{config.model.downsample}"
        )
    if config.optim.trained != "all" and config.model.orientation_channels == 0:
        raise ConfigError(
            f"optim.trained: {config.optim.trained!r} tells the orientation network from the rest, "
            "and model.orientation_channels = 0 leaves it out"
        )
    if a.context != 0 and not 1 <= a.context <= 10:
        raise ConfigError(f"data.augmentation.context: expected 0 or 1 to 10, got {a.context}")
    if a.context and not config.run.taught and config.optim.trained != "orientation":
        raise ConfigError(
            "data.augmentation.context: may cut keypoints off, which only a run with run.teacher "
            "or run.points can make sense of"
        )
    for key in ("teacher", "points"):
        if getattr(config.run, key) is not None and config.optim.trained == "orientation":
            raise ConfigError(f"run.{key}: teaches keypoints, and optim.trained is 'orientation'")
    if config.run.teacher is not None and config.run.points is not None:
        raise ConfigError("run.points: there is run.teacher, too; one of them can be right")
    if not config.data.train:
        raise ConfigError("data.train: expected at least one view store, got none")
