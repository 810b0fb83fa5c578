"""A small picture with two people in it, a model small enough to train in a test, and the names of
the published checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from detectron2.structures import BitMasks, Instances, Keypoints
from torch import Tensor, nn

from kp2seg.modeling.aligners import FeatureAligner, ImageAligner
from kp2seg.modeling.mask_head import LightMaskHead, MaskQualityHead
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.skeleton import skeleton_channels
from kp2seg.template_files import PoseTemplates

NAMES = ("top", "left", "right", "bottom")
DIAMOND = [[0.5, 0.1, 2.0], [0.2, 0.5, 2.0], [0.8, 0.5, 2.0], [0.5, 0.9, 2.0]]


class TinyBackbone(Backbone):
    """Stride 4, 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"p2": self.conv(image).relu()}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"p2": ShapeSpec(channels=8, stride=4)}


@pytest.fixture
def templates() -> PoseTemplates:
    return PoseTemplates(
        names=NAMES,
        connections=((0, 1), (0, 2), (1, 3), (2, 3)),
        flip_map={"left": "right"},
        vis_threshold=0.4,
        min_points=3,
        templates=np.array([DIAMOND]),
    )


def draw_picture(
    centres: list[tuple[float, float]], size: tuple[int, int] = (60, 80)
) -> dict[str, Any]:
    """Bright discs of radius 12 on grey, a diamond of keypoints on each."""
    h, w = size
    y, x = np.mgrid[0:h, 0:w] + 0.5
    image = np.full((3, h, w), 90, np.uint8)
    masks, points = [], []
    for number, (cx, cy) in enumerate(centres):
        inside = (x - cx) ** 2 + (y - cy) ** 2 < 12**2
        image[number % 3, inside] = 250
        masks.append(inside)
        diamond = np.array(DIAMOND)
        points.append(
            np.column_stack(
                [cx + 24 * (diamond[:, 0] - 0.5), cy + 24 * (diamond[:, 1] - 0.5), diamond[:, 2]]
            )
        )
    instances = Instances(size)
    stacked = np.stack(masks) if masks else np.zeros((0, h, w), bool)
    instances.gt_masks = BitMasks(torch.from_numpy(stacked))
    kpts = torch.tensor(np.array(points), dtype=torch.float32).view(-1, 4, 3)
    instances.gt_keypoints = Keypoints(kpts)
    return {
        "image": torch.from_numpy(image),
        "instances": instances,
        "height": h,
        "width": w,
        "file_name": "discs.png",
        "image_id": 7,
    }


@pytest.fixture
def make_model(templates: PoseTemplates) -> Callable[..., Pose2Seg]:
    def make(align: str = "features", quality: bool = True, **settings: Any) -> Pose2Seg:
        torch.manual_seed(0)
        jitter: dict[str, Any] = {"angle_deg": 10.0, "scale": (0.9, 1.1), "shift": 0.02}
        skeleton = settings.get("skeleton", True)
        shared = settings.pop("aligner", {})
        if align == "features":
            aligner: Any = FeatureAligner(
                TinyBackbone(), input_size=128, align_size=16, jitter=jitter, **shared
            )
        else:
            aligner = ImageAligner(TinyBackbone(), region_size=64, jitter=jitter, **shared)
        extra = skeleton_channels(templates) if skeleton else 0
        return Pose2Seg(
            aligner=aligner,
            mask_head=LightMaskHead(8 + extra, channels=16, blocks=(1, 1)),
            templates=templates,
            quality_head=MaskQualityHead(16, channels=16) if quality else None,
            skeleton_sigma=1.0,
            dice=1.0,
            **settings,
        )

    return make


@pytest.fixture
def picture() -> Callable[..., dict[str, Any]]:
    """See `draw_picture`."""
    return draw_picture


BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
CONVOLUTION = ("weight", "bias")
BLOCKS = (3, 4, 6, 3)


def name_parts(prefix: str, parts: tuple[str, ...]) -> list[str]:
    return [f"{prefix}.{part}" for part in parts]


def backbone_names() -> list[str]:
    """ResNet-50 with its pyramid: convolutions without biases, those of the pyramid with them."""
    names = ["backbone.conv1.weight", *name_parts("backbone.bn1", BATCH_NORM)]
    for stage, blocks in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            for number in (1, 2, 3, 4) if block == 0 else (1, 2, 3):
                prefix = f"backbone.layer{stage}.{block}"
                names.append(f"{prefix}.conv{number}.weight")
                names += name_parts(f"{prefix}.bn{number}", BATCH_NORM)
    for level in (1, 2, 3, 4):
        names += name_parts(f"backbone.fpn_c{level}p{level}", CONVOLUTION)
        names += name_parts(f"backbone.fpn_p{level}", CONVOLUTION)
    return names


def segnet_names() -> list[str]:
    """The mask head: ten units, a decoder of one, two classes; every convolution with a bias."""
    names = [*name_parts("segnet.conv1", CONVOLUTION), *name_parts("segnet.bn1", BATCH_NORM)]
    for unit in (*(f"layer1.{number}" for number in range(10)), "decoder1.0"):
        for number in (1, 2, 3):
            names += name_parts(f"segnet.{unit}.conv{number}", CONVOLUTION)
            names += name_parts(f"segnet.{unit}.bn{number}", BATCH_NORM)
        if unit in ("layer1.0", "decoder1.0"):
            names += name_parts(f"segnet.{unit}.downsample.0", CONVOLUTION)
            names += name_parts(f"segnet.{unit}.downsample.1", BATCH_NORM)
    return [*names, *name_parts("segnet.pred_small", CONVOLUTION)]


@pytest.fixture(scope="session")
def published_names() -> dict[str, list[str]]:
    """Names of the published checkpoint's tensors: of "backbone" and of "segnet"."""
    return {"backbone": backbone_names(), "segnet": segnet_names()}
