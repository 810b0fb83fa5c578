from __future__ import annotations

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.bench_search import turned_model
from keypointnet.shapenet.models import Model, normalise_model
from keypointnet.shapenet.shape_descriptor import (
    DescriptorSettings,
    describe_points,
    describe_shape,
    surface_samples,
)

QUICK = DescriptorSettings(points=6000)


def box(extents: tuple[float, float, float], at: tuple[float, float, float]) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(extents)
    mesh.apply_translation(at)
    return mesh


def model_of(*meshes: trimesh.Trimesh) -> Model:
    return normalise_model(Model("m", list(meshes)))


def seat(back: float = 1.0, legs: bool = True) -> Model:
    parts = [box((1, 0.1, 1), (0, 0, 0)), box((1, back, 0.1), (0, back / 2, 0.5))]
    if legs:
        corners = [(x, -0.5, z) for x in (-0.45, 0.45) for z in (-0.45, 0.45)]
        parts += [box((0.1, 1, 0.1), corner) for corner in corners]
    else:
        parts.append(trimesh.creation.cylinder(0.6, 1.0, transform=lying()))
    return model_of(*parts)


def lying() -> np.ndarray:
    """A cylinder's axis along +Y, half a unit below the seat."""
    T = trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0))
    T[1, 3] = -0.5
    return np.asarray(T)


def apart(one: Model, other: Model, seed: int = 0) -> float:
    a = describe_shape(one, QUICK)
    b = describe_shape(other, DescriptorSettings(points=6000, seed=seed))
    return float(np.linalg.norm(a - b))


def test_samples_lie_evenly_on_the_surface_in_its_own_frame():
    # flat squares of areas 4 and 1, off the origin
    large = trimesh.Trimesh([(0, 0, 0), (2, 0, 0), (2, 0, 2), (0, 0, 2)], [(0, 2, 1), (0, 3, 2)])
    small = trimesh.Trimesh([(5, 0, 0), (6, 0, 0), (6, 0, 1), (5, 0, 1)], [(0, 2, 1), (0, 3, 2)])
    points, normals = surface_samples(Model("m", [large, small]), 20000, 0)
    assert np.abs(normals) == pytest.approx(np.tile([0, 1, 0], (20000, 1)))
    assert points[:, 1] == pytest.approx(np.zeros(20000))
    assert points.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.02)
    assert (points**2).sum(axis=1).mean() == pytest.approx(1, abs=0.02)
    # the centre of area is at x = (4 * 1 + 1 * 5.5) / 5 = 1.9
    assert (points[:, 0] > 0.5).mean() == pytest.approx(1 / 5, abs=0.01)


def test_the_descriptor_of_four_points_by_hand():
    angle = np.radians([10, 100, 190, 280])
    points = np.stack([np.cos(angle), np.ones(4), np.sin(angle)], axis=1)
    settings = DescriptorSettings(
        points=4, rings=2, levels=2, turns=4, reach=1.0, weights=(1, 1, 0, 0)
    )
    vector = describe_points(points, np.tile([0.0, 1, 0], (4, 1)), settings)
    occupancy, turns, rest = vector[:4], vector[4:20].reshape(4, 2, 2), vector[20:]
    # all in the outer ring at the highest level; a square looks the same after a quarter turn
    assert occupancy == pytest.approx(np.sqrt(0.5) * np.array([0, 0, 0, 1]))
    assert turns[3] == pytest.approx(np.sqrt(0.5) / 2 * np.array([[0, 0], [0, 1]]))
    assert turns[:3] == pytest.approx(np.zeros((3, 2, 2)), abs=1e-6)
    assert not rest.any()


@pytest.mark.parametrize("angle_deg", [17.0, 45.0, 90.0, 211.0])
def test_turning_about_the_vertical_changes_nothing(angle_deg):
    model = model_of(box((2.4, 0.3, 1.5), (0, 0, 0)), box((2.4, 0.8, 0.2), (0, 0.4, 0.6)))
    turned = turned_model(model, np.radians(angle_deg))
    heights = [np.ptp(each.meshes[1].vertices, axis=0)[1] for each in (model, turned)]
    if angle_deg in (17.0, 45.0):
        assert heights[1] < 0.95 * heights[0]  # the reader scales it otherwise
    assert apart(model, turned) < 1e-3
    assert apart(model, turned, seed=1) < 0.06


def test_size_and_place_change_nothing():
    model = seat()
    moved = Model("m", [mesh.copy() for mesh in model.meshes])
    for mesh in moved.meshes:
        mesh.apply_scale(3.0)
        mesh.apply_translation((1, 2, 3))
    assert apart(model, moved) < 1e-3


def test_a_mirror_image_is_the_same():
    model = model_of(box((1, 0.1, 1), (0, 0, 0)), box((0.1, 1, 0.3), (0.5, 0.5, 0.2)))
    mirrored = Model("m", [mesh.copy() for mesh in model.meshes])
    for mesh in mirrored.meshes:
        mesh.vertices = mesh.vertices * (-1, 1, 1)
    assert apart(model, mirrored) < 1e-3


def test_other_shapes_are_apart():
    model = seat()
    tipped = Model("m", [mesh.copy() for mesh in model.meshes])
    for mesh in tipped.meshes:
        mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    again = apart(model, model, seed=1)
    assert apart(model, tipped) > 5 * again
    assert apart(model, seat(legs=False)) > 5 * again
    # what is more like it is nearer
    assert again < apart(model, seat(back=1.2)) < apart(model, seat(back=2.5))


def test_turns_tell_posts_from_a_skirt_of_the_same_area_at_the_same_radius():
    posts = np.radians([0, 90, 180, 270])[np.arange(4000) % 4]
    skirt = np.random.default_rng(0).uniform(0, 2 * np.pi, 4000)
    height = np.random.default_rng(1).uniform(-1, 1, 4000)
    normals = np.tile([1.0, 0, 0], (4000, 1))

    def block(angle: np.ndarray, weights: tuple[float, float, float, float]) -> np.ndarray:
        points = np.stack([np.cos(angle), height, np.sin(angle)], axis=1)
        return describe_points(points, normals, DescriptorSettings(weights=weights))

    occupancy = (1.0, 0.0, 0.0, 0.0)
    assert block(posts, occupancy) == pytest.approx(block(skirt, occupancy), abs=1e-6)
    turns = (0.0, 1.0, 0.0, 0.0)
    assert np.linalg.norm(block(posts, turns) - block(skirt, turns)) > 0.3


def test_what_has_no_area_and_wrong_settings():
    line = trimesh.Trimesh([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [(0, 1, 2)], process=False)
    with pytest.raises(ValueError, match="model m: surface_samples: its surface has no area"):
        describe_shape(Model("m", [line]), QUICK)
    with pytest.raises(ValueError, match=r"levels >= 2.*got DescriptorSettings\(.*levels=1"):
        DescriptorSettings(levels=1)
