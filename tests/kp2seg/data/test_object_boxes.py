import json

import cv2
import numpy as np
import pytest

from kp2seg.data.object_boxes import read_object_boxes
from kp2seg.data.problems import DataError


@pytest.fixture
def data(tmp_path):
    """Two pictures of 40x60 with chairs and a table, and a picture with neither."""
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 60, 3), np.uint8))
    size = {"height": 40, "width": 60}
    return {
        "info": {"year": 2026},
        "images": [{"id": i, "file_name": f"{n}.png", **size} for i, n in enumerate("abc", 1)],
        "categories": [{"id": 7, "name": "chair"}, {"id": 9, "name": "table"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 30, 20], "segmentation": []},
            {"id": 2, "image_id": 1, "category_id": 9, "bbox": [1, 2, 30, 20]},
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [-5, 30, 30, 20]},
        ],
    }


def read(tmp_path, coco, rows=None, **options):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(coco))
    if rows is not None:
        options["detections"] = tmp_path / "results.json"
        options["detections"].write_text(json.dumps(rows))
    return read_object_boxes(path, tmp_path, **{"category": "chair", **options})


def test_objects_of_a_class(data, tmp_path):
    boxes = read(tmp_path, data)
    assert boxes.category == {"id": 7, "name": "chair"}
    assert [row["id"] for row in boxes.objects] == [1, 3]
    assert boxes.objects[0]["segmentation"] == []
    assert boxes.info == {"info": {"year": 2026}}
    assert [(image["id"], len(rows)) for image, rows in boxes.by_picture()] == [(1, 1), (2, 1)]
    assert not boxes.report.counts
    data["categories"].pop()
    assert len(read(tmp_path, data, category=None).objects) == 2


def test_rows_that_are_no_objects_are_counted(data, tmp_path):
    rows = [
        ([0, 0, 0, 5], {}, "zero-size box"),
        ([0, 0, 5, -1], {}, "zero-size box"),
        ([60, 0, 10, 10], {}, "box outside its picture"),
        ([-9, 0, 10, 10], {}, "box outside its picture"),
        ([0, float("nan"), 5, 5], {}, "box that is not four finite numbers"),
        (None, {}, "box that is not four finite numbers"),
        ([0, 0, 9, 9], {"image_id": 8}, "annotation of an unknown image"),
        ([0, 0, 9, 9], {"iscrowd": 1}, "crowd"),
    ]
    for box, more, kind in rows:
        bad = {"id": 9, "image_id": 1, "category_id": 7, "bbox": box, **more}
        coco = {**data, "annotations": [*data["annotations"], bad]}
        boxes = read(tmp_path, coco)
        assert boxes.report.counts == {kind: 1}
        assert len(boxes.objects) == 2
        if kind != "crowd":
            with pytest.raises(DataError, match=kind):
                read(tmp_path, coco, strict=True)
    for bad_id, kind in (
        (1, "duplicate annotation id"),
        (None, "annotation id that is no integer"),
    ):
        row = {**data["annotations"][0], "id": bad_id}
        coco = {**data, "annotations": [*data["annotations"], row]}
        boxes = read(tmp_path, coco)
        assert boxes.report.counts == {kind: 1}
        assert [one["id"] for one in boxes.objects] == [1, 3]
    (tmp_path / "b.png").unlink()
    counts = read(tmp_path, data).report.counts
    assert counts == {"picture missing": 1, "annotation of a picture that was left out": 1}


def test_a_detectors_boxes(data, tmp_path):
    def row(image_id, score, category_id=7):
        box = {"bbox": [0, 0, 9.5, 9], "score": score}
        return {"image_id": image_id, "category_id": category_id, **box}

    rows = [row(1, 0.9), row(3, 0.6), row(3, 0.2), row(1, 0.9, 9), row(1, None), row(4, 0.9)]
    boxes = read(tmp_path, data, rows)
    assert [(one["id"], one["image_id"], one["score"]) for one in boxes.objects] == [
        (1, 1, 0.9),
        (2, 3, 0.6),
    ]
    assert boxes.report.counts == {
        "score under 0.5": 1,
        "detection without a score": 1,
        "annotation of an unknown image": 1,
    }
    for bad, message in (
        ({"a": 1}, "expected COCO results, a list"),
        ([row(1, 0.9, 3)], "none of its 1 detections is of category 7"),
        ([row(77, 0.9)], "none of its detections is of a picture of the data set; .* image 77"),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path, data, bad)


def test_detections_keep_their_numbers_whatever_class_is_looked_at(data, tmp_path):
    rows = [
        {"image_id": 1, "category_id": c, "bbox": [0, 0, 9, 9], "score": 0.9} for c in (7, 9, 7, 9)
    ]
    for name, expected in (("chair", [1, 3]), ("table", [2, 4])):
        boxes = read(tmp_path, data, rows, category=name)
        assert [row["id"] for row in boxes.objects] == expected


def test_objects_with_masks_only(data, tmp_path):
    square = [[1, 2, 31, 2, 31, 22, 1, 22]]
    data["annotations"][0]["segmentation"] = square
    boxes = read(tmp_path, data, need_masks=True)
    assert [row["id"] for row in boxes.objects] == [1]
    assert boxes.report.counts == {"annotation without a usable mask": 1}
    data["annotations"][2]["segmentation"] = {"size": [4, 4], "counts": "0"}
    assert len(read(tmp_path, data, need_masks=True).objects) == 1


def test_data_without_the_class(data, tmp_path):
    with pytest.raises(DataError, match="has no class 'sofa'; there are chair, table"):
        read(tmp_path, data, category="sofa")
    with pytest.raises(DataError, match="has several classes, name one: chair, table"):
        read(tmp_path, data, category=None)
    data["annotations"] = data["annotations"][1:2]
    with pytest.raises(DataError, match="no 'chair' is left: there are none"):
        read(tmp_path, data)
