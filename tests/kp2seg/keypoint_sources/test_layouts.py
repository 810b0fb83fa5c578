"""The table of joints, and mapping by name."""

from __future__ import annotations

import numpy as np
import pytest

from kp2seg.keypoint_sources.layouts import (
    COCO_JOINTS,
    LAYOUTS,
    flip_pairs,
    layout,
    layouts_of,
    map_joints,
)

# Joint -> its place in each layout, written out from each format's own documentation.
PLACES = {
    "coco": {"nose": 0, "left_eye": 1, "right_ear": 4, "left_shoulder": 5, "right_ankle": 16},
    "openpose18": {
        "nose": 0,
        "neck": 1,
        "right_shoulder": 2,
        "right_elbow": 3,
        "right_wrist": 4,
        "left_shoulder": 5,
        "left_wrist": 7,
        "right_hip": 8,
        "right_ankle": 10,
        "left_hip": 11,
        "left_ankle": 13,
        "right_eye": 14,
        "left_eye": 15,
        "left_ear": 17,
    },
    "openpose25": {
        "nose": 0,
        "neck": 1,
        "right_wrist": 4,
        "left_wrist": 7,
        "mid_hip": 8,
        "right_hip": 9,
        "right_ankle": 11,
        "left_hip": 12,
        "left_ankle": 14,
        "right_eye": 15,
        "left_ear": 18,
        "left_big_toe": 19,
        "left_heel": 21,
        "right_big_toe": 22,
        "right_heel": 24,
    },
    "halpe26": {
        "nose": 0,
        "right_ankle": 16,
        "head": 17,
        "neck": 18,
        "mid_hip": 19,
        "left_big_toe": 20,
        "right_big_toe": 21,
        "left_small_toe": 22,
        "right_heel": 25,
    },
    "ochuman": {
        "right_shoulder": 0,
        "left_shoulder": 3,
        "right_hip": 6,
        "right_knee": 7,
        "left_ankle": 11,
        "head": 12,
        "neck": 13,
        "right_ear": 14,
        "nose": 16,
        "left_eye": 18,
    },
    "crowdpose": {
        "left_shoulder": 0,
        "right_shoulder": 1,
        "right_ankle": 11,
        "head": 12,
        "neck": 13,
    },
}
SIZES = {"coco": 17, "openpose18": 18, "openpose25": 25, "halpe26": 26, "ochuman": 19}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_table(name: str) -> None:
    joints = layout(name)
    assert len(joints) == {**SIZES, "crowdpose": 14}[name]
    assert len(set(joints)) == len(joints)
    assert {joint: joints.index(joint) for joint in PLACES[name]} == PLACES[name]
    assert layouts_of(len(joints)) == [name]
    # Left and right come in pairs.
    assert 2 * len(flip_pairs(joints)) == sum("left" in j or "right" in j for j in joints)


def test_coco_is_detectron2s() -> None:
    from detectron2.data.datasets.builtin_meta import (
        COCO_PERSON_KEYPOINT_FLIP_MAP,
        COCO_PERSON_KEYPOINT_NAMES,
    )

    assert tuple(COCO_PERSON_KEYPOINT_NAMES) == COCO_JOINTS
    assert tuple(COCO_PERSON_KEYPOINT_FLIP_MAP) == flip_pairs(COCO_JOINTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_mapping_joint_by_joint(name: str) -> None:
    source = layout(name)
    rng = np.random.default_rng(2)
    kpts, visibility = rng.random((5, len(source), 2)), rng.integers(0, 3, (5, len(source)))
    mapped, codes = map_joints(kpts, visibility, source)
    assert mapped.shape == (5, 17, 2)
    for p in range(5):
        for i, joint in enumerate(COCO_JOINTS):
            if joint in source:
                j = source.index(joint)
                assert (mapped[p, i] == kpts[p, j]).all()
                assert codes[p, i] == visibility[p, j]
            else:
                assert mapped[p, i].tolist() == [0, 0]
                assert codes[p, i] == 0
    missing = [joint for joint in COCO_JOINTS if joint not in source]
    assert missing == (list(COCO_JOINTS[:5]) if name == "crowdpose" else [])


def test_nobody() -> None:
    mapped, codes = map_joints(np.zeros((0, 14, 2)), np.zeros((0, 14), int), layout("crowdpose"))
    assert (mapped.shape, codes.shape) == ((0, 17, 2), (0, 17))


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"no layout 'coco18'; there are coco, crowdpose, halpe26"):
        layout("coco18")
    with pytest.raises(ValueError, match=r"kpts \(18, 2\) and visibility \(18,\) for 17 joints"):
        map_joints(np.zeros((18, 2)), np.zeros(18, int), COCO_JOINTS)
    with pytest.raises(ValueError, match=r"none of tip, top is among nose"):
        map_joints(np.zeros((2, 2)), np.zeros(2, int), ["tip", "top"])
    assert layouts_of(3) == []
    assert flip_pairs(["p0", "p1"]) == ()
