"""Spatial distributions: from a network's maps to a point, its depth and how sure it is.

Shapes: B images, N keypoints, h x w map cells. Coordinates are the normalised (u, v) of
`keypointnet.geometry`; a map may be coarser than its picture, its cells then cover the same area.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CONFIDENCE_RADIUS = 0.15
"""Radius, in normalised units, inside which probability mass counts as being at the keypoint."""


def cell_centres(
    size: Sequence[int], *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """(u, v) of every cell's centre.

    Args:    size: (h, w) of the map.
    Returns: (h, w, 2); the longer side spans (-1, 1) exclusive, the first centre is -1 + 1/h.
    """
    h, w = size
    s = max(h, w)
    v = (2.0 * torch.arange(h, device=device, dtype=dtype or torch.float32) + 1.0 - h) / s
    u = (2.0 * torch.arange(w, device=device, dtype=dtype or torch.float32) + 1.0 - w) / s
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)


def spatial_softmax(logits: Tensor) -> Tensor:
    """Softmax over all cells of each map: gᵢ(u, v) with Σ gᵢ = 1.

    Args:    logits: (B, N, h, w).
    Returns: (B, N, h, w) float32 at least (bf16 cannot hold 16,384 small probabilities).
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(dtype).flatten(2).softmax(dim=-1).view(logits.shape)


def expectation(prob: Tensor, values: Tensor) -> Tensor:
    """Expected value Σ values · g under each distribution.

    Args:    prob: (B, N, h, w).  values: (h, w, C), shared, or (B, N, h, w), one for each map.
    Returns: (B, N, C), or (B, N).
    """
    if values.ndim == 3:
        # Autocast would do this product in bf16, whose 8 bits are 1/4 px of a 64 px picture.
        with torch.autocast(prob.device.type, enabled=False):
            return prob.flatten(2) @ values.flatten(0, 1).to(prob.dtype)
    return (prob * values).flatten(2).sum(dim=-1)


def spatial_variance(prob: Tensor, uv: Tensor) -> Tensor:
    """Σ g(u, v) ‖(u, v) − (uᵢ, vᵢ)‖² of each distribution.

    Args:    prob: (B, N, h, w).  uv: (B, N, 2), not necessarily the mean.
    Returns: (B, N), squared normalised units.
    """
    grid = cell_centres(prob.shape[-2:], device=prob.device, dtype=prob.dtype)
    # E‖x − m‖² = E‖x‖² − 2 m·E[x] + ‖m‖²: three small products instead of a (B, N, h, w, 2) array.
    moments = expectation(prob, torch.cat([grid, (grid**2).sum(-1, keepdim=True)], dim=-1))
    mean, square = moments[..., :2], moments[..., 2]
    return square - 2 * (uv * mean).sum(-1) + (uv**2).sum(-1)


def concentration(prob: Tensor, uv: Tensor, radius: float = CONFIDENCE_RADIUS) -> Tensor:
    """Share of each distribution's mass within `radius` of a point: a confidence in [0, 1].

    A map torn between two places (left or right leg?) has its mean between them and little mass
    there, which no peak height would tell.

    Args:    prob: (B, N, h, w).  uv: (B, N, 2).  radius: normalised units.
    Returns: (B, N).
    """
    grid = cell_centres(prob.shape[-2:], device=prob.device, dtype=prob.dtype)
    du = grid[0, :, 0] - uv[..., :1]
    dv = grid[:, 0, 1] - uv[..., 1:]
    inside = du.square().unsqueeze(-2) + dv.square().unsqueeze(-1) <= radius**2
    return (prob * inside).flatten(2).sum(dim=-1)
