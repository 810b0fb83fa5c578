"""Where on a body something is: along which limb, how high, how near to the face.

Everything is measured on the mean body at rest, so that a sleeve ends at the same place of every
body. It is known at each vertex and, by interpolation, at each texel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keypointnet.people.bodies import PARTS, BodyLibrary
from keypointnet.shapes.person_points import PERSON_POINTS

FIELDS = ("x", "y", "z", "arm", "leg", "arms", "hands", "legs", "feet", "neck", "head")


@dataclass(frozen=True)
class Sites:
    """n places on a body.

    Attributes:
        values: (n, 11) float32, the columns FIELDS: x, y, z in the mean body, metres; arm and leg:
            how far down it, 0 at the shoulder or hip, 0.5 at the elbow or knee, 1 at the wrist or
            ankle; the others: what share of its movement comes from there, 0..1.
        parts: (n,) places among bodies.PARTS; all 0 for vertices.
    """

    values: np.ndarray
    parts: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self.values[:, FIELDS.index(name)])

    def __len__(self) -> int:
        return len(self.values)

    def some(self, chosen: np.ndarray) -> Sites:
        """Of the places, those of some indices."""
        return Sites(self.values[chosen], self.parts[chosen])


@dataclass(frozen=True)
class Anatomy:
    """The places of a library's surface.

    Attributes:
        vertices, texels: all of them, and all that are used.
        places: (n,) of the used ones among the texture's texels.
        points: name of a COCO joint, "lips", "left_pupil", "right_pupil" -> (3,) in the mean body.
    """

    vertices: Sites
    texels: Sites
    places: np.ndarray
    points: dict[str, np.ndarray]

    @cached_property
    def texels_of(self) -> tuple[np.ndarray, ...]:
        """The indices of the texels that are used of each of bodies.PARTS."""
        return tuple(np.flatnonzero(self.texels.parts == part) for part in range(len(PARTS)))

    @cached_property
    def texels_ahead(self) -> np.ndarray:
        """The indices of those that are on the front of the head."""
        front = self.texels["z"] < self.points["left_eye"][2] + 0.03
        return np.flatnonzero((self.texels["head"] > 0.5) & front)


def study(library: BodyLibrary) -> Anatomy:
    """The places of a library's surface; takes about a second."""
    mean = library.mean

    def moved_by(*beginnings: str) -> np.ndarray:
        chosen = [name.startswith(beginnings) for name in library.bones]
        return np.asarray(library.weights @ np.array(chosen, np.float64))

    hands = moved_by("wrist", "finger", "metacarpal")
    feet = moved_by("foot", "toe")
    heads = library.mean_heads
    values = np.stack(
        [
            *mean.T,
            _along(mean, heads, ("upperarm01", "lowerarm01", "wrist")),
            _along(mean, heads, ("upperleg01", "lowerleg01", "foot")),
            moved_by("upperarm", "lowerarm") + hands,
            hands,
            moved_by("upperleg", "lowerleg") + feet,
            feet,
            moved_by("neck"),
            moved_by("head", "eye"),
        ],
        axis=1,
    ).astype(np.float32)
    points = dict(zip(PERSON_POINTS.names, library.joints @ mean, strict=True))
    for side, letter in (("left", "L"), ("right", "R")):
        eye = mean[library.faces[library.face_parts == PARTS.index(f"eye_front.{letter}")].ravel()]
        points[f"{side}_pupil"] = eye[np.argmin(eye[:, 2])]
    inside = library.face_parts == PARTS.index("mouth_cavity")
    rim = np.intersect1d(library.faces[inside], library.faces[library.face_parts == 0])
    points["lips"] = mean[rim].mean(axis=0)
    corners = library.faces[library.texel_faces]
    shares = library.texel_shares
    texels = sum(values[corners[:, k]] * shares[:, k, None] for k in range(3))
    return Anatomy(
        Sites(values, np.zeros(len(values), np.uint8)),
        Sites(np.asarray(texels, np.float32), library.face_parts[library.texel_faces]),
        library.texels,
        points,
    )


def _along(
    points: np.ndarray, heads: dict[str, np.ndarray], joints: tuple[str, str, str]
) -> np.ndarray:
    """(n,) how far down the limb of its side each point is, for points anywhere."""
    result = np.empty(len(points))
    for letter, side in (("L", points[:, 0] < 0), ("R", points[:, 0] >= 0)):
        first, middle, last = (heads[f"{name}.{letter}"] for name in joints)
        upper = (points[side] - first) @ (middle - first) / np.sum((middle - first) ** 2)
        lower = (points[side] - middle) @ (last - middle) / np.sum((last - middle) ** 2)
        result[side] = np.where(lower > 0, 0.5 + 0.5 * lower, 0.5 * np.minimum(upper, 1.0))
    return result
