"""One annotation of a COCO keypoint JSON: its keypoints, box and mask checked and put in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from kp2seg.data.masks import MaskError, check_rle, decode, split_polygons, to_rle
from kp2seg.data.problems import Report


def check_annotation(
    row: dict[str, Any],
    size: tuple[int, int],
    n_keypoints: int,
    order: Sequence[int],
    name: str,
    report: Report,
) -> dict[str, Any] | None:
    """An annotation whose numbers can be used, or None after it was reported.

    Args:    size: (h, w) px of its picture.  n_keypoints: joints of the file.
             order: which of them are wanted, in the wanted order.  name: of the row, for messages.
    """
    keypoints, problem = _keypoints(row.get("keypoints"), n_keypoints)
    if keypoints is None:
        report.add(problem, f"{name}: {_described(row.get('keypoints'), n_keypoints)}")
        return None
    if problem:
        report.add(problem, name)
    box = row.get("bbox")
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(is_number(n) for n in box):
        report.add("box that is not four finite numbers", f"{name}: {box}")
        return None
    if box[2] <= 0 or box[3] <= 0:
        report.add("zero-size box", f"{name}: {box}")
        return None
    segmentation = row.get("segmentation")
    try:
        if isinstance(segmentation, dict):
            segmentation = check_rle(segmentation, size)
        elif isinstance(segmentation, list):
            segmentation, complaints = split_polygons(segmentation)
            for complaint in complaints:
                report.add("polygon that is none", f"{name}: {complaint}")
        if not segmentation:
            raise MaskError("an empty segmentation")
        area = row.get("area")
        if not is_number(area) or area < 0:
            area = float(np.count_nonzero(decode(to_rle(segmentation, size))))
    except MaskError as error:
        report.add("annotation without a usable mask", f"{name}: {error}")
        return None
    keypoints = [n for i in order for n in keypoints[3 * i : 3 * i + 3]]
    return {
        **row,
        "id": int(row["id"]),
        "image_id": int(row["image_id"]),
        "keypoints": keypoints,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "bbox": list(box),
        "segmentation": segmentation,
        "area": area,
        "iscrowd": int(bool(row.get("iscrowd", 0))),
    }


def _keypoints(values: Any, n_keypoints: int) -> tuple[list[Any] | None, str]:
    """The numbers (NaN of missing points made 0) and the kind of problem, '' without one."""
    if not isinstance(values, list) or len(values) != 3 * n_keypoints:
        return None, "keypoints of the wrong length"
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in values):
        return None, "keypoints that are no numbers"
    if any(v not in (0, 1, 2) for v in values[2::3]):
        return None, "visibility that is not 0, 1 or 2"
    repaired, found = list(values), ""
    for i in range(0, len(values), 3):
        if math.isfinite(values[i]) and math.isfinite(values[i + 1]):
            continue
        if values[i + 2] != 0:
            return None, "keypoints with NaN or infinity"
        repaired[i] = repaired[i + 1] = 0
        found = "NaN at a missing keypoint, made 0"
    return repaired, found


def _described(values: Any, n_keypoints: int) -> str:
    if not isinstance(values, list):
        return f"a {type(values).__name__} instead of {3 * n_keypoints} numbers"
    if len(values) != 3 * n_keypoints:
        return f"{len(values)} numbers, expected 3 x {n_keypoints} (x, y, visibility)"
    return str(values)[:80]


def is_number(value: Any) -> TypeGuard[int | float]:
    """A finite number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> TypeGuard[int | float]:
    """An integer, also one written as 908400416500.0 (true and false are none)."""
    return is_number(value) and int(value) == value
