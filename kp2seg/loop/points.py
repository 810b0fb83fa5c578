"""The keypoints that masks are learnt from: discovered, true, or the corners of the box alone.

A point set is COCO keypoint JSON of the objects to learn from, one for each data set, and of those
to score, the same objects in every set, and the templates of their poses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keypointnet.drawing import save_picture
from keypointnet.files import write_json
from kp2seg.data.coco_json import id_in, read_json
from kp2seg.data.object_boxes import read_object_boxes
from kp2seg.data.problems import DataError
from kp2seg.discovery import discover_dataset, drawn_crops
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
        name: "discovered", "true", "none", or "mask_rcnn", which has plain boxes.
        train, test: data sets, FILE.json@FOLDER.
        templates: their JSON; None for a model that takes no keypoints.
        sheet: picture of objects to score with their points, where they were discovered.
    """

    name: str
    train: tuple[str, ...]
    test: str
    templates: Path | None
    sheet: Path | None = None


def discovered_points(
    weights: Path,
    train: Sequence[ObjectData],
    test: ObjectData,
    out: Path,
    finding: Finding,
    *,
    k: int = 3,
    device: Any = "cpu",
) -> PointSet:
    """What a KeypointNet finds in the boxes of all data sets; the names are those of the first.

    Args:    weights: its checkpoint.  out: folder.  k: how many templates.
    Raises:  as `discover_dataset` and `fit_templates`.
    """
    like = None
    for file, data in _files("discovered", train, test, out):
        found = discover_dataset(
            weights,
            data.file,
            data.images,
            file,
            finding,
            category=data.category,
            like=like,
            device=device,
        )
        like = like or file
    sheet = out / "discovered-test.png"
    boxes, answers, size = found.boxes, found.answers, found.size
    save_picture(sheet, drawn_crops(boxes, answers, size, test.images, finding, tiles=24))
    return replace(_point_set("discovered", train, test, out, k), sheet=sheet)


def true_points(
    train: Sequence[ObjectData], test: ObjectData, out: Path, finding: Finding, *, k: int = 3
) -> PointSet:
    """The annotations' own keypoints, and the corners of the boxes where `finding` has them.

    Raises: DataError: they have none.
    """
    files = _files("true", train, test, out)
    for file, data in files:
        _write(file, data, true=True, corners=finding.corners)
    names = [read_json(file)["categories"][0]["keypoints"] for file, _ in files]
    for (_, data), theirs in zip(files, names, strict=True):
        if theirs != names[0]:
            raise DataError(
                f"{data.file}: its keypoints are {', '.join(theirs)}; those of {files[0][1].file} "
                f"are {', '.join(names[0])}"
            )
    return _point_set("true", train, test, out, k)


def no_points(train: Sequence[ObjectData], test: ObjectData, out: Path) -> PointSet:
    """The corners of the boxes and nothing else, with one template: a square."""
    for file, data in _files("none", train, test, out):
        _write(file, data, true=False, corners=True)
    return _point_set("none", train, test, out, 1)


def plain_boxes(train: Sequence[ObjectData], test: ObjectData, out: Path) -> PointSet:
    """The same objects without keypoints, for a detector that finds its own.

    The pictures are those of the other sets, so pictures without an object are not among them.
    Crowds stay in, to be ignored.
    """
    for file, data in _files("mask_rcnn", train, test, out):
        _write(file, data, true=False, corners=False, crowds=True)
    names = tuple(f"{file}@{data.images}" for file, data in _files("mask_rcnn", train, test, out))
    return PointSet("mask_rcnn", names[:-1], names[-1], None)


def _files(
    name: str, train: Sequence[ObjectData], test: ObjectData, out: Path
) -> list[tuple[Path, ObjectData]]:
    """The file of each data set, that to score last."""
    first, *more = train
    sides = {"train": first, **{f"train-{n}": data for n, data in enumerate(more, 2)}}
    return [(out / f"{name}-{side}.json", data) for side, data in {**sides, "test": test}.items()]


def _point_set(
    name: str, train: Sequence[ObjectData], test: ObjectData, out: Path, k: int
) -> PointSet:
    files = _files(name, train, test, out)
    sets = [read_poses(file) for file, _ in files[:-1]]
    templates = fit_templates(
        np.concatenate([poses.poses for poses in sets]),
        sets[0].names,
        sets[0].connections,
        sets[0].flip_map,
        k=k,
        min_points=sets[0].min_points,
    )
    file = out / f"{name}-templates.json"
    save_templates(file, templates)
    save_picture(file.with_suffix(".png"), draw_templates(templates))
    names = tuple(f"{path}@{data.images}" for path, data in files)
    return PointSet(name, names[:-1], names[-1], file)


def _write(
    file: Path, data: ObjectData, *, true: bool, corners: bool, crowds: bool = False
) -> None:
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
        numbers = list(row.get("keypoints") or ()) if true else []
        if true and len(numbers) != 3 * len(names):
            raise DataError(
                f"{data.file}: annotation {row['id']}: expected keypoints, {3 * len(names)} "
                f"numbers, got {len(numbers)}"
            )
        if corners:
            for x, y in box_corners(np.array([row["bbox"]]))[0].tolist():
                numbers += [x, y, 2]
        counted = sum(v > 0 for v in numbers[2::3])
        rows.append({**row, "keypoints": numbers, "num_keypoints": counted})
    if crowds:
        pictures = {image["id"] for image in boxes.images}
        rows += [
            {**row, "keypoints": [], "num_keypoints": 0}
            for row in read_json(data.file)["annotations"]
            if id_in(row, "category_id") == category["id"]
            and id_in(row, "image_id") in pictures
            and row.get("iscrowd")
        ]
    write_json(
        file, {**boxes.info, "images": boxes.images, "annotations": rows, "categories": [category]}
    )
