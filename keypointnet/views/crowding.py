"""Views as crowded pictures show an object: among others of its class, half hidden, on a ground.

V = B x 2 views of a batch. Layers are premultiplied RGBA.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from keypointnet.heatmaps import cell_centres
from keypointnet.views.grounds import made_up_scenes, smooth_noise
from keypointnet.views.pairs import PairBatch

if TYPE_CHECKING:
    from keypointnet.views.augmentation import AugmentationConfig

MIN_SEEN = 0.25
"""Of an object: what would hide more of it is left away."""
MAX_BLOB = 0.35
"""Of the picture, the largest thing that stands before a view."""


def surround(
    batch: PairBatch, config: AugmentationConfig, generator: torch.Generator | None = None
) -> PairBatch:
    """Puts things behind and before each object, and cuts the picture around what is seen of it.

    The alpha that is returned is still the whole object's: hidden points are to be found, too.

    Args:    batch: with objects on black, rgb bounded by alpha.
    Returns: a new batch; where it is cut otherwise (`config.context`, `config.crop`), with other
             intrinsics.
    """
    wanted = (config.neighbours, config.occluder, config.background, config.context, config.crop)
    if not any(wanted):
        return batch
    rgba, alpha = batch.rgba, batch.rgba[:, :, 3:]
    behind, before = torch.zeros_like(rgba), torch.zeros_like(rgba)
    if config.neighbours > 0:
        for probability in (config.neighbours, config.neighbours / 2):
            other = _chosen(rgba, probability, generator) * neighbours(rgba, generator)
            is_before = _chosen(rgba, 0.5, generator)
            before = over(is_before * other, before)
            behind = over((1 - is_before) * other, behind)
    if config.occluder > 0:
        before = over(_chosen(rgba, config.occluder, generator) * blobs(rgba, generator), before)
    seen = alpha * (1 - before[:, :, 3:])
    enough = seen.sum((2, 3, 4), keepdim=True) >= MIN_SEEN * alpha.sum((2, 3, 4), keepdim=True)
    shown = over(enough * before, over(rgba, behind))
    K = batch.K
    if config.context > 0 or config.crop > 0:
        s, t = around(torch.where(enough, seen, alpha), config.context)
        draw = 2 * torch.rand((*rgba.shape[:2], 3), generator=generator, device=rgba.device) - 1
        s_crop, t_crop = 1 + config.crop * draw[..., :1], 0.5 * config.crop * draw[..., 1:]
        s, t = s_crop * s, s_crop * t + t_crop
        shown, alpha = moved(torch.cat([shown, alpha], dim=2), s, t).split([4, 1], dim=2)
        K = scaled(K, s, t)
    rgb, covered = shown[:, :, :3], shown[:, :, 3:]
    if config.background > 0:
        chosen = _chosen(rgba, config.background, generator)
        rgb = rgb + chosen * (1 - covered) * made_up_scenes(rgb, generator)
    return batch._replace(rgba=torch.cat([rgb, alpha], dim=2), K=K)


def over(front: Tensor, back: Tensor) -> Tensor:
    """One layer upon another. Args: (..., 4, h, w), premultiplied."""
    return front + (1 - front[..., 3:, :, :]) * back


def scaled(K: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Intrinsics of pictures that were `moved`. Args: K: (B, 2, 3, 3)."""
    A = torch.eye(3, device=K.device, dtype=K.dtype).repeat(*K.shape[:2], 1, 1)
    A[..., 0, 0] = A[..., 1, 1] = s[..., 0]
    A[..., :2, 2] = t
    return A @ K


def around(seen: Tensor, context: float) -> tuple[Tensor, Tensor]:
    """How pictures are `moved` for what is seen to be in the middle.

    Args:    seen: (B, 2, 1, h, w) in [0, 1].  context: side of the square that becomes the
             picture, in longer sides of the box around what is seen; 0 for no change.
    Returns: s (B, 2, 1) and t (B, 2, 2); 1 and 0 where nothing is seen.
    """
    if context == 0:
        return seen.new_ones((*seen.shape[:2], 1)), seen.new_zeros((*seen.shape[:2], 2))
    h, w = seen.shape[-2:]
    there = seen[:, :, 0] > 0.5
    low, high = [], []
    for n, dim in ((w, -2), (h, -1)):
        line = there.any(dim)
        place = torch.arange(n, device=seen.device)
        low.append(torch.where(line, place, n).amin(-1))
        high.append(torch.where(line, place + 1, 0).amax(-1))
    first, last = torch.stack(low, -1), torch.stack(high, -1)
    size = first.new_tensor([w, h])
    side = (last - first).amax(-1, keepdim=True)
    empty = side <= 0
    s = torch.where(empty, 1.0, max(h, w) / (context * side.clamp(min=1)))
    centre = (first + last - size) / max(h, w)
    return s, torch.where(empty, 0.0, -s * centre)


def neighbours(rgba: Tensor, generator: torch.Generator | None) -> Tensor:
    """For each view another pair's object, somewhat larger or smaller, beside the middle.

    Args, returns: (B, 2, 4, h, w). A batch of one pair has its own object beside it.
    """
    n, views = rgba.shape[:2]
    by = int(torch.randint(1, n, (), generator=generator, device=rgba.device)) if n > 1 else 0
    draw = torch.rand((n, views, 4), generator=generator, device=rgba.device)
    s = torch.exp2(0.5 * (2 * draw[..., :1] - 1))
    side = torch.where(draw[..., 1] < 0.5, 0.0, math.pi)
    # Most things that stand side by side are seen so.
    angle = side + 0.6 * (2 * draw[..., 2] - 1)
    distance = 0.4 + 0.8 * draw[..., 3]
    t = torch.stack([angle.cos(), angle.sin()], dim=-1) * distance.unsqueeze(-1)
    return moved(rgba.roll(by, 0), s, t)


def blobs(rgba: Tensor, generator: torch.Generator | None) -> Tensor:
    """Pieces of made-up scenes, each on up to a third of its picture. (B, 2, 4, h, w)."""
    rgb = rgba[:, :, :3]
    height = smooth_noise(rgb[:, :, :1], 4, generator)
    share = MAX_BLOB * torch.rand(rgb.shape[:2], generator=generator, device=rgb.device)
    rank = height.flatten(2).argsort(-1).argsort(-1).view_as(height) / height.shape[-2:].numel()
    there = (rank < share[:, :, None, None, None]).to(rgb)
    return torch.cat([there * made_up_scenes(rgb, generator), there], dim=2)


def moved(rgba: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Pictures scaled and shifted in their plane: (u, v) → s (u, v) + t, empty where nothing was.

    Args:    rgba: (B, 2, C, h, w).  s: (B, 2, 1).  t: (B, 2, 2).
    """
    h, w = rgba.shape[-2:]
    centres = cell_centres((h, w), device=s.device)
    grid = (centres - t[:, :, None, None]) / s[:, :, None, None]
    # grid_sample has each axis from -1 to 1; ours has the longer one.
    side = grid.new_tensor([max(h, w) / w, max(h, w) / h])
    result = F.grid_sample(rgba.flatten(0, 1), (grid * side).flatten(0, 1), align_corners=False)
    return result.view_as(rgba)


def _chosen(rgba: Tensor, probability: float, generator: torch.Generator | None) -> Tensor:
    """1 where chosen, else 0, for each view: (B, 2, 1, 1, 1)."""
    draw = torch.rand((*rgba.shape[:2], 1, 1, 1), generator=generator, device=rgba.device)
    return (draw < probability).to(rgba)
