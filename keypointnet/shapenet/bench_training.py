"""Does it matter to KeypointNet that models were aligned by us and not by their makers?

Models of one orientation are each turned about up by a random angle, and aligned again by our own
algorithm; one network is trained on views of the models as they were given, one on views of those
aligned again, with the same settings, and both are evaluated on held-out models of their own kind.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keypointnet.config import StoreConfig, load_config
from keypointnet.files import write_whole
from keypointnet.reporting import evaluate_checkpoints
from keypointnet.shapenet.alignment import align_models
from keypointnet.shapenet.alignment_files import MODELS, TRANSFORMS, turn_model, write_alignment
from keypointnet.shapenet.bench_alignment import random_turns
from keypointnet.shapenet.catalogue import open_catalogue
from keypointnet.shapenet.companions import SPLIT_FILE, find_companions
from keypointnet.shapenet.models import find_models, load_model
from keypointnet.shapenet.writing import collection_layout, write_model
from keypointnet.training import Trainer
from keypointnet.views.generate import RenderSettings, plan_jobs, prepare_store
from keypointnet.views.pairs import open_models
from keypointnet.views.sources import find_sources
from keypointnet.views.storage import StorageError, read_split
from keypointnet.views.workers import render_jobs

SETTINGS = (
    *("model.channels=32", "model.downsample=2", "model.bn_momentum=0.01"),
    *("model.orientation_network=residual", "model.orientation_channels=24"),
    *("loss.variant=released", "loss.pose=1", "loss.separation_delta=0.1", "loss.anchor=1"),
    *("loss.anchor_steps=600", "loss.flag_anneal_start=800", "loss.flag_anneal_end=1500"),
    *("data.image_size=64", "data.workers=0", "data.augmentation.mirror=0.5"),
    *("data.augmentation.colour=0.2", "optim.steps=2000", "optim.pairs_per_step=16"),
    *("optim.learning_rate=2e-3", "optim.schedule=one_cycle", "optim.ema_decay=0.995"),
    *("run.eval_every=1000", "run.checkpoint_every=100"),
)
"""Of the training: minutes on two cores, far from what KeypointNet can do with hours."""

MARKER = ".bench-training"
"""A file that says that all which `training_figures` keeps in its folder is its own."""
_KEPT = ("turned", "alignment", "views", "given", "aligned")


def training_figures(
    models_dir: Path,
    out: Path,
    *,
    overrides: Sequence[str] = (),
    views: int = 60,
    seed: int = 0,
    workers: int = 1,
) -> dict[str, Any]:
    """Held-out angles of a network trained on given orientations and of one on ours.

    What a stopped run has done is not done again.

    Args:    models_dir: models with a split.json.  out: folder for models, views and runs.
             overrides: of SETTINGS, as key=value.  views: of each model.
             seed: of the random turns and of the aligner.  workers: that render.
    Returns: "given" and "aligned": mean_deg, median_deg, flips, …; "difference_deg" of the means.
    Raises:  ModelError, StorageError, TrainingError: what is wrong is named.
    """
    if read_split(models_dir) is None:
        raise StorageError(f"{models_dir}: has no split.json, so there are no held-out models")
    if not out.exists() or not any(out.iterdir()):
        write_whole(out / MARKER, b"tools/shapenet.py bench made this folder and may remove it\n")
    config = load_config(None, ["data.train=[{path: none}]", *SETTINGS, *overrides])
    aligned = turned_and_aligned(models_dir, out, seed)
    figures: dict[str, Any] = {}
    for name, models in (("given", models_dir), ("aligned", aligned)):
        size = (config.data.image_size, config.data.image_size)
        store = rendered(models, out / "views" / name, views, size, workers)
        last = out / name / "checkpoints" / "last.safetensors"
        run = replace(
            config,
            data=replace(
                config.data,
                train=[StoreConfig(str(store), "train")],
                test=[StoreConfig(str(store), "test")],
            ),
            run=replace(config.run, out=str(out / name)),
        )
        Trainer(run, resume=last.exists()).run()
        (result,) = evaluate_checkpoints([last], open_models(store, "test", size))
        figures[name] = result.evaluation.summary()
    figures["difference_deg"] = figures["aligned"]["mean_deg"] - figures["given"]["mean_deg"]
    return figures


def forget_training(out: Path) -> None:
    """Removes what `training_figures` has kept, so that it measures afresh.

    Raises:  ValueError: the folder was there before it, and nothing is removed.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MARKER).is_file():
        raise ValueError(
            f"{out}: expected a folder that bench made ({MARKER} in it says so), and leaves this "
            "one alone; remove it, or name another --out"
        )
    for name in _KEPT:
        if (out / name).is_dir():
            shutil.rmtree(out / name)


def turned_and_aligned(models_dir: Path, out: Path, seed: int) -> Path:
    """The models, turned at random and aligned again, with their split. Returns: their folder."""
    done = out / "alignment" / TRANSFORMS
    if not done.exists():
        refs = find_models(models_dir)
        layout = collection_layout(ref.id for ref in refs)
        companions = find_companions(open_catalogue(models_dir))
        for ref, R in zip(refs, random_turns("azimuth", len(refs), seed), strict=True):
            turned, _ = turn_model(load_model(ref), R)
            write_model(turned, out / "turned" / layout[ref.id])
        turned_refs = find_models(out / "turned")
        found = align_models(turned_refs, "azimuth", seed=seed)
        settings = {"rotations": "azimuth", "seed": seed}
        write_alignment(found, turned_refs, done.parent, settings=settings, companions=companions)
    return done.parent / MODELS


def rendered(models: Path, store: Path, views: int, size: tuple[int, int], workers: int) -> Path:
    """A store of views of all models, with their split. Raises: StorageError: one that fails."""
    settings = RenderSettings(size=size, views=views)
    prepare_store(store, settings)
    shutil.copy(models / SPLIT_FILE, store / SPLIT_FILE)
    jobs, _ = plan_jobs(find_sources(str(models)), store)
    for outcome in render_jobs(jobs, store, settings, max(1, min(workers, len(jobs)))):
        if outcome.error is not None:
            raise StorageError(f"{outcome.id} could not be rendered: {outcome.error}")
    return store
