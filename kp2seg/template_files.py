"""Pose templates and their file: templates.json, with the fields of the published one.

T templates, K keypoints. The unit square has (0, 0) at its upper left corner; a pose lies in it
with its shape kept. On disk connections count keypoints from 1, in memory from 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from keypointnet.files import write_whole

Copies = Literal["labels", "mirror", "none"]
"""What is matched beside the templates themselves, see `matching_templates`."""

FIELDS = ("connections", "names", "vis_threshold", "flip_map", "minpoints", "templates")


class TemplateError(ValueError):
    """Templates, or poses to make them of, that cannot be used; the message says which and why."""


@dataclass(frozen=True, eq=False)
class PoseTemplates:
    """Mean poses of a kind of object.

    Attributes:
        names: of the K keypoints.
        connections: (first, second) keypoints of each limb, from 0.
        flip_map: left name → right name; empty where the object has no sides.
        vis_threshold: a template lacks the points whose v is below this.
        min_points: visible points of the poses that were averaged, at least.
        templates: (T, K, 3) float64 of (x, y, v), x and y in the unit square; v is the mean
            visibility (0 to 2) of the poses averaged.

    Raises:
        TemplateError: fields that do not belong together.
    """

    names: tuple[str, ...]
    connections: tuple[tuple[int, int], ...]
    flip_map: dict[str, str]
    vis_threshold: float
    min_points: int
    templates: np.ndarray

    def __post_init__(self) -> None:
        K = len(self.names)
        if K == 0 or len(set(self.names)) != K:
            raise TemplateError(f"names: expected different names of keypoints, got {self.names}")
        wrong = [pair for pair in self.connections if not all(0 <= i < K for i in pair)]
        if wrong:
            raise TemplateError(
                f"connections: expected keypoints 0 to {K - 1} ({K} names), got {wrong}"
            )
        unknown = sorted({*self.flip_map, *self.flip_map.values()} - set(self.names))
        if unknown:
            raise TemplateError(
                f"flip_map: {', '.join(unknown)}: not among the names {', '.join(self.names)}"
            )
        if self.templates.ndim != 3 or self.templates.shape[1:] != (K, 3):
            raise TemplateError(
                f"templates: expected (T, {K}, 3) for {K} names, got {self.templates.shape}"
            )
        broken = np.flatnonzero(~np.isfinite(self.templates).all(axis=(1, 2)))
        if len(broken):
            raise TemplateError(f"templates: template {broken[0]} has NaN or infinite numbers")


def load_templates(path: Path | str) -> PoseTemplates:
    """Templates from a templates.json: ours, or the published one.

    Raises:  TemplateError: no JSON, fields missing or of the wrong kind; the file and the field are
             named.  OSError: the file cannot be read.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise TemplateError(f"{path}: not a JSON file ({error})") from None
    try:
        return templates_from_json(data)
    except TemplateError as error:
        raise TemplateError(f"{path}: {error}") from None


def save_templates(path: Path | str, templates: PoseTemplates) -> None:
    """Write templates.json in the published layout, whole or not at all."""
    text = json.dumps(templates_to_json(templates), ensure_ascii=False) + "\n"
    write_whole(Path(path), text.encode())


def templates_to_json(templates: PoseTemplates) -> dict[str, Any]:
    """What a templates.json holds, in the published layout.

    connections as [first, second] counted from 1, each template as a flat list of 3 K numbers
    x, y, v.
    """
    T = len(templates.templates)
    return {
        "connections": [[i + 1, j + 1] for i, j in templates.connections],
        "names": list(templates.names),
        "vis_threshold": templates.vis_threshold,
        "flip_map": dict(templates.flip_map),
        "minpoints": templates.min_points,
        "templates": templates.templates.reshape(T, -1).tolist(),
    }


def matching_templates(
    templates: PoseTemplates,
    double: Copies = "labels",
    factor: float = 1.0,
) -> Tensor:
    """Templates as `best_templates` takes them: weak points dropped, doubled, as a tensor.

    Args:    double: what is added behind the T templates. "labels" as published: the same poses
             with left and right names exchanged, seen from the other side; it fits templates that
             are symmetric. "mirror": their mirror images (`mirrored`). "none": nothing.
             factor: size of the pose around the middle of the unit square; below 1 leaves a margin.
    Returns: (T or 2 T, K, 3) float64; v = 0, and x = y = 0, where a template lacks the point.
    Raises:  TemplateError: an unknown `double`.
    Source:  the reference's PoseAlign.
    """
    poses = templates.templates.copy()
    poses[..., :2] = (poses[..., :2] - 0.5) * factor + 0.5
    poses[poses[..., 2] < templates.vis_threshold] = 0
    if double == "labels":
        added = labels_swapped(poses, templates.names, templates.flip_map)
    elif double == "mirror":
        added = mirrored(poses, templates.names, templates.flip_map)
    elif double == "none":
        added = poses[:0]
    else:
        raise TemplateError(
            f"matching_templates: expected double 'labels', 'mirror' or 'none', got {double!r}"
        )
    return torch.from_numpy(np.concatenate([poses, added]))


def mirrored(poses: np.ndarray, names: Sequence[str], flip_map: Mapping[str, str]) -> np.ndarray:
    """True mirror images: x → 1 − x, and left and right names exchanged. Without pairs in the
    flip_map the mirroring is geometric only.

    Args:    poses: (..., K, 3) in the unit square; points of v = 0 stay where they are.
    Returns: (..., K, 3).
    """
    out = labels_swapped(poses, names, flip_map)
    out[..., 0] = np.where(out[..., 2] > 0, 1 - out[..., 0], out[..., 0])
    return out


def labels_swapped(
    poses: np.ndarray, names: Sequence[str], flip_map: Mapping[str, str]
) -> np.ndarray:
    """Left and right names exchanged, every point where it was. Args: (..., K, 3)."""
    return poses[..., labels_swapped_order(names, flip_map), :].copy()


def labels_swapped_order(names: Sequence[str], flip_map: Mapping[str, str]) -> list[int]:
    """For each name the row of the one that it is exchanged with; its own where there is none."""
    order = list(range(len(names)))
    for left, right in flip_map.items():
        i, j = names.index(left), names.index(right)
        order[i], order[j] = j, i
    return order


def templates_from_json(data: Any) -> PoseTemplates:
    """The templates of what a templates.json holds.

    Raises:  TemplateError: fields missing or of the wrong kind; the field is named.
    """
    if not isinstance(data, dict):
        raise TemplateError(f"expected a JSON object, got a {type(data).__name__}")
    missing = [field for field in FIELDS if field not in data]
    if missing:
        raise TemplateError(
            f"fields missing: {', '.join(missing)}; a templates.json has {', '.join(FIELDS)}"
        )
    names, flip_map, pairs = data["names"], data["flip_map"], data["connections"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TemplateError(f"names: expected a list of strings, got {names!r}")
    if not isinstance(flip_map, dict) or not all(isinstance(v, str) for v in flip_map.values()):
        raise TemplateError(f"flip_map: expected an object of name: name, got {flip_map!r}")
    K = len(names)
    if not isinstance(pairs, list) or not all(_is_pair(pair, K) for pair in pairs):
        raise TemplateError(
            f"connections: expected a list of [first, second], counted from 1 to {K}, got {pairs!r}"
        )
    vis_threshold, min_points = data["vis_threshold"], data["minpoints"]
    if not _is_number(vis_threshold):
        raise TemplateError(f"vis_threshold: expected a number, got {vis_threshold!r}")
    if not _is_number(min_points) or min_points != int(min_points) or min_points < 0:
        raise TemplateError(f"minpoints: expected a whole number, got {min_points!r}")
    rows = data["templates"]
    if not isinstance(rows, list) or not rows:
        raise TemplateError("templates: expected a list of at least one template")
    templates = np.empty((len(rows), K, 3))
    for number, row in enumerate(rows):
        try:
            flat = np.asarray(row, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise TemplateError(f"templates: template {number} is no list of numbers") from None
        if len(flat) != 3 * K:
            raise TemplateError(
                f"templates: template {number}: expected {3 * K} numbers (x, y, v of {K} names), "
                f"got {len(flat)}"
            )
        templates[number] = flat.reshape(K, 3)
    return PoseTemplates(
        names=tuple(names),
        connections=tuple((i - 1, j - 1) for i, j in pairs),
        flip_map=dict(flip_map),
        vis_threshold=vis_threshold,
        min_points=int(min_points),
        templates=templates,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_pair(pair: Any, K: int) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(i, int) and not isinstance(i, bool) and 1 <= i <= K for i in pair)
    )
