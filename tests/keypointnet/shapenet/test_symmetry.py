from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation
from trimesh.creation import box, cylinder

from keypointnet.shapenet.isometries import Mirror, axis_angle_deg
from keypointnet.shapenet.symmetry import Symmetries, find_symmetries
from keypointnet.shapenet.symmetry_search import fit, match
from keypointnet.shapenet.symmetry_surface import joined, sample_surface
from keypointnet.shapes import make_model


def directions(found: Symmetries) -> list[str]:
    names = "xyz"
    return sorted(names[int(np.argmax(plane.normal))] for plane in found.planes)


def blades(count: int) -> list[trimesh.Trimesh]:
    """A propeller about z: no mirror plane."""
    meshes = []
    for k in range(count):
        blade = box((1, 0.3, 0.08))
        blade.apply_transform(trimesh.transformations.rotation_matrix(0.6, (1, 0, 0)))
        blade.apply_translation((0.7, 0, 0))
        turn = trimesh.transformations.rotation_matrix(2 * np.pi * k / count, (0, 0, 1))
        meshes.append(blade.apply_transform(turn))
    return meshes


def test_a_box_has_three_planes_and_three_half_turns() -> None:
    found = find_symmetries([box((1, 2, 3))])
    assert directions(found) == ["x", "y", "z"]
    for plane in found.planes:
        assert plane.normal.max() > np.cos(np.radians(0.5))
        assert plane.score > 0.99
        assert plane.deviation < 0.003
    assert [axis.order for axis in found.axes] == [2, 2, 2]


def test_planes_move_with_the_object() -> None:
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5]).as_matrix()
    shift, scale = np.array([3.0, -1.0, 2.0]), 7.0
    wedge = trimesh.creation.extrude_triangulation(
        np.array([[0.0, 0.0], [2.0, 0.0], [0.6, 1.2]]), np.array([[0, 1, 2]]), 1.0
    )  # mirrored in z = 0.5 and in nothing else
    wedge.vertices = scale * wedge.vertices @ turn.T + shift
    found = find_symmetries([wedge])
    (plane,) = found.planes
    assert axis_angle_deg(plane.normal, turn[:, 2]) < 0.5
    on_plane = scale * turn @ [0.5, 0.3, 0.5] + shift
    assert abs((on_plane - plane.point) @ plane.normal) < 0.01 * scale
    assert found.axes == []


def test_a_square_prism_turns_by_quarters() -> None:
    found = find_symmetries([box((1, 3, 1))])
    assert len(found.planes) == 5  # x, y, z and both diagonals
    main = found.axes[0]
    assert main.order == 4
    assert abs(main.direction[1]) > 0.999
    assert [axis.order for axis in found.axes[1:]] == [2, 2, 2, 2]


def test_planes_do_not_ask_for_a_turn_that_is_refused() -> None:
    """A square stool's two rungs are so little of it that its diagonals alone would pass."""
    found = find_symmetries(make_model("chair", 196).meshes)
    assert len(found.planes) == 2
    assert [axis.order for axis in found.axes] == [2]
    for plane in found.planes:
        assert np.abs(plane.normal).max() > 0.9999


def test_a_cylinder_is_a_solid_of_revolution_told_by_its_axis() -> None:
    found = find_symmetries([cylinder(1.0, 3.0)])
    (axis,) = found.axes
    assert axis.order is None
    assert abs(axis.direction[2]) > 0.999
    assert all(abs(plane.normal[2]) > 0.999 for plane in found.planes)


def test_a_propeller_turns_and_has_no_plane() -> None:
    found = find_symmetries(blades(5))
    assert found.planes == []
    assert found.axes[0].order == 5
    assert abs(found.axes[0].direction[2]) > 0.999


def test_a_small_part_on_one_side_breaks_the_plane() -> None:
    body = [box((1, 2, 3))]
    knob = box((0.3, 0.3, 0.3)).apply_translation((0.6, 0.4, 0.9))
    found = find_symmetries([*body, knob])
    assert found.planes == []
    twin = box((0.3, 0.3, 0.3)).apply_translation((-0.6, 0.4, 0.9))
    assert directions(find_symmetries([*body, knob, twin])) == ["x"]


def test_holes_and_noise_leave_the_plane() -> None:
    rng = np.random.default_rng(3)
    seat = [box((1, 0.2, 0.9)), box((0.9, 1.0, 0.1)).apply_translation((0, 0.6, 0.4))]
    legs = [box((0.1, 0.8, 0.1)).apply_translation((x, -0.5, z)) for x in (-0.4, 0.4)
            for z in (-0.35, 0.35)]  # fmt: skip
    mesh = trimesh.util.concatenate(seat + legs).subdivide().subdivide()
    vertices, faces = joined([mesh])
    vertices = vertices + rng.normal(0, 0.008, vertices.shape)
    faces = faces[rng.random(len(faces)) > 0.1]
    (plane,) = find_symmetries([trimesh.Trimesh(vertices, faces, process=False)]).planes
    assert axis_angle_deg(plane.normal, np.array([1.0, 0.0, 0.0])) < 1.0


def test_a_fit_finds_the_plane_nearby() -> None:
    surface = sample_surface([box((1, 2, 3))])
    normal = np.array([1.0, 0.08, -0.05])
    start = Mirror(normal / np.linalg.norm(normal), 0.02)
    found = fit(surface, start)
    assert axis_angle_deg(found.normal, np.array([1.0, 0.0, 0.0])) < 0.3
    assert abs(found.offset) < 0.003
    assert match(surface, found).holds()
    assert not match(surface, start).holds()


def test_samples_lie_on_the_faces_in_units_of_the_size() -> None:
    surface = sample_surface([box((2, 2, 2)).apply_translation((5, 0, 0))], 2000)
    points = surface.points * surface.size + surface.centre
    np.testing.assert_allclose(np.abs(points - [5, 0, 0]).max(axis=1), 1.0, atol=1e-9)
    assert not surface.at_rim.any()
    assert 2 * np.linalg.norm(surface.points, axis=1).max() == pytest.approx(1.0)
    cut = trimesh.Trimesh(box((2, 2, 2)).vertices, box((2, 2, 2)).faces[:-1], process=False)
    assert sample_surface([cut], 2000).at_rim.any()


def test_what_has_no_surface_is_refused() -> None:
    with pytest.raises(ValueError, match="expected meshes with faces, got none"):
        find_symmetries([])
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False)
    with pytest.raises(ValueError, match="expected a face with an area, found none"):
        find_symmetries([flat])
    wild = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [np.nan, 1, 0]], [[0, 1, 2]], process=False)
    with pytest.raises(ValueError, match="NaN or infinite"):
        find_symmetries([wild])
