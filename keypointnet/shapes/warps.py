"""Smooth deformations of space that keep up, front, and left/right where they are.

Convention: the object frame (+Y up, front -Z, x left/right). Every map is odd in x and even in x
towards y and z, so a mirror-symmetric model stays so. A warp is a composition of increasing
one-dimensional maps, positive scales and shears: its Jacobian is positive, it keeps the orientation
of faces.
"""

from __future__ import annotations

import numpy as np

STEP = 1e-4  # finite difference for normals, in units of the object frame


class SpaceWarp:
    """A random smooth, invertible map of space, (..., 3) to (..., 3), fitted to a bounding box.

    Args: half: (3,) half sides of the box, centred at the origin. rng. strength: 0 is the identity.

    In order, with q the point in units of the half box:
        x, y, z  each by an increasing map of itself (x by an odd one): spacing and proportions
        z, x     scaled by positive functions of height (and x of z): taper, bulge, trapezoid
        z        moved by a function of height: the back leans or curls; and by x^2: it bows
        y        sheared by z: the seat slopes
        all      scaled anisotropically
    """

    def __init__(self, half: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> None:
        self.half = np.maximum(half, 1e-6)
        self.maps = [increasing_map(rng, 0.3 * strength, odd=axis == 0) for axis in range(3)]
        self.taper_x, self.taper_z, self.trapezoid = strength * rng.uniform(-0.16, 0.16, size=3)
        self.bulge_x, self.bulge_z = strength * rng.uniform(-0.16, 0.16, size=2)
        self.shear = strength * rng.uniform(-0.12, 0.2)
        self.curl = strength * rng.uniform(-0.1, 0.16)
        self.bow = strength * rng.uniform(-0.04, 0.08)
        self.slope = strength * rng.uniform(-0.08, 0.04)
        self.scale = np.exp(strength * rng.uniform(-0.25, 0.25, size=3))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Where points (..., 3) go."""
        qx, qy, qz = np.moveaxis(np.asarray(points, dtype=np.float64) / self.half, -1, 0)
        qx = np.sign(qx) * np.interp(np.abs(qx), *self.maps[0])
        qy = np.interp(qy, *self.maps[1])
        qz = np.interp(qz, *self.maps[2])
        belly = np.cos(np.pi / 2 * np.clip(qy, -1, 1))
        scale_z = np.exp(self.taper_z * qy + self.bulge_z * belly)
        scale_x = np.exp(self.taper_x * qy + self.bulge_x * belly + self.trapezoid * qz)
        x, y, z = qx * scale_x * self.half[0], qy * self.half[1], qz * scale_z * self.half[2]
        upper = np.maximum(qy, 0.0) ** 2
        z = z + self.half[1] * (self.shear * qy + self.curl * upper) - self.bow * qx**2 * upper
        return np.stack([x, y + self.slope * z, z], axis=-1) * self.scale


def increasing_map(
    rng: np.random.Generator, amount: float, odd: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Knots and values of an increasing map of [-1.05, 1.05], or of [0, 1.05] with 0 to 0."""
    knots = np.linspace(0.0 if odd else -1.05, 1.05, 43)
    log_slope = np.zeros_like(knots)
    for k in (1, 2, 3):
        size, phase = amount * rng.normal() / k, rng.uniform(0, 2 * np.pi)
        log_slope += np.clip(size, -2 * amount, 2 * amount) * np.cos(np.pi * k * knots + phase)
    slope = np.exp(log_slope)
    values = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(knots))])
    reach = np.interp(1.0, knots, values) - np.interp(-1.0, knots, values) * (not odd)
    values *= (1.0 if odd else 2.0) / reach
    if not odd:
        values -= 1.0 + np.interp(-1.0, knots, values)
    return knots, values


def carried_normals(
    warp: SpaceWarp, points: np.ndarray, normals: np.ndarray, moved: np.ndarray
) -> np.ndarray:
    """Unit normals after a warp: cofactors of its Jacobian, from two tangents at each point.

    Args: points, normals: (V, 3) before the warp, normals of unit length. moved: warp(points).
    """
    helper = np.eye(3)[np.argmin(np.abs(normals), axis=1)]
    first = _unit(np.cross(normals, helper))
    second = np.cross(normals, first)
    along_first = warp(points + STEP * first) - moved
    along_second = warp(points + STEP * second) - moved
    return _unit(np.cross(along_first, along_second))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / np.maximum(length, 1e-300)[:, None])
