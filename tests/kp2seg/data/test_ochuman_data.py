"""OCHuman: its own file, the official COCO form, ranges of MaxIoU, and the split of old files."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2seg.data.masks import decode
from kp2seg.data.ochuman import IOU_RANGES, find_annotation_file, read_ochuman
from kp2seg.data.ochuman_json import ochuman_to_coco
from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.layouts import COCO_JOINTS, LAYOUTS

H, W = 6, 8
SOURCE = Path("ochuman.json")
VISIBLE = {"missing": 0, "vis": 1, "self_occluded": 2, "others_occluded": 3}


def person(max_iou: float = 0.6, **fields: Any) -> dict[str, Any]:
    """Joint i at (i, 2 i), seen as code i % 4; a mask of 4 x 3 with a hole of 2 x 1."""
    outer, hole = [1, 1, 5, 1, 5, 4, 1, 4], [2, 2, 4, 2, 4, 3, 2, 3]
    return {
        "bbox": [1, 1, 5, 4],
        "keypoints": [n for i in range(19) for n in (i, 2 * i, i % 4)],
        "segms": {"outer": [outer], "inner": [hole], "height": H, "width": W},
        "max_iou": max_iou,
        **fields,
    }


def picture(number: int, *people: dict[str, Any]) -> dict[str, Any]:
    name = f"{number:06d}"
    return {
        "image_id": name,
        "file_name": f"{name}.jpg",
        "height": H,
        "width": W,
        "annotations": list(people),
    }


def ochuman(*pictures: dict[str, Any]) -> dict[str, Any]:
    return {
        "keypoint_names": list(LAYOUTS["ochuman"]),
        "keypoint_visible": VISIBLE,
        "images": list(pictures),
    }


def convert(data: dict[str, Any], split: str = "all", iou: str = "") -> dict[str, Any]:
    return ochuman_to_coco(data, SOURCE, split, IOU_RANGES[iou], Report("ochuman.json", True))


def test_one_person() -> None:
    coco = convert(ochuman(picture(17, person())))
    assert coco["images"] == [
        {"id": 1, "file_name": "000017.jpg", "height": H, "width": W, "source_id": "000017"}
    ]
    row = coco["annotations"][0]
    mask = decode(row.pop("segmentation"))
    assert mask.tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
        [0, 1, 0, 0, 1, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
    keypoints = np.array(row.pop("keypoints")).reshape(17, 3)
    assert row == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "area": 12,
        "bbox": [1, 1, 4, 3],
        "num_keypoints": 13,
        "max_iou": 0.6,
    }
    # The nose is joint 16 of 19, the left shoulder 3, the right knee 7, the right ankle 8.
    assert keypoints[0].tolist() == [16, 32, 0]
    assert keypoints[5].tolist() == [3, 6, 1]
    assert keypoints[14].tolist() == [7, 14, 1]
    assert keypoints[16].tolist() == [8, 16, 0]
    # Every joint, and its visibility: seen or hidden by oneself 2, by others 1.
    for i, name in enumerate(COCO_JOINTS):
        j = LAYOUTS["ochuman"].index(name)
        assert keypoints[i].tolist() == [j, 2 * j, (0, 2, 2, 1)[j % 4]]


def test_rle_segments() -> None:
    rle = {"size": [H, W], "counts": [6, 12, 30]}
    hole = {"size": [H, W], "counts": [6, 1, 41]}
    segms = {"outer": rle, "inner": hole, "height": H, "width": W}
    mask = decode(
        convert(ochuman(picture(1, person(segms=segms))))["annotations"][0]["segmentation"]
    )
    assert mask[:, 1:3].sum() == mask.sum() == 11
    whole = {**segms, "inner": []}
    mask = decode(
        convert(ochuman(picture(1, person(segms=whole))))["annotations"][0]["segmentation"]
    )
    assert mask.sum() == 12


def test_people_without_keypoints_or_mask_do_not_count() -> None:
    data = ochuman(
        picture(5, person(keypoints=None), person(segms=None)),
        picture(4, person(segms=None), person()),
    )
    coco = convert(data)
    assert [image["file_name"] for image in coco["images"]] == ["000004.jpg"]
    assert [(row["id"], row["image_id"]) for row in coco["annotations"]] == [(1, 1)]


def test_ranges_are_half_open_and_number_anew() -> None:
    data = ochuman(
        picture(9, person(0.5), person(0.75)), picture(3, person(0.9)), picture(6, person(0.74))
    )
    moderate, hard, every = (convert(data, iou=part) for part in ("_moderate", "_hard", ""))
    names = [[image["file_name"] for image in coco["images"]] for coco in (moderate, hard, every)]
    assert names[0] == ["000009.jpg", "000006.jpg"]
    assert names[1] == ["000009.jpg", "000003.jpg"]
    assert names[2] == ["000009.jpg", "000003.jpg", "000006.jpg"]
    ids = [[(a["id"], a["image_id"]) for a in coco["annotations"]] for coco in (moderate, hard)]
    assert ids == [[(1, 1), (2, 2)], [(1, 1), (2, 2)]]
    assert [a["max_iou"] for a in moderate["annotations"]] == [0.5, 0.74]


def shuffled(count: int) -> list[int]:
    """Numbers of pictures in an order like the current files': theirs begin with these three."""
    numbers = [n for n in range(1, count + 1) if n not in (3799, 817, 3896)]
    random.Random(1).shuffle(numbers)
    return [3799, 817, 3896, *numbers]


def test_val_is_the_first_2500_in_the_order_of_the_file() -> None:
    empty_segms = {"outer": {"size": [H, W], "counts": [0, 48]}, "height": H, "width": W}
    order = shuffled(2510)
    without = picture(9999, person(keypoints=None))
    pictures = [picture(n, person(segms=empty_segms)) for n in order]
    data = ochuman(without, *pictures)
    val, test = convert(data, "val"), convert(data, "test")
    assert [image["file_name"] for image in val["images"]] == [f"{n:06d}.jpg" for n in order[:2500]]
    assert [image["id"] for image in test["images"]] == list(range(1, len(order) - 2500 + 1))
    assert test["images"][0]["file_name"] == f"{order[2500]:06d}.jpg"
    with pytest.raises(DataError, match=r"1 pictures have people .* test needs more than 2500"):
        convert(ochuman(picture(1, person())), "test")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keypoints": [1, 2, 1]}, r"keypoints of the wrong length: .* annotation 1: 3 numbers"),
        ({"keypoints": [1, 2, 5] * 19}, r"none of the file's codes: .* 5 \(0, 1, 2, 3\)"),
        ({"bbox": [1, 2]}, r"box that is not four finite numbers: picture 000002"),
        ({"segms": {"inner": []}}, r"without a usable mask: .*no object with outer and inner"),
        (
            {"segms": {"outer": [[1, 1, 2, 1, 2, 2]], "height": W, "width": H}},
            r"segms of size 8 x 6 for a picture of 6 x 8",
        ),
        (
            {"segms": {"outer": [[1, 1, 2, 2]], "height": H, "width": W}},
            r"000002.jpg\), annotation 1: a polygon of 2 points",
        ),
        (
            {
                "segms": {
                    "outer": {"size": [W, H], "counts": [0, 48]},
                    "height": H,
                    "width": W,
                }
            },
            r"RLE of size \[8, 6\] for a picture of \[6, 8\]",
        ),
    ],
)
def test_bad_people(fields: dict[str, Any], message: str) -> None:
    data = ochuman(picture(2, person(**fields), person()))
    with pytest.raises(DataError, match=message):
        convert(data)
    report = Report("ochuman.json")
    coco = ochuman_to_coco(data, SOURCE, "all", (0, 1), report)
    assert [row["id"] for row in coco["annotations"]] == [2]
    assert sum(report.counts.values()) == 1


def test_other_files_are_refused() -> None:
    data = ochuman(picture(1, person()))
    with pytest.raises(DataError, match=r"unknown joint names: .* lacks left_ear, nose|nose, left"):
        convert({**data, "keypoint_names": ["neck", "head"]})
    with pytest.raises(DataError, match=r"keypoint_visible is {'vis': 1}; expected a code for"):
        convert({**data, "keypoint_visible": {"vis": 1}})
    with pytest.raises(DataError, match=r"a person without max_iou"):
        convert(ochuman(picture(1, person(max_iou=None))))
    with pytest.raises(DataError, match=r"expected ochuman.json with a list of images"):
        convert({"annotations": []})


def coco_form(order: list[int]) -> dict[str, Any]:
    images = [
        {"id": i, "file_name": f"{n:06d}.jpg", "height": H, "width": W}
        for i, n in enumerate(order, 1)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(COCO_JOINTS)}
    return {"images": images, "annotations": [], "categories": [category]}


def write(root: Path, name: str, data: Any) -> Path:
    path = root / "OCHuman" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


FULL = "ochuman_coco_format_{}_range_0.00_1.00.json"


@pytest.mark.parametrize(
    ("split", "order", "reason"),
    [
        ("val", list(range(1, 2501)), "its 2500 pictures are sorted by name"),
        ("test", list(range(3000, 3012)), "its 12 pictures are sorted by name"),
        ("test", [4000, 3799, 12], "003799.jpg is in its test, and in val of the current files"),
        (
            "val",
            [*shuffled(2498)[3:], 5001, 5002, 5003],
            "000817.jpg is not among its 2500 pictures of val",
        ),
    ],
)
def test_files_from_before_the_new_split_are_refused(
    tmp_path: Path, split: str, order: list[int], reason: str
) -> None:
    write(tmp_path, FULL.format(split), coco_form(order))
    with pytest.raises(DataError, match=rf"before 2019-06-14 .*{reason}.* download"):
        read_ochuman(tmp_path, split)


def test_ochuman_json_from_before_the_new_split_is_refused(tmp_path: Path) -> None:
    people = [picture(n, person()) for n in range(1, 30)]
    write(tmp_path, "ochuman.json", ochuman(*people))
    with pytest.raises(DataError, match=r"its 29 pictures are sorted by name"):
        read_ochuman(tmp_path, "val")
    old = [n for n in shuffled(4732) if n != 3896]
    write(tmp_path, "ochuman.json", ochuman(*(picture(n, person()) for n in sorted(old)[::-1])))
    with pytest.raises(DataError, match=r"000817.jpg is not among its 2500 pictures of val"):
        read_ochuman(tmp_path, "val")


@pytest.mark.parametrize("order", [[5, 9, 12], shuffled(2498), shuffled(300)[3:]])
def test_current_files_and_cuts_of_them_are_taken(tmp_path: Path, order: list[int]) -> None:
    write(tmp_path, FULL.format("val"), coco_form(order))
    data = read_ochuman(tmp_path, "val", check_images=False)
    assert data.report.read == 0


def test_both_forms_give_the_same(tmp_path: Path) -> None:
    people = [picture(n, person(), person(0.8, segms=None)) for n in (5, 3, 8)]
    write(tmp_path / "own", "annotations/ochuman.json", ochuman(*people))
    own = read_ochuman(tmp_path / "own", "val", check_images=False)
    plain = [{k: v for k, v in row.items() if k != "max_iou"} for row in own.coco["annotations"]]
    form = {**coco_form([5, 3, 8]), "annotations": plain}
    write(tmp_path / "coco", f"annotations/{FULL.format('val')}", form)
    official = read_ochuman(tmp_path / "coco", "val", check_images=False)
    assert official.coco["annotations"] == plain
    assert own.keypoint_names == official.keypoint_names == COCO_JOINTS
    assert [i["id"] for i in own.coco["images"]] == [i["id"] for i in official.coco["images"]]
    assert own.files[0].name == "ochuman.json"


def test_people_left_out_of_ochuman_json_are_in_the_report(tmp_path: Path) -> None:
    data = ochuman(picture(5, person(), person(bbox=[1, 2])), picture(3, person(bbox=[2, 2, 2, 4])))
    write(tmp_path, "ochuman.json", data)
    report = read_ochuman(tmp_path, "val", check_images=False).report
    assert report.counts == {"zero-size box": 1, "box that is not four finite numbers": 1}
    assert (report.read, report.kept) == (3, 1)


def test_a_missing_range_says_what_would_give_it(tmp_path: Path) -> None:
    write(tmp_path, FULL.format("val"), {})
    with pytest.raises(DataError, match=r"range_0.50_0.75.json, .*ochuman.json.* not hold MaxIoU"):
        find_annotation_file(tmp_path, "val", IOU_RANGES["_moderate"])


@pytest.mark.skipif("DETECTRON2_DATASETS" not in os.environ, reason="DETECTRON2_DATASETS not set")
def test_real_ochuman() -> None:
    root = Path(os.environ["DETECTRON2_DATASETS"])
    try:
        find_annotation_file(root, "val", (0, 1))
    except DataError:
        pytest.skip("no OCHuman under DETECTRON2_DATASETS")
    data = read_ochuman(root, "val", strict=True)
    first = data.coco["images"][0]
    assert (first["file_name"], first["height"], first["width"]) == ("003799.jpg", 864, 900)
    assert data.report.kept == len(data.coco["annotations"]) >= 5
    for row in data.coco["annotations"]:
        assert row["area"] == row["bbox"][2] * row["bbox"][3]
