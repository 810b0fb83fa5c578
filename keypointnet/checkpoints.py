"""Checkpoints: one file of tensors holds a whole state, so replacing it is atomic.

Its groups are "model", "ema" and "optimizer"; its metadata has the format, the step, the
configuration as YAML and the metrics as JSON. A file for inference only has no optimiser.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from keypointnet.config import ConfigError, TrainConfig, load_config_text, to_yaml
from keypointnet.model import KeypointNet
from keypointnet.tensor_files import (
    CheckpointError,
    halved,
    load_weights,
    read_tensors,
    write_tensors,
)

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "build_model",
    "export_weights",
    "load_model",
    "load_optimizer",
    "load_weights",
    "optimizer_tensors",
    "read_checkpoint",
    "save_checkpoint",
    "trained_model",
]

FORMAT = "keypointnet-1"


@dataclass
class Checkpoint:
    """What a checkpoint file says.

    groups: "model", and where present "ema" and "optimizer" → name → tensor.
    """

    path: Path
    step: int
    config: TrainConfig
    metrics: dict[str, Any]
    groups: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights to predict with: the averaged ones where there are any."""
        return self.groups.get("ema") or self.groups["model"]


def build_model(config: TrainConfig, *, pretrained: bool = False) -> KeypointNet:
    """A fresh network of the configuration."""
    c = config.model
    return KeypointNet(
        c.num_keypoints,
        channels=c.channels,
        orientation_channels=c.orientation_channels,
        orientation_network=c.orientation_network,
        orientation_mirrored=c.orientation_mirrored,
        orientation_downsample=c.orientation_downsample,
        depth_offset=c.depth_offset,
        downsample=c.downsample,
        bn_momentum=c.bn_momentum,
        trunk=c.trunk,
        pretrained=pretrained,
    )


def save_checkpoint(
    path: Path,
    groups: dict[str, dict[str, Tensor]],
    *,
    step: int,
    config: TrainConfig,
    metrics: dict[str, Any] | None = None,
) -> None:
    """Writes a checkpoint beside its place, then moves it there.

    Raises: CheckpointError: it cannot be written (a full disk); the file that was there is intact.
    """
    metadata = {
        "format": FORMAT,
        "step": str(step),
        "config": to_yaml(config),
        "metrics": json.dumps(metrics or {}),
    }
    write_tensors(path, groups, metadata)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint file.

    Raises: CheckpointError: missing, cut short, no safetensors, or of another format.
    """
    path = Path(path)
    groups, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or not groups.keys() & {"model", "ema"}:
        raise CheckpointError(
            f"{path}: expected a checkpoint of format {FORMAT!r}, got {metadata.get('format')!r}"
        )
    try:
        config = load_config_text(metadata["config"], str(path))
    except ConfigError as error:
        raise CheckpointError(f"{error}: it is of another version of kp2seg") from error
    return Checkpoint(
        path=path,
        step=int(metadata["step"]),
        config=config,
        metrics=json.loads(metadata["metrics"]),
        groups=groups,
    )


def load_model(path: str | Path, device: str | torch.device = "cpu") -> KeypointNet:
    """The network of a checkpoint, with its averaged weights if it has them, ready to predict.

    Returns: in evaluation mode, float32, channels_last.
    Raises:  CheckpointError: see `read_checkpoint`; or its tensors do not fit its configuration.
    """
    return trained_model(read_checkpoint(path), device)


def trained_model(checkpoint: Checkpoint, device: str | torch.device = "cpu") -> KeypointNet:
    """`load_model` of a checkpoint that has been read."""
    model = build_model(checkpoint.config)
    load_weights(model, checkpoint.weights, checkpoint.path)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval()


def export_weights(path: str | Path, out: Path, *, half: bool) -> None:
    """Writes the weights to predict with, without the optimiser.

    Args: half: store float16, half the size; they are float32 again when loaded.
    """
    checkpoint = read_checkpoint(path)
    weights = checkpoint.weights
    save_checkpoint(
        out,
        {"model": halved(weights) if half else weights},
        step=checkpoint.step,
        config=checkpoint.config,
        metrics=checkpoint.metrics,
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state by parameter name."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, Tensor]
) -> None:
    """Puts the state back that `optimizer_tensors` gave."""
    for name, parameter in model.named_parameters():
        prefix = f"{name}/"
        state = {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix) and "/" not in key.removeprefix(prefix)
        }
        if state:
            optimizer.state[parameter] = {
                # Adam counts its steps on the CPU, whatever device the weights are on. The rest has
                # the weights' memory order, or the next update would round in another order.
                key: value if key == "step" else torch.empty_like(parameter).copy_(value)
                for key, value in state.items()
            }
