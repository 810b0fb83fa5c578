import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.shapenet.models import Model
from keypointnet.views import rendering
from keypointnet.views.cameras import CameraRange, intrinsics, look_at, sample_cameras
from keypointnet.views.lights import Lights, random_lights
from keypointnet.views.rendering import RenderingError, ViewRenderer

SIZE = (48, 80)  # h, w
RED, BLUE, GREY = (200, 40, 40, 255), (40, 40, 200, 255), (128, 128, 128, 255)


def model(*meshes: trimesh.Trimesh) -> Model:
    return Model("test/model", list(meshes))


def coloured(mesh: trimesh.Trimesh, colour: tuple[int, int, int, int]) -> trimesh.Trimesh:
    mesh.visual.vertex_colors = np.tile(np.array(colour, np.uint8), (len(mesh.vertices), 1))
    return mesh


def sphere(centre: tuple[float, float, float], radius: float = 0.2) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    mesh.apply_translation(centre)
    return coloured(mesh, GREY)


def quad(
    low: tuple[float, float],
    high: tuple[float, float],
    z: float = 0.0,
    colour: tuple[int, int, int, int] = GREY,
) -> trimesh.Trimesh:
    """A rectangle in the plane of constant z, facing +Z."""
    (x0, y0), (x1, y1) = low, high
    mesh = trimesh.Trimesh(
        [[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], [[0, 1, 2], [0, 2, 3]], process=False
    )
    return coloured(mesh, colour)


def camera_behind(distance: float = 10.0) -> np.ndarray:
    """At (0, 0, distance): world x is to the right, y up."""
    T_world2cam = np.eye(4)
    T_world2cam[:3, :3] = look_at(np.array([[0.0, 0.0, distance]]))[0]
    T_world2cam[2, 3] = distance
    return T_world2cam


def pixels_per_unit(scale: float, distance: float = 10.0) -> np.ndarray:
    """Intrinsics under which one world unit at the origin is `scale` pixels."""
    height, width = SIZE
    return np.array(
        [[scale * distance, 0, width / 2], [0, scale * distance, height / 2], [0, 0, 1.0]]
    )


@pytest.fixture(scope="module")
def renderer():
    with ViewRenderer(*SIZE) as it:
        yield it


@pytest.fixture(scope="module")
def box_model():
    boxes = [
        coloured(trimesh.creation.box((1.4, 0.3, 0.9)), RED),
        coloured(trimesh.creation.box((0.2, 1.2, 0.2)), BLUE),
    ]
    boxes[1].apply_translation((0.5, 0.4, -0.3))
    return model(*boxes)


def test_a_sphere_appears_at_its_projection(renderer):
    rng = np.random.default_rng(0)
    T_world2cam, K_px = sample_cameras(8, rng, CameraRange(roll_deg=(-180, 180)), SIZE)
    for T, K in zip(T_world2cam, K_px, strict=True):
        centre = rng.uniform(-0.4, 0.4, 3)
        rgba = renderer.render(model(sphere(tuple(centre))), T, K)
        x, y, z = T[:3, :3] @ centre + T[:3, 3]
        expected = np.array([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]])
        weight = rgba[..., 3].astype(float)
        v, u = np.indices(SIZE) + 0.5
        seen = np.array([(weight * u).sum(), (weight * v).sum()]) / weight.sum()
        np.testing.assert_allclose(seen, expected, atol=0.1)


def test_an_off_centre_principal_point_and_unequal_focal_lengths(renderer):
    K_px = np.array([[150.0, 0, 20], [0, 90, 30], [0, 0, 1]])
    rgba = renderer.render(model(quad((0, 0), (1, 1))), camera_behind(), K_px)
    rows, columns = np.nonzero(rgba[..., 3])
    # x: 20 .. 35, y: 30 - 9 .. 30
    assert (columns.min(), columns.max()) == (20, 34)
    assert (rows.min(), rows.max()) == (21, 29)


def test_alpha_is_the_share_of_the_pixel_that_is_covered(renderer):
    # 10 px a unit: from column 40 - 10 to 40 + 10.5, from row 24 - 5.5 to 24 + 5.
    rgba = renderer.render(
        model(quad((-1, -0.5), (1.05, 0.55))), camera_behind(), pixels_per_unit(10)
    )
    alpha = np.zeros(SIZE)
    alpha[18:29, 30:51] = 255
    alpha[18, 30:51] /= 2
    alpha[18:29, 50] /= 2
    np.testing.assert_allclose(rgba[..., 3], alpha, atol=1)


def test_colour_is_premultiplied(renderer):
    rgba = renderer.render(
        model(quad((-1, -0.5), (1.05, 0.5))), camera_behind(), pixels_per_unit(10)
    ).astype(float)
    inside, edge, outside = rgba[24, 45], rgba[24, 50], rgba[24, 60]
    np.testing.assert_allclose(edge, inside / 2, atol=1)
    np.testing.assert_array_equal(outside, 0)


def test_shading_follows_its_formula(renderer):
    # A vertical surface seen head on: n . up = 0, and the lamp stands behind the camera.
    lights = Lights(
        sky=(0.5, 0.4, 0.3), ground=(0.1, 0.2, 0.3), lamp=(0.25,) * 3, lamp_direction=(0, 0, -2)
    )
    rgba = renderer.render(
        model(quad((-1, -1), (1, 1))), camera_behind(), pixels_per_unit(10), lights
    )
    base = 0.02 + 0.98 * (128 / 255) ** 2.2
    expected = 255 * (base * np.array([0.55, 0.55, 0.55])) ** (1 / 2.2)
    np.testing.assert_allclose(rgba[24, 40, :3], expected, atol=1.5)


def test_the_lamp_is_fixed_to_the_camera_and_the_sky_to_the_world(renderer):
    up, down = (
        Lights(sky=sky, ground=ground, lamp=(0, 0, 0))
        for sky, ground in (((1, 1, 1), (0, 0, 0)), ((0, 0, 0), (1, 1, 1)))
    )
    ball = model(sphere((0, 0, 0), radius=0.8))
    K_px = pixels_per_unit(20)
    top, bottom = (renderer.render(ball, camera_behind(), K_px, up)[row, 40, 0] for row in (10, 38))
    assert top > bottom + 40
    top, bottom = (
        renderer.render(ball, camera_behind(), K_px, down)[row, 40, 0] for row in (10, 38)
    )
    assert bottom > top + 40
    lamp = Lights(sky=(0, 0, 0), ground=(0, 0, 0), lamp=(1, 1, 1), lamp_direction=(-1, 0, -0.2))
    from_behind = renderer.render(ball, camera_behind(), K_px, lamp)
    turned = camera_behind() @ np.diag([-1.0, 1.0, -1.0, 1.0])  # from the front
    assert from_behind[24, 28, 0] > from_behind[24, 52, 0] + 40
    np.testing.assert_allclose(
        renderer.render(ball, turned, K_px, lamp).astype(int), from_behind, atol=12
    )


def test_turning_object_and_camera_together_about_up_changes_nothing(renderer, box_model):
    T_world2cam, K_px = sample_cameras(3, np.random.default_rng(1), CameraRange(), SIZE)
    turn = trimesh.transformations.rotation_matrix(0.7, (0, 1, 0))
    turned = model(*[mesh.copy().apply_transform(turn) for mesh in box_model.meshes])
    for T, K in zip(T_world2cam, K_px, strict=True):
        difference = np.abs(
            renderer.render(box_model, T, K).astype(int)
            - renderer.render(turned, T @ np.linalg.inv(turn), K)
        )
        assert difference.mean() < 0.2


def test_surfaces_are_drawn_from_both_sides_alike(renderer, box_model):
    T_world2cam, K_px = sample_cameras(3, np.random.default_rng(2), CameraRange(), SIZE)
    inverted = [mesh.copy() for mesh in box_model.meshes]
    for mesh in inverted:
        mesh.invert()
    for T, K in zip(T_world2cam, K_px, strict=True):
        np.testing.assert_allclose(
            renderer.render(model(*inverted), T, K).astype(int),
            renderer.render(box_model, T, K),
            atol=1,
        )


def test_doubled_faces_do_not_speckle(renderer, box_model):
    T_world2cam, K_px = sample_cameras(3, np.random.default_rng(3), CameraRange(), SIZE)
    other_side = [mesh.copy() for mesh in box_model.meshes]
    for mesh in other_side:
        mesh.invert()
    for T, K in zip(T_world2cam, K_px, strict=True):
        difference = np.abs(
            renderer.render(model(*box_model.meshes, *other_side), T, K).astype(int)
            - renderer.render(box_model, T, K)
        )
        assert difference.max() <= 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_surface_hides_the_other(renderer, order):
    quads = [
        quad((-1, -1), (1, 1), z=0.01, colour=RED),
        quad((-1, -1), (1, 1), z=0.0, colour=BLUE),
    ]
    rgba = renderer.render(model(*[quads[i] for i in order]), camera_behind(), pixels_per_unit(10))
    red, _, blue, _ = rgba[24, 40].astype(int)
    assert red > blue + 50


def test_supersampling_is_close_to_a_much_finer_picture(box_model):
    T_world2cam, K_px = sample_cameras(4, np.random.default_rng(4), CameraRange(), SIZE)
    errors = {}
    with ViewRenderer(*SIZE, supersample=8) as reference_renderer:
        reference = [
            reference_renderer.render(box_model, T, K).astype(int)
            for T, K in zip(T_world2cam, K_px, strict=True)
        ]
        for supersample in (1, 2):  # two renderers live in one process
            with ViewRenderer(*SIZE, supersample=supersample) as tested:
                errors[supersample] = np.mean(
                    [
                        np.abs(tested.render(box_model, T, K) - fine).mean()
                        for T, K, fine in zip(T_world2cam, K_px, reference, strict=True)
                    ]
                )
    assert errors[2] < 1.0
    assert errors[2] < 0.6 * errors[1]


def test_a_texture_stands_upright(renderer):
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = RED[:3]  # the picture's upper half: v from 0.5 to 1
    picture[4:] = BLUE[:3]
    mesh = quad((-1, -1), (1, 1))
    material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(picture))
    mesh.visual = trimesh.visual.TextureVisuals(
        uv=[[0, 0], [1, 0], [1, 1], [0, 1]], material=material
    )
    rgba = renderer.render(model(mesh), camera_behind(), pixels_per_unit(10)).astype(int)
    assert rgba[18, 40, 0] > rgba[18, 40, 2] + 50
    assert rgba[30, 40, 2] > rgba[30, 40, 0] + 50


def test_transparent_texels_are_holes(renderer):
    picture = np.full((8, 8, 4), 200, np.uint8)
    picture[:, 4:, 3] = 0
    mesh = quad((-1, -1), (1, 1))
    material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(picture))
    mesh.visual = trimesh.visual.TextureVisuals(
        uv=[[0, 0], [1, 0], [1, 1], [0, 1]], material=material
    )
    rgba = renderer.render(model(mesh), camera_behind(), pixels_per_unit(10))
    assert rgba[24, 35, 3] == 255
    assert rgba[24, 45, 3] == 0


def test_a_texture_without_coordinates_becomes_the_materials_colour(renderer):
    mesh = quad((-1, -1), (1, 1))
    material = trimesh.visual.material.SimpleMaterial(
        image=Image.new("RGB", (4, 4), (0, 255, 0)), diffuse=RED
    )
    mesh.visual = trimesh.visual.TextureVisuals(uv=None, material=material)
    red, green, _, alpha = renderer.render(model(mesh), camera_behind(), pixels_per_unit(10))[
        24, 40
    ].astype(int)
    assert alpha == 255
    assert red > green + 50


def test_the_same_view_twice_gives_the_same_bytes(renderer, box_model):
    T_world2cam, K_px = sample_cameras(1, np.random.default_rng(5), CameraRange(), SIZE)
    one, two = (renderer.render(box_model, T_world2cam[0], K_px[0]) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (*SIZE, 4)
    assert one.dtype == np.uint8
    assert 0 < one[..., 3].mean() < 255


def test_views_of_an_uploaded_model_equal_single_ones(renderer, box_model):
    T_world2cam, K_px = sample_cameras(2, np.random.default_rng(6), CameraRange(), SIZE)
    with renderer.upload(box_model) as uploaded:
        several = [uploaded.render(T, K) for T, K in zip(T_world2cam, K_px, strict=True)]
    for T, K, rgba in zip(T_world2cam, K_px, several, strict=True):
        np.testing.assert_array_equal(renderer.render(box_model, T, K), rgba)
    with pytest.raises(RuntimeError, match="used after its with block"):
        uploaded.render(T_world2cam[0], K_px[0])


def test_random_lights_depend_on_the_seed_only_and_never_black_out(renderer):
    rng = np.random.default_rng(7)
    assert random_lights(np.random.default_rng(1)) == random_lights(np.random.default_rng(1))
    white = model(coloured(trimesh.creation.icosphere(3, 1.0), (255, 255, 255, 255)))
    with renderer.upload(white) as uploaded:
        pictures = [
            uploaded.render(camera_behind(), pixels_per_unit(20), random_lights(rng))
            for _ in range(20)
        ]
    means = [picture[picture[..., 3] == 255][:, :3].mean() for picture in pictures]
    assert min(means) > 90
    assert max(means) > min(means) + 20
    assert all((p[p[..., 3] == 255][:, :3].min(axis=1) < 255).mean() > 0.3 for p in pictures)


def test_a_model_behind_the_camera_is_not_seen(renderer, box_model):
    T_world2cam = camera_behind()
    T_world2cam[2, 3] = -10
    assert not renderer.render(box_model, T_world2cam, intrinsics(40, SIZE)).any()


def test_a_camera_inside_the_model_sees_it(renderer):
    ball = model(sphere((0, 0, 0), radius=1.0))
    rgba = renderer.render(ball, np.eye(4), intrinsics(40, SIZE))
    assert (rgba[..., 3] == 255).all()


def test_nothing_to_draw_is_an_error_that_names_the_model(renderer):
    with pytest.raises(ValueError, match="test/model cannot be rendered: it has no faces"):
        renderer.render(model(), camera_behind(), pixels_per_unit(10))


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="must be >= 1, got 0, 10, 2"):
        ViewRenderer(0, 10)
    with pytest.raises(ValueError, match="more than this graphics system's"):
        ViewRenderer(10, 100_000)


def test_a_closed_renderer_says_so(box_model):
    closed = ViewRenderer(8, 8)
    closed.close()
    closed.close()
    with pytest.raises(RuntimeError, match="closed"):
        closed.render(box_model, camera_behind(), pixels_per_unit(10))


def test_a_forked_process_is_refused(renderer, monkeypatch):
    assert rendering._context is not None
    monkeypatch.setattr(rendering._context, "pid", -1)
    with pytest.raises(RenderingError, match=r"forked .*'spawn'"):
        ViewRenderer(8, 8)
