"""One model's views in one file: how it is laid out, written and read.

The file is an ordinary zip without compression, so every tool opens it. Its members, in this order
and with nothing between them:
    cameras.npy          a structured array, one row for each view: T (4, 4) float64 world to
                         camera, K (3, 3) float64 pixels (centres at +0.5), and where the view's
                         PNG lies in the file: offset, size (bytes), crc (zip's CRC-32)
    000.png, 001.png ... RGBA, 8 bits, on transparent black: RGB is premultiplied, alpha = coverage
A reader needs one read for the index and one for each view, none of them through the zip
directory. Every read is checked: the zip's end record must end the file, the index and each view
must match their CRCs. A file appears under its name only when it is whole (temporary file, then
os.replace).
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from keypointnet.files import write_whole

_INDEX_NAME = b"cameras.npy"
_RECORD = np.dtype(
    [
        ("T", "<f8", (4, 4)),
        ("K", "<f8", (3, 3)),
        ("offset", "<u4"),
        ("size", "<u4"),
        ("crc", "<u4"),
    ]
)
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_END_RECORD = struct.Struct("<4s4H2IH")
# Shaded renderings are flat areas: without row filters they are both smaller and faster to decode.
_PNG_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 6),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
]


class StorageError(ValueError):
    """A view file or store that cannot be used; the message names the file and the reason."""


def view_file(root: Path, model_id: str) -> Path:
    """Where a model's views lie in a store.

    Raises:  StorageError: the id would leave the store's folder.
    """
    parts = model_id.split("/")
    if "" in parts or "." in parts or ".." in parts or "\\" in model_id or "\0" in model_id:
        raise StorageError(f"model id {model_id!r} is not a relative path such as 'chair/0001'")
    return Path(root, model_id + ".zip")


def is_whole(root: Path, model_id: str) -> bool:
    """Whether a model's view file is there, up to its end and with its index. Cheap: the pictures
    are not read.
    """
    path = view_file(root, model_id)
    try:
        ViewFile(path)
    except StorageError:
        return False
    return True


def write_model_views(
    root: Path,
    model_id: str,
    rgba: Sequence[np.ndarray],
    T_world2cam: np.ndarray,
    K_px: np.ndarray,
) -> None:
    """Write one model's views, replacing an earlier file only when the new one is whole.

    Args:    root: of the store.  rgba: V pictures (h, w, 4) uint8, premultiplied.
             T_world2cam: (V, 4, 4).  K_px: (V, 3, 3), or (3, 3) for all.
    Raises:  StorageError: the id leaves the folder.  ValueError: wrong shapes or types.
             OSError: a full disk, and the like; nothing is left behind.
    """
    n = len(rgba)
    T_world2cam = np.asarray(T_world2cam, dtype=np.float64)
    K_px = np.asarray(K_px, dtype=np.float64)
    if n == 0 or T_world2cam.shape != (n, 4, 4) or K_px.shape not in ((3, 3), (n, 3, 3)):
        raise ValueError(
            f"write_model_views: {n} pictures need as many cameras (and at least one), "
            f"got T_world2cam {T_world2cam.shape} and K_px {K_px.shape}"
        )
    for number, picture in enumerate(rgba):
        if picture.dtype != np.uint8 or picture.shape != (*rgba[0].shape[:2], 4):
            raise ValueError(
                f"write_model_views: picture {number} is {picture.dtype} {picture.shape}; all "
                f"must be uint8 (h, w, 4) of one size"
            )
    members = [(b"%03d.png" % i, _encode(picture)) for i, picture in enumerate(rgba)]

    index = np.zeros(n, _RECORD)
    index["T"], index["K"] = T_world2cam, K_px
    npy = _npy_header(n)
    offset = _LOCAL_HEADER.size + len(_INDEX_NAME) + len(npy) + index.nbytes
    for row, (name, data) in zip(index, members, strict=True):
        offset += _LOCAL_HEADER.size + len(name)
        row["offset"], row["size"], row["crc"] = offset, len(data), zlib.crc32(data)
        offset += len(data)
    write_whole(view_file(root, model_id), _zip([(_INDEX_NAME, npy + index.tobytes()), *members]))


class ViewFile:
    """An open view file and its index. Closes when nothing refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from None
        self.index = self._read_index(os.fstat(self._descriptor).st_size)
        self._where = [self.index[name] for name in ("offset", "size", "crc")]

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self, index: int) -> bytes:
        """The bytes of a view's PNG."""
        offset, size, crc = (int(column[index]) for column in self._where)
        assert self._descriptor is not None
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size or zlib.crc32(data) != crc:
            raise StorageError(f"{self.path}: view {index} is damaged; delete it and render again")
        return data

    def _read_index(self, file_size: int) -> np.ndarray:
        assert self._descriptor is not None
        end = os.pread(self._descriptor, _END_RECORD.size, max(0, file_size - _END_RECORD.size))
        if len(end) == _END_RECORD.size:
            fields = _END_RECORD.unpack(end)
            whole = fields[0] == b"PK\5\6" and sum(fields[5:7]) + _END_RECORD.size == file_size
        if len(end) != _END_RECORD.size or not whole:
            raise StorageError(
                f"{self.path}: truncated or not a view file ({file_size} bytes, without the end "
                "record of a zip); render again"
            )
        head_size = _LOCAL_HEADER.size + len(_INDEX_NAME)
        head = os.pread(self._descriptor, head_size, 0)
        n = rest = 0
        if head[_LOCAL_HEADER.size :] == _INDEX_NAME:
            fields = _LOCAL_HEADER.unpack(head[: _LOCAL_HEADER.size])
            crc, size = fields[6], fields[7]
            n, rest = divmod(size - len(_npy_header(1)), _RECORD.itemsize)
        if rest or n < 1:
            raise StorageError(f"{self.path}: not a view file (its first member is no index)")
        data = os.pread(self._descriptor, size, head_size)
        if zlib.crc32(data) != crc or not data.startswith(_npy_header(n)):
            raise StorageError(f"{self.path}: its index is damaged; render again")
        return np.frombuffer(data, _RECORD, offset=len(_npy_header(n)))


def _encode(rgba: np.ndarray) -> bytes:
    bgra = cv2.cvtColor(np.ascontiguousarray(rgba), cv2.COLOR_RGBA2BGRA)
    done, data = cv2.imencode(".png", bgra, _PNG_OPTIONS)
    assert done
    return data.tobytes()


def decode(png: bytes, path: Path, index: int, out: np.ndarray | None = None) -> np.ndarray:
    """A view's picture, (h, w, 4) uint8 RGBA.

    Args:    png: its bytes.  path, index: where they are from, for the message.
             out: contiguous uint8, filled and returned if the picture has its shape.
    Raises:  StorageError: no RGBA PNG.
    """
    bgra = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4 or bgra.dtype != np.uint8:
        raise StorageError(f"{path}: view {index} is no RGBA PNG")
    dst = out if out is not None and out.shape == bgra.shape else None
    return np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA, dst=dst))


@functools.cache
def _npy_header(n: int) -> bytes:
    """The header of a .npy file of n records, as numpy's format version 1.0 lays it out."""
    text = f"{{'descr': {_RECORD.descr!r}, 'fortran_order': False, 'shape': ({n},), }}"
    text = text.ljust(64 * -(-(10 + len(text) + 8) // 64) - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


def _zip(members: list[tuple[bytes, bytes]]) -> bytes:
    """An uncompressed zip archive, dated 1980 so that equal views give equal bytes."""
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name, data in members:
        common = struct.pack(
            "<4H3I2H", 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0
        )
        parts += [b"PK\3\4" + struct.pack("<H", 20) + common, name, data]
        directory += [
            b"PK\1\2" + struct.pack("<2H", 20, 20) + common,
            struct.pack("<3H2I", 0, 0, 0, 0, offset),
            name,
        ]
        offset += sum(map(len, parts[-3:]))
    size = sum(map(len, directory))
    end = _END_RECORD.pack(b"PK\5\6", 0, 0, len(members), len(members), size, offset, 0)
    return b"".join([*parts, *directory, end])
