"""Keypoints that a KeypointNet finds in the boxes of a picture: nobody has labelled any.

P objects of a picture, N keypoints, crops of S x S px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from keypointnet.discovery import Discovered, discover, join
from keypointnet.geometry import normalised_to_pixels
from keypointnet.model import KeypointNet
from kp2seg.affine import invert, transform_points
from kp2seg.keypoint_sources.layouts import CORNERS
from kp2seg.pictures import cut, pyramid


@dataclass(frozen=True)
class Finding:
    """How objects are shown to the network, and which of its points count.

    Attributes:
        context: side of the square crop, in longer sides of the box. In the training views of
            chairs, cars and aeroplanes it is 1.2, 1.4 and 1.5 (medians).
        min_confidence: a point that is less sure is missing.
        min_on_object: a point with less of its probability mass on the object is missing.
        corners: the corners of the box become four more keypoints. An object of which few points
            count, or all in one part of it, is then still aligned as a whole.
    """

    context: float = 1.3
    min_confidence: float = 0.3
    min_on_object: float = 0.5
    corners: bool = False

    def __post_init__(self) -> None:
        if not self.context >= 1:
            raise ValueError(f"context: expected at least 1, the box itself, got {self.context}")
        for name in ("min_confidence", "min_on_object"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {getattr(self, name)}")

    @property
    def extra_names(self) -> tuple[str, ...]:
        """Of the keypoints that follow the network's."""
        return CORNERS if self.corners else ()


class Crops(NamedTuple):
    """Objects cut out of pictures.

    pictures:   (P, S, S, 3) uint8 RGB, black outside of the picture.
    objects:    (P, S, S) float32 in [0, 1], where the object is, or its box.
    """

    pictures: np.ndarray
    objects: np.ndarray


def crop_matrices(boxes_xywh: np.ndarray, size: int, context: float) -> np.ndarray:
    """A square around each box, its middle in the middle.

    Args:    boxes_xywh: (P, 4) px, with area.  size: S.  context: see `Finding`.
    Returns: (P, 3, 3) float64 A_img2crop, px with centres at + 0.5.
    """
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    side = boxes[:, 2:].max(axis=1) * context
    corner = boxes[:, :2] + boxes[:, 2:] / 2 - side[:, None] / 2
    A = np.zeros((len(boxes), 3, 3))
    A[:, 0, 0] = A[:, 1, 1] = size / side
    A[:, :2, 2] = -corner * (size / side)[:, None]
    A[:, 2, 2] = 1
    return A


def cut_pictures(picture: np.ndarray, A_img2crop: np.ndarray, size: int) -> np.ndarray:
    """Crops (P, S, S, 3) uint8 of a picture (h, w, 3), black outside of it."""
    levels = pyramid(picture)
    crops = np.zeros((len(A_img2crop), size, size, 3), np.uint8)
    for crop, A in zip(crops, A_img2crop, strict=True):
        crop[:] = cut(levels, A, (size, size))
    return crops


def cut_objects(
    picture: np.ndarray,
    boxes_xywh: np.ndarray,
    size: int,
    context: float,
    masks: Sequence[np.ndarray] | None = None,
) -> Crops:
    """The crops of `crop_matrices`.

    Args:    picture: (h, w, 3) uint8 RGB.  masks: (h, w) bool of each object, where known.
             The others: as there.
    """
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    A = crop_matrices(boxes, size, context)
    objects = np.zeros((len(boxes), size, size), np.float32)
    for i, matrix in enumerate(A):
        if masks is None:
            objects[i] = _box_in_crop(_inside(boxes[i], picture.shape[:2]), matrix, size)
        else:
            shown = np.repeat(masks[i][..., None].astype(np.uint8) * 255, 3, axis=-1)
            objects[i] = cut_pictures(shown, matrix[None], size)[0, ..., 0] / np.float32(255)
    return Crops(cut_pictures(picture, A, size), objects)


def join_crops(parts: Sequence[Crops]) -> Crops:
    """The crops of several pictures."""
    return Crops(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def find_keypoints(
    model: KeypointNet, crops: Crops, *, mirrored: bool = False, batch: int = 64
) -> Discovered:
    """What the network sees in crops.

    Args:    mirrored: see `keypointnet.discovery.discover`.
             batch: crops at once; a picture may have hundreds of objects.
    """
    parts = []
    for at in range(0, max(1, len(crops.pictures)), batch):
        some = slice(at, at + batch)
        pictures = torch.from_numpy(crops.pictures[some]).permute(0, 3, 1, 2).float() / 255
        objects = torch.from_numpy(crops.objects[some])
        parts.append(discover(model, pictures, objects, mirrored=mirrored))
    return join(parts)


def poses_in_picture(
    found: Discovered, A_img2crop: np.ndarray, size: int, finding: Finding
) -> tuple[np.ndarray, np.ndarray]:
    """The network's points where they are in the picture.

    Args:    A_img2crop: of `crop_matrices` for crops of this size.
    Returns: keypoints (P, N, 2) float64, COCO's raw px (integer pixel centres), and visibility
             (P, N) int64: 2, or 0 for a point that does not count.
    """
    kpts_crop = normalised_to_pixels(found.uvz[..., :2].double(), (size, size))
    kpts = transform_points(invert(torch.from_numpy(A_img2crop)), kpts_crop)
    counts = (found.confidence >= finding.min_confidence) & (
        found.on_object >= finding.min_on_object
    )
    return kpts.numpy() - 0.5, np.where(counts.numpy(), 2, 0)


def object_poses(
    found: Discovered, boxes_xywh: np.ndarray, size: int, finding: Finding
) -> tuple[np.ndarray, np.ndarray]:
    """All keypoints of objects, those of their boxes too where these count.

    Args:    boxes_xywh: (P, 4) px, around which the crops were cut.  size: px of the crops.
    Returns: as `poses_in_picture`, of N or N + 4 points.
    """
    A_img2crop = crop_matrices(boxes_xywh, size, finding.context)
    kpts, visibility = poses_in_picture(found, A_img2crop, size, finding)
    if finding.corners:
        kpts = np.concatenate([kpts, box_corners(boxes_xywh)], axis=1)
        visibility = np.pad(visibility, ((0, 0), (0, len(CORNERS))), constant_values=2)
    return kpts, visibility


def box_corners(boxes_xywh: np.ndarray) -> np.ndarray:
    """(P, 4, 2) float64, COCO's raw px, the corners of boxes (P, 4) in the order of `CORNERS`."""
    x, y, w, h = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4).T
    corners = [np.stack([x + i * w, y + j * h], axis=-1) for j in (0, 1) for i in (0, 1)]
    return np.stack(corners, axis=1) - 0.5


def _inside(box: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The part of a box (x, y, w, h) that is in a picture of a size (h, w)."""
    low = box[:2].clip(0, size[::-1])
    return np.concatenate([low, (box[:2] + box[2:]).clip(0, size[::-1]) - low])


def _box_in_crop(box: np.ndarray, A_img2crop: np.ndarray, size: int) -> np.ndarray:
    """(size, size): the part of each pixel that is in the box."""
    edges = np.arange(size + 1, dtype=np.float64)
    parts = []
    for axis in (0, 1):
        low = A_img2crop[axis, axis] * box[axis] + A_img2crop[axis, 2]
        high = low + A_img2crop[axis, axis] * box[2 + axis]
        inside = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        parts.append(inside.clip(0, 1))
    return np.outer(parts[1], parts[0]).astype(np.float32)
