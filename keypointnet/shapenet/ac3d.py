"""Reader of AC3D meshes (.ac, and TORCS's .acc with triangle strips).

Convention: the file's own frame, +Y up. Normals in the file are ignored; so are lines. A child's
vertices are turned by its 3x3 matrix as row vectors (v M + loc), then placed in its parent, as the
simulators that use the format do.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from keypointnet.shapenet.materials import (
    GREY,
    MIN_ALPHA,
    EmptyModelError,
    ModelError,
    shrink_image,
)
from keypointnet.shapenet.polygons import triangulate_all
from keypointnet.shapenet.surfaces import UNTEXTURED, Soup

POLYGON, STRIP = 0, 4  # low half of SURF's flags; 1 and 2 are lines
FindTexture = Callable[[str], Image.Image | None]


@dataclass
class _Object:
    name: str = ""
    texture: str | None = None
    repeat: np.ndarray = field(default_factory=lambda: np.ones(2))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(2))
    matrix: np.ndarray = field(default_factory=lambda: np.eye(4))  # row vectors: v @ matrix
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))


@dataclass(frozen=True)
class _Surfaces:
    """S surfaces of an object: kinds, materials, counts (S,); refs (sum counts, 3): index, u, v."""

    kinds: np.ndarray
    materials: np.ndarray
    counts: np.ndarray
    refs: np.ndarray

    def triangles(self, outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of refs that form triangles (T, 3), and the surface of each (T,)."""
        start = np.cumsum(self.counts) - self.counts
        found, owner = [np.zeros((0, 3), int)], [np.zeros(0, int)]
        for count in np.unique(self.counts[self.counts >= 3]):
            chosen = np.flatnonzero((self.counts == count) & (self.kinds == POLYGON))
            rows = start[chosen, None] + np.arange(count)
            triangles = triangulate_all(outline[rows])
            found.append(np.take_along_axis(rows[:, None], triangles, axis=2).reshape(-1, 3))
            owner.append(np.repeat(chosen, count - 2))
        for surface in np.flatnonzero((self.kinds == STRIP) & (self.counts >= 3)):
            first = np.arange(self.counts[surface] - 2)
            odd = first % 2
            strip = np.stack([first, first + 1 + odd, first + 2 - odd], axis=1)
            found.append(start[surface] + strip)
            owner.append(np.full(len(strip), surface))
        order = np.argsort(np.concatenate(owner), kind="stable")
        return np.concatenate(found)[order], np.concatenate(owner)[order]


@dataclass
class _Faces:
    corners: list[np.ndarray] = field(default_factory=list)
    uv: list[np.ndarray] = field(default_factory=list)
    rgba: list[np.ndarray] = field(default_factory=list)
    texture: list[np.ndarray] = field(default_factory=list)


def read_ac3d(
    text: str, find_texture: FindTexture, drop: Callable[[str], bool] = lambda name: False
) -> Soup:
    """All faces of an AC3D file.

    Args:    text: the file.  find_texture: picture of a texture's name, or None.
             drop: True for the names of objects to leave out, with all that is below them.
    Returns: the soup, not normalised.
    Raises:  ModelError: not AC3D, cut short, or a number or index that is none.
             EmptyModelError: an empty file, or no faces.
    """
    if not text.strip():
        raise EmptyModelError("the file is empty")
    lines = iter(text.replace("\r", "").split("\n"))
    header = next(lines, "")
    if not header.startswith("AC3D"):
        raise ModelError("is no AC3D file (it does not begin with AC3D)")
    reader = _Reader(lines, find_texture, drop)
    try:
        reader.read_file()
    except StopIteration as error:
        raise ModelError("is cut short") from error
    except (ValueError, IndexError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"damaged near line {reader.line_number}: {error}") from error
    faces = reader.faces
    if not faces.corners:
        raise EmptyModelError("no faces")
    return Soup(
        np.concatenate(faces.corners),
        np.concatenate(faces.rgba),
        np.concatenate(faces.uv),
        np.concatenate(faces.texture),
        reader.images,
    )


class _Reader:
    def __init__(
        self, lines: Iterator[str], find_texture: FindTexture, drop: Callable[[str], bool]
    ) -> None:
        self._lines = lines
        self._find_texture = find_texture
        self._drop = drop
        self._materials: list[tuple[int, int, int, int]] = []
        self._texture_index: dict[str, int] = {}
        self.line_number = 1
        self.images: list[Image.Image] = []
        self.faces = _Faces()

    def read_file(self) -> None:
        for line in self._lines:
            self.line_number += 1
            word = line.split(None, 1)[0] if line.strip() else ""
            if word == "MATERIAL":
                self._materials.append(_material(line))
            elif word == "OBJECT":
                self._read_object(np.eye(4), dropped=False)

    def _next(self) -> str:
        """The next line that is not blank, trimmed."""
        while True:
            self.line_number += 1
            if line := next(self._lines).strip():
                return line

    def _read_object(self, T_parent2world: np.ndarray, dropped: bool) -> None:
        """An object up to and with its kids, which end it."""
        item = _Object()
        while True:
            word, _, rest = self._next().partition(" ")
            rest = rest.strip()
            if word == "name":
                item.name = rest.strip('"')
                dropped = dropped or self._drop(item.name)
            elif word == "data":
                self._skip_data(int(rest))
            elif word == "texture" and item.texture is None:
                name = shlex.split(rest.replace("\\", "/"))[0]
                item.texture = None if name in ("", "null", "empty_texture_no_mapping") else name
            elif word == "texrep":
                item.repeat = np.array(rest.split()[:2], np.float64)
            elif word == "texoff":
                item.offset = np.array(rest.split()[:2], np.float64)
            elif word == "rot":
                item.matrix[:3, :3] = np.array(rest.split()[:9], np.float64).reshape(3, 3)
            elif word == "loc":
                item.matrix[3, :3] = np.array(rest.split()[:3], np.float64)
            elif word == "numvert":
                rows = [self._next().split()[:3] for _ in range(int(rest))]
                item.points = np.array(rows, dtype=np.float64).reshape(-1, 3)
            elif word == "numsurf":
                surfaces = self._read_surfaces(int(rest))
                if not dropped and len(surfaces.refs):
                    self._add(item, item.matrix @ T_parent2world, surfaces)
            elif word == "kids":
                for _ in range(int(rest)):
                    if not self._find_object():
                        return  # fewer kids than announced: common in the wild, and harmless
                    self._read_object(item.matrix @ T_parent2world, dropped)
                return

    def _find_object(self) -> bool:
        try:
            while not self._next().startswith("OBJECT"):
                pass
        except StopIteration:
            return False
        return True

    def _skip_data(self, n_characters: int) -> None:
        read = 0
        while read < n_characters:
            self.line_number += 1
            read += len(next(self._lines)) + 1

    def _read_surfaces(self, n_surfaces: int) -> _Surfaces:
        kinds, materials, counts, rows = [], [], [], []
        for _ in range(n_surfaces):
            words = ["", "0"]
            material = 0
            while words[0] != "refs":
                words = self._next().split()
                if words[0] == "SURF":
                    kinds.append(int(words[1], 16) & 0xF)
                elif words[0] == "mat":
                    material = int(words[1])
            materials.append(material)
            counts.append(int(words[1]))
            rows += [self._next().split()[:3] for _ in range(counts[-1])]
        return _Surfaces(
            np.array(kinds, int),
            np.array(materials, int),
            np.array(counts, int),
            np.array(rows, np.float64).reshape(-1, 3),
        )

    def _add(self, item: _Object, T_item2world: np.ndarray, surfaces: _Surfaces) -> None:
        """Triangles of an object's surfaces, in their order."""
        points = item.points @ T_item2world[:3, :3] + T_item2world[3, :3]
        index = surfaces.refs[:, 0].astype(np.int64)
        if index.min() < 0 or index.max() >= len(points):
            raise ModelError(f"object {item.name}: a surface names a vertex that does not exist")
        outline = points[index]
        triangles, owner = surfaces.triangles(outline)
        if len(triangles) == 0:
            return
        uv = surfaces.refs[:, 1:3] * item.repeat + item.offset
        palette = np.array([*self._materials, GREY], np.uint8)
        rgba = palette[np.minimum(surfaces.materials[owner], len(palette) - 1)]
        self.faces.corners.append(outline[triangles])
        self.faces.uv.append(uv[triangles])
        self.faces.rgba.append(np.repeat(rgba[:, None], 3, axis=1))
        self.faces.texture.append(np.full(len(triangles), self._texture(item.texture)))

    def _texture(self, name: str | None) -> int:
        if name is None:
            return UNTEXTURED
        if name not in self._texture_index:
            image = self._find_texture(name)
            self._texture_index[name] = UNTEXTURED if image is None else len(self.images)
            if image is not None:
                self.images.append(shrink_image(image))
        return self._texture_index[name]


def _material(line: str) -> tuple[int, int, int, int]:
    """RGBA of: MATERIAL "name" rgb r g b … trans t."""
    words = shlex.split(line)
    at = words.index("rgb")
    red, green, blue = (float(word) for word in words[at + 1 : at + 4])
    opacity = 1.0 - float(words[words.index("trans") + 1]) if "trans" in words else 1.0
    rgba = np.clip(np.round(np.array([red, green, blue, opacity]) * 255), 0, 255)
    alpha = max(int(rgba[3]), MIN_ALPHA) if rgba[3] > 0 else 0
    return (int(rgba[0]), int(rgba[1]), int(rgba[2]), alpha)
