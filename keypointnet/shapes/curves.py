"""Outlines and paths: the lines that pieces of furniture follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

# What becomes (n, 3) or (3,) floats: an array, or nested lists of numbers and arrays.
Points = ArrayLike | Sequence[object]


def rounded_outline(
    front: float, rear: float, depth: float, roundness: float, per_corner: int = 5
) -> np.ndarray:
    """Seat outline: a trapezoid with rounded corners, centred, front at -z.

    Args:    front, rear: widths along x at z = -depth / 2 and +depth / 2. roundness: 0 sharp
             corners, 1 an ellipse (a circle if front = rear = depth).
    Returns: (4 * per_corner, 2) x, z; no point on x = 0, mirror-symmetric in x.
    """
    roundness = float(np.clip(roundness, 0.02, 1.0))
    angle = (
        np.linspace(0, np.pi / 2, per_corner + 2)[1:-1]
        if roundness > 0.99
        else (np.linspace(0, np.pi / 2, per_corner))
    )
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    corner = (1 - roundness) + roundness * arc  # first quadrant of the unit square
    quadrants = [corner, corner[::-1] * [-1, 1], -corner, corner[::-1] * [1, -1]]
    square = np.concatenate(quadrants)
    width = rear + (front - rear) * (1 - square[:, 1]) / 2
    return np.stack([square[:, 0] * width / 2, square[:, 1] * depth / 2], axis=1)


def filleted(points: Points, radius: float, n: int = 4) -> np.ndarray:
    """Polyline with its inner corners rounded, for bent tubes.

    Args:    points: (k >= 2, 3). radius: how far from a corner the bend begins, m, at most 45 % of
             either side. n: points in each bend.
    """
    points = np.asarray(points, dtype=np.float64)
    path = [points[:1]]
    for before, corner, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        to_before, to_after = before - corner, after - corner
        a, b = float(np.linalg.norm(to_before)), float(np.linalg.norm(to_after))
        reach = min(radius, 0.45 * a, 0.45 * b)
        start, end = corner + to_before * (reach / a), corner + to_after * (reach / b)
        t = np.linspace(0, 1, n)[:, None]
        path.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
    return np.concatenate([*path, points[-1:]])


def spline(points: Points, n: int) -> np.ndarray:
    """Smooth curve through points (Catmull-Rom): (k >= 2, d) to (n, d), both ends kept."""
    points = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    where = np.linspace(0, len(points) - 1, n)
    k = np.minimum(where.astype(int), len(points) - 2)
    t = (where - k)[:, None]
    p0, p1, p2, p3 = (padded[k + i] for i in range(4))
    return 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )


def line(start: Points, end: Points, n: int = 2) -> np.ndarray:
    """(n, 3) points from start to end, evenly spaced."""
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    return start + (end - start) * np.linspace(0, 1, n)[:, None]


def arc_xz(
    centre: Points, radius_x: float, radius_z: float, start_rad: float, stop_rad: float, n: int
) -> np.ndarray:
    """Horizontal elliptic arc (n, 3); angle 0 is +x, a quarter turn is +z (the rear)."""
    angle = np.linspace(start_rad, stop_rad, n)
    flat = np.stack([radius_x * np.cos(angle), np.zeros(n), radius_z * np.sin(angle)], axis=1)
    return np.asarray(centre, dtype=np.float64) + flat
