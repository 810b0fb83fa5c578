"""Poses of pictures that belong to no data set, from a detector's file or an annotation JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kp2seg.data.annotations import is_integer
from kp2seg.data.coco_json import read_json
from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.layouts import COCO_JOINTS, map_joints
from kp2seg.keypoint_sources.poses import Pose, PoseTable, fingerprint
from kp2seg.keypoint_sources.results import Choice, read_results


def read_picture_poses(
    path: Path,
    images: Sequence[Mapping[str, Any]],
    *,
    joints: str | None = None,
    target: Sequence[str] = COCO_JOINTS,
    choice: Choice | None = None,
) -> PoseTable:
    """Poses of given pictures from any file of keypoints that this package reads.

    Args:    path: an annotation JSON, or what `read_results` reads.
             images: rows with id and file_name; several rows of one id are names of one picture.
             joints, target, choice: as of `read_results`; annotations need no choice.
    Raises:  DataError: as `read_results`; an annotation JSON without one of the pictures, or with
             keypoints that are none.
    """
    path = Path(path)
    if path.is_file():
        content = read_json(path, "expected keypoints")
        if isinstance(content, dict) and "annotations" in content:
            return _annotated(content, path, images, target)
    return read_results(path, images, joints=joints, target=target, choice=choice or Choice())


def _annotated(
    coco: Mapping[str, Any], path: Path, images: Iterable[Mapping[str, Any]], target: Sequence[str]
) -> PoseTable:
    """Poses of the pictures whose file names, without folders, an annotation JSON has."""
    wanted = {PurePosixPath(str(row["file_name"])).name: row["id"] for row in images}
    try:
        names = {row["id"]: row.get("keypoints") or () for row in coco["categories"]}
        ids = {
            row["id"]: wanted[PurePosixPath(row["file_name"]).name]
            for row in coco["images"]
            if PurePosixPath(row["file_name"]).name in wanted
        }
        rows = [row for row in coco["annotations"] if row["image_id"] in ids]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no annotation JSON of keypoints ({error!r})") from error
    if not ids:
        raise DataError(f"{path}: has none of the pictures {', '.join(wanted)}")
    report = Report(str(path))
    by_image: dict[int, list[Pose]] = {}
    for row in rows:
        report.read += 1
        name = f"image {row['image_id']}, annotation {row.get('id')}"
        joints = names.get(row.get("category_id"), ())
        try:
            numbers = np.asarray(row.get("keypoints"), np.float64).reshape(len(joints), 3)
        except (TypeError, ValueError):
            report.add("keypoints of the wrong length", name)
            continue
        if not len(joints) or not (numbers[:, 2] > 0).any():
            report.note("no keypoints", name)
            continue
        if not np.isfinite(numbers[numbers[:, 2] > 0]).all():
            report.add("keypoints with NaN or infinity", name)
            continue
        visibility = np.nan_to_num(numbers[:, 2]).clip(0, 2).astype(np.int64)
        kpts, visibility = map_joints(numbers[:, :2], visibility, list(joints), target)
        number = int(row["id"]) if is_integer(row.get("id")) else None
        by_image.setdefault(ids[row["image_id"]], []).append(Pose(kpts, visibility, 1.0, number))
        report.kept += 1
    report.log()
    return PoseTable(by_image, report, fingerprint(by_image))
