"""The demo: from nothing to keypoints of chairs nobody labelled, in minutes on two CPU cores.

OUT/demo.json          what was asked for, and how many steps that became
OUT/views              the rendered views, of training and held-out models
OUT/checkpoints, …     the training run, see training.py
OUT/keypoints.png      held-out views with their keypoints
OUT/results.json       their evaluation, see reporting.py
OUT/crowded            the training run of the network for crowded pictures, see teaching.py

Every stage goes on where an earlier run of the same settings was stopped.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keypointnet.checkpoints import load_model, read_checkpoint
from keypointnet.config import StoreConfig, TrainConfig
from keypointnet.demo_state import begin, settle_steps
from keypointnet.distributed import resolve_device
from keypointnet.drawing import keypoint_sheet, save_picture
from keypointnet.evaluation import Evaluation
from keypointnet.files import write_json
from keypointnet.listing import listed
from keypointnet.pacing import scale_schedule, seconds_per_step
from keypointnet.progress import progress_bar
from keypointnet.reporting import METRICS, align_columns, evaluate_checkpoints, results_document
from keypointnet.teaching import taught_points
from keypointnet.training import Trainer
from keypointnet.views.generate import RenderSettings, plan_jobs, prepare_store
from keypointnet.views.pairs import open_models
from keypointnet.views.sources import find_sources
from keypointnet.views.storage import StorageError
from keypointnet.views.workers import render_jobs

EXPECTED: dict[str, float | None] = {
    "mean_deg": 46.12,
    "median_deg": 31.18,
    "flips": 0.142,
    "se_3d": 0.255,
    "orientation_accuracy": 0.836,
    "orientation_accuracy_median": 0.812,
    "views": 11,
    "training": 104,
    "evaluation": 1,
}
"""What README says to expect on two cores: metrics, and the seconds of each stage."""

RESERVE_S = 45.0
"""Seconds kept for the evaluations, when a slow machine has to train for fewer steps."""


@dataclass(frozen=True)
class DemoModels:
    """Which models the demo renders, as `views.sources.find_sources` names them.

    views: of each model.
    """

    train: str = "chair:0-300"
    test: str = "chair:10000-10012"
    views: int = 40


@dataclass
class DemoResult:
    """What a run of the demo found.

    seconds: of each stage in this run.  resumed: whether an earlier run had done a part.
    steps: trained for, in all.  picture: the contact sheet.
    """

    evaluation: Evaluation
    steps: int
    picture: Path
    resumed: bool
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(
    config: TrainConfig,
    models: DemoModels,
    out: Path,
    *,
    workers: int | None = None,
    limit_s: float = 0.0,
    reserve_s: float = RESERVE_S,
    stages: int = 3,
    besides: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> DemoResult:
    """Renders, trains, evaluates and draws.

    Args:    config: its stores and run.out are replaced by those in `out`.
             workers: rendering processes; all cores without.
             limit_s: a machine too slow to be done by then trains for fewer steps; 0: no limit.
             reserve_s: of it, for the evaluations.
             stages: how many the whole demo has, of which these are the first three.
             besides: what else the demo is asked for, as JSON; one of other settings is not gone on
             with.
             say: is told what happens.
    Raises:  ConfigError: `out` has something else in it.  StorageError: a model could not be
             rendered.  And what `Trainer` and `reporting.evaluate_checkpoints` raise.
    """
    began = time.monotonic()
    config = place(config, out)
    begin(out, {"models": asdict(models), "config": asdict(config), **(besides or {})})
    device = resolve_device(config.run.device)
    size = (config.data.image_size, config.data.image_size)
    result_seconds: dict[str, float] = {}

    say(
        f"1/{stages}  views: {models.train} to train on, {models.test} held out, "
        f"{size[0]}x{size[1]} px"
    )
    with stage_timer(result_seconds, "views"):
        present = render(models, out / "views", size, workers)
    resumed = present > 0

    left_s = limit_s - reserve_s - (time.monotonic() - began) if limit_s > 0 else math.inf
    steps = settle_steps(
        out, "steps", config.optim.steps, lambda: seconds_per_step(config, device), left_s, say
    )
    say(f"2/{stages}  training: {steps} steps of {config.optim.pairs_per_step} pairs")
    last = out / "checkpoints" / "last.safetensors"
    with stage_timer(result_seconds, "training"):
        done = read_checkpoint(last).step if last.exists() else 0
        if done < steps:
            Trainer(scale_schedule(config, steps), resume=True).run()
    resumed = resumed or done > 0

    held_out = open_models(out / "views", "test", size)
    say(f"3/{stages}  evaluation: {len(held_out)} held-out models")
    with stage_timer(result_seconds, "evaluation"):
        results = evaluate_checkpoints([last], held_out, device=device, progress=True)
        picture = out / "keypoints.png"
        save_picture(picture, keypoint_sheet(load_model(last, device), held_out[:6]))
    protocol = {"views": str(out / "views"), "subset": "test", "pairs_per_model": 100, "seed": 0}
    document = results_document(results, command=["tools/quickstart.py"], protocol=protocol)
    write_json(out / "results.json", {**document, "seconds": result_seconds})
    return DemoResult(results[0].evaluation, steps, picture, resumed, result_seconds)


def teach(
    config: TrainConfig,
    out: Path,
    *,
    limit_s: float = math.inf,
    say: Callable[[str], None] = print,
) -> Path:
    """Trains a network for crowded pictures on what that of `run_demo` has found.

    Args:    config: with its own trunk and augmentation; keypoints, stores, seed, device and
             precision are those of the demo in `out`.  limit_s: seconds that it may take.
    Returns: its checkpoint.
    Raises:  as `Trainer`.
    """
    began = time.monotonic()
    teacher = out / "checkpoints" / "last.safetensors"
    first = read_checkpoint(teacher).config
    config = place(config, out)
    config = replace(
        config,
        model=replace(
            config.model,
            num_keypoints=first.model.num_keypoints,
            depth_offset=first.model.depth_offset,
        ),
        data=replace(config.data, image_size=first.data.image_size),
        run=replace(
            config.run,
            out=str(out / "crowded"),
            teacher=str(teacher),
            seed=first.run.seed,
            device=first.run.device,
            amp=first.run.amp,
        ),
    )
    device = resolve_device(config.run.device)
    size = (config.data.image_size, config.data.image_size)
    taught_points(config, open_models(out / "views", "train", size), device)
    steps = settle_steps(
        out,
        "crowded_steps",
        config.optim.steps,
        lambda: seconds_per_step(config, device),
        limit_s - (time.monotonic() - began),
        say,
    )
    last = out / "crowded" / "checkpoints" / "last.safetensors"
    if not last.exists() or read_checkpoint(last).step < steps:
        Trainer(scale_schedule(config, steps), resume=True).run()
    return last


def place(config: TrainConfig, out: Path) -> TrainConfig:
    """The configuration with its stores and its output in `out`."""
    views = str(out / "views")
    return replace(
        config,
        data=replace(
            config.data,
            train=[StoreConfig(views, "train")],
            test=[StoreConfig(views, "test")],
        ),
        run=replace(config.run, out=str(out)),
    )


def render(models: DemoModels, root: Path, size: tuple[int, int], workers: int | None) -> int:
    """Renders what is missing of the demo's views, with a progress bar.

    Returns: how many models were there already.
    Raises:  ValueError: no such models, or one on both sides.  StorageError: one that fails.
    """
    train, test = find_sources(models.train), find_sources(models.test)
    both = sorted({source.id for source in train} & {source.id for source in test})
    if both:
        raise ValueError(f"models to train on and held-out ones share {listed(both, 5)}")
    settings = RenderSettings(size=size, views=models.views)
    prepare_store(root, settings)
    split = {"train": [s.id for s in train], "test": [s.id for s in test]}
    write_json(root / "split.json", split)
    jobs, present = plan_jobs([*train, *test], root)
    workers = min(workers or len(os.sched_getaffinity(0)), max(1, len(jobs)))
    with progress_bar(
        total=settings.views * (len(jobs) + present),
        initial=settings.views * present,
        desc="views",
        unit="view",
    ) as bar:
        for outcome in render_jobs(jobs, root, settings, workers):
            if outcome.error is not None:
                raise StorageError(f"{outcome.id} could not be rendered: {outcome.error}")
            bar.update(settings.views)
    return present


def table_rows(result: DemoResult) -> list[list[str]]:
    """What this run found beside what README says to expect; the first row has the headings."""
    rows = [["held-out chairs", "here", "expected"]]
    for name, (heading, write) in METRICS.items():
        value, expected = getattr(result.evaluation, name), EXPECTED[name]
        rows.append([heading, *("–" if v is None else write(v) for v in (value, expected))])
    return rows + [seconds_row(name, s, EXPECTED[name]) for name, s in result.seconds.items()]


def seconds_row(stage: str, seconds: float, expected: float | None) -> list[str]:
    """How long a stage took, and should take, as a row of a table."""
    return [f"{stage}, seconds", f"{seconds:.0f}", "–" if expected is None else f"{expected:.0f}"]


def format_demo_table(result: DemoResult) -> str:
    """`table_rows` as text."""
    return align_columns(table_rows(result))


@contextmanager
def stage_timer(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Notes how long a stage takes. Args: seconds: of the stages so far."""
    started = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - started, 1)
