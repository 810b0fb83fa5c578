"""A picture in, masks out, for a class whose keypoints nobody labelled.

Boxes → a KeypointNet's keypoints → `Pose2Seg`. P objects of a picture, N keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from keypointnet.model import KeypointNet
from kp2seg.keypoint_sources.discovered import (
    Finding,
    cut_objects,
    find_keypoints,
    object_poses,
)
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.pictures import to_bytes

BOX_FIELDS = ("gt_boxes", "pred_boxes", "proposal_boxes")
"""Where a picture's boxes may be, in this order."""


@META_ARCH_REGISTRY.register()
class DiscoveringPose2Seg(nn.Module):
    """One model of a KeypointNet and the `Pose2Seg` that was trained on its keypoints.

    Inputs are Detectron2's: dicts with "image" (3, h, w) RGB of 0 to 255 and, where there is no
    detector, "instances" with boxes in px of the image. Returns what `Pose2Seg` does; scores are
    multiplied by the boxes', and classes are the boxes', where they have any. It predicts only:
    its parts are trained by tools/train_kp.py and tools/train_seg.py.

    Args:    keypointnet: trained.  crop_size: px of the views that it was trained on.
             segmenter: with templates of the N keypoints.
             detector: any Detectron2 model that returns pred_boxes; None: boxes are given.
             detector_format: order of the channels that it takes.
             classes: the detector's classes that are used; None: all.  min_score: of a detection.
             context, min_confidence, min_on_object, corners: see `Finding`.
    Raises:  ValueError: the networks have not the same number of keypoints, or a setting is wrong.
    """

    def __init__(
        self,
        *,
        keypointnet: KeypointNet,
        crop_size: int,
        segmenter: Pose2Seg,
        detector: nn.Module | None = None,
        detector_format: str = "BGR",
        classes: Sequence[int] | None = None,
        min_score: float = 0.5,
        context: float = 1.3,
        min_confidence: float = 0.3,
        min_on_object: float = 0.5,
        corners: bool = False,
    ) -> None:
        super().__init__()
        self.finding = Finding(context, min_confidence, min_on_object, corners)
        names = segmenter.templates.names
        self.num_keypoints = keypointnet.num_keypoints + len(self.finding.extra_names)
        if len(names) != self.num_keypoints:
            raise ValueError(
                f"DiscoveringPose2Seg: the KeypointNet finds {keypointnet.num_keypoints} points"
                + (f" and {len(self.finding.extra_names)} are the box's corners" if corners else "")
                + f", the templates have {len(names)}; build them from what tools/discover.py gives"
            )
        if detector_format not in ("RGB", "BGR"):
            raise ValueError(f"detector_format: expected 'RGB' or 'BGR', got {detector_format!r}")
        self.keypointnet, self.segmenter, self.detector = keypointnet, segmenter, detector
        self.crop_size = crop_size
        self.detector_format, self.min_score = detector_format, min_score
        self.classes = None if classes is None else tuple(classes)

    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Instances]]:
        """One {"instances": Instances} for each picture.

        Raises: RuntimeError: in training mode.
                ValueError: no detector, and a picture's instances have no boxes.
        """
        if self.training:
            raise RuntimeError(
                "DiscoveringPose2Seg predicts only; train its parts with tools/train_kp.py and "
                "tools/train_seg.py"
            )
        with torch.no_grad():
            boxes = [self.boxes_of(picture) for picture in batched_inputs]
            pictures = [
                {**picture, "instances": self.with_keypoints(picture["image"], found)}
                for picture, found in zip(batched_inputs, boxes, strict=True)
            ]
            results = self.segmenter.inference(pictures)
        for result, found in zip(results, boxes, strict=True):
            instances = result["instances"]
            if found.has("scores"):
                instances.scores = instances.scores * found.scores.to(instances.scores.device)
            if found.has("pred_classes"):
                instances.pred_classes = found.pred_classes.to(instances.scores.device)
        return results

    def boxes_of(self, picture: dict[str, Any]) -> Instances:
        """The objects of a picture: pred_boxes, and scores and pred_classes where known."""
        given = picture.get("instances")
        size = (int(picture["image"].shape[-2]), int(picture["image"].shape[-1]))
        found = Instances(size)
        if given is not None and given.get_fields():
            field = next((name for name in BOX_FIELDS if given.has(name)), None)
            if field is None:
                raise ValueError(
                    f"{_name(picture)}: its instances have none of the fields "
                    f"{', '.join(BOX_FIELDS)}; objects are looked for in boxes, so give some, or "
                    "a detector"
                )
            found.pred_boxes = given.get(field)
            for name in ("scores", "pred_classes"):
                if given.has(name):
                    found.set(name, given.get(name))
        elif self.detector is not None:
            image = picture["image"]
            if self.detector_format == "BGR":
                image = image.flip(0)
            # Without "height" and "width" boxes are in px of the image.
            detected = self.detector([{"image": image}])[0]["instances"]
            keep = detected.scores >= self.min_score
            if self.classes is not None:
                wanted = torch.tensor(self.classes, device=keep.device)
                keep &= torch.isin(detected.pred_classes, wanted)
            detected = detected[keep]
            found.pred_boxes, found.scores = detected.pred_boxes, detected.scores
            found.pred_classes = detected.pred_classes
        elif given is None:
            raise ValueError(
                f'{_name(picture)}: neither boxes in its "instances" nor a detector; objects are '
                "looked for in boxes"
            )
        else:
            found.pred_boxes = Boxes(torch.zeros(0, 4))
        sides = found.pred_boxes.tensor[:, 2:] - found.pred_boxes.tensor[:, :2]
        return found[(sides > 0).all(dim=1)]

    def with_keypoints(self, image: Tensor, found: Instances) -> Instances:
        """The objects with gt_keypoints (P, N, 3), px with pixel centres at + 0.5."""
        instances = Instances(found.image_size)
        boxes = found.pred_boxes.tensor.detach().cpu().double().numpy()
        points = torch.zeros(len(boxes), self.num_keypoints, 3)
        if len(boxes):
            boxes[:, 2:] -= boxes[:, :2]
            context, size = self.finding.context, self.crop_size
            crops = cut_objects(to_bytes(image), boxes, size, context)
            answers = find_keypoints(self.keypointnet, crops)
            kpts, visibility = object_poses(answers, boxes, size, self.finding)
            points[..., :2] = torch.from_numpy(kpts + 0.5)
            points[..., 2] = torch.from_numpy(visibility)
        # The field of annotated points, whose codes these have.
        instances.gt_keypoints = points
        return instances


def _name(picture: dict[str, Any]) -> str:
    return str(picture.get("file_name", f"image {picture.get('image_id', '?')}"))
