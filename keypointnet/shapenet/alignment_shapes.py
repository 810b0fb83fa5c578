"""What alignment knows of a shape: points on its surface, and how they fill a coarse grid.

The signature of a shape is a smoothed grid that holds, in each cell which the surface passes, the
squares of its normal's three coordinates: where the surface is, and which way it faces, either
side counting the same because files mix windings. Energies are 1 minus the cosine of two of them.

P = points, L = rotations, D = numbers of a signature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from keypointnet.shapenet.models import EmptyModelError, Model

N_POINTS = 8192
GRID = 20
BLUR_CELLS = 1.0
REACH = 1.15
"""Half the grid's side; a placed shape's points lie within a radius of 1, but for 2 % of them."""


@dataclass(frozen=True)
class SurfaceSample:
    """Points on a shape's surface, spread evenly over its area.

    points, normals: (P, 3) float32; normals are of length 1, their sign is the winding's.
    """

    points: np.ndarray
    normals: np.ndarray

    def turned(self, R: np.ndarray) -> SurfaceSample:
        """The sample of the turned shape. R: (3, 3)."""
        R_single = np.asarray(R, dtype=np.float32)
        return SurfaceSample(self.points @ R_single.T, self.normals @ R_single.T)


def sample_surface(model: Model, seed: int, n_points: int = N_POINTS) -> SurfaceSample:
    """Points drawn evenly over the area of a model's faces, with the faces' normals.

    Args:    model: as read; any frame.  seed: the same seed, the same points.
    Raises:  EmptyModelError: the model has no area; or ValueError: n_points is not positive.
    """
    if n_points < 1:
        raise ValueError(f"sample_surface: expected n_points > 0, got {n_points}")
    corners = np.concatenate([np.asarray(mesh.vertices)[mesh.faces] for mesh in model.meshes])
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_area = np.linalg.norm(crosses, axis=1)
    if not double_area.sum() > 0:
        raise EmptyModelError(f"model {model.id}: sample_surface: its faces have no area")
    rng = np.random.default_rng(seed)
    upto = np.cumsum(double_area) / double_area.sum()
    face = np.searchsorted(upto, rng.random(n_points), side="right").clip(0, len(corners) - 1)
    # One face of no area could be hit only where rounding leaves the last one for the end.
    normals = crosses[face] / np.maximum(double_area[face, None], 1e-300)
    root, along = np.sqrt(rng.random((n_points, 1))), rng.random((n_points, 1))
    weights = np.concatenate([1 - root, root * (1 - along), root * along], axis=1)
    points = np.einsum("pc,pcx->px", weights, corners[face])
    return SurfaceSample(points.astype(np.float32), normals.astype(np.float32))


def place(sample: SurfaceSample, kind: str) -> tuple[SurfaceSample, np.ndarray, float]:
    """Centres and scales a sample, in a way that turns with the shape.

    The centre is the bounding box's for "cube", which all of its rotations keep; for "azimuth" it
    is the surface's centre of mass, at half height. 98 % of the points end within a radius of 1.

    Returns: the placed sample, the centre (3,) and the scale: placed = (points − centre) · scale.
    """
    points = sample.points.astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    centre = (low + high) / 2
    if kind == "azimuth":
        centre = np.array([points[:, 0].mean(), centre[1], points[:, 2].mean()])
    radius = float(np.quantile(np.linalg.norm(points - centre, axis=1), 0.98))
    scale = 1.0 / max(radius, 1e-12)
    moved = ((points - centre) * scale).astype(np.float32)
    return SurfaceSample(moved, sample.normals), centre, scale


def signatures(
    sample: SurfaceSample, rotations: np.ndarray, grid: int = GRID, blur: float = BLUR_CELLS
) -> np.ndarray:
    """The signature of a placed shape under each of several rotations.

    Args:    sample: placed.  rotations: (L, 3, 3).  grid: cells along a side.
             blur: standard deviation of the smoothing, in cells.
    Returns: (L, D) float32, rows of length 1; D = 3 grid³.
    """
    found = np.empty((len(rotations), 3 * grid**3), dtype=np.float32)
    for label, R in enumerate(np.asarray(rotations, dtype=np.float32)):
        cells = ((sample.points @ R.T / REACH + 1) * (grid / 2)).astype(np.int64)
        index = np.ravel_multi_index(tuple(cells.clip(0, grid - 1).T), (grid,) * 3)
        squares = (sample.normals @ R.T) ** 2
        count = np.maximum(np.bincount(index, minlength=grid**3), 1)
        # The mean in a cell, not the sum: a dense part must not outweigh the rest of the shape.
        means = np.stack(
            [np.bincount(index, weights=squares[:, x], minlength=grid**3) / count for x in range(3)]
        )
        smooth = ndimage.gaussian_filter(
            means.reshape(3, grid, grid, grid).astype(np.float32), (0, blur, blur, blur)
        ).reshape(-1)
        found[label] = smooth / max(float(np.linalg.norm(smooth)), 1e-12)
    return found


def invariants(sample: SurfaceSample, seed: int = 0, n_pairs: int = 16384) -> np.ndarray:
    """What no rotation changes: how far two random points lie apart, and how their normals differ.

    Args:    sample: placed.
    Returns: (80,) float64: roots of the shares of pairs in 16 distances x 4 angles, and of points
             at 16 distances from the centre, so that Euclid's distance is Hellinger's.
    """
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, len(sample.points), (2, n_pairs))
    distance = np.linalg.norm(sample.points[first] - sample.points[second], axis=1)
    cosine = np.abs((sample.normals[first] * sample.normals[second]).sum(axis=1))
    pairs, _, _ = np.histogram2d(
        distance.clip(0, 2.199), cosine.clip(0, 0.999), bins=(16, 4), range=((0, 2.2), (0, 1))
    )
    radius = np.linalg.norm(sample.points, axis=1)
    radii, _ = np.histogram(radius.clip(0, 1.199), bins=16, range=(0, 1.2))
    return np.concatenate(
        [np.sqrt(pairs.reshape(-1) / n_pairs), np.sqrt(radii / len(sample.points))]
    )
