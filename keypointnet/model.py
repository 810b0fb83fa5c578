"""KeypointNet and its orientation network, as published.

Thirteen 3x3 convolutions with dilations 1, 1, 2, 4, 8, 16, 1, 2, 4, 8, 16, 1, 1: every map cell
sees the whole picture at full resolution. All but the last have batch norm (without a scale) and
leaky ReLU; the last is split into N probability maps and N depth maps.

Shapes: B images, N keypoints, H x W pixels, h x w map cells (= H x W unless `downsample` > 1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from keypointnet.heatmaps import cell_centres, concentration, expectation, spatial_softmax
from keypointnet.pyramid_trunk import PyramidTrunk

DILATIONS = (1, 1, 2, 4, 8, 16, 1, 2, 4, 8, 16, 1)
LEAKY_SLOPE = 0.1
BATCH_NORM_EPS = 1e-3


class Prediction(NamedTuple):
    """What KeypointNet says of B pictures.

    uvz:            (B, N, 3) normalised (u, v) and camera depth z.
    confidence:     (B, N) in [0, 1]; see `heatmaps.concentration`.
    orientation_uv: (B, 2, 2) where the network sees (+1, 0, 0) and (−1, 0, 0); None if it has no
                    orientation network.
    prob:           (B, N, h, w) probability maps; None unless asked for.
    """

    uvz: Tensor
    confidence: Tensor
    orientation_uv: Tensor | None
    prob: Tensor | None


class BatchNormBias(nn.BatchNorm2d):
    """Batch norm with an offset and no scale, TF-slim's default; the next layer scales anyway."""

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__(channels, eps=BATCH_NORM_EPS, momentum=momentum)
        del self.weight
        # The fused kernels want a weight beside a bias: a constant one, not saved, not trained.
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class DilatedTrunk(nn.Sequential):
    """The twelve dilated convolutions. (B, in_channels, H, W) → (B, channels, h, w).

    downsample: s > 1 first folds every s x s block of pixels into channels, so that all layers run
    on maps s times smaller each way. Not in the paper, where s = 1; s² times cheaper.
    """

    def __init__(
        self, in_channels: int, channels: int, *, downsample: int, bn_momentum: float
    ) -> None:
        layers: list[nn.Module] = []
        if downsample > 1:
            layers.append(nn.PixelUnshuffle(downsample))
            in_channels *= downsample**2
        for dilation in DILATIONS:
            layers += [
                nn.Conv2d(
                    in_channels, channels, 3, padding=dilation, dilation=dilation, bias=False
                ),
                BatchNormBias(channels, bn_momentum),
                nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            ]
            in_channels = channels
        super().__init__(*layers)


class OrientationNet(nn.Module):
    """Tells which way the object faces: the projections of (+1, 0, 0) and (−1, 0, 0).

    Args of forward: image (B, 3, H, W) in [0, 1]. Returns: (B, 2, 2) normalised (u, v).
    Source: Suwajanakorn et al. 2018, section 4.
    """

    def __init__(
        self, channels: int = 32, *, downsample: int = 1, bn_momentum: float = 0.001
    ) -> None:
        super().__init__()
        self.trunk = DilatedTrunk(3, channels, downsample=downsample, bn_momentum=bn_momentum)
        self.head = nn.Conv2d(channels, 2, 3, padding=1)
        _xavier(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 2, 2): see the class."""
        prob = spatial_softmax(self.head(self.trunk(image)))
        grid = cell_centres(prob.shape[-2:], device=prob.device, dtype=prob.dtype)
        return expectation(prob, grid)


class ResidualOrientationNet(nn.Module):
    """The same question put to a small ResNet that halves its maps as it goes. Not in the paper.

    On a CPU it learns from three times as many pictures in the same time as `OrientationNet` does
    at `downsample` 2, and has room for more shapes; see docs/deviations.md.

    Args:    channels: of the first stage, on maps of half the picture's size; the three that
             follow have 2, 4 and 6 times as many.
    """

    def __init__(self, channels: int = 24, *, bn_momentum: float = 0.001) -> None:
        super().__init__()
        stem = nn.Conv2d(3, channels, 5, stride=2, padding=2, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        width = channels
        for factor in (2, 4, 6):
            shortcut = nn.Sequential(
                nn.Conv2d(width, factor * channels, 1, stride=2, bias=False),
                nn.BatchNorm2d(factor * channels),
            )
            layers.append(BasicBlock(width, factor * channels, stride=2, downsample=shortcut))
            width = factor * channels
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(width, 4)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = bn_momentum
        _xavier(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 2, 2), as `OrientationNet`; H and W need no factor."""
        pooled = self.trunk(image).mean(dim=(2, 3))
        # Autocast would round the answer to bf16's 8 bits, with a left and a right that tie.
        with torch.autocast(image.device.type, enabled=False):
            uv: Tensor = self.head(pooled.float())
        return uv.view(-1, 2, 2)


def build_orientation_net(
    kind: str, channels: int, *, downsample: int, bn_momentum: float
) -> OrientationNet | ResidualOrientationNet:
    """The orientation network of a kind: "dilated", the paper's, or "residual".

    Raises:  ValueError: another kind.
    """
    if kind == "dilated":
        return OrientationNet(channels, downsample=downsample, bn_momentum=bn_momentum)
    if kind == "residual":
        return ResidualOrientationNet(channels, bn_momentum=bn_momentum)
    raise ValueError(f"orientation_network: expected 'dilated' or 'residual', got {kind!r}")


class KeypointNet(nn.Module):
    """f_θ: a picture → N ordered 3-D keypoints (uᵢ, vᵢ, zᵢ).

    [uᵢ, vᵢ] = Σ [u gᵢ, v gᵢ] and zᵢ = Σ (depth_offset + dᵢ) gᵢ, with gᵢ the spatial softmax of
    the i-th probability map and dᵢ the i-th depth map. A constant plane beside the colours carries
    the orientation flag: 1 where (+1, 0, 0) of the object projects to the right of (−1, 0, 0).

    Args:    num_keypoints: N.  channels: of the trunk.  trunk: "dilated", the paper's, or
             "pyramid", see `PyramidTrunk`.  pretrained: the latter starts from its ImageNet
             weights.  orientation_channels: of the orientation
             network; 0 leaves it out, and the flag plane too.  orientation_network: its kind, see
             `build_orientation_net`.  orientation_mirrored: in evaluation mode, average its answers
             for a picture and for the mirrored one, as is right for objects symmetric in x; not in
             the paper.  orientation_downsample: it sees the picture averaged over blocks of so many
             pixels each way.  depth_offset: the camera distance.
             downsample: see `DilatedTrunk`; picture sides must be multiples of it.
             bn_momentum: 1 − decay of the running averages.
    Source:  Suwajanakorn et al. 2018, section 4; with its defaults 523,318 trainable weights.
    """

    def __init__(
        self,
        num_keypoints: int = 10,
        *,
        channels: int = 64,
        orientation_channels: int = 32,
        orientation_network: str = "dilated",
        orientation_mirrored: bool = False,
        orientation_downsample: int = 1,
        depth_offset: float = 30.0,
        downsample: int = 1,
        bn_momentum: float = 0.001,
        trunk: str = "dilated",
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if trunk not in ("dilated", "pyramid"):
            raise ValueError(f"trunk: expected 'dilated' or 'pyramid', got {trunk!r}")
        if orientation_downsample < 1 or downsample % orientation_downsample:
            raise ValueError(
                "KeypointNet: expected a downsample that is a multiple of orientation_downsample, "
                f"got {downsample} and {orientation_downsample}"
            )
        if num_keypoints < 1 or channels < 1 or orientation_channels < 0 or downsample < 1:
            raise ValueError(
                "KeypointNet: expected num_keypoints, channels, downsample ≥ 1 and "
                f"orientation_channels ≥ 0, got {num_keypoints}, {channels}, {downsample}, "
                f"{orientation_channels}"
            )
        self.num_keypoints = num_keypoints
        self.depth_offset = depth_offset
        self.downsample = downsample
        self.orientation_mirrored = orientation_mirrored
        self.orientation_downsample = orientation_downsample
        self.orientation = (
            build_orientation_net(
                orientation_network,
                orientation_channels,
                downsample=downsample // orientation_downsample,
                bn_momentum=bn_momentum,
            )
            if orientation_channels
            else None
        )
        planes = 3 if self.orientation is None else 4
        self.trunk: nn.Module
        if trunk == "dilated":
            self.trunk = DilatedTrunk(
                planes, channels, downsample=downsample, bn_momentum=bn_momentum
            )
            _xavier(self.trunk)
        else:
            self.trunk = PyramidTrunk(
                planes,
                channels,
                downsample=downsample,
                bn_momentum=bn_momentum,
                pretrained=pretrained,
            )
        self.head_prob = nn.Conv2d(channels, num_keypoints, 3, padding=1)
        self.head_depth = nn.Conv2d(channels, num_keypoints, 3, padding=1)
        for module in (self.head_prob, self.head_depth):
            _xavier(module)

    def forward(
        self,
        image: Tensor,
        *,
        gt_flag: Tensor | None = None,
        gt_share: float = 0.0,
        round_flag: bool = False,
        return_prob: bool = False,
    ) -> Prediction:
        """Predicts the keypoints of a batch of pictures.

        Args:    image: (B, 3, H, W) RGB in [0, 1]; H and W multiples of `downsample`, not
                 necessarily equal or the training size.
                 gt_flag: (B,) true orientation flags in {0, 1}, for the first part of training.
                 gt_share: the plane is gt_share · gt_flag + (1 − gt_share) · predicted flag.
                 round_flag: round that mixture to 0 or 1, as the released code does.
                 return_prob: also return the probability maps.
        Raises:  ValueError: image is not (B, 3, H, W) or its sides are not such multiples.
        """
        self._check(image)
        orientation_uv = None
        if self.orientation is not None:
            seen = F.avg_pool2d(image, self.orientation_downsample)
            orientation_uv = self.orientation(seen)
            if self.orientation_mirrored and not self.orientation.training:
                mirrored = mirrored_axis(self.orientation(seen.flip(-1)))
                orientation_uv = (orientation_uv + mirrored) / 2
            flag = orientation_flag(orientation_uv)
            if gt_flag is not None:
                flag = gt_share * gt_flag.to(flag) + (1 - gt_share) * flag
                flag = flag.round() if round_flag else flag
            plane = flag.to(image.dtype).view(-1, 1, 1, 1).expand(-1, 1, *image.shape[-2:])
            image = torch.cat([image, plane], dim=1)
        features = self.trunk(image)
        prob = spatial_softmax(self.head_prob(features))
        depth = self.depth_offset + self.head_depth(features).to(prob.dtype)
        uv = expectation(prob, cell_centres(prob.shape[-2:], device=prob.device, dtype=prob.dtype))
        z = expectation(prob, depth)
        with torch.no_grad():
            confidence = concentration(prob, uv)
        return Prediction(
            uvz=torch.cat([uv, z.unsqueeze(-1)], dim=-1),
            confidence=confidence,
            orientation_uv=orientation_uv,
            prob=prob if return_prob else None,
        )

    def _check(self, image: Tensor) -> None:
        ok = image.ndim == 4 and image.shape[1] == 3
        if not ok or image.shape[-2] % self.downsample or image.shape[-1] % self.downsample:
            raise ValueError(
                "KeypointNet: expected an image batch (B, 3, H, W) with H and W multiples of "
                f"{self.downsample}, got {tuple(image.shape)}"
            )


def orientation_flag(orientation_uv: Tensor) -> Tensor:
    """1 where (+1, 0, 0) lies to the right of (−1, 0, 0) in the picture, else 0.

    Args:    (B, 2, 2) projected axis points.
    Returns: (B,) float, without gradient (a sign has none).
    """
    return (orientation_uv[:, 0, 0] > orientation_uv[:, 1, 0]).to(orientation_uv.dtype).detach()


def mirrored_axis(orientation_uv: Tensor) -> Tensor:
    """What the orientation network should say of the mirrored picture of an object symmetric in x.

    Args, returns: (B, 2, 2) projected axis points. u changes its sign, and as the mirrored object's
    left is called left, the two points change places.
    """
    return orientation_uv.flip(1) * orientation_uv.new_tensor([-1.0, 1.0])


def _xavier(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
