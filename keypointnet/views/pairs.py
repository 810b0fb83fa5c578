"""Training pairs: two views of one model, drawn so that every draw can be repeated.

Which pair stands at a position is a pure function of (seed, epoch, position): a killed run goes on
with exactly the pairs it would have seen, and several processes share an epoch without overlap.
In each epoch every model's views are matched into disjoint pairs anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from keypointnet.geometry import normalise_intrinsics
from keypointnet.views.storage import ViewStore


class PairBatch(NamedTuple):
    """B pairs. Index 0 and 1 of the second dimension are the two views.

    rgba:        (B, 2, 4, h, w) float32 in [0, 1], premultiplied (the picture on black is rgb).
    T_world2cam: (B, 2, 4, 4) float32.   K: (B, 2, 3, 3) float32, of normalised coordinates.
    models:      B names.
    """

    rgba: Tensor
    T_world2cam: Tensor
    K: Tensor
    models: list[str]


class PairKey(NamedTuple):
    """Which pair: a position of an epoch, and how far its views may be apart."""

    epoch: int
    position: int
    max_angle_deg: float = 180.0


@dataclass(frozen=True)
class ModelViews:
    """One model of one store."""

    store: ViewStore
    model: str

    @property
    def name(self) -> str:
        """The store's folder and the model's id."""
        return f"{self.store.root.name}/{self.model}"


class PairDataset(Dataset[tuple[np.ndarray, np.ndarray, np.ndarray, str]]):
    """Pairs of views of the given models, indexed by the keys of `PairSampler`.

    Raises: ValueError: no models; a model with fewer than two views; stores of several sizes.
    """

    def __init__(self, models: Sequence[ModelViews], *, seed: int) -> None:
        if not models:
            raise ValueError("PairDataset: expected at least one model, got none")
        sizes = {entry.store.size for entry in models}
        if len(sizes) > 1:
            raise ValueError(f"PairDataset: the view stores differ in size: {sorted(sizes)}")
        self.models = list(models)
        self.seed = seed
        self.size = sizes.pop()
        counts = np.array([entry.store.n_views(entry.model) for entry in models])
        if counts.min() < 2:
            name = models[int(counts.argmin())].name
            raise ValueError(f"PairDataset: {name} has {counts.min()} views; a pair needs 2")
        # ends[i] is the number of pairs of models 0 .. i in an epoch.
        self.ends = np.cumsum(counts // 2)

    def __len__(self) -> int:
        """Pairs in an epoch."""
        return int(self.ends[-1])

    def pair_at(self, key: PairKey) -> tuple[int, int, int]:
        """(index of the model, first view, second view) of a key.

        Where the key bounds the angle, the second view is drawn among those within it, or is the
        nearest one; pairs are then no longer disjoint.
        """
        index = int(np.searchsorted(self.ends, key.position, side="right"))
        rank = key.position - (int(self.ends[index - 1]) if index else 0)
        entry = self.models[index]
        rng = np.random.default_rng([self.seed, key.epoch, index])
        order = rng.permutation(entry.store.n_views(entry.model))
        first, second = order[2 * rank], order[2 * rank + 1]
        if key.max_angle_deg < 180:
            R = entry.store.cameras(entry.model)[0][:, :3, :3]
            cos = (np.einsum("ij,vij->v", R[first], R) - 1) / 2
            cos[first] = -2
            near = np.flatnonzero(cos >= np.cos(np.deg2rad(key.max_angle_deg)))
            rng = np.random.default_rng([self.seed, key.epoch, index, rank])
            second = rng.choice(near) if len(near) else cos.argmax()
        return index, int(first), int(second)

    def __getitem__(self, key: PairKey) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        index, first, second = self.pair_at(key)
        entry = self.models[index]
        views = [entry.store.view(entry.model, i) for i in (first, second)]
        return (
            np.stack([view.rgba for view in views]),
            np.stack([view.T_world2cam for view in views]),
            np.stack([view.K_px for view in views]),
            entry.name,
        )

    def collate(self, items: list[tuple[np.ndarray, np.ndarray, np.ndarray, str]]) -> PairBatch:
        """Stacks items into a `PairBatch`."""
        rgba, T_world2cam, K_px, names = zip(*items, strict=True)
        return PairBatch(
            rgba=torch.from_numpy(np.stack(rgba)).permute(0, 1, 4, 2, 3).float().div_(255),
            T_world2cam=torch.from_numpy(np.stack(T_world2cam)).float(),
            K=normalise_intrinsics(torch.from_numpy(np.stack(K_px)), self.size).float(),
            models=list(names),
        )


class PairSampler:
    """Batches of keys for one process, from a given step on, without end.

    The epochs, each a seeded permutation, are laid end to end and cut into global batches; process
    `rank` takes its contiguous share of each, so no pair is seen twice in an epoch.

    Args:    n_pairs: pairs in an epoch.  batch_size: pairs of all processes together.
             max_angle_deg: how far the views of a pair may be apart, for each step.
    Raises:  ValueError: batch_size is no multiple of world_size.
    """

    def __init__(
        self,
        n_pairs: int,
        batch_size: int,
        *,
        seed: int,
        first_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
        max_angle_deg: Callable[[int], float] = lambda step: 180.0,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                f"PairSampler: {batch_size} pairs a step cannot be shared by {world_size} processes"
            )
        self.n_pairs, self.batch_size, self.seed = n_pairs, batch_size, seed
        self.first_step, self.rank, self.share = first_step, rank, batch_size // world_size
        self.max_angle_deg = max_angle_deg

    def __iter__(self) -> Iterator[list[PairKey]]:
        order, order_epoch = np.empty(0, dtype=np.int64), -1
        for step in itertools.count(self.first_step):
            start = step * self.batch_size + self.rank * self.share
            keys = []
            for i in range(start, start + self.share):
                epoch, position = divmod(i, self.n_pairs)
                if epoch != order_epoch:
                    rng = np.random.default_rng([self.seed, epoch])
                    order, order_epoch = rng.permutation(self.n_pairs), epoch
                keys.append(PairKey(epoch, int(order[position]), self.max_angle_deg(step)))
            yield keys


def choose_models(store: ViewStore, subset: str) -> list[str]:
    """The models of one side of a store's split, with training variants on the training side.

    Args:    subset: "train", "test" or "all". Variants ("<id>@<k>") follow their model into
             "train" and are never tested on.
    Raises:  ValueError: unknown subset; no split in the store; a side without any rendered model.
    """
    if subset == "all":
        return store.models
    if subset not in ("train", "test"):
        raise ValueError(f"subset: expected 'train', 'test' or 'all', got {subset!r}")
    if store.split is None:
        raise ValueError(
            f"{store.root}: has no split.json, so there is no {subset!r} side; use subset 'all' "
            "or put one with the lists 'train' and 'test' there"
        )
    chosen = set(store.split[subset])
    if subset == "train":
        models = [model for model in store.models if model.split("@")[0] in chosen]
    else:
        models = [model for model in store.models if model in chosen]
    if not models:
        raise ValueError(
            f"{store.root}: none of the {len(chosen)} models of its {subset!r} split is rendered"
        )
    return models


def open_models(path: str | Path, subset: str, size: tuple[int, int]) -> list[ModelViews]:
    """Opens a view store and picks one side of its split.

    Raises: ValueError: the store's pictures have another size than `size` (h, w).
    """
    store = ViewStore(Path(path))
    if store.size != size:
        raise ValueError(
            f"{path}: its views are {store.size[0]}x{store.size[1]}, the configuration asks for "
            f"{size[0]}x{size[1]}; render again or set data.image_size"
        )
    return [ModelViews(store, model) for model in choose_models(store, subset)]
