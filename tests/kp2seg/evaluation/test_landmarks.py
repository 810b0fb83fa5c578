import json

import numpy as np
import pytest

from kp2seg.data.problems import DataError
from kp2seg.evaluation.landmarks import (
    LandmarkMap,
    check_names,
    in_picture,
    matched,
    mean_places,
    only_points,
    read_landmarks,
    score,
)

FOUND, TRUE = ("left_1", "right_1", "middle_1"), ("nose", "tail")


@pytest.fixture
def write(tmp_path):
    """A function: a COCO keypoint file of objects in boxes of many sizes."""

    def make(name, names, points_in_box, boxes, codes=None, category="thing", images=None):
        P = len(boxes)
        sides = boxes[:, 2:].max(axis=1)[:, None, None]
        xy = points_in_box * sides + (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]
        codes = np.full((P, len(names)), 2) if codes is None else codes
        poses = np.concatenate([xy, codes[..., None]], axis=-1).reshape(P, -1)
        rows = [
            {"id": i + 1, "image_id": 1 if images is None else images[i], "category_id": 4,
             "bbox": boxes[i].tolist(), "iscrowd": 0, "keypoints": poses[i].tolist()}
            for i in range(P)
        ]  # fmt: skip
        path = tmp_path / name
        classes = [{"id": 4, "name": category, "keypoints": list(names), "skeleton": [[1, 2]]}]
        pictures = [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.png"}]
        coco = {"images": pictures, "annotations": rows, "categories": classes}
        path.write_text(json.dumps(coco))
        return read_landmarks(path)

    return make


def objects(P, seed):
    rng = np.random.default_rng(seed)
    boxes = np.column_stack([rng.uniform(0, 50, (P, 2)), rng.uniform(20, 90, (P, 2))])
    return boxes, rng.uniform(-0.5, 0.5, (P, 3, 2)), rng


def linear(found):
    """Two joints that are linear in three points."""
    mixed = 0.5 * found[:, 0] - 0.2 * found[:, 2] + [0.1, -0.05]
    return np.stack([mixed, found[:, 1, ::-1] * 0.7], axis=1)


def both(write, P, seed, joints, tag, **more):
    boxes, found, rng = objects(P, seed)
    first = write(f"found{tag}.json", FOUND, found, boxes)
    return matched(first, write(f"true{tag}.json", TRUE, joints(found, rng), boxes, **more))[:2]


def test_boxes_and_back(write):
    boxes, found, _ = objects(5, 0)
    landmarks = write("a.json", FOUND, found, boxes)
    np.testing.assert_allclose(landmarks.in_box, found, atol=1e-9)
    np.testing.assert_allclose(in_picture(landmarks.in_box, boxes), landmarks.points)
    assert (landmarks.category, landmarks.connections) == ("thing", ((0, 1),))


def test_a_linear_relation_is_found_on_other_objects_exactly(write):
    def joints(found, rng):
        return linear(found)

    fit = LandmarkMap(*both(write, 60, 0, joints, "a"))
    found, true = both(write, 40, 1, joints, "b")
    scores = score(fit(found), true)
    assert scores["all"] == {
        "objects": 80, "found": 1.0, "pck": 1.0, "error": pytest.approx(0, abs=1e-5)
    }  # fmt: skip
    assert scores["nose"]["objects"] == 40


def test_noise_predicts_no_better_than_the_mean_place(write):
    def joints(found, rng):
        return rng.uniform(-0.5, 0.5, (len(found), 2, 2))

    first, truth = both(write, 200, 0, joints, "a")
    found, true = both(write, 200, 1, joints, "b")
    scores = score(LandmarkMap(first, truth)(found), true)["all"]
    mean = score(np.broadcast_to(mean_places(truth), (200, 2, 2)), true)["all"]
    assert scores["error"] == pytest.approx(mean["error"], abs=0.02)
    assert scores["pck"] < 0.1


def test_joints_that_are_not_annotated_count_neither_in_the_fit_nor_in_the_test(write):
    codes = np.full((60, 2), 2)
    codes[::2, 0] = 0

    def wrong_where_not_annotated(found, rng):
        joints = linear(found)
        joints[codes[: len(found), 0] == 0, 0] = 9.0
        return joints

    first, truth = both(write, 60, 0, wrong_where_not_annotated, "a", codes=codes)
    found, true = both(write, 40, 1, wrong_where_not_annotated, "b", codes=codes[:40])
    scores = score(LandmarkMap(first, truth)(found), true)
    assert scores["nose"]["objects"] == 20
    assert scores["nose"]["error"] < 1e-5
    assert mean_places(truth)[0].max() < 1
    codes[:, 0] = 0
    _, nowhere = both(write, 40, 1, wrong_where_not_annotated, "c", codes=codes[:40])
    assert score(np.zeros((40, 2, 2)), nowhere)["nose"] == {
        "objects": 0, "found": None, "pck": None, "error": None
    }  # fmt: skip


def test_figures_by_hand(write):
    boxes = np.array([[0.0, 0, 10, 40], [0, 0, 20, 10]])
    true = write("true.json", TRUE, np.zeros((2, 2, 2)), boxes)
    predicted = np.array([[[0.1, 0], [0.3, 0.4]], [[0, 0.05], [np.nan, np.nan]]])
    scores = score(predicted, true)
    assert scores["nose"] == {
        "objects": 2, "found": 1.0, "pck": 1.0, "error": pytest.approx(0.075)
    }  # fmt: skip
    assert scores["tail"] == {
        "objects": 2, "found": 0.5, "pck": 0.0, "error": pytest.approx(0.5)
    }  # fmt: skip
    assert scores["all"]["pck"] == 0.5


def test_a_found_point_that_does_not_count_is_in_its_mean_place(write):
    boxes, points, _ = objects(60, 0)
    codes = np.full((60, 3), 2)
    codes[5, 0] = 0
    _, joints = boxes, linear(points)
    found, true, _ = matched(
        write("found.json", FOUND, points, boxes, codes), write("true.json", TRUE, joints, boxes)
    )
    assert np.isnan(found.in_box[5, 0]).all()
    predicted = LandmarkMap(found, true)(found)
    assert np.isfinite(predicted).all()


def test_what_does_not_fit_is_named(write):
    boxes, points, _ = objects(6, 0)
    found = write("found.json", FOUND, points, boxes)
    true = write("true.json", TRUE, points[:, :2], boxes)
    with pytest.raises(DataError, match=r"nose is annotated in 6 objects; .* 3 points needs 7 at"):
        LandmarkMap(found, true)
    with pytest.raises(DataError, match=r"1 of its 6 objects, such as annotation 6, are not in"):
        matched(found, write("few.json", TRUE, points[:5, :2], boxes[:5]))
    with pytest.raises(DataError, match="annotation 1 is in another picture"):
        matched(found, write("else.json", TRUE, points[:, :2], boxes, images=[2] * 6))
    with pytest.raises(DataError, match=r"is of the class thing, .* of car"):
        matched(found, write("car.json", TRUE, points[:, :2], boxes, category="car"))
    with pytest.raises(DataError, match=r"have other names than those of .*; do this"):
        check_names(found, true, "do this")
    with pytest.raises(DataError, match="has no point nose; it has left_1, right_1"):
        only_points(found, TRUE)


def test_true_objects_that_were_not_found_are_counted(write):
    boxes, points, _ = objects(6, 0)
    found = write("found.json", FOUND, points[:4], boxes[:4])
    codes = np.full((6, 2), 2)
    codes[5] = 0  # has no joint to find
    first, true, missing = matched(found, write("t.json", TRUE, points[:, :2], boxes, codes))
    assert (len(first), len(true), missing) == (4, 4, 1)
    np.testing.assert_array_equal(first.ids, true.ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda coco: coco["annotations"][0].pop("keypoints"), "annotation 1: expected id"),
        (lambda coco: coco["annotations"][0]["keypoints"].pop(), "6 keypoint numbers"),
        (lambda coco: coco["annotations"][1].update(id=1), "two annotations have one id"),
        (lambda coco: coco["categories"][0].pop("keypoints"), "one class with keypoints, got 0"),
        (lambda coco: coco["annotations"].clear(), "no object of the class thing"),
        (lambda coco: coco.pop("images"), "expected COCO JSON with the lists"),
    ],
)
def test_files_that_are_wrong(write, change, message, tmp_path):
    boxes, points, _ = objects(3, 0)
    write("true.json", TRUE, points[:, :2], boxes)
    path = tmp_path / "true.json"
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))
    with pytest.raises(DataError, match=message):
        read_landmarks(path)
