import math

import numpy as np
import pytest
import torch

from keypointnet.geometry import pixels_to_normalised
from keypointnet.heatmaps import (
    cell_centres,
    concentration,
    expectation,
    spatial_softmax,
    spatial_variance,
)

SIZE = (5, 8)  # h, w


@pytest.fixture
def prob() -> torch.Tensor:
    return spatial_softmax(torch.randn(2, 3, *SIZE, dtype=torch.float64))


def test_cell_centres_literal():
    u, v = cell_centres((2, 4)).unbind(-1)
    torch.testing.assert_close(u, torch.tensor([[-0.75, -0.25, 0.25, 0.75]] * 2))
    torch.testing.assert_close(v, torch.tensor([[-0.25] * 4, [0.25] * 4]))


def test_cell_centres_are_the_centres_of_pixels():
    x, y = torch.meshgrid(torch.arange(8) + 0.5, torch.arange(5) + 0.5, indexing="xy")
    expected = pixels_to_normalised(torch.stack([x, y], dim=-1), SIZE)
    torch.testing.assert_close(cell_centres(SIZE), expected)


def test_spatial_softmax_literal():
    logits = torch.tensor([[[[0.0, math.log(3)], [math.log(2), math.log(4)]]]])
    expected = torch.tensor([[[[0.1, 0.3], [0.2, 0.4]]]])
    torch.testing.assert_close(spatial_softmax(logits), expected)
    torch.testing.assert_close(spatial_softmax(logits + 1000), expected, rtol=1e-4, atol=1e-4)


def test_spatial_softmax_is_at_least_float32():
    logits = torch.randn(2, 3, 128, 128, dtype=torch.bfloat16)
    prob = spatial_softmax(logits)
    assert prob.dtype == torch.float32
    torch.testing.assert_close(prob.sum(dim=(-2, -1)), torch.ones(2, 3))
    assert spatial_softmax(logits.double()).dtype == torch.float64


def test_moments_agree_with_plain_loops(prob):
    uv_other = torch.randn(2, 3, 2, dtype=torch.float64)
    depth = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    h, w = SIZE
    mean, z, variance, near = (np.zeros((2, 3, n)) for n in (2, 1, 1, 1))
    for b, n, y, x in np.ndindex(2, 3, h, w):
        g = float(prob[b, n, y, x])
        u, v = (2 * x + 1 - w) / w, (2 * y + 1 - h) / w
        mean[b, n] += g * np.array([u, v])
        z[b, n] += g * float(depth[b, n, y, x])
        squared = (u - float(uv_other[b, n, 0])) ** 2 + (v - float(uv_other[b, n, 1])) ** 2
        variance[b, n] += g * squared
        near[b, n] += g * (squared <= 0.6**2)
    grid = cell_centres(SIZE, dtype=torch.float64)
    np.testing.assert_allclose(expectation(prob, grid), mean)
    np.testing.assert_allclose(expectation(prob, depth), z[..., 0])
    np.testing.assert_allclose(spatial_variance(prob, uv_other), variance[..., 0])
    np.testing.assert_allclose(concentration(prob, uv_other, radius=0.6), near[..., 0])


def test_all_mass_in_one_cell_is_that_cell():
    prob = torch.zeros(1, 1, *SIZE)
    prob[0, 0, 1, 6] = 1.0
    uv = expectation(prob, cell_centres(SIZE))
    torch.testing.assert_close(uv, torch.tensor([[[0.625, -0.25]]]))
    torch.testing.assert_close(spatial_variance(prob, uv), torch.zeros(1, 1), atol=1e-6, rtol=0)
    assert concentration(prob, uv).item() == 1.0


def test_a_map_torn_between_two_places_has_no_confidence():
    prob = torch.zeros(1, 1, *SIZE)
    prob[0, 0, 2, 0] = prob[0, 0, 2, 7] = 0.5
    uv = expectation(prob, cell_centres(SIZE))
    torch.testing.assert_close(uv, torch.zeros(1, 1, 2))
    assert concentration(prob, uv).item() == 0.0
    torch.testing.assert_close(spatial_variance(prob, uv), torch.full((1, 1), 0.875**2))


def test_bf16_autocast_does_not_degrade_the_expectation():
    prob = spatial_softmax(5 * torch.randn(2, 3, 64, 64))
    grid = cell_centres((64, 64))
    depth = 30 + torch.randn(2, 3, 64, 64)
    uv = expectation(prob, grid)
    with torch.autocast("cpu", torch.bfloat16):
        assert (prob.flatten(2) @ grid.flatten(0, 1)).dtype == torch.bfloat16  # autocast is on
        torch.testing.assert_close(expectation(prob, grid), uv, rtol=0, atol=0)
        torch.testing.assert_close(expectation(prob, depth), (prob * depth).sum((-2, -1)))
        assert spatial_variance(prob, uv).dtype == torch.float32


def test_gradients_through_the_softmax():
    grid = cell_centres((3, 4), dtype=torch.float64)

    def moments(logits: torch.Tensor) -> torch.Tensor:
        prob = spatial_softmax(logits)
        uv = expectation(prob, grid)
        return torch.cat([uv, spatial_variance(prob, uv).unsqueeze(-1)], dim=-1)

    logits = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(moments, (logits,))


def test_an_empty_batch():
    prob = spatial_softmax(torch.zeros(0, 3, *SIZE))
    uv = expectation(prob, cell_centres(SIZE))
    assert uv.shape == (0, 3, 2)
    assert spatial_variance(prob, uv).shape == concentration(prob, uv).shape == (0, 3)
