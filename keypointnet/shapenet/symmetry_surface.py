"""A surface as points with normals, and how far other points lie from it.

N = samples, Q = points asked about. Lengths are in units of the surface's size, the diameter of the
smallest sphere about its centroid that holds it: they do not change when the object is turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree

GRID = 56
"""Cells of the coarse distance field along each side of a cube that is 1.2 sizes wide."""
GRID_SIDE = 1.2


@dataclass(frozen=True)
class Surface:
    """Area-uniform samples of one or several meshes.

    points:  (N, 3) in units of the size, about the centroid.
    normals: (N, 3) unit, their sign as the faces are wound (never used).
    at_rim:  (N,) bool, next to an edge that has a face on one side only: beyond it the surface may
             have a hole.
    centre:  (3,) centroid, and size, in the meshes' own units.
    spacing: mean distance of neighbouring samples.
    """

    points: np.ndarray
    normals: np.ndarray
    at_rim: np.ndarray
    centre: np.ndarray
    size: float
    spacing: float

    @cached_property
    def tree(self) -> cKDTree:
        """Of the points."""
        return cKDTree(self.points)

    @cached_property
    def field(self) -> np.ndarray:
        """(GRID, GRID, GRID) float32 distance of each cell's centre to the nearest sampled cell."""
        empty = np.ones((GRID,) * 3, dtype=bool)
        empty[tuple(self._cells(self.points).T)] = False
        field = ndimage.distance_transform_edt(empty)
        return np.asarray(field * (GRID_SIDE / GRID), dtype=np.float32)

    def rough_distance(self, points: np.ndarray) -> np.ndarray:
        """Distance of (..., 3) points to the surface, right to a cell of the grid. (...,)."""
        cells = self._cells(points)
        return np.asarray(self.field[cells[..., 0], cells[..., 1], cells[..., 2]])

    def nearest(self, points: np.ndarray, within: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
        """The nearest sample of (Q, 3) points, and the distance to the surface about it.

        The surface about a sample is a disc in its tangent plane as wide as samples lie apart, so
        that the distance of a point on the surface is near 0 and not half a spacing.
        Returns: indices (Q,), distances (Q,); index 0 and infinity where nothing is `within`.
        """
        gap, index = self.tree.query(points, distance_upper_bound=within)
        index = np.where(np.isfinite(gap), index, 0)
        across = np.einsum("ij,ij->i", self.normals[index], points - self.points[index])
        across = np.where(np.isfinite(gap), across, 0.0)
        along = np.sqrt(np.maximum(gap**2 - across**2, 0.0))
        return index, np.hypot(across, np.maximum(along - self.spacing, 0.0))

    def _cells(self, points: np.ndarray) -> np.ndarray:
        cells = np.floor((points / GRID_SIDE + 0.5) * GRID).astype(np.int64)
        return np.clip(cells, 0, GRID - 1)


def joined(meshes: Sequence[trimesh.Trimesh]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3) of meshes, equal positions merged, empty faces dropped.

    Positions are equal that agree to 1e-6 of the longest side of the bounding box.
    Raises:  ValueError: no face has an area, or a vertex is not finite.
    """
    parts = [mesh for mesh in meshes if len(mesh.faces)]
    if not parts:
        raise ValueError("joined: expected meshes with faces, got none")
    start = np.cumsum([0, *(len(mesh.vertices) for mesh in parts)])
    points = np.concatenate([np.asarray(mesh.vertices, np.float64) for mesh in parts])
    faces = np.concatenate([np.asarray(m.faces) + k for m, k in zip(parts, start, strict=False)])
    if not np.isfinite(points).all():
        raise ValueError("joined: a vertex has a NaN or infinite coordinate")
    step = max(1e-6 * float(np.ptp(points, axis=0).max()), 1e-300)
    keys = np.round((points - points.min(axis=0)) / step).astype(np.int64)
    _, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    points, faces = points[first], index.reshape(-1)[faces]
    edges = points[faces[:, 1:]] - points[faces[:, :1]]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    faces = faces[area > step**2]
    if not len(faces):
        raise ValueError("joined: expected a face with an area, found none")
    return points, faces


def sample_surface(meshes: Sequence[trimesh.Trimesh], count: int = 12000, seed: int = 0) -> Surface:
    """Samples of the surface of meshes, each piece of equal area as likely as any other.

    Raises:  ValueError: see `joined`.
    """
    vertices, faces = joined(meshes)
    corners = vertices[faces]
    edges = corners[:, 1:] - corners[:, :1]
    cross = np.cross(edges[:, 0], edges[:, 1])
    double_area = np.linalg.norm(cross, axis=1)
    rng = np.random.default_rng([seed, count])
    # One draw in each of `count` equal slices of the area: less uneven than independent draws.
    shares = np.cumsum(double_area) / double_area.sum()
    chosen = np.searchsorted(shares, (np.arange(count) + rng.random(count)) / count)
    chosen = np.minimum(chosen, len(faces) - 1)
    u, v = np.sqrt(rng.random(count))[:, None], rng.random(count)[:, None]
    a, b, c = corners[chosen].transpose(1, 0, 2)
    points = (1 - u) * a + u * (1 - v) * b + u * v * c
    # The centroid of the faces, not of the samples: these would move it by chance.
    centre = (corners.mean(axis=1) * double_area[:, None]).sum(axis=0) / double_area.sum()
    size = 2.0 * float(np.linalg.norm(points - centre, axis=1).max())
    spacing = float(np.sqrt(double_area.sum() / 2 / count)) / size
    points = (points - centre) / size
    rim = _rim_points((vertices - centre) / size, faces, spacing)
    at_rim = np.zeros(count, dtype=bool)
    if len(rim):
        at_rim = cKDTree(rim).query(points, distance_upper_bound=2 * spacing)[0] < np.inf
    return Surface(points, cross[chosen] / double_area[chosen, None], at_rim, centre, size, spacing)


def _rim_points(vertices: np.ndarray, faces: np.ndarray, spacing: float) -> np.ndarray:
    """Points along the edges that one face only has, a spacing apart."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    start, stop = vertices[edges[uses == 1]].transpose(1, 0, 2)
    steps = np.ceil(np.linalg.norm(stop - start, axis=1) / spacing).astype(int) + 1
    which = np.repeat(np.arange(len(steps)), steps)
    place = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    share = (place / np.maximum(steps[which] - 1, 1))[:, None]
    return np.asarray(start[which] + share * (stop - start)[which])
