from __future__ import annotations

import numpy as np
import pytest
from trimesh.creation import box

from keypointnet.shapenet.mesh_faults import MeshFaults, find_mesh_faults


def corners_of(faces: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    return np.asarray(vertices, dtype=float)[np.asarray(faces)]


CUBE = corners_of(box().faces, box().vertices)


def test_a_cube_is_sound() -> None:
    assert find_mesh_faults(CUBE) == MeshFaults(0.0, 0.0, 0.0, 0.0)


def test_a_flipped_face_is_at_odds_with_its_three_neighbours() -> None:
    corners = CUBE.copy()
    corners[4] = corners[4, ::-1]
    faults = find_mesh_faults(corners)
    assert faults.inconsistent == pytest.approx(3 / 18)
    assert faults.inside_out == 0.0  # it has no inside any more


def test_a_cube_inside_out_counts_with_its_area() -> None:
    small = 0.5 * CUBE[:, ::-1] + [0.9, 0, 0]
    assert find_mesh_faults(CUBE[:, ::-1]).inside_out == pytest.approx(1.0)
    assert find_mesh_faults(np.concatenate([CUBE, small])).inside_out == pytest.approx(1 / 5)


def test_three_faces_on_an_edge() -> None:
    vertices = [[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, -1, 0]]
    faults = find_mesh_faults(corners_of([[0, 1, 2], [0, 1, 3], [0, 1, 4]], vertices))
    assert faults.non_manifold == pytest.approx(1 / 7)
    assert faults.open_edges == pytest.approx(6 / 7)
    assert faults.inconsistent == 0.0
