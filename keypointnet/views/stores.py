"""What pairs are drawn from: a view store, or the published tfrecords as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keypointnet.views.published_records import PublishedStore, is_published
from keypointnet.views.storage import View, ViewStore


class Store(Protocol):
    """The reading side of `storage.ViewStore`; see there."""

    root: Path
    info: dict[str, Any]
    models: list[str]
    size: tuple[int, int]
    split: dict[str, list[str]] | None

    def n_views(self, model_id: str) -> int:
        """How many views a model has."""

    def cameras(self, model_id: str) -> tuple[np.ndarray, np.ndarray]:
        """T_world2cam (V, 4, 4) and K_px (V, 3, 3) of a model's views."""

    def view(self, model_id: str, index: int, out: np.ndarray | None = None) -> View:
        """One view."""


def open_store(path: str | Path) -> Store:
    """Opens a view store, or a folder of published tfrecords.

    Raises:  StorageError: neither of them, or one that cannot be used.
    """
    folder = Path(path)
    return PublishedStore(folder) if is_published(folder) else ViewStore(folder)
