"""Made-up pictures: what may stand behind and before objects, made where it is needed.

B pairs of views; random numbers come from a given generator.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def made_up_scenes(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Random pictures (B, 2, 3, h, w) in [0, 1]: two textures that meet along random edges."""
    parts = []
    for _ in range(2):
        base = torch.rand((*like.shape[:3], 1, 1), generator=generator, device=like.device)
        coarse, fine = (smooth_noise(like, cells, generator) for cells in (3, 16))
        parts.append(base + 0.25 * coarse + 0.12 * fine)
    first, second = parts
    edges = smooth_noise(like[:, :, :1], 5, generator) > 0
    scene = torch.where(edges, first, second)
    # Most of what photographs show is nearly grey.
    grey = scene.mean(2, keepdim=True)
    vivid = torch.rand((*like.shape[:2], 1, 1, 1), generator=generator, device=like.device) ** 2
    grain = torch.randn(like.shape, generator=generator, device=like.device)
    return (grey + vivid * (scene - grey) + 0.03 * grain).clamp(0, 1)


def smooth_noise(like: Tensor, cells: int, generator: torch.Generator | None) -> Tensor:
    """Gaussian noise of so many cells a side, enlarged to the size of `like`."""
    shape = (*like.shape[:3], cells, cells)
    noise = torch.randn(shape, generator=generator, device=like.device).flatten(0, 1)
    size = like.shape[-2:]
    return F.interpolate(noise, size=size, mode="bicubic").view(*like.shape[:3], *size)
