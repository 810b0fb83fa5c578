"""A data set's own keypoints as a source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2seg.data.cocopersons import annotation_file, read_cocopersons
from kp2seg.keypoint_sources.annotated import annotated_poses
from kp2seg.keypoint_sources.poses import KeypointSource


def annotation(annotation_id: int, image_id: int, *keypoints: float) -> dict[str, Any]:
    return {"id": annotation_id, "image_id": image_id, "keypoints": list(keypoints)}


COCO = {
    "annotations": [
        annotation(4, 1, 5, 6, 2, 7.5, 8, 1, 0, 0, 0, 1, 1, 2),
        annotation(5, 2, 5, 6, 2, 0, 0, 0, 0, 0, 0, 1, 1, 1),
        annotation(6, 1, 1, 2, 2, 3, 4, 2, 5, 6, 2, 7, 8, 2),
    ]
}


def test_every_annotation_is_a_pose() -> None:
    source: KeypointSource = annotated_poses(COCO)
    first, second = source.poses(1)
    assert (first.annotation_id, second.annotation_id) == (4, 6)
    assert first.keypoints.tolist() == [[5, 6], [7.5, 8], [0, 0], [1, 1]]
    assert first.visibility.tolist() == [2, 1, 0, 2]
    assert (first.visibility.dtype, first.keypoints.dtype) == (np.int64, np.float64)
    assert (first.score, first.n_points()) == (1.0, 3)
    assert source.poses(3) == []


def test_few_points_are_kept_and_said() -> None:
    table = annotated_poses(COCO)
    assert [pose.annotation_id for pose in table.poses(2)] == [5]
    assert table.report.counts == {"fewer than 3 points (kept)": 1}
    assert "image 2, annotation 5: 2 points" in str(table.report)
    assert (table.report.read, table.report.kept) == (3, 3)


def test_the_fingerprint_follows_every_number() -> None:
    fingerprint = annotated_poses(COCO).fingerprint
    assert fingerprint == annotated_poses(COCO).fingerprint
    rows = COCO["annotations"]
    for change in ({"keypoints": [*rows[0]["keypoints"][:-1], 1]}, {"image_id": 2}, {"id": 9}):
        other = {"annotations": [{**rows[0], **change}, *rows[1:]]}
        assert annotated_poses(other).fingerprint != fingerprint
    assert annotated_poses({"annotations": []}).poses(1) == []


@pytest.mark.skipif("DETECTRON2_DATASETS" not in os.environ, reason="DETECTRON2_DATASETS not set")
def test_real_annotations() -> None:
    root = Path(os.environ["DETECTRON2_DATASETS"])
    if not annotation_file(root, "val").is_file():
        pytest.skip("no person_keypoints_val2017.json under DETECTRON2_DATASETS")
    coco = read_cocopersons(root, "val", strict=True, check_images=False).coco
    table = annotated_poses(coco)
    assert sum(len(table.poses(image["id"])) for image in coco["images"]) == len(
        coco["annotations"]
    )
    for row in coco["annotations"]:
        (pose,) = (p for p in table.poses(row["image_id"]) if p.annotation_id == row["id"])
        assert pose.n_points() == row["num_keypoints"]
