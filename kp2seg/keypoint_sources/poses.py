"""A person's (or any object's) keypoints in a picture, and a table of them by picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keypointnet.files import write_whole
from kp2seg.data.problems import Report


@dataclass(frozen=True, eq=False)
class Pose:
    """Keypoints of one object.

    Attributes:
        keypoints: (K, 2) float64 px, COCO's raw numbers (integer pixel centres).
        visibility: (K,) int64: 0 missing, 1 hidden, 2 visible.
        score: how sure the source is; 1 for an annotation.
        annotation_id: the annotation it is, None for a detection.
    """

    keypoints: np.ndarray
    visibility: np.ndarray
    score: float = 1.0
    annotation_id: int | None = None

    def n_points(self) -> int:
        """How many keypoints are there, hidden ones included."""
        return int(np.count_nonzero(self.visibility > 0))

    def is_inside(self, size: tuple[int, int]) -> bool:
        """Whether a keypoint that is there lies in a picture. Args: size: (h, w) px."""
        x, y = self.keypoints[self.visibility > 0].T
        return bool(((x > -0.5) & (y > -0.5) & (x < size[1] - 0.5) & (y < size[0] - 0.5)).any())


class KeypointSource(Protocol):
    """What a predictor asks for poses."""

    def poses(self, image_id: int) -> list[Pose]:
        """The poses of a picture, best first; an empty list where there are none."""


@dataclass(frozen=True)
class PoseTable:
    """Poses that were read from a file.

    Attributes:
        by_image: image id → poses, best first.
        report: what was left out: unmatched pictures, low scores, double poses, few points.
        fingerprint: SHA-256 of all poses; a cache of predictions is valid for one of them.
    """

    by_image: Mapping[int, list[Pose]]
    report: Report
    fingerprint: str

    def poses(self, image_id: int) -> list[Pose]:
        """The poses of a picture, best first; an empty list where there are none."""
        return list(self.by_image.get(image_id, []))


def fingerprint(by_image: Mapping[int, list[Pose]]) -> str:
    """SHA-256 of poses: of every number, the pictures' ids and the order within each picture."""
    digest = hashlib.sha256()
    for image_id in sorted(by_image):
        for pose in by_image[image_id]:
            digest.update(f"{image_id} {pose.annotation_id} {pose.score!r}".encode())
            digest.update(np.ascontiguousarray(pose.keypoints, "<f8").tobytes())
            digest.update(np.ascontiguousarray(pose.visibility, "<i8").tobytes())
    return digest.hexdigest()


def keep_poses(path: Path, table: PoseTable, about: Mapping[str, Any]) -> None:
    """Writes detected poses, so that a detector need not look again.

    Args:    about: JSON values of all that they depend on.
    """
    rows = [
        {
            "image_id": image_id,
            "keypoints": np.column_stack([pose.keypoints, pose.visibility]).ravel().tolist(),
            "score": pose.score,
        }
        for image_id, poses in table.by_image.items()
        for pose in poses
    ]
    write_whole(path, json.dumps({"about": dict(about), "poses": rows}).encode())


def kept_poses(path: Path, about: Mapping[str, Any]) -> PoseTable | None:
    """The poses of `keep_poses`, or None where there are none, or those of something else."""
    try:
        kept = json.loads(path.read_text())
        if kept["about"] != dict(about):
            return None
        by_image: dict[int, list[Pose]] = {}
        for row in kept["poses"]:
            points = np.array(row["keypoints"], dtype=np.float64).reshape(-1, 3)
            pose = Pose(points[:, :2], points[:, 2].astype(np.int64), row["score"])
            by_image.setdefault(row["image_id"], []).append(pose)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or damaged: the detector looks again
    n = len(kept["poses"])
    return PoseTable(by_image, Report(str(path), read=n, kept=n), fingerprint(by_image))
