"""The published KeypointNet data: folders of tfrecords, read as a view store is.

A record is a pair: `img0`, `img1` (PNG), `mv0`, `mv1` (object to OpenGL camera, 16 floats, row by
row) and their inverses `mvi0`, `mvi1`. Views 2i and 2i + 1 of a model are its pair i.

Source: names and layout read from the released code of Suwajanakorn et al. 2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keypointnet.views.published_layout import (
    models_of,
    read_jobs,
    read_projection,
    read_sides,
    record_files,
    uneven_files,
)
from keypointnet.views.storage import View
from keypointnet.views.tfrecords import RecordFile
from keypointnet.views.view_files import StorageError

KINDS = {
    **{f"img{i}": "byte" for i in (0, 1)},
    **{f"mv{i}": "float" for i in (0, 1)},
    **{f"mvi{i}": "float" for i in (0, 1)},
}
OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes: x right, y up, looking along −z → x right, y down, looking along z."""
_TOLERANCE = 1e-3  # the matrices were written with 6 decimals and are used in float32


class PublishedStore:
    """A folder of published tfrecords with the reading side of a `storage.ViewStore`.

    Every record is checked against its checksums when it is read. Cheap to pickle; safe across
    fork, spawn and threads.

    Attributes:
        root: the folder.
        info: empty, as of a store without store.json.
        models: ids, sorted: job.txt's, else the tfrecords' names (see `models_of`).
        size: (h, w) px of the pictures.
        split: {"train": ids, "dev": ids, "test": ids} of the lists beside the tfrecords; None
               without any. Of a listed tfrecord that is not there, job.txt's ids or its name
               stand in it.
        K_px: (3, 3), of every view; from projection.txt.
        broken: name of a tfrecord → why it cannot be used; empty unless they are left out.
    """

    def __init__(self, root: Path, *, leave_out_broken: bool = False) -> None:
        """Look into a folder: every length in its tfrecords is read and checked.

        Args:    leave_out_broken: name tfrecords that are cut short or foreign in `broken` instead
                 of raising for the first.
        Raises:  StorageError: no such folder, no tfrecords, one cut short or foreign, no record
                 with a picture, or a text file beside them that cannot be used; each is named.
        """
        self.root = Path(root)
        self.info: dict[str, Any] = {}
        self.files: dict[str, RecordFile] = {}
        self.broken: dict[str, str] = {}
        found = _found(self.root)
        for name, path in found.items():
            try:
                self.files[name] = RecordFile(path)
            except StorageError as error:
                if not leave_out_broken:
                    raise
                self.broken[name] = str(error)
        if not self.files:
            raise StorageError(next(iter(self.broken.values())))
        counts = {name: len(self.files[name]) if name in self.files else 0 for name in found}
        jobs = read_jobs(self.root, counts)
        self._places = self._shared_out(jobs, leave_out_broken)
        self.models: list[str] = sorted(self._places)
        self.split = self._split(read_sides(self.root, list(found)), jobs or {})
        self.size: tuple[int, int] = self._first_size(leave_out_broken)
        self.K_px = read_projection(self.root, self.size)

    def n_views(self, model_id: str) -> int:
        """How many views a model has. Raises: StorageError: there is no such model."""
        return 2 * self._place(model_id)[2]

    def cameras(self, model_id: str) -> tuple[np.ndarray, np.ndarray]:
        """A model's cameras. Its records are read for them, and checked.

        Returns: T_world2cam (V, 4, 4) and K_px (V, 3, 3), float64.
        Raises:  StorageError: a record is damaged or foreign.
        """
        file, first, n_pairs = self._place(model_id)
        kinds = {key: kind for key, kind in KINDS.items() if key.startswith("mv")}
        T_world2cam = []
        for record in range(first, first + n_pairs):
            features = file.read(record, kinds)
            T_world2cam += [camera(features, side, file, record) for side in (0, 1)]
        return np.stack(T_world2cam), np.tile(self.K_px, (2 * n_pairs, 1, 1))

    def view(self, model_id: str, index: int, out: np.ndarray | None = None) -> View:
        """One view, without reading the others but its partner.

        Args:    out: (h, w, 4) uint8: where to put the picture; a new array without.
        Raises:  StorageError: its record is damaged or foreign, or the picture is not of the
                 store's size.  IndexError: no such view.
        """
        file, first, n_pairs = self._place(model_id)
        if not 0 <= index < 2 * n_pairs:
            raise IndexError(f"{file.path}: view {index} of {2 * n_pairs} of {model_id}")
        record, side = first + index // 2, index % 2
        rgba, T_world2cam = read_view(file, record, side)
        if rgba.shape[:2] != self.size:
            raise StorageError(
                f"{file.path}: record {record}: img{side} is {rgba.shape[:2]}, the first picture "
                f"of the folder {self.size} (h, w)"
            )
        if out is not None:
            out[...] = rgba
            rgba = out
        return View(rgba, T_world2cam, self.K_px.copy())

    def _shared_out(
        self, jobs: dict[str, list[str]] | None, leave_out_broken: bool
    ) -> dict[str, tuple[str, int, int]]:
        """Model → its tfrecord, first pair and number of pairs."""
        uneven = uneven_files(jobs, {name: len(file) for name, file in self.files.items()})
        places: dict[str, tuple[str, int, int]] = {}
        for name, file in list(self.files.items()):
            try:
                if name in uneven:
                    raise StorageError(uneven[name])
                models = models_of(jobs, name, len(file))
            except StorageError as error:
                why = f"{self.root}/{error}"
                if not leave_out_broken:
                    raise StorageError(why) from None
                self.broken[name] = why
                del self.files[name]
                continue
            places |= {model: (name, *pairs) for model, pairs in models.items()}
        if not places:
            raise StorageError(next(iter(self.broken.values())))
        return places

    def _first_size(self, leave_out_broken: bool) -> tuple[int, int]:
        """(h, w) of the first model's first picture, or of the next model's if that is broken."""
        why: StorageError | None = None
        for name, first, _ in self._places.values():
            try:
                picture, _ = read_view(self.files[name], first, 0)
            except StorageError as error:
                why = why or error
                if not leave_out_broken:
                    break
            else:
                return picture.shape[0], picture.shape[1]
        assert why is not None
        raise why

    def _place(self, model_id: str) -> tuple[RecordFile, int, int]:
        if model_id not in self._places:
            raise StorageError(f"{self.root}: has no model {model_id}")
        name, first, n_pairs = self._places[model_id]
        return self.files[name], first, n_pairs

    def _split(
        self, sides: dict[str, list[str]] | None, jobs: dict[str, list[str]]
    ) -> dict[str, list[str]] | None:
        if sides is None:
            return None
        ids: dict[str, list[str]] = {}
        for model, (name, _, _) in self._places.items():
            ids.setdefault(name, []).append(model)
        return {
            side: sorted(
                model for name in names for model in ids.get(name) or jobs.get(name) or [name]
            )
            for side, names in sides.items()
        }


def is_published(folder: Path) -> bool:
    """Whether a folder has tfrecords, and is no view store."""
    return bool(record_files(Path(folder))) and not (Path(folder) / "store.json").exists()


def read_view(file: RecordFile, record: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A view of a record.

    Args:    side: 0 or 1.
    Returns: (h, w, 4) uint8 RGBA, premultiplied; T_world2cam (4, 4) float64, OpenCV's camera.
    Raises:  StorageError: the record is damaged or foreign.
    """
    features = file.read(record, KINDS)
    rgba = _decode(features[f"img{side}"], f"{file.path}: record {record}: img{side}")
    return premultiplied(rgba), camera(features, side, file, record)


def camera(features: dict[str, Any], side: int, file: RecordFile, record: int) -> np.ndarray:
    """T_world2cam (4, 4) float64 of a view, from the matrices of its record.

    Raises:  StorageError: not 16 numbers, no rigid motion, or `mvi` is not the inverse of `mv`.
    """
    where = f"{file.path}: record {record}: "
    matrices = []
    for key in (f"mv{side}", f"mvi{side}"):
        values = features[key]
        if values.shape != (16,) or not np.isfinite(values).all():
            raise StorageError(f"{where}{key}: expected 16 finite numbers, got {values.size}")
        matrices.append(values.astype(np.float64).reshape(4, 4))
    T_world2gl, inverse = matrices
    R = T_world2gl[:3, :3]
    rigid = np.abs(R @ R.T - np.eye(3)).max() < _TOLERANCE and np.linalg.det(R) > 0
    if not rigid or np.abs(T_world2gl[3] - [0, 0, 0, 1]).max() > _TOLERANCE:
        raise StorageError(f"{where}mv{side} is no rigid motion, written row by row")
    if np.abs(T_world2gl @ inverse - np.eye(4)).max() > _TOLERANCE:
        raise StorageError(f"{where}mvi{side} is not the inverse of mv{side}")
    return np.asarray(OPENGL_TO_OPENCV @ T_world2gl)


def premultiplied(rgba: np.ndarray) -> np.ndarray:
    """A picture with its colours multiplied by alpha, as `View.rgba` is.

    PNG's colours are not multiplied, and Blender, which made the published views, writes them so.
    A picture in which no colour exceeds its alpha may be multiplied already, as in a view store's
    PNG, and is left as it is.

    Args, returns: (h, w, 4) uint8.
    """
    alpha = rgba[..., 3:]
    if (rgba[..., :3] <= alpha).all():
        return rgba
    rgb = (rgba[..., :3].astype(np.uint16) * alpha + 127) // 255
    return np.concatenate([rgb.astype(np.uint8), alpha], axis=-1)


def _decode(png: bytes, where: str) -> np.ndarray:
    data = np.frombuffer(png, np.uint8) if isinstance(png, bytes) else np.empty(0, np.uint8)
    bgra = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4 or bgra.dtype != np.uint8:
        raise StorageError(f"{where} is no RGBA PNG of 8 bits")
    return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA))


def _found(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise StorageError(f"{folder}: no such folder")
    files = record_files(folder)
    if not files:
        raise StorageError(f"{folder}: no .tfrecord files in it")
    return files
