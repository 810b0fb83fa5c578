import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.views.mesh_buffers import DEFAULT_COLOUR, draw_groups

RED, BLUE, GREEN = (200, 40, 40, 255), (40, 40, 200, 255), (0, 255, 0, 255)
FACES = [[0, 1, 2], [0, 2, 3]]


def square(x: float = 0.0) -> trimesh.Trimesh:
    vertices = [[x, 0, 0], [x + 1, 0, 0], [x + 1, 1, 0], [x, 1, 0]]
    return trimesh.Trimesh(vertices, FACES, process=False)


def coloured(colour: tuple[int, int, int, int], x: float = 0.0) -> trimesh.Trimesh:
    mesh = square(x)
    mesh.visual.vertex_colors = np.tile(np.array(colour, np.uint8), (4, 1))
    return mesh


def textured(uv: list[list[float]] | None, x: float = 0.0) -> trimesh.Trimesh:
    mesh = square(x)
    material = trimesh.visual.material.SimpleMaterial(
        image=Image.new("RGB", (4, 2), GREEN[:3]), diffuse=RED
    )
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def test_untextured_meshes_share_one_group():
    (group,) = draw_groups([coloured(RED), coloured(BLUE, x=2)])
    np.testing.assert_array_equal(group.indices, [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    np.testing.assert_array_equal(group.positions[[0, 4]], [[0, 0, 0], [2, 0, 0]])
    np.testing.assert_array_equal(group.colours[[0, 7]], [RED, BLUE])
    np.testing.assert_allclose(group.normals, np.tile([0, 0, 1], (8, 1)))
    assert group.texture is None
    assert group.uv is None


def test_each_texture_is_a_group_after_the_plain_one():
    uv = [[0.0, 0], [1, 0], [1, 1], [0, 1]]
    plain, one, two = draw_groups([textured(uv), coloured(RED), textured(uv, x=3)])
    assert plain.texture is None
    for group in (one, two):
        assert group.texture.shape == (2, 4, 4)
        np.testing.assert_array_equal(group.texture[0, 0], GREEN)
        np.testing.assert_array_equal(group.colours, 255)
        np.testing.assert_array_equal(group.uv, uv)


@pytest.mark.parametrize(
    "uv", [None, [[0.0, 0], [1, 0], [1, 1], [0, np.nan]]], ids=["missing", "NaN"]
)
def test_without_sound_coordinates_the_materials_colour_is_taken(uv):
    (group,) = draw_groups([textured(uv)])
    assert group.texture is None
    np.testing.assert_array_equal(group.colours, np.tile(RED, (4, 1)))


def test_face_colours_are_kept():
    mesh = square()
    mesh.visual = trimesh.visual.ColorVisuals(mesh, face_colors=[RED, BLUE])
    (group,) = draw_groups([mesh])
    np.testing.assert_array_equal(group.colours[group.indices[0]], [RED] * 3)
    np.testing.assert_array_equal(group.colours[group.indices[1]], [BLUE] * 3)
    np.testing.assert_array_equal(group.positions[group.indices], square().vertices[FACES])


def test_without_any_colour_it_is_grey():
    (group,) = draw_groups([square()])
    np.testing.assert_array_equal(group.colours, np.tile(DEFAULT_COLOUR, (4, 1)))


def test_a_vertex_without_a_normal_gets_one():
    mesh = trimesh.Trimesh(
        square().vertices, FACES, vertex_normals=[[0, 0, 1]] * 3 + [[0, 0, 0]], process=False
    )
    (group,) = draw_groups([mesh])
    assert np.linalg.norm(group.normals, axis=1).min() > 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_not_finite_are_an_error(bad):
    vertices = square().vertices.copy()
    vertices[2, 1] = bad
    mesh = trimesh.Trimesh(
        vertices, FACES, vertex_normals=[[0, 0, 1]] * 4, process=False, validate=False
    )
    with pytest.raises(ValueError, match="a vertex coordinate is not finite"):
        draw_groups([coloured(RED), mesh])


def test_no_faces_are_an_error():
    no_faces = trimesh.Trimesh(np.eye(3), np.zeros((0, 3), int), process=False)
    for meshes in ([], [no_faces]):
        with pytest.raises(ValueError, match="it has no faces"):
            draw_groups(meshes)
    assert len(draw_groups([no_faces, square()])) == 1
