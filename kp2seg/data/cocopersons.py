"""COCOPersons: COCO 2017's people with keypoints, the published choice.

From person_keypoints_{train,val}2017.json: people with a labelled keypoint, no crowds, area over
32² px; the pictures that have one. No other file is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kp2seg.data.annotations import is_number
from kp2seg.data.coco_json import KeypointData, check_coco, read_json
from kp2seg.keypoint_sources.layouts import COCO_JOINTS

MIN_AREA = 32**2
"""px², exclusive: COCO's border between small and medium."""


def belongs(annotation: Mapping[str, Any]) -> bool:
    """The rule, for one annotation of person_keypoints_*2017.json."""
    area = annotation.get("area")
    return bool(
        annotation.get("num_keypoints", 1)
        and not annotation.get("iscrowd")
        and (not is_number(area) or area > MIN_AREA)
    )


def read_cocopersons(root: Path, split: str, *, strict: bool, check_images: bool) -> KeypointData:
    """Args: root: the folder with coco/.  split: train or val. Raises: DataError: as check_coco."""
    path = annotation_file(root, split)
    remedy = "download COCO's annotations_trainval2017.zip, or set DETECTRON2_DATASETS"
    return check_coco(
        read_json(path, remedy),
        path,
        image_root(root, split),
        keypoint_names=COCO_JOINTS,
        keep=belongs,
        check_images=check_images,
        strict=strict,
    )


def annotation_file(root: Path, split: str) -> Path:
    """COCO's own file."""
    return Path(root, "coco", "annotations", f"person_keypoints_{split}2017.json")


def image_root(root: Path, split: str) -> Path:
    """COCO's own folder."""
    return Path(root, "coco", f"{split}2017")
