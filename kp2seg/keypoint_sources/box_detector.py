"""A detector of Detectron2's model zoo as the source of boxes: Mask R-CNN, Faster R-CNN, …"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from detectron2.data import MetadataCatalog

from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.boxes import Box
from kp2seg.keypoint_sources.zoo_networks import input_picture, zoo_config, zoo_network

BOX_CONFIG = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
"""41.0 box AP on COCO val2017 by the model zoo's table."""

_UNUSED = ("roi_heads.mask_head.", "roi_heads.mask_pooler.")


class BoxDetector:
    """Finds the boxes of one class in pictures.

    Attributes: category_id: of the class in the data set that the network was trained on, COCO's.

    Args:    weights: of the zoo (.pkl), or a torch file of tensors (.pth).
             category: name of the class.  device: to run on.  min_score: of a box.
             short_side, long_side: px that pictures are resized to.
             config: of the model zoo, the one that the weights were trained with.
    Raises:  DataError: no such configuration or class; the file cannot be read, or is of another
             network, and in what.
    """

    def __init__(
        self,
        weights: Path,
        category: str,
        device: str | torch.device = "cpu",
        *,
        min_score: float = 0.5,
        short_side: int = 800,
        long_side: int = 1333,
        config: str = BOX_CONFIG,
    ) -> None:
        self.class_index, self.category_id = zoo_class(config, category)
        cfg = zoo_config(config)
        cfg.MODEL.DEVICE = str(device)
        cfg.MODEL.MASK_ON = False  # its masks are not needed
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = cfg.MODEL.RETINANET.SCORE_THRESH_TEST = min_score
        self.model = zoo_network(cfg, weights, config, unused=_UNUSED)
        self.sides = short_side, long_side

    @torch.inference_mode()
    def detect(self, picture: np.ndarray) -> list[Box]:
        """The boxes of a picture (h, w, 3) uint8 RGB, best first."""
        h, w = picture.shape[:2]
        image = input_picture(picture, *self.sides)
        found = self.model([{"image": image, "height": h, "width": w}])[0]["instances"].to("cpu")
        found = found[found.pred_classes == self.class_index]
        found = found[found.scores.argsort(descending=True, stable=True)]
        corners = found.pred_boxes.tensor.double().numpy()
        corners[:, 2:] -= corners[:, :2]
        return [Box(xywh, float(score)) for xywh, score in zip(corners, found.scores, strict=True)]


def zoo_class(config: str, category: str) -> tuple[int, int]:
    """A network's number of a class, and its data set's id of it.

    Raises:  DataError: no such configuration; its data set's classes are not known, or it has no
             such one (they are listed).
    """
    (first, *_) = zoo_config(config).DATASETS.TRAIN or ("",)
    known = MetadataCatalog.get(first) if first in MetadataCatalog.list() else None
    names = getattr(known, "thing_classes", None)
    ids = getattr(known, "thing_dataset_id_to_contiguous_id", None)
    if not names or not ids:
        raise DataError(f"{config}: the classes of its data set {first!r} are not known")
    if category not in names:
        raise DataError(f"{config}: has no class {category!r}; there are {', '.join(names)}")
    index = names.index(category)
    return index, next(key for key, value in ids.items() if value == index)
