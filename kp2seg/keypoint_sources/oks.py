"""Object keypoint similarity (OKS), COCO's, and the suppression of double poses with it.

Shapes: D detections, G references, K keypoints; points (x, y) px.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""COCO's spread of each of its 17 joints between annotators, in units of sqrt(area)."""

PLAIN_SIGMA = 0.05
"""Our choice where nobody measured the spread: any other set of joints."""


def sigmas_of(n_keypoints: int) -> np.ndarray:
    """(K,): COCO's for its 17 joints, else the plain one for each."""
    if n_keypoints == len(COCO_SIGMAS):
        return np.asarray(COCO_SIGMAS)
    return np.full(n_keypoints, PLAIN_SIGMA)


def oks(
    kpts: np.ndarray,
    gt_kpts: np.ndarray,
    gt_visibility: np.ndarray,
    gt_area: np.ndarray,
    sigmas: Sequence[float] | np.ndarray,
    gt_boxes: np.ndarray | None = None,
) -> np.ndarray:
    """Mean over a reference's labelled joints of exp(−d² / (2 area (2σ)²)).

    Args:    kpts: (D, K, 2) px.  gt_kpts: (G, K, 2) px.
             gt_visibility: (G, K); a joint of 0 is ignored, even a NaN one.
             gt_area: (G,) px².  sigmas: (K,).
             gt_boxes: (G, 4) XYWH. A reference without labelled joints is compared by the
             distance of the joints to its box, doubled on each side (COCO's rule); 0 without boxes.
    Returns: (D, G) in [0, 1].
    Raises:  ValueError: shapes differ.
    Source:  https://cocodataset.org/#keypoints-eval and pycocotools, to rounding.
    """
    kpts, gt_kpts = np.asarray(kpts, np.float64), np.asarray(gt_kpts, np.float64)
    labelled = np.asarray(np.greater(gt_visibility, 0))
    area, sigmas = np.asarray(gt_area, np.float64), np.asarray(sigmas, np.float64)
    n, k = labelled.shape
    if kpts.shape[1:] != (k, 2) or gt_kpts.shape != (n, k, 2) or sigmas.shape != (k,):
        raise ValueError(
            f"oks: kpts {kpts.shape}, gt_kpts {gt_kpts.shape}, gt_visibility {labelled.shape}, "
            f"sigmas {sigmas.shape}; expected (D, K, 2), (G, K, 2), (G, K), (K,)"
        )
    difference = np.where(labelled[None, ..., None], kpts[:, None] - gt_kpts[None], 0.0)
    counted = labelled
    unlabelled = np.asarray(~labelled.any(axis=1))
    if gt_boxes is not None and unlabelled.any():
        boxes = np.asarray(gt_boxes, np.float64)[unlabelled]
        low, high = boxes[:, :2] - boxes[:, 2:], boxes[:, :2] + 2 * boxes[:, 2:]
        point = kpts[:, None]
        outside = np.maximum(0, low[None, :, None] - point) + np.maximum(0, point - high[:, None])
        difference[:, unlabelled] = outside
        counted = labelled | unlabelled[:, None]
    scale = (2 * sigmas) ** 2 * 2 * (area + np.spacing(1))[:, None]
    error = np.square(difference).sum(-1) / scale
    similarity = np.where(counted, np.exp(-error), 0.0).sum(-1)
    return np.asarray(similarity / np.maximum(counted.sum(1), 1))


def suppress_doubles(
    kpts: np.ndarray,
    visibility: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    sigmas: Sequence[float] | np.ndarray | None = None,
) -> list[int]:
    """Poses that no better pose of the same picture resembles.

    Best first (equal scores: the earlier one); a pose is dropped if it resembles a kept one: the
    sum of OKS's terms over the joints both have, divided by the joints of the one that has fewer
    (so half a pose is a double of the whole, and two people who share a wrist are not), above the
    threshold. The area is the mean of the areas of the two poses' boxes.

    Args:    kpts: (D, K, 2) px.  visibility: (D, K).  scores: (D,).  sigmas: (K,), `sigmas_of`.
    Returns: indices of the kept poses, best first.
    """
    kpts, there = np.asarray(kpts, np.float64), np.asarray(visibility) > 0
    sigmas = sigmas_of(kpts.shape[1]) if sigmas is None else np.asarray(sigmas, np.float64)
    low = np.where(there[..., None], kpts, np.inf).min(1, initial=np.inf)
    high = np.where(there[..., None], kpts, -np.inf).max(1, initial=-np.inf)
    area = np.prod(np.maximum(high - low, 0), axis=1)
    shared = there[:, None] & there[None]
    difference = np.where(shared[..., None], kpts[:, None] - kpts[None], 0.0)
    pair_area = (area[:, None] + area[None]) / 2 + np.spacing(1)
    error = np.square(difference).sum(-1) / ((2 * sigmas) ** 2 * 2 * pair_area[..., None])
    fewer = np.minimum(there.sum(1)[:, None], there.sum(1)[None])
    alike = np.where(shared, np.exp(-error), 0.0).sum(-1) / np.maximum(fewer, 1)
    kept: list[int] = []
    for i in np.argsort(-np.asarray(scores, np.float64), kind="stable").tolist():
        if not (alike[i, kept] > threshold).any():
            kept.append(i)
    return kept
