"""From checkpoints to a results table: each evaluated, seeds summarised, the paper's row beside.

What `tools/eval_kp.py` prints and writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from keypointnet import __version__
from keypointnet.checkpoints import load_model, read_checkpoint
from keypointnet.config import TrainConfig
from keypointnet.drawing import caption, contact_sheet, draw_keypoints
from keypointnet.evaluation import (
    PAPER_TABLE_1,
    Evaluation,
    PairResult,
    evaluate,
    predict_views,
)
from keypointnet.model import KeypointNet
from keypointnet.views.pairs import ModelViews

PAPER_ORIENTATION = {
    "car": {"orientation_accuracy": 0.960, "orientation_accuracy_median": 0.990},
    "aeroplane": {"orientation_accuracy": 0.955, "orientation_accuracy_median": 0.990},
    "chair": {"orientation_accuracy": 0.971, "orientation_accuracy_median": 0.990},
}
"""Accuracy of the orientation network in section 5 of Suwajanakorn et al. 2018."""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


METRICS: dict[str, tuple[str, Callable[[float], str]]] = {
    "mean_deg": ("mean", "{:.2f}°".format),
    "median_deg": ("median", "{:.2f}°".format),
    "flips": ("flips", _percent),
    "se_3d": ("3D-SE", "{:.3f}".format),
    "orientation_accuracy": ("O-Net mean", _percent),
    "orientation_accuracy_median": ("O-Net median", _percent),
}
"""Columns of the table: name of the metric → (heading, how a value is written)."""


@dataclass(frozen=True)
class CheckpointResult:
    """One checkpoint and its evaluation."""

    path: Path
    step: int
    config: TrainConfig
    evaluation: Evaluation


@dataclass(frozen=True)
class Spread:
    """A metric over n seeds. std is the sample standard deviation (n − 1); None for n = 1."""

    mean: float
    std: float | None
    n: int


def check_picture_size(path: Path, config: TrainConfig, size: tuple[int, int]) -> None:
    """A network should see pictures of the size that it was trained with.

    Args:    path: of the checkpoint, for the message.  size: (h, w) px of the views.
    Raises:  ValueError: they differ.
    """
    trained = config.data.image_size
    if size != (trained, trained):
        raise ValueError(
            f"{path}: trained on {trained}x{trained} views, these are {size[0]}x{size[1]}; render "
            "views of that size, or give --any-size: the network is convolutional and runs at "
            "any, less accurately"
        )


def evaluate_checkpoints(
    paths: Sequence[Path],
    models: Sequence[ModelViews],
    *,
    pairs_per_model: int = 100,
    seed: int = 0,
    n_worst: int = 16,
    device: str | torch.device = "cpu",
    any_size: bool = False,
    progress: bool = False,
) -> list[CheckpointResult]:
    """Evaluates each checkpoint on the same pairs. All are read and checked before the first runs.

    Args:    paths: of checkpoints, one for each seed.  models: held-out ones, of one store.
             pairs_per_model, seed, n_worst: see `evaluation.evaluate`.
             any_size: allow views of another size than the network was trained with.
    Raises:  CheckpointError: one cannot be read.  ValueError: nothing to evaluate, a checkpoint
             given twice, or views of another size.
    """
    if not paths or not models:
        raise ValueError(
            "evaluate_checkpoints: expected at least one checkpoint and one model, "
            f"got {len(paths)} and {len(models)}"
        )
    seen = [path.resolve() for path in paths]
    twice = [str(path) for i, path in enumerate(paths) if seen[i] in seen[:i]]
    if twice:
        raise ValueError(f"{', '.join(twice)}: given twice, which would count as a further seed")
    checkpoints = [read_checkpoint(path) for path in paths]
    if not any_size:
        for checkpoint in checkpoints:
            check_picture_size(checkpoint.path, checkpoint.config, models[0].store.size)
    return [
        CheckpointResult(
            path=checkpoint.path,
            step=checkpoint.step,
            config=checkpoint.config,
            evaluation=evaluate(
                load_model(checkpoint.path, device),
                models,
                pairs_per_model=pairs_per_model,
                seed=seed,
                n_worst=n_worst,
                progress=progress,
            ),
        )
        for checkpoint in checkpoints
    ]


def summarise(evaluations: Sequence[Evaluation]) -> dict[str, Spread]:
    """Mean and sample standard deviation of each metric over seeds.

    Returns: metric → spread; without the metrics that a network lacks (no orientation network).
    Raises:  ValueError: no evaluations.
    """
    if not evaluations:
        raise ValueError("summarise: expected at least one evaluation, got none")
    spreads = {}
    for name in METRICS:
        values = [v for e in evaluations if (v := getattr(e, name)) is not None]
        if values:
            std = float(np.std(values, ddof=1)) if len(values) > 1 else None
            spreads[name] = Spread(float(np.mean(values)), std, len(values))
    return spreads


def paper_row(category: str) -> dict[str, float]:
    """The paper's numbers for "car", "aeroplane" or "chair"; it states no flip rate."""
    return {**PAPER_TABLE_1[category], **PAPER_ORIENTATION[category]}


def format_table(results: Sequence[CheckpointResult], category: str | None = None) -> str:
    """One line for each checkpoint, mean ± spread where there are several, the paper's row.

    Args:    category: the paper's row to print, None for none.
    Returns: lines of text, columns aligned.
    """
    header = ["", *(heading for heading, _ in METRICS.values())]
    rows = []
    for result in results:
        values = [getattr(result.evaluation, name) for name in METRICS]
        rows.append([_label(result), *_cells(values)])
    if len(results) > 1:
        cells = spread_cells([result.evaluation for result in results])
        seeds = {result.config.run.seed for result in results}
        what = "seeds" if len(seeds) == len(results) else "checkpoints"
        rows.append([f"ours, {len(results)} {what}", *cells])
    if category is not None:
        paper = paper_row(category)
        rows.append([f"paper, {category}", *_cells([paper.get(name) for name in METRICS])])
    return align_columns([header, *rows])


def spread_cells(evaluations: Sequence[Evaluation]) -> list[str]:
    """Each metric of `METRICS` as text, mean ± spread where there are several evaluations."""
    spreads = summarise(evaluations)
    means = _cells([spreads[name].mean if name in spreads else None for name in METRICS])
    stds = _cells([spreads[name].std if name in spreads else None for name in METRICS])
    return [m if s == "–" else f"{m} ± {s}" for m, s in zip(means, stds, strict=True)]


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of text: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def results_document(
    results: Sequence[CheckpointResult],
    *,
    command: Sequence[str],
    protocol: dict[str, Any],
    category: str | None = None,
) -> dict[str, Any]:
    """All of it as JSON values: what was run, each checkpoint, each model, the summary.

    Args:    command: the words of the command line.  protocol: how pairs were chosen.
    Returns: keys "version", "command", "protocol", "summary", "paper", "checkpoints". A number
             that is not finite (3D-SE of a model without a pair under 90°) becomes null.
    """
    document = {
        "version": __version__,
        "command": list(command),
        "protocol": {
            **protocol,
            "models": results[0].evaluation.models,
            "pairs": results[0].evaluation.pairs,
        },
        "summary": {k: asdict(v) for k, v in summarise([r.evaluation for r in results]).items()},
        "paper": None if category is None else {"category": category, **paper_row(category)},
        "checkpoints": [
            {
                "path": str(result.path),
                "step": result.step,
                "seed": result.config.run.seed,
                "metrics": result.evaluation.summary(),
                "per_model": result.evaluation.per_model,
                "worst": [asdict(pair) for pair in result.evaluation.worst],
                "config": asdict(result.config),
            }
            for result in results
        ],
    }
    cleaned = _finite(document)
    assert isinstance(cleaned, dict)
    return cleaned


def worst_pairs_sheet(
    model: KeypointNet,
    models: Sequence[ModelViews],
    worst: Sequence[PairResult],
) -> np.ndarray:
    """The given pairs: both views with predicted keypoints, below them the angle and the model.

    Args:    model: in evaluation mode.  worst: pairs of these models.
    Returns: (H, W, 3) uint8 RGB, four pairs in a row, a view about 200 px wide.
    Raises:  ValueError: no pairs, or a pair of a model that is not given.
    """
    by_name = {entry.name: entry for entry in models}
    tiles = []
    for pair in worst:
        if pair.model not in by_name:
            raise ValueError(f"worst_pairs_sheet: no views of {pair.model} are given")
        entry = by_name[pair.model]
        scale = max(1, round(200 / max(entry.store.size)))
        uvz = predict_views(model, entry, list(pair.views))[0]
        pictures = [
            draw_keypoints(entry.store.view(entry.model, view).rgba, points[:, :2], scale=scale)
            for view, points in zip(pair.views, uvz, strict=True)
        ]
        picture = np.concatenate(pictures, axis=1)
        text = f"{pair.angle_deg:.1f} deg  {pair.model}  {pair.views[0]}, {pair.views[1]}"
        tiles.append(np.concatenate([picture, caption(text, picture.shape[1])], axis=0))
    return contact_sheet(tiles, columns=max(1, min(4, len(tiles))))


def _label(result: CheckpointResult) -> str:
    """The run's name rather than "last": runs/chair/checkpoints/last.safetensors → chair/last."""
    path = result.path
    folder = path.parent.parent.name if path.parent.name == "checkpoints" else path.parent.name
    return f"{folder}/{path.stem}" if folder else path.stem


def _cells(values: Sequence[float | None]) -> list[str]:
    return [
        "–" if value is None or math.isnan(value) else write(value)
        for value, (_, write) in zip(values, METRICS.values(), strict=True)
    ]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
