"""Pose2Seg as a Detectron2 meta-architecture.

Keypoints of each person → region → aligned features and skeleton channels → mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor, nn

from kp2seg.alignment import sample_aligned, warp_back
from kp2seg.keypoint_sources.layouts import CORNERS
from kp2seg.modeling.aligners import Aligner, Regions
from kp2seg.modeling.cfgnode import pose2seg_arguments
from kp2seg.modeling.losses import mask_iou, mask_loss, quality_loss
from kp2seg.modeling.mask_head import MaskPrediction, MaskQualityHead
from kp2seg.modeling.people import People, gather_masks, gather_people
from kp2seg.modeling.region_matching import mirrored_regions
from kp2seg.skeleton import channel_order, skeleton_channels, skeleton_maps
from kp2seg.template_files import (
    Copies,
    PoseTemplates,
    labels_swapped_order,
    load_templates,
    matching_templates,
    templates_from_json,
)

ScoreMode = Literal["constant", "quality"]


class RegionMasks(NamedTuple):
    """Masks of P people in their regions.

    logit:       (P, 1, m, m).
    quality:     (P,) predicted IoU; None without a quality branch.
    A_img2mask:  (P, 3, 3) px of the picture to px of the mask, pixel centres at + 0.5.
    """

    logit: Tensor
    quality: Tensor | None
    A_img2mask: Tensor


@META_ARCH_REGISTRY.register()
class Pose2Seg(nn.Module):
    """A mask for each person whose keypoints are given.

    Inputs are Detectron2's: dicts with "image" (3, h, w) RGB of 0 to 255, "instances" with
    "gt_keypoints" or "pred_keypoints" (and "gt_masks" in training), and "height", "width" of the
    result. Training returns losses; inference {"instances": Instances} with pred_masks,
    pred_keypoints, pred_boxes (of the masks), pred_classes, scores, and mask_quality where there is
    a quality branch; row i is person i of the input.

    Args:    aligner: `FeatureAligner`, as published, or `ImageAligner`.
             mask_head: `PublishedMaskHead` or `LightMaskHead`, for `aligner.channels` +
             `skeleton_channels(templates)` channels (without skeleton only the former).
             templates: pose templates, or their JSON file, or what that holds.
             template_copies: "labels" as published, "mirror" or "none", see `matching_templates`.
             corner_weight: of the keypoints that are a box's corners, in the fit of a template;
             the others have 1. A large one makes regions as large as the boxes.
             quality_head: predicts masks' IoU; None for none.
             skeleton: give the head skeleton channels; a backbone with guide_channels gets them
             in any case.  skeleton_sigma: px of the grid.
             max_people: of a training step, drawn at random; 0 is all.  people_chunk: how many
             people go through the head at once at inference.
             dice: weight of the dice loss; 0 as published.
             mirrored: at inference, average the answers for a region and for its mirror image.
             score_mode: "constant", every score 1 as published, or "quality".
    Source:  Zhang et al. 2019.
    """

    template_points: Tensor
    mirror_order: Tensor  # (K,) which keypoint is where k was, in a mirrored picture

    @configurable
    def __init__(
        self,
        *,
        aligner: Aligner,
        mask_head: nn.Module,
        templates: PoseTemplates | Mapping[str, Any] | str | Path,
        template_copies: Copies = "labels",
        corner_weight: float = 1.0,
        quality_head: MaskQualityHead | None = None,
        skeleton: bool = True,
        skeleton_sigma: float = 3.0,
        max_people: int = 8,
        people_chunk: int = 8,
        dice: float = 0.0,
        mirrored: bool = False,
        score_mode: ScoreMode = "constant",
        input_format: str = "RGB",
    ) -> None:
        super().__init__()
        if score_mode not in ("constant", "quality"):
            raise ValueError(f"score_mode: expected 'constant' or 'quality', got {score_mode!r}")
        if score_mode == "quality" and quality_head is None:
            raise ValueError("score_mode: 'quality' needs a quality_head, got none")
        if people_chunk < 1:
            raise ValueError(f"people_chunk: expected at least 1, got {people_chunk}")
        if isinstance(templates, str | Path):
            templates = load_templates(templates)
        elif not isinstance(templates, PoseTemplates):
            templates = templates_from_json(templates)
        channels = aligner.channels + (skeleton_channels(templates) if skeleton else 0)
        if getattr(mask_head, "in_channels", channels) != channels:
            raise ValueError(
                f"mask_head: takes {mask_head.in_channels} channels; {aligner.channels} features"
                + (f" and {channels - aligner.channels} skeleton channels" if skeleton else "")
                + f" are {channels}: set in_channels={channels}"
            )
        guide = int(getattr(aligner.backbone, "guide_channels", 0))
        if guide and aligner.shared:
            raise ValueError(
                f"aligner.backbone: guide_channels={guide}, but with {type(aligner).__name__} "
                "people share what it sees; expected 0"
            )
        if guide not in (0, skeleton_channels(templates)):
            raise ValueError(
                f"aligner.backbone: guide_channels={guide}; these templates have "
                f"{skeleton_channels(templates)} skeleton channels"
            )
        self.templates = templates
        self.aligner = aligner
        self.guided = guide > 0
        self.mask_head = mask_head
        self.quality_head = quality_head
        self.skeleton, self.skeleton_sigma = skeleton, skeleton_sigma
        self.connections = channel_order(templates.connections)
        self.max_people, self.people_chunk = max_people, people_chunk
        self.dice = dice
        self.mirrored = mirrored
        order = labels_swapped_order(templates.names, templates.flip_map)
        self.register_buffer("mirror_order", torch.tensor(order), persistent=False)
        self.score_mode: ScoreMode = score_mode
        self.input_format = input_format
        points = matching_templates(templates, template_copies)
        self.register_buffer("template_points", points, persistent=False)
        if corner_weight != 1:
            weights = [corner_weight if name in CORNERS else 1.0 for name in templates.names]
            aligner.point_weight = torch.tensor(weights, dtype=torch.float64)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Arguments of `__init__` from a CfgNode with `kp2seg.config.add_kp2seg_config`."""
        return pose2seg_arguments(cfg)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.aligner.pixel_mean.device

    def forward(
        self, batched_inputs: Sequence[dict[str, Any]], generator: torch.Generator | None = None
    ) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """Losses in training, predictions otherwise.

        Args:    batched_inputs: see the class.  generator: of the random regions and the choice of
                 people in training, on the CPU.
        """
        if self.training:
            return self.losses(batched_inputs, generator)
        return self.inference(batched_inputs)

    def losses(
        self, batched_inputs: Sequence[dict[str, Any]], generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """{"loss_mask", and "loss_quality" with a quality branch}."""
        people = gather_people(batched_inputs, len(self.templates.names), self.device)
        if 0 < self.max_people < len(people):
            chosen = torch.randperm(len(people), generator=generator)[: self.max_people]
            people = people.take(chosen.sort().values.to(self.device))
        if len(people) == 0:
            nothing = torch.stack([p.sum() * 0 for p in self.parameters()]).sum()
            names = ("loss_mask", "loss_quality")[: 2 if self.quality_head else 1]
            return dict.fromkeys(names, nothing)
        regions = self.aligner.match(people, self.template_points, generator)
        seen = self.aligner.look([picture["image"] for picture in batched_inputs])
        masks = self.masks_of(seen, people, regions)
        gt_masks = self._true_masks(batched_inputs, people, masks)
        losses = {"loss_mask": mask_loss(masks.logit, gt_masks, dice=self.dice)}
        if masks.quality is not None:
            losses["loss_quality"] = quality_loss(masks.quality, mask_iou(masks.logit, gt_masks))
        return losses

    @torch.no_grad()
    def inference(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Instances]]:
        """One {"instances": Instances} for each picture, at its "height" and "width"."""
        people = gather_people(batched_inputs, len(self.templates.names), self.device)
        masks = _joined(list(self.region_masks(batched_inputs, people)))
        results = []
        for number, picture in enumerate(batched_inputs):
            h, w = people.image_sizes[number]
            size = (int(picture.get("height", h)), int(picture.get("width", w)))
            rows = (people.image_index == number).nonzero().squeeze(1)
            results.append({"instances": self._instances(masks, people, rows, size)})
        return results

    def region_masks(
        self, batched_inputs: Sequence[dict[str, Any]], people: People
    ) -> Iterator[RegionMasks]:
        """Masks in their regions, at most `people_chunk` people at a time, in order."""
        if len(people) == 0:
            return
        regions = self.aligner.match(people, self.template_points)
        seen = self.aligner.look([picture["image"] for picture in batched_inputs])
        for rows in torch.arange(len(people), device=self.device).split(self.people_chunk):
            yield self.masks_of(seen, people.take(rows), regions.take(rows))

    def masks_of(self, seen: Any, people: People, regions: Regions) -> RegionMasks:
        """Masks of people in their regions. Args: seen: of the aligner's `look`."""
        masks = self._masks_once(seen, people, regions)
        if not self.mirrored or self.training:
            return masks
        swapped = replace(people, visibility=people.visibility[:, self.mirror_order])
        mirror = mirrored_regions(
            regions, self.mirror_order, self.aligner.grid_size, self.aligner.convention
        )
        again = self._masks_once(seen, swapped, mirror)
        quality = None
        if masks.quality is not None and again.quality is not None:
            quality = (masks.quality + again.quality) / 2
        return RegionMasks((masks.logit + again.logit.flip(-1)) / 2, quality, masks.A_img2mask)

    def _masks_once(self, seen: Any, people: People, regions: Regions) -> RegionMasks:
        maps = self.skeleton_of(regions.kpts_grid, people.visibility)
        aligned = self.aligner.features(seen, people, regions, maps if self.guided else None)
        prediction = self.predict(aligned, maps)
        quality = None if self.quality_head is None else self.quality_head(prediction)
        scale = prediction.logit.shape[-1] / self.aligner.grid_size
        A_img2grid = self.aligner.in_centres(regions.A_img2grid)
        A_img2mask = A_img2grid * A_img2grid.new_tensor([[scale], [scale], [1.0]])
        return RegionMasks(prediction.logit, quality, A_img2mask)

    def skeleton_of(self, kpts_grid: Tensor, visibility: Tensor) -> Tensor | None:
        """(P, S, s, s) skeleton channels in the features' grid; None for a model that needs none.

        Args:    kpts_grid: (P, K, 2) px of the grid.  visibility: (P, K).
        """
        if not (self.skeleton or self.guided):
            return None
        side = self.aligner.grid_size
        shape = (kpts_grid.shape[0], skeleton_channels(self.templates), side, side)
        return skeleton_maps(
            kpts_grid,
            visibility,
            self.connections,
            (side, side),
            sigma_px=self.skeleton_sigma,
            convention=self.aligner.convention,
            out=kpts_grid.new_empty(shape, dtype=torch.float32),
        )

    def predict(self, aligned: Tensor, maps: Tensor | None) -> MaskPrediction:
        """Aligned features (P, C, s, s) and skeleton channels → the head's answer.

        Args:    maps: of `skeleton_of`.
        """
        if self.skeleton:
            assert maps is not None
            aligned = torch.cat([aligned, maps.to(aligned.dtype)], dim=1)
        aligned = aligned.contiguous(memory_format=torch.channels_last)
        prediction: MaskPrediction = self.mask_head(aligned)
        return prediction

    def _true_masks(
        self, batched_inputs: Sequence[dict[str, Any]], people: People, masks: RegionMasks
    ) -> Tensor:
        """(P, 1, m, m) of 0 and 1: the true masks, resampled into the regions."""
        side = masks.logit.shape[-1]
        resampled = masks.logit.new_zeros(masks.logit.shape, dtype=torch.float32)
        for number in people.image_index.unique().tolist():
            rows = (people.image_index == number).nonzero().squeeze(1)
            gt = gather_masks(batched_inputs, number, people.row[rows])
            resampled[rows] = sample_aligned(
                gt.float().to(self.device).unsqueeze(1),
                torch.arange(len(rows), device=self.device),
                masks.A_img2mask[rows],
                (side, side),
            )
        return (resampled > 0.5).float()

    def _instances(
        self, masks: RegionMasks | None, people: People, rows: Tensor, size: tuple[int, int]
    ) -> Instances:
        """The results of one picture. Args: rows: its people.  size: (h, w) of the result."""
        instances = Instances(size)
        picture = people.image_sizes[int(people.image_index[rows[0]])] if len(rows) else size
        zoom = people.kpts_img.new_tensor([size[1] / picture[1], size[0] / picture[0]])
        kpts = people.kpts_img[rows] * zoom
        v = people.visibility[rows].unsqueeze(-1)
        instances.pred_keypoints = torch.cat([torch.where(v > 0, kpts, 0.0), v.to(kpts)], dim=-1)
        instances.pred_classes = torch.zeros(len(rows), dtype=torch.long, device=self.device)
        instances.scores = kpts.new_ones(len(rows))
        if masks is None:
            instances.pred_masks = torch.zeros((0, *size), dtype=torch.bool, device=self.device)
        else:
            to_picture = masks.A_img2mask.new_tensor([1 / zoom[0], 1 / zoom[1], 1.0])
            instances.pred_masks = warp_back(
                masks.logit[rows].float().sigmoid(),
                self.aligner.from_centres(masks.A_img2mask[rows] * to_picture),
                size,
                threshold=0.5,
                convention=self.aligner.convention,
            )
        if self.quality_head is not None:
            quality = kpts.new_zeros(0) if masks is None or masks.quality is None else masks.quality
            instances.mask_quality = quality[rows] if len(rows) else quality[:0]
            if self.score_mode == "quality":
                instances.scores = instances.mask_quality
        instances.pred_boxes = Boxes(_mask_boxes(instances.pred_masks))
        return instances


def _joined(chunks: list[RegionMasks]) -> RegionMasks | None:
    """All chunks as one; None for no people."""
    if not chunks:
        return None
    logits, qualities, maps = zip(*chunks, strict=True)
    quality = None if qualities[0] is None else torch.cat(qualities)
    return RegionMasks(torch.cat(logits), quality, torch.cat(maps))


def _mask_boxes(masks: Tensor) -> Tensor:
    """(P, 4) x0, y0, x1, y1 of masks (P, h, w); 0 for an empty one."""
    return BitMasks(masks).get_bounding_boxes().tensor.to(masks.device)
