"""A model as a tree of parts: names, surfaces or points, extents, what they are made of.

Convention: the object frame of `keypointnet.shapenet.models`: +Y up, X from side to side, the
longest side 2. A part's own faces or points are those that none of its children has; everything
that a part is asked for (bounds, area, ...) counts its children in, and is found once: change a
tree before it is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from keypointnet.shapenet.surfaces import point_ids

_EMPTY: tuple[int, int] = (0, 3)
_GENERIC = re.compile(
    "component|default|entity|face|geom|geometry|group|id|instance|item|mat|material|mesh|model"
    "|node|none|null|obj|object|other|part|piece|polygon|polysurface|root|scene|shape|solid"
    "|submesh|surface|unlabelled|unnamed|untitled"
)
"""Words that exporters put where nobody gave a name."""


@dataclass(eq=False)
class Part:
    """A node of a part tree.

    vertices:    (V, 3) float64, its own: the corners of faces, or the points of a cloud.
    faces:       (F, 3) int64 into vertices; none for a cloud.
    children:    the parts that it is made of.
    material:    names of materials, or "" where nothing says.
    mass_kg:     where metadata say.
    cm_per_unit: the real size of one unit of the object frame, where metadata say.
    notes:       what a reader of the tree should know, one sentence each.
    """

    name: str
    vertices: np.ndarray = field(default_factory=lambda: np.zeros(_EMPTY))
    faces: np.ndarray = field(default_factory=lambda: np.zeros(_EMPTY, np.int64))
    children: list[Part] = field(default_factory=list)
    material: str = ""
    mass_kg: float | None = None
    cm_per_unit: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def named(self) -> bool:
        """Whether the name says what it is ("leg", not "component 3" or "Mesh12")."""
        return bool(name_words(self.name))

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Part]]:
        """This part and all below it, parents first, with their depths."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def leaves(self) -> list[Part]:
        """The parts without children, in the tree's order; itself if it has none."""
        return [part for _, part in self.walk() if not part.children]

    @cached_property
    def surface(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) and faces (F, 3) of the part with its children."""
        parts = [part for _, part in self.walk() if len(part.vertices)]
        if not parts:
            return np.zeros(_EMPTY), np.zeros(_EMPTY, np.int64)
        starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
        faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
        return np.concatenate([part.vertices for part in parts]), np.concatenate(faces)

    @cached_property
    def bounds(self) -> np.ndarray:
        """(2, 3): lowest and highest coordinates.

        Raises:  ValueError: the part has no vertex.
        """
        vertices = self.surface[0]
        if not len(vertices):
            raise ValueError(f"Part {self.name!r} has neither faces nor points")
        return np.stack([vertices.min(axis=0), vertices.max(axis=0)])

    @property
    def extents(self) -> np.ndarray:
        """(3,): sides of the bounding box."""
        return np.asarray(self.bounds[1] - self.bounds[0])

    @cached_property
    def moments(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Mass, centroid (3,) and covariance (3, 3) of its surface, or of its points.

        Faces weigh by area, exactly (not by their corners alone); of a cloud each point weighs 1.
        Faces without area weigh the same.
        """
        vertices, faces = self.surface
        if not len(vertices):
            raise ValueError(f"Part {self.name!r} has neither faces nor points")
        if not len(faces):
            centred = vertices - vertices.mean(axis=0)
            count = len(vertices)
            return float(count), vertices.mean(axis=0), centred.T @ centred / count
        corners = vertices[faces]
        area = face_areas(corners)
        weight = area if area.sum() > 0 else np.full(len(area), 1e-12)
        total = float(weight.sum())
        middle = corners.mean(axis=1)
        centroid = weight @ middle / total
        offset = corners - centroid
        # E[xxᵀ] over a triangle = (Σ corners' xxᵀ + 9 · middle middleᵀ) / 12
        away = offset.mean(axis=1)
        second = np.einsum("f,fki,fkj->ij", weight, offset, offset)
        second += 9 * np.einsum("f,fi,fj->ij", weight, away, away)
        return total, centroid, second / (12 * total)

    @property
    def centroid(self) -> np.ndarray:
        """(3,): middle of its surface, weighted by area, or of its points."""
        return self.moments[1]

    @cached_property
    def area(self) -> float | None:
        """Of its faces, square units; None for a cloud."""
        vertices, faces = self.surface
        return float(face_areas(vertices[faces]).sum()) if len(faces) else None

    @cached_property
    def volume(self) -> float | None:
        """Enclosed, cubic units; None unless every edge is shared by two faces, wound alike.

        Pieces that overlap count twice.
        """
        vertices, faces = self.surface
        if not len(faces):
            return None
        corners = vertices[faces]
        ids = point_ids(corners)
        edges = np.concatenate([ids[:, [0, 1]], ids[:, [1, 2]], ids[:, [2, 0]]])
        forward, count = np.unique(edges, axis=0, return_counts=True)
        backward = np.unique(edges[:, ::-1], axis=0)
        if (count != 1).any() or not np.array_equal(forward, backward):
            return None
        a, b, c = np.moveaxis(corners - self.bounds.mean(axis=0), 1, 0)
        return abs(float(np.einsum("fi,fi->", a, np.cross(b, c)))) / 6


def face_areas(corners: np.ndarray) -> np.ndarray:
    """Areas of triangles. corners: (F, 3, 3). Returns: (F,)."""
    edges = corners[:, 1:] - corners[:, :1]
    return np.asarray(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2)


def part_of_corners(name: str, corners: np.ndarray, **attributes: Any) -> Part:
    """A part of faces whose equal corners become one vertex.

    Args:    corners: (F, 3, 3), in the object frame.  attributes: further ones of Part.
    """
    if not len(corners):
        return Part(name, **attributes)
    ids = point_ids(corners)
    _, first, faces = np.unique(ids, return_index=True, return_inverse=True)
    return Part(
        name, corners.reshape(-1, 3)[first], faces.reshape(-1, 3).astype(np.int64), **attributes
    )


def name_words(name: str) -> list[str]:
    """The telling words of a name, in the singular: "Chair_Legs.012" -> ["chair", "leg"].

    Numbers, and what exporters write where there is no name (mesh, group, object, ...), tell
    nothing.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.findall(r"[^\W\d_]+", spaced.lower())
    telling = [singular(word) for word in words if len(word) > 1]
    return [word for word in telling if not _GENERIC.fullmatch(word)]


def singular(word: str) -> str:
    """An English noun in the singular, by its ending alone: "legs" -> "leg", "buses" -> "bus"."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "uses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def tree_lines(root: Part, most: int = 24) -> list[str]:
    """The tree as text, a line for each part: name, extents, and what else is known.

    Args:    most: children shown of one part, those first that it lists first; a line tells how
             many more there are.
    """
    lines = [_line(root)]
    _add_children(lines, root, "", most)
    return lines


def _add_children(lines: list[str], part: Part, indent: str, most: int) -> None:
    shown = part.children if len(part.children) <= most else part.children[:most]
    hidden = len(part.children) - len(shown)
    for number, child in enumerate(shown):
        last = number == len(shown) - 1 and not hidden
        lines.append(f"{indent}{'└─ ' if last else '├─ '}{_line(child)}")
        _add_children(lines, child, indent + ("   " if last else "│  "), most)
    if hidden:
        lines.append(f"{indent}└─ and {hidden} more")


def _line(part: Part) -> str:
    words = [f"{part.name}:"]
    if not len(part.surface[0]):
        return f"{part.name}: empty"
    words.append(_sides(part.extents, 3))
    if part.cm_per_unit is not None:
        words.append(f"({_sides(part.extents * part.cm_per_unit, 1)} cm)")
    if not len(part.surface[1]):
        words.append(f"{len(part.surface[0])} points")
    if part.mass_kg is not None:
        words.append(f"{part.mass_kg:.3g} kg")
    if part.material:
        words.append(part.material)
    return " ".join(words)


def _sides(extents: np.ndarray, digits: int) -> str:
    return " x ".join(f"{side:.{digits}f}" for side in extents)


def tree_json(part: Part) -> dict[str, Any]:
    """The tree for a JSON file: lengths in units of the object frame, and in cm where known."""
    value: dict[str, Any] = {"name": part.name, "named": part.named}
    if len(part.surface[0]):
        value["bounds"] = _rounded(part.bounds)
        value["extents"] = _rounded(part.extents)
        value["centroid"] = _rounded(part.centroid)
    if part.cm_per_unit is not None and len(part.surface[0]):
        value["extents_cm"] = _rounded(part.extents * part.cm_per_unit, 3)
    value |= {"n_vertices": len(part.surface[0]), "n_faces": len(part.surface[1])}
    for key in ("area", "volume", "mass_kg"):
        number = getattr(part, key)
        if number is not None:
            value[key] = round(number, 9)
    if part.material:
        value["material"] = part.material
    if part.notes:
        value["notes"] = list(part.notes)
    if part.children:
        value["children"] = [tree_json(child) for child in part.children]
    return value


def _rounded(values: np.ndarray, digits: int = 6) -> list[Any]:
    return list(np.round(values, digits).tolist())


def sorted_by_area(parts: Sequence[Part]) -> list[Part]:
    """The parts with the largest first; of mirror images, that with the lower coordinates."""
    return sorted(
        parts, key=lambda part: (-round(part.area or 0.0, 4), *part.centroid.round(4).tolist())
    )
