"""Files of named tensors in groups, with metadata: safetensors, replaced atomically, not pickled.

A tensor of a group is stored as `<group>/<name>`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from keypointnet.listing import listed


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; the message names the file and the reason."""


def write_tensors(
    path: Path, groups: Mapping[str, Mapping[str, Tensor]], metadata: dict[str, str]
) -> None:
    """Writes a file beside its place, then moves it there.

    Raises: CheckpointError: it cannot be written (a full disk); the file that was there is intact.
    """
    tensors = {
        f"{group}/{name}": tensor.detach().contiguous().cpu()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    # One name for all: what a process killed while writing leaves, the next checkpoint replaces.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(safetensors.torch.save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        kept = "the previous checkpoint is intact" if path.exists() else "there is none before it"
        raise CheckpointError(f"{path}: cannot be written ({error.strerror}); {kept}") from error


def what_is_left(last: Path) -> str:
    """For a run that cannot go on: where its last checkpoint is, if there is one."""
    if last.exists():
        return f"The last checkpoint is intact: {last}"
    return "No checkpoint was written yet"


def read_tensors(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, str]]:
    """Group → name → tensor, and the metadata.

    Raises: CheckpointError: missing, cut short, or no safetensors.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            for full in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                group, _, name = full.partition("/")
                groups.setdefault(group, {})[name] = file.get_tensor(full)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: is no whole safetensors file ({error})") from error
    return groups, metadata


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float16, half the size; `load_weights` makes them float32 again.

    A tensor with values beyond 65,504, as a batch norm's running variance may have, stays as it is.
    """
    smaller: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        smaller[name] = tensor.half() if tensor.is_floating_point() else tensor
        if not torch.isfinite(smaller[name]).all():
            smaller[name] = tensor
    return smaller


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Fills a network, strictly. Raises CheckpointError naming what does not fit."""
    expected = model.state_dict()
    problems = [f"lacks {name}" for name in expected if name not in weights]
    for name, value in weights.items():
        if name not in expected:
            problems.append(f"has {name}, which the model lacks")
        elif value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)}, expected {tuple(expected[name].shape)}"
            problems.append(f"{name} has shape {shapes}")
    if problems:
        raise CheckpointError(f"{source}: does not fit the model: {listed(problems, 3, '; ')}")
    model.load_state_dict(dict(weights))
