"""Which way an aligned collection looks: its common plane of symmetry becomes x = 0.

Alignment makes shapes agree with each other, in a frame that is one of theirs. KeypointNet asks
for more: left and right along x. Where most shapes are mirrored in one upright plane, they are
told by it; which of the other two sides is the front stays open, and does not matter there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from keypointnet.shapenet.alignment_rotations import azimuth_matrices
from keypointnet.shapenet.alignment_shapes import SurfaceSample

SHAPES = 24
POINTS = 600
STEP_DEG = 3.0
CLEAR = 0.7
"""The plane is taken where its mirror images lie so much nearer than those of the median one ..."""
CLOSE = 2.0
"""... and no further from the shape than so many spacings of its points."""


def turn_to_mirror(samples: Sequence[SurfaceSample], R: np.ndarray) -> np.ndarray:
    """The turn about up that takes the common plane of symmetry to x = 0.

    Args:    samples: of shapes, +Y up.  R: (n, 3, 3), X_aligned = R X.
    Returns: (3, 3), at most a quarter turn; the identity where no plane is clearly the best.
    """
    chosen = np.linspace(0, len(samples) - 1, min(SHAPES, len(samples))).round().astype(int)
    clouds = []
    for k in chosen.tolist():
        points = samples[k].points @ R[k].T
        points = points[:: max(1, len(points) // POINTS)]
        low, high = points.min(axis=0), points.max(axis=0)
        clouds.append((points - (low + high) / 2) / max(float((high - low).max()), 1e-12))
    trees = [cKDTree(cloud) for cloud in clouds]

    def misfit(angles_deg: np.ndarray) -> np.ndarray:
        angles = np.deg2rad(angles_deg)
        normals = np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=1)
        found = np.empty((len(clouds), len(normals)))
        for row, (cloud, tree) in enumerate(zip(clouds, trees, strict=True)):
            for column, normal in enumerate(normals):
                mirrored = cloud - 2 * np.outer(cloud @ normal, normal)
                found[row, column] = tree.query(mirrored)[0].mean()
        # the median over shapes: some are mirrored in no plane, or are badly aligned
        return np.median(found, axis=0)

    coarse = np.arange(0.0, 180.0, STEP_DEG)
    values = misfit(coarse)
    spacings = [
        tree.query(cloud, k=2)[0][:, 1].mean() for cloud, tree in zip(clouds, trees, strict=True)
    ]
    if values.min() > min(CLEAR * np.median(values), CLOSE * np.median(spacings)):
        return np.eye(3)
    fine = coarse[values.argmin()] + np.linspace(-STEP_DEG, STEP_DEG, 25)
    angle = float(fine[misfit(fine).argmin()])
    # normal (cos a, 0, sin a) → ±x by a turn of a about up, whichever way is shorter
    back = (angle + 90.0) % 180.0 - 90.0
    turns = azimuth_matrices(np.deg2rad([back, -back]))
    normal = np.array([np.cos(np.deg2rad(angle)), 0.0, np.sin(np.deg2rad(angle))])
    return np.asarray(max(turns, key=lambda turn: abs(float((turn @ normal)[0]))))
