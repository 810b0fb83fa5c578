"""The terms of KeypointNet's objective, each a pure function of tensors.

Every function returns a scalar: the mean over the batch. Terms of one picture (separation,
silhouette, variance, orientation) are added over the two views of a pair by the caller.

`variant` picks, where the two differ, the formula of the paper (`"paper"`) or of the code that its
authors released (`"released"`).

Shapes: B pairs or images, N keypoints, h x w map cells.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from keypointnet.heatmaps import cell_centres, spatial_variance

Variant = Literal["paper", "released"]


def check_variant(variant: str) -> None:
    """Raises ValueError, listing the legal values, for an unknown variant."""
    if variant not in get_args(Variant):
        raise ValueError(f"loss variant: expected one of {get_args(Variant)}, got {variant!r}")


def consistency_loss(
    uv0: Tensor, uv1: Tensor, uv0_from1: Tensor, uv1_from0: Tensor, variant: Variant = "paper"
) -> Tensor:
    """Multi-view consistency: each view's points, moved into the other, must land on its points.

    L_con = 1/(2N) Σᵢ ‖[uᵢ, vᵢ, u′ᵢ, v′ᵢ] − [û′ᵢ, v̂′ᵢ, ûᵢ, v̂ᵢ]‖². The released code adds the two
    directions with 1/N each: twice the paper's value.

    Args:    uv0, uv1: (B, N, 2) predicted.  uv0_from1, uv1_from0: (B, N, 2) of the other view,
             carried over by `geometry.transfer`.
    Source:  Suwajanakorn et al. 2018, eq. 2.
    """
    check_variant(variant)
    per_point = (uv0 - uv0_from1).square().sum(-1) + (uv1 - uv1_from0).square().sum(-1)
    return per_point.mean() * (0.5 if variant == "paper" else 1.0)


def pose_loss(R_pred: Tensor, R_gt: Tensor) -> Tensor:
    """Relative pose: the angle between the Procrustes rotation and the true one, in radians.

    L_pose = 2 arcsin(‖R̂ − R‖_F / (2√2)).

    Args:    R_pred, R_gt: (B, 3, 3).
    Source:  Suwajanakorn et al. 2018, eq. 3.
    """
    ratio = torch.linalg.matrix_norm(R_pred - R_gt) / (2 * math.sqrt(2))
    # arcsin has an infinite slope at 1, where rounding may even pass it. The chain rule's product
    # is finite, but the factors are not.
    return 2 * torch.arcsin(ratio.clamp(max=1 - 1e-6)).mean()


def separation_loss(X: Tensor, delta: float, variant: Variant = "paper") -> Tensor:
    """Keypoints must stay apart in 3-D (they may share a pixel at different depths).

    Paper: L_sep = 1/N² Σ_{i≠j} max(0, δ² − ‖Xᵢ − Xⱼ‖²). Released: δ is not squared, the pairs
    i = j are counted (a constant), the factor is 1/N, and the two views are averaged, which the
    additional ½ does for a caller who adds them.

    Args:    X: (B, N, 3) unprojected keypoints.  delta: δ, in units of X.
    Source:  Suwajanakorn et al. 2018, eq. 6.
    """
    check_variant(variant)
    n = X.shape[-2]
    squared_distance = (X.unsqueeze(-2) - X.unsqueeze(-3)).square().sum(-1)
    if variant == "released":
        return (delta - squared_distance).clamp(min=0).sum(dim=(-2, -1)).mean() / (2 * n)
    off_diagonal = ~torch.eye(n, dtype=torch.bool, device=X.device)
    hinge = (delta**2 - squared_distance).clamp(min=0) * off_diagonal
    return hinge.sum(dim=(-2, -1)).mean() / n**2


def silhouette_loss(prob: Tensor, mask: Tensor) -> Tensor:
    """Probability belongs inside the silhouette: L_obj = 1/N Σᵢ −log Σ b(u, v) gᵢ(u, v).

    Args:    prob: (B, N, h, w).  mask: (B, h, w) in {0, 1}.
    Source:  Suwajanakorn et al. 2018, eq. 7; the released code's 1e-12 inside the logarithm.
    """
    inside = (prob * mask.unsqueeze(1).to(prob.dtype)).flatten(2).sum(-1)
    return -(inside + 1e-12).log().mean()


def variance_loss(prob: Tensor, uv: Tensor) -> Tensor:
    """Distributions should be peaks: L_var = 1/N Σᵢ Σ gᵢ(u, v) ‖(u, v) − (uᵢ, vᵢ)‖².

    Args:    prob: (B, N, h, w).  uv: (B, N, 2).
    Source:  Suwajanakorn et al. 2018, eq. 8.
    """
    return spatial_variance(prob, uv).mean()


def orientation_loss(uv_pred: Tensor, uv_gt: Tensor) -> Tensor:
    """Mean squared error of the two projected axis points (±1, 0, 0).

    Args:    uv_pred, uv_gt: (B, 2, 2): point (+1, 0, 0) first, then (−1, 0, 0); (u, v) last.
    Source:  Suwajanakorn et al. 2018, section 4.
    """
    return (uv_pred - uv_gt).square().mean()


def anchor_loss(uvz_pred: Tensor, uvz_gt: Tensor) -> Tensor:
    """Mean squared distance of keypoints to projected points that are fixed in the object frame.

    Not in the paper. It is to all keypoints what `orientation_loss` is to two points, asks for
    nothing but the cameras, and is switched off after the first part of training.

    Args:    uvz_pred, uvz_gt: (B, N, 3) of (u, v, z).
    """
    return (uvz_pred - uvz_gt).square().sum(-1).mean()


TAUGHT_SIGMA = 0.06
"""Of the peak that a map is to have, in normalised units: two pixels of 64."""


def taught_loss(prob: Tensor, uvz_pred: Tensor, uvz_gt: Tensor) -> Tensor:
    """Keypoints are to be at given places: cross-entropy of the maps, and five times the distance.

    Not in the paper, where nobody knows the places. The cross-entropy with a normal distribution
    about the place tells a map that is far off which way to go; the distance makes it exact.

    Args:    prob: (B, N, h, w).  uvz_pred, uvz_gt: (B, N, 3) of (u, v, z); what is NaN is a point
             that the model lacks, and does not count.
    """
    grid = cell_centres(prob.shape[-2:], device=prob.device, dtype=prob.dtype)
    known = uvz_gt.isfinite().all(-1)
    uvz_gt = torch.where(known.unsqueeze(-1), uvz_gt, 0.0)
    u, v = uvz_gt[..., 0, None] - grid[0, :, 0], uvz_gt[..., 1, None] - grid[:, 0, 1]
    u, v = ((-0.5 * (x / TAUGHT_SIGMA).square()).softmax(-1) for x in (u, v))
    wanted = v.unsqueeze(-1) * u.unsqueeze(-2)
    crossed = -(wanted * (prob + 1e-12).log()).flatten(2).sum(-1)
    distance = (uvz_pred - uvz_gt).norm(dim=-1)
    return torch.where(known, crossed + 5 * distance, 0.0).sum() / known.sum().clamp(min=1)
