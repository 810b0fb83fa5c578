from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapenet.isometries import Mirror, Turn, across, axis_angle_deg, half_sphere

TILTED = np.array([2.0, -1.0, 2.0]) / 3.0
CASES = [Mirror(TILTED, 0.3), Turn(TILTED, np.array([0.1, 0.4, -0.2]), 1.1)]


def test_a_mirror_and_a_turn_by_hand() -> None:
    mirror = Mirror(np.array([1.0, 0.0, 0.0]), 0.5)
    np.testing.assert_allclose(mirror.apply(np.array([[2.0, 3.0, 4.0]])), [[-1.0, 3.0, 4.0]])
    turn = Turn(np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.pi / 2)
    np.testing.assert_allclose(turn.apply(np.array([[2.0, 5.0, 0.0]])), [[1.0, 5.0, -1.0]])


@pytest.mark.parametrize("isometry", CASES)
def test_the_inverse_takes_points_back(isometry: Mirror | Turn) -> None:
    points = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(isometry.inverse().apply(isometry.apply(points)), points)
    assert np.abs(isometry.apply(points) - points).max() > 0.1


@pytest.mark.parametrize("isometry", CASES)
def test_derivatives_are_those_of_small_steps(isometry: Mirror | Turn) -> None:
    points = np.random.default_rng(1).normal(size=(5, 3))
    slope = isometry.jacobian(points)
    n_unknowns = 3 if isinstance(isometry, Mirror) else 4
    assert slope.shape == (5, 3, n_unknowns)
    for k, step in enumerate(np.eye(n_unknowns) * 1e-6):
        ahead, behind = isometry.moved(step).apply(points), isometry.moved(-step).apply(points)
        np.testing.assert_allclose(slope[..., k], (ahead - behind) / 2e-6, atol=1e-7)


def test_across_is_a_right_handed_frame() -> None:
    frame = np.stack([*across(TILTED), TILTED])
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1.0)


def test_the_half_sphere_leaves_no_direction_far_away() -> None:
    directions = half_sphere(640)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    probes = np.random.default_rng(2).normal(size=(500, 3))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    nearest = axis_angle_deg(probes[:, None], directions[None]).min(axis=1)
    assert nearest.max() < 6.5
    assert np.median(nearest) < 3.5


def test_directions_have_no_sign() -> None:
    assert axis_angle_deg(TILTED, -TILTED) == pytest.approx(0.0)
    assert axis_angle_deg(np.array([1.0, 0, 0]), np.array([0, -1.0, 0])) == pytest.approx(90.0)
