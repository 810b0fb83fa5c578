import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.models import Model
from keypointnet.shapes import FAMILY_POINTS, make_model
from keypointnet.shapes.chair import STYLES, style_of
from keypointnet.shapes.chair_points import CHAIR_POINTS, chair_points
from keypointnet.shapes.object_points import PointSet, farthest
from keypointnet.views.variation import vary_model

NAMES = CHAIR_POINTS.names
FEET = [k for k, name in enumerate(NAMES) if name.endswith("foot")]
ARMS = [k for k, name in enumerate(NAMES) if "arm" in name]


def one_of_each_style() -> dict[str, Model]:
    found: dict[str, Model] = {}
    for seed in range(200):
        style = style_of(seed)
        if style not in found:
            found[style] = make_model("chair", seed)
    assert set(found) == set(STYLES)
    return found


def test_the_corner_farthest_in_a_direction_whatever_the_extents():
    points = np.array([[0, 0, 0], [10, 0, 1.0], [10, 0, 0], [0, 0, 1.0]])
    assert farthest(points, (1, 0, 1)).tolist() == [10, 0, 1]
    assert farthest(points, (-1, 0, 2)).tolist() == [0, 0, 1]
    assert farthest(points[:1], (1, 1, 1)).tolist() == [0, 0, 0]


def test_a_skeleton_counts_from_one():
    assert PointSet(("a", "b", "c"), (("c", "a"),)).skeleton == [[3, 1]]
    assert len(CHAIR_POINTS.skeleton) == len(CHAIR_POINTS.connections) == 13
    assert all(1 <= k <= 12 for pair in CHAIR_POINTS.skeleton for k in pair)


@pytest.mark.parametrize(("style", "chair"), one_of_each_style().items())
def test_points_correspond_in_every_kind_of_chair(style, chair):
    points = chair_points(chair)
    mesh = chair.meshes[0]
    there = ~np.isnan(points).any(axis=1)
    distance = np.abs(points[there][:, None] - mesh.vertices[None]).sum(axis=-1).min(axis=1)
    assert (distance == 0).all()  # each is a vertex of the chair
    place = dict(zip(NAMES, points, strict=True))
    for name in NAMES:
        if name.startswith("left"):
            left, right = place[name], place[name.replace("left", "right")]
            np.testing.assert_allclose(left * [-1, 1, 1], right, atol=0.02)
            assert not left[0] > 0
    assert place["left_seat_front"][2] < place["left_seat_rear"][2]
    parts = mesh.metadata["parts"]["names"]
    assert there[ARMS].all() == ("arms" in parts)
    assert np.isnan(place["left_back_top"]).any() == ("back" not in parts)
    assert there[FEET].all() != mesh.metadata["on_column"]
    if there[FEET].all():
        assert place["left_front_foot"][2] < place["left_rear_foot"][2]
        assert points[FEET][:, 1].max() < place["left_seat_rear"][1]


def test_points_go_with_a_warp():
    chair = make_model("chair", 2)
    varied = vary_model(chair, np.random.default_rng(0), 1.0)
    before, after = chair_points(chair), chair_points(varied)
    assert np.array_equal(np.isnan(before), np.isnan(after))
    moved = np.nanmax(np.abs(before - after))
    assert 0 < moved < 0.6


def test_other_models_have_no_points():
    with pytest.raises(ValueError, match="ball has no part labels"):
        chair_points(Model("ball", [trimesh.creation.icosphere(subdivisions=1)]))
    assert FAMILY_POINTS["chair"] == (CHAIR_POINTS, chair_points)
