"""Files that other people's detectors write, as rows of one form; nothing is chosen here.

COCO results      [{"image_id": 785, "category_id": 1, "keypoints": [x, y, c, ...], "score": s}]
AlphaPose         the same with the picture's file name as image_id
OpenPose          one JSON for each picture, NAME_keypoints.json:
                  {"people": [{"pose_keypoints_2d": [x, y, c, ...]}]}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2seg.data.annotations import is_integer, is_number
from kp2seg.data.coco_json import read_json
from kp2seg.data.problems import DataError, Report

OPENPOSE_SUFFIX = "_keypoints"


@dataclass(frozen=True, eq=False)
class DetectedPose:
    """A row of a detector's file.

    Attributes:
        picture: the image id, or the picture's file name (for OpenPose without its ending).
        keypoints: (K, 2) px.
        third: (K,), the number behind each x and y: visibility or confidence.
        score: None where the file has none.  name: of the row, for messages.
    """

    picture: int | str
    keypoints: np.ndarray
    third: np.ndarray
    score: float | None
    name: str


def read_detector_files(
    path: Path, report: Report, category_id: int | None = 1
) -> list[DetectedPose]:
    """The poses of a file or, for OpenPose, of a folder.

    Args:    report: gets rows that are none.  category_id: rows of another category are passed
             over; None takes all.
    Raises:  DataError: no such file, no JSON, none of the forms above; strict reports.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob(f"*{OPENPOSE_SUFFIX}.json"))
        if not files:
            raise DataError(
                f"{path}: no *{OPENPOSE_SUFFIX}.json; expected OpenPose's output folder"
            )
        poses = [pose for file in files for pose in _openpose(read_json(file), file, report)]
        _refuse_normalised(poses, path)
        return poses
    data = read_json(path, "expected a detector's results")
    if isinstance(data, dict) and "people" in data:
        poses = _openpose(data, path, report)
        _refuse_normalised(poses, path)
        return poses
    if not isinstance(data, list):
        keys = sorted(data)[:6] if isinstance(data, dict) else type(data).__name__
        raise DataError(
            f"{path}: expected a list of results (COCO, AlphaPose) or OpenPose's people, got {keys}"
        )
    return _results(data, report, category_id)


def _results(rows: list[Any], report: Report, category_id: int | None) -> list[DetectedPose]:
    poses = []
    for number, row in enumerate(rows):
        report.read += 1
        if not isinstance(row, dict):
            report.add("row that is no object", f"row {number}")
            continue
        picture = row.get("image_id")
        name = f"row {number}, image {picture}"
        if category_id is not None and row.get("category_id", category_id) != category_id:
            report.note("another category", f"{name}: {row['category_id']}")
            continue
        if is_integer(picture):
            picture = int(picture)
        elif not isinstance(picture, str):
            report.add("image id that is no integer and no file name", name)
            continue
        score = row.get("score")
        if score is not None and not is_number(score):
            report.add("score that is no finite number", f"{name}: {score}")
            continue
        poses += _pose(row.get("keypoints"), picture, score, name, report)
    return poses


def _openpose(data: Any, path: Path, report: Report) -> list[DetectedPose]:
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list):
        raise DataError(f'{path}: expected OpenPose\'s {{"people": [...]}}')
    picture, poses = path.stem.removesuffix(OPENPOSE_SUFFIX), []
    for number, person in enumerate(people):
        report.read += 1
        numbers = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
        poses += _pose(numbers, picture, None, f"{path.name}, person {number}", report)
    return poses


def _pose(
    numbers: Any, picture: int | str, score: float | None, name: str, report: Report
) -> list[DetectedPose]:
    """A list of one pose, or of none after it was reported."""
    try:
        rows = np.asarray(numbers, np.float64)
    except (TypeError, ValueError):
        rows = np.zeros(0)
    if rows.ndim != 1 or len(rows) == 0 or len(rows) % 3:
        got = f"{len(numbers)} entries" if isinstance(numbers, list) else type(numbers).__name__
        report.add("keypoints that are not 3 numbers a joint", f"{name}: {got}")
        return []
    rows = rows.reshape(-1, 3)
    if not np.isfinite(rows).all():
        report.add("keypoints with NaN or infinity", name)
        return []
    return [DetectedPose(picture, rows[:, :2].copy(), rows[:, 2].copy(), score, name)]


def _refuse_normalised(poses: list[DetectedPose], path: Path) -> None:
    if poses and max(float(np.abs(pose.keypoints).max()) for pose in poses) <= 1.5:
        raise DataError(
            f"{path}: every coordinate is within 1.5; expected pixels, run OpenPose with "
            "--keypoint_scale 0"
        )
