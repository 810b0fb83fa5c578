import numpy as np
import pytest

from keypointnet.people.joints import LIMITS, joint_turns, limited, mirrored, share
from keypointnet.people.poses import POSES, draw_pose

DOWN, AHEAD, LEFT = np.array([0.0, -1, 0]), np.array([0.0, 0, -1]), np.array([-1.0, 0, 0])


@pytest.mark.parametrize("kind", POSES)
def test_every_pose_is_within_the_limits(kind):
    rng = np.random.default_rng(3)
    drawn = [draw_pose(kind, rng) for _ in range(40)]
    for angles in drawn:
        assert list(angles) == list(LIMITS)
        for name, (low, high) in LIMITS.items():
            assert low <= angles[name] <= high
    for name in ("left_elbow", "right_arm_raise", "neck_turn"):
        assert np.std([angles[name] for angles in drawn]) > 2


def test_limits_by_hand():
    angles = limited({"left_elbow": 200.0, "right_knee": -20.0, "neck_turn": 12.0})
    assert (angles["left_elbow"], angles["right_knee"], angles["neck_turn"]) == (148.0, 0.0, 12.0)
    assert angles["right_elbow"] == 0.0
    with pytest.raises(ValueError, match="no angle 'tail'; there are body_pitch"):
        limited({"tail": 1.0})
    with pytest.raises(ValueError, match="no kind 'flying'; there are standing"):
        draw_pose("flying", np.random.default_rng(0))


def test_angles_turn_limbs_where_the_words_say():
    turns = joint_turns(limited({"left_arm_raise": 90, "left_arm_plane": 90, "left_elbow": 90,
                                 "right_arm_raise": 90, "left_knee": 90,
                                 "left_leg_raise": 90}))  # fmt: skip
    np.testing.assert_allclose(turns["left_arm"] @ DOWN, LEFT, atol=1e-9)
    np.testing.assert_allclose(turns["right_arm"] @ DOWN, AHEAD, atol=1e-9)
    # an arm held out to the side bends at the elbow to the front
    np.testing.assert_allclose(turns["left_arm"] @ turns["left_elbow"] @ DOWN, AHEAD, atol=1e-9)
    # a sitter's shank hangs down from a level thigh
    np.testing.assert_allclose(turns["left_leg"] @ DOWN, AHEAD, atol=1e-9)
    np.testing.assert_allclose(turns["left_leg"] @ turns["left_knee"] @ DOWN, DOWN, atol=1e-9)


def test_trunk_and_body():
    turns = joint_turns(limited({"spine_bend": 30, "neck_turn": 60, "body_pitch": 90}))
    up = turns["spine"] @ -DOWN
    np.testing.assert_allclose(up, [0, np.cos(np.pi / 6), -0.5], atol=1e-9)  # forwards
    np.testing.assert_allclose(turns["neck"] @ AHEAD, [-np.sin(np.pi / 3), 0, -0.5], atol=1e-9)
    np.testing.assert_allclose(turns["body"] @ AHEAD, -DOWN, atol=1e-9)  # on the back
    halves = share(turns["spine"], 0.5)
    np.testing.assert_allclose(halves @ halves, turns["spine"], atol=1e-9)


def test_a_mirror_swaps_sides_and_flips_turns_to_the_side():
    angles = draw_pose("sport", np.random.default_rng(1))
    other = mirrored(angles)
    assert other["left_knee"] == angles["right_knee"]
    assert other["spine_turn"] == -angles["spine_turn"]
    assert mirrored(other) == angles
    flip = np.diag([-1.0, 1, 1])
    here, there = joint_turns(angles), joint_turns(other)
    for joint in ("spine", "neck", "body"):
        np.testing.assert_allclose(there[joint], flip @ here[joint] @ flip, atol=1e-9)
    for joint in ("arm", "elbow", "wrist", "leg", "ankle", "shrug"):
        np.testing.assert_allclose(
            there[f"left_{joint}"], flip @ here[f"right_{joint}"] @ flip, atol=1e-9
        )
