"""From a data set's dict to what the model takes: the picture, and its people's points and masks.

Everything random comes from a given generator. Training's is a function of the seed, the picture
and the epoch, so a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.data.detection_utils import read_image
from detectron2.structures import BitMasks, Boxes, Instances, Keypoints
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

from kp2seg.data.masks import decode, to_rle
from kp2seg.data.paste import cut_out, paste_person, worth_pasting
from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.boxes import Box, BoxTable
from kp2seg.keypoint_sources.layouts import flip_pairs
from kp2seg.keypoint_sources.poses import KeypointSource, Pose


@dataclass
class PictureAugmentation:
    """What training changes in a whole picture; the regions' jitter is the aligner's.

    flip:        probability of mirroring.
    colour:      strength of random brightness, contrast, saturation and hue; 0 to 1.
    drop_points: probability of losing each keypoint.
    move_points: standard deviation of points' random shifts, as a share of the pose's extent.
    paste:       mean number of people of other pictures that are pasted in.
    """

    flip: float = 0.5
    colour: float = 0.0
    drop_points: float = 0.0
    move_points: float = 0.0
    paste: float = 0.0


class PoseMapper:
    """Maps standard dicts (see `kp2seg.data.catalog.dataset_dicts`) to model inputs.

    The result has "image" (3, h, w) uint8, "height", "width", "file_name", "image_id", and
    "instances": with gt_keypoints, gt_classes and annotation_ids, and besides gt_boxes and gt_masks
    where the points are the annotations', pose_scores where they come from another source. From a
    source of boxes instances have pred_boxes and scores only.

    Args:    keypoint_names: of the data set; none of one without keypoints.
             source: whose poses, or boxes, to use; None for the annotations.
             augmentation: None for none.  donors: dicts of the pictures to paste people from.
             image_format: "RGB" or "BGR".
             seed: of the augmentation, together with the dict's image_id, "epoch" and "copy"; a
             dict without "epoch", as Detectron2's own loaders give, draws from torch's generator.
    Raises:  ValueError: another format; people to paste, and no donors or no annotations.
    """

    def __init__(
        self,
        keypoint_names: Sequence[str],
        *,
        source: KeypointSource | BoxTable | None = None,
        augmentation: PictureAugmentation | None = None,
        donors: Sequence[dict[str, Any]] = (),
        image_format: str = "RGB",
        seed: int = 0,
    ) -> None:
        if image_format not in ("RGB", "BGR"):
            raise ValueError(f"PoseMapper: image_format: expected RGB or BGR, got {image_format!r}")
        if augmentation is not None and augmentation.paste > 0 and (source or not donors):
            raise ValueError("PoseMapper: paste: needs donors, and the annotations' people")
        self.names = tuple(keypoint_names)
        self.source = source
        self.augmentation = augmentation
        self.donors = donors
        self.image_format = image_format
        self.seed = seed
        self.mirrored_order = mirrored_order(self.names)

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """One picture. Raises DataError for a file that cannot be read, or is of another size."""
        pixels, instances = self._read(dataset_dict)
        record = copy.copy(dataset_dict)
        record.pop("annotations", None)
        if self.augmentation is not None:
            generator = self._generator(record)
            pixels, instances = self._pasted(pixels, instances, generator)
            pixels, instances = augment_picture(
                pixels, instances, self.augmentation, self.mirrored_order, generator
            )
        record["image"] = pixels.flip(0) if self.image_format == "BGR" else pixels
        record["instances"] = instances
        return record

    def _read(self, record: dict[str, Any]) -> tuple[Tensor, Instances]:
        image = read_picture(record)
        size = (int(image.shape[0]), int(image.shape[1]))
        if self.source is None:
            people = annotated_instances(record.get("annotations", []), size, len(self.names))
        elif isinstance(self.source, BoxTable):
            people = boxed_instances(self.source.boxes(record["image_id"]), size)
        else:
            poses = self.source.poses(record["image_id"])
            people = detected_instances(poses, size, len(self.names))
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), people

    def _pasted(
        self, image: Tensor, people: Instances, generator: torch.Generator
    ) -> tuple[Tensor, Instances]:
        """The picture with people of others in it, each with colours of its own."""
        assert self.augmentation is not None
        if self.augmentation.paste <= 0:
            return image, people
        for _ in range(int(self.augmentation.paste + torch.rand((), generator=generator).item())):
            record = self.donors[_draw(len(self.donors), generator)]
            rows = worth_pasting(record["annotations"])
            if not rows:
                continue
            row = rows[_draw(len(rows), generator)]
            part, person = cut_out(*self._read({**record, "annotations": [row]}))
            if part.numel():
                part = change_picture_colour(part, self.augmentation.colour, generator)
                image, people = paste_person(image, people, part, person, generator)
        return image, people

    def _generator(self, record: dict[str, Any]) -> torch.Generator:
        generator = torch.Generator()
        if "epoch" in record:
            picture = int(record["image_id"]) % 2**64  # an id may be negative
            seeds = [self.seed, picture, record["epoch"]]
            # Each copy of a picture that is shown more than once an epoch is another.
            if copy := record.get("copy", 0):
                seeds.append(copy)
            words = np.random.SeedSequence(seeds)
            generator.manual_seed(int(words.generate_state(1, np.uint64)[0] >> 1))
        else:
            generator.manual_seed(int(torch.randint(2**62, ()).item()))
        return generator


def _draw(n: int, generator: torch.Generator) -> int:
    """One of 0 … n − 1."""
    return int(torch.randint(n, (), generator=generator).item())


def read_picture(record: dict[str, Any]) -> np.ndarray:
    """The picture of a standard dict, (h, w, 3) uint8 RGB, turned as its EXIF tag says.

    Of grey pictures of 16 bits, whose conversion would be white, the upper eight are taken.

    Raises: DataError: it cannot be read, or is not of the dict's height and width.
    """
    name = record["file_name"]
    try:
        with Image.open(name) as file:
            if file.mode.startswith("I;16"):
                deep = np.asarray(ImageOps.exif_transpose(file))
                image = np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=-1)
            elif file.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits; save it with 8")
            else:
                image = np.asarray(read_image(name, "RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{name}: the picture cannot be read ({reason})") from error
    expected = (record.get("height", image.shape[0]), record.get("width", image.shape[1]))
    if image.shape[:2] != expected:
        raise DataError(
            f"{name}: the picture is {image.shape[0]} x {image.shape[1]}, annotated as "
            f"{expected[0]} x {expected[1]} (h x w)"
        )
    return image


def annotated_instances(
    annotations: Sequence[dict[str, Any]], size: tuple[int, int], n_keypoints: int
) -> Instances:
    """The people of a picture with their true points and masks.

    Args:    annotations: of a standard dict.  size: (h, w) px.
    """
    instances = Instances(size)
    rows = np.array([row["keypoints"] for row in annotations], dtype=np.float64)
    points = torch.from_numpy(rows.reshape(len(annotations), n_keypoints, 3)).float()
    instances.gt_keypoints = Keypoints(points)
    masks = [decode(to_rle(row["segmentation"], size)).astype(bool) for row in annotations]
    stacked = np.stack(masks) if masks else np.zeros((0, *size), bool)
    instances.gt_masks = BitMasks(torch.from_numpy(stacked))
    boxes = torch.tensor([row["bbox"] for row in annotations], dtype=torch.float32).view(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.tensor(
        [row["category_id"] for row in annotations], dtype=torch.long
    )
    instances.annotation_ids = torch.tensor(
        [row.get("id", -1) for row in annotations], dtype=torch.long
    )
    return instances


def detected_instances(poses: Sequence[Pose], size: tuple[int, int], n_keypoints: int) -> Instances:
    """The poses of a picture from a keypoint source. Args: size: (h, w) px."""
    instances = Instances(size)
    points = torch.zeros(len(poses), n_keypoints, 3)
    for row, pose in zip(points, poses, strict=True):
        row[:, :2] = torch.from_numpy(pose.keypoints).float() + 0.5
        row[:, 2] = torch.from_numpy(pose.visibility).float()
    # The field of annotated points: they have COCO's codes too, and are treated alike.
    instances.gt_keypoints = Keypoints(points)
    instances.gt_classes = torch.zeros(len(poses), dtype=torch.long)
    instances.pose_scores = torch.tensor([pose.score for pose in poses], dtype=torch.float32)
    instances.annotation_ids = torch.tensor(
        [-1 if pose.annotation_id is None else pose.annotation_id for pose in poses],
        dtype=torch.long,
    )
    return instances


def boxed_instances(boxes: Sequence[Box], size: tuple[int, int]) -> Instances:
    """The objects of a picture whose boxes alone are known. Args: size: (h, w) px."""
    instances = Instances(size)
    corners = torch.zeros(len(boxes), 4)
    for row, box in zip(corners, boxes, strict=True):
        row[:] = torch.from_numpy(np.concatenate([box.xywh[:2], box.xywh[:2] + box.xywh[2:]]))
    instances.pred_boxes = Boxes(corners)
    instances.scores = torch.tensor([box.score for box in boxes], dtype=torch.float32)
    return instances


def mirrored_order(names: Sequence[str]) -> list[int]:
    """Which keypoint stands in the place of each in a mirrored picture."""
    swap = {}
    for left, right in flip_pairs(names):
        swap[left], swap[right] = right, left
    return [list(names).index(swap.get(name, name)) for name in names]


def augment_picture(
    image: Tensor,
    instances: Instances,
    config: PictureAugmentation,
    order: Sequence[int],
    generator: torch.Generator,
) -> tuple[Tensor, Instances]:
    """A picture and its people, changed at random.

    Args:    image: (3, h, w) uint8 RGB.  instances: of `annotated_instances` or
             `detected_instances`.
             order: of `mirrored_order`.  generator: on the CPU.
    Returns: both anew; the input is unchanged.
    """
    h, w = image.shape[-2:]
    changed = Instances((h, w), **instances.get_fields())
    points = instances.gt_keypoints.tensor.clone()
    if config.colour > 0:
        image = change_picture_colour(image, config.colour, generator)
    if config.move_points > 0 and points.numel():
        seen = points[..., 2:] > 0
        low = torch.where(seen, points[..., :2], torch.inf).amin(1)
        high = torch.where(seen, points[..., :2], -torch.inf).amax(1)
        extent = torch.where(seen.any(1), (high - low).amax(1, keepdim=True), 0.0)
        shift = torch.randn(points[..., :2].shape, generator=generator)
        points[..., :2] += config.move_points * extent.unsqueeze(1) * shift
    if config.drop_points > 0:
        lost = torch.rand(points.shape[:2], generator=generator) < config.drop_points
        points[lost] = 0
    if config.flip > 0 and float(torch.rand(1, generator=generator)) < config.flip:
        image = image.flip(-1)
        points = points[:, list(order)]
        points[..., 0] = w - points[..., 0]
        if instances.has("gt_masks"):
            changed.gt_masks = BitMasks(instances.gt_masks.tensor.flip(-1))
        if instances.has("gt_boxes"):
            boxes = instances.gt_boxes.tensor.clone()
            boxes[:, [0, 2]] = w - boxes[:, [2, 0]]
            changed.gt_boxes = Boxes(boxes)
    changed.gt_keypoints = Keypoints(points)
    return image, changed


def change_picture_colour(image: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Random brightness, contrast, saturation and hue, and sometimes no colour at all.

    Args:    image: (3, h, w) uint8 RGB.  strength: 0 nothing, 1 strong.
    """
    draw = (2 * torch.rand(5, generator=generator) - 1).tolist()
    image = v2.functional.adjust_brightness(image, 1 + 0.5 * strength * draw[0])
    image = v2.functional.adjust_contrast(image, 1 + 0.5 * strength * draw[1])
    image = v2.functional.adjust_saturation(image, 1 + 0.6 * strength * draw[2])
    image = v2.functional.adjust_hue(image, 0.1 * strength * draw[3])
    if (draw[4] + 1) / 2 < 0.1 * strength:
        image = v2.functional.rgb_to_grayscale(image, num_output_channels=3)
    return torch.as_tensor(image)
