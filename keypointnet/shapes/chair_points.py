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
    "front_foot": ("legs", (1.0, -1.0, -1.0)),
    "rear_foot": ("legs", (1.0, -1.0, 1.0)),
}
_LOW = 0.3
"""Feet are sought in this lowest share of the legs; a chair that leans back has its front feet in
the air."""

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
        name: vertices[np.unique(faces[parts["face_part"][: len(faces)] == k])]
        for k, name in enumerate(parts["names"])
    }
    legs = of_part.get("legs", np.empty((0, 3)))
    if len(legs):
        low, high = legs[:, 1].min(), legs[:, 1].max()
        of_part["legs"] = legs[legs[:, 1] <= low + _LOW * (high - low)]
    if mesh.metadata["on_column"]:
        of_part["legs"] = vertices[:0]
    found = np.full((len(CHAIR_POINTS.names), 3), np.nan)
    for row, name in enumerate(CHAIR_POINTS.names):
        side, _, corner = name.partition("_")
        part, (out, up, back) = _CORNERS[corner]
        sign = _SIDES[side]
        candidates = of_part.get(part, vertices[:0])
        candidates = candidates[sign * candidates[:, 0] > 0]
        if len(candidates):
            found[row] = farthest(candidates, (sign * out, up, back))
    return found
