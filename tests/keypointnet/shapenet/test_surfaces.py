from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapenet.polygons import triangulate, triangulate_all
from keypointnet.shapenet.surfaces import (
    MAX_FAN,
    UNTEXTURED,
    Soup,
    build_meshes,
    clean_faces,
    crease_normals,
    normalise_points,
    point_ids,
)


def soup_of(corners: np.ndarray, texture: list[int] | None = None) -> Soup:
    n = len(corners)
    index = np.full(n, UNTEXTURED) if texture is None else np.array(texture)
    return Soup(corners, np.full((n, 3, 4), 200, np.uint8), np.zeros((n, 3, 2)), index, [])


def roof(angle_deg: float) -> np.ndarray:
    """Two unit triangles that share an edge along x and meet with the given turn of normals."""
    turn = np.deg2rad(angle_deg)
    left = [[0, 0, 0], [1, 0, 0], [0.5, -1, 0]]
    up = [0.5, np.cos(turn), np.sin(turn)]
    return np.array([[left[0], left[2], left[1]], [[0, 0, 0], [1, 0, 0], up]], dtype=np.float64)


def loop_crease_normals(corners: np.ndarray, ids: np.ndarray, crease_deg: float) -> np.ndarray:
    """The same by plain loops."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    result = np.zeros_like(corners)
    for face in range(len(corners)):
        for corner in range(3):
            total = np.zeros(3)
            for other in range(len(corners)):
                for k in range(3):
                    cosine = float(normals[face] @ normals[other])
                    if ids[other, k] != ids[face, corner]:
                        continue
                    if abs(cosine) < np.cos(np.deg2rad(crease_deg)):
                        continue
                    here = corners[other, k]
                    a = corners[other, (k + 1) % 3] - here
                    b = corners[other, (k + 2) % 3] - here
                    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
                    total += np.sign(cosine) * angle * normals[other]
            result[face, corner] = total / np.linalg.norm(total)
    return result


def test_normalise_points_literal() -> None:
    points = np.array([[10.0, 0, 0], [14, 2, 0], [12, 1, 1]])
    expected = [[-1, -0.5, -0.25], [1, 0.5, -0.25], [0, 0, 0.25]]
    np.testing.assert_allclose(normalise_points(points), expected, atol=1e-12)


def test_crease_normals_smooth_below_the_crease_and_flat_above() -> None:
    gentle = roof(30.0)
    normals = crease_normals(gentle, point_ids(gentle / 2), crease_deg=40.0)
    # both corners of the shared edge lean half way; the free corners stay flat
    half = np.deg2rad(15.0)
    np.testing.assert_allclose(normals[0, 0], [0, -np.sin(half), np.cos(half)], atol=1e-9)
    np.testing.assert_allclose(normals[0, 1], [0, 0, 1], atol=1e-9)
    sharp = roof(60.0)
    normals = crease_normals(sharp, point_ids(sharp / 2), crease_deg=40.0)
    np.testing.assert_allclose(normals[0], [[0, 0, 1]] * 3, atol=1e-9)


def test_crease_normals_ignore_a_neighbours_winding() -> None:
    gentle = roof(30.0)
    flipped = gentle.copy()
    flipped[1] = flipped[1, ::-1]
    normals = crease_normals(gentle, point_ids(gentle / 2))
    mixed = crease_normals(flipped, point_ids(flipped / 2))
    np.testing.assert_allclose(mixed[0], normals[0], atol=1e-9)
    np.testing.assert_allclose(mixed[1], -normals[1, ::-1], atol=1e-9)


def test_crease_normals_equal_plain_loops() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 1, (12, 3))
    faces = np.array([rng.choice(12, 3, replace=False) for _ in range(40)])
    got = crease_normals(points[faces], faces, crease_deg=50.0)
    np.testing.assert_allclose(got, loop_crease_normals(points[faces], faces, 50.0), atol=1e-9)


def test_crease_normals_of_a_big_fan_are_flat() -> None:
    count = MAX_FAN + 10
    angle = np.arange(count) * 2 * np.pi / count
    rim = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    tip = np.broadcast_to([0.0, 0.0, 1.0], rim.shape)
    cone = np.stack([rim, np.roll(rim, -1, axis=0), tip], axis=1)
    normals = crease_normals(cone, point_ids(cone))
    flat = np.cross(cone[:, 1] - cone[:, 0], cone[:, 2] - cone[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(normals[:, 2], flat, atol=1e-9)
    assert np.abs(normals[:, 0] - flat).max() > 1e-3


def test_clean_faces_keeps_one_of_a_pair_and_the_textured_one() -> None:
    one = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]]], dtype=np.float64)
    pair = np.concatenate([one, one[:, [0, 2, 1]]])
    assert len(clean_faces(soup_of(pair)).corners) == 1
    kept = clean_faces(soup_of(pair, texture=[UNTEXTURED, 0]))
    assert kept.texture.tolist() == [0]
    np.testing.assert_array_equal(kept.corners[0], pair[1])


def test_clean_faces_of_nothing_but_slivers_is_empty() -> None:
    sliver = np.array([[[0, 0, 0], [1, 0, 0], [0.5, 0, 0]], [[0, 0, 0], [0, 0, 0], [1, 1, 1]]])
    assert len(clean_faces(soup_of(sliver.astype(float))).corners) == 0


def test_build_meshes_shares_equal_corners_only() -> None:
    flat = roof(0.0) / 2
    (mesh,) = build_meshes(soup_of(flat))
    assert (len(mesh.vertices), len(mesh.faces)) == (4, 2)
    two_colours = soup_of(flat)
    two_colours.rgba[1] = [255, 0, 0, 255]
    (mesh,) = build_meshes(two_colours)
    assert len(mesh.vertices) == 6


# ----------------------------------------------------------------------------------- polygons


def area(outline: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = np.moveaxis(outline[triangles], 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_triangulate_fans_a_convex_polygon() -> None:
    angle = np.arange(5) * 2 * np.pi / 5
    pentagon = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    np.testing.assert_array_equal(triangulate(pentagon), [[0, 1, 2], [0, 2, 3], [0, 3, 4]])


@pytest.mark.parametrize("start", range(6))
def test_triangulate_stays_inside_a_concave_polygon(start: int) -> None:
    # an L of area 3, whatever corner it begins with, tilted out of the plane
    outline = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [1, 1, 0], [1, 2, 0], [0, 2, 0]], float)
    outline = np.roll(outline, start, axis=0) @ np.array([[1, 0, 0], [0, 0.6, 0.8], [0, -0.8, 0.6]])
    triangles = triangulate(outline)
    assert triangles.shape == (4, 3)
    assert area(outline, triangles) == pytest.approx(3.0)
    a, b, c = np.moveaxis(outline[triangles], 1, 0)
    turned = np.cross(b - a, c - a) @ np.cross([1, 0, 0], [0, 0.6, 0.8])
    assert turned.min() > -1e-12  # none faces the other way


@pytest.mark.parametrize("start", range(4))
def test_triangulate_all_takes_the_inner_diagonal_of_an_arrow(start: int) -> None:
    arrow = np.array([[0, 0, 0], [2, -1, 0], [0.5, 0, 0], [2, 1, 0]], float)
    outline = np.roll(arrow, start, axis=0)
    (triangles,) = triangulate_all(outline[None])
    assert area(outline, triangles) == pytest.approx(0.5)


def test_triangulate_all_of_no_polygons() -> None:
    for count in (3, 4, 5):
        assert triangulate_all(np.zeros((0, count, 3))).shape == (0, count - 2, 3)
