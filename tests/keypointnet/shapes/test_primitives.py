from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapes.curves import arc_xz, filleted, line, rounded_outline, spline
from keypointnet.shapes.primitives import (
    Piece,
    bar,
    box,
    loft,
    mirrored,
    pillow,
    sheet,
    signed_volume,
    slab,
    transformed,
    tube,
)


def open_edges(piece: Piece) -> int:
    """Edges that not exactly one other face shares the other way round, by position."""
    _, place = np.unique(np.round(piece.vertices, 7), axis=0, return_inverse=True)
    faces = place.reshape(-1)[piece.faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    directed: dict[tuple[int, int], int] = {}
    for face in faces.tolist():
        for start, end in zip(face, [*face[1:], face[0]], strict=True):
            directed[start, end] = directed.get((start, end), 0) + 1
    return sum(directed.get((end, start), 0) != n for (start, end), n in directed.items())


def ring_path(n: int) -> np.ndarray:
    return arc_xz((0, 0.3, 0), 1.0, 1.0, 0.0, 2 * np.pi * (1 - 1 / n), n)


GRID = np.stack(
    [*np.meshgrid(np.linspace(0, 2, 5), [0.0], np.linspace(0, 3, 4), indexing="ij")], axis=-1
)[:, 0]
PIECES = {
    "box": box((1, 2, 3), (4, 5, 6)),
    "bar": bar(line((0, 0, 0), (1, 2, 3), 4), 0.1, [0.2, 0.3, 0.2, 0.1]),
    "tube": tube(line((0, 0, 0), (0, -2, 0.3), 5), 0.1),
    "tube up": tube(line((0, 0, 0), (0.1, 2, 0.3), 5), 0.1),
    "bent tube": tube(filleted([[0, 0, 0], [0, 1, 0], [1, 1, 0]], 0.2), 0.05),
    "tube along all axes": tube(
        filleted([[0, 0, 0], [0, 1, 0], [0, 1, 1], [0.5, 1, 1]], 0.2), 0.05
    ),
    "bar along all axes": bar(
        filleted([[0, 0, 0], [0, 1, 0], [0, 1, 1], [0.5, 1, 1]], 0.2), 0.1, 0.05, up=(1, 0, 0)
    ),
    "ring": tube(ring_path(16), 0.1, ring=True),
    "slab": slab(rounded_outline(1, 0.8, 1, 0.4), 0.2, 0.3, 0.02, 0.01),
    "dished slab": slab(rounded_outline(1, 0.8, 1, 0.4), 0.2, 0.3, 0.02, -0.02),
    "sheet": sheet(GRID, 0.1),
    "pillow": pillow((1, 0.5, 0.8), (1, 2, 3), 0.1, 0.1),
}


@pytest.mark.parametrize("name", PIECES)
def test_pieces_are_closed_and_wound_outwards(name: str) -> None:
    piece = PIECES[name]
    assert open_edges(piece) == 0
    assert signed_volume(piece.vertices, piece.faces) > 0
    assert np.isfinite(piece.vertices).all()
    corners = piece.vertices[piece.faces]
    assert np.linalg.norm(np.cross(*np.diff(corners, axis=1).swapaxes(0, 1)), axis=1).min() > 1e-9
    assert set(np.unique(piece.faces)) == set(range(len(piece.vertices)))


def test_volumes_match_the_formulas() -> None:
    assert signed_volume(*PIECES["box"]) == pytest.approx(6.0)
    assert signed_volume(*PIECES["sheet"]) == pytest.approx(2 * 3 * 0.1)
    # a prism over a regular decagon of radius r: 10 / 2 r^2 sin(36 degrees) h
    decagon = 5 * 0.1**2 * np.sin(np.deg2rad(36))
    piece = tube([[0, 0, 0], [0, 2, 0]], 0.1)
    assert signed_volume(*piece) == pytest.approx(2 * decagon)
    # sharp-edged outline
    flat = slab(np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]]), 0.0, 0.5)
    assert signed_volume(*flat) == pytest.approx(2.0)


def test_box_spans_its_size_and_has_an_edge_at_every_side() -> None:
    piece = box((1, 2, 3), (4, 5, 6))
    np.testing.assert_allclose(piece.vertices.min(axis=0), [3.5, 4, 4.5])
    np.testing.assert_allclose(piece.vertices.max(axis=0), [4.5, 6, 7.5])
    triangles = piece.vertices[piece.faces]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for vertex in range(len(piece.vertices)):
        meeting = normals[(piece.faces == vertex).any(axis=1)]
        np.testing.assert_allclose(meeting, np.tile(meeting[:1], (len(meeting), 1)), atol=1e-9)


def test_a_pillow_stays_in_its_box_and_its_dome_rises_above_it() -> None:
    piece = pillow((1.0, 0.4, 0.8), (0, 0, 0), 0.1)
    np.testing.assert_allclose(np.abs(piece.vertices).max(axis=0), [0.5, 0.2, 0.4])
    crowned = pillow((1.0, 0.4, 0.8), (0, 0, 0), 0.1, dome=0.05)
    assert crowned.vertices[:, 1].max() == pytest.approx(0.25)
    assert crowned.vertices[:, 1].min() == pytest.approx(-0.2)


def test_mirrored_negates_x_and_stays_outwards() -> None:
    piece = PIECES["bar"]
    twin = mirrored(piece)
    np.testing.assert_allclose(twin.vertices[:, 0], -piece.vertices[:, 0])
    assert signed_volume(*twin) == pytest.approx(signed_volume(*piece))


def test_transformed_turns_about_its_pivot() -> None:
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    piece = transformed(box((2, 4, 6), (1, 0, 0)), quarter, (1, 0, 0))
    np.testing.assert_allclose(piece.vertices.max(axis=0), [3, 1, 3])


def test_loft_names_the_shape_it_cannot_use() -> None:
    with pytest.raises(ValueError, match=r"loft: loops must be .* received \(1, 4, 3\)"):
        loft(np.zeros((1, 4, 3)))


def test_outlines_are_symmetric_and_have_the_asked_extent() -> None:
    for roundness in (0.0, 0.3, 1.0):
        outline = rounded_outline(0.5, 0.3, 0.4, roundness)
        flipped = outline * [-1, 1]
        gap = np.linalg.norm(outline[:, None] - flipped[None], axis=2).min(axis=1)
        assert gap.max() < 1e-12
    front = rounded_outline(0.5, 0.3, 0.4, 0.0)
    widest = front[np.argmax(front[:, 0])]
    assert widest[0] == pytest.approx(0.25, abs=2e-3)
    assert widest[1] < 0  # the front, at -z, is the wide side here


def test_curves_pass_where_they_are_told() -> None:
    points = np.array([[0.0, 0, 0], [1, 2, 0], [3, 2, 1]])
    curve = spline(points, 9)
    np.testing.assert_allclose(curve[[0, 4, 8]], points)
    bent = filleted([[0, 0, 0], [0, 1, 0], [1, 1, 0]], 0.25)
    np.testing.assert_allclose(bent[[0, -1]], [[0, 0, 0], [1, 1, 0]])
    np.testing.assert_allclose(bent[[1, -2]], [[0, 0.75, 0], [0.25, 1, 0]])
    quarter = arc_xz((0, 1, 0), 2.0, 3.0, 0.0, np.pi / 2, 3)
    np.testing.assert_allclose(quarter[[0, -1]], [[2, 1, 0], [0, 1, 3]], atol=1e-12)
