"""Keypoints → confidence maps and limb fields: the channels that show the mask head a pose.

P people, K keypoints, L connections. Only the pixels near a point or a limb are computed, and added
into maps of zeros; a small part of the maps, so a batch of people costs little more than writing
them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kp2seg.affine import Convention, pixel_offset
from kp2seg.template_files import PoseTemplates

CUT_OFF = 4.6025
"""A Gaussian ends where d² / 2σ² reaches this, at 0.01 of its height."""


def channel_order(connections: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Connections in the order in which the published network takes their channels.

    Each from its lower to its higher keypoint, sorted. The 19 of the published templates.json,
    whose own order is another, become the 19 of the published skeleton channels.
    """
    return tuple(sorted((min(pair), max(pair)) for pair in connections))


def skeleton_maps(
    kpts: Tensor,
    visibility: Tensor,
    connections: Sequence[tuple[int, int]],
    size: tuple[int, int],
    *,
    sigma_px: float = 3.0,
    half_width_px: float = 1.0,
    convention: Convention = "centres",
    out: Tensor | None = None,
) -> Tensor:
    """All skeleton channels of all people.

    First K maps exp(−d² / 2σ²) of the distance d to a keypoint, cut off at `CUT_OFF`, negative
    where the visibility is 1 (labelled but hidden), zero where it is 0 (missing). Then for each
    connection two maps, x and y of the unit vector from its first to its second keypoint, on the
    pixels nearer than the half-width to the line through both and inside the limb's box: the
    points' extent, grown by the half-width, its ends rounded half to even, the last exclusive.
    Zero where an end is missing or both ends coincide. Each person has maps of their own.

    Args:    kpts: (P, K, 2) px of the maps; a missing point may be NaN.
             visibility: (P, K), COCO's.
             connections: L pairs of keypoints, from 0.  size: (h, w) of the maps.
             convention: where pixel i of a map lies, at i ("published") or i + 0.5 ("centres").
             out: (P, K + 2 L, h, w) to overwrite, contiguous, channels_last or some channels of
             such; new without. Fresh memory is most of the time that many people take.
    Returns: (P, K + 2 L, h, w), dtype of the keypoints or of out. Differentiable in kpts.
    Raises:  ValueError: shapes that do not belong together, a connection outside of the keypoints,
             sigma or half-width not above 0.
    Source:  the reference's genSkeletons with stride 1, sigma 3, threshold 1, visdiff.
    """
    _check(kpts, visibility, connections, sigma_px, half_width_px)
    P, K = visibility.shape
    L, (h, w) = len(connections), size
    shape = (P, K + 2 * L, h, w)
    if out is None:
        out = kpts.new_zeros(shape)
    elif out.shape != shape:
        raise ValueError(f"skeleton_maps: expected out {shape}, got {tuple(out.shape)}")
    else:
        out.zero_()
    maps = out.view(P, K + 2 * L, h * w)
    seen = visibility > 0
    xy = torch.where(seen.unsqueeze(-1), kpts.double(), 0.0) - pixel_offset(convention)
    sign = torch.where(visibility == 1, -1.0, 1.0) * seen
    index, value = _gaussians(xy, sign, sigma_px, (h, w))
    maps[:, :K].scatter_add_(2, index, value.to(maps.dtype))
    if L:
        ends = torch.as_tensor(connections, device=kpts.device)
        drawn = seen[:, ends[:, 0]] & seen[:, ends[:, 1]]
        start, end = xy[:, ends[:, 0]], xy[:, ends[:, 1]]
        index, inside, unit = _limbs(start, end, drawn, half_width_px, (h, w))
        for axis in range(2):
            value = torch.where(inside, unit[..., axis, None], 0.0).to(maps.dtype)
            maps[:, K + axis :: 2].scatter_add_(2, index, value)
    return out


def _gaussians(
    xy: Tensor, sign: Tensor, sigma: float, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Pixels of the window around each point: flat indices and values, (P, K, n²)."""
    h, w = size
    radius = sigma * math.sqrt(2 * CUT_OFF)
    window = torch.arange(math.floor(2 * radius) + 1, dtype=xy.dtype, device=xy.device)
    pixels = (xy.detach() - radius).ceil().unsqueeze(-1) + window
    d2 = (pixels - xy.unsqueeze(-1)).square() / (2 * sigma**2)
    limits = torch.tensor([w, h], dtype=xy.dtype, device=xy.device).unsqueeze(-1)
    inside = (pixels >= 0) & (pixels < limits)
    bump = torch.where(inside, torch.exp(-d2), 0.0)
    pixels = torch.where(inside, pixels, 0.0).long()
    index = pixels[:, :, 1, :, None] * w + pixels[:, :, 0, None, :]
    value = (bump[:, :, 1] * sign.unsqueeze(-1)).unsqueeze(-1) * bump[:, :, 0, None, :]
    near = d2[:, :, 1, :, None] + d2[:, :, 0, None, :] < CUT_OFF
    return index.flatten(2), torch.where(near, value, 0.0).flatten(2)


def _limbs(
    start: Tensor, end: Tensor, drawn: Tensor, half_width: float, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels that a limb may cover, walking along its longer axis.

    Returns: flat indices and whether covered, (P, L, n), and unit vectors (P, L, 2).
    """
    h, w = size
    line = end - start
    drawn = drawn & (line != 0).any(-1)
    line = torch.where(drawn.unsqueeze(-1), line, 1.0)
    unit = line / line.square().sum(-1, keepdim=True).sqrt()
    along_x = (line[..., 0].abs() >= line[..., 1].abs())[..., None, None]
    direction, origin = unit.detach()[..., None, None, :], start.detach()[..., None, None, :]
    slope = torch.where(
        along_x, direction[..., 1] / direction[..., 0], direction[..., 0] / direction[..., 1]
    )
    # Across the line by the half-width is along the shorter axis by at most √2 of it.
    reach = math.sqrt(2) * half_width
    major = torch.arange(max(h, w), dtype=start.dtype, device=start.device).view(1, 1, -1, 1)
    window = torch.arange(math.ceil(2 * reach) + 2, dtype=start.dtype, device=start.device)
    major_origin = torch.where(along_x, origin[..., 0], origin[..., 1])
    minor_origin = torch.where(along_x, origin[..., 1], origin[..., 0])
    minor = (minor_origin + (major - major_origin) * slope - reach).floor() + window
    major = major.expand_as(minor)
    x, y = torch.where(along_x, major, minor), torch.where(along_x, minor, major)
    distance = (x - origin[..., 0]) * direction[..., 1] - (y - origin[..., 1]) * direction[..., 0]
    inside = (distance.abs() < half_width) & drawn[..., None, None]
    low = (torch.minimum(start, end).detach() - half_width).round()
    high = (torch.maximum(start, end).detach() + half_width).round()
    for axis, (pixel, n) in enumerate(((x, w), (y, h))):
        inside &= pixel >= low[..., axis, None, None].clamp(min=0)
        inside &= pixel < high[..., axis, None, None].clamp(max=n)
    index = torch.where(inside, y * w + x, 0.0).long()
    return index.flatten(2), inside.flatten(2), unit


def _check(
    kpts: Tensor,
    visibility: Tensor,
    connections: Sequence[tuple[int, int]],
    sigma: float,
    half_width: float,
) -> None:
    if kpts.ndim != 3 or kpts.shape[2] != 2 or visibility.shape != kpts.shape[:2]:
        raise ValueError(
            "skeleton_maps: expected kpts (P, K, 2) and visibility (P, K), "
            f"got {tuple(kpts.shape)} and {tuple(visibility.shape)}"
        )
    K = kpts.shape[1]
    wrong = [pair for pair in connections if len(pair) != 2 or not all(0 <= i < K for i in pair)]
    if wrong:
        raise ValueError(
            f"skeleton_maps: expected connections between keypoints 0 to {K - 1}, "
            f"got {', '.join(map(str, wrong))}"
        )
    if sigma <= 0 or half_width <= 0:
        raise ValueError(
            "skeleton_maps: expected sigma_px and half_width_px above 0, "
            f"got {sigma} and {half_width}"
        )


def skeleton_channels(templates: PoseTemplates) -> int:
    """How many channels the skeleton of these templates has: K + 2 L."""
    return len(templates.names) + 2 * len(templates.connections)
