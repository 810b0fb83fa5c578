"""One picture and its people, or objects, in; the picture with masks drawn and COCO's rows out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.structures import Instances

from kp2seg.build import connections, takes_keypoints, trained_model
from kp2seg.bundle import bundled_category
from kp2seg.checkpoints import SegCheckpoint
from kp2seg.drawing import draw_people
from kp2seg.lazy_config import SegConfigError, finds_keypoints
from kp2seg.prediction import results_json


class Cutter:
    """Cuts people or objects out of pictures with a trained model.

    Attributes:
        in_boxes: it is a bundle: objects are given as boxes, and it finds their keypoints itself.
        names: of its keypoints.  count: masks made so far.
        category: id and name of a bundle's class, as far as it knows them.
        category_id: of the rows; a bundle's own until it is set.

    Args:    checkpoint: of a `Pose2Seg`, or of a bundle of it.
    Raises:  SegConfigError: of something else.
    """

    def __init__(self, checkpoint: SegCheckpoint, device: str | torch.device = "cpu") -> None:
        self.model = trained_model(checkpoint, device)
        self.in_boxes = finds_keypoints(checkpoint.config)
        network: Any = self.model.segmenter if self.in_boxes else self.model
        if not takes_keypoints(network):
            raise SegConfigError(
                f"{checkpoint.path}: a detector, which takes no keypoints; expected a Pose2Seg"
            )
        self.names: tuple[str, ...] = tuple(network.templates.names)
        self.connections = connections(network)
        self.category = bundled_category(checkpoint.config)
        self.category_id = int(self.category.get("id", 1))
        self.count = 0

    def cut(
        self, rgb: np.ndarray, image_id: int, given: Instances
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The picture (h, w, 3) RGB with its masks drawn, and the results as JSON has them.

        Args:    given: of `detected_instances`, or for a bundle of `boxed_instances`.
        """
        h, w = rgb.shape[:2]
        image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        picture = {"image": image, "instances": given, "height": h, "width": w}
        with torch.inference_mode():
            found = self.model([picture])[0]["instances"].to("cpu")
        drawn = draw_people(
            rgb, found.pred_masks.numpy(), found.pred_keypoints.numpy(), self.connections
        )
        self.count += len(found)
        return drawn, results_json(found, image_id, category_id=self.category_id)
