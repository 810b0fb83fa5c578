"""Boxes from files: of pictures that belong to no data set, and a detector's of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog

from keypointnet.listing import listed
from kp2seg.data.annotations import is_integer, is_number
from kp2seg.data.coco_json import category_row, check_lists, id_in, read_json
from kp2seg.data.object_boxes import ObjectBoxes
from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.boxes import Box, BoxTable, box_table
from kp2seg.keypoint_sources.matching import match_pictures


@dataclass(frozen=True, eq=False)
class _Row:
    picture: int | str
    name: str
    box: Box


def detected_boxes(objects: ObjectBoxes) -> BoxTable:
    """The boxes of a detector's results for a data set (`read_object_boxes`)."""
    by_image: dict[int, list[Box]] = {}
    for row in objects.objects:
        xywh = np.array(row["bbox"], np.float64)
        by_image.setdefault(row["image_id"], []).append(Box(xywh, float(row["score"])))
    return box_table(by_image, int(objects.category["id"]), objects.report)


def read_picture_boxes(
    path: Path,
    images: Sequence[Mapping[str, Any]],
    *,
    category: str | None = None,
    usual: str | None = None,
    min_score: float = 0.5,
) -> BoxTable:
    """The boxes of a class in given pictures, from COCO results or an annotation JSON.

    Args:    images: rows with id and file_name; several rows of one id are names of one picture.
             category: name of the class, or its id; not needed where the file has one. In results,
             which name no classes, it is one of COCO's.
             usual: name of the class that is taken of several where `category` is None.
             min_score: of a detection.
    Raises:  DataError: the file cannot be read, it has no such class or several and none is named,
             or none of the pictures, or one under several ids.
    """
    content = read_json(path, "expected boxes: COCO results or annotations")
    report = Report(str(path))
    if isinstance(content, list):
        category_id = _class_of_results(content, category, usual, str(path))
        rows = _rows(content, category_id, min_score, report)
        matched = match_pictures(rows, images, report, "boxes")
    else:
        check_lists(content, str(path))
        if category is None and usual is not None:
            known = {str(row.get("name")) for row in content["categories"] if isinstance(row, dict)}
            category = usual if len(known) > 1 and usual in known else None
        category_id = int(category_row(content["categories"], category, str(path))["id"])
        ids = _ids_of_pictures(content["images"], images, str(path))
        wanted = [row for row in content["annotations"] if id_in(row, "image_id") in ids]
        matched = {}
        for row in _rows(wanted, category_id, 0.0, report):
            matched.setdefault(ids[int(row.picture)], []).append(row)
    by_image = {image_id: [row.box for row in found] for image_id, found in matched.items()}
    report.kept = sum(map(len, by_image.values()))
    report.log()
    return box_table(by_image, category_id, report)


def coco_category_id(name: str) -> int:
    """COCO's id of a class. Raises: DataError: it has no such one (its classes are listed)."""
    known = MetadataCatalog.get("coco_2017_val")
    if name not in known.thing_classes:
        raise DataError(f"COCO has no class {name!r}; there are {', '.join(known.thing_classes)}")
    index = known.thing_classes.index(name)
    ids: Mapping[int, int] = known.thing_dataset_id_to_contiguous_id
    return next(key for key, value in ids.items() if value == index)


def _class_of_results(
    rows: Sequence[Any], category: str | None, usual: str | None, where: str
) -> int:
    ids = sorted({key for row in rows if (key := id_in(row, "category_id")) is not None})
    if not ids:
        raise DataError(f"{where}: no row has a category_id; expected COCO results with boxes")
    if category is None:
        if usual in MetadataCatalog.get("coco_2017_val").thing_classes:
            assert usual is not None
            if (same := coco_category_id(usual)) in ids:
                return same
        if len(ids) > 1:
            raise DataError(f"{where}: has boxes of several classes, {listed(ids, 8)}; name one")
        return ids[0]
    wanted = int(category) if category.isdecimal() else coco_category_id(category)
    if wanted not in ids:
        raise DataError(
            f"{where}: no box is of class {category} (category_id {wanted}); there are "
            f"{listed(ids, 8)}"
        )
    return wanted


def _ids_of_pictures(
    rows: Sequence[Any], images: Sequence[Mapping[str, Any]], where: str
) -> dict[int, int]:
    """Annotation file's image id → image id: by the file names without folders, else by the ids."""
    wanted = {PurePosixPath(str(image["file_name"])).name: image["id"] for image in images}
    names = {
        key: PurePosixPath(str(row.get("file_name"))).name
        for row in rows
        if (key := id_in(row, "id")) is not None
    }
    by_name = {key: wanted[name] for key, name in names.items() if name in wanted}
    for name, image_id in wanted.items():
        of_it = [key for key in by_name if by_name[key] == image_id and names[key] == name]
        if len(of_it) > 1:
            raise DataError(
                f"{where}: {name} could be any of its images {listed(of_it, 5)}, which are called "
                "so in different folders; give a file with one of them"
            )
    found = by_name or {key: key for key in wanted.values() if key in names}
    if not found:
        raise DataError(f"{where}: has none of the pictures {', '.join(wanted)}")
    return found


def _rows(rows: Sequence[Any], category_id: int, min_score: float, report: Report) -> list[_Row]:
    """The rows of the class that have a box."""
    found = []
    for number, row in enumerate(rows):
        if id_in(row, "category_id") != category_id:
            continue
        report.read += 1
        picture, score = row.get("image_id"), row.get("score", 1.0)
        name = f"row {number}, image {picture}"
        if not isinstance(picture, str) and not is_integer(picture):
            report.add("image id that is no integer and no file name", name)
        elif not is_number(score):
            report.add("score that is no finite number", f"{name}: {score}")
        elif problem := box_problem(row.get("bbox")):
            report.add(problem, f"{name}: {row.get('bbox')}")
        elif row.get("iscrowd"):
            report.note("crowd", name)
        elif score < min_score:
            report.note(f"score under {min_score:g}", f"{name}: {score:.3g}")
        else:
            box = Box(np.array(row["bbox"], np.float64), float(score))
            found.append(_Row(picture if isinstance(picture, str) else int(picture), name, box))
    return found


def box_problem(box: Any) -> str:
    """What is wrong with a box, "" for nothing."""
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(is_number(n) for n in box):
        return "box that is not four finite numbers"
    return "zero-size box" if min(box[2:]) <= 0 else ""
