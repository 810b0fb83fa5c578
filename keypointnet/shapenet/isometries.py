"""Reflections and turns of space, with derivatives, so that both are fitted by the same steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mirror:
    """The reflection in the plane {p: normal · p = offset}. normal: (3,) unit."""

    normal: np.ndarray
    offset: float

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Where (..., 3) points go."""
        away = points @ self.normal - self.offset
        return np.asarray(points - 2.0 * away[..., None] * self.normal)

    def inverse(self) -> Mirror:
        """Itself."""
        return self

    def jacobian(self, points: np.ndarray) -> np.ndarray:
        """(Q, 3, 3): how the images of (Q, 3) points move with `moved`'s step."""
        basis = across(self.normal)
        away = points @ self.normal - self.offset
        tilt = -2.0 * (
            (points @ basis.T)[:, None, :] * self.normal[:, None] + away[:, None, None] * basis.T
        )
        shift = np.broadcast_to((2.0 * self.normal)[:, None], (len(points), 3, 1))
        return np.concatenate([tilt, shift], axis=2)

    def moved(self, step: np.ndarray) -> Mirror:
        """The plane tilted by two small angles and shifted. step: (3,)."""
        normal = self.normal + step[:2] @ across(self.normal)
        length = float(np.linalg.norm(normal))
        return Mirror(normal / length, (self.offset + float(step[2])) / length)


@dataclass(frozen=True)
class Turn:
    """The turn by an angle about an axis. direction: (3,) unit; point: (3,) on the axis."""

    direction: np.ndarray
    point: np.ndarray
    angle_rad: float

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) rotation."""
        skew = _skew(self.direction)
        return np.asarray(
            np.eye(3) + np.sin(self.angle_rad) * skew + (1 - np.cos(self.angle_rad)) * skew @ skew
        )

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Where (..., 3) points go."""
        return np.asarray((points - self.point) @ self.matrix.T + self.point)

    def inverse(self) -> Turn:
        """The turn back."""
        return Turn(self.direction, self.point, -self.angle_rad)

    def jacobian(self, points: np.ndarray) -> np.ndarray:
        """(Q, 3, 4): how the images of (Q, 3) points move with `moved`'s step."""
        basis = across(self.direction)
        x = points - self.point
        sine, rest = np.sin(self.angle_rad), 1 - np.cos(self.angle_rad)
        columns = [
            sine * x @ _skew(b).T
            + rest * ((x @ self.direction)[:, None] * b + (x @ b)[:, None] * self.direction)
            for b in basis
        ]
        shift = (np.eye(3) - self.matrix) @ basis.T
        columns += [np.broadcast_to(column, x.shape) for column in shift.T]
        return np.stack(columns, axis=2)

    def moved(self, step: np.ndarray) -> Turn:
        """The axis tilted by two small angles and shifted across itself. step: (4,)."""
        basis = across(self.direction)
        direction = self.direction + step[:2] @ basis
        point = self.point + step[2:] @ basis
        return Turn(direction / np.linalg.norm(direction), point, self.angle_rad)


def across(direction: np.ndarray) -> np.ndarray:
    """Two unit vectors at right angles to a unit vector and to each other, (2, 3)."""
    skew = _skew(direction)
    first = skew[:, int(np.argmin(np.abs(direction)))]
    first = first / np.linalg.norm(first)
    return np.stack([first, skew @ first])


def _skew(vector: np.ndarray) -> np.ndarray:
    """The matrix that takes x to vector × x."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def half_sphere(count: int) -> np.ndarray:
    """Unit vectors spread evenly over the directions without a sign, (count, 3).

    A Fibonacci lattice on the half with z > 0; neighbours are about sqrt(2π / count) rad apart.
    """
    index = np.arange(count) + 0.5
    z = 1 - index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def axis_angle_deg(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between unit directions without a sign, (..., 3) and (..., 3), degrees in [0, 90]."""
    cross = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.degrees(np.arctan2(cross, np.abs((first * second).sum(axis=-1))))
