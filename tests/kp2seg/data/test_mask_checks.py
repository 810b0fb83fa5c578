"""Polygons and RLE: what is taken for a mask."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kp2seg.data.masks import MaskError, check_rle, decode, encode, split_polygons, to_rle

SIZE = (4, 6)


def test_encode_counts_down_the_columns() -> None:
    mask = np.zeros(SIZE, bool)
    mask[1:3, 2:4] = True
    # Runs 9 2 2 2 9; from the fourth on less the one two before: 9 2 2 0 7; characters 48 + n.
    assert encode(mask) == {"size": [4, 6], "counts": "92207"}
    assert (decode(encode(mask)) == mask).all()
    assert check_rle({"size": [4, 6], "counts": [9, 2, 2, 2, 9]}, SIZE) == encode(mask)


@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_any_mask_comes_back(density: float) -> None:
    rng = np.random.default_rng(3)
    for size in ((1, 1), (7, 3), (40, 61), (300, 2)):
        mask = rng.random(size) < density
        rle = encode(mask)
        assert check_rle(rle, size) == rle
        assert (decode(rle) == mask).all()
        as_bytes = {"size": rle["size"], "counts": rle["counts"].encode()}
        assert check_rle(as_bytes, size) == rle


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [6, 4], "counts": "0"}, r"RLE of size \[6, 4\] for a picture of \[4, 6\]"),
        ({"counts": "0"}, "RLE of size None"),
        ({"size": [4, 6], "counts": [3, 4]}, "do not add up to 4 x 6"),
        ({"size": [4, 6], "counts": [30, -6]}, "do not add up to 4 x 6"),
        ({"size": [4, 6]}, "RLE without counts"),
        ({"size": [4, 6], "counts": "922"}, "do not fill 4 x 6 pixels; they are cut short"),
        ({"size": [4, 6], "counts": "h"}, "do not fill 4 x 6 pixels"),
        ({"size": [4, 6], "counts": "9 \n"}, "do not fill 4 x 6 pixels"),
    ],
)
def test_broken_rle(rle: dict[str, object], message: str) -> None:
    with pytest.raises(MaskError, match=message):
        check_rle(rle, SIZE)


def test_any_cut_of_the_counts_is_noticed() -> None:
    rle = encode(np.random.default_rng(5).random((50, 70)) < 0.3)
    for end in range(0, len(rle["counts"]), 37):
        with pytest.raises(MaskError, match=r"cut short"):
            check_rle({**rle, "counts": rle["counts"][:end]}, (50, 70))


def test_polygons_without_an_area_are_told_from_the_others() -> None:
    square = [0.0, 0, 4, 0, 4, 3, 0, 3]
    bad = [[1, 1, 2, 2], [1, 1, 2, 2, 3], [1, 1, math.nan, 2, 3, 3], "x", [1, 1, "a", 2, 3, 3]]
    triangle = [1, 1, 3, 1, 3, 3]
    good, complaints = split_polygons([square, *bad, triangle])
    assert good == [square, triangle]
    assert len(complaints) == len(bad)
    assert complaints[0] == "a polygon of 2 points; 3 are needed"


def test_polygons_become_one_mask() -> None:
    rle = to_rle([[0, 0, 2, 0, 2, 3, 0, 3], [4, 1, 6, 1, 6, 4, 4, 4]], SIZE)
    expected = np.zeros(SIZE, np.uint8)
    expected[:3, :2] = expected[1:, 4:] = 1
    assert (decode(rle) == expected).all()
    with pytest.raises(MaskError, match=r"a polygon of 2 points"):
        to_rle([[1, 1, 2, 2]], SIZE)
    with pytest.raises(MaskError, match=r"an empty segmentation"):
        to_rle([], SIZE)
