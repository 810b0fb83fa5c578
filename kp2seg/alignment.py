"""The best template of every person: all people x all templates of a batch at once.

P people (all pictures together), T templates, K keypoints; `affine.py` has the matrices'
convention, `region_sampling.py` moves features and masks by them. Pure geometry: the source may be
a picture or a feature map, in either pixel convention.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kp2seg.affine import (
    Convention,
    Transform,
    compose,
    fit_similarity_single,
    fit_transform,
    invert,
    letterbox,
    transform_points,
)
from kp2seg.region_sampling import (
    sample_aligned,
    sample_positions,
    warp_back,
    warp_back_regions,
)

__all__ = [
    "MIN_SHARED_POINTS",
    "Alignment",
    "Convention",
    "Transform",
    "best_templates",
    "compose",
    "fit_transform",
    "invert",
    "letterbox",
    "sample_aligned",
    "sample_positions",
    "template_scores",
    "transform_points",
    "warp_back",
    "warp_back_regions",
]

MIN_SHARED_POINTS = 3
"""With two points in common a similarity is exact, whatever they are."""


class Alignment(NamedTuple):
    """Where each person's region is.

    Attributes:
        A_src2align: (P, 3, 3), dtype of the keypoints.
        score: (P,) in [0, 1]; 0 with the fallback.
        template: (P,) int64, row of the templates; -1 = fallback to the whole source.
    """

    A_src2align: Tensor
    score: Tensor
    template: Tensor


def template_scores(
    kpts: Tensor,
    visibility: Tensor,
    templates: Tensor,
    *,
    transform: Transform = "similarity",
    hard: bool = True,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """How well each person fits each template, and by which map.

    score = mean exp(−err² / 2) · shared / union: err is the distance in the template's unit square
    after the least-squares map, the mean runs over the shared points (visible in the person and in
    the template), union counts those visible in either. The score is 0 with fewer than 3 shared
    points, where these leave the map open, and, if `hard`, where a visible point of the person is
    missing from the template.

    Args:    kpts: (P, K, 2) of any unit.  visibility: (P, K), > 0 is visible; a missing point is
             ignored, even a NaN one.  templates: (T, K, 3) of (x, y, v), v > 0 where the template
             has the point (`matching_templates`).  weight: (P, K) >= 0, of the points in the fit;
             0 makes a point missing.
    Returns: A_src2unit (P, T, 3, 3), the identity where the map is open, and score (P, T), both of
             the keypoints' dtype and differentiable in kpts, templates and weight.
    Raises:  ValueError: shapes that do not belong together.
    Source:  Zhang et al. 2019, section 3.2, and its released code.
    """
    _check_shapes(kpts, visibility, templates, weight)
    visible = visibility > 0
    if weight is not None:
        visible = visible & (weight > 0)
    visible = visible[:, None]
    exists = (templates[..., 2] > 0)[None].to(visible.device)
    shared = visible & exists
    points = torch.where(visible.unsqueeze(-1), kpts.double()[:, None], 0.0)
    unit = torch.where(exists.unsqueeze(-1), templates[None, ..., :2].to(points), 0.0)
    in_fit = shared if weight is None else torch.where(shared, weight.double()[:, None], 0.0)
    A_src2unit, defined = fit_transform(points, unit, in_fit, transform)
    error2 = (transform_points(A_src2unit, points) - unit).square().sum(-1)
    n_union = (visible | exists).sum(-1).clamp(min=1)
    score = torch.where(shared, torch.exp(-error2 / 2), 0.0).sum(-1) / n_union
    valid = defined & (shared.sum(-1) >= MIN_SHARED_POINTS)
    if hard:
        valid = valid & ~(visible & ~exists).any(-1)
    return A_src2unit.to(kpts.dtype), torch.where(valid, score, 0.0).to(kpts.dtype)


def best_templates(
    kpts: Tensor,
    visibility: Tensor,
    templates: Tensor,
    *,
    source_size: tuple[float, float] | Tensor,
    align_size: tuple[int, int],
    transform: Transform = "similarity",
    hard: bool = True,
    weight: Tensor | None = None,
    single: bool = False,
) -> Alignment:
    """The region of each person: the best template's map, or the whole source.

    The template's unit square becomes the aligned frame. A template is taken only if its map's
    scale exceeds the whole source's: its first row's length as published, for an affine map
    √|det|. Among those the best score wins, the first of equal ones; without any, the whole source
    is letterboxed into the frame.

    Args:    kpts, visibility, templates, transform, hard, weight: as of `template_scores`; kpts in
             pixels of the source.
             source_size: (h, w) px of the source, or (P, 2), one for each person.
             align_size: (h, w) px of the aligned frame.
             single: the chosen similarity is rounded as the reference's, see
             `kp2seg.affine.fit_similarity_single`; not differentiable then.
    Returns: Alignment. A_src2align is differentiable in kpts, templates and weight; the choice is
             not.
    Raises:  ValueError: as `template_scores`; single with another transform or with weight.
    Source:  as `template_scores`; what the reference keeps from one template to the next has no
             other effect than said here.
    """
    if single and (transform != "similarity" or weight is not None):
        raise ValueError("best_templates: single is of similarities without weight")
    A_src2unit, score = template_scores(
        kpts, visibility, templates, transform=transform, hard=hard, weight=weight
    )
    h, w = align_size
    to_frame = torch.tensor([[w], [h], [1.0]], dtype=A_src2unit.dtype, device=A_src2unit.device)
    A_src2align = A_src2unit * to_frame
    whole = letterbox(source_size, align_size, kpts.device).expand(kpts.shape[0], 3, 3)
    linear = A_src2align.detach().double()[..., :2, :2]
    if transform == "similarity":
        scale = linear[..., 0, :].square().sum(-1).sqrt()
    else:
        (a, b), (c, d) = (row.unbind(-1) for row in linear.unbind(-2))
        scale = (a * d - b * c).abs().sqrt()
    allowed = torch.where(scale > whole[:, None, 0, 0], score, 0.0)
    # The whole source stands first with score 0, so that only a better one replaces it.
    candidates = torch.cat([whole[:, None].to(kpts.dtype), A_src2align], dim=1)
    scores = torch.cat([allowed.new_zeros(kpts.shape[0], 1), allowed], dim=1)
    index = scores.argmax(dim=1)
    rows = torch.arange(kpts.shape[0], device=kpts.device)
    A_src2align, best = candidates[rows, index], index - 1
    if single:
        matched = best >= 0
        template = templates[best[matched]].to(kpts.device)
        shared = (visibility[matched] > 0) & (template[..., 2] > 0)
        A = fit_similarity_single(kpts[matched], template[..., :2], shared) * to_frame
        A_src2align[matched] = A.to(kpts.dtype)
    return Alignment(A_src2align, scores[rows, index], best)


def _check_shapes(
    kpts: Tensor, visibility: Tensor, templates: Tensor, weight: Tensor | None
) -> None:
    K = kpts.shape[1] if kpts.ndim == 3 else -1
    if kpts.ndim != 3 or kpts.shape[2] != 2 or visibility.shape != kpts.shape[:2]:
        raise ValueError(
            "template_scores: expected kpts (P, K, 2) and visibility (P, K), "
            f"got {tuple(kpts.shape)} and {tuple(visibility.shape)}"
        )
    if templates.ndim != 3 or templates.shape[1:] != (K, 3):
        raise ValueError(
            f"template_scores: expected templates (T, {K}, 3) for people of {K} keypoints, got "
            f"{tuple(templates.shape)}; build templates from the same keypoints"
        )
    if weight is not None and weight.shape != kpts.shape[:2]:
        raise ValueError(
            f"template_scores: expected weight {tuple(kpts.shape[:2])}, got {tuple(weight.shape)}"
        )
