import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kp2seg.alignment import (
    invert,
    sample_aligned,
    sample_positions,
    transform_points,
    warp_back,
    warp_back_regions,
)

F64 = torch.float64
CONVENTIONS = ["published", "centres"]

plain_loops = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("plain_loops.py"))))
SHIFT = torch.tensor([[1.0, 0, -2], [0, 1, -1], [0, 0, 1]], dtype=F64)


def regions(P, source, frame, dtype=F64):
    """Turned and scaled maps that put points about the middle of the source into the frame."""
    angle, scale = torch.rand(P, dtype=dtype) * 2 - 1, torch.rand(P, dtype=dtype) + 0.3
    A = torch.zeros(P, 3, 3, dtype=dtype)
    A[:, 0, 0] = A[:, 1, 1] = scale * angle.cos()
    A[:, 0, 1] = scale * angle.sin()
    A[:, 1, 0] = -A[:, 0, 1]
    A[:, 2, 2] = 1
    centre = torch.tensor([source[1], source[0]], dtype=dtype) * (0.2 + 0.6 * torch.rand(P, 2))
    middle = torch.tensor([frame[1] / 2, frame[0] / 2], dtype=dtype)
    A[:, :2, 2] = middle - transform_points(A, centre[:, None])[:, 0]
    return A


def bumps(P, h, w, dtype=F64):
    """Smooth maps in [0, 1] that differ from one pixel to the next by at most 0.25."""
    y, x = torch.meshgrid(torch.linspace(0, 3, h), torch.linspace(0, 3, w), indexing="ij")
    phase = 6 * torch.rand(P, 2, 1, 1)
    return (0.5 + 0.5 * torch.sin(x + phase[:, 0]) * torch.cos(y + phase[:, 1])).to(dtype)


def test_positions_literal():
    # Shifted by (2, 1): with centres the index shifts by as much.
    centres = sample_positions(SHIFT[None], (2, 3), (9, 5), "centres")
    expected = [[[2.0, 1], [3, 1], [4, 1]], [[2, 2], [3, 2], [4, 2]]]
    torch.testing.assert_close(centres[0], torch.tensor(expected, dtype=F64))
    # Published: x index (i · 5/4 + 2) · 4/5 = i + 1.6, y index (i · 9/8 + 1) · 8/9 = i + 8/9.
    published = sample_positions(SHIFT[None], (2, 3), (9, 5), "published")
    expected = torch.tensor(expected, dtype=F64) + torch.tensor([-0.4, -1 / 9], dtype=F64)
    torch.testing.assert_close(published[0], expected)


def test_identity_copies_the_corner():
    features = torch.randn(2, 3, 6, 5)
    out = sample_aligned(features, torch.tensor([1, 0]), torch.eye(3).expand(2, 3, 3), (4, 5))
    torch.testing.assert_close(out, features[[1, 0], :, :4])
    for convention in CONVENTIONS:  # zeros beyond the features
        out = sample_aligned(features, torch.tensor([1]), torch.eye(3)[None], (8, 9), convention)
        torch.testing.assert_close(out[0, :, :6, :5], features[1])
        assert (out[0, :, 6:] == 0).all()
        assert (out[0, :, :, 5:] == 0).all()


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_sampling_equals_the_plain_loop(convention):
    features, index = torch.randn(2, 3, 12, 9, dtype=F64), torch.tensor([0, 1, 1, 0, 1])
    A = regions(5, (12, 9), (6, 7))
    out = sample_aligned(features, index, A, (6, 7), convention)
    for p in range(5):
        expected = plain_loops.sample_aligned(
            features[index[p]].numpy(), A[p].numpy(), (6, 7), convention
        )
        np.testing.assert_allclose(out[p].numpy(), expected, atol=1e-10)
    assert (out == 0).any()  # some of it lies outside
    assert (out != 0).any()


def test_published_is_the_large_grid_cropped():
    # Normalise with 2 / n and -1, invert, torch's grid of the features' size, crop.
    h, w = 20, 14
    features, A = torch.randn(1, 4, h, w, dtype=F64), regions(3, (h, w), (7, 7))
    N = torch.tensor([[2 / w, 0, -1], [0, 2 / h, -1], [0, 0, 1]], dtype=F64)
    theta = torch.linalg.inv(N @ A @ torch.linalg.inv(N))[:, :2]
    grid = F.affine_grid(theta, (3, 4, h, w), align_corners=True)[:, :7, :7]
    expected = F.grid_sample(features.expand(3, -1, -1, -1), grid, align_corners=True)
    out = sample_aligned(features, torch.zeros(3, dtype=torch.long), A, (7, 7), "published")
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_equal_grid_sample(memory_format):
    features = torch.randn(2, 5, 11, 13, dtype=F64).contiguous(memory_format=memory_format)
    features.requires_grad_()
    A = regions(4, (11, 13), (6, 8)).requires_grad_()
    index = torch.tensor([1, 0, 1, 1])
    cotangent = torch.randn(4, 5, 6, 8, dtype=F64)
    out = sample_aligned(features, index, A, (6, 8))
    got = torch.autograd.grad((out * cotangent).sum(), (features, A))
    positions = sample_positions(A, (6, 8), (11, 13))
    grid = (2 * positions + 1) / torch.tensor([13, 11]) - 1
    expected_out = F.grid_sample(features[index], grid, align_corners=False)
    expected = torch.autograd.grad((expected_out * cotangent).sum(), (features, A))
    torch.testing.assert_close(out, expected_out)
    for value, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(value, reference)


def test_sampling_gradcheck():
    features = torch.randn(2, 2, 5, 4, dtype=F64, requires_grad=True)
    A = regions(2, (5, 4), (3, 3)).requires_grad_()
    index = torch.tensor([0, 1])
    assert torch.autograd.gradcheck(
        lambda f, A: sample_aligned(f, index, A[:, :, :], (3, 3)), (features, A)
    )


def test_half_precision_keeps_its_positions():
    # Index 100.3 has no bfloat16; a ramp read there shows whether it was rounded.
    ramp = torch.arange(128.0).expand(1, 1, 4, 128)
    A = torch.tensor([[[1.0, 0, -100.3], [0, 1, 0], [0, 0, 1]]])
    out = sample_aligned(ramp.bfloat16() - 100, torch.zeros(1, dtype=torch.long), A, (2, 2))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out[0, 0].float(), torch.tensor([[0.3, 1.3]] * 2), atol=0.01, rtol=0)


def test_sampling_ignores_other_pictures_and_takes_nobody():
    features = torch.full((2, 3, 6, 6), math.nan)
    features[1] = 1.0
    out = sample_aligned(features, torch.tensor([1]), torch.eye(3)[None], (6, 6))
    torch.testing.assert_close(out, torch.ones(1, 3, 6, 6))
    none = sample_aligned(features, torch.zeros(0, dtype=torch.long), torch.zeros(0, 3, 3), (4, 6))
    assert none.shape == (0, 3, 4, 6)


@pytest.mark.parametrize("chunk_pixels", [1 << 20, 50])
def test_warp_back_equals_the_plain_loop(chunk_pixels):
    size, frame = (23, 31), (9, 12)
    A, probabilities = regions(4, size, frame), torch.rand(4, 1, *frame, dtype=F64)
    out = warp_back(probabilities, A, size, chunk_pixels=chunk_pixels)
    for p in range(4):
        expected = plain_loops.warp_back(probabilities[p, 0].numpy(), A[p].numpy(), size, "centres")
        np.testing.assert_allclose(out[p].numpy(), expected, atol=1e-10)
        assert 0 < (expected > 0).mean() < 1


def test_published_warp_back_is_opencv_s_of_two_channels():
    # The reference warps both classes' probabilities at once; with one channel OpenCV 5 does not
    # round positions, with two it does.
    size = (240, 320)
    A, probabilities = regions(6, size, (64, 64)), torch.rand(6, 64, 64)
    out = warp_back(probabilities, A, size, convention="published")
    masks = warp_back(probabilities, A, size, convention="published", threshold=0.5)
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    for p in range(6):
        both = torch.stack([1 - probabilities[p], probabilities[p]], dim=-1).numpy()
        expected = cv2.warpAffine(both, A[p, :2].numpy(), size[::-1], flags=flags)[..., 1]
        np.testing.assert_allclose(out[p].numpy(), expected, atol=1e-4)
        assert (masks[p].numpy() == (expected > 0.5)).mean() > 0.9999
        assert 0.01 < masks[p].float().mean() < 0.9
    assert masks.dtype == torch.bool


def test_rounding_moves_a_value_by_little():
    # To 1/32 px, so by at most 1/64 of the step between two pixels, in x and in y.
    size, frame = (60, 80), (9, 12)
    A, probabilities = regions(4, size, frame), torch.rand(4, *frame, dtype=F64)
    rounded = warp_back(probabilities, A, size, convention="published")
    for p in range(4):
        exact = plain_loops.warp_back(probabilities[p].numpy(), A[p].numpy(), size, "published")
        assert 1e-4 < np.abs(rounded[p].numpy() - exact).max() < 2 / 64 + 1e-3


def test_there_and_back():
    # A smooth picture, sampled onto regions and warped back, is itself where a region covers it.
    picture, A = bumps(1, 40, 50), regions(3, (40, 50), (48, 48))
    A[:, :2] *= 1.7
    aligned = sample_aligned(picture[None], torch.zeros(3, dtype=torch.long), A, (48, 48))
    back = warp_back(aligned, A, (40, 50))
    covered = warp_back(torch.ones(3, 48, 48, dtype=F64), A, (40, 50)) == 1
    assert covered.sum() > 100
    difference = (back - picture).abs()[covered]
    assert difference.median() < 2e-3


def test_patches_are_bounded_and_cover_what_the_whole_covers():
    size = (60, 80)
    A, probabilities = regions(5, size, (16, 16)), torch.rand(5, 16, 16, dtype=F64) + 0.1
    A[3, 0, 2] += 10_000  # out of the picture
    together = torch.zeros(5, *size, dtype=F64)
    people = []
    for person, rows, columns, values in warp_back_regions(
        probabilities, A, size, chunk_pixels=300
    ):
        assert values.numel() <= 300
        assert (together[person, rows, columns] == 0).all()
        together[person, rows, columns] = values
        people.append(person)
    assert sorted(set(people)) == [0, 1, 2, 4]
    assert people == sorted(people)
    assert len(people) > 8
    torch.testing.assert_close(together, warp_back(probabilities, A, size))
    # A patch is no larger than the region's extent.
    corners = torch.tensor([[-0.5, -0.5], [16.5, -0.5], [-0.5, 16.5], [16.5, 16.5]], dtype=F64)
    extent = transform_points(invert(A[0]), corners)
    width = extent[:, 0].max() - extent[:, 0].min()
    first = next(iter(warp_back_regions(probabilities, A, size)))
    assert first.columns.stop - first.columns.start <= width + 2


def test_warp_back_gradients_and_nobody():
    probabilities = torch.rand(2, 1, 4, 5, dtype=F64, requires_grad=True)
    A = regions(2, (9, 8), (4, 5)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, A: warp_back(p, A, (9, 8), chunk_pixels=20), (probabilities, A)
    )
    assert warp_back(torch.zeros(0, 1, 4, 4), torch.zeros(0, 3, 3), (5, 7)).shape == (0, 5, 7)
    masks = warp_back(torch.zeros(0, 4, 4), torch.zeros(0, 3, 3), (5, 7), threshold=0.5)
    assert masks.shape == (0, 5, 7)
    assert masks.dtype == torch.bool


def test_errors():
    A = torch.eye(3).repeat(2, 1, 1)
    A[1, 0, 0] = 0
    with pytest.raises(ValueError, match="A_img2align of person 1 flattens"):
        warp_back(torch.rand(2, 1, 4, 4), A, (9, 9))
    with pytest.raises(ValueError, match=r"got \(2, 3, 4, 4\) and \(2, 3, 3\)"):
        warp_back(torch.rand(2, 3, 4, 4), A, (9, 9))
    with pytest.raises(ValueError, match=r"A_feat2align \(P, 3, 3\), got .*\(3,\) and \(2, 3, 3\)"):
        sample_aligned(torch.rand(1, 1, 4, 4), torch.zeros(3), A, (4, 4))
    with pytest.raises(ValueError, match=r"at least 2x2 \(h, w\), got 1x4"):
        sample_positions(A, (4, 4), (1, 4), "published")
    with pytest.raises(ValueError, match="convention: expected 'published'"):
        sample_positions(A, (4, 4), (4, 4), "corners")
