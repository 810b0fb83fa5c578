"""How many shapes an alignment turned rightly, where the truth is known; and two baselines.

Truth and result are compared up to one rotation of the whole collection, and up to each shape's own
symmetry, which is measured from its surface alone: by nearest points, which the aligner never uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from keypointnet.shapenet.alignment_rotations import RotationSet, angle_deg
from keypointnet.shapenet.alignment_shapes import SurfaceSample, invariants, place

TOLERANCE_DEG = 15.0
SYMMETRY_DISTANCE = 0.05
SYMMETRY_QUANTILE = 0.99
"""A rotation is a shape's symmetry if, both ways, this share of the turned surface lies within
SYMMETRY_DISTANCE (radii of the shape) of the surface. That needs a sample of N_POINTS: with fewer,
or on a surface of many folds, points are further apart than that, and a symmetry is missed, which
makes the score stricter."""
SYMMETRY_POINTS = 300


def symmetries(sample: SurfaceSample, rotations: RotationSet) -> np.ndarray:
    """Which rotations map a shape onto itself.

    Args:    sample: in its true orientation.
    Returns: (L,) bool; the identity always is one.
    """
    placed, _, _ = place(sample, rotations.kind)
    some = placed.points[:: max(1, len(placed.points) // SYMMETRY_POINTS)]
    turned = some @ rotations.matrices.astype(np.float32).transpose(0, 2, 1)
    distance, _ = cKDTree(placed.points).query(turned.reshape(-1, 3), distance_upper_bound=0.2)
    near = (distance.reshape(len(rotations), -1) <= SYMMETRY_DISTANCE).mean(axis=1)
    found = near >= SYMMETRY_QUANTILE
    found = found & found[rotations.inverse]
    found[0] = True
    return np.asarray(found)


def rightly_turned(
    R: np.ndarray,
    true_R: np.ndarray,
    symmetric: Sequence[np.ndarray],
    tolerance_deg: float = TOLERANCE_DEG,
) -> np.ndarray:
    """Which shapes lie within a tolerance of the truth, up to one rotation of them all.

    Args:    R: (n, 3, 3), what the aligner found.
             true_R: (n, 3, 3), how each shape, in its true orientation, was turned before.
             symmetric: of each shape its symmetries, (S, 3, 3) each.
    Returns: (n,) bool, for the common rotation that makes most of them right.
    """
    left = R @ true_R  # the same for all where the alignment is right
    wanted = [q @ np.asarray(s) for q, s in zip(left, symmetric, strict=True)]
    best = np.zeros(len(left), dtype=bool)
    for common in left:
        right = np.array([angle_deg(common.T @ w).min() <= tolerance_deg for w in wanted])
        if right.sum() > best.sum():
            best = right
    return best


def align_by_axes(samples: Sequence[SurfaceSample], kind: str) -> np.ndarray:
    """Baseline: principal axes onto the frame's, in order of variance, signs by the third moment.

    Returns: (n, 3, 3); for "azimuth" turns about up alone.
    """
    found = []
    for sample in samples:
        points = place(sample, kind)[0].points.astype(np.float64)
        used = points[:, [0, 2]] if kind == "azimuth" else points
        used = used - used.mean(axis=0)
        _, axes = np.linalg.eigh(used.T @ used)
        axes = axes[:, ::-1]
        axes = axes * np.where(((used @ axes) ** 3).sum(axis=0) < 0, -1.0, 1.0)
        if np.linalg.det(axes) < 0:
            axes[:, -1] *= -1
        R = np.eye(3)
        if kind == "azimuth":
            R[np.ix_([0, 2], [0, 2])] = axes.T
        else:
            R = axes.T
        found.append(R)
    return np.array(found)


def align_to_medoid(
    samples: Sequence[SurfaceSample],
    rotations: RotationSet,
    *,
    n_points: int = 256,
    steps: int = 8,
    n_starts: int = 24,
) -> np.ndarray:
    """Baseline: iterative closest points of each shape to the medoid, from several rotations.

    The medoid has the least sum of distances in what no rotation changes. Of the starts, the one
    that ends with the least mean square distance counts; "azimuth" turns about up alone.

    Returns: (n, 3, 3).
    """
    placed = [place(sample, rotations.kind)[0] for sample in samples]
    described = np.stack([invariants(sample) for sample in placed])
    medoid = int(np.linalg.norm(described[:, None] - described[None], axis=2).sum(axis=1).argmin())
    goal = placed[medoid].points.astype(np.float64)[::4]
    tree = cKDTree(goal)
    starts = rotations.matrices[:: max(1, len(rotations) // n_starts)]
    found = []
    for sample in placed:
        points = sample.points.astype(np.float64)[:: max(1, len(sample.points) // n_points)]
        R = np.array(starts)
        for _ in range(steps):
            turned = points @ R.transpose(0, 2, 1)
            distance, nearest = tree.query(turned.reshape(-1, 3))
            matched = goal[nearest].reshape(turned.shape)
            R = np.stack([_turn_onto(points, m, rotations.kind) for m in matched])
        turned = points @ R.transpose(0, 2, 1)
        distance, _ = tree.query(turned.reshape(-1, 3))
        found.append(R[(distance.reshape(len(R), -1) ** 2).mean(axis=1).argmin()])
    return np.array(found)


def _turn_onto(points: np.ndarray, goal: np.ndarray, kind: str) -> np.ndarray:
    """The rotation about the origin of least squares, about up alone for "azimuth"."""
    product = goal.T @ points
    if kind == "azimuth":
        angle = np.arctan2(product[0, 2] - product[2, 0], product[0, 0] + product[2, 2])
        return np.asarray(Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix())
    u, _, vt = np.linalg.svd(product)
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)
