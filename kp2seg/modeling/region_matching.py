"""Which region of the picture each person's features are taken from.

P people; matrices as in `kp2seg.affine`. The aligned frame is h x w px.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from kp2seg.affine import Convention, Transform, compose, letterbox, pixel_offset
from kp2seg.alignment import Alignment, best_templates

Matching = Literal["templates", "box"]
Fallback = Literal["whole", "box"]


class Regions(NamedTuple):
    """The regions of P people.

    A_img2grid: (P, 3, 3) float64, px of the picture to px of the features' grid.
    kpts_grid:  (P, K, 2) px of the grid.
    Both are in the aligner's pixel convention; `Aligner.in_centres` turns matrices into the usual
    one.
    template:   (P,) int64, the row of the matched template, or -1.
    """

    A_img2grid: Tensor
    kpts_grid: Tensor
    template: Tensor

    def take(self, rows: Tensor) -> Regions:
        """The regions of some people, in their order."""
        return Regions(*(values[rows] for values in self))


def mirrored_regions(regions: Regions, order: Tensor, side: int, convention: Convention) -> Regions:
    """The same regions of mirrored pictures, all left and right.

    Args:    order: (K,) which keypoint is in the place of each.  side: of the grid.
    """
    # The first and the last pixel change places, wherever their centres are.
    across = side - 1 + 2 * pixel_offset(convention)
    flip = regions.A_img2grid.new_tensor([[-1.0, 0.0, across], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    kpts_grid = regions.kpts_grid[:, order]
    kpts_grid = torch.stack([across - kpts_grid[..., 0], kpts_grid[..., 1]], dim=-1)
    return Regions(compose(flip, regions.A_img2grid), kpts_grid, regions.template)


def check_matching(matching: str, transform: str, fallback: str) -> None:
    """Raises ValueError where one of `match_regions`'s choices is none of its legal values."""
    for name, value, kind in (
        ("matching", matching, Matching),
        ("transform", transform, Transform),
        ("fallback", fallback, Fallback),
    ):
        if value not in get_args(kind):
            legal = " or ".join(map(repr, get_args(kind)))
            raise ValueError(f"match_regions: expected {name} {legal}, got {value!r}")


def box_regions(
    kpts: Tensor,
    visibility: Tensor,
    *,
    source_size: Tensor,
    align_size: tuple[int, int],
    expand: float = 1.7,
) -> Tensor:
    """The box of each person's points, grown about its middle, its shape kept, in the frame.

    Args:    kpts: (P, K, 2) px of the source.  visibility: (P, K), > 0 counts.
             source_size: (P, 2) (h, w) px.  expand: by how much the box grows.
    Returns: (P, 3, 3) A_src2align; the whole source where a person has fewer than 2 points or they
             coincide.
    """
    seen = (visibility > 0).unsqueeze(-1)
    points = kpts.double()
    low = torch.where(seen, points, torch.inf).amin(1)
    high = torch.where(seen, points, -torch.inf).amax(1)
    extent = (high - low) * expand
    # A person seen as a line would be scaled without end: no side below a third of the other.
    extent = torch.maximum(extent, extent.amax(-1, keepdim=True) / 3)
    found = (seen.sum((1, 2)) >= 2) & (extent.amax(-1) > 0)
    extent = torch.where(found.unsqueeze(-1), extent, 1.0)
    middle = torch.where(found.unsqueeze(-1), (low + high) / 2, 0.0)
    h, w = align_size
    scale = torch.minimum(w / extent[:, 0], h / extent[:, 1])
    A = torch.zeros(len(kpts), 3, 3, dtype=torch.float64, device=kpts.device)
    A[:, 0, 0] = A[:, 1, 1] = scale
    A[:, 0, 2] = w / 2 - scale * middle[:, 0]
    A[:, 1, 2] = h / 2 - scale * middle[:, 1]
    A[:, 2, 2] = 1
    whole = letterbox(source_size, align_size, kpts.device)
    return torch.where(found[:, None, None], A, whole)


def match_regions(
    kpts: Tensor,
    visibility: Tensor,
    templates: Tensor,
    *,
    source_size: Tensor,
    align_size: tuple[int, int],
    matching: Matching = "templates",
    transform: Transform = "similarity",
    region_scale: float = 1.0,
    fallback: Fallback = "whole",
    box_expand: float = 1.7,
    weight: Tensor | None = None,
    single: bool = False,
) -> Alignment:
    """Each person's region.

    Args:    matching: "templates", the published way, or "box", without any.
             region_scale: what a template's unit square shrinks to within the frame, about its
             middle; 1 as published, below 1 shows more of the surroundings.
             fallback: where no template fits, the whole source as published, or the box.
             box_expand: how much larger than the box of the points a region of it is.
             weight: (K,) of the keypoints in the fit; None: all alike.
             single: similarities are rounded as the reference's.
             The others: as of `kp2seg.alignment.best_templates`.
    Returns: Alignment, its A_src2align in float64.
    Raises:  ValueError: an unknown choice; as `best_templates`.
    """
    check_matching(matching, transform, fallback)
    args = {"source_size": source_size, "align_size": align_size}
    boxes = partial(box_regions, kpts, visibility, expand=box_expand)
    if matching == "box":
        A = boxes(**args)  # type: ignore[arg-type]
        none = torch.full((len(kpts),), -1, dtype=torch.long, device=kpts.device)
        return Alignment(A, kpts.new_zeros(len(kpts)), none)
    found = best_templates(
        kpts.double(),
        visibility,
        templates,
        transform=transform,
        weight=None if weight is None else weight.expand(visibility.shape),
        single=single and transform == "similarity",
        **args,  # type: ignore[arg-type]
    )
    A = found.A_src2align
    matched = (found.template >= 0)[:, None, None]
    if region_scale != 1:
        h, w = align_size
        shrink = A.new_tensor(
            [
                [region_scale, 0, (1 - region_scale) * w / 2],
                [0, region_scale, (1 - region_scale) * h / 2],
                [0, 0, 1],
            ]
        )
        A = torch.where(matched, compose(shrink, A), A)
    if fallback == "box":
        A = torch.where(matched, A, boxes(**args))  # type: ignore[arg-type]
    return found._replace(A_src2align=A)


def random_jitter(
    n: int,
    size: tuple[int, int],
    generator: torch.Generator | None = None,
    *,
    angle_deg: float = 30.0,
    scale: tuple[float, float] = (0.8, 1.2),
    shift: float = 0.1,
) -> Tensor:
    """Random similarities of the aligned frame, about its middle, for training.

    Args:    n: how many.  size: (h, w) of the frame.  angle_deg: up to, either way.
             scale: from, to.  shift: up to, either way, as a share of the frame.
    Returns: (n, 3, 3) float64, on the CPU.
    Source:  Zhang et al. 2019: the defaults are theirs.
    """
    h, w = size
    draw = torch.rand(n, 4, generator=generator, dtype=torch.float64)
    angle = (2 * draw[:, 0] - 1) * math.radians(angle_deg)
    factor = scale[0] + (scale[1] - scale[0]) * draw[:, 1]
    cos, sin = factor * angle.cos(), factor * angle.sin()
    x, y = w / 2, h / 2
    A = torch.zeros(n, 3, 3, dtype=torch.float64)
    A[:, 0, 0], A[:, 0, 1], A[:, 1, 0], A[:, 1, 1] = cos, -sin, sin, cos
    A[:, 0, 2] = x - cos * x + sin * y + (2 * draw[:, 2] - 1) * shift * w
    A[:, 1, 2] = y - sin * x - cos * y + (2 * draw[:, 3] - 1) * shift * h
    A[:, 2, 2] = 1
    return A
