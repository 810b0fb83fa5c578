"""OCHuman's own file, ochuman.json, as COCO JSON: its 19 joints, masks and MaxIoU ranges.

Written from the facts of OCHumanApi (2019-06-14), whose output it equals: people with keypoints
and a mask; val is the first 2,500 pictures **in the file's order**, test the rest; of these the
people with low <= MaxIoU < high and the pictures that keep one, both numbered from 1; `area` is
the box's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kp2seg.data.annotations import is_integer, is_number
from kp2seg.data.masks import RLE, MaskError, check_rle, decode, encode, to_rle
from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.layouts import COCO_JOINTS

VAL_IMAGES = 2500
"""How many pictures, of those with keypoints and a mask, are val."""

VISIBILITY = {"missing": 0, "others_occluded": 1, "self_occluded": 2, "vis": 2}
"""OCHuman's word for how a joint is seen → COCO's code (hidden by others: 1)."""

_SKELETON = [
    *([16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9]),
    *([8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7]),
]
_CATEGORY = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(COCO_JOINTS),
    "skeleton": _SKELETON,
}


def people_with_both(data: Any, source: Path) -> list[dict[str, Any]]:
    """Pictures of ochuman.json with only their people that have keypoints and a mask.

    Returns: in the file's order; pictures without such a person are left out.
    Raises:  DataError: not the structure of ochuman.json.
    """
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise DataError(f"{source}: expected ochuman.json with a list of images")
    pictures = []
    for number, image in enumerate(data["images"]):
        rows = image.get("annotations") if isinstance(image, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{source}: picture {number}: expected an object with annotations")
        people = [row for row in rows if row.get("keypoints") and row.get("segms")]
        if people:
            pictures.append({**image, "annotations": people})
    return pictures


def ochuman_to_coco(
    data: Any, source: Path, split: str, iou_range: tuple[float, float], report: Report
) -> dict[str, Any]:
    """A split and MaxIoU range of ochuman.json as COCO JSON with 17 joints.

    Args:    data: the parsed file.  split: val, test, or all.
             iou_range: (low, high), low included.
             report: gets the people that are left out; their ids stay unused.
    Returns: COCO JSON; annotations also hold max_iou, images the file's image_id (source_id).
    Raises:  DataError: the file lacks joints, visibility codes or the split; strict reports.
    """
    pictures = people_with_both(data, source)
    joints = _joint_places(data, source)
    codes = _visibility_codes(data, source)
    chosen = {"val": pictures[:VAL_IMAGES], "test": pictures[VAL_IMAGES:], "all": pictures}[split]
    if not chosen:
        raise DataError(
            f"{source}: {len(pictures)} pictures have people with keypoints and mask; {split} "
            f"needs more than {VAL_IMAGES if split == 'test' else 0} of the official 4,731"
        )
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    annotation_id = 0
    for picture in chosen:
        picture_id, in_range = len(images) + 1, False
        for row in picture["annotations"]:
            name = f"picture {picture.get('image_id')} ({picture.get('file_name')})"
            if not is_number(row.get("max_iou")):
                raise DataError(f"{source}: {name}: a person without max_iou")
            if not iou_range[0] <= row["max_iou"] < iou_range[1]:
                continue
            annotation_id += 1
            in_range = True
            name = f"{name}, annotation {annotation_id}"
            fields = _annotation(row, picture, joints, codes, name, report)
            if fields is not None:
                annotations.append({"id": annotation_id, "image_id": picture_id, **fields})
        if in_range:
            images.append(
                {
                    "id": picture_id,
                    **{key: picture.get(key) for key in ("file_name", "height", "width")},
                    "source_id": picture.get("image_id"),
                }
            )
    return {"images": images, "annotations": annotations, "categories": [_CATEGORY]}


def _joint_places(data: dict[str, Any], source: Path) -> list[int]:
    """Where each of COCO's joints lies among the file's."""
    names = data.get("keypoint_names")
    missing = [joint for joint in COCO_JOINTS if joint not in (names or [])]
    if not isinstance(names, list) or missing:
        raise DataError(
            f"{source}: unknown joint names: keypoint_names is {names}; it lacks "
            f"{', '.join(missing)}"
        )
    return [names.index(joint) for joint in COCO_JOINTS]


def _visibility_codes(data: dict[str, Any], source: Path) -> dict[int, int]:
    """The file's code for how a joint is seen → COCO's."""
    words = data.get("keypoint_visible")
    if not isinstance(words, dict) or set(words) != set(VISIBILITY):
        raise DataError(
            f"{source}: keypoint_visible is {words}; expected a code for each of "
            f"{', '.join(VISIBILITY)}"
        )
    return {code: VISIBILITY[word] for word, code in words.items()}


def _annotation(
    row: dict[str, Any],
    picture: dict[str, Any],
    joints: list[int],
    codes: dict[int, int],
    name: str,
    report: Report,
) -> dict[str, Any] | None:
    """COCO's fields of a person, or None after it was reported."""
    numbers, box = row["keypoints"], row.get("bbox")
    if not isinstance(numbers, list) or len(numbers) % 3 or len(numbers) < 3 * (max(joints) + 1):
        report.add("keypoints of the wrong length", f"{name}: {len(numbers)} numbers")
        return None
    keypoints: list[Any] = []
    for i in joints:
        x, y, code = numbers[3 * i : 3 * i + 3]
        if code not in codes:
            legal = ", ".join(map(str, sorted(codes)))
            report.add("visibility that is none of the file's codes", f"{name}: {code} ({legal})")
            return None
        keypoints += [x, y, codes[code]]
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(n) for n in box):
        report.add("box that is not four finite numbers", f"{name}: {box}")
        return None
    x1, y1, x2, y2 = box
    try:
        rle = _mask(row["segms"], (picture.get("height"), picture.get("width")))
    except MaskError as error:
        report.add("annotation without a usable mask", f"{name}: {error}")
        return None
    return {
        "category_id": 1,
        "iscrowd": 0,
        "area": (x2 - x1) * (y2 - y1),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "keypoints": keypoints,
        "segmentation": rle,
        "max_iou": row["max_iou"],
    }


def _mask(segms: Any, size: tuple[Any, Any]) -> RLE:
    """Outer minus inner.

    Args:    segms: outer and inner (polygons or RLE), height and width.  size: (h, w) px.
    Raises:  MaskError: of another size than the picture, or no mask.
    """
    if not isinstance(segms, dict) or "outer" not in segms:
        raise MaskError("segms is no object with outer and inner")
    if (segms.get("height"), segms.get("width")) != size or not all(map(is_integer, size)):
        raise MaskError(
            f"segms of size {segms.get('height')} x {segms.get('width')} for a picture of "
            f"{size[0]} x {size[1]} (h x w)"
        )
    outer = to_rle(segms["outer"], size)
    if not segms.get("inner"):
        return check_rle(outer, size)
    inside = decode(outer)
    inside[decode(to_rle(segms["inner"], size)) > 0] = 0
    if not np.any(inside):
        raise MaskError("inner covers all of outer")
    return encode(inside)
