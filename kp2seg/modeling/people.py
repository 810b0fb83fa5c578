"""All people of a batch of pictures as one set of tensors, whatever Detectron2 structure held them.

P people of all B pictures together, K keypoints. Beside meta_arch.py the only file that knows
Detectron2's `Instances`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.structures import BitMasks, Instances, Keypoints, PolygonMasks
from torch import Tensor

from kp2seg.data.masks import decode, to_rle

KEYPOINT_FIELDS = ("gt_keypoints", "pred_keypoints")
"""Where a picture's keypoints may be, in this order."""


@dataclass(frozen=True)
class People:
    """The people of B pictures.

    kpts_img:    (P, K, 2) px of the picture, pixel centres at + 0.5; a missing point may be NaN.
    visibility:  (P, K) int64: 0 missing, 1 labelled but hidden, 2 visible.
    image_index: (P,) int64, which picture.
    row:         (P,) int64, which of its picture's instances.
    image_sizes: B pairs (h, w) px.
    """

    kpts_img: Tensor
    visibility: Tensor
    image_index: Tensor
    row: Tensor
    image_sizes: list[tuple[int, int]]

    def __len__(self) -> int:
        """P."""
        return len(self.image_index)

    def take(self, rows: Tensor) -> People:
        """The people of some rows, in their order."""
        return People(
            self.kpts_img[rows],
            self.visibility[rows],
            self.image_index[rows],
            self.row[rows],
            self.image_sizes,
        )

    def source_sizes(self) -> Tensor:
        """(P, 2) float64, (h, w) px of each person's picture."""
        sizes = torch.tensor(
            self.image_sizes, dtype=torch.float64, device=self.image_index.device
        ).view(-1, 2)
        return sizes[self.image_index]


def gather_people(
    inputs: Sequence[dict[str, Any]], n_keypoints: int, device: torch.device
) -> People:
    """The people of Detectron2's inputs.

    Args:    inputs: one dict for each picture, with "image" (C, h, w) and "instances", whose field
             "gt_keypoints" or "pred_keypoints" is a `Keypoints` or a (p, K, 3) tensor of
             (x, y, v). v is COCO's visibility; in predicted ones any v above 0 is visible.
             Pictures without "instances", or with empty ones, have no people.
    Raises:  ValueError: instances without keypoints, or with another number of them.
    """
    kpts, visibility, index, rows, sizes = [], [], [], [], []
    for number, picture in enumerate(inputs):
        size = (int(picture["image"].shape[-2]), int(picture["image"].shape[-1]))
        sizes.append(size)
        instances = picture.get("instances")
        if instances is None or not instances.get_fields() or len(instances) == 0:
            continue
        points, predicted = _keypoints(instances, picture, n_keypoints)
        points = points.to(device)
        kpts.append(points[..., :2].float())
        v = points[..., 2]
        codes = torch.where(v > 0, 2, 0) if predicted else v.round().clamp(0, 2).long()
        visibility.append(codes)
        index.append(torch.full((len(points),), number, dtype=torch.long, device=device))
        rows.append(torch.arange(len(points), device=device))
    if not kpts:
        return People(
            torch.zeros(0, n_keypoints, 2, device=device),
            torch.zeros(0, n_keypoints, dtype=torch.long, device=device),
            torch.zeros(0, dtype=torch.long, device=device),
            torch.zeros(0, dtype=torch.long, device=device),
            sizes,
        )
    return People(torch.cat(kpts), torch.cat(visibility), torch.cat(index), torch.cat(rows), sizes)


def _keypoints(
    instances: Instances, picture: dict[str, Any], n_keypoints: int
) -> tuple[Tensor, bool]:
    """(p, K, 3), and whether they are predictions."""
    where = picture.get("file_name", f"image {picture.get('image_id', '?')}")
    for field in KEYPOINT_FIELDS:
        if instances.has(field):
            held = instances.get(field)
            points = held.tensor if isinstance(held, Keypoints) else held
            if points.ndim != 3 or points.shape[1] != n_keypoints or points.shape[2] < 3:
                raise ValueError(
                    f"{where}: expected {field} (p, {n_keypoints}, 3) as the templates have "
                    f"{n_keypoints} keypoints, got {tuple(points.shape)}"
                )
            return points, field != "gt_keypoints"
    raise ValueError(
        f"{where}: its instances have none of the fields {', '.join(KEYPOINT_FIELDS)}; masks are "
        "cut out along keypoints, so give some"
    )


def gather_masks(inputs: Sequence[dict[str, Any]], image: int, rows: Tensor) -> Tensor:
    """The true masks of some people of one picture.

    Args:    image: which picture.  rows: which of its people.
    Returns: (len(rows), h, w) bool on the CPU.
    Raises:  ValueError: no "gt_masks".
    """
    picture = inputs[image]
    instances = picture["instances"]
    if not instances.has("gt_masks"):
        raise ValueError(
            f"{picture.get('file_name', image)}: training needs the field gt_masks of its instances"
        )
    masks = instances.gt_masks
    rows = rows.cpu()
    if isinstance(masks, BitMasks):
        return masks.tensor.cpu()[rows].bool()
    if isinstance(masks, PolygonMasks):
        size = (int(picture["image"].shape[-2]), int(picture["image"].shape[-1]))
        drawn = np.zeros((len(rows), *size), dtype=bool)
        for mask, row in zip(drawn, rows.tolist(), strict=True):
            mask[:] = decode(to_rle([part.tolist() for part in masks.polygons[row]], size))
        return torch.from_numpy(drawn)
    raise ValueError(f"gt_masks: expected BitMasks or PolygonMasks, got {type(masks).__name__}")
