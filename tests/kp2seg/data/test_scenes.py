import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from keypointnet.views.scene_files import write_scene
from keypointnet.views.scene_layout import SceneLayout
from keypointnet.views.scenes import Scene
from keypointnet.views.storage import StorageError
from kp2seg.data.coco_json import check_coco
from kp2seg.data.masks import decode
from kp2seg.data.scenes import max_ious, scene_annotations, scene_category, scenes_to_coco

INFO = {"class": "chair", "points": ["left_a", "right_a", "top"], "skeleton": [[1, 3], [2, 3]]}


def scene(points: bool = True) -> Scene:
    """Three objects in 20 x 30 px: 1 hides half of 0, and all but a sliver of 2."""
    nearest = np.full((20, 30), -1, np.int16)
    covered = np.zeros((20, 30), np.uint32)
    for m, (rows, columns) in enumerate(
        (
            (slice(2, 10), slice(0, 10)),
            (slice(2, 18), slice(5, 25)),
            (slice(4, 14), slice(6, 26)),
        )
    ):
        covered[rows, columns] |= np.uint32(1 << m)
        if m < 2:
            nearest[rows, columns] = m
    nearest[4:8, 25] = 2
    n_points = 3 if points else 0
    points_px = np.array([[[1.5, 3.5], [7.25, 4.5], [np.nan, np.nan]]] * 3)
    return Scene(
        picture=np.zeros((20, 30, 3), np.uint8),
        nearest=nearest,
        covered=covered,
        layout=SceneLayout(np.tile(2.0 * np.eye(4), (3, 1, 1)), np.eye(4), np.eye(3)),
        models=("a", "b", "c"),
        boxes_px=np.array([[-10.0, 2, 10, 10], [5, 2, 25, 18], [6, 4, 26, 14]]),
        points_obj=np.array([[[0, 0, 0], [1, 0.5, 0], [np.nan] * 3]] * 3)[:, :n_points],
        points_px=points_px[:, :n_points],
        visibility=np.array([[2, 1, 0]] * 3, np.uint8)[:, :n_points],
    )


def test_rows_say_what_is_seen_and_what_is_hidden():
    first, second = scene_annotations(scene(), image_id=4, first_id=11)
    assert (first["id"], second["id"], first["image_id"]) == (11, 12, 4)
    assert first["bbox"] == [0, 2, 5, 8]
    assert first["amodal_bbox"] == [0, 2, 10, 8]
    assert (first["area"], first["occlusion"]) == (40, 0.5)
    assert first["truncation"] == 0.5  # half of its box is left of the picture
    assert first["model"] == "a"
    assert first["T_obj2world"][0] == [2.0, 0, 0, 0]
    assert first["keypoints"] == [1.0, 3.0, 2, 6.75, 4.0, 1, 0, 0, 0]
    assert first["num_keypoints"] == 2
    assert first["keypoints_3d"] == [[0, 0, 0], [1, 0.5, 0], None]
    assert (second["occlusion"], second["truncation"], second["area"]) == (0, 0, 320)
    assert second["segmentation"] == second["amodal_segmentation"]
    assert first["max_iou"] == second["max_iou"] == 0  # the boxes of what is seen only touch
    amodal, seen = decode(first["amodal_segmentation"]), decode(first["segmentation"])
    assert (amodal >= seen).all()
    assert amodal.sum() == 80


def test_classes_without_points_have_no_keypoints():
    row = scene_annotations(scene(points=False), 1, 1)[0]
    assert not [key for key in row if "keypoints" in key]
    assert "keypoints" not in scene_category({**INFO, "points": [], "skeleton": []})
    assert scene_category(INFO) == {
        "id": 1,
        "name": "chair",
        "supercategory": "chair",
        "keypoints": INFO["points"],
        "skeleton": INFO["skeleton"],
    }


def test_max_iou_by_hand():
    boxes = [[0, 0, 10, 10], [5, 0, 10, 10], [5, 0, 10, 20], [100, 100, 1, 1]]
    np.testing.assert_allclose(max_ious(boxes), [1 / 3, 0.5, 0.5, 0])
    assert max_ious([[0, 0, 5, 5]]) == [0.0]
    assert max_ious([]) == []


def test_the_file_is_coco_s(tmp_path):
    write_scene(tmp_path, 0, scene(), 90)
    write_scene(tmp_path, 3, scene(), 90)
    coco = json.loads(json.dumps(scenes_to_coco(tmp_path, INFO, [0, 3])))
    assert [row["id"] for row in coco["annotations"]] == [1, 2, 3, 4]
    assert [row["id"] for row in coco["images"]] == [1, 4]
    assert coco["images"][1]["file_name"] == "000003.jpg"
    assert coco["images"][1]["unlabelled"] == 1
    assert np.shape(coco["images"][0]["camera"]["K"]) == (3, 3)
    checked = check_coco(coco, tmp_path / "annotations.json", tmp_path / "images", strict=True)
    assert checked.report.kept == 4
    assert checked.keypoint_names == tuple(INFO["points"])
    (tmp_path / "annotations.json").write_text(json.dumps(coco))
    read = COCO(tmp_path / "annotations.json")
    assert len(read.getAnnIds(catIds=read.getCatIds(catNms=["chair"]))) == 4
    with pytest.raises(StorageError, match=r"000001\.npz: missing or damaged"):
        scenes_to_coco(tmp_path, INFO, [0, 1])
