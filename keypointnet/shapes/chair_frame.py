"""The dimensions a chair is built around, and the surfaces that its parts attach to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keypointnet.shapes.curves import rounded_outline


@dataclass
class Frame:
    """Seat and back of a chair before anything is built.

    Convention: metres, floor at y = 0, seat centred on x = z = 0, front at -z.
    """

    seat_y: float = 0.45  # top of the seat board
    depth: float = 0.42
    front: float = 0.44  # width of the seat at its front and rear edges
    rear: float = 0.40
    thickness: float = 0.035
    roundness: float = 0.15
    back_height: float = 0.45  # above seat_y
    back_bottom: float = 0.44  # width of the back at the seat and at the top
    back_top: float = 0.44
    recline_rad: float = 0.15
    curl: float = 0.0  # recline growing with height, m at the top
    bow: float = 0.02  # the back's sides stand this far before its middle, m
    splay_side: float = 0.0  # how far the feet stand outside the seat corners, m
    splay_front: float = 0.0
    splay_rear: float = 0.03

    @property
    def under_y(self) -> float:
        """Underside of the seat board."""
        return self.seat_y - self.thickness

    @property
    def outline(self) -> np.ndarray:
        """Seat outline (20, 2) x, z."""
        return rounded_outline(self.front, self.rear, self.depth, self.roundness)

    def back_half_width(self, v: ArrayLike) -> np.ndarray:
        """Half width of the back at height v (0 seat, 1 top; the line goes on below 0)."""
        return (self.back_bottom + (self.back_top - self.back_bottom) * np.asarray(v)) / 2

    def back(self, u: ArrayLike, v: ArrayLike, forward: float = 0.0) -> np.ndarray:
        """Points of the back's surface, (..., 3).

        Args: u: -1..1 left to right. v: 0 at the seat, 1 at the top. forward: offset to -z, m.
        """
        u, v = np.broadcast_arrays(np.asarray(u, dtype=float), np.asarray(v, dtype=float))
        rise = v * self.back_height
        lean = np.tan(self.recline_rad) * rise + self.curl * np.maximum(v, 0) ** 2
        z = self.depth / 2 - 0.02 + lean - self.bow * u**2 - forward
        return np.stack([u * self.back_half_width(v), self.seat_y + rise, z], axis=-1)

    def foot(self, rear: bool, inset: float) -> np.ndarray:
        """Where the left-hand (+x) front or rear leg stands on the floor, (3,)."""
        x, z = self.corner(rear, inset)[[0, 2]]
        z_out = self.splay_rear if rear else -self.splay_front
        return np.array([x + self.splay_side, 0.0, z + z_out])

    def corner(self, rear: bool, inset: float) -> np.ndarray:
        """Where the +x front or rear leg meets the underside of the seat, (3,)."""
        width = self.rear if rear else self.front
        pull = 1 - 0.25 * max(0.0, self.roundness - 0.2)  # round seats: legs stay under the seat
        x = width / 2 * pull - inset
        z = (self.depth / 2 * pull - inset) * (1 if rear else -1)
        return np.array([x, self.under_y, z])
