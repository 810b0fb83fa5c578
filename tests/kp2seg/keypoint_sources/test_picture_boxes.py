import json

import numpy as np
import pytest

from kp2seg.data.object_boxes import read_object_boxes
from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.boxes import Box
from kp2seg.keypoint_sources.picture_boxes import (
    coco_category_id,
    detected_boxes,
    read_picture_boxes,
)

IMAGES = [{"id": 7, "file_name": "000000000007.jpg"}, {"id": -2, "file_name": "b.png"}]


@pytest.fixture
def read(tmp_path):
    """Writes a file of boxes and reads it for two pictures."""

    def write_and_read(content, images=IMAGES, **options):
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(content))
        return read_picture_boxes(path, images, **options)

    return write_and_read


def result(image_id=7, category_id=62, bbox=(1, 2, 30, 20), score=0.9, **more):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": list(bbox),
        "score": score,
        **more,
    }


def xywh(boxes):
    return [box.xywh.tolist() for box in boxes]


def test_results_by_image_id_or_file_name(read):
    rows = [
        result(score=0.8),
        result("photos/b.png", bbox=(5, 6, 7, 8)),
        result("000000000007", bbox=(0, 0, 4, 4)),
        result(score=0.3),
        result(99),
    ]
    table = read(rows)
    assert xywh(table.boxes(7)) == [[1, 2, 30, 20], [0, 0, 4, 4]]
    assert [box.score for box in table.boxes(7)] == [0.8, 0.9]
    assert xywh(table.boxes(-2)) == [[5, 6, 7, 8]]
    assert table.boxes(99) == []
    assert table.category_id == 62
    assert (table.report.read, table.report.kept) == (5, 3)
    assert table.report.counts == {
        "score under 0.5": 1,
        "boxes of a picture that is not in the data set": 1,
    }
    assert len(read(rows, min_score=0.2).boxes(7)) == 3


def test_a_class_of_several(read):
    rows = [result(), result(category_id=1, bbox=(0, 0, 9, 9))]
    for category in ("chair", "62"):
        assert xywh(read(rows, category=category).boxes(7)) == [[1, 2, 30, 20]]
    with pytest.raises(DataError, match=r"boxes.json: has boxes of several classes, 1, 62; name"):
        read(rows)
    with pytest.raises(
        DataError, match=r"no box is of class car \(category_id 3\); there are 1, 6"
    ):
        read(rows, category="car")
    with pytest.raises(DataError, match=r"COCO has no class 'Chair'; there are person, bicycle, "):
        read(rows, category="Chair")
    assert coco_category_id("person") == 1
    assert coco_category_id("toothbrush") == 90


def test_the_usual_class_of_several(read):
    rows = [result(), result(category_id=1, bbox=(0, 0, 9, 9))]
    assert xywh(read(rows, usual="chair").boxes(7)) == [[1, 2, 30, 20]]
    assert read(rows, usual="chair", category="person").category_id == 1
    for usual in ("stool", "car"):  # unknown to COCO; not in the file
        with pytest.raises(DataError, match="has boxes of several classes, 1, 62; name one"):
            read(rows, usual=usual)
    coco = {
        "images": [{"id": 7, "file_name": "000000000007.jpg"}],
        "categories": [{"id": 3, "name": "chair"}, {"id": 4, "name": "table"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 4, "bbox": [1, 2, 3, 4]}],
    }
    assert read(coco, usual="table").category_id == 4
    with pytest.raises(DataError, match="has several classes, name one: chair, table"):
        read(coco, usual="sofa")
    coco["categories"].pop(0)
    assert read(coco, usual="chair").category_id == 4  # the file's only one


def test_one_name_in_several_folders_is_no_name(read):
    row = {"category_id": 3, "bbox": [1, 2, 3, 4]}
    coco = {
        "images": [{"id": 1, "file_name": "one/b.png"}, {"id": 2, "file_name": "two/b.png"}],
        "categories": [{"id": 3, "name": "chair"}],
        "annotations": [{"id": k, "image_id": k, **row} for k in (1, 2)],
    }
    with pytest.raises(DataError, match=r"boxes.json: b.png could be any of its images 1, 2, whi"):
        read(coco)


def test_annotations_by_file_name(read):
    coco = {
        "images": [{"id": 1, "file_name": "test/b.png"}, {"id": 7, "file_name": "c.png"}],
        "categories": [{"id": 3, "name": "chair"}, {"id": 4, "name": "table"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 1, "category_id": 4, "bbox": [5, 6, 7, 8]},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [9, 9, 9, 9]},
            {"id": 4, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        ],
    }
    table = read(coco, category="chair", min_score=0.99)
    # Its image 7 is another picture than 000000000007.jpg.
    assert {key: xywh(boxes) for key, boxes in table.by_image.items()} == {-2: [[1, 2, 3, 4]]}
    assert table.category_id == 3
    assert table.report.counts == {"crowd": 1}
    with pytest.raises(DataError, match=r"has several classes, name one: chair, table"):
        read(coco)
    # Without a picture of that name its number is taken.
    table = read(coco, IMAGES[:1], category="chair")
    assert xywh(table.boxes(7)) == [[9, 9, 9, 9]]
    with pytest.raises(DataError, match=r"boxes.json: has none of the pictures x.jpg"):
        read(coco, [{"id": -1, "file_name": "x.jpg"}], category="chair")


def test_rows_that_are_none_are_counted(read):
    rows = [
        result(bbox=(1, 2, 3)),
        result(bbox=(1, 2, 0, 4)),
        result(bbox=(1, 2, float("nan"), 4)),
        result(None),
        result(score="high"),
        "row",
        result(),
    ]
    table = read(rows)
    assert table.report.kept == 1
    assert table.report.counts == {
        "box that is not four finite numbers": 2,
        "zero-size box": 1,
        "image id that is no integer and no file name": 1,
        "score that is no finite number": 1,
    }
    for content, message in (
        ([], "no row has a category_id; expected COCO results with boxes"),
        ([result(5)], "none of its 1 pictures is in the data set; the file's first is 5"),
        ({"boxes": []}, "expected COCO JSON with the lists images, annotations, categories"),
    ):
        with pytest.raises(DataError, match=message):
            read(content)


def test_a_fingerprint_is_of_every_box(read):
    first = read([result(), result(bbox=(5, 5, 5, 5))])
    assert read([result(), result(bbox=(5, 5, 5, 5))]).fingerprint == first.fingerprint
    for rows in (
        [result(), result(bbox=(5, 5, 5, 6))],
        [result(), result(bbox=(5, 5, 5, 5), score=0.91)],
        [result(bbox=(5, 5, 5, 5)), result()],
        [result(), result("b.png", bbox=(5, 5, 5, 5))],
        [result(), result(bbox=(5, 5, 5, 5))][:1],
        [result(category_id=1), result(category_id=1, bbox=(5, 5, 5, 5))],
    ):
        assert read(rows).fingerprint != first.fingerprint


def test_the_part_of_a_box_in_its_picture():
    assert Box(np.array([-5.0, 10, 20, 30])).inside((32, 60)) == (15, 22)
    assert Box(np.array([70.0, 10, 20, 30])).inside((32, 60)) == (-10, 22)


def test_detections_of_a_data_set(tmp_path):
    from PIL import Image

    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    coco = {
        "images": [{"id": 7, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [],
        "categories": [{"id": 62, "name": "chair"}],
    }
    (tmp_path / "data.json").write_text(json.dumps(coco))
    rows = [result(), result(score=0.04), result(bbox=(5, 6, 7, 8), score=0.25)]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    found = read_object_boxes(
        tmp_path / "data.json", tmp_path, detections=tmp_path / "results.json", min_score=0.05
    )
    table = detected_boxes(found)
    assert xywh(table.boxes(7)) == [[1, 2, 30, 20], [5, 6, 7, 8]]
    assert [box.score for box in table.boxes(7)] == [0.9, 0.25]
    assert table.category_id == 62
