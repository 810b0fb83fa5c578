"""Boundaries of masks and boundary AP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kp2seg.data.masks import decode, encode
from kp2seg.evaluation.boundary import (
    BoundaryEval,
    boundary_rle,
    boundary_width_px,
    mask_boundary,
)
from kp2seg.evaluation.segm_scores import segm_scores


def test_width_is_2_percent_of_the_diagonal() -> None:
    assert boundary_width_px((300, 400)) == 10
    assert boundary_width_px((480, 640)) == 16
    assert boundary_width_px((3, 4)) == 1
    assert boundary_width_px((300, 400), ratio=0.1) == 50


def test_by_hand() -> None:
    mask = np.zeros((6, 7), np.uint8)
    mask[1:6, 1:6] = 1
    # 1 px: the ring; the last row is at the picture's edge, which counts as an outline.
    assert mask_boundary(mask, 1).tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
    ]
    assert (mask - mask_boundary(mask, 2)).sum() == 1
    assert (mask_boundary(mask, 3) == mask).all()


@pytest.mark.parametrize("width", [1, 2, 5])
def test_against_plain_loops(width: int) -> None:
    mask = np.random.default_rng(0).random((17, 23)) < 0.9
    mask[4:14, 3:20] = True
    expected = np.zeros(mask.shape, np.uint8)
    for y, x in np.argwhere(mask):
        for dy in range(-width, width + 1):
            for dx in range(-width, width + 1):
                inside = 0 <= y + dy < 17 and 0 <= x + dx < 23
                if not inside or not mask[y + dy, x + dx]:
                    expected[y, x] = 1
    assert (mask_boundary(mask, width) == expected).all()


def test_no_mask_and_all_mask() -> None:
    assert mask_boundary(np.zeros((5, 8)), 2).sum() == 0
    assert mask_boundary(np.ones((5, 8)), 1).sum() == 5 * 8 - 3 * 6
    assert mask_boundary(np.zeros((0, 8)), 2).shape == (0, 8)
    rle = encode(np.ones((30, 40)))
    assert decode(boundary_rle(rle)).sum() == 30 * 40 - 28 * 38


def square(image_id: int, low: int, high: int, **fields: Any) -> dict[str, Any]:
    mask = np.zeros((300, 400), np.uint8)
    mask[low:high, low:high] = 1
    return {"image_id": image_id, "category_id": 1, "segmentation": encode(mask), **fields}


def test_boundary_ap_by_hand() -> None:
    """A 200 px square, found 8 px too large on each side: IoU 200² / 216² = .857.

    Boundaries are 10 px wide: 200² − 180² = 7600 and 216² − 196² = 8240 px. They share the ring
    between 196 and 200: 1584 px, so boundary IoU is 1584 / (7600 + 8240 − 1584) = .111.
    """
    coco = {
        "images": [{"id": 1, "height": 300, "width": 400}],
        "categories": [{"id": 1}],
        "annotations": [square(1, 50, 250, id=1, area=40000.0)],
    }
    off, right = square(1, 42, 258, score=1.0), square(1, 50, 250, score=1.0)
    assert pytest.approx(0.8) == segm_scores(coco, [off]).AP
    assert segm_scores(coco, [off], evaluation_class=BoundaryEval).AP == 0
    assert pytest.approx(1) == segm_scores(coco, [right], evaluation_class=BoundaryEval).AP
    assert segm_scores(coco, [], evaluation_class=BoundaryEval).AP == 0


def test_the_better_score_is_matched_first() -> None:
    """IoUs are in the order of the scores, not of the rows."""
    coco = {
        "images": [{"id": 1, "height": 300, "width": 400}],
        "categories": [{"id": 1}],
        "annotations": [square(1, 50, 250, id=1, area=40000.0)],
    }
    off, right = square(1, 42, 258, score=0.3), square(1, 50, 250, score=0.9)
    for results in ([off, right], [right, off]):
        scores = segm_scores(coco, results, evaluation_class=BoundaryEval)
        assert pytest.approx(1) == scores.AP
    worse_first = [square(1, 42, 258, score=0.9), square(1, 50, 250, score=0.3)]
    scores = segm_scores(coco, worse_first, evaluation_class=BoundaryEval)
    assert pytest.approx(0.5) == scores.AP
