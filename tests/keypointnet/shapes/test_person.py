import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from keypointnet.people.poses import POSES, draw_kinds
from keypointnet.shapenet.models import Model, normalise_model
from keypointnet.shapes import FAMILY_POINTS, make_model
from keypointnet.shapes.person import HELD_OUT_SEED, body_of
from keypointnet.shapes.person_points import PERSON_POINTS, person_points
from keypointnet.views.scenes import SceneMaker, SceneSettings
from keypointnet.views.sources import find_sources
from keypointnet.views.variation import vary_model

box_library = runpy.run_path(str(Path(__file__).parents[2] / "box_people.py"))["box_library"]
SEEDS = range(12)


def vertices(model: Model) -> np.ndarray:
    return np.concatenate([np.asarray(mesh.vertices) for mesh in model.meshes])


def rows(*names: str) -> list[int]:
    return [PERSON_POINTS.names.index(name) for name in names]


@pytest.fixture(scope="module")
def people(box_library) -> list[Model]:
    return [make_model("person", seed) for seed in SEEDS]


def test_people_are_normalised_with_their_joints(people):
    for model in people:
        low, high = vertices(model).min(axis=0), vertices(model).max(axis=0)
        np.testing.assert_allclose(low, -high, atol=1e-9)
        assert high.max() == pytest.approx(1)
        points = person_points(model)
        assert points.shape == (17, 3)
        assert (points > low - 1e-6).all()  # within what is drawn
        assert (points < high + 1e-6).all()
    lengths = [np.diff(m.points[rows("left_knee", "left_ankle")], axis=0) for m in people]
    assert np.std([np.linalg.norm(length) for length in lengths]) > 0.01  # in the models' units


def test_a_person_faces_the_front_with_the_left_on_minus_x(people):
    ways = [
        (model.points[rows("nose")] - model.points[rows("left_ear", "right_ear")].mean(axis=0))[0]
        for model in people
    ]
    assert np.mean(ways, axis=0)[2] < -0.05  # whatever way heads are turned
    hips = np.mean([model.points[rows("left_hip", "right_hip")] for model in people], axis=0)
    assert hips[0, 0] < -0.02 < 0.02 < hips[1, 0]


def test_the_same_seed_is_the_same_person_and_another_one_is_not(people):
    again = make_model("person", 3)
    assert again.id == "person-00003"
    np.testing.assert_array_equal(vertices(again), vertices(people[3]))
    looks = [
        np.asarray(mesh.visual.material.image) for mesh in (again.meshes[0], people[3].meshes[0])
    ]
    np.testing.assert_array_equal(*looks)
    assert np.abs(people[3].points - people[4].points).max() > 0.05


def test_no_held_out_seed_has_a_body_of_a_training_seed():
    train = {body_of(seed) for seed in range(600)}
    test = {body_of(seed) for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + 60)}
    assert train == set(range(224))
    assert test == set(range(224, 256))
    assert not test & {body_of(HELD_OUT_SEED - 1)}


def test_kinds_of_poses_are_as_frequent_as_they_should_be():
    kinds = draw_kinds(4000, np.random.default_rng(0))
    assert set(kinds) == set(POSES)
    assert kinds.count("standing") / 4000 == pytest.approx(0.27, abs=0.03)


def test_joints_go_with_a_warp_and_with_what_normalises(people):
    model = people[0]
    same = vary_model(model, np.random.default_rng(0), strength=0.0)
    np.testing.assert_allclose(same.points, model.points, atol=1e-9)
    on_surface = Model(model.id, model.meshes[:1], points=np.array(model.meshes[0].vertices[::50]))
    varied = vary_model(on_surface, np.random.default_rng(0))
    np.testing.assert_allclose(varied.points, varied.meshes[0].vertices[::50], atol=1e-9)
    assert 0.01 < np.abs(varied.points - on_surface.points).max() < 0.8
    wide = Model("wide", [trimesh.creation.box((4, 1, 1))], points=np.array([[2.0, 0.5, 0]]))
    wide.meshes[0].apply_translation((1, 0, 0))
    np.testing.assert_allclose(normalise_model(wide).points, [[0.5, 0.25, 0]])


def test_scenes_have_the_joints_and_count_those_inside_a_body_as_seen(people):
    settings = SceneSettings(size=(48, 64))
    with SceneMaker(find_sources("person:3"), settings) as maker:
        scene = maker.make(0)
    assert scene.points_obj.shape[1:] == (17, 3)
    by_id = {model.id: model.points for model in people}
    for name, points, seen, joints in zip(
        scene.models, scene.points_obj, scene.visibility, scene.points_px, strict=True
    ):
        np.testing.assert_array_equal(points, by_id[name])
        assert ((joints >= 0) & (joints < [64, 48])).all(axis=1)[seen > 0].all()
    assert (scene.visibility == 2).mean() > 0.4


def test_bad_input(box_library):
    with pytest.raises(ValueError, match="seed must be >= 0, received -1"):
        make_model("person", -1)
    with pytest.raises(ValueError, match="ball has no joints"):
        person_points(Model("ball", [trimesh.creation.icosphere(subdivisions=1)]))
    assert FAMILY_POINTS["person"] == (PERSON_POINTS, person_points)


def test_without_anny_the_extra_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ANNY_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(ValueError, match=r"not installed .*pip install 'kp2seg\[people\]'"):
        find_sources("person:3")


def test_shapes_do_not_import_people():
    code = (
        "import sys, keypointnet.shapes; "
        "assert not [m for m in sys.modules if m == 'anny' or m.startswith('keypointnet.people')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
