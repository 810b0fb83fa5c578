"""What may be changed in a pair of views without rendering again.

Pure functions on a `PairBatch`; the cameras follow the pictures. Random numbers come from a given
generator, so a step's augmentation can be repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from keypointnet.heatmaps import cell_centres
from keypointnet.views.pairs import PairBatch


@dataclass
class AugmentationConfig:
    """Probabilities and strengths; the paper has none of it, so all is off by default."""

    mirror: float = 0.0
    """Probability of mirroring a pair. Only for classes that are symmetric in x: the mirrored
    object's left is called left."""
    colour: float = 0.0
    """Strength of a random linear change of colour, shared by a pair; 1 is strong."""
    view_colour: float = 0.0
    """Strength of a further change for each view alone (light, white balance)."""
    grey: float = 0.0
    """Probability of losing all colour."""
    noise: float = 0.0
    """Standard deviation of pixel noise on the object, in units of [0, 1]."""
    crop: float = 0.0
    """Each view alone is scaled by up to this share either way, and shifted by up to half of it in
    normalised units, as a box drawn by somebody else would be."""
    occluder: float = 0.0
    """Probability that something stands before a view, on up to a third of it. The mask stays the
    whole object's: hidden points are to be found, too."""
    background: float = 0.0
    """Probability that a view is on a made-up background, not on black. For a network that is to
    work on photographs."""


def augment(
    batch: PairBatch, config: AugmentationConfig, generator: torch.Generator | None = None
) -> PairBatch:
    """Applies all that the configuration asks for.

    Args:    batch: B pairs.  generator: on the batch's device.
    Returns: a new batch; the input is unchanged.
    """
    if config.mirror > 0:
        chosen = _rand(batch, (len(batch.models),), generator) < config.mirror
        batch = mirror(batch, chosen)
    if config.crop > 0:
        batch = crop(batch, config.crop, generator)
    rgba = batch.rgba
    if config.colour > 0:
        rgba = change_colour(rgba, config.colour, generator, shared=True)
    if config.view_colour > 0:
        rgba = change_colour(rgba, config.view_colour, generator, shared=False)
    if config.grey > 0:
        chosen = _rand(batch, (len(batch.models), 1, 1, 1, 1), generator) < config.grey
        grey = rgba[:, :, :3].mean(dim=2, keepdim=True).expand(-1, -1, 3, -1, -1)
        rgba = torch.cat([torch.where(chosen, grey, rgba[:, :, :3]), rgba[:, :, 3:]], dim=2)
    if config.noise > 0:
        rgb, alpha = rgba[:, :, :3], rgba[:, :, 3:]
        noise = torch.randn(rgb.shape, generator=generator, device=rgb.device, dtype=rgb.dtype)
        rgb = torch.minimum((rgb + config.noise * noise * alpha).clamp(min=0), alpha)
        rgba = torch.cat([rgb, alpha], dim=2)
    if config.background > 0:
        chosen = _rand(batch, rgba.shape[:2], generator) < config.background
        rgba = paint_backgrounds(rgba, chosen, generator)
    if config.occluder > 0:
        chosen = _rand(batch, rgba.shape[:2], generator) < config.occluder
        rgba = paint_occluders(rgba, chosen, generator)
    return batch._replace(rgba=rgba)


def mirror(batch: PairBatch, chosen: Tensor) -> PairBatch:
    """Mirrors the chosen pairs: pictures left to right, and the world in its plane x = 0.

    With F = diag(−1, 1, 1, 1) a mirrored camera sees the mirrored object by F T F, again a rigid
    motion, and its principal point changes side. Both views of a pair are mirrored, so their
    relative motion is that of the mirrored object.

    Args:    chosen: (B,) bool.
    """
    F = torch.diag(batch.K.new_tensor([-1.0, 1.0, 1.0, 1.0]))
    chosen = chosen.view(-1, 1, 1, 1)
    K_mirrored = batch.K * batch.K.new_tensor([[1.0, 1.0, -1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    return batch._replace(
        rgba=torch.where(chosen.unsqueeze(-1), batch.rgba.flip(-1), batch.rgba),
        T_world2cam=torch.where(chosen, F @ batch.T_world2cam @ F, batch.T_world2cam),
        K=torch.where(chosen, K_mirrored, batch.K),
    )


def crop(batch: PairBatch, strength: float, generator: torch.Generator | None) -> PairBatch:
    """Scales and shifts each view at random, in the plane of the picture.

    (u, v) → s (u, v) + t is a change of the camera's intrinsics, so everything stays exact.

    Args:    strength: s is 1 ± this at most, each of t ± half of it.
    """
    n, views, _, h, w = batch.rgba.shape
    draw = 2 * _rand(batch, (n, views, 3), generator) - 1
    s, t = 1 + strength * draw[..., :1], 0.5 * strength * draw[..., 1:]
    grid = (cell_centres((h, w), device=draw.device) - t[:, :, None, None]) / s[:, :, None, None]
    # grid_sample has each axis from -1 to 1; ours has the longer one.
    side = grid.new_tensor([max(h, w) / w, max(h, w) / h])
    moved = F.grid_sample(
        batch.rgba.flatten(0, 1), (grid * side).flatten(0, 1), align_corners=False
    )
    A = torch.eye(3, device=draw.device).repeat(n, views, 1, 1)
    A[..., 0, 0] = A[..., 1, 1] = s[..., 0]
    A[..., :2, 2] = t
    return batch._replace(rgba=moved.view_as(batch.rgba), K=A @ batch.K)


def paint_backgrounds(
    rgba: Tensor, chosen: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Puts made-up scenes behind the object: patches of smooth colours, with edges and grain.

    Args:    rgba: (B, 2, 4, h, w) premultiplied.  chosen: (B, 2) bool.
    Returns: (B, 2, 4, h, w). Where chosen, rgb is the whole picture, no longer bounded by alpha,
             which is still the object's mask.
    """
    rgb, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    scene = _scenes(rgb, generator)
    shown = torch.where(chosen[:, :, None, None, None], rgb + (1 - alpha) * scene, rgb)
    return torch.cat([shown, alpha], dim=2)


def paint_occluders(
    rgba: Tensor, chosen: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Puts blobs of made-up scenes before the object, on up to a third of the picture.

    Args, returns: as of `paint_backgrounds`.
    """
    rgb, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    height = _smooth(rgb[:, :, :1], 4, generator)
    share = 0.35 * torch.rand(chosen.shape, generator=generator, device=rgb.device)
    rank = height.flatten(2).argsort(-1).argsort(-1).view_as(height) / height.shape[-2:].numel()
    blob = (rank < share[:, :, None, None, None]) & chosen[:, :, None, None, None]
    return torch.cat([torch.where(blob, _scenes(rgb, generator), rgb), alpha], dim=2)


def _scenes(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Random pictures (B, 2, 3, h, w) in [0, 1]: two textures that meet along random edges."""
    parts = []
    for _ in range(2):
        base = torch.rand((*like.shape[:3], 1, 1), generator=generator, device=like.device)
        coarse, fine = (_smooth(like, cells, generator) for cells in (3, 16))
        parts.append(base + 0.25 * coarse + 0.12 * fine)
    first, second = parts
    edges = _smooth(like[:, :, :1], 5, generator) > 0
    scene = torch.where(edges, first, second)
    # Most of what photographs show is nearly grey.
    grey = scene.mean(2, keepdim=True)
    vivid = torch.rand((*like.shape[:2], 1, 1, 1), generator=generator, device=like.device) ** 2
    grain = torch.randn(like.shape, generator=generator, device=like.device)
    return (grey + vivid * (scene - grey) + 0.03 * grain).clamp(0, 1)


def _smooth(like: Tensor, cells: int, generator: torch.Generator | None) -> Tensor:
    """Gaussian noise of so many cells a side, enlarged to the size of `like`."""
    shape = (*like.shape[:3], cells, cells)
    noise = torch.randn(shape, generator=generator, device=like.device).flatten(0, 1)
    size = like.shape[-2:]
    return F.interpolate(noise, size=size, mode="bicubic").view(*like.shape[:3], *size)


def change_colour(
    rgba: Tensor, strength: float, generator: torch.Generator | None, *, shared: bool
) -> Tensor:
    """Random hue rotation with saturation, gain and offset; black stays background.

    Args:    rgba: (B, 2, 4, h, w) premultiplied.  strength: 0 nothing, 1 strong.
             shared: one change for both views of a pair.
    Returns: (B, 2, 4, h, w), premultiplied, alpha unchanged.
    """
    n, views = rgba.shape[0], 1 if shared else rgba.shape[1]
    draw = 2 * torch.rand((n, views, 7), generator=generator, device=rgba.device) - 1
    angle = math.pi * strength * draw[..., 0]
    saturation = 1 + 0.5 * strength * draw[..., 1]
    gain = torch.exp2(strength * (0.6 * draw[..., 2:3] + 0.25 * draw[..., 3:6]))
    offset = 0.15 * strength * draw[..., 6].view(n, views, 1, 1, 1)
    matrix = gain.unsqueeze(-1) * _hue_rotation(angle, saturation)
    rgb, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    rgb = (matrix.expand(-1, rgba.shape[1], -1, -1) @ rgb.flatten(3)).view(rgb.shape)
    rgb = torch.minimum((rgb + offset * alpha).clamp(min=0), alpha)
    return torch.cat([rgb, alpha], dim=2)


def _hue_rotation(angle: Tensor, saturation: Tensor) -> Tensor:
    """(..., 3, 3): rotation about the grey axis, and scaling away from it."""
    axis = angle.new_full((3,), 1 / math.sqrt(3))
    grey = torch.outer(axis, axis)
    cross = torch.linalg.cross(torch.eye(3, device=angle.device), axis.expand(3, 3))
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    return grey + saturation[..., None, None] * (
        cos * (torch.eye(3, device=angle.device) - grey) + sin * cross
    )


def _rand(batch: PairBatch, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=batch.rgba.device)
