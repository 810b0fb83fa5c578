"""A trunk that has seen photographs: EfficientNet-Lite0 with a feature pyramid.

Not in the paper. The paper's thirteen convolutions at full resolution learn to find points of an
object on black; in a picture full of things a small network of that kind learns next to nothing in
the time, and this one, whose ImageNet weights are installed with the project, does.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from keypointnet.config import PYRAMID_STRIDES
from keypointnet.depthwise import train_depthwise_in_float32
from keypointnet.imagenet import LITE0, LITE0_MEAN, LITE0_STD, load_lite0


class PyramidTrunk(nn.Module):
    """(B, planes, H, W) in [0, 1] → (B, channels, ceil(H / downsample), ceil(W / downsample)).

    Args:    in_planes: 3, or more whose weights start at 0.  channels: of every level.
             downsample: stride of the maps, one of PYRAMID_STRIDES.
             bn_momentum: 1 − decay of the running averages.
             pretrained: start from the ImageNet weights.
    Raises:  ValueError: another downsample.
    Source:  Lin et al. 2017 for the pyramid.
    """

    def __init__(
        self,
        in_planes: int,
        channels: int,
        *,
        downsample: int,
        bn_momentum: float = 0.1,
        pretrained: bool = False,
    ) -> None:
        import timm  # seconds, which those without a pyramid need not wait

        super().__init__()
        if downsample not in PYRAMID_STRIDES:
            raise ValueError(
                f"PyramidTrunk: expected downsample to be one of {PYRAMID_STRIDES}, "
                f"got {downsample}"
            )
        first = PYRAMID_STRIDES.index(downsample)
        self.network = timm.create_model(
            LITE0,
            pretrained=False,
            features_only=True,
            in_chans=in_planes,
            out_indices=tuple(range(first, len(PYRAMID_STRIDES))),
        )
        if pretrained:
            load_lite0(self.network)
        train_depthwise_in_float32(self.network)
        info: Any = self.network.feature_info
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in info.channels())
        self.output = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = bn_momentum

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        maps = self.network((image - LITE0_MEAN) / LITE0_STD)
        top = self.lateral[-1](maps[-1])
        for lateral, here in zip(self.lateral[-2::-1], maps[-2::-1], strict=True):
            top = lateral(here) + F.interpolate(
                top, size=here.shape[-2:], mode="bilinear", align_corners=False
            )
        features: Tensor = self.output(top)
        return features
