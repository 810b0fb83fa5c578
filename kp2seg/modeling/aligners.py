"""Features of each person's region: from the picture's feature map, or from the region itself.

B pictures, P people. Both aligners give `Regions`: where the regions lie, their features, and the
keypoints in the features' grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.modeling import Backbone
from torch import Tensor, nn

from kp2seg.affine import (
    Convention,
    Transform,
    compose,
    invert,
    letterbox,
    pixel_offset,
    scaled_single,
    shifted,
    transform_points,
)
from kp2seg.alignment import sample_aligned
from kp2seg.modeling.people import People
from kp2seg.modeling.region_matching import (
    Fallback,
    Matching,
    Regions,
    check_matching,
    match_regions,
    random_jitter,
)
from kp2seg.pictures import cut, pyramid, to_bytes, to_float, warp


class Aligner(nn.Module):
    """What both aligners share: how regions are matched, and how pictures are normalised.

    Args:    backbone: a Detectron2 backbone.  in_feature: its level to use.
             pixel_mean, pixel_std: of each colour channel, for values of 0 to 255.
             convention: where pixels lie, see `kp2seg.affine.Convention`.
             matching, transform, region_scale, fallback, box_expand: see `match_regions`.
             jitter: {"angle_deg", "scale", "shift"} of `random_jitter` in training; None for none.
    Raises:  ValueError: the backbone lacks the level, or an unknown choice.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    shared: bool  # whether people of a picture share what the backbone sees
    point_weight: Tensor | None  # (K,) of the keypoints in the fit; None: all alike

    def __init__(
        self,
        backbone: Backbone,
        *,
        in_feature: str = "p2",
        pixel_mean: Sequence[float] = (123.675, 116.28, 103.53),
        pixel_std: Sequence[float] = (58.395, 57.12, 57.375),
        convention: Convention = "centres",
        matching: Matching = "templates",
        transform: Transform = "similarity",
        region_scale: float = 1.0,
        fallback: Fallback = "whole",
        box_expand: float = 1.7,
        jitter: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        shapes = backbone.output_shape()
        if in_feature not in shapes:
            raise ValueError(
                f"{type(self).__name__}: the backbone has no feature {in_feature!r}, only "
                f"{', '.join(shapes)}"
            )
        check_matching(matching, transform, fallback)
        self.backbone = backbone
        self.in_feature = in_feature
        self.stride = int(shapes[in_feature].stride)
        self.channels = int(shapes[in_feature].channels)
        self.convention: Convention = convention
        self.offset = pixel_offset(convention)
        self.matching = {
            "matching": matching,
            "transform": transform,
            "region_scale": region_scale,
            "fallback": fallback,
            "box_expand": box_expand,
        }
        self.register_buffer("point_weight", None, False)
        self.jitter = jitter
        if jitter is not None:
            try:
                random_jitter(0, (1, 1), **jitter)  # type: ignore[arg-type]
            except (TypeError, IndexError) as error:
                raise ValueError(
                    f"jitter: expected angle_deg, scale=(from, to) and shift, got {jitter}"
                ) from error
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @property
    def grid_size(self) -> int:
        """Side of the features' grid."""
        raise NotImplementedError

    def look(self, images: Sequence[Tensor]) -> Any:
        """What `features` needs of B pictures (3, h, w) of 0 to 255."""
        raise NotImplementedError

    def match(
        self, people: People, templates: Tensor, generator: torch.Generator | None = None
    ) -> Regions:
        """Where the people's regions lie.

        Args:    templates: of `kp2seg.template_files.matching_templates`.
                 generator: of training's jitter.
        """
        raise NotImplementedError

    def features(
        self, seen: Any, people: People, regions: Regions, guide: Tensor | None = None
    ) -> Tensor:
        """(P, C, grid, grid) of the people's regions.

        Args:    seen: from `look`.  guide: what else a backbone with guide_channels sees of each.
        """
        raise NotImplementedError

    def normalise(self, image: Tensor) -> Tensor:
        """(…, 3, h, w) of 0 to 255 → what the backbone takes."""
        return (image.float() - self.pixel_mean) / self.pixel_std

    def points_in_convention(self, people: People) -> Tensor:
        """(P, K, 2) float64 px of the picture, in the aligner's pixel convention."""
        return people.kpts_img.double() + (self.offset - 0.5)

    def in_centres(self, A_src2dst: Tensor) -> Tensor:
        """(..., 3, 3) of the aligner's convention, as of pixels with centres at + 0.5."""
        return shifted(A_src2dst, 0.5 - self.offset)

    def from_centres(self, A_src2dst: Tensor) -> Tensor:
        """The inverse of `in_centres`."""
        return shifted(A_src2dst, self.offset - 0.5)

    def jittered(
        self, A_src2align: Tensor, size: tuple[int, int], generator: torch.Generator | None
    ) -> Tensor:
        """The regions with training's random jitter, where there is any."""
        if not self.training or self.jitter is None:
            return A_src2align
        jitter = random_jitter(len(A_src2align), size, generator, **self.jitter)  # type: ignore[arg-type]
        return compose(jitter.to(A_src2align.device), A_src2align)


class FeatureAligner(Aligner):
    """Published: the backbone sees the whole picture, and its feature map is sampled.

    Pictures are letterboxed to input_size x input_size; their map of in_feature is resampled to
    align_size x align_size for each person. The cost of the backbone does not depend on the number
    of people.

    Args:    input_size: px.  align_size: side of the grid.  The others: as of `Aligner`.
    Source:  Zhang et al. 2019, section 3.2.
    """

    shared = True

    def __init__(
        self, backbone: Backbone, *, input_size: int = 512, align_size: int = 64, **shared: object
    ) -> None:
        super().__init__(backbone, **shared)  # type: ignore[arg-type]
        self.input_size, self.align_size = input_size, align_size
        if input_size % self.stride:
            raise ValueError(
                f"FeatureAligner: input_size must be a multiple of the stride {self.stride}, got "
                f"{input_size}"
            )

    @property
    def grid_size(self) -> int:
        """Side of the features' grid."""
        return self.align_size

    def look(self, images: Sequence[Tensor]) -> Tensor:
        """B pictures (3, h, w) of 0 to 255 → their feature maps (B, C, side, side)."""
        return self.feature_maps(self.letterboxed(images).to(self.pixel_mean.device))

    def letterboxed(self, images: Sequence[Tensor]) -> Tensor:
        """(B, 3, input_size, input_size) float32 of 0 to 255 on the CPU, black around.

        By OpenCV and rounded to bytes, because the published weights were trained on that.
        """
        size = (self.input_size, self.input_size)
        boxed = [
            warp(to_bytes(image), self._letterbox(image.shape[-2:]).numpy(), size, self.offset)
            for image in images
        ]
        return to_float(np.stack(boxed))

    def feature_maps(self, letterboxed: Tensor) -> Tensor:
        """(B, 3, input_size, input_size) of 0 to 255 → (B, C, side, side)."""
        image = self.normalise(letterboxed).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.backbone(image)[self.in_feature]
        return maps

    def match(
        self, people: People, templates: Tensor, generator: torch.Generator | None = None
    ) -> Regions:
        """Where the people's regions lie, matched in the feature map's pixels as published."""
        side, grid = self.input_size // self.stride, self.align_size
        A_img2feat = self._img2feat(people)
        kpts_img = self.points_in_convention(people)
        # An exported program cannot call OpenCV.
        single = self.convention == "published" and not torch.compiler.is_compiling()
        kpts_feat = (scaled_single if single else transform_points)(A_img2feat, kpts_img)
        found = match_regions(
            kpts_feat,
            people.visibility,
            templates,
            source_size=A_img2feat.new_full((len(people), 2), side),
            align_size=(grid, grid),
            single=single,
            weight=self.point_weight,
            **self.matching,  # type: ignore[arg-type]
        )
        A_feat2grid = self.jittered(found.A_src2align, (grid, grid), generator)
        A_img2grid = compose(A_feat2grid, A_img2feat)
        return Regions(A_img2grid, transform_points(A_feat2grid, kpts_feat), found.template)

    def features(
        self, seen: Tensor, people: People, regions: Regions, guide: Tensor | None = None
    ) -> Tensor:
        """(P, C, grid, grid) of the maps that `look` made. No guide: they are shared."""
        A_feat2grid = compose(regions.A_img2grid, invert(self._img2feat(people)))
        size = (self.align_size, self.align_size)
        return sample_aligned(seen, people.image_index, A_feat2grid, size, self.convention)

    def _img2feat(self, people: People) -> Tensor:
        """(P, 3, 3) px of each person's picture to px of its feature map."""
        A = self._letterbox(people.source_sizes())
        return A / A.new_tensor([[self.stride], [self.stride], [1.0]])

    def _letterbox(self, sizes: Sequence[int] | Tensor) -> Tensor:
        """(3, 3) or (P, 3, 3) px of pictures of these sizes (h, w) to px of the input."""
        sizes = torch.as_tensor(sizes)
        frame = (self.input_size, self.input_size)
        return letterbox(sizes, frame, sizes.device, single=self.convention == "published")


class ImageAligner(Aligner):
    """Each person's region is cut from the full-resolution picture, and the backbone sees that.

    Small people keep their detail, and each costs a pass of the backbone over its region.

    Args:    region_size: px of the square region.  The others: as of `Aligner`.
    Source:  "apply transformation H to an input image" in place of its features.
    """

    shared = False

    def __init__(self, backbone: Backbone, *, region_size: int = 192, **shared: object) -> None:
        super().__init__(backbone, **shared)  # type: ignore[arg-type]
        if self.convention != "centres":
            raise ValueError(
                "ImageAligner: expected convention 'centres' (the published method does not align "
                f"pictures), got {self.convention!r}"
            )
        if region_size % self.stride:
            raise ValueError(
                f"ImageAligner: region_size must be a multiple of the stride {self.stride}, got "
                f"{region_size}"
            )
        self.region_size = region_size

    @property
    def grid_size(self) -> int:
        """Side of the features' grid."""
        return self.region_size // self.stride

    def look(self, images: Sequence[Tensor]) -> list[list[np.ndarray]]:
        """B pictures (3, h, w) of 0 to 255 → their pyramids of halves, (h, w, 3) uint8 each."""
        return [pyramid(to_bytes(image)) for image in images]

    def match(
        self, people: People, templates: Tensor, generator: torch.Generator | None = None
    ) -> Regions:
        """Where the people's regions lie, matched in the pictures' own pixels."""
        side = (self.region_size, self.region_size)
        kpts_img = self.points_in_convention(people)
        found = match_regions(
            kpts_img,
            people.visibility,
            templates,
            source_size=people.source_sizes(),
            align_size=side,
            weight=self.point_weight,
            **self.matching,  # type: ignore[arg-type]
        )
        A_img2region = self.jittered(found.A_src2align, side, generator)
        A_img2grid = A_img2region / A_img2region.new_tensor([[self.stride], [self.stride], [1.0]])
        return Regions(A_img2grid, transform_points(A_img2grid, kpts_img), found.template)

    def features(
        self,
        seen: list[list[np.ndarray]],
        people: People,
        regions: Regions,
        guide: Tensor | None = None,
    ) -> Tensor:
        """(P, C, grid, grid) of regions cut from the pyramids that `look` made."""
        side = (self.region_size, self.region_size)
        to_region = np.array([[self.stride], [self.stride], [1.0]])
        regions_cut = [
            cut(seen[image], A * to_region, side)
            for image, A in zip(
                people.image_index.tolist(), regions.A_img2grid.detach().cpu().numpy(), strict=True
            )
        ]
        pictures = to_float(np.stack(regions_cut)).to(self.pixel_mean.device)
        return self.region_features(pictures, guide)

    def region_features(self, pictures: Tensor, guide: Tensor | None = None) -> Tensor:
        """Regions (P, 3, region_size, region_size) of 0 to 255 → (P, C, grid, grid).

        Args:    guide: (P, guide_channels, grid, grid).
        """
        image = self.normalise(pictures).contiguous(memory_format=torch.channels_last)
        seen = (image,) if guide is None else (image, guide)
        features: Tensor = self.backbone(*seen)[self.in_feature]
        return features
