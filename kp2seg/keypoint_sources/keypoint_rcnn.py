"""Detectron2's Keypoint R-CNN as the source: people's 17 COCO joints in any picture.

Its weights are a file of Detectron2's model zoo, see `zoo_networks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from keypointnet.progress import progress_bar
from kp2seg.data.mapper import read_picture
from kp2seg.data.problems import Report
from kp2seg.keypoint_sources.layouts import COCO_JOINTS, map_joints
from kp2seg.keypoint_sources.oks import suppress_doubles
from kp2seg.keypoint_sources.poses import Pose, PoseTable, fingerprint
from kp2seg.keypoint_sources.results import Choice
from kp2seg.keypoint_sources.zoo_networks import input_picture, zoo_config, zoo_network

ZOO_CONFIG = "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml"
"""65.5 keypoint AP on COCO val2017 by the model zoo's table."""

DETECTED = Choice(min_score=0.5, min_confidence=0.05)
"""What is used of its poses; a joint's confidence is that of its heatmap, 0.05 is Detectron2's."""


class KeypointRCNN:
    """Finds people and their keypoints in pictures.

    Args:    weights: of the zoo (.pkl), or a torch file of tensors (.pth).  device: to run on.
             choice: of its poses.  short_side, long_side: px that pictures are resized to.
             config: of the model zoo, the one that the weights were trained with.
    Raises:  DataError: the file cannot be read, or is of another model, and in what.
    """

    def __init__(
        self,
        weights: Path,
        device: str | torch.device = "cpu",
        *,
        choice: Choice = DETECTED,
        short_side: int = 800,
        long_side: int = 1333,
        config: str = ZOO_CONFIG,
    ) -> None:
        cfg = zoo_config(config)
        cfg.MODEL.DEVICE = str(device)
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = choice.min_score
        self.model = zoo_network(cfg, weights, config)
        self.choice = choice
        self.sides = short_side, long_side

    @torch.inference_mode()
    def detect(self, picture: np.ndarray, target: Sequence[str] = COCO_JOINTS) -> list[Pose]:
        """The poses of a picture (h, w, 3) uint8 RGB, best first. Args: target: wanted joints."""
        h, w = picture.shape[:2]
        image = input_picture(picture, *self.sides)
        found = self.model([{"image": image, "height": h, "width": w}])[0]["instances"].to("cpu")
        scores = found.scores.double().numpy()
        points = found.pred_keypoints.double().numpy().reshape(-1, len(COCO_JOINTS), 3)
        # Detectron2 has pixel centres at + 0.5, poses are COCO's raw numbers.
        kpts = points[..., :2] - 0.5
        visibility = np.where(points[..., 2] >= self.choice.min_confidence, 2, 0)
        kpts, visibility = map_joints(kpts, visibility, COCO_JOINTS, target)
        enough = np.flatnonzero((visibility > 0).sum(1) >= self.choice.min_points)
        kpts, visibility, scores = kpts[enough], visibility[enough], scores[enough]
        order = suppress_doubles(kpts, visibility, scores, self.choice.double_oks)
        return [Pose(kpts[i], visibility[i].astype(np.int64), float(scores[i])) for i in order]


def detect_poses(
    detector: KeypointRCNN,
    pictures: Mapping[int, Path],
    target: Sequence[str] = COCO_JOINTS,
    *,
    progress: bool = False,
) -> PoseTable:
    """The poses of many pictures.

    Args:    pictures: image id → file.  target: the joints wanted.
    Raises:  DataError: a picture that cannot be read.
    """
    report = Report(f"Keypoint R-CNN ({ZOO_CONFIG})")
    by_image: dict[int, list[Pose]] = {}
    bar = progress_bar(pictures.items(), desc="detect", unit="picture", disable=not progress)
    for image_id, path in bar:
        poses = detector.detect(read_picture({"file_name": str(path)}), target)
        report.read += len(poses)
        if poses:
            by_image[image_id] = poses
        else:
            report.note("nobody found", str(path))
    report.kept = report.read
    return PoseTable(by_image, report, fingerprint(by_image))
