from __future__ import annotations

import numpy as np
import pytest
import trimesh
from trimesh.creation import box, cylinder

from keypointnet.shapenet.bench_symmetry import (
    DAMAGES,
    Truth,
    compare,
    damaged,
    symmetry_figures,
    true_symmetries,
)
from keypointnet.shapenet.symmetry import Axis, Plane, Symmetries
from keypointnet.shapes import make_model

X, Y, Z = np.eye(3)


def without_back(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    mesh.metadata["parts"] = {"names": ["legs", "seat"]}
    return mesh


def plane(*normal: float) -> Plane:
    vector = np.array(normal)
    return Plane(vector / np.linalg.norm(vector), np.zeros(3), 1.0, 0.0)


def test_the_truth_of_a_box_a_prism_and_a_pillar() -> None:
    upright = cylinder(0.2, 1.0)
    upright.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    truth = true_symmetries(without_back(box((0.3, 1, 0.45))))
    assert (len(truth.planes), truth.order, truth.revolution) == (2, 2, False)
    assert true_symmetries(without_back(box((0.4, 1, 0.4)))).order == 4
    assert true_symmetries(without_back(upright)).revolution
    chair = true_symmetries(make_model("chair", 0).meshes[0])
    np.testing.assert_array_equal(chair.planes, [X])


def test_a_bar_across_a_round_foot_rest_leaves_two_planes() -> None:
    stool = make_model("chair", 196).meshes[0]  # round seat, column, disc, and such a foot rest
    np.testing.assert_allclose(np.abs(true_symmetries(stool).planes), [X, Z], atol=1e-12)


def test_claims_are_compared_in_the_turned_frame() -> None:
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # x becomes y
    truth = Truth(X[None], np.zeros((0, 3)), False)
    right = compare(Symmetries([plane(0, 1, 0.01)]), truth, turn)
    assert right.errors_deg == [pytest.approx(0.573, abs=1e-3)]
    assert (right.false, right.axis_right) == (0, None)
    wrong = compare(Symmetries([plane(1, 0, 0)]), truth, turn)
    assert wrong.errors_deg == [pytest.approx(90.0)]
    assert wrong.false == 1
    assert compare(Symmetries(), truth, turn).errors_deg == [np.inf]


def test_borderline_planes_are_neither_missed_nor_false() -> None:
    truth = Truth(X[None], Z[None], False)
    found = Symmetries([plane(1, 0, 0), plane(0, 0, 1)])
    assert compare(found, truth, np.eye(3)).false == 0
    assert compare(Symmetries([plane(1, 0, 0)]), truth, np.eye(3)).errors_deg == [0.0]


def test_a_solid_of_revolution_is_told_by_its_axis() -> None:
    truth = Truth(np.zeros((0, 3)), np.zeros((0, 3)), True)
    pillar = Symmetries([], [Axis(Y, np.zeros(3), None, 1.0, 0.0)])
    right = compare(pillar, truth, np.eye(3))
    assert (right.errors_deg, right.false, right.axis_right) == ([0.0], 0, True)
    claimed = compare(pillar, Truth(X[None], np.zeros((0, 3)), False), np.eye(3))
    assert (claimed.false, claimed.axis_right) == (1, False)
    nearly = compare(pillar, Truth(np.stack([X, Z]), np.zeros((0, 3)), False, True), np.eye(3))
    assert (nearly.errors_deg, nearly.false, nearly.axis_right) == ([0.0, 0.0], 0, None)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_seeded_and_does_what_it_says(damage: str) -> None:
    mesh = make_model("chair", 1).meshes[0]
    broken, turn = damaged(mesh, damage, 3)
    again, _ = damaged(mesh, damage, 3)
    np.testing.assert_array_equal(broken.vertices, again.vertices)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    faces = len(broken.faces) / len(mesh.faces)
    changed = {"decimated": (0.05, 0.9), "10 % of the faces removed": (0.85, 0.95)}
    low, high = changed.get(damage, (0.05, 0.9) if damage == "all three" else (0.98, 1.0))
    assert low <= faces <= high


def test_figures_of_two_chairs_and_a_stool() -> None:
    figures = symmetry_figures(seeds=(0, 2), stools=1, damages=("clean",))
    assert figures["chairs"] == 3
    clean = figures["damages"]["clean"]
    assert clean["recall_1deg"] == 1.0
    assert (clean["false_planes"], clean["chairs_with_false"]) == (0, 0)
    assert clean["max_deg"] < 0.5
