"""Which models of a collection lie otherwise than the rest: up axes and quarter turns.

A model is compared with the collection's most typical ones in each of the 24 ways that a box can
lie on the axes, by the mean distance between the surfaces, both ways. Lengths are those of the
object frame, longest side 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

CELLS, HALF_SIDE = 40, 1.1
CAP = 0.4
POINTS = 300
TYPICAL = 25
"""Models that the others are compared with."""
NEIGHBOURS = 5
"""Of these, the ones that fit best count: a collection holds sofas beside stools."""
MIN_MODELS = 5
"""In fewer nobody can say which of them lies right."""
MAX_RATIO, MIN_GAIN = 0.62, 0.02
"""A turn fits much better that leaves so much of the distance, and takes so much off it."""


@dataclass(frozen=True)
class Turned:
    """A model that lies otherwise.

    matrix:   (3, 3) rotation that would lay it as the others lie.
    distance, turned_distance: mean distance to the most typical models that fit best, as it is
              and after that rotation.
    """

    matrix: np.ndarray
    distance: float
    turned_distance: float

    def __str__(self) -> str:
        vector = Rotation.from_matrix(self.matrix).as_rotvec(degrees=True)
        angle = float(np.linalg.norm(vector))
        axis = vector / angle
        k = int(np.argmax(np.abs(axis)))
        name = f"{'-' if axis[k] < 0 else ''}{'xyz'[k]}"
        if abs(axis[k]) < 0.99:
            name = "(" + " ".join(f"{value:.2f}" for value in axis) + ")"
        return (
            f"turned by {angle:.0f} degrees about {name} it would be {self.turned_distance:.3f} "
            f"from the models most like it, not {self.distance:.3f}"
        )


def find_turned(signatures: Mapping[str, np.ndarray]) -> dict[str, Turned]:
    """Models of a collection that a turn of the axes would fit to the others much better.

    Args:    signatures: id → (n, 3) surface points of models in the object frame, in random order
             (`splits.shape_signature`).
    Returns: by id; empty for fewer than MIN_MODELS models.
    """
    if len(signatures) < MIN_MODELS:
        return {}
    shapes = {name: _Shape(points) for name, points in signatures.items()}
    names = sorted(shapes)
    # Typical is what is near to the others as they lie; columns enough to say so.
    columns = names[:: max(len(names) // 100, 1)]
    near = np.array([[_distance(shapes[a], shapes[b]) for b in columns] for a in names])
    typical = [names[k] for k in np.argsort(np.median(near, axis=1), kind="stable")[:TYPICAL]]
    turned = {}
    for name in names:
        others = [shapes[other] for other in typical if other != name]
        distances = np.array(
            [[_distance(shapes[name], other, turn) for other in others] for turn in AXIS_TURNS]
        )
        count = min(NEIGHBOURS, len(others))
        best = np.sort(distances, axis=1)[:, :count].mean(axis=1)
        k = int(np.argmin(best))
        if best[k] < MAX_RATIO * best[0] and best[0] - best[k] > MIN_GAIN:
            turned[name] = Turned(AXIS_TURNS[k], float(best[0]), float(best[k]))
    return turned


def _axis_turns() -> np.ndarray:
    """The 24 rotations that take the axes to axes, the identity first."""
    group = Rotation.create_group("O").as_matrix().round()
    return np.asarray(group[np.argsort(-np.trace(group, axis1=1, axis2=2), kind="stable")])


AXIS_TURNS = _axis_turns()


class _Shape:
    """A few points of a surface, and how far from it the cells of a grid are."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points[:POINTS].astype(np.float32)
        empty = np.ones((CELLS,) * 3, dtype=bool)
        empty[tuple(_cells(points).T)] = False
        field = ndimage.distance_transform_edt(empty) * (2 * HALF_SIDE / CELLS)
        self.field = np.minimum(field, CAP).astype(np.float16)


def _cells(points: np.ndarray) -> np.ndarray:
    cells = ((points + HALF_SIDE) * (CELLS / (2 * HALF_SIDE))).astype(np.int64)
    return np.clip(cells, 0, CELLS - 1)


def _distance(first: _Shape, second: _Shape, turn: np.ndarray | None = None) -> float:
    """Mean distance both ways, the first turned."""
    there, back = first.points, second.points
    if turn is not None:
        there, back = there @ turn.T.astype(np.float32), back @ turn.astype(np.float32)
    a, b = _cells(there).T, _cells(back).T
    near = second.field[a[0], a[1], a[2]].mean(dtype=np.float64)
    return float(near + first.field[b[0], b[1], b[2]].mean(dtype=np.float64)) / 2
