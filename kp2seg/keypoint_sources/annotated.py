"""A data set's own keypoints as the source: the published protocol with true keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kp2seg.data.problems import Report
from kp2seg.keypoint_sources.poses import Pose, PoseTable, fingerprint

MIN_POINTS = 3
"""A pose with fewer points has no transform to a template; its region is the whole picture."""


def annotated_poses(coco: Mapping[str, Any], source: str = "annotations") -> PoseTable:
    """Every annotation's keypoints, in the order of the annotations.

    Nobody is left out, so that there is one mask for each annotated person; those with fewer than
    three points are counted in the report.

    Args:    coco: checked COCO JSON (`KeypointData.coco`).  source: named in the report.
    """
    report = Report(source)
    by_image: dict[int, list[Pose]] = {}
    for row in coco["annotations"]:
        numbers = np.asarray(row["keypoints"], np.float64).reshape(-1, 3)
        pose = Pose(numbers[:, :2].copy(), numbers[:, 2].astype(np.int64), 1.0, row["id"])
        by_image.setdefault(row["image_id"], []).append(pose)
        report.read += 1
        if pose.n_points() < MIN_POINTS:
            name = f"image {row['image_id']}, annotation {row['id']}: {pose.n_points()} points"
            report.note(f"fewer than {MIN_POINTS} points (kept)", name)
    report.kept = report.read
    return PoseTable(by_image, report, fingerprint(by_image))
