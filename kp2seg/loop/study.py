"""Masks learnt from discovered keypoints beside those from true ones and from none.

The same head, data, steps and seed for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.files import write_json
from keypointnet.views.storage import read_json
from kp2seg.loop.masks import MaskResult, mask_config, masks_of, seconds_per_step
from kp2seg.loop.points import PointSet

TITLES = {
    "none": "no keypoints, boxes alone",
    "discovered": "discovered keypoints",
    "true": "true keypoints",
    "mask_rcnn": "Mask R-CNN, which finds its own boxes",
}
"""Name of a point set → what it is called in tables."""


def compare(
    points: Sequence[PointSet],
    config: Path,
    overrides: Sequence[str],
    out: Path,
    *,
    steps: int | None = None,
    repeat: Sequence[int] | None = None,
    seed: int = 0,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> dict[str, MaskResult]:
    """Trains and scores masks of each point set; what is done already is read.

    Args:    config: LazyConfig file.  overrides: of it.  out: folder; a run is in OUT/NAME.
             steps: of each training; the configuration's without.
             repeat: how often a picture of each training set is shown in an epoch.
             say: is told what happens.
    Raises:  as `masks_of`.
    """
    train: dict[str, Any] = {"seed": seed, "device": device}
    if steps is not None:
        train["steps"] = steps
    results = {}
    for row in points:
        say(f"     masks, {TITLES[row.name]}")
        made = mask_config(config, overrides, row, out / row.name, **train)
        if repeat is not None:
            made.data.repeat = list(repeat)
        results[row.name] = masks_of(made, row, device=device)
    return results


def compare_detector(
    points: PointSet,
    config: Path,
    overrides: Sequence[str],
    out: Path,
    *,
    seconds: float,
    repeat: Sequence[int] | None = None,
    seed: int = 0,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> MaskResult:
    """Trains and scores a detector on the same objects for the same time.

    Args:    points: of `plain_boxes`.  seconds: that a training of `compare` took.
             The others: as of `compare`.
    Raises:  as `masks_of`.
    """
    made = mask_config(config, overrides, points, out / points.name, seed=seed, device=device)
    if repeat is not None:
        made.data.repeat = list(repeat)
    settled = out / f"{points.name}-steps.json"
    steps = read_json(settled)
    if steps is None:
        steps = max(1, round(seconds / seconds_per_step(made)))
        write_json(settled, steps)
    made.train.steps = steps
    say(f"     {TITLES[points.name]}: {steps} steps")
    return masks_of(made, points, device=device)


def figures(results: Mapping[str, MaskResult]) -> dict[str, dict[str, float]]:
    """Name of the point set → AP with each score, mean IoU and seconds of training."""
    rows = {}
    for name, result in results.items():
        scores = result.evaluation.scores
        rows[name] = {f"AP_{mode}": scores[mode].AP for mode in scores}
        rows[name] |= {f"AP50_{mode}": scores[mode].AP50 for mode in scores}
        for part, evaluation in result.ranges.items():
            rows[name] |= {f"AP_{mode}_{part}": s.AP for mode, s in evaluation.scores.items()}
        rows[name]["seconds"] = result.seconds
        if not math.isnan(result.evaluation.iou.mean):  # a detector's masks are of no one's own
            rows[name]["mean_iou"] = result.evaluation.iou.mean
    return rows


def ratios(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """AP (scores by predicted IoU) of discovered keypoints as a multiple of the others'."""
    key = "AP_quality" if "AP_quality" in rows["discovered"] else "AP_constant"
    return {
        name: rows["discovered"][key] / rows[name][key]
        for name in ("none", "true", "mask_rcnn")
        if name in rows and rows[name][key] > 0
    }


def ratio_lines(per_seed: Sequence[Mapping[str, Mapping[str, float]]]) -> list[str]:
    """What `ratios` says, a sentence for each. Args: per_seed: rows of `figures` of each seed."""
    times: dict[str, list[float]] = {}
    for rows in per_seed:
        for name, ratio in ratios(rows).items():
            times.setdefault(name, []).append(ratio)
    return [
        f"AP of discovered keypoints is {spread(values, '.2f')} times that of {TITLES[name]}"
        for name, values in times.items()
    ]


def spread(values: Sequence[float], digits: str) -> str:
    """A mean, with ± the standard deviation of several values; a dash for none."""
    if not values:
        return "–"
    text = f"{np.mean(values):{digits}}"
    return text + (f" ± {np.std(values, ddof=1):{digits}}" if len(values) > 1 else "")
