import math

import pytest
import roma
import torch

from keypointnet.metrics import angular_distance, flip_rate, standard_error_3d


@pytest.mark.parametrize("angle_deg", [0.0, 1e-6, 10.0, 90.0, 179.9, 180.0])
def test_angular_distance_of_known_rotations(angle_deg):
    axis = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    R = roma.random_rotmat(4, dtype=torch.float64)
    turned = R @ roma.rotvec_to_rotmat(math.radians(angle_deg) * axis)
    expected = torch.full((4,), angle_deg, dtype=torch.float64)
    torch.testing.assert_close(angular_distance(turned, R), expected, rtol=1e-6, atol=1e-5)
    assert angular_distance(R[:0], R[:0]).shape == (0,)


def test_flip_rate_counts_angles_above_ninety():
    assert flip_rate(torch.tensor([0.0, 89.9, 90.0, 90.1, 180.0])) == pytest.approx(0.4)
    assert math.isnan(flip_rate(torch.zeros(0)))


def test_standard_error_literal():
    # Point 0 strays by ±0.3 in x, point 1 by ±0.4 in z; the third view is not kept.
    X = torch.tensor(
        [
            [[0.3, 0.0, 0.0], [1.0, 1.0, 1.4]],
            [[-0.3, 0.0, 0.0], [1.0, 1.0, 0.6]],
            [[math.nan] * 3, [math.nan] * 3],
        ]
    )
    keep = torch.tensor([True, True, False])
    assert standard_error_3d(X, keep) == pytest.approx(0.35)
    assert standard_error_3d(X + 7.0, keep) == pytest.approx(0.35, rel=1e-5)


def test_standard_error_needs_two_views():
    X = torch.zeros(3, 2, 3)
    assert math.isnan(standard_error_3d(X, torch.tensor([True, False, False])))
    assert standard_error_3d(X, torch.tensor([True, True, True])) == 0.0
