"""How well symmetries are found: parametric chairs, whose symmetries are known, damaged and turned.

The truth does not come from the detector. Every kind of chair with a back is mirrored in x and in
nothing else: the generator builds it of mirrored or centred pieces, and its back rises behind the
seat. A stool has no back, and may have more: each vertical plane through its middle is measured on
the clean mesh, by the largest distance of the images of points all over it from a fine, regular
subdivision. Largest distances, as the detector's, are in units of the object's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from keypointnet.progress import progress_bar
from keypointnet.shapenet.isometries import axis_angle_deg
from keypointnet.shapenet.symmetry import Symmetries, find_symmetries
from keypointnet.shapenet.symmetry_surface import joined
from keypointnet.shapes import make_model

SYMMETRIC = 0.02
BORDERLINE = 0.05
"""A plane is true whose largest deviation is up to SYMMETRIC, and false above BORDERLINE; one in
between is neither asked for nor counted as false."""
STEP_DEG = 5.0
WITHIN_DEG = 1.0
UP = np.array([0.0, 1.0, 0.0])
X = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class Truth:
    """The symmetries of a parametric chair, in its own frame.

    planes:     (P, 3) normals of the planes that it has; empty for a solid of revolution.
    borderline: (B, 3) normals of those that are a matter of tolerance.
    revolution: it is a solid of revolution about the vertical.
    nearly_revolution: it is, or whether it is one is a matter of tolerance.
    """

    planes: np.ndarray
    borderline: np.ndarray
    revolution: bool
    nearly_revolution: bool = False

    @property
    def order(self) -> int:
        """Of the vertical axis: as many planes as meet in it; 0 for any angle."""
        return 0 if self.revolution else len(self.planes)


def true_symmetries(mesh: trimesh.Trimesh) -> Truth:
    """The truth of one parametric chair; mesh: as generated."""
    if "back" in mesh.metadata["parts"]["names"]:
        return Truth(X[None], np.zeros((0, 3)), False)
    angles = np.radians(np.arange(0.0, 180.0, STEP_DEG))
    normals = np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=1)
    vertices, faces = joined([mesh])
    size = 2 * np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).max()
    # Vertices alone would not do: a bar across a ring has its own on the ring, wherever it lies.
    some, _ = trimesh.remesh.subdivide_to_size(vertices, faces, 0.04 * size, max_iter=20)
    fine, _ = trimesh.remesh.subdivide_to_size(vertices, faces, 0.01 * size, max_iter=20)
    tree = cKDTree(fine)
    deviation = np.array(
        [
            tree.query(some - 2 * (some @ normal)[:, None] * normal)[0].max() / size
            for normal in normals
        ]
    )
    if (deviation <= SYMMETRIC).all():
        return Truth(np.zeros((0, 3)), np.zeros((0, 3)), True, True)
    lowest = (deviation <= np.roll(deviation, 1)) & (deviation <= np.roll(deviation, -1))
    true = lowest & (deviation <= SYMMETRIC)
    grey = ~true & (deviation <= BORDERLINE)
    return Truth(normals[true], normals[grey], False, bool((deviation <= BORDERLINE).all()))


Damage = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def noisy(
    vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Every vertex moved by normal noise; sigma: of each coordinate, share of the longest side."""
    side = np.ptp(vertices, axis=0).max()
    return vertices + rng.normal(0, sigma * side, vertices.shape), faces


def decimated(
    vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator, cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices merged in the cells of a grid with a random origin; cells: in the longest side."""
    cell = np.ptp(vertices, axis=0).max() / cells
    keys = np.floor(vertices / cell + rng.random(3)).astype(np.int64)
    _, index, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    merged = np.zeros((len(count), 3))
    np.add.at(merged, index, vertices)
    faces = index[faces]
    kept = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return merged / count[:, None], faces[kept]


def holed(
    vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """A share of the faces left out at random."""
    return vertices, faces[rng.random(len(faces)) >= share]


DAMAGES: dict[str, Sequence[Damage]] = {
    "clean": (),
    "noise 0.5 %": (partial(noisy, sigma=0.005),),
    "noise 1 %": (partial(noisy, sigma=0.01),),
    "decimated": (partial(decimated, cells=40),),
    "10 % of the faces removed": (partial(holed, share=0.1),),
    "all three": (
        partial(decimated, cells=40),
        partial(noisy, sigma=0.005),
        partial(holed, share=0.1),
    ),
}
"""What is done to a chair, in this order, before it is turned at random."""


def damaged(mesh: trimesh.Trimesh, damage: str, seed: int) -> tuple[trimesh.Trimesh, np.ndarray]:
    """A chair after one of DAMAGES and a random rotation, and that (3, 3) rotation."""
    rng = np.random.default_rng([seed, list(DAMAGES).index(damage)])
    vertices, faces = joined([mesh])
    for change in DAMAGES[damage]:
        vertices, faces = change(vertices, faces, rng)
    turn = Rotation.random(rng=rng).as_matrix()
    return trimesh.Trimesh(vertices @ turn.T, faces, process=False), turn


@dataclass(frozen=True)
class Comparison:
    """One chair's answer: angles to the planes that it has, and what it claims beyond them.

    errors_deg: to the nearest plane found, for each true one; infinite where none was found.
    false:      planes claimed that are neither true nor borderline.
    axis_right: the vertical axis has its order; None where it has none and none is claimed, and
                where it differs and some plane is borderline.
    """

    errors_deg: list[float]
    false: int
    axis_right: bool | None


def compare(found: Symmetries, truth: Truth, turn: np.ndarray) -> Comparison:
    """Compare what was found on a turned chair with the truth.

    Every plane of a solid of revolution is told by its axis, so that is what the angle is of.
    """
    n_asked = 1 if truth.revolution else len(truth.planes)
    up = turn @ UP
    round_axes = [axis for axis in found.axes if axis.order is None]
    claimed = np.array([plane.normal for plane in found.planes]).reshape(-1, 3)
    order = next(
        (a.order or 0 for a in found.axes if axis_angle_deg(a.direction, up) < WITHIN_DEG), 1
    )
    if truth.revolution or (truth.nearly_revolution and round_axes):
        gaps = [float(axis_angle_deg(axis.direction, up)) for axis in round_axes]
        false = int((axis_angle_deg(claimed, up) < 90 - WITHIN_DEG).sum()) + bool(found.spherical)
        right = order == 0 if truth.revolution else None
        return Comparison([min(gaps, default=np.inf)] * n_asked, false, right)
    true = truth.planes @ turn.T
    apart = axis_angle_deg(true[:, None], claimed[None])
    errors = [float(row.min(initial=np.inf)) for row in apart]
    nearest = apart.min(axis=0, initial=np.inf)
    if len(truth.borderline):
        grey = axis_angle_deg((truth.borderline @ turn.T)[:, None], claimed[None])
        nearest = np.minimum(nearest, np.where(grey.min(axis=0) < STEP_DEG, 0.0, np.inf))
    # A solid of revolution claims planes without end.
    false = int((nearest > WITHIN_DEG).sum()) + len(round_axes) + bool(found.spherical)
    alone = len(truth.planes) == 1 and not found.axes
    unsure = order != truth.order and len(truth.borderline) > 0
    return Comparison(errors, false, None if alone or unsure else order == truth.order)


def symmetry_figures(
    seeds: Sequence[int] = range(200, 300),
    stools: int = 12,
    damages: Sequence[str] = tuple(DAMAGES),
) -> dict[str, Any]:
    """Recall, false planes and angles over parametric chairs, for each kind of damage.

    Args:    seeds: of the chairs; thresholds were set on those from 0 on.
             stools: how many to add, of the seeds that follow: few chairs have more than one plane.
             damages: names from DAMAGES.
    Returns: {"chairs", "planes", "damages": {name: {"recall_1deg", "false_planes",
             "chairs_with_false", "median_deg", "max_deg", "axis_orders_right", "axis_orders"}}};
             the angles over planes found within 1 degree.
    """
    chairs = [make_model("chair", seed).meshes[0] for seed in seeds]
    following = max(seeds, default=-1) + 1
    while stools:
        mesh = make_model("chair", following).meshes[0]
        following += 1
        if "back" not in mesh.metadata["parts"]["names"]:
            chairs.append(mesh)
            stools -= 1
    truths = [true_symmetries(mesh) for mesh in chairs]
    return {
        "chairs": len(chairs),
        "planes": sum(len(truth.planes) + truth.revolution for truth in truths),
        "damages": {damage: _figures(chairs, truths, damage) for damage in damages},
    }


def _figures(
    chairs: Sequence[trimesh.Trimesh], truths: Sequence[Truth], damage: str
) -> dict[str, Any]:
    answers = []
    for k, mesh in enumerate(progress_bar(chairs, desc=damage, unit="chair")):
        broken, turn = damaged(mesh, damage, k)
        answers.append(compare(find_symmetries([broken], seed=k), truths[k], turn))
    errors = np.concatenate([answer.errors_deg for answer in answers])
    right = errors[errors <= WITHIN_DEG]
    axes = [answer.axis_right for answer in answers if answer.axis_right is not None]
    return {
        "recall_1deg": round(float((errors <= WITHIN_DEG).mean()), 4),
        "false_planes": sum(answer.false for answer in answers),
        "chairs_with_false": sum(answer.false > 0 for answer in answers),
        "median_deg": round(float(np.median(right)), 4) if len(right) else None,
        "max_deg": round(float(right.max()), 4) if len(right) else None,
        "axis_orders_right": sum(axes),
        "axis_orders": len(axes),
    }
