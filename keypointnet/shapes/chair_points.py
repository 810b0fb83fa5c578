"""Twelve points that every kind of chair has, as far as it has the part that they belong to.

They are found on the finished mesh by its part labels, before anything is rendered: each is the
vertex of its part that lies farthest towards a corner, so it lies on the surface, and a warped
chair has its points where the warp took them.
"""

from __future__ import annotations

import numpy as np

from keypointnet.shapenet.models import Model
from keypointnet.shapes.object_points import PointSet, farthest

_SIDES = {"left": -1.0, "right": 1.0}

# Name without its side: the part, and the way to the corner (x: towards the side; front is -z).
_CORNERS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "seat_front": ("seat", (1.0, 0.3, -1.0)),
    "seat_rear": ("seat", (1.0, 0.3, 1.0)),
    "back_top": ("back", (1.0, 1.0, 0.0)),
    "arm_front": ("arms", (0.2, 1.0, -1.0)),
    "front_foot": ("front legs", (1.0, -1.0, -1.0)),
    "rear_foot": ("rear legs", (1.0, -1.0, 1.0)),
}
_LOW = 0.3
"""Feet are sought in this lowest share of the front and of the rear legs, which need not stand on
one level: a chair that leans back has its front feet in the air."""

CHAIR_POINTS = PointSet(
    names=tuple(f"{side}_{corner}" for corner in _CORNERS for side in _SIDES),
    connections=(
        ("left_seat_front", "right_seat_front"),
        ("left_seat_rear", "right_seat_rear"),
        ("left_back_top", "right_back_top"),
        *(
            (f"{side}_{a}", f"{side}_{b}")
            for a, b in (
                ("seat_front", "seat_rear"),
                ("seat_rear", "back_top"),
                ("seat_rear", "arm_front"),
                ("seat_front", "front_foot"),
                ("seat_rear", "rear_foot"),
            )
            for side in _SIDES
        ),
    ),
)
"""Left and right are those of one who sits in the chair: left is -x."""


def chair_points(model: Model) -> np.ndarray:
    """Where a parametric chair's points are.

    Convention: the object frame of `keypointnet.shapenet.models`.
    Args:    model: of the chair family, or a variation of one.
    Returns: (12, 3) in the order of CHAIR_POINTS.names; NaN where the chair has no such part, and
             for the feet of chairs on one column (stars, pedestals), which have no four feet.
    Raises:  ValueError: a model without part labels.
    """
    mesh = model.meshes[0]
    parts = mesh.metadata.get("parts")
    if parts is None:
        raise ValueError(f"chair_points: {model.id} has no part labels; is it a parametric chair?")
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    faces = np.asarray(mesh.faces)
    of_part = {
        name: vertices[np.unique(faces[parts["face_part"] == k])]
        for k, name in enumerate(parts["names"])
    }
    legs = of_part.get("legs", vertices[:0])
    if len(legs) and not mesh.metadata["on_column"]:
        middle = (legs[:, 2].min() + legs[:, 2].max()) / 2
        of_part["front legs"] = _lowest(legs[legs[:, 2] < middle])
        of_part["rear legs"] = _lowest(legs[legs[:, 2] > middle])
    found = np.full((len(CHAIR_POINTS.names), 3), np.nan)
    for corner, (part, direction) in _CORNERS.items():
        candidates = of_part.get(part, vertices[:0])
        beside = {side: candidates[sign * candidates[:, 0] > 0] for side, sign in _SIDES.items()}
        if not all(map(len, beside.values())):
            continue
        right = farthest(beside["right"], direction)
        # not sought for itself: of several as far, the two sides have to take the same one
        mirrored = np.linalg.norm(beside["left"] - right * [-1, 1, 1], axis=1)
        found[CHAIR_POINTS.names.index(f"right_{corner}")] = right
        found[CHAIR_POINTS.names.index(f"left_{corner}")] = beside["left"][np.argmin(mirrored)]
    return found


def _lowest(points: np.ndarray) -> np.ndarray:
    """Those of some points, (n, 3), that make up the lowest _LOW of their height."""
    low, high = points[:, 1].min(), points[:, 1].max()
    return np.asarray(points[points[:, 1] <= low + _LOW * (high - low)])
