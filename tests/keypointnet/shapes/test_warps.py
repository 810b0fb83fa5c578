from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapes.warps import SpaceWarp, carried_normals, increasing_map

HALF = np.array([0.6, 1.0, 0.7])
MIRROR = np.array([-1.0, 1.0, 1.0])


def points_in_box(n: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, size=(n, 3)) * HALF


def jacobians(warp: SpaceWarp, points: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """(N, 3, 3), column k is the derivative along axis k."""
    moved = [(warp(points + d) - warp(points - d)) / (2 * step) for d in step * np.eye(3)]
    return np.stack(moved, axis=-1)


def test_no_strength_is_the_identity() -> None:
    points = points_in_box(50)
    np.testing.assert_allclose(SpaceWarp(HALF, np.random.default_rng(0), 0.0)(points), points)


def test_the_jacobian_is_positive_everywhere() -> None:
    points = points_in_box(300)
    for seed in range(60):
        warp = SpaceWarp(HALF, np.random.default_rng(seed), 1.5)
        assert np.linalg.det(jacobians(warp, points)).min() > 0.01, seed


def test_left_and_right_change_alike_and_the_middle_stays_in_the_middle() -> None:
    points = points_in_box(100)
    for seed in range(10):
        warp = SpaceWarp(HALF, np.random.default_rng(seed), 1.0)
        np.testing.assert_allclose(warp(points * MIRROR), warp(points) * MIRROR, atol=1e-12)
        np.testing.assert_allclose(warp(points * [0, 1, 1])[:, 0], 0, atol=1e-12)


def test_up_stays_up() -> None:
    below = points_in_box(100)
    above = below + np.array([0, 0.05, 0])
    for seed in range(30):
        warp = SpaceWarp(HALF, np.random.default_rng(seed), 1.0)
        assert (warp(above)[:, 1] > warp(below)[:, 1]).all()


def test_shapes_change_by_a_fair_amount() -> None:
    points = points_in_box(200)
    change = [
        np.abs(SpaceWarp(HALF, np.random.default_rng(seed), 1.0)(points) - points).mean()
        for seed in range(20)
    ]
    assert min(change) > 0.03
    assert max(change) < 0.4


@pytest.mark.parametrize("odd", [True, False])
def test_increasing_maps_increase_and_keep_the_ends(odd: bool) -> None:
    for seed in range(30):
        knots, values = increasing_map(np.random.default_rng(seed), 0.5, odd)
        assert (np.diff(values) > 0).all()
        assert np.interp(1.0, knots, values) == pytest.approx(1.0)
        start = 0.0 if odd else -1.0
        assert np.interp(start, knots, values) == pytest.approx(start)


def test_normals_follow_the_inverse_transpose_of_the_jacobian() -> None:
    warp = SpaceWarp(HALF, np.random.default_rng(3), 1.0)
    points = points_in_box(80) * 0.95
    normals = np.random.default_rng(1).normal(size=(80, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    carried = carried_normals(warp, points, normals, warp(points))
    inverse = np.linalg.inv(jacobians(warp, points))
    expected = np.einsum("nkj,nk->nj", inverse, normals)  # J^-T n
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    # the maps are piecewise linear: a difference that straddles a knot is a little off
    assert np.median(np.abs(carried - expected).max(axis=1)) < 1e-3
    assert (carried * expected).sum(axis=1).min() > 0.98
