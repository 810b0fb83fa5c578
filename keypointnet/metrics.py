"""What Table 1 of the paper measures. Shapes: P pairs, V views, N keypoints."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLIP_ANGLE_DEG = 90.0
"""A rotation that is further off than this is counted as a flip (front for back)."""


def angular_distance(R_pred: Tensor, R_gt: Tensor) -> Tensor:
    """Angle between rotations, in degrees.

    Computed as 2 arcsin(‖R̂ − R‖_F / (2√2)), exact for small angles, where the arccos of a trace
    loses half the digits.

    Args:    R_pred, R_gt: (..., 3, 3).
    Returns: (...), in [0, 180].
    """
    ratio = torch.linalg.matrix_norm(R_pred - R_gt) / (2 * math.sqrt(2))
    return torch.rad2deg(2 * torch.arcsin(ratio.clamp(max=1.0)))


def flip_rate(angles_deg: Tensor) -> float:
    """Share of the angles above 90°. Args: (P,) degrees. Returns: in [0, 1]; NaN for P = 0."""
    return float((angles_deg > FLIP_ANGLE_DEG).double().mean())


def standard_error_3d(X_world: Tensor, keep: Tensor) -> float:
    """3D-SE of one model: how far each keypoint strays from its mean place in the object frame.

    For each keypoint the root of the mean squared distance to its mean over the kept views, then
    the mean over keypoints. 0 for points that are glued to the object.

    Args:    X_world: (V, N, 3), each view's keypoints moved into the object frame.
             keep: (V,) bool; views of pairs under 90°.
    Returns: units of the object (longest side 2); NaN where fewer than two views are kept.
    """
    X = X_world[keep]
    if len(X) < 2:
        return math.nan
    variance = (X - X.mean(dim=0)).square().sum(-1).mean(dim=0)
    return float(variance.sqrt().mean())
