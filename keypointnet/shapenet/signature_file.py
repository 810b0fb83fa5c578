"""Signatures of a collection of any size, in a file that vanishes with the program."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from types import TracebackType

import numpy as np

STEPS = 65535
"""In [-1, 1]: a coordinate is kept to 0.00002, a spacing of points is some 0.015."""


class SignatureFile(Mapping[str, np.ndarray]):
    """Signatures by id, 49 kB each on the disk and none in memory.

    The file is in the folder for temporary ones, which TMPDIR names.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="signatures-")  # noqa: SIM115
        self._places: dict[str, tuple[int, int]] = {}

    def add(self, name: str, points: np.ndarray) -> None:
        """Keep (n, 3) points of [-1, 1]. Raises: ValueError: an id twice, or points outside."""
        if name in self._places:
            raise ValueError(f"SignatureFile.add: {name} is there already")
        if np.abs(points).max() > 1 + 1e-4:
            raise ValueError(
                f"SignatureFile.add: {name}: expected points in [-1, 1], found "
                f"{np.abs(points).max():.3g}; bring the model into the object frame first"
            )
        steps = np.round((np.clip(points, -1, 1) + 1) * (STEPS / 2)).astype(np.uint16)
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(steps.tobytes())
        self._places[name] = start, steps.nbytes

    def __getitem__(self, name: str) -> np.ndarray:
        start, size = self._places[name]
        self._file.seek(start)
        steps = np.frombuffer(self._file.read(size), np.uint16).reshape(-1, 3)
        return steps.astype(np.float32) * np.float32(2 / STEPS) - 1

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> SignatureFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
