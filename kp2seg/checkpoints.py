"""Checkpoints of masks' models: one safetensors file, replaced atomically, nothing pickled.

Groups: "model", and in a training run "ema" and "optimizer"; metadata: format, step, the
configuration as YAML, metrics as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from keypointnet.tensor_files import CheckpointError, halved, read_tensors, write_tensors

FORMAT = "kp2seg-1"


@dataclass(frozen=True)
class SegCheckpoint:
    """What a checkpoint file says. groups: "model", perhaps "ema", "optimizer"."""

    path: Path
    step: int
    config: str
    metrics: dict[str, Any]
    groups: dict[str, dict[str, Tensor]] = field(repr=False)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights to predict with: the averaged ones where there are any."""
        return self.groups.get("ema") or self.groups["model"]


def save_seg_checkpoint(
    path: str | Path,
    groups: Mapping[str, Mapping[str, Tensor]],
    *,
    step: int,
    config: str,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Writes a checkpoint beside its place, then moves it there.

    Raises: CheckpointError: it cannot be written; the file that was there is intact.
    """
    metadata = {
        "format": FORMAT,
        "step": str(step),
        "config": config,
        "metrics": json.dumps(dict(metrics or {})),
    }
    write_tensors(Path(path), groups, metadata)


def read_seg_checkpoint(path: str | Path) -> SegCheckpoint:
    """Reads a checkpoint file.

    Raises: CheckpointError: missing, cut short, no safetensors, or of another format.
    """
    path = Path(path)
    try:
        groups, metadata = read_tensors(path)
    except CheckpointError as error:
        if path.suffix in (".pkl", ".pth", ".pt") and path.exists():
            raise CheckpointError(f"{error}; turn it into one: tools/convert_weights.py") from error
        raise
    if metadata.get("format") != FORMAT or not groups.keys() & {"model", "ema"}:
        hint = ""
        if str(metadata.get("format", "")).startswith("keypointnet"):
            hint = "; it is a KeypointNet, which finds keypoints and makes no masks"
        raise CheckpointError(
            f"{path}: expected a checkpoint of format {FORMAT!r}, got "
            f"{metadata.get('format')!r}{hint}"
        )
    try:
        return SegCheckpoint(
            path=path,
            step=int(metadata["step"]),
            config=metadata["config"],
            metrics=json.loads(metadata["metrics"]),
            groups=groups,
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata are broken ({error!r})") from error


def export_seg_weights(path: str | Path, out: Path, *, half: bool) -> None:
    """Writes the weights to predict with, without the optimiser.

    Args:    half: store float16, half the size; they are float32 again when loaded.
    Raises:  CheckpointError: of `read_seg_checkpoint` and `save_seg_checkpoint`.
    """
    checkpoint = read_seg_checkpoint(path)
    weights = checkpoint.weights
    save_seg_checkpoint(
        out,
        {"model": halved(weights) if half else weights},
        step=checkpoint.step,
        config=checkpoint.config,
        metrics=checkpoint.metrics,
    )
