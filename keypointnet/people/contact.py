"""Whether bodies reach into each other."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

_NEAR_M = 0.25  # an inner point is nearer than this to the surface; limbs are no thicker
_FIRST = 8  # one point of so many is looked at first: it takes few to find that bodies overlap
_NOWHERE = np.zeros(3)


class Surface:
    """Points on a closed surface.

    Attributes:
        points: (n, 3).  normals: (n, 3) unit, outwards.
    """

    def __init__(self, points: np.ndarray, normals: np.ndarray) -> None:
        self.points, self.normals = points, normals

    @cached_property
    def tree(self) -> cKDTree:
        """Of the points."""
        return cKDTree(self.points)

    @cached_property
    def bounds(self) -> np.ndarray:
        """(2, 3) low and high corner."""
        return np.stack([self.points.min(axis=0), self.points.max(axis=0)])

    def placed(self, T_obj2world: np.ndarray) -> Surface:
        """The surface elsewhere: a rotation, one scale and a translation, (4, 4)."""
        turn = T_obj2world[:3, :3]
        normals = self.normals @ turn.T / np.linalg.norm(turn[:, 0])
        return Surface(self.points @ turn.T + T_obj2world[:3, 3], normals)


def penetration(first: Surface, second: Surface, offset: np.ndarray = _NOWHERE) -> float:
    """How deep the deepest point of either surface lies inside the other, 0 where they are apart.

    A point is inside if it is behind the tangent plane at the nearest point of the other surface;
    how far behind is its depth. Exact up to the distance between a surface's points.
    Args:    offset: (3,), by which the first one is moved before.
    """
    if _apart(first, second, offset):
        return 0.0
    return max(
        _depth(first.points + offset, second),
        _depth(second.points - offset, first),
    )


def is_clear(
    first: Surface, second: Surface, touch_m: float, offset: np.ndarray = _NOWHERE
) -> bool:
    """Whether penetration(first, second, offset) is at most touch_m, for less work."""
    return _apart(first, second, offset) or all(
        _depth(points[::every] + moved, surface) <= touch_m
        for every in (_FIRST, 1)
        for points, moved, surface in (
            (first.points, offset, second),
            (second.points, -offset, first),
        )
    )


def _apart(first: Surface, second: Surface, offset: np.ndarray) -> bool:
    (low, high), (other_low, other_high) = first.bounds + offset, second.bounds
    return bool((low > other_high).any() or (high < other_low).any())


def _depth(points: np.ndarray, surface: Surface) -> float:
    within = np.ones(len(points), bool)
    for axis, (low, high) in enumerate(surface.bounds.T):  # faster than .all(axis=1)
        within &= (points[:, axis] > low) & (points[:, axis] < high)
    points = points[within]
    if not len(points):
        return 0.0
    distance, nearest = surface.tree.query(points, distance_upper_bound=_NEAR_M)
    found = np.isfinite(distance)
    points, nearest = points[found], nearest[found]
    behind = ((surface.points[nearest] - points) * surface.normals[nearest]).sum(axis=1)
    return float(max(0.0, behind.max(initial=0.0)))
