"""What mask and quality are trained with; pure functions.

P people, m x m cells of a mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_loss(logit: Tensor, gt_masks: Tensor, *, dice: float = 0.0) -> Tensor:
    """Binary cross entropy over all cells, and a weighted share of the dice loss.

    With logit = foreground − background, the first equals the published two-class cross entropy.

    Args:    logit, gt_masks: (P, 1, m, m), the second of 0 and 1.  dice: weight of
             mean over people of 1 − (2 Σ p g + 1) / (Σ p² + Σ g² + 1).
    Returns: scalar; 0 for no people.
    """
    if len(logit) == 0:
        return logit.sum() * 0
    logit, gt_masks = logit.float(), gt_masks.float()
    loss = F.binary_cross_entropy_with_logits(logit, gt_masks)
    if dice:
        p, g = logit.sigmoid().flatten(1), gt_masks.flatten(1)
        overlap = 2 * (p * g).sum(1) + 1
        loss = loss + dice * (1 - overlap / (p.square().sum(1) + g.square().sum(1) + 1)).mean()
    return loss


def mask_iou(logit: Tensor, gt_masks: Tensor) -> Tensor:
    """IoU of each mask, logit > 0, with the truth, inside the region.

    Args:    as of `mask_loss`.
    Returns: (P,), without gradient; 0 where both are empty.
    """
    with torch.no_grad():
        mask, gt = logit.flatten(1) > 0, gt_masks.flatten(1) > 0.5
        union = (mask | gt).sum(1)
        return (mask & gt).sum(1) / union.clamp(min=1)


def quality_loss(quality: Tensor, iou: Tensor) -> Tensor:
    """Cross entropy between the predicted IoU and the true one, both as probabilities.

    Not the squared error of Mask Scoring R-CNN: through the sigmoid that stops learning where a
    prediction is far off. The first masks are empty, their IoU is 0, and it took 500 steps of a
    schedule to come back from there.

    Args:    quality, iou: (P,), 0 to 1.
    Returns: scalar; 0 for no people.
    """
    if len(quality) == 0:
        return quality.sum() * 0
    # Not torch's function, which autocast on CUDA refuses.
    p = quality.float().clamp(1e-6, 1 - 1e-6)
    return -(iou * p.log() + (1 - iou) * (1 - p).log()).mean()
