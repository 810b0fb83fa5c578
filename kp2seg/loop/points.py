"""The keypoints that masks are learnt from: discovered, true, or the corners of the box alone.

A point set is COCO keypoint JSON of the objects to learn from and of those to score, the same
objects in every set, and the templates of their poses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keypointnet.drawing import save_picture
from keypointnet.files import write_json
from kp2seg.data.object_boxes import read_object_boxes
from kp2seg.data.problems import DataError
from kp2seg.discovery import discover_dataset
from kp2seg.keypoint_sources.discovered import Finding, box_corners
from kp2seg.keypoint_sources.layouts import CORNERS
from kp2seg.template_drawing import draw_templates
from kp2seg.template_files import save_templates
from kp2seg.template_poses import read_poses
from kp2seg.templates import fit_templates


class ObjectData(NamedTuple):
    """A COCO JSON with masks, and the folder of its pictures.

    category: name of the class, where the file has several.
    """

    file: Path
    images: Path
    category: str | None = None


@dataclass(frozen=True)
class PointSet:
    """Keypoints to learn masks from.

    Attributes:
        name: "discovered", "true" or "none".
        train, test: data sets, FILE.json@FOLDER.
        templates: their JSON.
    """

    name: str
    train: str
    test: str
    templates: Path


def discovered_points(
    weights: Path,
    train: ObjectData,
    test: ObjectData,
    out: Path,
    finding: Finding,
    *,
    k: int = 3,
    device: Any = "cpu",
) -> PointSet:
    """What a KeypointNet finds in the boxes of both data sets; the names are those of the first.

    Args:    weights: its checkpoint.  out: folder.  k: how many templates.
    Raises:  as `discover_dataset` and `fit_templates`.
    """
    like = None
    for side, data in (("train", train), ("test", test)):
        file = out / f"discovered-{side}.json"
        discover_dataset(
            weights,
            data.file,
            data.images,
            file,
            finding,
            category=data.category,
            like=like,
            device=device,
        )
        like = out / "discovered-train.json"
    return _point_set("discovered", train, test, out, k)


def true_points(
    train: ObjectData, test: ObjectData, out: Path, finding: Finding, *, k: int = 3
) -> PointSet:
    """The annotations' own keypoints, and the corners of the boxes where `finding` has them.

    Raises: DataError: they have none.
    """
    for side, data in (("train", train), ("test", test)):
        _write(out / f"true-{side}.json", data, true=True, corners=finding.corners)
    return _point_set("true", train, test, out, k)


def no_points(train: ObjectData, test: ObjectData, out: Path) -> PointSet:
    """The corners of the boxes and nothing else, with one template: a square."""
    for side, data in (("train", train), ("test", test)):
        _write(out / f"none-{side}.json", data, true=False, corners=True)
    return _point_set("none", train, test, out, 1)


def _point_set(name: str, train: ObjectData, test: ObjectData, out: Path, k: int) -> PointSet:
    poses = read_poses(out / f"{name}-train.json")
    templates = fit_templates(
        poses.poses,
        poses.names,
        poses.connections,
        poses.flip_map,
        k=k,
        min_points=poses.min_points,
    )
    file = out / f"{name}-templates.json"
    save_templates(file, templates)
    save_picture(file.with_suffix(".png"), draw_templates(templates))
    return PointSet(name, *_names(name, train, test, out), file)


def _names(name: str, train: ObjectData, test: ObjectData, out: Path) -> tuple[str, str]:
    sides = (("train", train), ("test", test))
    first, second = (f"{out / f'{name}-{side}.json'}@{data.images}" for side, data in sides)
    return first, second


def _write(file: Path, data: ObjectData, *, true: bool, corners: bool) -> None:
    """Writes a data set's objects with their true points, their boxes' corners, or both."""
    boxes = read_object_boxes(data.file, data.images, category=data.category)
    category = dict(boxes.category)
    names = list(category.get("keypoints", [])) if true else []
    if true and not names:
        raise DataError(f"{data.file}: its {category['name']!r} has no keypoints")
    category |= {"keypoints": [*names, *(CORNERS if corners else ())]}
    category["skeleton"] = category.get("skeleton", []) if true else []
    rows = []
    for row in boxes.objects:
        numbers = list(row["keypoints"]) if true else []
        if corners:
            for x, y in box_corners(np.array([row["bbox"]]))[0].tolist():
                numbers += [x, y, 2]
        counted = sum(v > 0 for v in numbers[2::3])
        rows.append({**row, "keypoints": numbers, "num_keypoints": counted})
    write_json(
        file, {**boxes.info, "images": boxes.images, "annotations": rows, "categories": [category]}
    )
