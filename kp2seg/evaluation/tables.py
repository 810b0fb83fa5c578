"""Our figures beside the paper's, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypointnet.files import write_whole
from kp2seg.evaluation.evaluate import Evaluation


@dataclass(frozen=True)
class PublishedRow:
    """A row of a publication.

    Attributes:
        method: with its keypoints.  figures: column → value.
        checked: read at the source; otherwise remembered, marked * in a table.
    """

    method: str
    figures: Mapping[str, float]
    checked: bool = False


COLUMNS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")
"""Columns of every table; OCHuman's have `moderate` and `hard` (AP on those ranges) as well."""

EXTRA_COLUMNS = ("moderate", "hard", "boundary AP", "mean IoU")

_COCOPERSONS = (
    PublishedRow("Mask R-CNN", {"AP": 0.532, "AP_M": 0.433, "AP_L": 0.648}, checked=True),
    PublishedRow("Pose2Seg, detected keypoints", {"AP": 0.555, "AP_M": 0.498, "AP_L": 0.670}),
    PublishedRow("Pose2Seg, true keypoints", {"AP": 0.582, "AP_M": 0.539, "AP_L": 0.679}),
)
_OCHUMAN_VAL = (
    PublishedRow("Mask R-CNN", {"AP": 0.163, "moderate": 0.194, "hard": 0.113}),
    PublishedRow("Pose2Seg, detected keypoints", {"AP": 0.222, "moderate": 0.261, "hard": 0.150}),
    PublishedRow("Pose2Seg, true keypoints", {"AP": 0.544, "moderate": 0.576, "hard": 0.491}),
    PublishedRow(
        "Pose2Seg, released weights, true keypoints", {"AP": 0.573, "AR": 0.682}, checked=True
    ),
)
_OCHUMAN_TEST = (
    PublishedRow("Mask R-CNN", {"AP": 0.169, "moderate": 0.189, "hard": 0.128}),
    PublishedRow(
        "Pose2Seg, detected keypoints",
        {"AP": 0.238, "moderate": 0.266, "hard": 0.175},
        checked=True,
    ),
    PublishedRow("Pose2Seg, true keypoints", {"AP": 0.552, "moderate": 0.579, "hard": 0.495}),
)
PUBLISHED: dict[str, tuple[PublishedRow, ...]] = {
    "cocopersons_val": _COCOPERSONS,
    "ochuman_val": _OCHUMAN_VAL,
    "ochuman_test": _OCHUMAN_TEST,
}
"""Data set → what was published on it: Zhang et al., CVPR 2019; the released weights in issue 21
of their repository. Range by range, OCHuman's are columns of these rows."""


def table_rows(
    label: str,
    evaluation: Evaluation,
    moderate: Evaluation | None = None,
    hard: Evaluation | None = None,
) -> dict[str, dict[str, float]]:
    """An evaluation as rows of a table, one for each score mode.

    Args:    label: of the method.  moderate, hard: the same predictions on OCHuman's ranges.
    """
    rows = {}
    for mode, scores in evaluation.scores.items():
        row = {name: figure for name, figure in scores.as_dict().items() if name in COLUMNS}
        for name, part in (("moderate", moderate), ("hard", hard)):
            if part is not None and mode in part.scores:
                row[name] = part.scores[mode].AP
        if mode in evaluation.boundary:
            row["boundary AP"] = evaluation.boundary[mode].AP
        row["mean IoU"] = evaluation.iou.mean
        rows[f"{label}, {mode} score"] = row
    return rows


def markdown_table(dataset: str, ours: Mapping[str, Mapping[str, float]]) -> str:
    """The published rows of a data set, and ours below.

    Args:    dataset: name of the data set; without published rows there are only ours.
             ours: label → column → figure, e.g. from `table_rows`.
    Returns: Markdown; – where a figure is undefined or was not published.
    """
    published = PUBLISHED.get(dataset, ())
    figures = [row.figures for row in published] + list(ours.values())
    columns = COLUMNS + tuple(name for name in EXTRA_COLUMNS if any(name in row for row in figures))
    labels = [row.method + ("" if row.checked else " *") for row in published] + list(ours)
    lines = ["| " + " | ".join([dataset, *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for label, row in zip(labels, figures, strict=True):
        cells = [_cell(row.get(name)) for name in columns]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    if any(not row.checked for row in published):
        lines += ["", "\\* as remembered, not read again in the paper"]
    return "\n".join(lines)


def write_evaluation(path: Path, evaluation: Evaluation, **about: Any) -> None:
    """Write an evaluation as JSON, whole or not at all.

    Args:    about: more fields, e.g. dataset, weights.
    """
    content = {**about, **evaluation.as_dict()}
    write_whole(Path(path), (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _cell(figure: float | None) -> str:
    if figure is None or not figure >= 0:
        return "–"
    return f"{figure:.3f}"
