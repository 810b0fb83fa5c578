"""COCO's AP and AR of masks, computed by pycocotools itself.

IoU from .50 to .95, maxDets 100, areas from the annotations (OCHuman's are box areas, so its AP_M
and AP_L sort people by box). Where nothing was to be found a figure is -1, as pycocotools has it.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Results = Sequence[Mapping[str, Any]]
"""[{"image_id", "category_id", "segmentation": RLE, "score"}], COCO's results."""


@dataclass(frozen=True)
class Scores:
    """COCO's twelve figures, in its order. AR: 100 masks a picture; S, M, L: by area."""

    AP: float
    AP50: float
    AP75: float
    AP_S: float
    AP_M: float
    AP_L: float
    AR1: float
    AR10: float
    AR: float
    AR_S: float
    AR_M: float
    AR_L: float

    def as_dict(self) -> dict[str, float]:
        """Name → figure."""
        return asdict(self)


def segm_scores(
    coco: Mapping[str, Any],
    results: Results,
    *,
    evaluation_class: type[COCOeval] = COCOeval,
) -> Scores:
    """Score masks against annotations.

    Args:    coco: COCO JSON, not changed.  results: COCO's, not changed; may be empty. Of equal
             scores the earlier one counts as the better.
             evaluation_class: with another IoU, e.g. `boundary.BoundaryEval`.
    Raises:  ValueError: a result of an unknown picture or category, of another size than its
             picture, or without a finite score (the row is named).
    """
    _check_results(coco, results)
    with contextlib.redirect_stdout(io.StringIO()):
        gt = _indexed(coco, coco["annotations"])
        if results:
            dt = gt.loadRes([dict(row) for row in results])
        else:
            dt = _indexed(coco, [])
        run = evaluation_class(gt, dt, "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return Scores(*(float(figure) for figure in run.stats[:12]))


def _indexed(coco: Mapping[str, Any], annotations: Results) -> COCO:
    """A COCO object over copies of the rows (evaluation writes into them)."""
    copies = [{"iscrowd": 0, **row} for row in annotations]
    if any(row["id"] < 1 for row in copies):
        # pycocotools takes the id 0 of a found annotation for "not found".
        copies = [{**row, "id": number} for number, row in enumerate(copies, start=1)]
    indexed = COCO()
    indexed.dataset = {
        "info": coco.get("info", {}),
        "images": list(coco["images"]),
        "categories": list(coco["categories"]),
        "annotations": copies,
    }
    indexed.createIndex()
    return indexed


def _check_results(coco: Mapping[str, Any], results: Results) -> None:
    sizes = {image["id"]: [image["height"], image["width"]] for image in coco["images"]}
    categories = {row["id"] for row in coco["categories"]}
    for number, row in enumerate(results):
        name = f"segm_scores: result {number} (image {row.get('image_id')})"
        if row.get("image_id") not in sizes:
            raise ValueError(f"{name}: no such picture; the results are of another data set")
        if row.get("category_id") not in categories:
            legal = ", ".join(map(str, sorted(categories)))
            raise ValueError(f"{name}: category {row.get('category_id')}; there are {legal}")
        if list(row["segmentation"]["size"]) != sizes[row["image_id"]]:
            raise ValueError(
                f"{name}: mask of size {list(row['segmentation']['size'])}, the picture is "
                f"{sizes[row['image_id']]} (h, w)"
            )
        if not math.isfinite(row["score"]):
            raise ValueError(f"{name}: score {row['score']}; expected a finite number")
