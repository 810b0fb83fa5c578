from __future__ import annotations

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.alignment_rotations import angle_deg, azimuth_matrices, rotation_set
from keypointnet.shapenet.alignment_scoring import (
    align_by_axes,
    align_to_medoid,
    rightly_turned,
    symmetries,
)
from keypointnet.shapenet.alignment_shapes import SurfaceSample, sample_surface
from keypointnet.shapenet.bench_alignment import figures_of, random_turns
from keypointnet.shapenet.models import Model

CUBE, AZIMUTH = rotation_set("cube"), rotation_set("azimuth")
ONE = np.eye(3)[None]


def sample_of(*meshes: trimesh.Trimesh) -> SurfaceSample:
    return sample_surface(Model("m", list(meshes)), 0)


def box(*extents: float, at: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(extents)
    mesh.apply_translation(at)
    return mesh


def steps(seed: int) -> SurfaceSample:
    """An L of two boxes with a knob on one side."""
    a, b = np.random.default_rng(seed).uniform(0.9, 1.1, 2)
    return sample_of(
        box(0.8 * a, 0.2, 1.4),
        box(0.8 * a, 1.0 * b, 0.2, at=(0, 0.5, 0.6)),
        box(0.2, 0.3, 0.2, at=(0.4, 0.2, 0)),
    )


def test_symmetries_of_boxes() -> None:
    assert symmetries(sample_of(box(1, 1, 1)), CUBE).all()
    bar = symmetries(sample_of(box(0.5, 1.0, 2.0)), CUBE)
    assert bar.sum() == 4  # the half turns
    np.testing.assert_allclose(angle_deg(CUBE.matrices[bar]), [0, 180, 180, 180])
    post = symmetries(sample_of(box(1, 2, 1)), AZIMUTH)
    assert np.flatnonzero(post).tolist() == [0, 6, 12, 18]
    assert np.flatnonzero(symmetries(steps(0), CUBE)).tolist() == [0]
    assert np.flatnonzero(symmetries(steps(0), AZIMUTH)).tolist() == [0]


def test_scores_are_up_to_one_rotation_and_each_shapes_symmetry() -> None:
    true_R = CUBE.matrices[[3, 9, 14, 20]]
    common = CUBE.matrices[7]
    R = common @ true_R.transpose(0, 2, 1)
    assert rightly_turned(R, true_R, [ONE] * 4).all()
    half_turn = azimuth_matrices(np.array([np.pi]))
    R[1] = common @ half_turn[0] @ true_R[1].T
    assert rightly_turned(R, true_R, [ONE] * 4).tolist() == [True, False, True, True]
    symmetric = [ONE, np.concatenate([ONE, half_turn]), ONE, ONE]
    assert rightly_turned(R, true_R, symmetric).all()


@pytest.mark.parametrize(("error_deg", "right"), [(14.0, True), (16.0, False)])
def test_the_tolerance_is_15_degrees(error_deg: float, right: bool) -> None:
    R = azimuth_matrices(np.deg2rad([0, 0, 0, error_deg]))
    found = rightly_turned(R, np.tile(np.eye(3), (4, 1, 1)), [ONE] * 4)
    assert found.tolist() == [True, True, True, right]


def test_principal_axes_align_copies() -> None:
    for kind in ("cube", "azimuth"):
        true_R = random_turns(kind, 5, seed=3)
        turned = [steps(0).turned(R) for R in true_R]
        assert rightly_turned(align_by_axes(turned, kind), true_R, [ONE] * 5).all()


def test_closest_points_align_copies_with_a_medoid() -> None:
    for rotations in (CUBE, AZIMUTH):
        true_R = random_turns(rotations.kind, 3, seed=5)
        turned = [steps(0).turned(R) for R in true_R]
        found = align_to_medoid(turned, rotations, n_points=100, steps=4)
        assert rightly_turned(found, true_R, [ONE] * 3).all()
        if rotations is AZIMUTH:
            np.testing.assert_allclose(found[:, 1], np.tile([0, 1, 0], (3, 1)), atol=1e-9)


def test_figures_name_what_is_wrong() -> None:
    post = sample_of(box(0.3, 2.0, 0.3))
    samples = [steps(0), steps(1), steps(2), post]
    figures = figures_of(samples, ["a", "b", "c", "post"], "azimuth", seeds=[2], baselines=False)
    assert figures["symmetric"] == 1
    assert 0.75 <= figures["ours"][2] <= 1
    assert len(figures["wrong"][2]) == round(4 * (1 - figures["ours"][2]))
    assert set(figures["wrong"][2]) <= {"post"}
    assert (figures["medoid"], figures["axes"]) == ({}, {})
