from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapenet.alignment_rotations import angle_deg, azimuth_matrices, rotation_set


@pytest.mark.parametrize(("kind", "count"), [("cube", 24), ("azimuth", 24)])
def test_a_set_is_a_group_with_its_tables(kind: str, count: int) -> None:
    rotations = rotation_set(kind)
    R = rotations.matrices
    assert R.shape == (count, 3, 3)
    np.testing.assert_allclose(R[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1)
    assert len(np.unique(np.round(R.reshape(count, 9), 6) + 0.0, axis=0)) == count
    for a in range(0, count, 5):
        for b in range(count):
            np.testing.assert_allclose(R[rotations.product[a, b]], R[a] @ R[b], atol=1e-9)
            np.testing.assert_allclose(R[rotations.relative[a, b]], R[a].T @ R[b], atol=1e-9)
    np.testing.assert_allclose(R[rotations.inverse], R.transpose(0, 2, 1), atol=1e-9)


def test_a_cubes_rotations_map_axes_to_axes() -> None:
    assert set(np.unique(rotation_set("cube").matrices)) == {-1.0, 0.0, 1.0}


def test_azimuth_turns_from_z_to_x_and_keeps_up() -> None:
    quarter = rotation_set("azimuth", steps=4).matrices[1]
    np.testing.assert_allclose(quarter @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(quarter @ [0, 1, 0], [0, 1, 0], atol=1e-12)


def test_angles() -> None:
    R = azimuth_matrices(np.deg2rad([0, 15, 180, -90]))
    np.testing.assert_allclose(angle_deg(R), [0, 15, 180, 90], atol=1e-5)
    assert angle_deg(np.zeros((0, 3, 3))).shape == (0,)


def test_a_set_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of azimuth, cube, got 'sphere'"):
        rotation_set("sphere")
    with pytest.raises(ValueError, match="at least 4 steps of azimuth, got 3"):
        rotation_set("azimuth", steps=3)
