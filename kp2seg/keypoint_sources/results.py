"""A detector's poses matched to the pictures of a data set, and chosen as a user would expect.

In this order, each step counted in the report: rows that are none; pictures that are not in the
data set (a file may cover more); joints under a confidence become missing; poses of a low score,
with too few points, and doubles of a better pose are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.annotated import MIN_POINTS
from kp2seg.keypoint_sources.detector_files import DetectedPose, read_detector_files
from kp2seg.keypoint_sources.layouts import (
    COCO_JOINTS,
    LAYOUTS,
    layout,
    layouts_of,
    map_joints,
)
from kp2seg.keypoint_sources.matching import match_pictures
from kp2seg.keypoint_sources.oks import suppress_doubles
from kp2seg.keypoint_sources.poses import Pose, PoseTable, fingerprint


@dataclass(frozen=True)
class Choice:
    """Which poses of a detector are used.

    Attributes:
        min_score: of a pose; the detector's own, the mean confidence of its joints without one.
        min_confidence: of a joint; below it the joint is missing.
        min_points: of a pose.
        double_oks: two poses that are more alike than this are one (`oks.suppress_doubles`).
    """

    min_score: float = 0.2
    min_confidence: float = 0.2
    min_points: int = MIN_POINTS
    double_oks: float = 0.9


def read_results(
    path: Path,
    images: Iterable[Mapping[str, Any]],
    *,
    joints: str | Sequence[str] | None = None,
    target: Sequence[str] = COCO_JOINTS,
    choice: Choice = Choice(),
    category_id: int | None = 1,
    strict: bool = False,
) -> PoseTable:
    """Poses from a COCO results JSON, AlphaPose's JSON, or OpenPose's file or folder.

    The number behind each x and y is taken for COCO's visibility where the file has only 0, 1, 2
    and some 2; for "there or not" where it has only 0 and 1; else for a confidence.

    Args:    images: the data set's, with id and file_name.
             joints: name of a layout or names of the file's joints; without, by their number.
             target: the joints wanted; the file's others are left out, its lacking ones missing.
             category_id: of results; others are passed over.  strict: raise at a row that is none.
    Raises:  DataError: the file cannot be read, its joints are unknown, or none of its pictures is
             in the data set.
    """
    report = Report(str(path), strict)
    found = read_detector_files(path, report, category_id)
    names = _joint_names(found, joints, str(path))
    found = [pose for pose in found if _has_joints(pose, len(names), report)]
    by_picture = match_pictures(found, list(images), report)
    coding = _coding([pose.third for pose in found])
    by_image: dict[int, list[Pose]] = {}
    for image_id, detections in by_picture.items():
        poses = [_pose(detected, coding, names, target, choice) for detected in detections]
        kept = _chosen(poses, [detected.name for detected in detections], choice, report)
        if kept:
            by_image[image_id] = kept
    if not by_image:
        report.note("pictures without a pose", "all of them")
    report.kept = sum(map(len, by_image.values()))
    report.log()
    return PoseTable(by_image, report, fingerprint(by_image))


def _joint_names(
    found: Sequence[DetectedPose], joints: str | Sequence[str] | None, where: str
) -> tuple[str, ...]:
    if isinstance(joints, str):
        return layout(joints)
    if joints is not None:
        return tuple(joints)
    if not found:
        return COCO_JOINTS
    # The most common number, so that one broken row does not decide.
    counts = np.bincount([len(pose.third) for pose in found])
    fitting = layouts_of(int(counts.argmax()))
    if not fitting:
        sizes = ", ".join(f"{name} ({len(names)})" for name, names in LAYOUTS.items())
        raise DataError(
            f"{where}: poses of {counts.argmax()} joints, which no known layout has; name the "
            f"joints. Known: {sizes}"
        )
    return LAYOUTS[fitting[0]]


def _has_joints(pose: DetectedPose, expected: int, report: Report) -> bool:
    if len(pose.third) == expected:
        return True
    hint = ", ".join(layouts_of(len(pose.third)))
    known = f"; {len(pose.third)} joints are those of {hint}" if hint else ""
    detail = f"{pose.name}: {3 * len(pose.third)} numbers, expected 3 x {expected}{known}"
    report.add("keypoints of the wrong length", detail)
    return False


def _coding(thirds: Sequence[np.ndarray]) -> str:
    values = set(np.unique(np.concatenate(thirds)).tolist()) if thirds else set()
    if values <= {0, 1}:
        return "presence"
    return "visibility" if values <= {0, 1, 2} else "confidence"


def _pose(
    detected: DetectedPose,
    coding: str,
    names: Sequence[str],
    target: Sequence[str],
    choice: Choice,
) -> Pose:
    third = detected.third
    if coding == "visibility":
        visibility = third.astype(np.int64)
    else:
        there = third >= choice.min_confidence if coding == "confidence" else third > 0
        visibility = np.where(there, 2, 0)
    score = detected.score
    if score is None:
        score = 1.0
        if coding == "confidence":
            score = float(third[third > 0].mean()) if (third > 0).any() else 0.0
    kpts, codes = map_joints(detected.keypoints, visibility, names, target)
    return Pose(kpts, codes, float(score))


def _chosen(
    poses: Sequence[Pose], names: Sequence[str], choice: Choice, report: Report
) -> list[Pose]:
    """The poses of one picture that are used, best first."""
    kept: list[Pose] = []
    kept_names: list[str] = []
    for pose, name in zip(poses, names, strict=True):
        if pose.score < choice.min_score:
            report.note(f"score under {choice.min_score:g}", f"{name}: {pose.score:.3g}")
        elif pose.n_points() < choice.min_points:
            report.note(f"fewer than {choice.min_points} points", f"{name}: {pose.n_points()}")
        else:
            kept.append(pose)
            kept_names.append(name)
    if not kept:
        return []
    order = suppress_doubles(
        np.stack([pose.keypoints for pose in kept]),
        np.stack([pose.visibility for pose in kept]),
        np.array([pose.score for pose in kept]),
        choice.double_oks,
    )
    for i in sorted(set(range(len(kept))) - set(order)):
        report.note("double of a better pose", kept_names[i])
    return [kept[i] for i in order]
