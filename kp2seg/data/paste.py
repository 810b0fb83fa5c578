"""Copy-paste: people of other pictures, set before or behind those of this one.

Masks go wrong where people cover each other, and few pictures show that. A person from elsewhere,
of a like size and near another, makes such a place, and everything in it is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes, Instances, Keypoints
from torch import Tensor

from kp2seg.pictures import cut, pyramid, to_bytes

SIZES = (0.6, 1.6)
"""The longer side of the pasted person's box, as a share of its neighbour's."""
SHIFT = (0.8, 0.4)
"""How far its centre may lie from its neighbour's, as a share of that one's width and height."""
MIN_SIDE = 40.0
"""px: a person whose mask has no longer side is not worth cutting out."""
MIN_POINTS = 5
MIN_LEFT = 0.25
"""A person of whom less is left uncovered is left out: nobody could tell where it is."""


def worth_pasting(annotations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The annotations, of a standard dict, of people who are large and have keypoints enough."""
    return [
        row
        for row in annotations
        if max(row["bbox"][2:]) >= MIN_SIDE
        and np.count_nonzero(row["keypoints"][2::3]) >= MIN_POINTS
    ]


def cut_out(image: Tensor, person: Instances) -> tuple[Tensor, Instances]:
    """The part of a picture that a person's mask covers, and the person there.

    Args:    image: (3, h, w) uint8.  person: of `annotated_instances`, one.
    """
    x0, y0, x1, y1 = _box(person, 0).astype(int).tolist()
    points = person.gt_keypoints.tensor.clone()
    points[..., :2] -= torch.tensor([x0, y0])
    part = Instances((y1 - y0, x1 - x0), **person.get_fields())
    part.gt_masks = BitMasks(person.gt_masks.tensor[:, y0:y1, x0:x1])
    part.gt_keypoints = Keypoints(points)
    return image[:, y0:y1, x0:x1], part


def paste_person(
    image: Tensor,
    people: Instances,
    donor_image: Tensor,
    donor: Instances,
    generator: torch.Generator,
) -> tuple[Tensor, Instances]:
    """A picture with one more person in it, in front of everybody or behind.

    What is covered leaves the masks, and its keypoints become COCO's "labelled, not visible".

    Args:    image, donor_image: (3, h, w) uint8 RGB; their sizes may differ.
             people, donor: as of `annotated_instances`; the donor is one person.
             generator: on the CPU.
    Returns: both anew; the pasted person, if any of it can be seen, is the last one.
    Source:  the idea of Ghiasi et al. 2021, aimed at crowds.
    """
    h, w = image.shape[-2:]
    draw = torch.rand(5, generator=generator).tolist()
    neighbour = np.array([w / 4, h / 4, 3 * w / 4, 3 * h / 4])
    seen = people.gt_masks.tensor.flatten(1).any(1).nonzero().squeeze(1).tolist()
    if seen:
        neighbour = _box(people, seen[int(draw[0] * len(seen))])
    A_donor2img = _placed(_box(donor, 0), neighbour, draw[1:4])
    mask = _moved_mask(donor.gt_masks.tensor[0], A_donor2img, (h, w))
    if draw[4] < 0.5:
        mask &= ~people.gt_masks.tensor.any(0)
    if int(mask.sum()) < MIN_LEFT * _area(donor) * A_donor2img[0, 0] ** 2:
        return image, people
    moved = cut(pyramid(to_bytes(donor_image)), A_donor2img, (h, w))
    pixels = torch.from_numpy(np.ascontiguousarray(moved.transpose(2, 0, 1)))
    image = torch.where(mask, pixels, image)
    covered = _covered(people, mask)
    return image, Instances.cat([covered, _new_person(donor, mask, A_donor2img)])


def _placed(box: np.ndarray, neighbour: np.ndarray, draw: list[float]) -> np.ndarray:
    """(3, 3) px of the donor's picture to px of this one, pixel centres at + 0.5."""
    size, other = box[2:] - box[:2], neighbour[2:] - neighbour[:2]
    low, high = map(math.log, SIZES)
    scale = math.exp(low + (high - low) * draw[0]) * other.max() / size.max()
    shift = np.array(SHIFT) * (2 * np.array(draw[1:3]) - 1) * other
    centre = (neighbour[:2] + neighbour[2:]) / 2 + shift
    A = np.diag([scale, scale, 1.0])
    A[:2, 2] = centre - scale * (box[:2] + box[2:]) / 2
    return A


def _moved_mask(mask: Tensor, A_donor2img: np.ndarray, size: tuple[int, int]) -> Tensor:
    grey = mask.numpy().astype(np.uint8) * 255
    return torch.from_numpy(cut(pyramid(grey), A_donor2img, size) > 127)


def _covered(people: Instances, mask: Tensor) -> Instances:
    """The people with a mask in front of them, without those of whom too little is left."""
    changed = Instances(people.image_size, **people.get_fields())
    before = people.gt_masks.tensor
    left = before & ~mask
    changed.gt_masks = BitMasks(left)
    changed.gt_keypoints = Keypoints(_hidden(people.gt_keypoints.tensor, mask))
    kept = left.flatten(1).sum(1) >= MIN_LEFT * before.flatten(1).sum(1)
    result: Instances = changed[kept]
    return result


def _new_person(donor: Instances, mask: Tensor, A_donor2img: np.ndarray) -> Instances:
    h, w = mask.shape
    person = Instances((h, w), **donor.get_fields())
    person.gt_masks = BitMasks(mask.unsqueeze(0))
    person.gt_boxes = Boxes(person.gt_masks.get_bounding_boxes().tensor)
    points = donor.gt_keypoints.tensor.clone()
    A = torch.from_numpy(A_donor2img).float()
    points[..., :2] = points[..., :2] * A[0, 0] + A[:2, 2]
    outside = ((points[..., :2] < 0) | (points[..., :2] >= torch.tensor([w, h]))).any(-1)
    points[outside] = 0
    person.gt_keypoints = Keypoints(_hidden(points, ~mask))
    return person


def _hidden(points: Tensor, cover: Tensor) -> Tensor:
    """Keypoints (P, K, 3), those that are covered with visibility 1."""
    h, w = cover.shape
    x = points[..., 0].nan_to_num().long().clamp(0, w - 1)
    y = points[..., 1].nan_to_num().long().clamp(0, h - 1)
    hidden = points.clone()
    hidden[..., 2] = torch.where(cover[y, x], points[..., 2].clamp(max=1), points[..., 2])
    return hidden


def _box(people: Instances, row: int) -> np.ndarray:
    """x0, y0, x1, y1 of a person's mask."""
    mask = BitMasks(people.gt_masks.tensor[row : row + 1])
    return np.asarray(mask.get_bounding_boxes().tensor[0].double().numpy())


def _area(person: Instances) -> int:
    return int(person.gt_masks.tensor.sum())
