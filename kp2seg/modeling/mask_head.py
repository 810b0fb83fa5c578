"""Mask heads: aligned features and skeleton maps of a person → foreground logits.

Shapes: P people, C feature channels, S skeleton channels, s x s aligned cells, m x m mask cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskPrediction(NamedTuple):
    """What a head says of P people.

    logit:    (P, 1, m, m), positive inside the mask.
    features: (P, F, h, w), what a mask-quality branch looks at.
    """

    logit: Tensor
    features: Tensor


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with biases and batch norms, around a shortcut."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out_channels, 1), nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


def _check_grid(head: nn.Module, aligned: Tensor, multiple: int) -> None:
    """Raises ValueError for a grid that the head would stretch, and so shift the mask on."""
    if aligned.shape[-2] % multiple or aligned.shape[-1] % multiple:
        raise ValueError(
            f"{type(head).__name__}: expected aligned features with sides that are multiples of "
            f"{multiple}, got {tuple(aligned.shape)}; change align_size or region_size"
        )


class PublishedMaskHead(nn.Module):
    """SegModule: 7x7/2 to 256, ten bottlenecks of 1024, twice the size, one of 512, two classes.

    Args:    in_channels: C + S; 311 as published.
    Source:  Zhang et al. 2019, section 3.4 and the released code.
    """

    def __init__(self, in_channels: int = 311) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = nn.Conv2d(in_channels, 256, 7, stride=2, padding=3)
        self.stem_norm = nn.BatchNorm2d(256)
        self.body = nn.Sequential(
            *(_Bottleneck(256 if unit == 0 else 1024, 256) for unit in range(10))
        )
        self.decoder = _Bottleneck(1024, 128)
        self.classes = nn.Conv2d(512, 2, 1)
        self.feature_channels = 512

    def forward(self, aligned: Tensor) -> MaskPrediction:
        """(P, C + S, s, s), s even → logits of (P, 1, s, s): foreground less background."""
        _check_grid(self, aligned, 2)
        features = self.decode(aligned)
        logits = self.classes(features)
        return MaskPrediction(logits[:, 1:] - logits[:, :1], features)

    def decode(self, aligned: Tensor) -> Tensor:
        """What the two classes are told from: (P, C + S, s, s) → (P, 512, s, s)."""
        x = self.body(F.relu(self.stem_norm(self.stem(aligned))))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        out: Tensor = self.decoder(x)
        return out


class _SeparableBlock(nn.Module):
    """5x5 depthwise, 1x1 to twice the channels, 1x1 back, around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.out_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.expand(self.norm(self.spatial(x))))
        return x + self.out_norm(self.project(out))


class LightMaskHead(nn.Module):
    """A head for machines without a GPU: about a hundredth of the published one's work.

    Blocks at the aligned size, and a second branch at a quarter of it that sees the whole person;
    then one doubling to masks of twice the aligned size.

    Args:    in_channels: C + S.  channels: of all layers.  blocks: at (full, quarter) size.
    """

    def __init__(
        self, in_channels: int, *, channels: int = 64, blocks: Sequence[int] = (3, 4)
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        full, quarter = blocks
        self.fine = nn.Sequential(*(_SeparableBlock(channels) for _ in range(full)))
        self.down = nn.Conv2d(channels, 2 * channels, 4, stride=4)
        self.coarse = nn.Sequential(*(_SeparableBlock(2 * channels) for _ in range(quarter)))
        self.up = nn.Conv2d(2 * channels, channels, 1)
        self.fuse = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.foreground = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)
        self.feature_channels = channels

    def forward(self, aligned: Tensor) -> MaskPrediction:
        """(P, C + S, s, s), s a multiple of 4 → logits of (P, 1, 2 s, 2 s)."""
        _check_grid(self, aligned, 4)
        x = self.fine(self.stem(aligned))
        whole = self.up(self.coarse(self.down(x)))
        x = x + F.interpolate(whole, size=x.shape[-2:], mode="bilinear", align_corners=False)
        x = self.fuse(x)
        return MaskPrediction(self.foreground(x), x)


class MaskQualityHead(nn.Module):
    """Predicts a mask's IoU with the truth from the head's features and the mask itself.

    Args:    in_channels: `feature_channels` of the mask head.  channels: of its own layers.
    Source:  the idea of Mask Scoring R-CNN (Huang et al. 2019).
    """

    def __init__(self, in_channels: int, *, channels: int = 64) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, channels, 1)
        self.body = nn.Sequential(
            nn.Conv2d(channels + 1, channels, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.iou = nn.Linear(4 * channels, 1)
        nn.init.zeros_(self.iou.weight)
        nn.init.constant_(self.iou.bias, 1.0)

    def forward(self, prediction: MaskPrediction) -> Tensor:
        """(P,) predicted IoU in (0, 1). Trains this branch alone: its input is detached."""
        features = self.reduce(prediction.features.detach())
        mask = prediction.logit.detach().sigmoid().to(features.dtype)
        mask = F.adaptive_avg_pool2d(mask, features.shape[-2:])
        x = self.body(torch.cat([features, mask], dim=1))
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        quality: Tensor = self.iou(pooled).float().sigmoid().squeeze(1)
        return quality
