"""The demo: from nothing to keypoints of chairs nobody labelled, in minutes on two CPU cores.

OUT/demo.json          what was asked for, and how many steps that became
OUT/views              the rendered views, of training and held-out models
OUT/checkpoints, …     the training run, see training.py
OUT/keypoints.png      held-out views with their keypoints
OUT/results.json       their evaluation, see reporting.py

Every stage goes on where an earlier run of the same settings was stopped.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keypointnet.checkpoints import load_model, read_checkpoint
from keypointnet.config import ConfigError, StoreConfig, TrainConfig
from keypointnet.distributed import resolve_device
from keypointnet.drawing import keypoint_sheet, save_picture
from keypointnet.evaluation import Evaluation
from keypointnet.files import write_json
from keypointnet.listing import listed
from keypointnet.pacing import affordable_steps, scale_schedule, seconds_per_step
from keypointnet.progress import progress_bar
from keypointnet.reporting import METRICS, align_columns, evaluate_checkpoints, results_document
from keypointnet.training import Trainer
from keypointnet.views.generate import RenderSettings, plan_jobs, prepare_store
from keypointnet.views.pairs import open_models
from keypointnet.views.sources import find_sources
from keypointnet.views.storage import StorageError, read_json
from keypointnet.views.workers import render_jobs

EXPECTED: dict[str, float | None] = {
    "mean_deg": 28.14,
    "median_deg": 17.02,
    "flips": 0.061,
    "se_3d": 0.221,
    "orientation_accuracy": 0.896,
    "orientation_accuracy_median": 0.913,
    "views": 8,
    "training": 401,
    "evaluation": 1,
}
"""What README says to expect on two cores: metrics, and the seconds of each stage."""

RESERVE_S = 45.0
"""Seconds kept for the evaluations, when a slow machine has to train for fewer steps."""

_WRITTEN = (
    "demo.json", "views", "checkpoints", "pictures", "tensorboard", "config.yaml",
    "metrics.jsonl", "keypoints.png", "results.json", "scenes", "points", "masks",
    "chair.safetensors", "loop.json", "report.html",
)  # fmt: skip


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
    stages: int = 3,
    besides: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> DemoResult:
    """Renders, trains, evaluates and draws.

    Args:    config: its stores and run.out are replaced by those in `out`.
             workers: rendering processes; all cores without.
             limit_s: a machine too slow to be done by then trains for fewer steps; 0: no limit.
             stages: how many the whole demo has, of which these are the first three.
             besides: what else the demo is asked for, as JSON; one of other settings is not gone on
             with.
             say: is told what happens.
    Raises:  ConfigError: `out` has something else in it.  StorageError: a model could not be
             rendered.  And what `Trainer` and `reporting.evaluate_checkpoints` raise.
    """
    began = time.monotonic()
    config = place(config, out)
    state = begin(out, {"models": asdict(models), "config": asdict(config), **(besides or {})})
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

    steps = state.get("steps")
    if steps is None:
        steps = config.optim.steps
        if limit_s > 0:
            step_s = seconds_per_step(config, device)
            left_s = limit_s - RESERVE_S - (time.monotonic() - began)
            steps = affordable_steps(steps, step_s, left_s)
            if steps < config.optim.steps:
                say(
                    f"     a step takes {step_s:.2f} s here: {steps} of {config.optim.steps} steps "
                    f"fit into {limit_s / 60:g} minutes, for less accurate keypoints than README's"
                )
        write_json(out / "demo.json", {**state, "steps": steps})
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


def begin(out: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """The state of a demo in `out`: of the run to go on with, or a new one, written.

    Args:    asked: JSON values; a run is gone on with only if it was asked for the same.
    Returns: {"asked": …} and, once known, "steps".
    Raises:  ConfigError: `out` holds a demo of other settings (each is named), or something else
             that a demo would write over.
    """
    path = out / "demo.json"
    state = read_json(path)
    if state is None:
        if there := _written(out):
            raise ConfigError(
                f"{out}: holds {', '.join(there)}, but not of a demo; choose another folder"
            )
        out.mkdir(parents=True, exist_ok=True)
        state = {"asked": asked}
        write_json(path, state)
    elif different := list(_differences(state["asked"], asked)):
        raise ConfigError(
            f"{out}: was begun with other settings ({'; '.join(different)}); start anew with "
            "--fresh, or choose another folder"
        )
    assert isinstance(state, dict)
    return state


def discard(out: Path) -> None:
    """Removes an earlier demo: what it wrote and nothing else; does nothing where none is.

    Raises: ConfigError: `out` holds, say, checkpoints that are not a demo's.
    """
    there = _written(out)
    if there and "demo.json" not in there:
        raise ConfigError(f"{out}: holds {', '.join(there)}, but not of a demo; nothing is removed")
    for name in reversed(there):  # demo.json last: killed half-way, it is still a demo's folder
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


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


def _written(out: Path) -> list[str]:
    return [name for name in _WRITTEN if (out / name).exists()]


@contextmanager
def stage_timer(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Notes how long a stage takes. Args: seconds: of the stages so far."""
    started = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - started, 1)


def _differences(there: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Each setting that differs, as "name: a there, b asked for"."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in sorted({*there, *wanted}):
            yield from _differences(there.get(key), wanted.get(key), f"{name}.{key}".lstrip("."))
    elif there != wanted:
        yield f"{name}: {there!r} there, {wanted!r} asked for"
