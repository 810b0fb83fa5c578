"""The lecture's ablations: the same training with one thing changed, for a set budget and seeds.

OUT/<variant>/seed-<s>/   a training run each, see training.py
OUT/results.json          every figure, and what made it
OUT/keypoints.png         a row of held-out views for each variant

What is done already is not done again, so a study that was stopped goes on.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.checkpoints import load_model, read_checkpoint
from keypointnet.config import ConfigError, load_config
from keypointnet.distributed import resolve_device
from keypointnet.drawing import caption, contact_sheet, keypoint_sheet, save_picture
from keypointnet.files import write_json
from keypointnet.pacing import scale_schedule
from keypointnet.reporting import (
    METRICS,
    CheckpointResult,
    align_columns,
    evaluate_checkpoints,
    results_document,
    spread_cells,
)
from keypointnet.training import Trainer
from keypointnet.views.pairs import ModelViews, open_models

VARIANTS: dict[str, tuple[str, ...]] = {
    "all": (),
    "no_consistency": ("loss.consistency=0",),
    "no_pose": ("loss.pose=0",),
    "no_separation": ("loss.separation=0",),
    "no_silhouette": ("loss.silhouette=0",),
    "no_variance": ("loss.variance=0",),
    "no_noise": ("loss.pose_noise=0",),
    "no_orientation": ("model.orientation_channels=0", "model.orientation_mirrored=false"),
    **{f"n{n}": (f"model.num_keypoints={n}",) for n in (3, 5, 8, 10, 15, 20)},
}
"""Name → settings that differ. "all" is the configuration as it is."""


@dataclass(frozen=True)
class Study:
    """What to run.

    config: a training configuration, or None for the defaults.  overrides: `key=value`, for all.
    variants: names among `VARIANTS`.  seeds: of each.
    steps: of each run; the configuration's own if None.
    """

    config: str | None
    overrides: tuple[str, ...] = ()
    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: tuple[int, ...] = (0,)
    steps: int | None = None

    def __post_init__(self) -> None:
        for name in self.variants:
            if name not in VARIANTS:
                near = difflib.get_close_matches(name, VARIANTS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ConfigError(
                    f"ablation: no variant {name!r}{hint} There are {', '.join(VARIANTS)}"
                )
        if not self.variants or not self.seeds:
            raise ConfigError("ablation: expected at least one variant and one seed")


def run_study(study: Study, out: Path, say: Callable[[str], None] = print) -> str:
    """Trains what is missing, evaluates and draws.

    Args:    say: is told what happens.
    Returns: the table, as text.
    Raises:  ConfigError: a setting is wrong, or `out` has runs of other settings.
             What `Trainer` and `reporting.evaluate_checkpoints` raise.
    """
    runs = [(name, seed) for name in study.variants for seed in study.seeds]
    results: dict[str, list[CheckpointResult]] = {name: [] for name in study.variants}
    sheets = []
    for number, (name, seed) in enumerate(runs, start=1):
        folder = out / name / f"seed-{seed}"
        say(f"{number}/{len(runs)}  {name}, seed {seed}")
        last, held_out = _train(study, name, seed, folder)
        device = resolve_device("auto")
        results[name] += evaluate_checkpoints([last], held_out, device=device)
        if seed == study.seeds[0]:
            sheet = keypoint_sheet(load_model(last, device), held_out[:2], views=5, scale=2)
            sheets.append(np.concatenate([caption(name, sheet.shape[1]), sheet]))
        # After every run, so that a study that is stopped leaves what it has.
        done = {name: rows for name, rows in results.items() if rows}
        write_json(out / "results.json", _document(study, done, held_out))
        save_picture(out / "keypoints.png", contact_sheet(sheets, columns=2))
    return format_ablation(results)


def format_ablation(results: dict[str, list[CheckpointResult]]) -> str:
    """One line for each variant, mean ± spread over its seeds."""
    rows = [["", *(heading for heading, _ in METRICS.values())]]
    rows += [
        [name, *spread_cells([result.evaluation for result in of_variant])]
        for name, of_variant in results.items()
        if of_variant
    ]
    return align_columns(rows)


def _train(study: Study, name: str, seed: int, folder: Path) -> tuple[Path, list[ModelViews]]:
    """A run's last checkpoint, trained as far as it was not, and its held-out models."""
    words = [*study.overrides, *VARIANTS[name], f"run.seed={seed}", f"run.out={folder}"]
    config = load_config(study.config, words)
    if study.steps is not None:
        config = scale_schedule(config, study.steps)
    last = folder / "checkpoints" / "last.safetensors"
    if last.exists():
        there = read_checkpoint(last).config
        if asdict(there) != asdict(config):
            raise ConfigError(
                f"{folder}: holds a run of other settings; choose another folder for the study"
            )
    if not last.exists() or read_checkpoint(last).step < config.optim.steps:
        Trainer(config, resume=True).run()
    size = (config.data.image_size, config.data.image_size)
    if not config.data.test:
        raise ConfigError("data.test: names no views to evaluate on")
    store = config.data.test[0]
    return last, open_models(store.path, store.subset, size)


def _document(
    study: Study, results: dict[str, list[CheckpointResult]], held_out: Sequence[ModelViews]
) -> dict[str, Any]:
    protocol = {"views": str(held_out[0].store.root), "pairs_per_model": 100, "seed": 0}
    return {
        "study": asdict(study),
        "variants": {
            name: {
                "settings": VARIANTS[name],
                **results_document(rows, command=["tools/ablate.py"], protocol=protocol),
            }
            for name, rows in results.items()
        },
    }
