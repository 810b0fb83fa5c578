import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.shapenet.models import Model
from keypointnet.views.cameras import intrinsics, look_at
from keypointnet.views.rendering import PlacedModel, ViewRenderer
from keypointnet.views.scene_layout import SceneLayout, SceneRange, box_corners, draw_layout
from keypointnet.views.scene_rendering import SceneRenderer
from keypointnet.views.scenes import SceneMaker, SceneSettings, project, seen_points
from keypointnet.views.sources import ModelSource, find_sources

SIZE = (48, 80)  # h, w
K_PX = np.array([[100.0, 0, 40], [0, 100.0, 24], [0, 0, 1]])
RED, BLUE = (220, 30, 30, 255), (30, 30, 220, 255)


def box(colour=RED, side=1.0) -> Model:
    mesh = trimesh.creation.box((side, side, side))
    mesh.visual.vertex_colors = np.tile(np.array(colour, np.uint8), (len(mesh.vertices), 1))
    return Model("box", [mesh])


def at(x: float, y: float, z: float) -> np.ndarray:
    T_obj2world = np.eye(4)
    T_obj2world[:3, 3] = x, y, z
    return T_obj2world


@pytest.fixture(scope="module")
def camera() -> np.ndarray:
    """At (0, 0, 10), looking at the origin: world x is to the right, y up."""
    T_world2cam = np.eye(4)
    T_world2cam[:3, :3] = look_at(np.array([[0.0, 0.0, 10.0]]))[0]
    T_world2cam[2, 3] = 10.0
    return T_world2cam


@pytest.fixture(scope="module")
def renderer():
    with SceneRenderer(*SIZE) as renderer:
        yield renderer


def test_the_nearer_object_hides_and_the_hidden_part_is_known(renderer, camera):
    far, near = at(-0.5, 0, -0.5), at(0.5, 0, 3.5)
    with renderer.upload(box(RED, 2.0)) as red, renderer.upload(box(BLUE)) as blue:
        scene = renderer.render([PlacedModel(red, far), PlacedModel(blue, near)], camera, K_PX)
    covered = [(scene.covered >> np.uint32(m)) & 1 > 0 for m in range(2)]
    seen = [scene.nearest == m for m in range(2)]
    # the red face is at depth 9.5, x -1.5 to 0.5; the blue one at depth 6, x 0 to 1
    assert np.array_equal(np.flatnonzero(covered[0].any(axis=0))[[0, -1]], [24, 44])
    assert np.array_equal(np.flatnonzero(covered[1].any(axis=0))[[0, -1]], [40, 56])
    assert np.array_equal(seen[1], covered[1])
    assert np.array_equal(seen[0], covered[0] & ~covered[1])
    assert seen[0].sum() < covered[0].sum()
    assert np.array_equal(scene.nearest < 0, scene.covered == 0)
    np.testing.assert_allclose(scene.depth[24, 30], 9.5, atol=1e-3)
    np.testing.assert_allclose(scene.depth[24, 50], 6.0, atol=1e-3)
    assert np.isinf(scene.depth[0, 0])
    red_mean, blue_mean = (scene.rgba[mask][:, [0, 2]].mean(axis=0) for mask in seen)
    assert red_mean[0] > 3 * red_mean[1]
    assert blue_mean[1] > 3 * blue_mean[0]


def test_what_is_covered_is_what_each_object_covers_alone(renderer, camera):
    places = [at(0, 0, 0), at(0.3, 0.1, -1.2), at(-0.5, 0, 0.8), at(0, 2.6, 0), at(0, 0, 30)]
    sides = (1.0, 0.4, 1.0, 0.3, 1.0)  # the last one is behind the camera
    with renderer.upload(box()) as upload:
        placed = [
            PlacedModel(upload, T @ np.diag([side, side, side, 1]))
            for T, side in zip(places, sides, strict=True)
        ]
        scene = renderer.render(placed, camera, K_PX)
        for m, one in enumerate(placed):
            alone = renderer.render_masks([one], camera, K_PX)[0] == 0
            covered = (scene.covered >> np.uint32(m)) & 1 > 0
            np.testing.assert_array_equal(covered, alone)
    assert ((scene.covered & (scene.covered - 1)) > 0).sum() > 50


def test_of_closed_surfaces_only_the_outside_is_drawn(renderer, camera):
    outcomes = []
    for closed, inside_out in ((False, False), (True, False), (True, True)):
        mesh = trimesh.creation.box((1.0, 1.0, 1.0))
        mesh.visual.vertex_colors = np.tile(np.array(RED, np.uint8), (8, 1))
        mesh.metadata["closed"] = closed
        if inside_out:
            mesh.invert()
        with renderer.upload(Model("box", [mesh])) as upload:
            outcomes.append(renderer.render([PlacedModel(upload, at(0, 0, 0))], camera, K_PX))
    both, outside, inside = outcomes
    np.testing.assert_array_equal(outside.nearest, both.nearest)
    np.testing.assert_array_equal(outside.depth, both.depth)
    np.testing.assert_array_equal(outside.rgba, both.rgba)
    seen = both.nearest == 0
    assert (inside.depth[seen] > both.depth[seen] + 0.1).mean() > 0.9


def test_an_object_alone_is_seen_whole_and_drawn_as_a_view_is(renderer, camera):
    T_world2cam = camera @ at(0.2, -0.1, 0)
    with renderer.upload(box()) as uploaded:
        scene = renderer.render([PlacedModel(uploaded, np.eye(4))], T_world2cam, K_PX)
    with ViewRenderer(*SIZE) as views:
        assert np.array_equal(scene.rgba, views.render(box(), T_world2cam, K_PX))
    assert np.array_equal(scene.covered == 1, scene.nearest == 0)


def test_a_scale_and_a_turn_are_the_model_s_own(renderer, camera):
    T_obj2world = at(0, 0, 0)
    T_obj2world[:3, :3] = 2.0 * np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    with renderer.upload(box()) as small, renderer.upload(box(side=2.0)) as large:
        first = renderer.render([PlacedModel(small, T_obj2world)], camera, K_PX)
        second = renderer.render([PlacedModel(large, np.eye(4))], camera, K_PX)
    assert np.array_equal(first.nearest, second.nearest)
    np.testing.assert_allclose(first.rgba, second.rgba, atol=1)


def test_masks_have_the_holes_of_a_texture(renderer, camera):
    alpha = Image.fromarray(np.array([[[255, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)).resize(
        (64, 32), Image.Resampling.NEAREST
    )
    quad = trimesh.Trimesh(
        [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False
    )
    quad.visual = trimesh.visual.TextureVisuals(
        uv=[[0, 0], [1, 0], [1, 1], [0, 1]],
        material=trimesh.visual.material.SimpleMaterial(image=alpha),
    )
    with renderer.upload(Model("card", [quad])) as card:
        scene = renderer.render([PlacedModel(card, np.eye(4))], camera, K_PX)
    columns = np.flatnonzero((scene.nearest == 0).any(axis=0))
    assert columns[0] == 30
    assert abs(columns[-1] - 39) <= 1
    assert np.array_equal(scene.covered == 1, scene.nearest == 0)


def test_no_object_and_too_many_are_refused(renderer, camera):
    with renderer.upload(box()) as uploaded:
        for count in (0, 33):
            with pytest.raises(ValueError, match=f"expected 1 to 32 models, got {count}"):
                renderer.render([PlacedModel(uploaded, np.eye(4))] * count, camera, K_PX)


def test_points_lie_where_the_camera_says_and_know_what_hides_them(renderer, camera):
    front, rear = at(0.25, 0, 2.5), at(-0.5, 0, -0.5)
    corners = np.array(
        [
            [-0.5, 0.5, 0.5],  # top, left, towards the camera
            [0.5, 0.5, 0.5],
            [0.5, -0.5, -0.5],  # bottom, right, away from it
            [np.nan] * 3,
            [9.0, 0.0, 0.0],
        ]
    )
    with renderer.upload(box()) as a, renderer.upload(box(BLUE)) as b:
        rendered = renderer.render([PlacedModel(a, front), PlacedModel(b, rear)], camera, K_PX)
    layout = SceneLayout(np.stack([front, rear]), camera, K_PX)
    points_px, visibility = seen_points(np.stack([corners, corners]), layout, rendered)
    # front: the near face is at depth 7, x -0.25 to 0.75; rear: at depth 10, x -1 to 0
    expected = [40 - 25 / 7, 24 - 50 / 7], [40 + 75 / 7, 24 - 50 / 7]
    np.testing.assert_allclose(points_px[0, :2], expected)
    np.testing.assert_allclose(points_px[1, 0], [30, 19])
    assert np.isnan(points_px[0, 3]).all()
    assert visibility.tolist() == [[2, 2, 1, 0, 0], [2, 1, 1, 0, 0]]


def test_layouts_stand_on_the_ground_apart_and_in_view():
    rng = np.random.default_rng(0)
    scenes = SceneRange(objects=(5, 5), fill=(1.0, 1.0))
    bounds = [np.array([-extent, extent]) for extent in rng.uniform(0.2, 1.0, (5, 3))]
    for _ in range(20):
        layout = draw_layout(bounds, rng, scenes, SIZE)
        reach = []
        for bound, T in zip(bounds, layout.T_obj2world, strict=True):
            corners = box_corners(bound)
            np.testing.assert_allclose((corners @ T[:3, :3].T + T[:3, 3])[:, 1].min(), 0, atol=1e-9)
            pixels, depth = project(corners, T, layout)
            assert depth.min() > 0.29
            reach.append(np.abs(pixels / [40, 24] - 1).max())
        assert 0.7 < max(reach) < 1.05  # the picture is filled, near enough
        boxes = [box_corners(b)[[0, 1, 5, 4]] for b in bounds]
        grounds = [
            (c @ T[:3, :3].T + T[:3, 3])[:, [0, 2]]
            for c, T in zip(boxes, layout.T_obj2world, strict=True)
        ]
        inside = [
            _contains(grounds[i], grounds[j].mean(axis=0))
            for i in range(5)
            for j in range(5)
            if i != j
        ]
        assert not any(inside)


def _contains(rectangle: np.ndarray, point: np.ndarray) -> bool:
    a, b = rectangle[1] - rectangle[0], rectangle[3] - rectangle[0]
    share = (point - rectangle[0]) @ np.stack([a / (a @ a), b / (b @ b)], axis=1)
    return bool(((share > 0) & (share < 1)).all())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objects": (0, 3)}, r"objects must be \(low, high\) within 1 to 32"),
        ({"objects": (4, 3)}, r"got \(4, 3\)"),
        ({"fill": (float("nan"), 1.0)}, "fill must be"),
        ({"spread_deg": 91.0}, "spread_deg must be 0 to 90, got 91.0"),
        ({"alike": 1.5}, "alike must be 0 to 1, got 1.5"),
    ],
)
def test_impossible_ranges_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SceneRange(**values)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="quality must be 1 to 100, got 0"):
        SceneSettings(quality=0)
    with pytest.raises(ValueError, match="at least 8 x 8"):
        SceneSettings(size=(4, 64))
    with pytest.raises(ValueError, match="shadow must be 0 to 1"):
        SceneSettings(shadow=2)


def test_a_picture_depends_on_its_number_alone_and_points_lie_on_their_objects():
    sources = find_sources("chair:6")
    settings = SceneSettings(size=(48, 64), layout=SceneRange(objects=(2, 4)))
    with SceneMaker(sources, settings) as maker:
        first, last = maker.make(3), maker.make(30)
    with SceneMaker(sources, settings) as maker:
        again = maker.make(30)
    assert np.array_equal(last.picture, again.picture)
    assert last.models == again.models
    assert not np.array_equal(first.picture, last.picture)
    for scene in (first, last):
        assert 2 <= len(scene.models) <= 4
        assert scene.points_px.shape == (len(scene.models), 12, 2)
        for m, codes in enumerate(scene.visibility):
            own = np.pad((scene.covered >> np.uint32(m)) & 1, 1)
            for x, y in scene.points_px[m][codes == 2]:  # on the mask, or beside a pixel of it
                assert own[int(y) : int(y) + 3, int(x) : int(x) + 3].any()
            boxes = scene.boxes_px[m]
            at_most = scene.points_px[m][codes > 0]
            assert (at_most >= boxes[:2] - 1e-6).all()
            assert (at_most <= boxes[2:] + 1e-6).all()


@pytest.mark.parametrize(("alike", "shares"), [(0.0, {0}), (0.5, {2, 3, 4}), (1.0, {6})])
def test_some_pictures_are_of_one_model(alike, shares):
    layout = SceneRange(objects=(2, 3), alike=alike)
    with SceneMaker(find_sources("chair:6"), SceneSettings(size=(32, 32), layout=layout)) as maker:
        scenes = [maker.make(number) for number in range(6)]
    kinds = [len(set(scene.models)) for scene in scenes]
    assert sum(n == 1 for n in kinds) in shares
    if alike == 1:
        assert len({scene.models[0] for scene in scenes}) > 1
        first = scenes[0].layout.T_obj2world  # of one model, but each stands elsewhere
        assert not np.allclose(first[0], first[1])


def test_models_that_cannot_be_read_give_way_and_are_named(tmp_path):
    (tmp_path / "bad.obj").write_text("nothing\n")
    box().meshes[0].export(tmp_path / "good.ply")
    Image.new("RGB", (40, 30), (0, 200, 0)).save(tmp_path / "green.png")
    settings = SceneSettings(size=(32, 32), shadow=0)
    with SceneMaker(find_sources(str(tmp_path)), settings, [tmp_path / "green.png"]) as maker:
        scene = maker.make(0)
        assert set(scene.models) == {"good"}
        assert list(maker.unreadable) == ["bad"]
    assert scene.points_px.shape[1:] == (0, 2)
    empty = scene.nearest < 0
    inner = empty & ~_dilated(~empty)
    assert inner.any()
    assert (scene.picture[inner] == [0, 200, 0]).all()
    with (
        SceneMaker([ModelSource("bad", path=tmp_path / "bad.obj")], settings) as maker,
        pytest.raises(ValueError, match="no model can be read; bad: "),
    ):
        maker.make(0)


def _dilated(mask: np.ndarray) -> np.ndarray:
    grown = np.pad(mask, 1)
    h, w = mask.shape
    return np.any([grown[i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=0)


def test_the_focal_length_is_the_camera_s():
    layout = SceneLayout(np.eye(4)[None], np.eye(4), intrinsics(90.0, (48, 80)))
    pixels, depth = project(np.array([[1.0, 0.5, 2.0]]), np.eye(4), layout)
    np.testing.assert_allclose(pixels, [[60.0, 34.0]])
    assert depth.tolist() == [2.0]
