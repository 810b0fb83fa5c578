"""A model over a data set: predictions that can be cached and scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from detectron2.structures import Instances
from torch import nn

from keypointnet.progress import progress_bar
from kp2seg.data.loading import Mapper, Record, load_pictures
from kp2seg.data.masks import encode
from kp2seg.evaluation.cache import Prediction


def predict_dataset(
    model: nn.Module,
    records: Sequence[Record],
    mapper: Mapper,
    *,
    category_ids: Sequence[int] = (1,),
    pictures_per_batch: int = 4,
    workers: int = 0,
    amp: bool = False,
    progress: bool = False,
) -> list[Prediction]:
    """Predictions for every person of a data set, in its order, or for whom a detector finds.

    Args:    model: a `Pose2Seg` or one of Detectron2's detectors, in evaluation mode.
             records: standard dicts.
             mapper: of `kp2seg.data.mapper`.  category_ids: of the model's classes in the data set.
             pictures_per_batch: whose people go through the model together.
             workers: processes that read pictures.  amp: bf16 autocast.
    Raises:  DataError: a picture that cannot be read.
    """
    device = next(model.parameters()).device
    keys = list(range(len(records)))
    batches = [keys[at : at + pictures_per_batch] for at in keys[::pictures_per_batch]]
    predictions: list[Prediction] = []
    context = torch.autocast(device.type, torch.bfloat16) if amp else nullcontext()
    with progress_bar(
        total=len(records), desc="predict", unit="picture", disable=not progress
    ) as bar:
        for batch in load_pictures(records, mapper, batches, workers=workers):
            with context, torch.inference_mode():
                outputs = model(batch)
            for picture, output in zip(batch, outputs, strict=True):
                predictions += to_predictions(
                    output["instances"], picture, category_ids=category_ids
                )
            bar.update(len(batch))
    return predictions


def to_predictions(
    instances: Instances, picture: dict[str, Any], *, category_ids: Sequence[int] = (1,)
) -> Iterator[Prediction]:
    """A picture's results, as they are cached.

    Args:    instances: of the model. With pred_keypoints, result i is of person i of the input;
             without, they are a detector's, and its scores stand for the quality.
             picture: the model's input, with image_id and instances that may have annotation_ids
             and gt_classes; without these every class is the model's. The quality of a mask in a
             detected box, one with "scores", is multiplied by the box's.
    """
    given = picture.get("instances")
    fields: dict[str, Any] = {}
    if not instances.has("pred_keypoints"):
        quality = instances.scores.tolist()
    else:
        quality = instances.mask_quality.tolist() if instances.has("mask_quality") else None
        fields = {} if given is None else given.get_fields()
        if "scores" in fields:
            sure = fields["scores"].tolist()
            quality = [q * s for q, s in zip(quality or [1.0] * len(sure), sure, strict=True)]
    ids = fields["annotation_ids"].tolist() if "annotation_ids" in fields else []
    classes = fields.get("gt_classes", instances.pred_classes).tolist()
    for row in range(len(instances)):
        annotation_id = ids[row] if row < len(ids) and ids[row] >= 0 else None
        yield Prediction(
            image_id=picture["image_id"],
            category_id=category_ids[classes[row]],
            segmentation=encode(np.asarray(instances.pred_masks[row].cpu().numpy(), np.uint8)),
            quality=None if quality is None else float(quality[row]),
            annotation_id=annotation_id,
        )


def results_json(
    instances: Instances, image_id: int, *, category_id: int = 1
) -> list[dict[str, Any]]:
    """A picture's results as rows of a COCO results JSON: box, RLE, keypoints (raw numbers).

    Args:    instances: of the model.  category_id: of all of them; COCO's 1 are people.
    """
    boxes = instances.pred_boxes.tensor.clone()
    boxes[:, 2:] -= boxes[:, :2]
    points = instances.pred_keypoints.clone()
    points[..., :2] = torch.where(points[..., 2:] > 0, points[..., :2] - 0.5, 0.0)
    rows = [
        {
            "image_id": image_id,
            "category_id": category_id,
            "bbox": boxes[row].tolist(),
            "segmentation": encode(np.asarray(instances.pred_masks[row].cpu().numpy(), np.uint8)),
            "keypoints": points[row].flatten().tolist(),
            "score": float(instances.scores[row]),
        }
        for row in range(len(instances))
    ]
    if instances.has("mask_quality"):
        for row, quality in zip(rows, instances.mask_quality.tolist(), strict=True):
            row["mask_quality"] = quality
    return rows
