"""COCO instance JSON without keypoints, for models that take none."""

import json

import cv2
import numpy as np
import pytest

from kp2seg.data.catalog import dataset_dicts, read_dataset
from kp2seg.data.problems import DataError

SQUARE = [[1, 2, 21, 2, 21, 22, 1, 22]]


@pytest.fixture
def data(tmp_path):
    """Four pictures of 40x60; chairs in two of them, one a crowd, and a table."""
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / "pictures" / name), np.zeros((40, 60, 3), np.uint8))
    size = {"height": 40, "width": 60}
    shared = {"bbox": [1, 2, 20, 20], "segmentation": SQUARE, "area": 400.0}
    crowd = {"size": [40, 60], "counts": [0, 100, 2300]}
    return {
        "images": [{"id": i, "file_name": f"{n}.png", **size} for i, n in enumerate("abcd", 1)],
        "categories": [
            {"id": 62, "name": "chair"},
            {"id": 67, "name": "table"},
            {"id": 1, "name": "person", "keypoints": ["nose"], "skeleton": []},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 62, "iscrowd": 0, **shared},
            {"id": 2, "image_id": 1, "category_id": 67, "iscrowd": 0, **shared},
            {
                "id": 3,
                "image_id": 2,
                "category_id": 62,
                "iscrowd": 1,
                **shared,
                "segmentation": crowd,
            },
            {"id": 4, "image_id": 1, "category_id": 1, "keypoints": [3, 4, 2], **shared},
        ],
    }


def read(tmp_path, coco, **options):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco))
    return read_dataset(f"{path}@{tmp_path / 'pictures'}", keypoints=False, **options)


def test_a_class_of_plain_annotations(data, tmp_path):
    found = read(tmp_path, data, category="chair")
    assert found.keypoint_names == ()
    assert found.coco["categories"] == [{"id": 62, "name": "chair"}]
    assert [row["id"] for row in found.coco["annotations"]] == [1, 3]
    assert [row["id"] for row in found.coco["images"]] == [1, 2]
    assert not found.report.counts
    # The crowd is there to be ignored in scoring, and no object to find.
    records = dataset_dicts(found)
    assert [[row["id"] for row in record["annotations"]] for record in records] == [[1], []]
    assert records[0]["annotations"][0]["keypoints"] == []
    assert records[0]["annotations"][0]["category_id"] == 0


def test_pictures_without_an_object(data, tmp_path):
    found = read(tmp_path, data, category="chair", keep_empty_images=True)
    assert [row["id"] for row in found.coco["images"]] == [1, 2, 3]  # d.png is not there
    assert found.report.counts == {"picture missing": 1}
    assert [len(record["annotations"]) for record in dataset_dicts(found)] == [1, 0, 0]


def test_a_named_class_is_read_without_its_keypoints(data, tmp_path):
    found = read(tmp_path, data, category="person")
    assert found.coco["categories"] == [{"id": 1, "name": "person"}]
    assert found.coco["annotations"][0]["keypoints"] == []
    # Unless it is named, a file with keypoints is read with them.
    assert read(tmp_path, data).keypoint_names == ("nose",)
    del data["categories"][2]
    with pytest.raises(DataError, match=r"instances.json: has several classes, name one: chair, t"):
        read(tmp_path, data)
    del data["categories"][1]
    assert len(read(tmp_path, data).coco["annotations"]) == 2
    with pytest.raises(DataError, match=r"instances.json: has no class 'sofa'; there are chair$"):
        read(tmp_path, data, category="sofa")


def test_a_model_of_keypoints_needs_them(data, tmp_path):
    del data["categories"][2]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match="no category names its keypoints"):
        read_dataset(f"{path}@{tmp_path / 'pictures'}")


def test_a_registered_data_set_has_one_class():
    with pytest.raises(ValueError, match="category 'chair': cocopersons_val has one class; expect"):
        read_dataset("cocopersons_val", keypoints=False, category="chair")


def test_what_is_wrong_with_a_row_is_counted(data, tmp_path):
    data["annotations"][0]["segmentation"] = []
    data["annotations"][2]["bbox"] = [0, 0, 0, 5]
    found = read(tmp_path, data, category="chair")
    assert found.report.counts == {"annotation without a usable mask": 1, "zero-size box": 1}
    with pytest.raises(DataError, match="annotation without a usable mask"):
        read(tmp_path, data, category="chair", strict=True)
