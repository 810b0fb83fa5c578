"""Other people's detectors: their files, matched to pictures, chosen and counted."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.layouts import COCO_JOINTS, LAYOUTS
from kp2seg.keypoint_sources.results import Choice, read_results

IMAGES = [
    {"id": 785, "file_name": "000000000785.jpg"},
    {"id": 9, "file_name": "val/street.scene.png"},
]


def numbers(
    n: int = 17, x: float = 100, third: float | Sequence[float] = 0.9, seed: int = 0
) -> list[float]:
    """n joints scattered over 80 px from x on; their third number."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(x, x + 80, (n, 2))
    return np.column_stack([points, np.broadcast_to(third, n)]).ravel().tolist()


def row(keypoints: list[float] | None = None, **fields: Any) -> dict[str, Any]:
    keypoints = numbers() if keypoints is None else keypoints
    return {"image_id": 785, "category_id": 1, "keypoints": keypoints, "score": 0.8, **fields}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_known_by_its_number_of_joints(path: Path, name: str) -> None:
    names = LAYOUTS[name]
    values = numbers(len(names))
    table = read_results(write(path, [row(values)]), IMAGES)
    (pose,) = table.poses(785)
    for i, joint in enumerate(COCO_JOINTS):
        if joint in names:
            j = names.index(joint)
            assert pose.keypoints[i].tolist() == values[3 * j : 3 * j + 2]
        assert pose.visibility[i] == (2 if joint in names else 0)
    assert (pose.score, pose.annotation_id) == (0.8, None)
    assert not table.report.counts


def test_joints_of_another_class(path: Path) -> None:
    values = [1, 2, 2, 30, 4, 2, 5, 60, 0]
    table = read_results(
        write(path, [row(values)]),
        IMAGES,
        joints=["p0", "p1", "p2"],
        target=["p1", "p0", "p3"],
        choice=Choice(min_points=2),
    )
    (pose,) = table.poses(785)
    assert pose.keypoints.tolist() == [[30, 4], [1, 2], [0, 0]]
    assert pose.visibility.tolist() == [2, 2, 0]


@pytest.mark.parametrize(
    ("thirds", "expected"),
    [
        # COCO's codes; there or not; confidence.
        ([0, 1, 2, 2], [0, 1, 2, 2]),
        ([0, 1, 1, 1], [0, 2, 2, 2]),
        ([0.1, 0.2, 0.9, 1.0], [0, 2, 2, 2]),
    ],
)
def test_what_the_third_number_means(path: Path, thirds: list[float], expected: list[int]) -> None:
    values = numbers(third=[*thirds, *[thirds[-1]] * 13])
    (pose,) = read_results(write(path, [row(values)]), IMAGES).poses(785)
    assert pose.visibility[:4].tolist() == expected


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        (785, 785),
        ("785", 785),
        ("000000000785.jpg", 785),
        ("out/000000000785.png", 785),
        ("000000000785", 785),
        ("val/street.scene.png", 9),
        ("street.scene.jpg", 9),
        ("street.scene", 9),
    ],
)
def test_pictures_are_matched_by_id_or_name(path: Path, image_id: Any, expected: int) -> None:
    table = read_results(write(path, [row(image_id=image_id)]), IMAGES)
    assert list(table.by_image) == [expected]


def test_everything_left_out_is_counted(path: Path) -> None:
    far = numbers(x=400, seed=1)
    rows = [
        row(score=0.7),
        row([n + 0.3 * (i % 3 < 2) for i, n in enumerate(numbers())], score=0.75),
        row(far, score=0.1),
        row(numbers(x=700, third=[0.9, 0.9, *[0.05] * 15])),
        row(image_id=12),
        row(image_id="elsewhere.jpg"),
        row(category_id=3),
        row(far, image_id=9, score=0.5),
    ]
    table = read_results(write(path, rows), IMAGES, strict=True)
    assert table.report.counts == {
        "another category": 1,
        "poses of a picture that is not in the data set": 2,
        "score under 0.2": 1,
        "fewer than 3 points": 1,
        "double of a better pose": 1,
    }
    assert (table.report.read, table.report.kept) == (8, 2)
    assert [pose.score for pose in table.poses(785)] == [0.75]
    assert [pose.score for pose in table.poses(9)] == [0.5]
    generous = Choice(min_score=0, min_confidence=0, min_points=0, double_oks=1)
    kept = read_results(path, IMAGES, choice=generous, category_id=None)
    assert (kept.report.read, kept.report.kept) == (8, 6)
    assert kept.fingerprint != table.fingerprint


BAD_ROWS = [
    (5, "row that is no object: row 1"),
    (row([1.0] * 16), "keypoints that are not 3 numbers a joint: row 1, image 785: 16 entries"),
    (row(keypoints=None) | {"keypoints": None}, "not 3 numbers a joint: row 1, .*: NoneType"),
    (row(numbers(18)), r"wrong length: row 1.*: 54 numbers, expected 3 x 17; 18 .* openpose18"),
    (row([math.nan, *numbers()[1:]]), "keypoints with NaN or infinity: row 1, image 785"),
    (row(score=math.nan), "score that is no finite number: row 1"),
    (row(image_id=None), "image id that is no integer and no file name: row 1, image None"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_ROWS)
def test_bad_rows(path: Path, bad: Any, message: str) -> None:
    write(path, [row(), bad, row(numbers(x=300))])
    with pytest.raises(DataError, match=message):
        read_results(path, IMAGES, strict=True)
    table = read_results(path, IMAGES)
    assert (table.report.read, table.report.kept) == (3, 2)
    assert sum(table.report.counts.values()) == 1


def test_files_that_cannot_be_used(path: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none of its 1 pictures is .* first is 12, .* 785 \(0+785"
    ):
        read_results(write(path, [row(image_id=12)]), IMAGES)
    with pytest.raises(DataError, match=r"poses of 5 joints, which no known layout has"):
        read_results(write(path, [row(numbers(5))]), IMAGES)
    with pytest.raises(ValueError, match=r"no layout 'openpose'"):
        read_results(write(path, [row()]), IMAGES, joints="openpose")
    with pytest.raises(DataError, match=r"expected a list of results .* got \['images'\]"):
        read_results(write(path, {"images": []}), IMAGES)
    same = [{"id": 1, "file_name": "a/x.jpg"}, {"id": 2, "file_name": "b/x.jpg"}]
    with pytest.raises(DataError, match=r"picture 'x.jpg' could be any of the images \[1, 2\]"):
        read_results(write(path, [row(image_id="x.jpg")]), same)
    assert list(read_results(write(path, [row(image_id="b/x.jpg")]), same).by_image) == [2]
    path.write_text(json.dumps([row()])[:-30])
    with pytest.raises(DataError, match=r"results.json: is cut short"):
        read_results(path, IMAGES)
    with pytest.raises(DataError, match=r"no \*_keypoints.json; expected OpenPose's output"):
        read_results(tmp_path, IMAGES)


def test_an_empty_file_is_no_error(path: Path) -> None:
    table = read_results(write(path, []), IMAGES)
    assert (table.poses(785), table.report.read) == ([], 0)
    assert table.report.counts == {"pictures without a pose": 1}


def openpose(*people: list[float]) -> dict[str, Any]:
    return {"version": 1.3, "people": [{"pose_keypoints_2d": values} for values in people]}


def test_openpose_folder(tmp_path: Path) -> None:
    thirds = [0.8, 0.0, 0.1, *[0.6] * 22]
    first, second = numbers(25, third=thirds), numbers(25, x=400, seed=2)
    write(tmp_path / "000000000785_keypoints.json", openpose(first, second))
    write(tmp_path / "street.scene_keypoints.json", openpose())
    table = read_results(tmp_path, IMAGES)
    scores = [pose.score for pose in table.poses(785)]
    assert scores == pytest.approx([0.9, (0.8 + 0.1 + 22 * 0.6) / 24], abs=1e-12)
    pose = table.poses(785)[1]
    # The nose is sure, the right shoulder (third in BODY_25) is not.
    assert pose.visibility[COCO_JOINTS.index("nose")] == 2
    assert pose.visibility[COCO_JOINTS.index("right_shoulder")] == 0
    assert pose.keypoints[COCO_JOINTS.index("left_ankle")].tolist() == first[42:44]
    assert table.poses(9) == []
    assert table.report.read == 2


def test_openpose_file(tmp_path: Path) -> None:
    path = tmp_path / "street.scene_keypoints.json"
    table = read_results(write(path, openpose(numbers(18))), IMAGES)
    assert list(table.by_image) == [9]
    unit = [n / 1000 if i % 3 < 2 else n for i, n in enumerate(numbers(25))]
    with pytest.raises(DataError, match=r"every coordinate is within 1.5; .*--keypoint_scale 0"):
        read_results(write(path, openpose(unit)), IMAGES)
    with pytest.raises(DataError, match=r"expected OpenPose's \{\"people\""):
        read_results(write(path, {"people": 3}), IMAGES)
