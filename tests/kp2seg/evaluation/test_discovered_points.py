import math

import numpy as np
import pytest
import torch

from keypointnet.discovery import Discovered
from kp2seg.evaluation import discovered_points
from kp2seg.evaluation.discovered_points import PointQualityMeter
from kp2seg.keypoint_sources.discovered import Finding

SIZE = 64
FINDING = Finding(1.5, 0.5, 0.5)


def finds(uv_of):
    """A stand-in for the network: crops (P, S, S, 3) → uv (P, N, 2)."""

    def find(model, crops, *, mirrored=False):
        pictures = torch.from_numpy(crops.pictures).float()
        uv = uv_of(pictures)
        back = uv_of(pictures.flip(2)) * torch.tensor([-1.0, 1.0]) if mirrored else None
        depth = torch.full((*uv.shape[:2], 1), 30.0)
        sure = torch.tensor([1.0, 0.9]).expand(uv.shape[:2])
        return Discovered(torch.cat([uv, depth], -1), sure, sure, back, None)

    return find


def coloured_spots(pictures):
    """Where red and where blue is."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    spots = []
    for channel in (0, 2):
        weight = pictures[..., channel]
        total = weight.sum((1, 2))
        spots.append(
            torch.stack([(weight.sum(1) * axis).sum(1), (weight.sum(2) * axis).sum(1)], 1)
            / total[:, None]
        )
    return torch.stack(spots, dim=1)


@pytest.fixture
def picture():
    """A red and a blue spot in a box of 40x30; the blue one is not in the object's mask."""
    image = np.zeros((80, 100, 3), np.uint8)
    image[30:33, 40:43, 0] = image[40:43, 58:61, 2] = 255
    mask = np.zeros((80, 100), bool)
    mask[25:35, 30:50] = True
    return image, np.array([[30.0, 20, 40, 30]]), [mask]


def test_points_that_follow_what_they_see(picture, monkeypatch):
    monkeypatch.setattr(discovered_points, "find_keypoints", finds(coloured_spots))
    meter = PointQualityMeter(torch.nn.Identity(), SIZE, FINDING)
    for _ in range(5):
        meter.add(*picture)
    quality = meter.result()
    assert (quality.objects, quality.points, quality.inside) == (5, 2.0, 0.5)
    # Of a diagonal of 50 px: a fifth of a pixel at most.
    assert max(quality.flip, quality.box, quality.turn) < 0.004


def test_points_that_stay_in_the_crop(picture, monkeypatch):
    fixed = torch.tensor([[-0.5, 0.0], [0.2, 0.4]])
    monkeypatch.setattr(
        discovered_points,
        "find_keypoints",
        finds(lambda pictures: fixed.expand(len(pictures), 2, 2)),
    )
    meter = PointQualityMeter(torch.nn.Identity(), SIZE, FINDING)
    for _ in range(40):
        meter.add(*picture)
    quality = meter.result()
    # A unit of (u, v) is half of 1.5 · 40 px, the diagonal 50 px; a chord of 15°.
    chords = [2 * math.sin(math.radians(7.5)) * math.hypot(*uv) * 30 / 50 for uv in fixed.tolist()]
    assert quality.turn == pytest.approx(sum(chords) / 2, rel=1e-6)
    # They are no pair, so each is compared with its own mirror image: 2 |u|.
    assert quality.flip == pytest.approx((1.0 + 0.4) / 2 * 30 / 50, rel=1e-5)
    assert 0.02 < quality.box < 0.1


def test_points_outside_the_picture_are_outside_the_mask(picture, monkeypatch):
    image, _, masks = picture
    monkeypatch.setattr(
        discovered_points,
        "find_keypoints",
        finds(lambda pictures: torch.tensor([[-0.9, 0.0]]).expand(len(pictures), 2, 2)),
    )
    masks[0][:] = True
    meter = PointQualityMeter(torch.nn.Identity(), SIZE, FINDING)
    meter.add(image, np.array([[0.0, 20, 40, 30]]), masks)
    assert meter.result().inside == 0


def test_nothing_to_look_at(picture, monkeypatch):
    with pytest.raises(ValueError, match="no object was added"):
        PointQualityMeter(torch.nn.Identity(), SIZE, FINDING).result()
    monkeypatch.setattr(discovered_points, "find_keypoints", finds(coloured_spots))
    meter = PointQualityMeter(torch.nn.Identity(), SIZE, Finding(1.5, 1.0, 1.0))
    monkeypatch.setattr(meter, "finding", Finding(1.5, 1.0, 1.0))
    meter.add(*picture)
    assert meter.result().points == 1.0  # the surer one
