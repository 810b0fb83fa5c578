"""Training pairs: two views of one model, drawn so that every draw can be repeated.

Which pair stands at a position is a pure function of (seed, epoch, position): a killed run goes on
with exactly the pairs it would have seen, and several processes share an epoch without overlap.
In each epoch every model's views are matched into disjoint pairs anew.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from keypointnet.geometry import normalising_matrix
from keypointnet.views.stores import Store, open_store


class PairBatch(NamedTuple):
    """B pairs. Index 0 and 1 of the second dimension are the two views.

    rgba:        (B, 2, 4, h, w) float32 in [0, 1], premultiplied (the picture on black is rgb);
                 uint8 on its way from the loading processes, until `to`.
    T_world2cam: (B, 2, 4, 4) float32.   K: (B, 2, 3, 3) float32, of normalised coordinates.
    models:      B names.
    points:      (B, 2, N, 3) keypoints of the models that somebody has told, object frame: those of
                 the model as it is shown, and those of its mirror image; None where nobody has.
    """

    rgba: Tensor
    T_world2cam: Tensor
    K: Tensor
    models: list[str]
    points: Tensor | None = None

    def to(self, device: torch.device | str) -> PairBatch:
        """The batch on a device, with its pictures in float32.

        They travel as bytes, a quarter of the size, and are converted where they arrive.
        """
        rgba = self.rgba.to(device, non_blocking=True)
        if rgba.dtype == torch.uint8:
            rgba = rgba.float().div_(255)
        return self._replace(
            rgba=rgba,
            T_world2cam=self.T_world2cam.to(device, non_blocking=True),
            K=self.K.to(device, non_blocking=True),
            points=None if self.points is None else self.points.to(device, non_blocking=True),
        )


class PairKey(NamedTuple):
    """Which pair: a position of an epoch."""

    epoch: int
    position: int


@dataclass(frozen=True)
class ModelViews:
    """One model of one store."""

    store: Store
    model: str

    @property
    def name(self) -> str:
        """The store's folder and the model's id."""
        return f"{self.store.root.name}/{self.model}"


class PairDataset(Dataset[PairBatch]):
    """Pairs of views of the given models, indexed by the lists of keys of `PairSampler`.

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
        self.px_to_uv = normalising_matrix(self.size).numpy()
        counts = np.array([entry.store.n_views(entry.model) for entry in models])
        if counts.min() < 2:
            name = models[int(counts.argmin())].name
            raise ValueError(f"PairDataset: {name} has {counts.min()} views; a pair needs 2")
        # ends[i] is the number of pairs of models 0 .. i in an epoch.
        self.ends = np.cumsum(counts // 2).tolist()

    def __len__(self) -> int:
        """Pairs in an epoch."""
        return self.ends[-1]

    def pair_at(self, key: PairKey) -> tuple[int, int, int]:
        """(index of the model, first view, second view) of a key."""
        index = bisect.bisect_right(self.ends, key.position)
        rank = key.position - (self.ends[index - 1] if index else 0)
        entry = self.models[index]
        order = _view_order(self.seed, key.epoch, index, entry.store.n_views(entry.model))
        first, second = order[2 * rank], order[2 * rank + 1]
        return index, int(first), int(second)

    def __getitem__(self, keys: PairKey | Sequence[PairKey]) -> PairBatch:
        """The pairs of a key or a list of keys, as a batch; its pictures are uint8."""
        if isinstance(keys, PairKey):
            keys = [keys]
        shape = (len(keys), 2)
        # Filled in place: a pile of single pictures would cost a second copy of everything.
        rgba = np.empty((*shape, *self.size, 4), np.uint8)
        T_world2cam, K_px = np.empty((*shape, 4, 4)), np.empty((*shape, 3, 3))
        models = []
        for i, key in enumerate(keys):
            index, *views = self.pair_at(key)
            entry = self.models[index]
            for j, number in enumerate(views):
                view = entry.store.view(entry.model, number, out=rgba[i, j])
                T_world2cam[i, j], K_px[i, j] = view.T_world2cam, view.K_px
            models.append(entry.name)
        return PairBatch(
            rgba=torch.from_numpy(rgba).permute(0, 1, 4, 2, 3),
            T_world2cam=torch.from_numpy(T_world2cam.astype(np.float32)),
            K=torch.from_numpy((self.px_to_uv @ K_px).astype(np.float32)),
            models=models,
        )

    def collate(self, batches: Sequence[PairBatch]) -> PairBatch:
        """Joins batches into one, in float32."""
        rgba, T_world2cam, K, models, _ = zip(*batches, strict=True)
        joined = PairBatch(
            torch.cat(rgba), torch.cat(T_world2cam), torch.cat(K), list(itertools.chain(*models))
        )
        return joined.to("cpu")


@functools.lru_cache(maxsize=8192)
def _view_order(seed: int, epoch: int, index: int, n_views: int) -> np.ndarray:
    """In which order a model's views are matched. Kept: an epoch asks n_views / 2 times for it."""
    return np.random.default_rng([seed, epoch, index]).permutation(n_views).astype(np.int32)


class PairSampler:
    """Batches of keys for one process, from a given step on, without end.

    The epochs, each a seeded permutation, are laid end to end and cut into global batches; process
    `rank` takes its contiguous share of each, so no pair is seen twice in an epoch.

    Args:    n_pairs: pairs in an epoch.  batch_size: pairs of all processes together.
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
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                f"PairSampler: {batch_size} pairs a step cannot be shared by {world_size} processes"
            )
        self.n_pairs, self.batch_size, self.seed = n_pairs, batch_size, seed
        self.first_step, self.rank, self.share = first_step, rank, batch_size // world_size

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
                keys.append(PairKey(epoch, int(order[position])))
            yield keys


def choose_models(store: Store, subset: str) -> list[str]:
    """The models of one side of a store's split, with training variants on the training side.

    Args:    subset: "train", "test", "all", or "dev" where the split has such a side. Variants
             ("<id>@<k>") follow their model into "train" and are never tested on.
    Raises:  ValueError: unknown subset; no split in the store; a side without any rendered model;
             a test side that is not whole, as its figures would be of other models.
    """
    if subset == "all":
        return store.models
    if subset not in ("train", "dev", "test"):
        raise ValueError(f"subset: expected 'train', 'test', 'dev' or 'all', got {subset!r}")
    if store.split is None:
        raise ValueError(
            f"{store.root}: has no split.json, so there is no {subset!r} side; use subset 'all' "
            "or put one with the lists 'train' and 'test' there"
        )
    if subset not in store.split:
        raise ValueError(f"{store.root}: its split has no {subset!r} side")
    chosen = set(store.split[subset])
    if subset == "train":
        models = [model for model in store.models if model.split("@")[0] in chosen]
    else:
        models = [model for model in store.models if model in chosen]
    missing = sorted(chosen - set(models))
    if models and missing and subset != "train":
        raise ValueError(
            f"{store.root}: {len(missing)} of the {len(chosen)} models that its split holds out "
            f"are not rendered, such as {missing[0]}; render or fetch them, or take them out of "
            "the split"
        )
    if not models:
        raise ValueError(
            f"{store.root}: none of the {len(chosen)} models of its {subset!r} split is rendered"
        )
    return models


def check_models(
    train: Sequence[ModelViews], test: Sequence[ModelViews], depth_offset: float
) -> None:
    """Looks for what would spoil a run, before it starts: every test file's index is read.

    Raises: ValueError: a model is trained and tested on; one to test on has no pair; the cameras
            are far from depth_offset; training views on a background, without silhouettes.
            StorageError: a view file is damaged.
    """
    trained = {(entry.store.root.resolve(), entry.model) for entry in train}
    for entry in test:
        if (entry.store.root.resolve(), entry.model) in trained:
            raise ValueError(f"data.test: {entry.name} is trained on too; see data.train's subsets")
        n_views = entry.store.n_views(entry.model)
        if n_views < 2:
            raise ValueError(f"data.test: {entry.name} has {n_views} views; a pair needs 2")
    for store, entry in {entry.store.root: entry for entry in train}.items():
        distance = float(entry.store.cameras(entry.model)[0][:, 2, 3].mean())
        if entry.store.info.get("background") is not None:
            raise ValueError(
                f"{store}: was rendered with --background, which leaves no silhouettes to train "
                "with; render without, and see data.augmentation.background"
            )
        if not 0.5 * distance < depth_offset < 2 * distance:
            raise ValueError(
                f"{store}: its cameras are {distance:.2g} away, model.depth_offset is "
                f"{depth_offset:.3g}; set model.depth_offset={distance:.2g}"
            )


def open_models(path: str | Path, subset: str, size: tuple[int, int]) -> list[ModelViews]:
    """Opens a view store, or the published tfrecords, and picks one side of the split.

    Raises: ValueError: the store's pictures have another size than `size` (h, w).
    """
    store = open_store(path)
    if store.size != size:
        raise ValueError(
            f"{path}: its views are {store.size[0]}x{store.size[1]}, the configuration asks for "
            f"{size[0]}x{size[1]}; render again or set data.image_size"
        )
    return [ModelViews(store, model) for model in choose_models(store, subset)]
