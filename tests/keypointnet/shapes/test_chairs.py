from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from keypointnet.shapenet.models import Model
from keypointnet.shapes import FAMILIES, make_model
from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair import STYLES, style_of
from keypointnet.shapes.materials import MATERIALS, pick_colour
from keypointnet.shapes.primitives import box

SEEDS = range(240)


@pytest.fixture(scope="module")
def chairs() -> list[Model]:
    return [make_model("chair", seed) for seed in SEEDS]


def part_faces(mesh: trimesh.Trimesh, part: str) -> np.ndarray:
    parts = mesh.metadata["parts"]
    if part not in parts["names"]:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(parts["face_part"] == parts["names"].index(part))


def centre_of(mesh: trimesh.Trimesh, faces: np.ndarray) -> np.ndarray:
    """Area-weighted mean position."""
    triangles = np.asarray(mesh.vertices)[mesh.faces[faces]]
    edges = triangles[:, 1:] - triangles[:, :1]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    return (triangles.mean(axis=1) * area[:, None]).sum(axis=0) / area.sum()


def test_two_hundred_and_forty_seeds_are_as_many_shapes(chairs: list[Model]) -> None:
    shares = np.linspace(0, 1, 17)
    described = np.stack(
        [np.quantile(chair.meshes[0].triangles_center, shares, axis=0).ravel() for chair in chairs]
    )
    gap, _ = cKDTree(described).query(described, k=2, p=np.inf)
    assert gap[:, 1].min() > 0.01  # of a longest side of 2, in some quantile of some axis
    assert len({style_of(seed) for seed in SEEDS}) == len(STYLES)


def test_the_same_seed_is_the_same_chair_whatever_was_made_before() -> None:
    first = make_model("chair", 7)
    make_model("chair", 8)
    again = make_model("chair", 7)
    np.testing.assert_array_equal(first.meshes[0].vertices, again.meshes[0].vertices)
    np.testing.assert_array_equal(first.meshes[0].faces, again.meshes[0].faces)
    np.testing.assert_array_equal(
        first.meshes[0].visual.vertex_colors, again.meshes[0].visual.vertex_colors
    )
    assert first.id == again.id == "chair-00007"


def test_chairs_fill_the_normalised_box(chairs: list[Model]) -> None:
    for chair in chairs:
        low, high = chair.meshes[0].bounds
        np.testing.assert_allclose(low + high, 0, atol=1e-9, err_msg=chair.id)
        assert (high - low).max() == pytest.approx(2.0), chair.id
        assert (high - low).min() > 0.4, chair.id


def test_up_is_y_and_the_front_is_minus_z(chairs: list[Model]) -> None:
    with_back = 0
    for chair in chairs:
        mesh = chair.meshes[0]
        seat = centre_of(mesh, part_faces(mesh, "seat"))
        legs = centre_of(mesh, part_faces(mesh, "legs"))
        assert legs[1] < seat[1], chair.id
        back_faces = part_faces(mesh, "back")
        if len(back_faces):
            with_back += 1
            back = centre_of(mesh, back_faces)
            assert back[1] > seat[1], chair.id
            assert back[2] > seat[2], chair.id
    assert 0.85 * len(chairs) < with_back < len(chairs)  # a few are stools


def test_chairs_stand_on_their_legs(chairs: list[Model]) -> None:
    for chair in chairs:
        mesh = chair.meshes[0]
        floor = np.asarray(mesh.vertices)[mesh.faces[part_faces(mesh, "legs")], 1].min()
        assert floor == pytest.approx(mesh.bounds[0, 1], abs=0.02), chair.id


def test_chairs_are_mirror_symmetric(chairs: list[Model]) -> None:
    exact = 0
    for chair in chairs:
        points = np.asarray(chair.meshes[0].vertices)
        gap, _ = cKDTree(points).query(points * [-1, 1, 1])
        assert gap.max() < 0.03, chair.id  # crossed bars lie one before the other
        exact += bool(gap.max() < 1e-6)
    assert exact > 0.9 * len(chairs)


def test_every_face_has_a_part(chairs: list[Model]) -> None:
    seen: set[str] = set()
    for chair in chairs:
        parts = chair.meshes[0].metadata["parts"]
        assert parts["face_part"].shape == (len(chair.meshes[0].faces),)
        assert set(np.unique(parts["face_part"])) == set(range(len(parts["names"])))
        assert {"legs", "seat"} <= set(parts["names"]) <= {"legs", "seat", "back", "arms"}
        seen |= set(parts["names"])
    assert seen == {"legs", "seat", "back", "arms"}


def test_meshes_are_sound(chairs: list[Model]) -> None:
    for chair in chairs:
        assert len(chair.meshes) == 1
        mesh = chair.meshes[0]
        assert 200 <= len(mesh.faces) <= 6000, chair.id
        assert np.isfinite(mesh.vertices).all(), chair.id
        assert np.isfinite(mesh.vertex_normals).all(), chair.id
        assert (mesh.area_faces < 1e-12).mean() < 0.01, chair.id


def test_colours_are_opaque_one_to_a_face_and_varied(chairs: list[Model]) -> None:
    main = []
    for chair in chairs:
        mesh = chair.meshes[0]
        rgba = np.asarray(mesh.visual.vertex_colors)
        assert rgba.shape == (len(mesh.vertices), 4)
        assert rgba.dtype == np.uint8
        assert (rgba[:, 3] == 255).all()
        corners = rgba[mesh.faces]
        assert (corners == corners[:, :1]).all(), chair.id
        main.append(rgba[:, :3].mean(axis=0))
    assert (np.std(main, axis=0) > 25).all()


def test_unknown_families_and_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown family 'table', expected one of \['chair', "):
        make_model("table", 0)
    with pytest.raises(ValueError, match="seed must be >= 0, received -1"):
        make_model("chair", -1)
    assert set(FAMILIES) == {"chair", "person"}


def test_every_material_has_colours_and_others_are_refused() -> None:
    rng = np.random.default_rng(0)
    for material in MATERIALS:
        drawn = np.stack([pick_colour(rng, material) for _ in range(50)])
        assert ((drawn >= 0) & (drawn <= 1)).all()
        assert len(np.unique(drawn.round(3), axis=0)) > 10
    with pytest.raises(ValueError, match=r"unknown material 'cheese', expected one of .*wood"):
        pick_colour(rng, "cheese")


def test_an_assembly_keeps_colours_and_parts_with_their_pieces() -> None:
    assembly = Assembly()
    red, blue = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    assembly.add("legs", red, box((0.1, 1, 0.1), (0.5, 0.5, 0)), both=True)
    assembly.add("seat", blue, box((1.2, 0.1, 1), (0, 1.05, 0)))
    mesh = assembly.build("stool").meshes[0]
    parts = mesh.metadata["parts"]
    assert parts["names"] == ["legs", "seat"]
    np.testing.assert_array_equal(parts["face_part"], [0] * 32 + [1] * 16)
    colours = np.asarray(mesh.visual.vertex_colors)[mesh.faces[:, 0]]
    np.testing.assert_array_equal(colours[:32], np.tile([255, 0, 0, 255], (32, 1)))
    np.testing.assert_array_equal(colours[32:], np.tile([0, 0, 255, 255], (16, 1)))
    np.testing.assert_allclose(mesh.extents, [2.0, 1.1 * 2 / 1.2, 1 * 2 / 1.2])
