"""What happens to one object on the way from its pose to its mask, in pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from keypointnet.drawing import BACKGROUND, keypoint_colours
from kp2seg.drawing import cut_out_object, draw_people
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.modeling.people import gather_people
from kp2seg.pictures import cut, pyramid, to_bytes
from kp2seg.report.page import Picture
from kp2seg.skeleton import skeleton_maps
from kp2seg.template_drawing import draw_templates

_SIDE = 288


def object_steps(model: Pose2Seg, picture: dict[str, Any], row: int) -> list[Picture]:
    """Pose, template, aligned region, skeleton channels, probability and mask of one object.

    Args:    model: in evaluation mode.  picture: its input.  row: of its instances.
    """
    templates = model.templates
    people = gather_people([picture], len(templates.names), model.device)
    one = people.take(torch.tensor([row], device=model.device))
    with torch.inference_mode():
        regions = model.aligner.match(one, model.template_points)
        masks = model.masks_of(model.aligner.look([picture["image"]]), one, regions)
        found = model([picture])[0]["instances"].to("cpu")
        maps = skeleton_maps(
            regions.kpts_grid,
            one.visibility,
            model.connections,
            (model.aligner.grid_size,) * 2,
            sigma_px=model.skeleton_sigma,
            convention=model.aligner.convention,
        )[0].cpu()
    rgb = to_bytes(picture["image"])
    points = found.pred_keypoints[row].numpy()
    posed = draw_people(rgb, np.zeros((1, *rgb.shape[:2]), bool), points[None], model.connections)
    cut_mask = found.pred_masks[row : row + 1].numpy()
    masked = draw_people(rgb, cut_mask, points[None], model.connections)
    counted = int((one.visibility > 0).sum())
    total = len(templates.names)
    steps = [
        Picture(
            cut_out_object(posed, points, _SIDE),
            f"The object in its picture, with {counted} of {total} keypoints joined by lines.",
            f"1. Pose: {counted} of {total} keypoints count.",
            smooth=True,
        )
    ]
    template = int(regions.template[0])
    if template >= 0:
        # copies with left and right exchanged stand behind the templates themselves
        shown = replace(templates, templates=model.template_points[template : template + 1].numpy())
        steps.append(
            Picture(
                draw_templates(shown, tile_px=_SIDE),
                "The template that fits best, as a skeleton.",
                f"2. Template: number {template} of {len(model.template_points)} fits best.",
            )
        )
    else:
        steps.append(
            Picture(
                np.full((_SIDE, _SIDE, 3), BACKGROUND, np.uint8),
                "Nothing: no template fits.",
                "2. Template: none fits, so the region is the fallback's.",
            )
        )
    side = masks.logit.shape[-1]
    A_mask2shown = np.array([[_SIDE / side], [_SIDE / side], [1.0]])
    region = cut(pyramid(rgb), masks.A_img2mask[0].cpu().numpy() * A_mask2shown, (_SIDE, _SIDE))
    probability = masks.logit[0, 0].float().sigmoid().cpu().numpy()
    quality = "" if masks.quality is None else f", predicted IoU {float(masks.quality[0]):.2f}"
    return [
        *steps,
        Picture(
            region,
            "The part of the picture that the head sees, turned and scaled to the template.",
            "3. Aligned region: what the head sees.",
            smooth=True,
        ),
        Picture(
            _coloured(maps[:total]),
            "Blurred dots, one colour for each keypoint, at their places in the region.",
            "4. Skeleton channels: one map for each keypoint (those of the limbs are not shown).",
        ),
        Picture(
            _heat(probability, _SIDE),
            "The probability of each cell of the region to be on the object.",
            f"5. Mask in the region, {side} by {side} cells{quality}.",
        ),
        Picture(
            cut_out_object(masked, points, _SIDE),
            "The object in its picture, its mask over it.",
            "6. The mask, taken back into the picture.",
            smooth=True,
        ),
    ]


def heat_over(rgb: np.ndarray, probability: np.ndarray, side: int) -> np.ndarray:
    """A map (h, w), its largest value bright, over the grey picture (H, W, 3). (side, side, 3)."""
    scaled = probability / max(float(probability.max()), 1e-12)
    heat = _heat(scaled, side).astype(np.float32)
    grey = cv2.cvtColor(cv2.resize(rgb, (side, side)), cv2.COLOR_RGB2GRAY)[..., None]
    share = cv2.resize(scaled.astype(np.float32), (side, side)).clip(0, 1)[..., None]
    return np.asarray((share * heat + (1 - share) * grey).round().astype(np.uint8))


def _heat(values: np.ndarray, side: int) -> np.ndarray:
    """(h, w) of 0 to 1 → (side, side, 3) uint8 RGB."""
    large = cv2.resize(values.astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST)
    coloured = cv2.applyColorMap((255 * large).clip(0, 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB))


def _coloured(maps: Tensor) -> np.ndarray:
    """(K, s, s) of 0 to 1, each in the colour of its keypoint. (_SIDE, _SIDE, 3)."""
    colours = np.array(keypoint_colours(len(maps)), np.float32)
    mixed = np.einsum("kyx,kc->yxc", maps.float().clamp(0, 1).numpy(), colours)
    mixed = np.maximum(mixed, np.array(BACKGROUND, np.float32)).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(mixed, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST))
