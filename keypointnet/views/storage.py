"""View stores: a folder with one file for each model, any view of which is read by itself.

ROOT/store.json          what the store is: version, picture size, how the views were rendered
ROOT/split.json          optional: {"train": [model id, ...], "test": [...]}, and "dev" if wanted
ROOT/<model id>.zip      the views of one model; an id like "03001627/1a6f..." makes a subfolder

view_files.py says what is in a file. A store keeps the files it used last open.

Size: a 128x128 view of a real chair takes 4.7 kB on average, with its share of the index 5.1 kB, so
7,000 models of 200 views take 7 GB.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import resource
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.listing import listed
from keypointnet.views.view_files import (
    StorageError,
    ViewFile,
    decode,
    is_whole,
    view_file,
    write_model_views,
)

__all__ = [
    "FORMAT_VERSION",
    "StorageError",
    "View",
    "ViewStore",
    "is_whole",
    "read_json",
    "read_split",
    "read_store_info",
    "stored_models",
    "view_file",
    "write_model_views",
]

FORMAT_VERSION = 1
# A store's share of the files this process may have open; every training process has a few stores.
_FILE_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
_OPEN_FILES = 512 if _FILE_LIMIT == resource.RLIM_INFINITY else min(512, _FILE_LIMIT // 4)


@dataclass(frozen=True)
class View:
    """One picture of a model and the camera that took it.

    Attributes:
        rgba: (h, w, 4) uint8, premultiplied: over a background b, rgb + (1 - alpha / 255) b.
        T_world2cam: (4, 4) float64, OpenCV camera.
        K_px: (3, 3) float64, pixel centres at +0.5.
    """

    rgba: np.ndarray
    T_world2cam: np.ndarray
    K_px: np.ndarray


class ViewStore:
    """Reads a store. Cheap to make and to pickle; safe across fork, spawn and threads.

    Attributes:
        root: the store's folder.
        info: the contents of store.json; empty without one.
        models: ids, sorted.
        size: (h, w) px of every picture.
        split: {"train": ids, "test": ids} where the store has a split.json, else None.
    """

    def __init__(self, root: Path) -> None:
        """Look into a folder.

        Raises:  StorageError: no such folder, no view files in it, or a JSON that is broken.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise StorageError(f"{self.root}: no such folder; tools/render_views.py makes one")
        self.info: dict[str, Any] = read_store_info(self.root) or {}
        self.models: list[str] = stored_models(self.root)
        if not self.models:
            raise StorageError(f"{self.root}: no view files; tools/render_views.py makes them")
        self.split: dict[str, list[str]] | None = read_split(self.root)
        self._open_files: OrderedDict[str, ViewFile] = OrderedDict()
        if "size" in self.info:
            height, width = self.info["size"]  # checked by read_store_info
        else:
            file = self._file(self.models[0])
            height, width = decode(file.read(0), file.path, 0).shape[:2]
        self.size: tuple[int, int] = (int(height), int(width))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open_files": OrderedDict()}

    def n_views(self, model_id: str) -> int:
        """How many views a model has.

        Raises:  StorageError: the file is missing, truncated or damaged.
        """
        return len(self._file(model_id).index)

    def cameras(self, model_id: str) -> tuple[np.ndarray, np.ndarray]:
        """A model's cameras, without reading its pictures.

        Returns: T_world2cam (V, 4, 4) and K_px (V, 3, 3), float64.
        Raises:  StorageError: the file is missing, truncated or damaged.
        """
        index = self._file(model_id).index
        return index["T"].copy(), index["K"].copy()

    def view(self, model_id: str, index: int, out: np.ndarray | None = None) -> View:
        """One view, without reading the others.

        Args:    out: (h, w, 4) uint8, contiguous: where to put the picture; a new array without.
        Raises:  StorageError: the file is missing, truncated or damaged, or the picture is not of
                 the store's size.  IndexError: no such view.
        """
        file = self._file_with(model_id, index)
        rgba = decode(file.read(index), file.path, index, out)
        if rgba.shape[:2] != self.size:
            raise StorageError(
                f"{view_file(self.root, model_id)}: view {index} is {rgba.shape[:2]}, the store "
                f"{self.size} (h, w)"
            )
        assert out is None or out.shape == rgba.shape, "view: out has another size than the store"
        row = file.index[index]
        return View(rgba, row["T"].copy(), row["K"].copy())

    def png(self, model_id: str, index: int) -> bytes:
        """The bytes of one view's PNG, checked.

        Raises:  as `view`.
        """
        return self._file_with(model_id, index).read(index)

    def _file_with(self, model_id: str, index: int) -> ViewFile:
        file = self._file(model_id)
        if not 0 <= index < len(file.index):
            raise IndexError(f"{file.path}: view {index} of {len(file.index)}")
        return file

    def _file(self, model_id: str) -> ViewFile:
        # Without a lock: a file pushed out while a thread still reads it closes with its last user.
        file = self._open_files.get(model_id)
        if file is None:
            file = self._open_files[model_id] = ViewFile(view_file(self.root, model_id))
            while len(self._open_files) > _OPEN_FILES:
                with contextlib.suppress(KeyError):
                    self._open_files.popitem(last=False)
        else:
            with contextlib.suppress(KeyError):
                self._open_files.move_to_end(model_id)
        return file


def stored_models(root: Path) -> list[str]:
    """Ids of the models that have a view file, sorted."""
    return sorted(
        path.relative_to(root).as_posix()[: -len(".zip")] for path in Path(root).rglob("*.zip")
    )


def read_store_info(root: Path) -> dict[str, Any] | None:
    """The contents of store.json, or None without one.

    Raises:  StorageError: it is no JSON object, of a version this code does not read, or has a
             size that is none.
    """
    path = Path(root) / "store.json"
    info = read_json(path)
    if info is None:
        return None
    if not isinstance(info, dict):
        raise StorageError(f"{path}: expected a JSON object, got a {type(info).__name__}")
    if info.get("version") != FORMAT_VERSION:
        raise StorageError(
            f"{path}: version {info.get('version')}, this code reads {FORMAT_VERSION}"
        )
    size = info.get("size", [1, 1])
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) for n in size)):
        raise StorageError(f"{path}: size: expected [h, w] in pixels, got {size!r}")
    return info


def read_split(root: Path) -> dict[str, list[str]] | None:
    """The contents of split.json, or None without one.

    Raises:  StorageError: it is not two lists of ids (three with "dev"), or a model is in two.
    """
    path = Path(root) / "split.json"
    split = read_json(path)
    if split is None:
        return None
    sides = ["train", "test", *(["dev"] if isinstance(split, dict) and "dev" in split else [])]
    lists = [split.get(side) if isinstance(split, dict) else None for side in sides]
    if not all(
        isinstance(ids, list) and all(isinstance(model_id, str) for model_id in ids)
        for ids in lists
    ):
        raise StorageError(f'{path}: expected {{"train": [id, ...], "test": [id, ...]}}')
    for one, other in itertools.combinations(sides, 2):
        both = sorted(set(split[one]) & set(split[other]))
        if both:
            raise StorageError(f"{path}: in {one!r} and in {other!r}: {listed(both, 5)}")
    return dict(split)


def read_json(path: Path) -> Any:
    """The contents of a JSON file, or None if there is none.

    Raises:  StorageError: it is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StorageError(f"{path}: not a JSON file ({error})") from None
