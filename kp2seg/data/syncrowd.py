"""The synthetic crowd: made-up people that tools/make_crowd.py rendered.

Read from DETECTRON2_DATASETS/syncrowd/{train,val}: annotations.json and images/. A range of MaxIoU
keeps the people in it and the pictures that have one, as OCHuman's do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kp2seg.data.annotations import is_number
from kp2seg.data.coco_json import KeypointData, check_coco, read_json
from kp2seg.keypoint_sources.layouts import COCO_JOINTS

IOU_RANGES = {"": (0.0, 1.0), "_moderate": (0.5, 0.75), "_hard": (0.75, 1.0)}
"""Suffix of a data set's name → MaxIoU, low included, high not, unless it is 1."""


def belongs(annotation: Mapping[str, Any], iou_range: tuple[float, float]) -> bool:
    """Whether somebody's MaxIoU is in a range; a person without one is in the whole range."""
    low, high = iou_range
    value = annotation.get("max_iou")
    if not is_number(value):
        return iou_range == IOU_RANGES[""]
    return bool(low <= value < high or value == high == 1)


def read_syncrowd(
    root: Path,
    split: str,
    iou_range: tuple[float, float] = (0.0, 1.0),
    *,
    strict: bool = False,
    check_images: bool = True,
) -> KeypointData:
    """A split of the synthetic crowd.

    Args:    root: the folder with syncrowd/.  split: train or val.  iou_range: (low, high).
    Raises:  DataError: as check_coco.
    """
    path = annotation_file(root, split)
    remedy = f"make it: tools/make_crowd.py {path.parent}; or set DETECTRON2_DATASETS"
    return check_coco(
        read_json(path, remedy),
        path,
        image_root(root, split),
        keypoint_names=COCO_JOINTS,
        keep=lambda row: belongs(row, iou_range),
        check_images=check_images,
        strict=strict,
    )


def annotation_file(root: Path, split: str) -> Path:
    """As the tool writes it."""
    return Path(root, "syncrowd", split, "annotations.json")


def image_root(root: Path, split: str) -> Path:
    """The folder of pictures."""
    return Path(root, "syncrowd", split, "images")
