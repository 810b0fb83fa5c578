import numpy as np
import pytest
import trimesh

from keypointnet.people.contact import Surface, is_clear, penetration
from keypointnet.people.crowd_layout import (
    TOUCH_M,
    CrowdRange,
    draw_level,
    draw_view,
    guessed_max_iou,
    joint_codes,
    level_of,
    look_at_crowd,
    moved_clear,
    place_people,
    placement,
)
from keypointnet.views.occlusion import boxes_of_annotated, is_annotated
from keypointnet.views.scene_layout import SceneLayout

SIGHT = np.array([0.0, -1.0])


def ball(radius: float = 0.3, x: float = 0.0) -> Surface:
    mesh = trimesh.creation.icosphere(3, radius)
    normals = np.array(mesh.vertices) / radius
    return Surface(np.asarray(mesh.vertices + np.array([x, radius, 0])), normals)


def test_penetration_of_two_balls_by_hand():
    assert penetration(ball(), ball(x=0.61)) == 0
    assert penetration(ball(), ball(x=0.5)) == pytest.approx(0.1, abs=0.01)
    assert penetration(ball(x=0.5), ball()) == pytest.approx(0.1, abs=0.01)
    assert penetration(ball(), ball(), np.array([0.5, 0, 0])) == pytest.approx(0.1, abs=0.01)
    # a small one within a large one is found, though no point of the large one is inside it
    assert penetration(ball(0.05, x=0.1), ball(0.2)) > 0.04


@pytest.mark.parametrize("radius", [0.05, 0.3])
def test_being_clear_is_a_penetration_of_at_most_so_much(radius):
    still, moving = ball(), ball(radius)
    answers = []
    for x in np.linspace(-0.7, 0.7, 57):
        offset = np.array([x, 0.02, 0.0])
        deep = penetration(moving, still, offset)
        answers.append(is_clear(moving, still, TOUCH_M, offset))
        assert answers[-1] == (deep <= TOUCH_M)
        if deep:
            assert is_clear(moving, still, deep, offset)
            assert not is_clear(moving, still, 0.999 * deep, offset)
    assert 0 < sum(answers) < len(answers)


def test_a_surface_moves_with_its_normals():
    T = placement(np.pi / 2, 3.0, 4.0, scale=2.0)
    moved = Surface(np.array([[1.0, 2.0, 0.0]]), np.array([[1.0, 0.0, 0.0]])).placed(T)
    np.testing.assert_allclose(moved.points, [[3, 4, 2]], atol=1e-12)
    np.testing.assert_allclose(moved.normals, [[0, 0, -1]], atol=1e-12)


def test_a_body_goes_just_so_far_that_it_is_clear():
    offset = moved_clear(ball(0.2), [ball(), ball(x=0.6)], np.array([1.0, 0.0]))
    assert offset is not None
    assert 1.05 < offset[0] < 1.16  # the middles are 0.49 apart then, as seen from above
    np.testing.assert_array_equal(offset[1:], 0)
    assert moved_clear(ball(), [ball(x=0.05 * k) for k in range(100)], np.array([1.0, 0])) is None


@pytest.mark.parametrize("level", ["easy", "moderate", "hard"])
def test_nobody_stands_inside_another_and_hard_crowds_stand_in_line(level):
    rng = np.random.default_rng(4)
    aside = []
    for _ in range(15):
        bodies = [ball(r) for r in rng.uniform(0.2, 0.4, 5)]
        places = place_people(bodies, [False] * 5, SIGHT, level, rng)
        assert len(places) == 5
        there = [b.placed(T) for b, T in zip(bodies, places, strict=True)]
        for i in range(5):
            assert places[i][1, 3] == 0
            for j in range(i):
                assert penetration(there[i], there[j]) <= TOUCH_M + 1e-9
        way = places[1][[0, 2], 3] - places[0][[0, 2], 3]
        aside.append(abs(way[0]) / np.linalg.norm(way))
    limit = {"easy": 1.0, "moderate": np.sin(np.radians(40)), "hard": np.sin(np.radians(12))}
    assert max(aside) <= limit[level] + 1e-9
    assert max(aside) > limit[level] / 2


def test_two_who_hug_face_each_other():
    rng = np.random.default_rng(0)
    first, second, third = place_people([ball()] * 3, [True, True, False], SIGHT, "easy", rng)
    ahead = -first[:3, 2]
    np.testing.assert_allclose(-second[:3, 2], -ahead, atol=1e-9)
    way = second[:3, 3] - first[:3, 3]
    np.testing.assert_allclose(way / np.linalg.norm(way), ahead, atol=1e-9)
    assert 0.5 < np.linalg.norm(way) < 0.66
    assert np.linalg.norm(third[:3, 3]) > 0.5


def test_levels_are_ochuman_s_ranges():
    assert [level_of(value) for value in (0, 0.4999, 0.5, 0.7499, 0.75, 1.0)] == [
        *("easy", "easy", "moderate", "moderate", "hard", "hard"),
    ]
    rng = np.random.default_rng(0)
    drawn = [draw_level(rng, CrowdRange(moderate=0.5, hard=0.2)) for _ in range(2000)]
    assert drawn.count("moderate") / 2000 == pytest.approx(0.5, abs=0.04)
    assert drawn.count("hard") / 2000 == pytest.approx(0.2, abs=0.04)


def test_cameras_are_above_the_ground_and_see_everybody():
    rng = np.random.default_rng(1)
    points = rng.uniform((-2, 0, -2), (2, 1.8, 2), (200, 3))
    fields = []
    for _ in range(60):
        crowds = CrowdRange(fill=(1.0, 1.0))
        T_world2cam, K_px = look_at_crowd(points, SIGHT, draw_view(rng, crowds), (48, 80))
        assert -(T_world2cam[:3, :3].T @ T_world2cam[:3, 3])[1] > 0
        xyz = points @ T_world2cam[:3, :3].T + T_world2cam[:3, 3]
        assert xyz[:, 2].min() > 0.29
        pixels = xyz[:, :2] / xyz[:, 2:] * K_px[0, 0] + K_px[:2, 2]
        assert 0.7 < np.abs(pixels / [40, 24] - 1).max() < 1.06
        fields.append(np.degrees(2 * np.arctan(40 / K_px[0, 0])))
    assert min(fields) < 20 < 50 < max(fields)


def test_boxes_are_guessed_from_points():
    T_world2cam = np.diag([1.0, -1.0, -1.0, 1.0])
    T_world2cam[1, 3], T_world2cam[2, 3] = 0.3, 10.0
    K_px = np.array([[200.0, 0, 40], [0, 200, 24], [0, 0, 1]])
    behind = np.array([0.0, 0, -0.7])
    aside = Surface(ball().points + behind + [0.3, 0, 0], ball().normals)
    # boxes are 12 px wide; a half of the one behind is seen, in 6 px: side by side
    assert guessed_max_iou([ball(), aside], T_world2cam, K_px, (48, 80)) < 0.2
    larger = Surface(1.3 * ball().points - [0, 0.09, 0] + behind, ball().normals)
    ring = guessed_max_iou([larger, ball()], T_world2cam, K_px, (48, 80))
    assert ring == pytest.approx((0.3 / 0.39 * 10.7 / 10) ** 2, abs=0.15)
    assert guessed_max_iou([ball()], T_world2cam, K_px, (48, 80)) == 0


def test_joints_are_hidden_by_others_alone():
    layout = SceneLayout(
        np.eye(4)[None], np.eye(4), np.array([[10.0, 0, 8], [0, 10, 6], [0, 0, 1]])
    )
    nearest = np.full((12, 16), -1, np.int16)
    depth = np.full((12, 16), np.inf, np.float32)
    nearest[:, :8], depth[:, :8] = 0, 1.8  # the person's own surface, before its joints
    nearest[4:8, 4:8], depth[4:8, 4:8] = 1, 1.0  # somebody before the person
    nearest[:, 12:], depth[:, 12:] = 1, 5.0  # somebody behind
    joints = np.array(
        [[[-1.0, -0.8, 2], [-0.4, 0, 2], [0.4, 0, 2], [1.2, 0, 2], [9, 0, 2], [0, 0, -2]]]
    )
    points_px, codes = joint_codes(joints, layout, nearest, depth)
    np.testing.assert_allclose(points_px[0, :2], [[3, 2], [6, 6]])
    # own body; others; nothing there; somebody behind; beside the picture; behind the camera
    assert codes.tolist() == [[2, 1, 2, 2, 0, 0]]


def test_boxes_of_those_of_whom_enough_is_seen():
    nearest = np.full((20, 30), -1, np.int16)
    covered = np.zeros((20, 30), np.uint32)
    covered[2:12, 3:13] |= 1
    nearest[2:12, 3:13] = 0
    covered[0:20, 5:30] |= 2
    nearest[0:1, 5:30] = 1  # 25 px of 500
    covered[:, 20:] |= 4
    nearest[:, 20:] = 2  # a thing
    assert boxes_of_annotated(nearest, covered, 2) == [[3, 2, 10, 10]]
    assert len(boxes_of_annotated(nearest, covered, 3)) == 2
    assert is_annotated(50, 1000)
    assert not is_annotated(49, 1000)
    assert not is_annotated(31, 31)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"people": (0, 3)}, r"people must be \(low, high\) within 1 to 8"),
        ({"people": (2, 9)}, r"got \(2, 9\)"),
        ({"hard": 1.2}, "hard must be 0 to 1, got 1.2"),
        ({"hard": 0.6, "moderate": 0.6}, "add up to at most 1, got 0.6 and 0.6"),
        ({"people": (1, 1)}, "one person overlaps nobody"),
    ],
)
def test_impossible_crowds_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CrowdRange(**values)
