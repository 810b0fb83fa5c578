"""What a detector might have said: true keypoints with a detector's mistakes.

For data whose true keypoints are known and that no detector has seen. The mistakes are the four of
Ronchi and Perona (ICCV 2017, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation"):
jitter, inversion (left taken for right), swap (another person's joint), miss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kp2seg.keypoint_sources.layouts import flip_pairs
from kp2seg.keypoint_sources.oks import sigmas_of

_NEAR = 0.25
"""A swap takes a joint at most so far away, in units of sqrt(area)."""


@dataclass(frozen=True)
class Mistakes:
    """How often a detector errs.

    Attributes:
        jitter: standard deviation of each coordinate, in units of 2 sigma_k sqrt(area), the width
            of OKS; at 0.5 a joint's similarity is .8 in the mean.
        drop_visible, drop_hidden: probability that a joint is not reported.
        invert: probability that a pair of joints changes sides.
        swap: probability that a joint is taken from a neighbour, if one has it within reach.
        miss: probability that nobody is found at all.

    Raises:  ValueError: a value outside its range; the message names it.
    """

    jitter: float = 0.5
    drop_visible: float = 0.05
    drop_hidden: float = 0.4
    invert: float = 0.03
    swap: float = 0.05
    miss: float = 0.02

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0 or (name != "jitter" and value > 1):
                most = "" if name == "jitter" else " and at most 1"
                raise ValueError(f"Mistakes: {name} must be at least 0{most}, got {value:g}")


def imitated_results(
    coco: Mapping[str, Any], names: Sequence[str], mistakes: Mistakes, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """COCO keypoint results, one for each person that is found.

    Nobody without an annotated joint is found. The third number of a joint is a confidence: 0 for
    one that is not reported, else 0.9 for a visible and 0.6 for a hidden one, up to half less the
    farther it is off, as OKS counts.

    Args:    coco: checked COCO JSON with keypoints.  names: of the joints.
             seed: of the mistakes, together with the annotation's id: somebody's are the same
             whoever else is in the file.
    Source:  see the module.
    """
    pairs = [(list(names).index(a), list(names).index(b)) for a, b in flip_pairs(names)]
    width = 2 * sigmas_of(len(names))
    by_image: dict[int, dict[int, np.ndarray]] = {}
    for row in coco["annotations"]:
        joints = np.asarray(row["keypoints"], np.float64).reshape(-1, 3)
        by_image.setdefault(row["image_id"], {})[row["id"]] = joints
    for row in coco["annotations"]:
        people = by_image[row["image_id"]]
        true = people[row["id"]]
        there = true[:, 2] > 0
        if not there.any():
            continue
        rng = np.random.default_rng([seed, int(row["id"]) % 2**64])
        size = float(np.sqrt(max(row["area"], 1.0)))
        missed = rng.random() < mistakes.miss
        points, there = true[:, :2].copy(), there.copy()
        for a, b in pairs:
            if rng.random() < mistakes.invert:
                points[[a, b]], there[[a, b]] = points[[b, a]], there[[b, a]]
        others = [joints for id_, joints in people.items() if id_ != row["id"]]
        taken = rng.random(len(names)) < mistakes.swap
        for k in np.flatnonzero(taken & there):
            near = _nearest(points[k], [other[k] for other in others])
            if near is not None and np.linalg.norm(near - points[k]) < _NEAR * size:
                points[k] = near
        points += rng.normal(size=points.shape) * (mistakes.jitter * size * width)[:, None]
        drop = np.where(true[:, 2] == 2, mistakes.drop_visible, mistakes.drop_hidden)
        there &= rng.random(len(names)) >= drop
        if missed or not there.any():
            continue
        off = np.square(points - true[:, :2]).sum(1) / (2 * np.square(width * size))
        sure = np.where(true[:, 2] == 2, 0.9, 0.6) * (0.5 + 0.5 * np.exp(-off))
        third = np.where(there, np.maximum(sure, 0.05), 0.0)
        found = np.column_stack([np.where(there[:, None], points, 0.0), third])
        yield {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "keypoints": [round(float(value), 2) for value in found.ravel()],
            "score": round(float(third[there].mean()), 4),
        }


def _nearest(point: np.ndarray, joints: Sequence[np.ndarray]) -> np.ndarray | None:
    """Of other people's same joint, (x, y, v) each, the nearest that is annotated."""
    known = [joint[:2] for joint in joints if joint[2] > 0]
    if not known:
        return None
    return min(known, key=lambda other: float(np.linalg.norm(other - point)))
