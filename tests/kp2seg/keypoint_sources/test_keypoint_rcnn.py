"""What lies between a picture, Detectron2's network, and poses. The network itself, with a file of
the zoo's form, is in tests/test_demo_tool.py."""

import numpy as np
import pytest
import torch
from detectron2.structures import Instances

from kp2seg.keypoint_sources.keypoint_rcnn import KeypointRCNN
from kp2seg.keypoint_sources.results import Choice


@pytest.fixture
def detector(monkeypatch):
    """A detector whose network shows what it was given, and finds what `found` holds."""
    detector = KeypointRCNN.__new__(KeypointRCNN)
    detector.choice, detector.sides = Choice(min_score=0.0, min_confidence=0.3), (30, 1000)
    detector.given, detector.found = [], torch.zeros(0, 17, 3)

    def network(inputs):
        detector.given += inputs
        instances = Instances((inputs[0]["height"], inputs[0]["width"]))
        instances.scores = torch.linspace(0.9, 0.5, len(detector.found))
        instances.pred_keypoints = detector.found
        return [{"instances": instances}]

    detector.model = network
    return detector


def test_the_network_sees_bgr_of_its_own_size(detector):
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 200, 7  # red, and a little blue
    assert detector.detect(picture) == []
    (given,) = detector.given
    assert given["image"].shape == (3, 30, 40)
    assert given["image"].flatten(1).float().mean(1).tolist() == [7, 0, 200]
    assert (given["height"], given["width"]) == (60, 80)


def test_poses_have_cocos_numbers(detector):
    # Two people, 40 px apart; pixel centres at + 0.5. The second lacks all but four joints.
    grid = torch.arange(17.0)
    one = torch.stack([grid + 0.5, 2 * grid + 3.5, torch.ones(17)], dim=1)
    other = one + torch.tensor([40.0, 0, 0])
    other[4:, 2] = 0.2
    detector.found = torch.stack([one, other])
    first, second = detector.detect(np.zeros((60, 80, 3), np.uint8))
    np.testing.assert_array_equal(first.keypoints, np.stack([grid, 2 * grid + 3], axis=1))
    assert first.visibility.tolist() == [2] * 17
    np.testing.assert_array_equal(second.keypoints[:4, 0], grid[:4] + 40)
    assert second.visibility.tolist() == [2] * 4 + [0] * 13
    assert [first.score, second.score] == pytest.approx([0.9, 0.5])
