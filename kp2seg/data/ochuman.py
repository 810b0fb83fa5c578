"""OCHuman: val and test, whole or in a MaxIoU range, from whichever official file is there.

Read from DETECTRON2_DATASETS/OCHuman or its folder annotations/, the first of
    ochuman_coco_format_{val,test}_range_{low}_{high}.json    official COCO form
    ochuman.json                                              official own form, any range
Files from before 2019-06-14 are refused: their val and test are others than the paper's. What the
API changed on that day is the order: before, pictures were sorted by id and then cut at 2,500;
since then they are taken in the file's order, which is shuffled and begins with 003799.jpg,
000817.jpg, 003896.jpg. So an old file is known by ascending names, by pictures on the wrong
side, or, if it is complete, by lacking those three in val.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from kp2seg.data.coco_json import KeypointData, check_coco, read_json
from kp2seg.data.ochuman_json import VAL_IMAGES, ochuman_to_coco, people_with_both
from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.layouts import COCO_JOINTS

IOU_RANGES = {"": (0.0, 1.0), "_moderate": (0.5, 0.75), "_hard": (0.75, 1.0)}
"""Suffix of a data set's name → MaxIoU, low included, high not."""

TEST_IMAGES = 2231
"""Pictures with keypoints and a mask that are test; val has 2,500."""

_FIRST_OF_VAL = ("003799.jpg", "000817.jpg", "003896.jpg")
_ENOUGH_TO_JUDGE = 10  # pictures that ascend by chance once in 3.6 million


def read_ochuman(
    root: Path,
    split: str,
    iou_range: tuple[float, float] = (0.0, 1.0),
    *,
    strict: bool = False,
    check_images: bool = True,
) -> KeypointData:
    """A split of OCHuman.

    Args:    root: the folder with OCHuman/.  split: val or test.  iou_range: (low, high).
    Raises:  DataError: no official file for this range, one from before 2019-06-14, or as
             `check_coco`.
    """
    path = find_annotation_file(root, split, iou_range)
    data = read_json(path)
    report = Report(str(path), strict)
    if path.name == "ochuman.json":
        pictures = people_with_both(data, path)
        _refuse_old_split(pictures, "all", path)
        data = ochuman_to_coco(data, path, split, iou_range, report)
    elif isinstance(data, dict) and isinstance(data.get("images"), list):
        _refuse_old_split(data["images"], split, path)
    people = check_coco(
        data,
        path,
        image_root(root),
        keypoint_names=COCO_JOINTS,
        check_images=check_images,
        strict=strict,
    )
    people.report.include(report)
    return people


def image_root(root: Path) -> Path:
    """The folder of pictures."""
    return Path(root, "OCHuman", "images")


def find_annotation_file(root: Path, split: str, iou_range: tuple[float, float]) -> Path:
    """The official file that gives this split and range.

    Raises:  DataError: there is none; where it was looked for is said.
    """
    low, high = iou_range
    official = f"ochuman_coco_format_{split}_range_{low:.2f}_{high:.2f}.json"
    folders = [Path(root, "OCHuman"), Path(root, "OCHuman", "annotations")]
    candidates = [folder / name for name in (official, "ochuman.json") for folder in folders]
    for path in candidates:
        if path.is_file():
            return path
    part = "" if iou_range == IOU_RANGES[""] else " (range_0.00_1.00 does not hold MaxIoU)"
    raise DataError(
        f"OCHuman {split}, MaxIoU {low} to {high}: found none of "
        f"{', '.join(map(str, candidates))}; request OCHuman from its authors, {official} or "
        f"ochuman.json is needed{part}"
    )


def _refuse_old_split(images: Sequence[Any], split: str, path: Path) -> None:
    """Args: images: rows with file_name, in the file's order.  split: val, test, or all.

    Raises:  DataError: the file is from before 2019-06-14.
    """
    names = [str(row.get("file_name")) for row in images if isinstance(row, dict)]
    ascending = all(a < b for a, b in pairwise(names)) and len(names) >= _ENOUGH_TO_JUDGE
    in_val = set(names[:VAL_IMAGES] if split == "all" else names)
    first = set(_FIRST_OF_VAL)
    reason = ""
    if ascending:
        reason = f"its {len(names)} pictures are sorted by name"
    elif split == "test" and first & set(names):
        reason = f"{min(first & set(names))} is in its test, and in val of the current files"
    elif (split, len(names)) in (("val", VAL_IMAGES), ("all", VAL_IMAGES + TEST_IMAGES)) and (
        first - in_val
    ):
        reason = f"{min(first - in_val)} is not among its {VAL_IMAGES} pictures of val"
    if reason:
        raise DataError(
            f"{path}: OCHuman's split from before 2019-06-14 (or a file that was sorted): "
            f"{reason}. Its val and test are not the paper's; download the annotation files again"
        )
