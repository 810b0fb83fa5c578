"""Named points that correspond between the models of a class, with their pairs and connections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PointSet:
    """What a class's points are called and how they hang together.

    Names that differ by left and right only are mirror images of each other, as in COCO.

    Attributes:
        names: K, in the order of every array of these points.
        connections: pairs of names.
        inside: the points lie within the object, as joints do, not on its surface.
    """

    names: tuple[str, ...]
    connections: tuple[tuple[str, str], ...]
    inside: bool = False

    @property
    def skeleton(self) -> list[list[int]]:
        """The connections as COCO writes them: places among the names, from 1."""
        return [[self.names.index(name) + 1 for name in pair] for pair in self.connections]

    def mirrored(self, points: np.ndarray) -> np.ndarray:
        """The points, (K, 3), of the model mirrored in x = 0, whose left is called left."""
        swap = {"left": "right", "right": "left"}
        names = []
        for name in self.names:
            first, _, rest = name.partition("_")
            names.append(f"{swap[first]}_{rest}" if first in swap else name)
        return np.asarray(points[[self.names.index(name) for name in names]] * [-1.0, 1.0, 1.0])


def farthest(points: np.ndarray, direction: tuple[float, float, float]) -> np.ndarray:
    """The point that lies farthest in a direction, measured in the points' own extents.

    Scaled by the extents, the corners of a wide seat and of a deep one lie the same way.
    Args:    points: (n, 3), n > 0.
    Returns: (3,), one of them; the first of equals.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.maximum(high - low, 1e-9)
    return np.asarray(points[np.argmax(scaled @ np.asarray(direction))])
