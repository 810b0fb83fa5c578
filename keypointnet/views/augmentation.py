"""What may be changed in a pair of views without rendering again.

Pure functions on a `PairBatch`; the cameras follow the pictures. Random numbers come from a given
generator, so a step's augmentation can be repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from keypointnet.geometry import mirrored_cameras
from keypointnet.views.crowding import surround
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
    neighbours: float = 0.0
    """Probability that another object of the batch stands beside a view's, before or behind it;
    half as often there is one more."""
    context: float = 0.0
    """Each view is cut around what is seen of its object, a square whose side is so many longer
    sides of the box, as objects are cut out of pictures; 0 leaves the views as they are. For
    `run.teacher` only: what is hidden may then be outside of the picture."""
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
    return surround(batch._replace(rgba=rgba), config, generator)


def mirror(batch: PairBatch, chosen: Tensor) -> PairBatch:
    """Mirrors the chosen pairs: pictures left to right, and the world in its plane x = 0.

    Both views of a pair are mirrored, so their relative motion is that of the mirrored object.

    Args:    chosen: (B,) bool.
    """
    chosen = chosen.view(-1, 1, 1, 1)
    T_mirrored, K_mirrored = mirrored_cameras(batch.T_world2cam, batch.K)
    points = batch.points
    if points is not None:
        points = torch.where(chosen, points.flip(1), points)
    return batch._replace(
        points=points,
        rgba=torch.where(chosen.unsqueeze(-1), batch.rgba.flip(-1), batch.rgba),
        T_world2cam=torch.where(chosen, T_mirrored, batch.T_world2cam),
        K=torch.where(chosen, K_mirrored, batch.K),
    )


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
