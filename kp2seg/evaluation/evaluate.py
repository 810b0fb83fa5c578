"""All figures of a set of predictions: COCO's in both score modes, and IoUs of matched masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as mask_api

from kp2seg.data.masks import RLE, to_rle
from kp2seg.evaluation.boundary import BoundaryEval, boundary_rle
from kp2seg.evaluation.cache import SCORE_MODES, Prediction
from kp2seg.evaluation.segm_scores import Scores, segm_scores


@dataclass(frozen=True)
class MatchedIoU:
    """IoU of predictions with the annotations they were made for.

    Attributes:
        mean: over the predictions that name an annotation; NaN without any.
        boundary_mean: the same of boundary IoU; None if it was not asked for.
        matched: how many those are.  missing: annotations, crowds aside, without a prediction; they
        are not in the means.
    """

    mean: float
    boundary_mean: float | None
    matched: int
    missing: int


@dataclass(frozen=True)
class Evaluation:
    """Attributes:
    scores: score mode → COCO's figures.  boundary: the same with boundary IoU; empty if it was
    not asked for.  iou: of matched masks.
    """

    scores: dict[str, Scores]
    boundary: dict[str, Scores]
    iou: MatchedIoU

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; what is undefined is None."""
        return {
            "scores": {mode: scores.as_dict() for mode, scores in self.scores.items()},
            "boundary": {mode: scores.as_dict() for mode, scores in self.boundary.items()},
            "mean_iou": None if math.isnan(self.iou.mean) else self.iou.mean,
            "mean_boundary_iou": self.iou.boundary_mean,
            "matched": self.iou.matched,
            "missing": self.iou.missing,
        }


def to_results(predictions: Sequence[Prediction], mode: str) -> list[dict[str, Any]]:
    """COCO's results JSON of predictions, in a score mode.

    Raises:  ValueError: no such mode, or a prediction without quality.
    """
    return [
        {
            "image_id": row.image_id,
            "category_id": row.category_id,
            "segmentation": row.segmentation,
            "score": row.score(mode),
        }
        for row in predictions
    ]


def evaluate(
    coco: Mapping[str, Any],
    predictions: Sequence[Prediction],
    *,
    boundary: bool = False,
) -> Evaluation:
    """Score predictions against annotations, in every score mode they have.

    Args:    coco: COCO JSON (`KeypointData.coco`).  boundary: also boundary AP and IoU (slower).
    Raises:  ValueError: as `segm_scores` and `matched_iou`.
    """
    with_quality = all(row.quality is not None for row in predictions)
    modes = [mode for mode in SCORE_MODES if mode == "constant" or with_quality]
    results = {mode: to_results(predictions, mode) for mode in modes}
    return Evaluation(
        {mode: segm_scores(coco, results[mode]) for mode in modes},
        {
            mode: segm_scores(coco, results[mode], evaluation_class=BoundaryEval)
            for mode in (modes if boundary else [])
        },
        matched_iou(coco, predictions, boundary=boundary),
    )


def matched_iou(
    coco: Mapping[str, Any], predictions: Sequence[Prediction], *, boundary: bool = False
) -> MatchedIoU:
    """Mean IoU of predictions with their own annotations. Raises: ValueError: as `own_truths`."""
    pairs = own_truths(coco, predictions)
    ious = [mask_iou(row.segmentation, truth) for row, truth in pairs]
    boundary_mean = None
    if boundary and pairs:
        boundary_mean = _mean(
            [mask_iou(boundary_rle(row.segmentation), boundary_rle(truth)) for row, truth in pairs]
        )
    matched = {row.annotation_id for row, _ in pairs}
    objects = {row["id"] for row in coco["annotations"] if not row.get("iscrowd")}
    return MatchedIoU(_mean(ious), boundary_mean, len(ious), len(objects - matched))


def own_truths(
    coco: Mapping[str, Any], predictions: Sequence[Prediction]
) -> list[tuple[Prediction, RLE]]:
    """The predictions that name an annotation, each with that annotation's mask.

    Raises:  ValueError: a prediction of an unknown annotation or of another picture's, or two of
             one (the row is named).
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    annotations = {row["id"]: row for row in coco["annotations"]}
    pairs: list[tuple[Prediction, RLE]] = []
    seen: set[int] = set()
    for number, row in enumerate(predictions):
        if row.annotation_id is None:
            continue
        annotation = annotations.get(row.annotation_id)
        name = f"matched_iou: prediction {number} (annotation {row.annotation_id})"
        if annotation is None or annotation["image_id"] != row.image_id:
            raise ValueError(f"{name}: image {row.image_id} has no such annotation")
        if row.annotation_id in seen:
            raise ValueError(f"{name}: a second prediction for it; expected one for each")
        seen.add(row.annotation_id)
        pairs.append((row, to_rle(annotation["segmentation"], sizes[row.image_id])))
    return pairs


def mask_iou(first: RLE, second: RLE) -> float:
    """IoU of two masks of one size."""
    return float(mask_api.iou([first], [second], [0])[0, 0])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
