"""A detector's mistakes, made on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kp2seg.keypoint_sources.imitated import Mistakes, imitated_results
from kp2seg.keypoint_sources.layouts import COCO_JOINTS
from kp2seg.keypoint_sources.oks import COCO_SIGMAS

NONE = Mistakes(jitter=0, drop_visible=0, drop_hidden=0, invert=0, swap=0, miss=0)
AREA = 100.0**2


def people(count, *, seed=0, visibility=2, pictures=None):
    """COCO JSON of people whose joints are anywhere; each in a picture of its own."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "id": k + 1,
            "image_id": k if pictures is None else k // (count // pictures),
            "category_id": 1,
            "area": AREA,
            "keypoints": np.column_stack(
                [rng.uniform(0, 500, (17, 2)), np.full(17, visibility)]
            ).ravel(),
        }
        for k in range(count)
    ]
    return {"annotations": rows}


def joints(rows):
    return np.array([row["keypoints"] for row in rows]).reshape(len(rows), 17, 3)


def imitated(coco, mistakes, seed=0):
    return list(imitated_results(coco, COCO_JOINTS, mistakes, seed))


def test_without_mistakes_the_truth():
    coco = people(20)
    rows = imitated(coco, NONE)
    assert [row["image_id"] for row in rows] == list(range(20))
    assert np.allclose(joints(rows)[..., :2], joints(coco["annotations"])[..., :2], atol=0.006)
    assert (joints(rows)[..., 2] == 0.9).all()
    assert {row["score"] for row in rows} == {0.9}


def test_jitter_is_in_widths_of_oks():
    coco = people(400)
    rows = imitated(coco, replace(NONE, jitter=0.5))
    off = joints(rows)[..., :2] - joints(coco["annotations"])[..., :2]
    expected = 0.5 * 2 * np.array(COCO_SIGMAS) * np.sqrt(AREA)
    assert off.std(axis=(0, 2)) == pytest.approx(expected, rel=0.1)
    similarity = np.exp(-np.square(off).sum(-1) / (2 * np.square(expected / 0.5)))
    assert similarity.mean() == pytest.approx(0.8, abs=0.02)
    confidence = joints(rows)[..., 2]
    assert np.corrcoef(confidence.ravel(), similarity.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("visibility", "name"), [(2, "drop_visible"), (1, "drop_hidden")])
def test_joints_are_lost_at_the_rate_of_their_kind(visibility, name):
    rows = imitated(people(400, visibility=visibility), replace(NONE, **{name: 0.3}))
    lost = joints(rows)[..., 2] == 0
    assert lost.mean() == pytest.approx(0.3, abs=0.03)
    assert (joints(rows)[lost] == 0).all()
    other = {"drop_visible": "drop_hidden", "drop_hidden": "drop_visible"}[name]
    rows = imitated(people(50, visibility=visibility), replace(NONE, **{other: 0.9}))
    assert (joints(rows)[..., 2] > 0).all()


def test_inverted_pairs_change_sides_and_the_nose_stays():
    coco = people(30)
    true, found = joints(coco["annotations"]), joints(imitated(coco, replace(NONE, invert=1)))
    order = [0, *(k + 1 if k % 2 else k - 1 for k in range(1, 17))]
    assert np.allclose(found[..., :2], true[:, order, :2], atol=0.006)
    assert (found[:, 0, 2] > found[:, 1:, 2].max(axis=1)).all()


def test_swapped_joints_are_a_neighbours_same_joint():
    coco = people(2, pictures=1)
    first, second = (np.array(row["keypoints"]).reshape(17, 3) for row in coco["annotations"])
    second[:9, :2] = first[:9, :2] + [5, 0]  # within reach
    second[9:, :2] = first[9:, :2] + [60, 0]  # not
    coco["annotations"][1]["keypoints"] = second.ravel()
    found = joints(imitated(coco, replace(NONE, swap=1)))
    assert np.allclose(found[0, :9, :2], second[:9, :2], atol=0.006)
    assert np.allclose(found[0, 9:, :2], first[9:, :2], atol=0.006)


def test_people_are_missed_and_those_without_joints_are_not_found():
    assert len(imitated(people(1000), replace(NONE, miss=0.2))) == pytest.approx(800, abs=40)
    assert imitated(people(5, visibility=0), NONE) == []


def test_somebodys_mistakes_depend_on_the_seed_and_on_nobody_else():
    coco = people(20)
    rows = imitated(coco, Mistakes(miss=0))
    assert rows == imitated(coco, Mistakes(miss=0))
    assert rows != imitated(coco, Mistakes(miss=0), seed=1)
    assert imitated({"annotations": coco["annotations"][7:]}, Mistakes(miss=0)) == rows[7:]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("jitter", -1, "jitter must be at least 0, got -1"), ("miss", 1.5, "miss .* at most 1, got")],
)
def test_values_that_cannot_be(name, value, message):
    with pytest.raises(ValueError, match=message):
        Mistakes(**{name: value})
