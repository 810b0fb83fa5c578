"""Pictures in batches: the order of training is a function of the seed and the step alone."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

Record = dict[str, Any]
Mapper = Callable[[Record], Record]


@dataclass(frozen=True)
class TrainingBatches:
    """Indices of the pictures of each training step, without end.

    Every epoch is a permutation of its own, drawn from (seed, epoch); a batch may reach from one
    epoch into the next.

    Args:    size: how many pictures.  batch: pictures of a step, of all processes together.
             first_step: to begin with.  rank, world_size: of this process.
    Raises:  ValueError: no pictures; a batch that the processes cannot share evenly.
    """

    size: int
    batch: int
    seed: int = 0
    first_step: int = 0
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("TrainingBatches: expected at least one picture, got none")
        if self.batch < 1 or self.batch % self.world_size:
            raise ValueError(
                f"data.pictures_per_step: expected a multiple of the {self.world_size} processes, "
                f"got {self.batch}"
            )

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Lists of (index, epoch)."""
        share = self.batch // self.world_size
        position = self.first_step * self.batch + self.rank * share
        order, of_epoch = np.empty(0, np.int64), -1
        while True:
            keys = []
            for place in range(position, position + share):
                epoch, number = divmod(place, self.size)
                if epoch != of_epoch:
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
                    of_epoch = epoch
                keys.append((int(order[number]), epoch))
            yield keys
            position += self.batch


class PackedRecords(Sequence[Record]):
    """Standard dicts as bytes: every process that loads has a copy, and polygons are large."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._packed = [pickle.dumps(record) for record in records]

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, index: Any) -> Any:
        return pickle.loads(self._packed[index])


class MappedPictures(Dataset[Record]):
    """Standard dicts through a mapper, by index or by (index, epoch)."""

    def __init__(self, records: Sequence[Record], mapper: Mapper) -> None:
        self.records = records if isinstance(records, PackedRecords) else PackedRecords(records)
        self.mapper = mapper

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: int | tuple[int, int]) -> Record:
        if isinstance(key, tuple):
            return self.mapper({**self.records[key[0]], "epoch": key[1]})
        return self.mapper(self.records[key])


def load_pictures(
    records: Sequence[Record], mapper: Mapper, batches: Iterable[list[Any]], *, workers: int = 0
) -> Iterable[list[Record]]:
    """Mapped pictures in batches of given keys of `MappedPictures`.

    Args:    workers: processes that read pictures; what they give does not depend on their number.
    """
    loader: DataLoader[Any] = DataLoader(
        MappedPictures(records, mapper),
        batch_sampler=batches,  # any iterable will do
        collate_fn=list,
        num_workers=workers,
        # A process forked after the parent computed in threads may hang.
        multiprocessing_context="spawn" if workers else None,
    )
    return loader
