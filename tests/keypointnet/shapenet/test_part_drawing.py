from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapenet.bench_parts import limb_tree
from keypointnet.shapenet.part_correspondence import correspond
from keypointnet.shapenet.part_drawing import (
    MOST_COLOURS,
    REST,
    draw_correspondence,
    draw_parts,
    part_colours,
)
from keypointnet.shapenet.parts import Part, part_of_corners
from keypointnet.shapes import make_model
from keypointnet.shapes.primitives import box

LEGEND = 260


def block(name: str, x: float) -> Part:
    piece = box((0.8, 0.8, 0.8), (x, 0, 0))
    return part_of_corners(name, piece.vertices[piece.faces])


def hue_near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a picture has a colour in any brightness, (h, w)."""
    rgb = picture.astype(float)
    length = np.linalg.norm(rgb, axis=2) * np.linalg.norm(colour)
    coloured = np.ptp(rgb, axis=2) > 30
    return coloured & ((rgb @ np.array(colour, float)) / np.maximum(length, 1) > 0.95)


def test_each_part_has_its_colour_where_it_is() -> None:
    root = Part("two", children=[block("left", -0.6), block("right", 0.6)])
    picture = draw_parts(root, 96, azimuth_deg=180.0, elevation_deg=0.0)
    assert picture.shape == (96, 96 + LEGEND, 3)
    columns = []
    for colour in part_colours(root.children):
        rows, cols = np.nonzero(hue_near(picture[:, :96], colour))
        assert len(cols) > 150
        assert abs(rows.mean() - 47.5) < 2
        columns.append(cols.mean())
    # from the front (-z), what lies at -x is on the right
    assert columns[0] > 48 > columns[1]
    assert (picture[:5, :96] == 255).all()
    # the legend: a patch in each colour, in the order of the parts
    for k, colour in enumerate(part_colours(root.children)):
        assert tuple(picture[6 + 22 * k + 7, 96 + 18].tolist()) == colour


def test_colours_are_different_until_they_run_out() -> None:
    parts = [Part(str(k)) for k in range(MOST_COLOURS + 3)]
    colours = part_colours(parts)
    assert len(set(colours[:MOST_COLOURS])) == MOST_COLOURS
    assert colours[MOST_COLOURS:] == [REST] * 3
    assert part_colours([]) == []


def test_many_parts_and_long_names_fit() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (30, 3))
    leaves = [Part("a very long name of a part " * 2, points[k : k + 1]) for k in range(30)]
    picture = draw_parts(Part("many", children=leaves), 100)
    assert picture.shape == (100, 100 + LEGEND, 3)
    assert (picture[:, :100] < 250).any()


def test_parts_that_correspond_have_one_colour_in_both_pictures() -> None:
    first, second = (limb_tree(make_model("chair", seed)) for seed in (2, 12))
    second.children = [part for part in second.children if part.name != "back"]
    found = correspond(first, second)
    picture = draw_correspondence(first, second, found, 120)
    assert picture.shape == (120, 240 + LEGEND, 3)
    colours = part_colours([match.first for match in found.matches])
    seat = [match.first.name for match in found.matches].index("seat")
    for half in (picture[:, :120], picture[:, 120:240]):
        assert hue_near(half, colours[seat]).sum() > 30
    # the back has no partner: it is grey
    grey = (np.ptp(picture[:, :120].astype(int), axis=2) < 6) & (picture[:, :120, 0] < 240)
    assert grey.sum() > 100


def test_nothing_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="ghost: it has no faces and no points"):
        draw_parts(Part("ghost"))
