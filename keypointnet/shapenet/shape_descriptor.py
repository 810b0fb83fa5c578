"""A model's shape as one vector that does not know which way the model is turned about +Y.

Convention: the object frame of `keypointnet.shapenet.models`; +Y is up, angles are about +Y.

The reader scales by the bounding box, which changes when a model is turned. So the descriptor has
a frame of its own: its axis is the vertical through the surface's centre of area, its unit is the
root of the mean squared distance from that centre. Both turn with the shape. With radius r,
height h and angle a about that axis, four blocks describe the surface, each for what the others
cannot see:

- occupancy: how much surface lies at (r, h). Tells a seat from legs, not four legs from a skirt.
- turns:     |sum exp(i k a)| at (r, h) for k = 1, 2, …: how the surface of that ring is spread
             over the angles. Turning the model by b multiplies the sum by exp(i k b), which the
             magnitude drops. Tells four legs from a skirt, and one back from two sides.
- pairs:     horizontal and vertical distances of pairs of points (D2 of Osada et al., the height
             kept apart): how parts at different angles lie to each other, which the rings, each
             without its phase, do not say.
- slopes:    how steep the surface is at a height, by |normal . up|, since windings are not to be
             trusted: padded forms from boards.

A shape and its mirror image have the same descriptor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from keypointnet.shapenet.models import Model


@dataclass(frozen=True)
class DescriptorSettings:
    """How a shape is described. Distances between other settings mean nothing.

    Attributes:
        points: surface samples.
        seed: of the samples; the same for all models.
        rings, levels: bins of the radius and of the height.
        turns: the highest angular frequency.
        reach: radius and height of the last bins, in the shape's own unit; what lies beyond counts
            there. An even disc or rod ends at 1.4 and 1.7.
        weights: of the blocks occupancy, turns, pairs, slopes in the squared distance. The turns
            alone find a sofa among chairs better than any other block alone; the others keep a say
            for shapes that they leave equal.
    """

    points: int = 16384
    seed: int = 0
    rings: int = 8
    levels: int = 12
    turns: int = 6
    reach: float = 2.2
    weights: tuple[float, float, float, float] = (0.1, 0.7, 0.1, 0.1)

    def __post_init__(self) -> None:
        low = min(self.points // 2, self.rings - 1, self.levels - 1, self.turns)
        if low < 1 or self.reach <= 0 or len(self.weights) != 4 or min(self.weights) < 0:
            raise ValueError(
                "DescriptorSettings: expected points, rings, levels >= 2, turns >= 1, reach > 0 "
                f"and four weights >= 0, got {self}"
            )


def surface_samples(model: Model, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points drawn evenly by area over all of a model's faces, in the descriptor's own frame.

    Args:    n: how many.  seed: of the draw.
    Returns: points (n, 3), in units of the root mean squared distance from the centre of area,
             which is at the origin; unit normals of their faces (n, 3), either side.
    Raises:  ValueError: the model has no area; it is named.
    """
    corners = np.concatenate([mesh.vertices[mesh.faces] for mesh in model.meshes])
    soup = trimesh.Trimesh(
        corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), process=False
    )
    area = soup.area_faces
    if not area.sum() > 0:
        raise ValueError(f"model {model.id}: surface_samples: its surface has no area")
    centre = area @ corners.mean(axis=1) / area.sum()
    a, b, c = np.moveaxis(corners - centre, 1, 0)
    # the mean of |p|^2 over a triangle
    squared = sum((u * v).sum(axis=1) for u, v in ((a, a), (b, b), (c, c), (a, b), (b, c), (c, a)))
    unit = float(np.sqrt(area @ squared / 6 / area.sum()))
    points, faces = trimesh.sample.sample_surface(soup, n, seed=seed)
    return (np.asarray(points) - centre) / unit, np.asarray(soup.face_normals)[faces]


def describe_shape(model: Model, settings: DescriptorSettings | None = None) -> np.ndarray:
    """The descriptor of a model.

    Returns: (D,) float32. Each of the first, third and fourth block is the root of a histogram, so
             the Euclidean distance of two descriptors is between 0 and about sqrt(2).
    Raises:  ValueError: the model has no area; it is named.
    """
    settings = settings or DescriptorSettings()
    points, normals = surface_samples(model, settings.points, settings.seed)
    return describe_points(points, normals, settings)


def describe_points(
    points: np.ndarray, normals: np.ndarray, settings: DescriptorSettings
) -> np.ndarray:
    """The descriptor of surface samples, of which no order but that of drawing is assumed.

    Args:    points, normals: (n, 3), from `surface_samples`.
    Returns: (D,) float32.
    """
    radius = np.hypot(points[:, 0], points[:, 2])
    angle = np.arctan2(points[:, 2], points[:, 0])
    height = points[:, 1]
    reach = settings.reach
    shape = (settings.rings, settings.levels)
    across = radius / reach
    up = (height + reach) / (2 * reach)
    cells = [
        np.abs(_histogram((across, up), shape, np.exp(1j * k * angle)))
        for k in range(settings.turns + 1)
    ]
    occupancy = np.sqrt(cells[0])
    turns = np.stack(cells[1:]) / np.maximum(occupancy, 1e-9)

    half = len(points) // 2
    step = points[:half] - points[half : 2 * half]
    apart = (np.hypot(step[:, 0], step[:, 2]) / (2 * reach), np.abs(step[:, 1]) / (2 * reach))
    pairs = np.sqrt(np.abs(_histogram(apart, shape, np.ones(half))))
    slopes = np.sqrt(
        np.abs(_histogram((np.abs(normals[:, 1]), up), (4, settings.levels), np.ones(len(points))))
    )
    blocks = (occupancy, turns / np.sqrt(settings.turns), pairs, slopes)
    total = max(sum(settings.weights), 1e-9)
    return np.concatenate(
        [
            np.sqrt(weight / total) * block.reshape(-1)
            for weight, block in zip(settings.weights, blocks, strict=True)
        ]
    ).astype(np.float32)


def _histogram(
    at: tuple[np.ndarray, np.ndarray], shape: tuple[int, int], values: np.ndarray
) -> np.ndarray:
    """The mean of values by place, each shared linearly by the four nearest cells.

    Sharing keeps a small move of the surface, or another draw of it, a small move of the result.
    Args:    at: two coordinates (n,), 0 to 1; what lies outside counts at the border.
             values: (n,), real or complex.
    Returns: of the given shape, complex.
    """
    low, part = [], []
    for coordinate, bins in zip(at, shape, strict=True):
        place = np.clip(coordinate, 0.0, 1.0) * (bins - 1)
        first = np.minimum(place.astype(np.int64), bins - 2)
        low.append(first)
        part.append(place - first)
    result = np.zeros(shape[0] * shape[1], dtype=np.complex128)
    for i in (0, 1):
        for j in (0, 1):
            share = (part[0] if i else 1 - part[0]) * (part[1] if j else 1 - part[1])
            cell = (low[0] + i) * shape[1] + low[1] + j
            share = share * values
            result.real += np.bincount(cell, weights=share.real, minlength=len(result))
            result.imag += np.bincount(cell, weights=share.imag, minlength=len(result))
    return result.reshape(shape) / len(values)
