"""Answers for a region averaged with those for its mirror image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.structures import Instances, Keypoints

from kp2seg.modeling.export import export_pose2seg
from kp2seg.modeling.meta_arch import Pose2Seg, RegionMasks
from kp2seg.modeling.people import gather_people

CENTRES = [(25.0, 30.0), (55.0, 28.0)]


def mirror_image(picture: dict[str, Any]) -> dict[str, Any]:
    width = picture["width"]
    instances = Instances((picture["height"], width))
    points = picture["instances"].gt_keypoints.tensor[:, [0, 2, 1, 3]].clone()
    points[..., 0] = width - points[..., 0]
    instances.gt_keypoints = Keypoints(points)
    return {**picture, "image": picture["image"].flip(-1), "instances": instances}


def region_masks(model: Pose2Seg, picture: dict[str, Any]) -> RegionMasks:
    people = gather_people([picture], 4, model.device)
    with torch.no_grad():
        return next(iter(model.region_masks([picture], people)))


@pytest.mark.parametrize("kind", ["image", "features"])
def test_a_mirrored_picture_has_mirrored_masks(
    kind: str, make_model: Callable[..., Pose2Seg], picture: Callable[..., dict[str, Any]]
) -> None:
    model = make_model(kind, mirrored=True).eval()
    one = picture(CENTRES)
    shown, mirror = region_masks(model, one), region_masks(model, mirror_image(one))
    assert shown.quality is not None
    assert mirror.quality is not None
    if kind == "image":
        torch.testing.assert_close(mirror.logit.flip(-1), shown.logit, rtol=0.02, atol=2e-3)
        torch.testing.assert_close(mirror.quality, shown.quality, rtol=0.02, atol=2e-3)
    model.mirrored = False
    assert (region_masks(model, one).logit - shown.logit).abs().max() > 0.01


def test_training_asks_once(
    make_model: Callable[..., Pose2Seg], picture: Callable[..., dict[str, Any]]
) -> None:
    losses = []
    for mirrored in (False, True):
        model = make_model("image", mirrored=mirrored).train()
        losses.append(model([picture(CENTRES)], torch.Generator().manual_seed(0))["loss_mask"])
    assert torch.equal(*losses)


def test_a_program_of_regions_cannot(make_model: Callable[..., Pose2Seg]) -> None:
    with pytest.raises(ValueError, match="averages with mirrored regions"):
        export_pose2seg(make_model("image", mirrored=True).eval(), 1)
