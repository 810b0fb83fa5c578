import json
import math

import numpy as np
import pytest

from kp2seg.templates import TemplateError, flip_map_from_names, read_poses, unit_square_poses

NAMES = ["top", "left", "right", "bottom"]
GOOD = [10, 20, 2, 14, 22, 1, 12, 28, 2, 0, 0, 0]


def write(path, annotations, categories=None):
    categories = categories or [
        {"id": 3, "name": "kite", "keypoints": NAMES, "skeleton": [[1, 2], [3, 1]]},
        {"id": 4, "name": "cloud"},
    ]
    filled = [
        {"id": 7 + i, "image_id": 1, "category_id": 3, "iscrowd": 0, "bbox": [8, 16, 8, 16]} | a
        for i, a in enumerate(annotations)
    ]
    data = {"images": [{"id": 1}], "categories": categories, "annotations": filled}
    path.write_text(json.dumps(data))
    return path


def test_unit_square_literal():
    # A box of 8 x 16 fills the height; its width is the middle half.
    kpts = np.array([[[8.0, 16.0], [16.0, 32.0], [12.0, 20.0], [math.nan, 0.0]]])
    poses = unit_square_poses(kpts, np.array([[2, 1, 2, 0]]), np.array([[8, 16, 8, 16]]))
    expected = [[0.25, 0, 2], [0.75, 1, 1], [0.5, 0.25, 2], [0.5, 0.5, 0]]
    np.testing.assert_allclose(poses[0], expected)
    nobody = unit_square_poses(np.zeros((0, 4, 2)), np.zeros((0, 4)), np.zeros((0, 4)))
    assert nobody.shape == (0, 4, 3)


def test_read_poses(tmp_path):
    path = write(
        tmp_path / "kites.json",
        [
            {"keypoints": GOOD},
            {"keypoints": GOOD, "iscrowd": 1},
            {"keypoints": [10, 20, 2, 14, 22, 1, 0, 0, 0, 0, 0, 0]},
            {"keypoints": GOOD, "bbox": [8, 16, 0, 16]},
            {"keypoints": []},
            {},
            {"keypoints": GOOD, "category_id": 4},
        ],
    )
    found = read_poses(path)
    assert found.names == tuple(NAMES)
    assert found.connections == ((0, 1), (2, 0))
    assert found.flip_map == {"left": "right"}
    assert found.annotation_ids == (7,)
    assert found.min_points == 3
    # (10 + 0.5 - 8) / 16 + 0.25, (20 + 0.5 - 16) / 16
    np.testing.assert_allclose(found.poses[0, 0], [0.40625, 0.28125, 2])
    assert found.poses[0, 3].tolist() == [0.5, 0.5, 0]
    assert found.left_out == {
        "crowd": 1,
        "fewer than 3 visible keypoints": 1,
        "box without area": 1,
        "no keypoints": 2,
    }


def test_without_a_box_the_visible_points_extent_is_it(tmp_path):
    path = write(tmp_path / "kites.json", [{"keypoints": GOOD, "bbox": None}])
    # x from 10.5 to 14.5, y from 20.5 to 28.5.
    expected = [[0.25, 0, 2], [0.75, 0.25, 1], [0.5, 1, 2], [0.5, 0.5, 0]]
    np.testing.assert_allclose(read_poses(path).poses[0], expected)


def test_a_missing_point_may_be_nan(tmp_path):
    path = write(tmp_path / "kites.json", [{"keypoints": [*GOOD[:9], math.nan, math.nan, 0]}])
    assert read_poses(path).poses[0, 3].tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"keypoints": GOOD[:-1]}, "annotation 8: keypoints: expected 12 numbers .* got 11"),
        ({"keypoints": [math.nan, *GOOD[1:]]}, r"annotation 8: keypoint 0: visible, but at \[nan"),
        ({"keypoints": [*GOOD[:-1], 3]}, "annotation 8: keypoint 3: .* 0, 1 or 2, got 3.0"),
        ({"keypoints": ["a"] * 12}, "annotation 8: keypoints: expected a list of numbers"),
        ({"keypoints": GOOD, "bbox": [1, 2, math.nan, 3]}, "annotation 8: bbox: expected 4 finite"),
        ({"keypoints": GOOD, "bbox": [1, 2, 3]}, "annotation 8: bbox: expected 4 finite"),
    ],
)
def test_broken_annotations_are_named(tmp_path, annotation, message):
    path = write(tmp_path / "kites.json", [{"keypoints": GOOD}, annotation])
    with pytest.raises(TemplateError, match=f"kites.json: {message}"):
        read_poses(path)


def test_no_pose_left(tmp_path):
    path = write(tmp_path / "kites.json", [{"keypoints": GOOD}])
    message = r"no pose of 'kite' with at least 4 .*\(1 fewer than 4 visible keypoints\)"
    with pytest.raises(TemplateError, match=message):
        read_poses(path, min_points=4)
    with pytest.raises(
        TemplateError, match=r"min_points: expected 1 to 4 \(the keypoints\), got 5"
    ):
        read_poses(path, min_points=5)
    with pytest.raises(TemplateError, match=r"at least 3 visible keypoints \(no annotations\)"):
        read_poses(write(tmp_path / "none.json", []))


def test_categories(tmp_path):
    two = [
        {"id": 3, "name": "kite", "keypoints": NAMES},
        {"id": 5, "name": "plane", "keypoints": ["nose", "tail", "fin"]},
    ]
    path = write(tmp_path / "two.json", [{"keypoints": GOOD}], two)
    assert read_poses(path, category="kite").connections == ()
    with pytest.raises(TemplateError, match=r"one category with keypoints; .* are: kite, plane"):
        read_poses(path)
    with pytest.raises(TemplateError, match=r"category 'boat' with keypoints; .* are: kite, plane"):
        read_poses(path, category="boat")
    bad = [{"id": 3, "name": "kite", "keypoints": NAMES, "skeleton": [[0, 1]]}]
    with pytest.raises(TemplateError, match=r"skeleton: .* from 1 to 4, got \[0, 1\]"):
        read_poses(write(tmp_path / "bad.json", [], bad))


def test_no_coco_json(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"annotations": [')
    with pytest.raises(TemplateError, match=r"x.json: not a JSON file, or cut short"):
        read_poses(path)
    path.write_text('{"annotations": []}')
    with pytest.raises(TemplateError, match="with 'annotations' and 'categories'"):
        read_poses(path)


def test_flip_map_from_names():
    names = [
        "nose",
        "left_eye",
        "right_eye",
        "LeftArm",
        "RightArm",
        "wheel-l",
        "wheel-r",
        "leftover",
    ]
    assert flip_map_from_names(names) == {
        "left_eye": "right_eye",
        "LeftArm": "RightArm",
        "wheel-l": "wheel-r",
    }
    assert flip_map_from_names(["hand_L", "hand_R", "tail"]) == {"hand_L": "hand_R"}
    assert flip_map_from_names(["kp0", "kp1", "bell", "berr"]) == {}
