import math

import numpy as np
import pytest
import torch

from kp2seg.pictures import cut, pyramid, to_bytes, to_float, warp

STRIPES = np.tile(np.array([40, 80, 120], np.uint8)[None, :, None], (2, 1, 3))
"""2x3: three columns."""
WIDER = np.diag([2.0, 1.0, 1.0])


def test_bytes_are_rounded_and_limited():
    picture = to_bytes(torch.tensor([-3.0, 0.4, 99.6, 300.0]).view(1, 2, 2).expand(3, 2, 2))
    assert picture.dtype == np.uint8
    assert picture[..., 1].tolist() == [[0, 0], [100, 255]]
    given = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    assert to_bytes(given).shape == (4, 5, 3)
    back = to_float(np.stack([to_bytes(given)] * 2))
    torch.testing.assert_close(back, given.float().expand(2, 3, 4, 5))


def test_twice_the_width_with_centres_at_half_pixels():
    row = warp(STRIPES, WIDER, (2, 6), 0.5)[1, :, 0]
    # Read at −1/4, 1/4, 3/4, …; outside is black.
    assert row.tolist() == [30, 50, 70, 90, 110, 90]


def test_twice_the_width_with_integer_centres():
    row = warp(STRIPES, WIDER, (2, 6), 0.0)[1, :, 0]
    assert row.tolist() == [40, 60, 80, 100, 120, 60]


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_a_quarter_turn_and_a_shift(offset):
    # (x, y) → (2 − y, x) about continuous coordinates: the right column becomes the lowest row.
    A = np.array([[0.0, -1, 2 - 2 * (0.5 - offset)], [1, 0, 0], [0, 0, 1]])
    turned = warp(STRIPES, A, (3, 2), offset)
    assert turned[..., 2].tolist() == [[40, 40], [80, 80], [120, 120]]
    shifted = warp(STRIPES, np.array([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]]), (2, 3), offset)
    assert shifted[0, :, 0].tolist() == [0, 40, 80]


def test_a_warp_leaves_its_matrix_alone():
    A = WIDER.copy()
    warp(STRIPES, A, (2, 6), 0.5)
    np.testing.assert_array_equal(A, WIDER)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((100, 400), [(100, 400)]),
        ((301, 517), [(301, 517), (150, 258), (75, 129)]),
        ((256, 256), [(256, 256), (128, 128), (64, 64)]),
        ((127, 900), [(127, 900)]),
    ],
)
def test_levels_of_a_pyramid(size, sizes):
    levels = pyramid(np.zeros((*size, 3), np.uint8))
    assert [level.shape[:2] for level in levels] == sizes


def test_a_level_is_the_mean_of_four_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (129, 131, 3)).astype(np.uint8)
    half = pyramid(picture)[1]
    means = picture[:128, :130].reshape(64, 2, 65, 2, 3).astype(float).mean((1, 3))
    assert np.abs(half - means).max() <= 0.5


@pytest.mark.parametrize("angle", [0.0, 1.1])
@pytest.mark.parametrize(
    ("scale", "level"), [(3.0, 0), (0.51, 0), (0.5, 1), (0.26, 1), (0.249, 2), (0.01, 2)]
)
def test_a_region_is_read_from_the_level_at_most_twice_as_fine(scale, level, angle):
    levels = [np.full((400 >> n, 400 >> n, 3), 10 * n + 10, np.uint8) for n in range(3)]
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    middle = np.array([2 - 200 * (a - b), 2 - 200 * (a + b)])
    A = np.array([[a, -b, middle[0]], [b, a, middle[1]], [0, 0, 1]])
    region = cut(levels, A, (4, 4))
    assert region[1:3, 1:3].min() == region.max() == 10 * level + 10


@pytest.mark.parametrize("scale", [1.3, 0.45, 0.2])
def test_a_region_shows_the_place_that_its_matrix_names(scale):
    h, w = 280, 331

    def brightness(x, y):
        return 128 + 60 * np.sin(x / 45) + 50 * np.cos(y / 38)

    y, x = np.mgrid[0:h, 0:w] + 0.5
    picture = np.repeat(brightness(x, y)[..., None].round(), 3, 2).astype(np.uint8)
    a, b = scale * math.cos(0.4), scale * math.sin(0.4)
    A = np.array([[a, -b, 0.0], [b, a, 0.0], [0, 0, 1]])
    A[:2, 2] = np.array([15, 20]) - A[:2, :2] @ [160, 140]
    region = cut(pyramid(picture), A, (40, 30))
    gy, gx = np.mgrid[0:40, 0:30] + 0.5
    there = np.linalg.inv(A) @ np.stack([gx.ravel(), gy.ravel(), np.ones(gx.size)])
    inside = ((there[:2] > 6) & (there[:2] < np.array([[w], [h]]) - 6)).all(0)
    assert inside.mean() > 0.6
    error = region[..., 0].ravel() - brightness(*there[:2])
    assert np.abs(error[inside]).max() < 2.0
