"""What a store of views is to hold, and what of it is left to render.

All that is random about a model derives from (seed, its id): shards, workers and restarts give
equal bytes. The rendering itself is done by workers.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keypointnet.files import write_json
from keypointnet.views.cameras import CameraRange
from keypointnet.views.sources import ModelSource
from keypointnet.views.storage import (
    FORMAT_VERSION,
    StorageError,
    is_whole,
    read_store_info,
)


@dataclass(frozen=True)
class RenderSettings:
    """What all views of a store have in common; written to its store.json.

    Attributes:
        size: (h, w) px.
        views: of each model.
        seed: of everything random.
        cameras: what cameras are drawn.
        lights: "paper" (the same for every view) or "random" (others for each).
        background: None for transparent; else RGB 0..255, and the pictures are opaque.
        supersample: samples along each axis of a pixel.
        variation: strength of the changes in variants, see variation.vary_model.
    """

    size: tuple[int, int] = (128, 128)
    views: int = 200
    seed: int = 0
    cameras: CameraRange = field(default_factory=CameraRange)
    lights: Literal["paper", "random"] = "paper"
    background: tuple[int, int, int] | None = None
    supersample: int = 2
    variation: float = 1.0

    def info(self) -> dict[str, Any]:
        """The contents of store.json."""
        values = asdict(self)
        values["size"] = list(self.size)
        values["background"] = None if self.background is None else list(self.background)
        values["cameras"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values["cameras"].items()
        }
        return {"version": FORMAT_VERSION, **values}


@dataclass(frozen=True)
class RenderJob:
    """One model to load, and which of its variants to render: 0 is the model itself."""

    source: ModelSource
    variants: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """The ids of its view files."""
        return [variant_id(self.source.id, k) for k in self.variants]

    def without(self, n: int) -> RenderJob | None:
        """What is left of it after the first n variants; None where nothing is."""
        rest = self.variants[n:]
        return RenderJob(self.source, rest) if rest else None


def variant_id(model_id: str, variant: int) -> str:
    """The id of a variant: the model's own for 0, "<id>@<k>" for k from 1."""
    return f"{model_id}@{variant}" if variant else model_id


def model_rng(seed: int, model_id: str, purpose: str) -> np.random.Generator:
    """A generator that depends on its arguments only, on every machine."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{model_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def prepare_store(out: Path, settings: RenderSettings) -> None:
    """Make the folder and its store.json, or check that an existing one was made the same way.

    Raises:  StorageError: it was made with other settings (each named), or is of another version.
    """
    keep_settings(out / "store.json", settings.info(), read_store_info(out))


def keep_settings(path: Path, wanted: dict[str, Any], present: dict[str, Any] | None) -> None:
    """Write the settings of a folder, or check that it was made with the same.

    Args:    path: of the JSON in it.  present: what that holds, None without one.
    Raises:  StorageError: they differ (each is named).
    """
    if present is None:
        write_json(path, wanted)
        return
    there = _flat(present)
    different = [
        f"{name}: {there.get(name)!r} there, {value!r} asked for"
        for name, value in _flat(wanted).items()
        if there.get(name) != value
    ]
    if different:
        raise StorageError(
            f"{path.parent} was rendered with other settings ({'; '.join(different)}); "
            "use the same, or another folder"
        )


def plan_jobs(
    sources: list[ModelSource],
    out: Path,
    variants: int = 0,
    shard: tuple[int, int] = (0, 1),
    limit: int | None = None,
) -> tuple[list[RenderJob], int]:
    """What is left to do.

    Args:    sources: all models.  variants: of each model, besides itself.  shard: (i, n), takes
             every n-th model from the i-th on.  limit: at most so many models, before sharding.
    Returns: jobs, and how many view files are there already, whole.
    Raises:  ValueError: i is not in 0 .. n - 1, or a number is negative.
    """
    index, n = shard
    if not 0 <= index < n:
        raise ValueError(f"shard {index}/{n}: expected i/n with i from 0 to n - 1")
    if variants < 0 or (limit is not None and limit < 0):
        raise ValueError(f"variants and limit must be >= 0, got {variants} and {limit}")
    jobs, present = [], 0
    for source in sources[:limit][index::n]:
        missing = tuple(
            k for k in range(variants + 1) if not is_whole(out, variant_id(source.id, k))
        )
        present += variants + 1 - len(missing)
        if missing:
            jobs.append(RenderJob(source, missing))
    return jobs, present


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
