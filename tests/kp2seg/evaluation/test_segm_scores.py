"""COCO's figures, against pycocotools run as its own example runs it."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kp2seg.data.masks import encode, to_rle
from kp2seg.evaluation.segm_scores import segm_scores

H, W = 150, 180


def blob(rng: np.random.Generator, scale: float) -> tuple[np.ndarray, list[float]]:
    """An ellipse and the polygon of its outline."""
    centre = rng.uniform((40, 40), (W - 40, H - 40))
    radii = rng.uniform(0.5, 1, 2) * scale
    y, x = np.mgrid[:H, :W] + 0.5
    mask = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    outline = centre + radii * np.column_stack([np.cos(angle), np.sin(angle)])
    return mask, outline.ravel().tolist()


def small_set(seed: int, pictures: int = 6) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations (polygons and RLE, one crowd) and results, more or less shifted, some false."""
    rng = np.random.default_rng(seed)
    images = [{"id": 3 * i + 2, "height": H, "width": W} for i in range(pictures)]
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in images:
        for _ in range(int(rng.integers(1, 6))):
            mask, outline = blob(rng, rng.choice([12, 35, 80]))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": 1,
                    "iscrowd": int(len(annotations) == 4),
                    "area": float(mask.sum()),
                    "bbox": [0, 0, 1, 1],
                    "segmentation": encode(mask) if len(annotations) % 3 > 0 else [outline],
                }
            )
            for _ in range(int(rng.integers(0, 3))):
                moved = np.roll(mask, rng.integers(-8, 9, 2), (0, 1))
                score = float(rng.integers(1, 6)) / 5  # many equal scores
                row = {"image_id": image["id"], "category_id": 1, "score": score}
                results.append({**row, "segmentation": encode(moved)})
    category = {"id": 1, "name": "person", "keypoints": ["nose"]}
    return {"images": images, "annotations": annotations, "categories": [category]}, results


def as_pycocotools_does(tmp_path: Path, coco: Any, results: Any) -> list[float]:
    """Through files, as its users do."""
    for name, content in (("gt", coco), ("dt", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(tmp_path / "gt.json"))
        run = COCOeval(gt, gt.loadRes(str(tmp_path / "dt.json")), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(figure) for figure in run.stats]


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_last_digit(tmp_path: Path, seed: int) -> None:
    coco, results = small_set(seed)
    before = copy.deepcopy((coco, results))
    scores = segm_scores(coco, results)
    assert list(scores.as_dict().values()) == as_pycocotools_does(tmp_path, coco, results)
    assert 0.05 < scores.AP < 0.95
    assert scores.AP50 > scores.AP > scores.AP75 - 0.2
    assert (coco, results) == before


def test_names_are_in_the_order_of_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    coco, results = small_set(0)
    names = list(segm_scores(coco, results).as_dict())
    assert names[:6] == ["AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L"]
    assert names[6:] == ["AR1", "AR10", "AR", "AR_S", "AR_M", "AR_L"]
    assert capsys.readouterr().out == ""


def test_by_hand() -> None:
    """Two people; one found exactly, the other with IoU 0.625: AP50 1, AP75 .5, up to .60 both.

    Precision is 1 up to recall .5 (51 of 101 recalls) where one is found, else up to 1.
    """
    coco, _ = small_set(0, pictures=1)
    masks = np.zeros((2, H, W), bool)
    masks[0, :40, :40] = masks[1, 80:120, 100:180] = True
    worse = masks[1].copy()
    worse[:, 150:] = False
    coco["annotations"] = [
        {"id": i, "image_id": 2, "category_id": 1, "area": 1600.0, "segmentation": encode(mask)}
        for i, mask in enumerate(masks, 1)
    ]
    results = [
        {"image_id": 2, "category_id": 1, "score": 1.0, "segmentation": encode(mask)}
        for mask in (masks[0], worse)
    ]
    scores = segm_scores(coco, results)
    assert pytest.approx(1) == scores.AP50
    assert pytest.approx(51 / 101) == scores.AP75
    assert pytest.approx((3 * 1 + 7 * 51 / 101) / 10) == scores.AP
    assert pytest.approx((3 * 1 + 7 * 0.5) / 10) == scores.AR
    assert scores.AP_L == -1


def test_perfect_masks_and_none() -> None:
    coco, _ = small_set(1)
    for row in coco["annotations"]:
        row["iscrowd"] = 0
    keys = ("image_id", "category_id", "segmentation")
    rle = [row for row in coco["annotations"] if isinstance(row["segmentation"], dict)]
    perfect = [{**{key: row[key] for key in keys}, "score": 1.0} for row in rle]
    assert pytest.approx(1) == segm_scores({**coco, "annotations": rle}, perfect).AP
    nothing = segm_scores(coco, [])
    assert (nothing.AP, nothing.AR) == (0, 0)
    assert segm_scores({**coco, "annotations": []}, perfect).AP == -1


def test_annotation_ids_may_begin_at_0(tmp_path: Path) -> None:
    """pycocotools itself takes a found annotation 0 for one that was not found."""
    coco, results = small_set(2)
    expected = segm_scores(coco, results)
    for row in coco["annotations"]:
        row["id"] -= 1
    assert segm_scores(coco, results) == expected
    mask = to_rle(coco["annotations"][0]["segmentation"], (H, W))
    row = {"image_id": 2, "category_id": 1, "segmentation": mask}
    one = {**coco, "annotations": [{**coco["annotations"][0], **row}]}
    assert pytest.approx(1) == segm_scores(one, [{**row, "score": 1.0}]).AP
    assert as_pycocotools_does(tmp_path, one, [{**row, "score": 1.0}])[0] == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_id": 1}, r"result 1 \(image 1\): no such picture; .* of another data set"),
        ({"category_id": 18}, r"result 1 \(image \d+\): category 18; there are 1"),
        ({"segmentation": {"size": [W, H], "counts": "0"}}, r"size \[180, 150\], .* \[150, 180\]"),
        ({"score": math.nan}, r"score nan; expected a finite number"),
    ],
)
def test_results_of_something_else(fields: dict[str, Any], message: str) -> None:
    coco, results = small_set(0)
    results[1] = {**results[1], **fields}
    with pytest.raises(ValueError, match=message):
        segm_scores(coco, results)
