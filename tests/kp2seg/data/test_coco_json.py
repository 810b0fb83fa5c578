"""The reader of COCO keypoint JSON: what it takes, leaves out, and refuses."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from kp2seg.data.coco_json import KeypointData, check_coco, read_json
from kp2seg.data.problems import EXAMPLES, DataError

H, W = 20, 30
JOINTS = ("nose", "left_hand", "right_hand")


def small_coco(root: Path) -> dict[str, Any]:
    """Two pictures of 20 x 30 on disk, three people."""
    for name in ("a.jpg", "b.png"):
        Image.new("RGB", (W, H), (40, 90, 20)).save(root / name)

    def person(annotation_id: int, image_id: int, x: int) -> dict[str, Any]:
        return {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": 1,
            "iscrowd": 0,
            "area": 80.0,
            "bbox": [x, 2, 8, 10],
            "keypoints": [x + 4, 3, 2, x + 1, 8, 1, 0, 0, 0],
            "num_keypoints": 2,
            "segmentation": [[x, 2, x + 8, 2, x + 8, 12, x, 12]],
        }

    return {
        "images": [
            {"id": 7, "file_name": "a.jpg", "height": H, "width": W},
            {"id": 9, "file_name": "b.png", "height": H, "width": W},
        ],
        "annotations": [person(1, 7, 1), person(2, 7, 15), person(3, 9, 5)],
        "categories": [{"id": 1, "name": "puppet", "keypoints": list(JOINTS)}],
    }


def check(coco: Any, root: Path, **options: Any) -> KeypointData:
    return check_coco(coco, root / "people.json", root, **options)


def test_a_good_file_is_kept_whole(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    data = check(copy.deepcopy(coco), tmp_path, strict=True)
    assert data.coco == coco
    assert data.keypoint_names == JOINTS
    assert (data.report.read, data.report.kept, bool(data.report)) == (3, 3, False)


def test_joints_are_found_by_name(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    coco["categories"][0]["skeleton"] = [[1, 2]]
    data = check(coco, tmp_path, keypoint_names=("left_hand", "nose"))
    assert data.coco["annotations"][0]["keypoints"] == [2, 8, 1, 5, 3, 2]
    assert data.coco["categories"] == [
        {"id": 1, "name": "puppet", "keypoints": ["left_hand", "nose"]}
    ]


def test_unknown_joint_names_are_refused(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    coco["categories"][0]["keypoints"] = ["nose", "left_hnad", "right_hand"]
    message = "people.json: unknown joint names: left_hnad; it lacks left_hand; expected nose"
    with pytest.raises(DataError, match=message):
        check(coco, tmp_path, keypoint_names=JOINTS)
    coco["categories"][0]["keypoints"] = ["nose", "nose", "right_hand"]
    with pytest.raises(DataError, match=r"keypoints named twice: nose"):
        check(coco, tmp_path)
    del coco["categories"][0]["keypoints"]
    with pytest.raises(DataError, match=r"no category names its keypoints"):
        check(coco, tmp_path)


def rle(height: int, width: int) -> dict[str, Any]:
    mask = np.zeros((height, width), np.uint8)
    mask[2:12, 1:9] = 1
    encoded = mask_api.encode(np.asfortranarray(mask))
    return {"size": [height, width], "counts": encoded["counts"].decode()}


def changed(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda coco: coco["annotations"][1].update(fields)


def doubled_image(coco: dict[str, Any]) -> None:
    coco["images"].append({**coco["images"][0], "file_name": "b.png"})


NAMED = "image 7, annotation 2"
BAD_ROWS = [
    (changed(keypoints=[1, 2, 2]), f"keypoints of the wrong length: {NAMED}: 3 numbers, .* 3 x 3"),
    (changed(keypoints=None), f"wrong length: {NAMED}: a NoneType instead of 9 numbers"),
    (changed(keypoints=[math.nan, 3, 2, *[0] * 6]), f"keypoints with NaN or infinity: {NAMED}"),
    (changed(keypoints=[1, math.inf, 1, *[0] * 6]), f"keypoints with NaN or infinity: {NAMED}"),
    (changed(keypoints=["1", 3, 2, *[0] * 6]), f"keypoints that are no numbers: {NAMED}"),
    (changed(keypoints=[1, 3, 7, *[0] * 6]), f"visibility that is not 0, 1 or 2: {NAMED}"),
    (changed(bbox=[1, 2, 0, 10]), rf"zero-size box: {NAMED}: \[1, 2, 0, 10\]"),
    (changed(bbox=[1, 2, 10]), f"box that is not four finite numbers: {NAMED}"),
    (changed(bbox=[1, 2, math.nan, 10]), f"box that is not four finite numbers: {NAMED}"),
    (changed(segmentation=[[1, 2, 3, 4]]), f"{NAMED}: a polygon of 2 points; 3 are needed"),
    (changed(segmentation=[]), f"without a usable mask: {NAMED}: an empty segmentation"),
    (changed(segmentation=rle(W, H)), rf"{NAMED}: RLE of size \[30, 20\] for .* \[20, 30\]"),
    (changed(image_id=8), "annotation of an unknown image: image 8, annotation 2"),
    (changed(category_id=4), rf"unknown category: {NAMED}: category 4; there are \[1\]"),
    (changed(id=1), "duplicate annotation id: image 7, annotation 1"),
    (changed(id="2"), "annotation id that is no integer: image 7, annotation 2"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_ROWS)
def test_a_bad_annotation_is_named_and_left_out(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    coco = small_coco(tmp_path)
    spoil(coco)
    with pytest.raises(DataError, match=message):
        check(copy.deepcopy(coco), tmp_path, strict=True)
    data = check(coco, tmp_path)
    assert [row["id"] for row in data.coco["annotations"]] == [1, 3]
    assert (data.report.read, data.report.kept) == (3, 2)
    assert sum(data.report.counts.values()) >= 1
    assert "people.json: 2 of 3 kept" in str(data.report)


def test_rows_that_are_no_objects(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    coco["annotations"][1] = 5
    assert check(coco, tmp_path).report.counts == {"annotation that is no object": 1}


def test_what_can_be_repaired_is_kept_and_said(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    first, second, third = coco["annotations"]
    first["keypoints"][6:8] = [math.nan, math.nan]
    second["segmentation"].append([3, 4, 5, 6])
    third["segmentation"] = {"size": [H, W], "counts": [22, 10, 568]}
    del third["area"]
    data = check(coco, tmp_path)
    kept = data.coco["annotations"]
    assert kept[0]["keypoints"] == [5, 3, 2, 2, 8, 1, 0, 0, 0]
    assert kept[1]["segmentation"] == [[15, 2, 23, 2, 23, 12, 15, 12]]
    assert (
        kept[2]["segmentation"]["counts"]
        == mask_api.frPyObjects({"size": [H, W], "counts": [22, 10, 568]}, H, W)["counts"].decode()
    )
    assert kept[2]["area"] == 10
    assert data.report.counts == {"NaN at a missing keypoint, made 0": 1, "polygon that is none": 1}
    assert data.report.kept == 3


def test_counts_go_on_after_the_examples(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    row = coco["annotations"][0]
    coco["annotations"] += [{**row, "id": 10 + i, "bbox": [0, 0, 0, 0]} for i in range(8)]
    report = check(coco, tmp_path).report
    assert report.counts == {"zero-size box": 8}
    assert len(report.examples["zero-size box"]) == EXAMPLES
    assert "zero-size box: 8 (image 7, annotation 10: " in str(report)
    assert "; and 3 more)" in str(report)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (doubled_image, "duplicate image id"),
        (lambda coco: coco["images"].append({"file_name": "a.jpg"}), "image id that is no integer"),
        (lambda coco: coco["images"].append({"id": 5, "file_name": "x"}), "picture without a size"),
    ],
)
def test_bad_pictures(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], kind: str) -> None:
    coco = small_coco(tmp_path)
    spoil(coco)
    data = check(copy.deepcopy(coco), tmp_path)
    assert data.report.counts == {kind: 1}
    assert [image["file_name"] for image in data.coco["images"]] == ["a.jpg", "b.png"]
    with pytest.raises(DataError, match=kind):
        check(coco, tmp_path, strict=True)


def test_missing_and_cut_pictures_are_left_out_with_their_people(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-40])
    data = check(copy.deepcopy(coco), tmp_path)
    assert [image["id"] for image in data.coco["images"]] == [9]
    assert data.report.counts == {
        "picture cut short or damaged": 1,
        "annotation of a picture that was left out": 2,
    }
    (tmp_path / "b.png").unlink()
    with pytest.raises(DataError, match=r"picture cut short or damaged: .*a.jpg"):
        check(copy.deepcopy(coco), tmp_path, strict=True)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"none of its 2 pictures is in .*DETECTRON2_DATASETS"):
        check(coco, tmp_path)


def test_only_pictures_that_are_used_are_looked_at(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    coco["images"].append({"id": 4, "file_name": "nowhere.jpg", "height": 5, "width": 5})
    assert not check(copy.deepcopy(coco), tmp_path).report
    data = check(coco, tmp_path, keep_empty_images=True)
    assert data.report.counts == {"picture missing": 1}
    assert [image["id"] for image in data.coco["images"]] == [7, 9]


def test_people_who_do_not_belong_are_passed_over_unchecked(tmp_path: Path) -> None:
    coco = small_coco(tmp_path)
    coco["annotations"][2]["bbox"] = None
    coco["categories"].append({"id": 2, "name": "car"})
    coco["annotations"][1]["category_id"] = 2
    data = check(coco, tmp_path, strict=True, keep=lambda row: row["id"] != 3)
    assert [row["id"] for row in data.coco["annotations"]] == [1]
    assert [image["id"] for image in data.coco["images"]] == [7]
    assert data.report.read == 1


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "C:\\a.jpg", "..\\a"])
def test_a_name_that_leaves_the_folder_is_always_refused(tmp_path: Path, name: str) -> None:
    coco = small_coco(tmp_path)
    coco["images"][1]["file_name"] = name
    with pytest.raises(DataError, match=r"people.json: file_name .* leaves the folder"):
        check(coco, tmp_path, check_images=False)


def test_other_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a list of 1 rows, not an annotation file"):
        check([{"image_id": 1}], tmp_path)
    with pytest.raises(DataError, match=r"expected COCO JSON .* got \['images'\]"):
        check({"images": []}, tmp_path)


def test_broken_json(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    text = json.dumps(small_coco(tmp_path))
    for cut in (len(text) // 2, len(text) - 1):
        path.write_text(text[:cut])
        with pytest.raises(DataError, match=r"people.json: is cut short: .* get the file again"):
            read_json(path)
    path.write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"people.json: is no JSON"):
        read_json(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"is no JSON: not UTF-8"):
        read_json(path)
    with pytest.raises(DataError, match=r"nowhere.json: .*No such file.*; download it"):
        read_json(tmp_path / "nowhere.json", "download it")


def test_an_empty_set(tmp_path: Path) -> None:
    coco = {**small_coco(tmp_path), "annotations": []}
    data = check(coco, tmp_path, strict=True)
    assert (data.coco["images"], data.coco["annotations"]) == ([], [])
