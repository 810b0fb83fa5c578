"""Poses to make templates of, read from any COCO keypoint JSON. P people, K keypoints."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2seg.template_files import TemplateError

MISSING_XY = 0.5
"""Where a missing point is put for the clustering: the middle of the unit square."""


@dataclass(frozen=True, eq=False)
class PoseSet:
    """Annotated poses of one category.

    Attributes:
        names: of the K keypoints.
        connections: (first, second) keypoints of each limb, from 0; empty without a skeleton.
        flip_map: left name → right name, found by the names.
        poses: (P, K, 3) float64 of (x, y, v): x, y in the unit square; (0.5, 0.5, 0) where missing.
        annotation_ids: the P annotations' ids, as in the file.
        min_points: visible points of each pose, at least.
        left_out: why annotations of the category were left out → how many.
    """

    names: tuple[str, ...]
    connections: tuple[tuple[int, int], ...]
    flip_map: dict[str, str]
    poses: np.ndarray
    annotation_ids: tuple[Any, ...]
    min_points: int
    left_out: dict[str, int]


def read_poses(
    path: Path | str, *, category: str | None = None, min_points: int | None = None
) -> PoseSet:
    """The poses of a COCO keypoint JSON, each normalised by its box.

    Crowds and annotations without keypoints, with fewer visible points than `min_points` or with a
    box without area are left out and counted. Keypoints are COCO's raw numbers and count as the
    middle of their pixel (+0.5); without a bbox the visible points' own extent is the box.

    Args:    category: its name; not needed where one category has keypoints.
             min_points: 8 as published, for few keypoints half of them, but at least 3, if None.
    Raises:  TemplateError: no JSON, no such category, keypoints of the wrong length, NaN in a
             visible point or in a box, an unknown visibility (the annotation is named), or no pose
             left.  OSError: the file cannot be read.
    Source:  the reference's cluster_pose.py. It takes boxes one pixel smaller, with points at their
             pixel's corner, and cuts boxes off at the picture's border.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise TemplateError(f"{path}: not a JSON file, or cut short ({error})") from None
    try:
        return _read(data, category, min_points)
    except TemplateError as error:
        raise TemplateError(f"{path}: {error}") from None


def unit_square_poses(
    kpts: np.ndarray, visibility: np.ndarray, boxes_xywh: np.ndarray
) -> np.ndarray:
    """Poses with their boxes fitted into the unit square, centred, shape kept.

    Args:    kpts: (P, K, 2) px, continuous; missing points may be NaN.  visibility: (P, K).
             boxes_xywh: (P, 4) px, with area.
    Returns: (P, K, 3) float64 of (x, y, v); missing points are (0.5, 0.5, 0).
    """
    boxes = np.asarray(boxes_xywh, dtype=np.float64)[:, None]
    longest = boxes[..., 2:].max(axis=-1, keepdims=True)
    xy = (kpts - boxes[..., :2] - boxes[..., 2:] / 2) / longest + 0.5
    xy = np.where(visibility[..., None] > 0, xy, MISSING_XY)
    return np.concatenate([xy, visibility[..., None]], axis=-1)


def flip_map_from_names(names: Sequence[str]) -> dict[str, str]:
    """Left names → right names, where "left" (or a lone "l") exchanged for "right" ("r") gives
    another of the names: left_eye → right_eye, front-wheel-L → front-wheel-R.
    """
    pairs = {}
    for name in names:
        for left, right in (("left", "right"), ("Left", "Right"), ("l", "r"), ("L", "R")):
            pattern = left if len(left) > 1 else rf"(?<![^\W_]){left}(?![^\W_])"
            other = re.sub(pattern, right, name)
            if other != name and other in names:
                pairs[name] = other
                break
    return pairs


def _read(data: Any, category: str | None, min_points: int | None) -> PoseSet:
    if not isinstance(data, dict) or not all(
        isinstance(data.get(field), list) for field in ("annotations", "categories")
    ):
        raise TemplateError("expected a COCO keypoint JSON with 'annotations' and 'categories'")
    chosen = _category(data["categories"], category)
    names = chosen["keypoints"]
    K = len(names)
    if min_points is None:
        min_points = min(8, max(3, math.ceil(K / 2)))
    if not 1 <= min_points <= K:
        raise TemplateError(f"min_points: expected 1 to {K} (the keypoints), got {min_points}")
    left_out: Counter[str] = Counter()
    rows, boxes, ids = [], [], []
    for number, annotation in enumerate(data["annotations"]):
        if not isinstance(annotation, dict):
            raise TemplateError(f"annotation number {number}: expected an object")
        if annotation.get("category_id") != chosen.get("id"):
            continue
        if annotation.get("iscrowd"):
            left_out["crowd"] += 1
        elif not annotation.get("keypoints"):
            left_out["no keypoints"] += 1
        else:
            label = f"annotation {annotation.get('id', f'number {number}')}"
            row = _keypoints(annotation["keypoints"], K, label)
            visible = row[:, 2] > 0
            if visible.sum() < min_points:
                left_out[f"fewer than {min_points} visible keypoints"] += 1
                continue
            box = _box(annotation.get("bbox"), row[visible, :2] + 0.5, label)
            if box[2] <= 0 or box[3] <= 0:
                left_out["box without area"] += 1
                continue
            rows.append(row)
            boxes.append(box)
            ids.append(annotation.get("id", number))
    if not rows:
        reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.items()) or "no annotations"
        raise TemplateError(
            f"no pose of '{chosen['name']}' with at least {min_points} visible keypoints "
            f"({reasons}); lower min_points or take another file"
        )
    keypoints = np.stack(rows)
    poses = unit_square_poses(
        keypoints[..., :2] + 0.5, keypoints[..., 2].astype(np.int64), np.stack(boxes)
    )
    return PoseSet(
        names=tuple(names),
        connections=tuple((i - 1, j - 1) for i, j in chosen.get("skeleton") or ()),
        flip_map=flip_map_from_names(names),
        poses=poses,
        annotation_ids=tuple(ids),
        min_points=min_points,
        left_out=dict(left_out),
    )


def _category(categories: list[Any], name: str | None) -> dict[str, Any]:
    """The category of that name, or the only one with keypoints."""
    found = [c for c in categories if isinstance(c, dict) and c.get("keypoints")]
    listed = ", ".join(str(c.get("name")) for c in found) or "none"
    if name is not None:
        found = [c for c in found if c.get("name") == name]
    if len(found) != 1:
        wanted = "one category" if name is None else f"category '{name}'"
        raise TemplateError(f"expected {wanted} with keypoints; with keypoints are: {listed}")
    chosen = found[0]
    names = chosen["keypoints"]
    if (
        not isinstance(names, list)
        or not all(isinstance(each, str) for each in names)
        or len(set(names)) != len(names)
    ):
        raise TemplateError(f"category '{chosen.get('name')}': keypoints: expected different names")
    for pair in chosen.get("skeleton") or ():
        if not (
            isinstance(pair, list)
            and len(pair) == 2
            and all(isinstance(i, int) and 1 <= i <= len(names) for i in pair)
        ):
            raise TemplateError(
                f"category '{chosen.get('name')}': skeleton: expected pairs of keypoints counted "
                f"from 1 to {len(names)}, got {pair}"
            )
    return chosen


def _keypoints(values: Any, K: int, label: str) -> np.ndarray:
    """(K, 3) float64 of (x, y, v)."""
    try:
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise TemplateError(f"{label}: keypoints: expected a list of numbers") from None
    if len(flat) != 3 * K:
        raise TemplateError(
            f"{label}: keypoints: expected {3 * K} numbers (x, y, v of {K} names), got {len(flat)}"
        )
    row = flat.reshape(K, 3)
    unknown = ~np.isin(row[:, 2], (0, 1, 2))
    if unknown.any():
        i = int(unknown.argmax())
        raise TemplateError(
            f"{label}: keypoint {i}: expected a visibility of 0, 1 or 2, got {row[i, 2]}"
        )
    broken = (row[:, 2] > 0) & ~np.isfinite(row[:, :2]).all(axis=1)
    if broken.any():
        i = int(broken.argmax())
        raise TemplateError(f"{label}: keypoint {i}: visible, but at {row[i, :2].tolist()}")
    return row


def _box(bbox: Any, visible_px: np.ndarray, label: str) -> np.ndarray:
    """(4,) x, y, w, h: the annotation's, or the visible points' extent."""
    if bbox is None:
        low = visible_px.min(axis=0)
        return np.concatenate([low, visible_px.max(axis=0) - low])
    try:
        box = np.asarray(bbox, dtype=np.float64)
    except (TypeError, ValueError):
        box = np.empty(0)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise TemplateError(f"{label}: bbox: expected 4 finite numbers x, y, w, h, got {bbox!r}")
    return box
