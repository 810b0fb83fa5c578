"""Backbones: the published ResNet-50, any timm network, and the pyramid on top of either.

All are Detectron2 `Backbone`s, so any of Detectron2's own can take their place.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from detectron2.modeling.backbone.resnet import BasicStem, ResNet
from timm.layers import Format
from torch import Tensor, nn

from keypointnet.imagenet import LITE0, load_lite0

GUIDE_WIDTH = 8
"""Channels that a picture's skeleton is mixed to: the first layer sees them at full size, where all
55 of a person would cost a quarter of a training step."""


class TimmBottomUp(Backbone):
    """The feature maps of a timm network, from stride 4 on, named "res2", "res3", ….

    Args:    name: of the network in timm.  pretrained: ImageNet weights. Those of
             `tf_efficientnet_lite0` are installed with kp2seg; other networks have none here, give
             them with `load_state_dict`.
             img_size: px, the side of the pictures or regions, for networks that are made for one
             size (Swin, MaxViT); None for those that take any.
             guide_channels: S skeleton channels to look at beside the picture. A 1x1 convolution
             mixes them to GUIDE_WIDTH, which follow red, green and blue; their weights in the first
             layer start at 0 where those of the colours are pretrained.
    Raises:  ValueError: no such network; no map of stride 4; pretrained for another one; img_size
             for one that has no such choice.
    """

    def __init__(
        self,
        name: str = LITE0,
        *,
        pretrained: bool = True,
        img_size: int | None = None,
        guide_channels: int = 0,
    ) -> None:
        super().__init__()
        self.guide_channels = guide_channels
        if not timm.is_model(name):
            similar = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=5))
            raise ValueError(f"TimmBottomUp: timm has no network {name!r}; similar: {similar}")
        if pretrained and name != LITE0:
            raise ValueError(
                f"TimmBottomUp: no ImageNet weights of {name!r} are installed, only of {LITE0}; "
                "set pretrained=False and load a checkpoint"
            )
        size: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
        try:
            self.network = timm.create_model(
                name,
                pretrained=False,
                features_only=True,
                in_chans=3 + (GUIDE_WIDTH if guide_channels else 0),
                **size,
            )
        except TypeError as error:
            if img_size is None or "img_size" not in str(error):
                raise
            raise ValueError(
                f"TimmBottomUp: {name!r} takes pictures of any size; leave img_size out"
            ) from error
        info: Any = self.network.feature_info
        self._levels = [
            (index, f"res{int(math.log2(stride))}", channels, stride)
            for index, (channels, stride) in enumerate(
                zip(info.channels(), info.reduction(), strict=True)
            )
            if stride >= 4
        ]
        if not self._levels or self._levels[0][3] != 4:
            raise ValueError(f"TimmBottomUp: {name!r} has no feature map of stride 4")
        if guide_channels:
            self.guide = nn.Conv2d(guide_channels, GUIDE_WIDTH, 1, bias=False)
            # A channel is 1 at its point or limb, and a picture's colours are of that size, too.
            nn.init.normal_(self.guide.weight)
        if pretrained:
            load_lite0(self.network)
        # Some transformers' maps have their channels last.
        self._nhwc = getattr(self.network, "output_fmt", Format.NCHW) == Format.NHWC
        self._out_features = [level for _, level, _, _ in self._levels]

    def forward(self, image: Tensor, guide: Tensor | None = None) -> dict[str, Tensor]:
        """(B, 3, H, W), normalised → level → (B, C, ceil(H / stride), ceil(W / stride)).

        Args:    guide: (B, guide_channels, h, w) of any size, where there are such channels.
        """
        if guide is not None:
            mixed = self.guide(guide.contiguous(memory_format=torch.channels_last))
            mixed = F.interpolate(mixed, image.shape[-2:], mode="bilinear", align_corners=False)
            image = torch.cat([image, mixed.to(image.dtype)], dim=1)
        maps = self.network(image)
        if self._nhwc:
            maps = [each.permute(0, 3, 1, 2) for each in maps]
        return {level: maps[index] for index, level, _, _ in self._levels}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each level."""
        return {
            level: ShapeSpec(channels=channels, stride=stride)
            for _, level, channels, stride in self._levels
        }


class FeaturePyramid(Backbone):
    """A feature pyramid with bilinear upsampling, as Pose2Seg's.

    Detectron2's own pyramid upsamples by repetition and would not reproduce the published numbers.

    Args:    bottom_up: gives "res2" to "res5", or those of them that it has.
             channels: of every level.  out_features: the levels that are computed.
    Source:  Lin et al. 2017, with the upsampling of Zhang et al. 2019.
    """

    def __init__(
        self, bottom_up: Backbone, *, channels: int = 256, out_features: Sequence[str] = ("p2",)
    ) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self.guide_channels = int(getattr(bottom_up, "guide_channels", 0))
        shapes = bottom_up.output_shape()
        self._levels = sorted(shapes, key=lambda level: shapes[level].stride)
        self.lateral = nn.ModuleDict(
            {
                _pyramid(level): nn.Conv2d(shapes[level].channels, channels, 1)
                for level in self._levels
            }
        )
        unknown = set(out_features) - {_pyramid(level) for level in self._levels}
        if unknown:
            raise ValueError(
                f"FeaturePyramid: no levels {sorted(unknown)}; there are "
                f"{', '.join(map(_pyramid, self._levels))}"
            )
        self.output = nn.ModuleDict(
            {name: nn.Conv2d(channels, channels, 3, padding=1) for name in out_features}
        )
        self._shapes = {
            name: ShapeSpec(channels=channels, stride=shapes[f"res{name[1:]}"].stride)
            for name in out_features
        }
        self._out_features = list(out_features)
        for module in (*self.lateral.modules(), *self.output.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor, guide: Tensor | None = None) -> dict[str, Tensor]:
        """(B, 3, H, W), normalised → level → (B, channels, h, w).

        Args:    guide: for a bottom_up with guide_channels, see `TimmBottomUp`.
        """
        maps = self.bottom_up(image) if guide is None else self.bottom_up(image, guide)
        top: Tensor | None = None
        results: dict[str, Tensor] = {}
        for level in reversed(self._levels):
            name = _pyramid(level)
            here = self.lateral[name](maps[level])
            if top is not None:
                here = here + F.interpolate(
                    top, size=here.shape[-2:], mode="bilinear", align_corners=False
                )
            top = here
            if name in self.output:
                results[name] = self.output[name](here)
        return results

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each level."""
        return self._shapes

    @property
    def size_divisibility(self) -> int:
        """Pictures need no particular size: levels are resized to each other."""
        return 0


def _pyramid(level: str) -> str:
    return f"p{level.removeprefix('res')}"


def build_resnet50() -> ResNet:
    """The published bottom-up network: strides in the 1x1 convolutions, batch norm that learns."""
    return ResNet(
        BasicStem(norm="BN"),
        ResNet.make_default_stages(50, stride_in_1x1=True, norm="BN"),
        out_features=["res2", "res3", "res4", "res5"],
    )


def build_published_backbone() -> FeaturePyramid:
    """ResNet-50 with a 256-channel pyramid of all four levels, as published."""
    return FeaturePyramid(build_resnet50(), channels=256, out_features=("p2", "p3", "p4", "p5"))


def build_light_backbone(
    name: str = LITE0,
    *,
    channels: int = 64,
    pretrained: bool = True,
    img_size: int | None = None,
    guide_channels: int = 0,
) -> FeaturePyramid:
    """A timm network with a light pyramid of which only stride 4 is computed."""
    bottom_up = TimmBottomUp(
        name, pretrained=pretrained, img_size=img_size, guide_channels=guide_channels
    )
    return FeaturePyramid(bottom_up, channels=channels)


@BACKBONE_REGISTRY.register()
def build_pose2seg_r50_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """`build_published_backbone` for MODEL.BACKBONE.NAME of a CfgNode."""
    return build_published_backbone()


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """`build_light_backbone` for a CfgNode: MODEL.TIMM and MODEL.FPN.OUT_CHANNELS."""
    return build_light_backbone(
        cfg.MODEL.TIMM.NAME,
        channels=cfg.MODEL.FPN.OUT_CHANNELS,
        pretrained=cfg.MODEL.TIMM.PRETRAINED,
        img_size=cfg.MODEL.TIMM.IMG_SIZE or None,
        guide_channels=cfg.MODEL.TIMM.GUIDE_CHANNELS,
    )
