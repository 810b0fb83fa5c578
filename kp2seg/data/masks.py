"""Segmentations of COCO JSON (polygons, RLE) checked against the picture they belong to.

A picture's size is (h, w) px. Masks are (h, w) uint8, 0 or 1.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

MIN_POLYGON_NUMBERS = 6
"""Three points. (pycocotools reads a list of four numbers as a box, without a word.)"""

RLE = dict[str, Any]
"""{"size": [h, w], "counts": str}, COCO's compressed run lengths."""


class MaskError(ValueError):
    """A segmentation that is none; the message says why, the caller adds which one."""


def split_polygons(polygons: list[Any]) -> tuple[list[list[float]], list[str]]:
    """The polygons that have an area, and what is wrong with each of the others.

    Args:    polygons: lists of x, y, x, y, ... in px.
    Returns: (good, complaints).
    """
    good: list[list[float]] = []
    complaints: list[str] = []
    for polygon in polygons:
        if not isinstance(polygon, list):
            complaints.append(f"a polygon is a {type(polygon).__name__}, not a list of numbers")
            continue
        try:
            numbers = np.asarray(polygon, dtype=np.float64)
        except (TypeError, ValueError):
            complaints.append("a polygon holds something that is no number")
            continue
        if numbers.ndim != 1 or len(polygon) % 2:
            complaints.append(f"a polygon of {len(polygon)} entries, not pairs of x and y")
        elif len(polygon) < MIN_POLYGON_NUMBERS:
            complaints.append(f"a polygon of {len(polygon) // 2} points; 3 are needed")
        elif not np.isfinite(numbers).all():
            complaints.append("a polygon with NaN or infinity")
        else:
            good.append(polygon)
    return good, complaints


def check_rle(rle: RLE, size: tuple[int, int]) -> RLE:
    """An RLE in compressed form with text counts, of the picture's size.

    Args:    rle: compressed (str or bytes) or not (a list of run lengths).  size: (h, w) px.
    Raises:  MaskError: another size, or run lengths that do not fill it.
    """
    got, counts = rle.get("size"), rle.get("counts")
    if not isinstance(got, list | tuple) or list(got) != list(size):
        raise MaskError(
            f"RLE of size {got} for a picture of {list(size)} (h, w); the mask is of another "
            "picture, or height and width were swapped"
        )
    if isinstance(counts, list):
        if not all(isinstance(n, int) and n >= 0 for n in counts) or sum(counts) != np.prod(size):
            raise MaskError(f"RLE run lengths do not add up to {size[0]} x {size[1]} pixels")
        rle = mask_api.frPyObjects(dict(rle), *size)
        counts = rle["counts"]
    elif not isinstance(counts, str | bytes):
        raise MaskError("RLE without counts")
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    if _total(text) != size[0] * size[1]:
        raise MaskError(f"RLE counts do not fill {size[0]} x {size[1]} pixels; they are cut short")
    return {"size": list(size), "counts": text}


def to_rle(segmentation: list[Any] | RLE, size: tuple[int, int]) -> RLE:
    """Checked polygons or RLE as one compressed RLE.

    Raises:  MaskError: as `check_rle`, or no polygon with an area.
    """
    if isinstance(segmentation, dict):
        return check_rle(segmentation, size)
    polygons, complaints = split_polygons(segmentation)
    if not polygons:
        raise MaskError(complaints[0] if complaints else "an empty segmentation")
    return as_text(mask_api.merge(mask_api.frPyObjects(polygons, *size)))


def decode(rle: RLE) -> np.ndarray:
    """(h, w) uint8, 0 or 1."""
    with warnings.catch_warnings():
        # pycocotools 2.0.11 hands out its arrays in a way that numpy 2 calls outdated.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return np.asarray(mask_api.decode(rle))


def encode(mask: np.ndarray) -> RLE:
    """Args: mask: (h, w) bool or integer, nonzero is inside. Returns: RLE with text counts."""
    return as_text(mask_api.encode(np.asfortranarray(np.asarray(mask) != 0, dtype=np.uint8)))


def as_text(rle: RLE) -> RLE:
    """The RLE with its counts as text, as JSON needs them."""
    counts = rle["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(n) for n in rle["size"]], "counts": text}


def _total(counts: str) -> int:
    """Sum of the run lengths of compressed counts, -1 where they are no such text.

    COCO's coding: each run is a varint of 5-bit groups, character = 48 + group (32 = "more
    follows"), sign-extended; from the third run on it is the difference to the run two before.
    pycocotools would read past the end of a cut text, so it is checked before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64:
            return -1
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            return -1
        runs.append(value)
        value = shift = 0
    return -1 if shift else sum(runs)
