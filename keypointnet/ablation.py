"""The lecture's ablations: the same training with one thing changed, for a set budget and seeds.

OUT/<variant>/seed-<s>/   a training run each, see training.py
OUT/results.json          every figure, and what made it
OUT/keypoints.png         a row of held-out views for each variant

What is trained already is not trained again, so a study that was stopped goes on, and one that is
asked for more keeps the figures that are there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from keypointnet.checkpoints import load_model, read_checkpoint
from keypointnet.config import ConfigError, load_config
from keypointnet.distributed import resolve_device
from keypointnet.drawing import (
    caption,
    contact_sheet,
    keypoint_sheet,
    read_picture,
    save_picture,
)
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
from keypointnet.views.storage import read_json

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
        for what, values in (("variant", self.variants), ("seed", self.seeds)):
            if len(set(values)) < len(values):
                raise ConfigError(
                    f"ablation: the same {what} twice in {', '.join(map(str, values))}"
                )


def run_study(study: Study, out: Path, say: Callable[[str], None] = print) -> str:
    """Trains what is missing, evaluates and draws.

    Args:    say: is told what happens.
    Returns: the table, as text.
    Raises:  ConfigError: a setting is wrong, or `out` has runs of other settings.
             What `Trainer` and `reporting.evaluate_checkpoints` raise.
    """
    document = read_json(out / "results.json") or {"variants": {}}
    runs = [
        (name, seed)
        for name in study.variants
        for seed in (*study.seeds, *_earlier_seeds(study, name, out))
    ]
    results: dict[str, list[CheckpointResult]] = {name: [] for name in study.variants}
    for number, (name, seed) in enumerate(runs, start=1):
        say(f"{number}/{len(runs)}  {name}, seed {seed}")
        last, held_out = _train(study, name, seed, out)
        device = resolve_device("auto")
        results[name] += evaluate_checkpoints([last], held_out, device=device)
        if seed == study.seeds[0]:
            sheet = keypoint_sheet(load_model(last, device), held_out[:2], views=5, scale=2)
            sheet = np.concatenate([caption(name, sheet.shape[1]), sheet])
            save_picture(out / name / "keypoints.png", sheet)
        # After every run, so that a study that is stopped leaves what it has.
        protocol = {"views": str(held_out[0].store.root), "pairs_per_model": 100, "seed": 0}
        document["study"] = asdict(study)
        document["variants"][name] = {
            "settings": VARIANTS[name],
            **results_document(results[name], command=["tools/ablate.py"], protocol=protocol),
        }
        write_json(out / "results.json", document)
        save_picture(out / "keypoints.png", _all_sheets(out))
    return format_ablation(results)


def _earlier_seeds(study: Study, name: str, out: Path) -> list[int]:
    """Seeds of a variant that an earlier study trained to the end: they stay in its figures."""
    seeds = []
    for file in out.glob(f"{name}/seed-*/checkpoints/last.safetensors"):
        there = read_checkpoint(file)
        seed, done = there.config.run.seed, there.step >= there.config.optim.steps
        if done and seed not in study.seeds and file == last_checkpoint(out, name, seed):
            seeds.append(seed)
    return sorted(seeds)


def last_checkpoint(out: Path, name: str, seed: int) -> Path:
    """Where a run's weights lie."""
    return out / name / f"seed-{seed}" / "checkpoints" / "last.safetensors"


def format_ablation(results: dict[str, list[CheckpointResult]]) -> str:
    """One line for each variant, mean ± spread over its seeds."""
    rows = [["", *(heading for heading, _ in METRICS.values())]]
    rows += [
        [name, *spread_cells([result.evaluation for result in of_variant])]
        for name, of_variant in results.items()
        if of_variant
    ]
    return align_columns(rows)


def _train(study: Study, name: str, seed: int, out: Path) -> tuple[Path, list[ModelViews]]:
    """A run's last checkpoint, trained as far as it was not, and its held-out models."""
    folder = out / name / f"seed-{seed}"
    words = [*study.overrides, *VARIANTS[name], f"run.seed={seed}", f"run.out={folder}"]
    config = load_config(study.config, words)
    if study.steps is not None:
        config = scale_schedule(config, study.steps)
    if config.run.taught:
        raise ConfigError("run.teacher, run.points: replace the terms that an ablation leaves out")
    if not config.data.test:
        raise ConfigError("data.test: names no views to evaluate on")
    store = config.data.test[0]
    held_out = open_models(store.path, store.subset, (config.data.image_size,) * 2)
    last = last_checkpoint(out, name, seed)
    there = read_checkpoint(last) if last.exists() else None
    if there is not None and asdict(there.config) != asdict(config):
        raise ConfigError(
            f"{folder}: holds a run of other settings; choose another folder for the study"
        )
    if there is None or there.step < config.optim.steps:
        Trainer(config, resume=True).run()
    return last, held_out


def _all_sheets(out: Path) -> np.ndarray:
    """The sheets of all variants that there are, under each other in two columns."""
    paths = [out / name / "keypoints.png" for name in VARIANTS]
    sheets = [read_picture(path) for path in paths if path.exists()]
    return contact_sheet(sheets, columns=min(2, len(sheets)))
