"""OCHuman's ranges: predicted once on the whole, scored on each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2seg.data.masks import encode
from kp2seg.data.ochuman import IOU_RANGES
from kp2seg.data.ochuman_json import ochuman_to_coco
from kp2seg.data.problems import Report
from kp2seg.evaluation.cache import Prediction
from kp2seg.evaluation.evaluate import evaluate
from kp2seg.evaluation.subsets import evaluate_ranges, restrict, with_pictures_of
from kp2seg.keypoint_sources.layouts import LAYOUTS

H, W = 90, 120


def person(number: int, max_iou: float) -> dict[str, Any]:
    x = 20 * number
    outer = [x, 10, x + 18, 10, x + 18, 80, x, 80]
    return {
        "bbox": [x, 10, x + 18, 80],
        "keypoints": [v for i in range(19) for v in (x + i % 3, 10 + i, 1)],
        "segms": {"outer": [outer], "inner": [], "height": H, "width": W},
        "max_iou": max_iou,
    }


OCHUMAN = {
    "keypoint_names": list(LAYOUTS["ochuman"]),
    "keypoint_visible": {"missing": 0, "vis": 1, "self_occluded": 2, "others_occluded": 3},
    "images": [
        {
            "image_id": str(name),
            "file_name": f"{name}.jpg",
            "height": H,
            "width": W,
            "annotations": [person(i, iou) for i, iou in enumerate(ious)],
        }
        for name, ious in ((7, [0.6, 0.6]), (4, [0.8, 0.7, 0.9]), (5, [0.95]))
    ],
}


def part(suffix: str) -> dict[str, Any]:
    return ochuman_to_coco(OCHUMAN, Path("x"), "val", IOU_RANGES[suffix], Report("x", True))


@pytest.mark.parametrize(("suffix", "people", "good"), [("_moderate", 3, 2), ("_hard", 3, 3)])
def test_each_range_is_scored_on_its_own_people(suffix: str, people: int, good: int) -> None:
    """The second person of picture 7 is missed: it is of the moderate range."""
    whole, some = part(""), part(suffix)
    predictions = [
        Prediction(row["image_id"], 1, row["segmentation"], None, row["id"])
        for row in whole["annotations"]
    ]
    predictions[1] = Prediction(1, 1, encode(np.eye(H, W)), None, 2)
    kept = restrict(predictions, whole, some)
    assert [row.annotation_id for row in kept] == [row["id"] for row in some["annotations"]]
    result = evaluate(some, kept)
    assert (len(kept), result.iou.missing) == (people, 0)
    assert pytest.approx(good / people) == result.scores["constant"].AR


def test_pictures_that_the_whole_left_out_are_left_out_of_its_ranges() -> None:
    whole, some = part(""), part("_hard")
    (gone,) = (image["id"] for image in whole["images"] if image["file_name"] == "5.jpg")
    less = {
        **whole,
        "images": [image for image in whole["images"] if image["id"] != gone],
        "annotations": [row for row in whole["annotations"] if row["image_id"] != gone],
    }
    with pytest.raises(ValueError, match="different versions"):
        restrict([], less, some)
    rest = with_pictures_of(some, less)
    assert [image["file_name"] for image in rest["images"]] == ["4.jpg"]
    assert len(rest["annotations"]) == 2
    assert restrict([], less, rest) == []
    assert with_pictures_of(some, whole) == some


def test_objects_that_know_their_max_iou() -> None:
    """Of made-up crowds no files of the ranges are needed; the second person, moderate, is missed.

    A mask for nobody in particular counts in each range whose pictures it is in.
    """
    values = [0.6, 0.6, 0.8, None, 0.9]
    rows = [
        {**row, "id": 10 + k, "max_iou": value}
        for k, (row, value) in enumerate(zip(part("")["annotations"], values, strict=False))
    ]
    whole = {**part(""), "annotations": rows}
    predictions = [
        Prediction(row["image_id"], 1, row["segmentation"], None, row["id"]) for row in rows
    ]
    predictions[1] = Prediction(rows[1]["image_id"], 1, encode(np.eye(H, W)), None, 11)
    found = evaluate_ranges(whole, predictions)
    assert pytest.approx(1 / 2) == found["moderate"].scores["constant"].AR
    assert pytest.approx(1) == found["hard"].scores["constant"].AR
    stray = Prediction(rows[2]["image_id"], 1, encode(np.eye(H, W)), 2.0, None)
    sure = [*(replace(row, quality=1.0) for row in predictions), stray]
    with_stray = evaluate_ranges(whole, sure)
    assert with_stray["hard"].scores["quality"].AP < 1
    assert (
        with_stray["moderate"].scores["quality"]
        == (evaluate_ranges(whole, sure[:-1])["moderate"].scores["quality"])
    )


def test_no_max_iou_no_ranges() -> None:
    rows = [{k: v for k, v in row.items() if k != "max_iou"} for row in part("")["annotations"]]
    predictions = [
        Prediction(row["image_id"], 1, row["segmentation"], None, row["id"]) for row in rows
    ]
    assert evaluate_ranges({**part(""), "annotations": rows}, predictions) == {}
