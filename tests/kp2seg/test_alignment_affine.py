import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kp2seg.affine import (
    compose,
    fit_similarity_single,
    fit_transform,
    invert,
    letterbox,
    pixel_offset,
    transform_points,
)

F64 = torch.float64

plain_loops = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("plain_loops.py"))))


def random_maps(*shape, dtype=F64):
    """Turned, scaled, sheared, shifted; far from flat."""
    A = torch.zeros(*shape, 3, 3, dtype=dtype)
    A[..., :2, :2] = 2 * torch.eye(2) + torch.rand(*shape, 2, 2) - 0.5
    A[..., :2, 2] = 20 * torch.rand(*shape, 2) - 10
    A[..., 2, 2] = 1
    return A


def test_known_similarity_is_recovered():
    # A quarter turn clockwise on the screen, twice as large, moved by (10, 20).
    src = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], dtype=F64)
    dst = torch.tensor([[10.0, 20.0], [10.0, 22.0], [4.0, 20.0]], dtype=F64)
    A, defined = fit_transform(src, dst)
    expected = torch.tensor([[0.0, -2.0, 10.0], [2.0, 0.0, 20.0], [0.0, 0.0, 1.0]], dtype=F64)
    torch.testing.assert_close(A, expected)
    assert defined.item()
    torch.testing.assert_close(transform_points(A, src), dst)


def test_similarity_does_not_mirror_but_affine_does():
    src = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=F64)
    mirrored = src * torch.tensor([-1.0, 1.0])
    A, _ = fit_transform(src, mirrored)
    torch.testing.assert_close(A[:2], torch.zeros(2, 3, dtype=F64))  # opposite pulls: shrunk to 0
    A, _ = fit_transform(src, mirrored, transform="affine")
    torch.testing.assert_close(A, torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=F64)))


@pytest.mark.parametrize("transform", ["similarity", "affine"])
def test_fits_equal_the_plain_loop(transform):
    fit = plain_loops.similarity if transform == "similarity" else plain_loops.affine
    src, dst = torch.randn(5, 1, 9, 2, dtype=F64) * 50 + 300, torch.rand(4, 9, 2, dtype=F64)
    weight = torch.rand(5, 4, 9) > 0.3
    A, defined = fit_transform(src, dst, weight, transform)
    assert A.shape == (5, 4, 3, 3)
    assert defined.all()
    for p in range(5):
        for t in range(4):
            w = weight[p, t].numpy()
            expected = fit(src[p, 0].numpy()[w], dst[t].numpy()[w])
            np.testing.assert_allclose(A[p, t].numpy(), expected, atol=1e-11)


def test_similarities_rounded_as_the_references():
    src = 128 * torch.rand(4, 17, 2)
    dst, used = torch.rand(4, 17, 2, dtype=F64), torch.rand(4, 17) > 0.3
    A = fit_similarity_single(src.double(), dst, used)
    exact, _ = fit_transform(src.double(), dst, used)
    torch.testing.assert_close(A, exact, rtol=0, atol=1e-4)
    for p in range(4):
        w = used[p].numpy()
        expected = plain_loops.similarity_single(src[p].numpy()[w], dst[p].numpy()[w])
        np.testing.assert_array_equal(A[p].numpy(), expected)
    assert (A - exact).abs().max() > 1e-8  # float32 is what this is about
    assert fit_similarity_single(src[:0], dst[:0], used[:0]).shape == (0, 3, 3)


@pytest.mark.parametrize("transform", ["similarity", "affine"])
def test_weight_two_is_the_point_twice(transform):
    src, dst = torch.randn(6, 2, dtype=F64), torch.randn(6, 2, dtype=F64)
    weight = torch.tensor([1.0, 2.0, 1.0, 1.0, 0.0, 3.0])
    rows = [0, 1, 1, 2, 3, 5, 5, 5]
    weighted, _ = fit_transform(src, dst, weight, transform)
    repeated, _ = fit_transform(src[rows], dst[rows], transform=transform)
    torch.testing.assert_close(weighted, repeated)


@pytest.mark.parametrize("transform", ["similarity", "affine"])
def test_fit_follows_a_shift_and_turn_of_the_source(transform):
    src, dst = torch.randn(7, 2, dtype=F64), torch.randn(7, 2, dtype=F64)
    angle = 0.7
    turn = torch.tensor(
        [
            [math.cos(angle), -math.sin(angle), 3.0],
            [math.sin(angle), math.cos(angle), -8.0],
            [0.0, 0.0, 1.0],
        ],
        dtype=F64,
    )
    A, _ = fit_transform(src, dst, transform=transform)
    A_turned, _ = fit_transform(transform_points(turn, src), dst, transform=transform)
    torch.testing.assert_close(compose(A_turned, turn), A)


@pytest.mark.parametrize("transform", ["similarity", "affine"])
def test_points_without_weight_are_ignored_even_nan(transform):
    src, dst = torch.randn(2, 6, 2, dtype=F64), torch.randn(2, 6, 2, dtype=F64)
    weight = torch.ones(2, 6)
    weight[:, 2] = 0
    clean, _ = fit_transform(src, dst, weight, transform)
    src[:, 2], dst[:, 2] = math.nan, math.inf
    src.requires_grad_()
    dst.requires_grad_()
    A, defined = fit_transform(src, dst, weight, transform)
    torch.testing.assert_close(A, clean)
    assert defined.all()
    A.sum().backward()
    for grad in (src.grad, dst.grad):
        assert grad.isfinite().all()
        assert (grad[:, 2] == 0).all()


@pytest.mark.parametrize(
    ("transform", "points", "open_"),
    [
        ("similarity", [[5.0, 7.0], [5.0, 7.0], [5.0, 7.0]], True),
        ("similarity", [[5.0, 7.0], [5.0, 7.0], [5.0, 8.0]], False),
        ("affine", [[500.3, 700.1], [510.3, 730.1], [520.3, 760.1]], True),
        ("affine", [[500.3, 700.1], [510.3, 730.1], [520.3, 761.1]], False),
        ("affine", [[5.0, 7.0], [5.0, 7.0], [5.0, 7.0]], True),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_points_that_leave_the_map_open_are_said(transform, points, open_, dtype):
    src = torch.tensor(points, dtype=dtype, requires_grad=True)
    dst = torch.rand(3, 2, dtype=dtype)
    A, defined = fit_transform(src, dst, transform=transform)
    assert defined.item() is not open_
    assert torch.equal(A.detach(), torch.eye(3, dtype=dtype)) is open_
    A.sum().backward()
    assert src.grad.isfinite().all()


def test_too_few_points_leave_the_map_open():
    weight = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    src = torch.tensor([[0.0, 0], [3, 1], [1, 4]])
    for transform, expected in (
        ("similarity", [False, False, True, True]),
        ("affine", [False, False, False, True]),
    ):
        _, defined = fit_transform(src, src + 1, weight, transform)
        assert defined.tolist() == expected


@pytest.mark.parametrize("transform", ["similarity", "affine"])
def test_fit_gradients(transform):
    src = torch.randn(2, 5, 2, dtype=F64, requires_grad=True)
    dst = torch.randn(2, 5, 2, dtype=F64, requires_grad=True)
    weight = torch.rand(2, 5, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s, d, w: fit_transform(s, d, w, transform)[0], (src, dst, weight)
    )


def test_invert_compose_and_points_agree():
    A, B = random_maps(4), random_maps(4)
    torch.testing.assert_close(invert(A), torch.linalg.inv(A))
    torch.testing.assert_close(compose(A, B), A @ B)
    points = torch.randn(4, 6, 2, dtype=F64)
    torch.testing.assert_close(
        transform_points(compose(A, B), points), transform_points(A, transform_points(B, points))
    )
    A.requires_grad_()
    assert torch.autograd.gradcheck(lambda A: transform_points(invert(compose(A, B)), points), A)


def test_mixed_precision_does_not_touch_coordinates():
    A = random_maps(3, dtype=torch.float32)
    points = 1000 * torch.rand(3, 4, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved = transform_points(compose(invert(A), A), points)
        fitted, _ = fit_transform(points, moved)
    assert moved.dtype == fitted.dtype == torch.float32
    torch.testing.assert_close(moved, points, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(fitted, torch.eye(3).expand(3, 3, 3), rtol=1e-5, atol=2e-3)


def test_letterbox_literal():
    # 100 x 200 (h, w) into 64 x 64: by 0.32, 32 rows of picture in the middle.
    A = letterbox((100, 200), (64, 64), torch.device("cpu"))
    expected = torch.tensor([[0.32, 0, 0], [0, 0.32, 16], [0, 0, 1]], dtype=F64)
    torch.testing.assert_close(A, expected)
    both = letterbox(torch.tensor([[100, 200], [50, 10]]), (64, 32), torch.device("cpu"))
    torch.testing.assert_close(both[0, :2], torch.tensor([[0.16, 0, 0], [0, 0.16, 24]], dtype=F64))
    torch.testing.assert_close(both[1, :2], torch.tensor([[1.28, 0, 9.6], [0, 1.28, 0]], dtype=F64))


def test_a_whole_picture_rounded_as_the_reference_does():
    # Numbers of the reference's own letterbox.
    sizes = torch.tensor([[427, 640], [375, 500], [333, 500]])
    A = letterbox(sizes, (512, 512), torch.device("cpu"), single=True)
    assert A.dtype == torch.float64
    assert A[:, 0, 0].tolist() == [0.800000011920929, 1.0240000486373901, 1.0240000486373901]
    assert A[:, 1, 2].tolist() == [85.19999694824219, 63.99998474121094, 85.50399780273438]
    assert A[:, 0, 2].tolist() == [0, 0, 0]


def test_empty_batches():
    A, defined = fit_transform(torch.zeros(0, 17, 2), torch.zeros(0, 17, 2))
    assert A.shape == (0, 3, 3)
    assert defined.shape == (0,)
    assert transform_points(A, torch.zeros(0, 17, 2)).shape == (0, 17, 2)
    assert compose(A, invert(A)).shape == (0, 3, 3)


def test_errors():
    with pytest.raises(ValueError, match=r"expected src and dst .* got \(4, 2\) and \(5, 2\)"):
        fit_transform(torch.zeros(4, 2), torch.zeros(5, 2))
    with pytest.raises(ValueError, match="'similarity' or 'affine', got 'rigid'"):
        fit_transform(torch.zeros(4, 2), torch.zeros(4, 2), transform="rigid")
    with pytest.raises(ValueError, match=r"'published' .* or 'centres' .* got 'corners'"):
        pixel_offset("corners")
