"""Flat polygons into triangles."""

from __future__ import annotations

import numpy as np


def triangulate_all(outlines: np.ndarray) -> np.ndarray:
    """Triangles of P polygons of K corners each; see triangulate.

    Args:    outlines: (P, K, 3).
    Returns: (P, K - 2, 3) int, indices into each outline.
    """
    n_polygons, count = outlines.shape[:2]
    if count == 3:
        return np.tile(np.arange(3), (n_polygons, 1, 1))
    if count == 4:  # the diagonal that leaves both halves facing one way
        a, b, c, d = np.moveaxis(outlines, 1, 0)
        agree = (np.cross(b - a, c - a) * np.cross(c - a, d - a)).sum(axis=1) >= 0
        first, second = np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0, 1, 3], [1, 2, 3]])
        return np.where(agree[:, None, None], first, second)
    each = [triangulate(outline) for outline in outlines]
    return np.array(each, dtype=np.int64).reshape(-1, count - 2, 3)


def triangulate(outline: np.ndarray) -> np.ndarray:
    """Triangles of a simple, nearly flat polygon: a fan where it is convex, else ears cut off.

    Args:    outline: (K, 3), K >= 3, in order.
    Returns: (K - 2, 3) int, indices into outline, wound like it.
    """
    count = len(outline)
    fan = np.stack([np.zeros(count - 2, int), np.arange(1, count - 1), np.arange(2, count)], axis=1)
    if count == 3:
        return fan
    # Newell's normal: right for concave polygons too
    following = np.roll(outline, -1, axis=0)
    normal = np.cross(outline - outline[0], following - outline[0]).sum(axis=0)
    if np.linalg.norm(normal) < 1e-15:
        return fan
    flat = _in_plane(outline - outline.mean(axis=0), normal)
    turn = _cross(flat - np.roll(flat, 1, axis=0), np.roll(flat, -1, axis=0) - flat)
    if (turn >= -1e-9 * np.abs(turn).max()).all():
        return fan
    return _cut_ears(flat)


def _in_plane(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(K, 2) coordinates in the plane, anticlockwise as seen against the normal."""
    unit = normal / np.linalg.norm(normal)
    aside = np.eye(3)[np.argmin(np.abs(unit))]
    x = np.cross(aside, unit)
    x /= np.linalg.norm(x)
    return np.asarray(points @ np.stack([x, np.cross(unit, x)], axis=1))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _cut_ears(flat: np.ndarray) -> np.ndarray:
    left = list(range(len(flat)))
    triangles = []
    while len(left) > 3:
        best, best_ear = -np.inf, 0
        for k in range(len(left)):
            a, b, c = left[k - 1], left[k], left[(k + 1) % len(left)]
            area = float(_cross(flat[b] - flat[a], flat[c] - flat[b]))
            others = flat[[i for i in left if i not in (a, b, c)]]
            if area > 0 and not _any_inside(flat[a], flat[b], flat[c], others):
                best_ear = k
                break
            if area > best:  # no ear in a polygon that crosses itself: the most convex corner
                best, best_ear = area, k
        k = best_ear
        triangles.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    triangles.append((left[0], left[1], left[2]))
    return np.array(triangles)


def _any_inside(a: np.ndarray, b: np.ndarray, c: np.ndarray, points: np.ndarray) -> bool:
    """Whether a point other than the corners lies in the triangle or on its edge."""
    inside = (
        (_cross(b - a, points - a) >= 0)
        & (_cross(c - b, points - b) >= 0)
        & (_cross(a - c, points - c) >= 0)
    )
    corner = (points[:, None] == np.stack([a, b, c])).all(axis=2).any(axis=1)
    return bool((inside & ~corner).any())
