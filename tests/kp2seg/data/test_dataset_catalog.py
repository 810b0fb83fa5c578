"""Names of data sets, Detectron2's catalogues, and COCOPersons' rule."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import BoxMode
from PIL import Image

from kp2seg.data.catalog import (
    datasets_root,
    read_dataset,
    register_datasets,
    register_keypoint_json,
    short_name,
)
from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.layouts import COCO_JOINTS

NAMES = [
    *("cocopersons_train", "cocopersons_val"),
    *(f"ochuman_{split}{part}" for split in ("val", "test") for part in ("", "_moderate", "_hard")),
    *("syncrowd_train", "syncrowd_val", "syncrowd_val_moderate", "syncrowd_val_hard"),
]
REAL_DATA = pytest.mark.skipif(
    "DETECTRON2_DATASETS" not in os.environ, reason="DETECTRON2_DATASETS not set"
)


@pytest.fixture(autouse=True)
def registered_as_before() -> Iterator[None]:
    yield
    register_datasets()


def write_coco(root: Path, split: str = "val", **fields: Any) -> list[dict[str, Any]]:
    """Three pictures: with people of each kind, with none that belongs, with one."""
    folder = root / "coco" / f"{split}2017"
    folder.mkdir(parents=True)
    for image_id in (1, 2, 3):
        Image.new("RGB", (90, 70)).save(folder / f"{image_id}.jpg")
    rows = [
        {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": 1,
            "iscrowd": crowd,
            "area": area,
            "num_keypoints": points,
            "bbox": [5, 5, 50, 40],
            "keypoints": [30, 20, 2] * points + [0, 0, 0] * (17 - points),
            "segmentation": [[5, 5, 55, 5, 55, 45, 5, 45]],
            **fields,
        }
        for annotation_id, image_id, crowd, area, points in [
            (10, 1, 0, 2000.0, 5),
            (11, 1, 0, 2000.0, 0),
            (12, 1, 1, 2000.0, 5),
            (13, 1, 0, 1024.0, 5),
            (14, 1, 0, 1024.5, 1),
            (15, 2, 0, 900.0, 17),
            (16, 3, 0, 1100.0, 17),
        ]
    ]
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": 70, "width": 90} for i in (1, 2, 3)
        ],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_JOINTS)}],
    }
    path = root / "coco" / "annotations" / f"person_keypoints_{split}2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return rows


def test_registering_reads_nothing(tmp_path: Path) -> None:
    register_datasets(tmp_path / "nowhere")
    assert set(NAMES) <= set(DatasetCatalog.list())
    for name in NAMES:
        metadata = MetadataCatalog.get(name)
        assert metadata.evaluator_type == "kp2seg"
        assert metadata.thing_classes == ["person"]
        assert metadata.keypoint_names == list(COCO_JOINTS)
        assert ("left_hip", "right_hip") in metadata.keypoint_flip_map
        assert metadata.annotation_file.startswith(str(tmp_path / "nowhere"))
        # Detectron2's evaluator would score against everybody in the original file.
        assert not hasattr(metadata, "json_file")
    with pytest.raises(DataError, match=r"person_keypoints_train2017.json.*No such file"):
        DatasetCatalog.get("cocopersons_train")


def test_the_root_is_detectron2s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", "/somewhere")
    assert datasets_root() == Path("/somewhere")
    monkeypatch.delenv("DETECTRON2_DATASETS")
    assert datasets_root() == Path("datasets")


def test_cocopersons_rule(tmp_path: Path) -> None:
    write_coco(tmp_path)
    register_datasets(tmp_path)
    data = read_dataset("cocopersons_val", strict=True)
    assert [row["id"] for row in data.coco["annotations"]] == [10, 14, 16]
    assert [image["id"] for image in data.coco["images"]] == [1, 3]


def test_standard_dicts(tmp_path: Path) -> None:
    rows = write_coco(tmp_path)
    register_datasets(tmp_path)
    first, second = DatasetCatalog.get("cocopersons_val")
    people = first.pop("annotations")
    assert first == {
        "file_name": str(tmp_path / "coco" / "val2017" / "1.jpg"),
        "height": 70,
        "width": 90,
        "image_id": 1,
    }
    assert people[0] == {
        "bbox": [5, 5, 50, 40],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": 0,
        "keypoints": [30.5, 20.5, 2] * 5 + [0.5, 0.5, 0] * 12,
        "segmentation": rows[0]["segmentation"],
        "area": 2000.0,
        "iscrowd": 0,
        "id": 10,
    }
    assert [person["id"] for person in second["annotations"]] == [16]


def test_standard_dicts_are_detectron2s_own(tmp_path: Path) -> None:
    write_coco(tmp_path)
    register_datasets(tmp_path)
    file = tmp_path / "coco/annotations/person_keypoints_val2017.json"
    theirs = {
        row["image_id"]: [person["keypoints"] for person in row["annotations"]]
        for row in load_coco_json(str(file), str(tmp_path / "coco/val2017"))
    }
    ours = DatasetCatalog.get("cocopersons_val")
    assert ours
    for row in ours:
        for person in row["annotations"]:
            assert person["keypoints"] in theirs[row["image_id"]]


def test_detectron2s_evaluator_scores_against_the_data_set(tmp_path: Path) -> None:
    """Not against everybody in the original file."""
    write_coco(tmp_path)
    register_datasets(tmp_path)
    evaluator = COCOEvaluator("cocopersons_val", ["segm"], False, output_dir=str(tmp_path / "out"))
    assert sorted(evaluator._coco_api.imgs) == [1, 3]
    assert len(evaluator._coco_api.anns) == 3
    assert {row["category_id"] for row in evaluator._coco_api.anns.values()} == {1}


def test_what_is_left_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_coco(tmp_path, bbox=[5, 5, 0, 40])
    register_datasets(tmp_path)
    assert DatasetCatalog.get("cocopersons_val") == []
    assert "0 of 3 kept" in caplog.text
    assert "zero-size box: 3 (image 1, annotation 10" in caplog.text
    with pytest.raises(DataError, match=r"zero-size box: image 1, annotation 10"):
        read_dataset("cocopersons_val", strict=True)


def test_any_class_and_any_joints(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "chair.png")
    row = {
        "id": 0,
        "image_id": 0,
        "category_id": 5,
        "bbox": [1, 1, 4, 4],
        "keypoints": [2, 2, 2, 3, 3, 2],
        "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]],
    }
    content = {
        "images": [{"id": 0, "file_name": "chair.png", "height": 10, "width": 20}],
        "annotations": [row],
        "categories": [{"id": 5, "name": "chair", "keypoints": ["p0", "p1"]}],
    }
    path = tmp_path / "chairs.json"
    path.write_text(json.dumps(content))
    name = f"chairs_{tmp_path.name}"
    register_keypoint_json(name, path, tmp_path, ["p0", "p1"], "chair")
    register_keypoint_json(name, path, tmp_path, ["p1", "p0"], "chair")
    assert MetadataCatalog.get(name).keypoint_flip_map == []
    (picture,) = DatasetCatalog.get(name)
    (chair,) = picture["annotations"]
    assert chair["keypoints"] == [3.5, 3.5, 2, 2.5, 2.5, 2]
    assert (chair["category_id"], chair["area"], chair["id"]) == (0, 16.0, 0)


def test_a_file_needs_no_registration(tmp_path: Path) -> None:
    write_coco(tmp_path)
    pictures = tmp_path / "coco/val2017"
    file = tmp_path / "coco/annotations/person_keypoints_val2017.json"
    data = read_dataset(f"{file}@{pictures}")
    assert data.keypoint_names == COCO_JOINTS
    assert data.image_root == pictures
    pictures.rename(file.parent / "images")
    assert read_dataset(str(file)).coco == data.coco
    assert short_name(f"{file}@{pictures}") == short_name(str(file)) == file.stem
    assert short_name("cocopersons_val") == "cocopersons_val"
    with pytest.raises(DataError, match=r"/no.json: .*No such file"):
        read_dataset(f"{tmp_path}/no.json")


def test_unknown_names(tmp_path: Path) -> None:
    register_datasets(tmp_path)
    with pytest.raises(
        ValueError, match=r"no data set 'coco'; there are cocopersons_train, .*and FILE.json@F"
    ):
        read_dataset("coco")
    DatasetCatalog.register(f"theirs_{tmp_path.name}", list)
    with pytest.raises(ValueError, match=r"'theirs_.*' is registered by someone else"):
        register_keypoint_json(f"theirs_{tmp_path.name}", tmp_path, tmp_path, ["a"])


@REAL_DATA
@pytest.mark.parametrize(("split", "images", "people"), [("train", 80, 231), ("val", 95, 209)])
def test_real_cocopersons(split: str, images: int, people: int) -> None:
    """The rule gives what the published selection gives, where that file is there to compare."""
    root = Path(os.environ["DETECTRON2_DATASETS"])
    published = root / "coco" / "annotations" / f"cocopersons_{split}2017.json"
    if not published.is_file():
        pytest.skip(f"no {published.name} to compare with")
    register_datasets(root)
    data = read_dataset(f"cocopersons_{split}", strict=True)
    expected = json.loads(published.read_text())
    assert data.coco["annotations"] == expected["annotations"]
    assert data.coco["images"] == expected["images"]
    if len(expected["images"]) < 1000:
        assert (len(data.coco["images"]), len(data.coco["annotations"])) == (images, people)
