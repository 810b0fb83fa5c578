"""All figures of a set of predictions, OCHuman's ranges, and the tables."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2seg.data.cocopersons import annotation_file, read_cocopersons
from kp2seg.data.masks import encode, to_rle
from kp2seg.evaluation.cache import Prediction
from kp2seg.evaluation.evaluate import evaluate, matched_iou, to_results
from kp2seg.evaluation.segm_scores import segm_scores
from kp2seg.evaluation.subsets import restrict
from kp2seg.evaluation.tables import PUBLISHED, markdown_table, table_rows, write_evaluation

H, W = 300, 400


def box_mask(x: int, y: int, w: int, h: int) -> dict[str, Any]:
    mask = np.zeros((H, W), np.uint8)
    mask[y : y + h, x : x + w] = 1
    return encode(mask)


def annotated(annotation_id: int, image_id: int, x: int, w: int = 100) -> dict[str, Any]:
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": 100.0 * w,
        "bbox": [x, 50, w, 100],
        "keypoints": [x, 60, 2],
        "segmentation": [[x, 50, x + w, 50, x + w, 150, x, 150]],
    }


COCO = {
    "images": [{"id": i, "file_name": f"{i}.jpg", "height": H, "width": W} for i in (1, 2, 3)],
    "annotations": [annotated(11, 1, 20), annotated(12, 1, 200), annotated(13, 2, 100)],
    "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}],
}
# Exact; half of the person; a mask that was made for no annotation.
PREDICTIONS = [
    Prediction(1, 1, box_mask(20, 50, 100, 100), 0.9, 11),
    Prediction(1, 1, box_mask(200, 50, 50, 100), 0.2, 12),
    Prediction(3, 1, box_mask(0, 0, 40, 40), 0.3, None),
]


def test_both_modes_beside_each_other() -> None:
    result = evaluate(COCO, PREDICTIONS, boundary=True)
    assert list(result.scores) == list(result.boundary) == ["constant", "quality"]
    for mode in ("constant", "quality"):
        assert result.scores[mode] == segm_scores(COCO, to_results(PREDICTIONS, mode))
    # Half a person has IoU .5, which counts at .50 only; it ranks before the false mask, or after.
    assert pytest.approx(67 / 101) == result.scores["constant"].AP50
    assert pytest.approx((34 + 33 * 2 / 3) / 101) == result.scores["quality"].AP50
    assert (result.iou.matched, result.iou.missing) == (2, 1)
    assert result.iou.mean == pytest.approx((1 + 0.5) / 2)
    # Boundaries are 10 px wide: of 100 x 100 3600 px; of its half 2600, 300 of them not shared
    # (the 20 px of its ends on the inner side are): 2300... counted pixel by pixel below.
    assert result.iou.boundary_mean == pytest.approx((1 + boundary_iou_by_loops()) / 2)


def boundary_iou_by_loops() -> float:
    """Of the boxes 100 x 100 and 50 x 100 with the same left side, 10 px wide."""

    def near(x: int, y: int, w: int) -> bool:
        inside = 0 <= x < w and 0 <= y < 100
        return inside and (x < 10 or x >= w - 10 or y < 10 or y >= 90)

    both = either = 0
    for x in range(100):
        for y in range(100):
            both += near(x, y, 100) and near(x, y, 50)
            either += near(x, y, 100) or near(x, y, 50)
    return both / either


def test_without_quality_or_boundary() -> None:
    result = evaluate(COCO, [replace(row, quality=None) for row in PREDICTIONS])
    assert list(result.scores) == ["constant"]
    assert (result.boundary, result.iou.boundary_mean) == ({}, None)


def test_no_predictions() -> None:
    result = evaluate(COCO, [], boundary=True)
    assert result.scores["constant"].AP == 0
    assert math.isnan(result.iou.mean)
    assert result.iou.missing == 3
    assert json.dumps(result.as_dict(), allow_nan=False).count("null") == 2


def test_matching_errors() -> None:
    with pytest.raises(ValueError, match=r"prediction 0 \(annotation 13\): image 1 has no such"):
        matched_iou(COCO, [replace(PREDICTIONS[0], annotation_id=13)])
    with pytest.raises(ValueError, match=r"prediction 1 \(annotation 11\): a second prediction"):
        matched_iou(COCO, [PREDICTIONS[0], PREDICTIONS[0]])


def part_of_coco() -> dict[str, Any]:
    """Annotations 12 and 13 only, numbered anew, pictures in another order."""
    images = [{**COCO["images"][1], "id": 1}, {**COCO["images"][0], "id": 2}]
    people = [{**annotated(1, 1, 100), "max_iou": 0.8}, annotated(2, 2, 200)]
    return {**COCO, "images": images, "annotations": people}


def test_predictions_for_a_range() -> None:
    detected = Prediction(1, 1, box_mask(5, 5, 5, 5), 0.1, None)
    kept = restrict([*PREDICTIONS, detected], COCO, part_of_coco())
    assert kept == [
        replace(PREDICTIONS[1], image_id=2, annotation_id=2),
        replace(detected, image_id=2),
    ]
    assert restrict(PREDICTIONS, COCO, COCO) == PREDICTIONS
    assert restrict([], COCO, part_of_coco()) == []


def test_ranges_of_another_version() -> None:
    part = part_of_coco()
    part["annotations"][1]["bbox"] = [201, 50, 100, 100]
    with pytest.raises(ValueError, match=r"1 annotations of the part are not .* first is 2"):
        restrict(PREDICTIONS, COCO, part)
    twins = {**COCO, "annotations": [annotated(11, 1, 20), annotated(12, 1, 20)]}
    with pytest.raises(ValueError, match=r"annotations 11 and 12 have the same picture, box"):
        restrict(PREDICTIONS, twins, twins)


def test_table() -> None:
    result = evaluate(COCO, PREDICTIONS)
    part = evaluate(part_of_coco(), restrict(PREDICTIONS, COCO, part_of_coco()))
    rows = table_rows("ours", result, moderate=part, hard=part)
    assert list(rows) == ["ours, constant score", "ours, quality score"]
    assert rows["ours, quality score"]["hard"] == part.scores["quality"].AP
    lines = markdown_table("ochuman_val", rows).splitlines()
    assert lines[0] == (
        "| ochuman_val | AP | AP50 | AP75 | AP_M | AP_L | AR | moderate | hard | mean IoU |"
    )
    assert lines[1] == "|---|---|---|---|---|---|---|---|---|---|"
    assert lines[2] == "| Mask R-CNN * | 0.163 | – | – | – | – | – | 0.194 | 0.113 | – |"
    assert "| Pose2Seg, released weights, true keypoints | 0.573 |" in lines[5]
    scores = result.scores["constant"]
    assert lines[6].startswith(f"| ours, constant score | {scores.AP:.3f} | {scores.AP50:.3f} |")
    assert lines[6].endswith("| 0.750 |")
    assert " – |" in lines[6]  # AP_M: nobody of that size
    assert lines[-1].startswith("\\* as remembered")
    assert {line.count("|") for line in lines[:8]} == {11}
    assert markdown_table("mine", {"ours": {"AP": 0.5}}).splitlines()[2:] == [
        "| ours | 0.500 | – | – | – | – | – |"
    ]


def test_published_rows() -> None:
    figures = {name: [row.figures["AP"] for row in rows] for name, rows in PUBLISHED.items()}
    assert figures == {
        "cocopersons_val": [0.532, 0.555, 0.582],
        "ochuman_val": [0.163, 0.222, 0.544, 0.573],
        "ochuman_test": [0.169, 0.238, 0.552],
    }


def test_json(tmp_path: Path) -> None:
    result = evaluate(COCO, PREDICTIONS, boundary=True)
    write_evaluation(tmp_path / "scores.json", result, dataset="small")
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["dataset"] == "small"
    assert stored["scores"]["quality"]["AP"] == result.scores["quality"].AP
    assert stored["boundary"]["constant"] == result.boundary["constant"].as_dict()
    assert stored["mean_iou"] == result.iou.mean


@pytest.mark.skipif("DETECTRON2_DATASETS" not in os.environ, reason="DETECTRON2_DATASETS not set")
def test_true_masks_of_real_people_score_1() -> None:
    root = Path(os.environ["DETECTRON2_DATASETS"])
    if not annotation_file(root, "val").is_file():
        pytest.skip("no person_keypoints_val2017.json under DETECTRON2_DATASETS")
    coco = read_cocopersons(root, "val", strict=True, check_images=False).coco
    images = coco["images"][:40]
    sizes = {image["id"]: (image["height"], image["width"]) for image in images}
    people = [row for row in coco["annotations"] if row["image_id"] in sizes]
    predictions = [
        Prediction(
            row["image_id"], 1, to_rle(row["segmentation"], sizes[row["image_id"]]), 0.5, row["id"]
        )
        for row in people
    ]
    result = evaluate({**coco, "images": images, "annotations": people}, predictions)
    assert result.scores["constant"].AP == result.scores["quality"].AP == pytest.approx(1)
    assert result.iou.mean == 1
