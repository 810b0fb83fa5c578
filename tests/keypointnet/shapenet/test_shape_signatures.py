from __future__ import annotations

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.alignment_rotations import rotation_set
from keypointnet.shapenet.alignment_shapes import (
    SurfaceSample,
    invariants,
    place,
    sample_surface,
    signatures,
)
from keypointnet.shapenet.models import Model, ModelError


def box_model(extents: tuple[float, float, float] = (1.0, 2.0, 0.5)) -> Model:
    return Model("box", [trimesh.creation.box(extents)])


def corner_sample() -> SurfaceSample:
    """Three walls that meet in a corner, of different sizes: there is no symmetry."""
    rng = np.random.default_rng(1)
    points, normals = [], []
    for axis, (a, b) in enumerate([(1.0, 0.4), (0.9, 0.7), (0.3, 0.8)]):
        wall = np.zeros((900, 3))
        wall[:, (axis + 1) % 3] = rng.uniform(0, a, 900)
        wall[:, (axis + 2) % 3] = rng.uniform(0, b, 900)
        points.append(wall)
        normals.append(np.tile(np.eye(3)[axis], (900, 1)))
    return SurfaceSample(
        np.concatenate(points).astype(np.float32), np.concatenate(normals).astype(np.float32)
    )


def test_points_lie_on_the_faces_evenly_over_the_area() -> None:
    sample = sample_surface(box_model(), seed=3, n_points=7000)
    assert sample.points.shape == sample.normals.shape == (7000, 3)
    half = np.array([0.5, 1.0, 0.25])
    axis = np.abs(sample.normals).argmax(axis=1)
    on_face = np.take_along_axis(np.abs(sample.points), axis[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(on_face, half[axis], atol=1e-6)
    assert (np.abs(sample.points) <= half + 1e-6).all()
    outward = np.take_along_axis(sample.points * sample.normals, axis[:, None], axis=1)
    assert (outward > 0).all()
    areas = np.array([2 * 0.5, 1 * 0.5, 1 * 2]) / 3.5
    np.testing.assert_allclose(np.bincount(axis) / 7000, areas, atol=0.02)


def test_the_same_seed_gives_the_same_points() -> None:
    first, again, other = (sample_surface(box_model(), seed, 50).points for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_what_cannot_be_sampled_is_refused() -> None:
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False)
    with pytest.raises(ModelError, match=r"model line: .*no area"):
        sample_surface(Model("line", [flat]), 0)
    with pytest.raises(ValueError, match="n_points > 0, got 0"):
        sample_surface(box_model(), 0, n_points=0)


@pytest.mark.parametrize("kind", ["azimuth", "cube"])
def test_placing_turns_with_the_shape(kind: str) -> None:
    sample = corner_sample()
    R = rotation_set(kind).matrices[7]
    placed, centre, scale = place(sample, kind)
    turned, turned_centre, turned_scale = place(sample.turned(R), kind)
    np.testing.assert_allclose(turned.points, placed.points @ R.T, atol=1e-5)
    np.testing.assert_allclose(turned_centre, R @ centre, atol=1e-5)
    assert turned_scale == pytest.approx(scale, rel=1e-5)
    inside = np.linalg.norm(placed.points, axis=1) <= 1
    assert inside.mean() == pytest.approx(0.98, abs=0.002)
    np.testing.assert_allclose(placed.points, (sample.points - centre) * scale, atol=1e-5)


def test_a_signature_under_a_rotation_is_that_of_the_turned_shape() -> None:
    placed, _, _ = place(corner_sample(), "cube")
    rotations = rotation_set("cube").matrices
    found = signatures(placed, rotations, grid=10)
    assert found.shape == (24, 3000)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for label in (1, 9, 23):
        alone = signatures(placed.turned(rotations[label]), np.eye(3)[None], grid=10)[0]
        assert found[label] @ alone == pytest.approx(1, abs=1e-3)
    assert (found[1:] @ found[0]).max() < 0.9


def test_a_signature_does_not_know_the_winding() -> None:
    placed, _, _ = place(corner_sample(), "cube")
    other = SurfaceSample(placed.points, -placed.normals)
    one = np.eye(3)[None]
    np.testing.assert_array_equal(signatures(placed, one), signatures(other, one))


def test_invariants_are_invariant_and_differ_between_shapes() -> None:
    placed, _, _ = place(corner_sample(), "cube")
    R = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    described = invariants(placed)
    assert described.shape == (80,)
    np.testing.assert_allclose(invariants(placed.turned(R)), described, atol=0.02)
    box, _, _ = place(sample_surface(box_model(), 0), "cube")
    assert np.linalg.norm(invariants(box) - described) > 0.2
