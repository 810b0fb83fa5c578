"""COCO's 17 joints, which every parametric person has."""

from __future__ import annotations

import numpy as np

from keypointnet.shapenet.models import Model
from keypointnet.shapes.object_points import PointSet

PERSON_POINTS = PointSet(
    names=(
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
        *(
            f"{side}_{joint}"
            for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
            for side in ("left", "right")
        ),
    ),
    connections=(
        ("left_ankle", "left_knee"),
        ("left_knee", "left_hip"),
        ("right_ankle", "right_knee"),
        ("right_knee", "right_hip"),
        ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"),
        ("left_shoulder", "right_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("right_shoulder", "right_elbow"),
        ("left_elbow", "left_wrist"),
        ("right_elbow", "right_wrist"),
        ("left_eye", "right_eye"),
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
        ("left_ear", "left_shoulder"),
        ("right_ear", "right_shoulder"),
    ),
    inside=True,
)
"""COCO's 17 joints and their connections, in its order; left is the person's own, -x at rest."""


def person_points(model: Model) -> np.ndarray:
    """Where a parametric person's joints are.

    Convention: the object frame of `keypointnet.shapenet.models`.
    Args:    model: of the person family, or a variation of one.
    Returns: (17, 3) in the order of PERSON_POINTS.names.
    Raises:  ValueError: a model without joints.
    """
    if model.points is None:
        raise ValueError(f"person_points: {model.id} has no joints; is it a parametric person?")
    return model.points
