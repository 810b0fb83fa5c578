import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kp2seg.skeleton import channel_order, skeleton_maps

F64 = torch.float64

plain_loops = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("plain_loops.py"))))
LIMBS = ((0, 1), (3, 2), (1, 4), (4, 4), (0, 5))


def published(kpts, visibility, connections, size, **options):
    kpts = torch.as_tensor(kpts, dtype=F64)
    visibility = torch.as_tensor(visibility)
    return skeleton_maps(kpts, visibility, connections, size, convention="published", **options)


def test_gaussian_literal():
    maps = published([[[3.0, 2.0], [5.0, 4.0], [math.nan, 0.0]]], [[2, 1, 0]], (), (8, 20))
    assert maps.shape == (1, 3, 8, 20)
    seen, hidden, missing = maps[0]
    assert seen[2, 3] == 1.0
    assert seen[2, 6].item() == pytest.approx(math.exp(-0.5))
    assert seen[6, 6].item() == pytest.approx(math.exp(-25 / 18))
    # The cut-off: d² / 18 < 4.6025, so 9 px (4.5) is in, and (9, 2) (4.72) is not.
    assert seen[2, 12].item() == pytest.approx(math.exp(-4.5))
    assert seen[4, 12] == 0
    assert seen[2, 13] == 0
    assert hidden[4, 5] == -1.0
    assert (hidden <= 0).all()
    assert (missing == 0).all()


def test_limb_literal():
    # From (2, 3) to (5, 3), half-width 1: the row itself (|d| < 1), and the box rounds to
    # x from 1 to 6, y from 2 to 4, the last ones exclusive.
    maps = published([[[2.0, 3.0], [5.0, 3.0]]], [[2, 1]], ((0, 1),), (7, 9))[0, 2:]
    expected = torch.zeros(7, 9, dtype=F64)
    expected[3, 1:6] = 1
    torch.testing.assert_close(maps[0], expected)
    assert (maps[1] == 0).all()
    # The other way round the vector is the other way round.
    back = published([[[2.0, 3.0], [5.0, 3.0]]], [[2, 1]], ((1, 0),), (7, 9))[0, 2:]
    torch.testing.assert_close(back, -maps)


def test_box_rounds_half_to_even():
    # Ends at 2.5 and 5.5 with half-width 1: from round(1.5) = 2 to round(6.5) = 6, exclusive.
    maps = published([[[2.5, 3.0], [5.5, 3.0]]], [[2, 2]], ((0, 1),), (7, 9))[0, 2]
    assert maps[3].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0]


def test_diagonal_limb_is_a_unit_vector():
    maps = published([[[1.0, 1.0], [4.0, 5.0]]], [[2, 2]], ((0, 1),), (7, 9))[0, 2:]
    inside = maps[0] != 0
    assert inside[1, 1]
    assert inside[5, 4]
    torch.testing.assert_close(maps[0][inside], torch.full_like(maps[0][inside], 0.6))
    torch.testing.assert_close(maps[1][inside], torch.full_like(maps[1][inside], 0.8))


@pytest.mark.parametrize("size", [(16, 24), (24, 16)])
@pytest.mark.parametrize(("sigma", "half_width"), [(3.0, 1.0), (1.3, 2.5), (2.0, 0.4)])
def test_equals_the_plain_loop(size, sigma, half_width):
    P = 8
    kpts = 40 * torch.rand(P, 6, 2, dtype=F64) - 8  # some outside
    kpts[:3] = (2 * kpts[:3]).round() / 2  # halves, for rounding and level limbs
    kpts[0, 1] = kpts[0, 0]
    kpts[1, 1, 0], kpts[2, 1, 1] = kpts[1, 0, 0], kpts[2, 0, 1]
    visibility = torch.randint(0, 3, (P, 6))
    visibility[:3, :2] = 2
    maps = published(kpts, visibility, LIMBS, size, sigma_px=sigma, half_width_px=half_width)
    for p in range(P):
        expected = plain_loops.skeleton(
            kpts[p].numpy(), visibility[p].numpy(), LIMBS, size, sigma, half_width
        )
        np.testing.assert_allclose(maps[p].numpy(), expected, atol=1e-12)
    assert (maps[:, 6:] != 0).any((0, 2, 3)).sum() >= 6


def test_conventions_differ_by_half_a_pixel():
    kpts, visibility = 20 * torch.rand(3, 6, 2, dtype=F64), torch.full((3, 6), 2)
    torch.testing.assert_close(
        skeleton_maps(kpts + 0.5, visibility, LIMBS, (16, 24)),
        published(kpts, visibility, LIMBS, (16, 24)),
    )


def test_follows_a_shift_by_whole_pixels():
    kpts, visibility = 8 + 8 * torch.rand(2, 6, 2, dtype=F64), torch.full((2, 6), 1)
    maps = published(kpts, visibility, LIMBS, (40, 40))
    moved = published(kpts + torch.tensor([5.0, 3.0]), visibility, LIMBS, (40, 40))
    torch.testing.assert_close(moved[..., 3:, 5:], maps[..., :-3, :-5])


def test_limbs_off_the_maps_are_nothing():
    kpts = [[[-20.0, 5.0], [-9.0, 7.0], [4.0, -9.0], [5.0, -3.0], [40.0, 3.0], [60.0, 5.0]]]
    maps = published(kpts, [[2] * 6], ((0, 1), (2, 3), (4, 5)), (16, 24))
    assert (maps[0, 6:] == 0).all()


def test_missing_points_are_ignored_even_nan():
    kpts = (20 * torch.rand(4, 6, 2, dtype=F64)).requires_grad_()
    visibility = torch.randint(0, 3, (4, 6))
    clean = skeleton_maps(kpts, visibility, LIMBS, (16, 24))
    dirty = kpts.detach().clone()
    dirty[visibility == 0] = math.nan
    dirty.requires_grad_()
    maps = skeleton_maps(dirty, visibility, LIMBS, (16, 24))
    torch.testing.assert_close(maps, clean)
    maps.square().sum().backward()
    assert dirty.grad.isfinite().all()
    assert (dirty.grad[visibility == 0] == 0).all()
    assert (dirty.grad[visibility > 0] != 0).any()


def test_gradients():
    kpts = (1 + 4 * torch.rand(2, 4, 2, dtype=F64)).requires_grad_()
    visibility = torch.tensor([[2, 1, 2, 0], [1, 2, 2, 1]])
    assert torch.autograd.gradcheck(
        lambda k: skeleton_maps(k, visibility, LIMBS[:2], (5, 7), sigma_px=0.8), kpts
    )


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_into_channels_of_a_larger_tensor(memory_format):
    kpts, visibility = 20 * torch.rand(3, 6, 2), torch.randint(0, 3, (3, 6))
    expected = skeleton_maps(kpts, visibility, LIMBS, (16, 24))
    whole = torch.full((3, 20, 16, 24), 7.0, dtype=torch.bfloat16)
    whole = whole.contiguous(memory_format=memory_format)
    out = skeleton_maps(kpts, visibility, LIMBS, (16, 24), out=whole[:, 2:18])
    assert out.data_ptr() == whole[:, 2:18].data_ptr()
    assert torch.equal(whole[:, 2:18], expected.bfloat16())
    assert (whole[:, :2] == 7).all()
    assert (whole[:, 18:] == 7).all()


def test_single_precision_and_nobody():
    kpts, visibility = 20 * torch.rand(3, 6, 2), torch.randint(0, 3, (3, 6))
    maps = skeleton_maps(kpts, visibility, LIMBS, (16, 24))
    assert maps.dtype == torch.float32
    torch.testing.assert_close(
        maps.double(), skeleton_maps(kpts.double(), visibility, LIMBS, (16, 24)), atol=1e-6, rtol=0
    )
    assert skeleton_maps(kpts[:0], visibility[:0], LIMBS, (16, 24)).shape == (0, 16, 16, 24)


def test_channel_order():
    # Of the published file's 19 connections, those that it turns round or moves.
    connections = ((15, 13), (11, 12), (5, 11), (2, 1), (0, 2))
    assert channel_order(connections) == ((0, 2), (1, 2), (5, 11), (11, 12), (13, 15))


def test_errors():
    kpts, visibility = torch.zeros(1, 3, 2), torch.ones(1, 3)
    with pytest.raises(ValueError, match=r"keypoints 0 to 2, got \(1, 3\)"):
        skeleton_maps(kpts, visibility, ((0, 1), (1, 3)), (8, 8))
    with pytest.raises(ValueError, match=r"got \(1, 3, 2\) and \(1, 4\)"):
        skeleton_maps(kpts, torch.ones(1, 4), (), (8, 8))
    with pytest.raises(ValueError, match="above 0, got 0 and 1"):
        skeleton_maps(kpts, visibility, (), (8, 8), sigma_px=0, half_width_px=1)
    with pytest.raises(ValueError, match=r"expected out \(1, 3, 8, 8\), got \(1, 4, 8, 8\)"):
        skeleton_maps(kpts, visibility, (), (8, 8), out=torch.zeros(1, 4, 8, 8))
