"""Objects of one class and their boxes: from a COCO JSON with or without keypoints, or from a
detector's results for its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2seg.data.annotations import is_number
from kp2seg.data.coco_json import (
    category_row,
    check_lists,
    checked_pictures,
    id_in,
    id_problem,
    pictures_without_files,
    read_json,
)
from kp2seg.data.image_files import picture_path
from kp2seg.data.mapper import read_picture
from kp2seg.data.masks import MaskError, decode, to_rle
from kp2seg.data.problems import DataError, Report

MIN_SIDE = 2.0
"""px of a box inside its picture; there is nothing to see in less."""


@dataclass(frozen=True)
class ObjectBoxes:
    """The objects of a class.

    Attributes:
        category: its row, with id and name.  images: rows of the pictures that have objects.
        objects: rows with id, image_id, category_id, bbox (xywh px), and whatever else they had.
        info: the file's other fields (licences and the like).
        report: what was left out, and why.
    """

    category: dict[str, Any]
    images: list[dict[str, Any]]
    objects: list[dict[str, Any]]
    info: dict[str, Any]
    report: Report

    def by_picture(self) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Each picture with its objects, in the file's order."""
        rows: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in self.images}
        for row in self.objects:
            rows[row["image_id"]].append(row)
        return [(image, rows[image["id"]]) for image in self.images]


def read_object_boxes(
    path: Path,
    image_root: Path,
    *,
    category: str | None = None,
    detections: Path | None = None,
    min_score: float = 0.5,
    need_masks: bool = False,
    strict: bool = False,
) -> ObjectBoxes:
    """The objects of a class in a COCO JSON.

    Args:    path: COCO JSON with images, annotations and categories.
             image_root: folder of its pictures.
             category: name of the class; not needed where the file has one.
             detections: COCO results, used in place of the annotations.
             min_score: of a detection; one below is passed over.
             need_masks: leave out objects without a usable segmentation.
             strict: raise at the first bad row or picture.
    Raises:  DataError: a file cannot be read, it has no such class, its pictures are missing, no
             object is left, or the detections are of other pictures.
    """
    coco = read_json(path)
    check_lists(coco, str(path))
    chosen = category_row(coco["categories"], category, str(path))
    report = Report(str(detections or path), strict)
    images = checked_pictures(coco["images"], image_root, report)
    if detections is None:
        rows = [row for row in coco["annotations"] if id_in(row, "category_id") == chosen["id"]]
    else:
        rows = _detections(detections, chosen["id"], min_score, images, report)
    report.read = len(rows)
    used = {id_in(row, "image_id") for row in rows}
    looked_at = [row for key, row in images.items() if key in used]
    remedy = "name their folder with --images"
    left_out = pictures_without_files(looked_at, image_root, report, remedy)
    objects = []
    seen: set[int] = set()
    for row in rows:
        image_id = id_in(row, "image_id")
        name = f"image {row.get('image_id')}, annotation {row.get('id')}"
        if row.get("iscrowd"):
            report.note("crowd", name)
        elif image_id in left_out:
            report.note("annotation of a picture that was left out", name)
        elif image_id is None or image_id not in images:
            report.add("annotation of an unknown image", name)
        elif problem := _box_problem(row.get("bbox"), images[image_id]):
            report.add(problem, f"{name}: {row.get('bbox')}")
        elif need_masks and (problem := _mask_problem(row, images[image_id])):
            report.add("annotation without a usable mask", f"{name}: {problem}")
        elif problem := id_problem(row, seen):
            report.add(problem, name)
        else:
            objects.append({**row, "image_id": image_id, "category_id": chosen["id"]})
    report.kept = len(objects)
    if not objects:
        why = "; ".join(report.reasons) or "there are none"
        raise DataError(f"{path}: no {chosen['name']!r} is left: {why}")
    used = {row["image_id"] for row in objects}
    return ObjectBoxes(
        category=chosen,
        images=[row for row in looked_at if row["id"] in used],
        objects=objects,
        info={key: coco[key] for key in ("info", "licenses") if key in coco},
        report=report,
    )


def read_object_picture(image: Mapping[str, Any], image_root: Path) -> np.ndarray:
    """The picture of a row of images, (h, w, 3) uint8 RGB.

    Raises:  DataError: it cannot be read, or is of another size than the row says.
    """
    path = picture_path(image_root, image["file_name"], "annotations")
    size = {name: image[name] for name in ("height", "width")}
    return read_picture({"file_name": str(path), **size})


def object_masks(image: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
    """(h, w) bool of each object of a picture. Raises: MaskError: one has no usable mask."""
    size = (image["height"], image["width"])
    return [decode(to_rle(row["segmentation"], size)).astype(bool) for row in rows]


def _detections(
    path: Path,
    category_id: int,
    min_score: float,
    images: Mapping[int, dict[str, Any]],
    report: Report,
) -> list[dict[str, Any]]:
    """Rows of COCO results of the class, numbered as annotations."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected COCO results, a list of detections with bbox and score")
    # Numbered by their place in the file, whatever class is looked at.
    numbered = [{**row, "id": i} for i, row in enumerate(rows, 1) if isinstance(row, dict)]
    of_class = [row for row in numbered if id_in(row, "category_id") == category_id]
    if not of_class:
        raise DataError(f"{path}: none of its {len(rows)} detections is of category {category_id}")
    known = [row for row in of_class if id_in(row, "image_id") in images]
    if not known:
        first = of_class[0].get("image_id")
        raise DataError(
            f"{path}: none of its detections is of a picture of the data set; its first is of "
            f"image {first}, the data set's first is {next(iter(images), None)}"
        )
    kept = []
    for row in of_class:
        score = row.get("score")
        name = f"image {row.get('image_id')}, detection {row['id']}"
        if not is_number(score):
            report.add("detection without a score", name)
        elif score < min_score:
            report.note(f"score under {min_score:g}", f"{name}: {score:.3g}")
        else:
            kept.append(row)
    return kept


def _mask_problem(row: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    try:
        to_rle(row.get("segmentation") or [], (image["height"], image["width"]))
    except MaskError as error:
        return str(error)
    return ""


def _box_problem(box: Any, image: Mapping[str, Any]) -> str | None:
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(is_number(n) for n in box):
        return "box that is not four finite numbers"
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return "zero-size box"
    inside_w = min(x + w, image["width"]) - max(x, 0)
    inside_h = min(y + h, image["height"]) - max(y, 0)
    if min(inside_w, inside_h) < MIN_SIDE:
        return "box outside its picture"
    return None
