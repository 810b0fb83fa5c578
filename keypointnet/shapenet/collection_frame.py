"""Which models of a class lie otherwise than the rest: up axes and quarter turns.

A model is compared with the class's most typical ones in each of the 24 ways that a box can
lie on the axes, by the mean distance between the surfaces, both ways. Lengths are those of the
object frame, longest side 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from keypointnet.progress import Watch, unwatched

CELLS, HALF_SIDE = 40, 1.1
CAP = 0.4
POINTS = 300
REFERENCES = 100
"""Of more models so many, spread over the ids, say which are typical, and only theirs are held."""
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


def find_turned(
    signatures: Mapping[str, np.ndarray],
    ids: Iterable[str] | None = None,
    watch: Watch = unwatched,
) -> dict[str, Turned]:
    """Models of a class that a turn of the axes would fit to the others much better.

    Args:    signatures: id → (n, 3) surface points of models in the object frame, in random order
             (`near_duplicates.shape_signature`); may read each when it is asked for.
             ids: of the class; all of them by default.  watch: shows progress.
    Returns: by id; empty for fewer than MIN_MODELS models.
    """
    names = sorted(signatures if ids is None else ids)
    if len(names) < MIN_MODELS:
        return {}
    references = names[:: -(-len(names) // REFERENCES)]
    shapes = {name: _Shape(signatures[name]) for name in references}
    # Typical is what is near to the others as they lie.
    near = [[_distances(a, b, 1)[0] for b in shapes.values()] for a in shapes.values()]
    order = np.argsort(np.median(near, axis=1), kind="stable")[:TYPICAL]
    typical = {references[k]: shapes[references[k]] for k in order.tolist()}
    turned = {}
    for name in watch(names, "orientation"):
        shape = shapes[name] if name in shapes else _Shape(signatures[name])
        others = [other for key, other in typical.items() if key != name]
        distances = np.stack([_distances(shape, other) for other in others], axis=1)
        best = np.sort(distances, axis=1)[:, :NEIGHBOURS].mean(axis=1)
        k = int(np.argmin(best))
        if best[k] < MAX_RATIO * best[0] and best[0] - best[k] > MIN_GAIN:
            turned[name] = Turned(AXIS_TURNS[k], float(best[0]), float(best[k]))
    return turned


def _axis_turns() -> np.ndarray:
    """The 24 rotations that take the axes to axes, the identity first."""
    group = Rotation.create_group("O").as_matrix().round()
    return np.asarray(group[np.argsort(-np.trace(group, axis1=1, axis2=2), kind="stable")])


AXIS_TURNS = _axis_turns()
BACK = [int(np.argmin(np.abs(AXIS_TURNS - turn.T).sum(axis=(1, 2)))) for turn in AXIS_TURNS]
"""Which of AXIS_TURNS undoes each of them."""


class _Shape:
    """A few points of a surface, turned in every way, and how far from it a grid's cells are."""

    def __init__(self, points: np.ndarray) -> None:
        turned = np.einsum("tij,pj->tpi", AXIS_TURNS, points[:POINTS], optimize=True)
        self.turned_cells = _cells(turned)
        empty = np.ones(CELLS**3, dtype=bool)
        empty[_cells(points)] = False
        field = ndimage.distance_transform_edt(empty.reshape((CELLS,) * 3))
        self.field = np.minimum(field * (2 * HALF_SIDE / CELLS), CAP).astype(np.float32).ravel()


def _cells(points: np.ndarray) -> np.ndarray:
    """Numbers of the cells that (..., 3) points lie in."""
    cells = ((points + HALF_SIDE) * (CELLS / (2 * HALF_SIDE))).astype(np.int32)
    x, y, z = np.moveaxis(np.clip(cells, 0, CELLS - 1), -1, 0)
    return np.asarray((x * CELLS + y) * CELLS + z)


def _distances(first: _Shape, second: _Shape, count: int = len(AXIS_TURNS)) -> np.ndarray:
    """Mean distance both ways, the first turned by each of the first `count` AXIS_TURNS."""
    there = second.field[first.turned_cells[:count]].mean(axis=1, dtype=np.float64)
    back = first.field[second.turned_cells[BACK[:count]]].mean(axis=1, dtype=np.float64)
    return np.asarray(there + back) / 2
