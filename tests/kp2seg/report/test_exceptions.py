"""What the page says of points off their object."""

import numpy as np
import pytest

from kp2seg.data.masks import encode
from kp2seg.evaluation.cache import Prediction
from kp2seg.keypoint_sources.layouts import CORNERS
from kp2seg.report.exceptions import _off_reason, share_inside
from kp2seg.report.masks import Instance, instance_text, without_corners


@pytest.fixture
def instance():
    """Of four points two lie in the mask and one is missing; the corners of the box do not."""
    mask = np.zeros((12, 20), np.uint8)
    mask[4:8, 5:15] = 1
    points = [6, 5, 2, 14, 7, 2, 10, 9, 2, 0, 0, 0]
    corners = [4.5, 3.5, 2, 14.5, 3.5, 2, 4.5, 7.5, 2, 14.5, 7.5, 2]
    annotation = {
        "keypoints": points + corners,
        "num_keypoints": 7,
        "keypoint_scores": [0.5, 0.6, 0.7, 0.2, 1.0, 1.0, 1.0, 1.0],
        "segmentation": encode(mask),
    }
    names = ["left_1", "right_1", "middle_1", "middle_2", *CORNERS]
    prediction = Prediction(1, 1, encode(mask), 0.5, 1)
    return Instance(prediction, annotation, 0.8, without_corners(annotation, names))


def test_corners_of_the_box_are_not_points_of_the_object(instance):
    assert instance.keypoints.shape == (4, 3)
    assert share_inside(instance) == pytest.approx(2 / 3)
    assert _off_reason(instance) == "mean confidence 0.50"
    assert instance_text(instance) == "IoU 0.80, predicted 0.50, 3 points"


def test_an_object_with_nothing_but_corners_has_no_points(instance):
    instance.keypoints[:, 2] = 0
    assert share_inside(instance) is None
