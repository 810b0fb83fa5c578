"""OKS against a hand-computed value and pycocotools; suppression of doubles."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kp2seg.keypoint_sources.oks import (
    COCO_SIGMAS,
    PLAIN_SIGMA,
    oks,
    sigmas_of,
    suppress_doubles,
)


def test_by_hand() -> None:
    """Two joints, 3 px and 0 px off, area 100, sigmas 0.1 and 0.2: exp(-9 / 8) and 1."""
    gt = np.array([[[10.0, 10.0], [20.0, 20.0]]])
    detected = gt + np.array([[[0.0, 3.0], [0.0, 0.0]]])
    value = oks(detected, gt, np.array([[2, 1]]), np.array([100.0]), [0.1, 0.2])
    assert value.shape == (1, 1)
    assert value[0, 0] == pytest.approx((math.exp(-9 / 8) + 1) / 2, abs=1e-12)


def people(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kpts = rng.uniform(0, 200, (count, 17, 2))
    visibility = rng.integers(0, 3, (count, 17))
    boxes = np.concatenate([kpts.min(1), np.ptp(kpts, axis=1)], axis=1)
    return kpts, visibility, boxes


def test_equals_pycocotools_with_unlabelled_people_too() -> None:
    rng = np.random.default_rng(4)
    gt, visibility, boxes = people(rng, 6)
    visibility[2] = 0
    boxes[2] = [30, 40, 10, 20]  # joints are in and outside of three times this box
    area = rng.uniform(500, 20000, 6)
    detected = gt[[0, 1, 2, 3, 3]] + rng.normal(0, 8, (5, 17, 2))
    rows = [
        {
            "id": i + 1,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "area": area[i],
            "bbox": boxes[i].tolist(),
            "num_keypoints": int((visibility[i] > 0).sum()),
            "keypoints": np.concatenate([gt[i], visibility[i][:, None]], 1).ravel().tolist(),
        }
        for i in range(6)
    ]
    results = [
        {
            "image_id": 1,
            "category_id": 1,
            "score": 1 - 0.1 * i,
            "keypoints": np.concatenate([detected[i], np.ones((17, 1))], 1).ravel().tolist(),
        }
        for i in range(5)
    ]
    coco = COCO()
    coco.dataset = {"images": [{"id": 1}], "annotations": rows, "categories": [{"id": 1}]}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(results), "keypoints")
    run._prepare()
    expected = run.computeOks(1, 1)
    ours = oks(detected, gt, visibility, area, COCO_SIGMAS, boxes)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-15)
    assert 0 < ours[2, 2] < 1
    assert oks(detected, gt, visibility, area, COCO_SIGMAS)[2, 2] == 0


def test_missing_joints_may_be_nan() -> None:
    rng = np.random.default_rng(5)
    gt, visibility, _ = people(rng, 3)
    area = np.full(3, 4000.0)
    expected = oks(gt + 2, gt, visibility, area, COCO_SIGMAS)
    gt[visibility == 0] = np.nan
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(
        oks(np.nan_to_num(gt) + 2, gt, visibility, area, COCO_SIGMAS)[[0, 1, 2], [0, 1, 2]],
        expected[[0, 1, 2], [0, 1, 2]],
    )


def test_empty_and_wrong_shapes() -> None:
    none, one = np.zeros((0, 17, 2)), np.ones((1, 17, 2))
    seen = np.full((1, 17), 2)
    assert oks(none, one, seen, np.ones(1), COCO_SIGMAS).shape == (0, 1)
    assert oks(one, none, seen[:0], np.ones(0), COCO_SIGMAS).shape == (1, 0)
    with pytest.raises(ValueError, match=r"oks: kpts \(1, 16, 2\), gt_kpts \(1, 17, 2\)"):
        oks(one[:, :16], one, seen, np.ones(1), COCO_SIGMAS)


def test_sigmas() -> None:
    assert sigmas_of(17).tolist() == list(COCO_SIGMAS)
    assert sigmas_of(3).tolist() == [PLAIN_SIGMA] * 3


def test_doubles_are_suppressed_and_neighbours_kept() -> None:
    rng = np.random.default_rng(6)
    person = rng.uniform(0, 100, (17, 2))
    kpts = np.stack([person, person + 0.5, person + 60, person])
    visibility = np.full((4, 17), 2)
    visibility[3, 8:] = 0  # the upper half of the first
    scores = np.array([0.8, 0.9, 0.3, 0.7])
    assert suppress_doubles(kpts, visibility, scores, 0.9) == [1, 2]
    assert suppress_doubles(kpts, visibility, scores, 1.0) == [1, 0, 3, 2]


def test_a_shared_joint_makes_no_double() -> None:
    rng = np.random.default_rng(7)
    kpts = np.stack([rng.uniform(0, 100, (17, 2)), rng.uniform(300, 400, (17, 2))])
    kpts[1, 9] = kpts[0, 9]
    visibility = np.full((2, 17), 2)
    visibility[1, :9] = 0
    kpts[1, :9] = np.nan
    assert suppress_doubles(kpts, visibility, np.array([1.0, 1.0]), 0.5) == [0, 1]


def test_suppression_against_plain_loops() -> None:
    rng = np.random.default_rng(8)
    kpts = rng.uniform(0, 60, (5, 17, 2))[rng.integers(0, 5, 14)] + rng.normal(0, 2, (14, 17, 2))
    visibility = rng.integers(0, 3, (14, 17))
    visibility[3] = 0
    scores = rng.integers(0, 5, 14) / 5
    kept: list[int] = []
    for i in sorted(range(14), key=lambda i: (-scores[i], i)):
        double = False
        for j in kept:
            areas = []
            for p in (i, j):
                there = kpts[p][visibility[p] > 0]
                areas.append(float(np.ptp(there, axis=0).prod()) if len(there) else 0.0)
            total = 0.0
            for k in range(17):
                if visibility[i, k] > 0 and visibility[j, k] > 0:
                    d2 = float(((kpts[i, k] - kpts[j, k]) ** 2).sum())
                    total += math.exp(-d2 / (2 * (2 * COCO_SIGMAS[k]) ** 2 * sum(areas) / 2))
            fewer = min((visibility[i] > 0).sum(), (visibility[j] > 0).sum())
            double |= bool(fewer and total / fewer > 0.4)
        if not double:
            kept.append(i)
    assert 4 < len(kept) < 14
    assert suppress_doubles(kpts, visibility, scores, 0.4) == kept


def test_nobody_to_suppress() -> None:
    assert suppress_doubles(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0), 0.9) == []
    one = suppress_doubles(np.zeros((1, 17, 2)), np.zeros((1, 17)), np.zeros(1), 0.9)
    assert one == [0]
