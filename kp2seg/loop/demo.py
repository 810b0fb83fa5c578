"""The demo as a whole: from nothing to masks from keypoints that nobody labelled, in minutes.

Beside what keypointnet's quickstart writes:

OUT/crowded               a KeypointNet for pictures, taught by the first one
OUT/scenes/{train,test}   pictures of crowds of the same models, see views/scenes.py
OUT/points                discovered and true keypoints as COCO JSON, and their templates
OUT/masks/NAME            a training run for each kind of keypoints
OUT/chair.safetensors     both networks as one model
OUT/loop.json             the figures
OUT/report.html           all of it to look at

Every stage goes on where an earlier run of the same settings was stopped.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from keypointnet.config import TrainConfig
from keypointnet.demo_state import settle_steps
from keypointnet.files import write_json
from keypointnet.progress import progress_bar
from keypointnet.quickstart import (
    DemoModels,
    DemoResult,
    run_demo,
    seconds_row,
    stage_timer,
    table_rows,
    teach,
)
from keypointnet.reporting import align_columns
from keypointnet.views.scene_files import plan_pictures, prepare_scenes, render_scenes
from keypointnet.views.scene_layout import SceneRange
from keypointnet.views.scenes import SceneMaker, SceneSettings
from keypointnet.views.sources import find_sources
from keypointnet.views.storage import StorageError, read_json
from kp2seg.bundle import save_bundle
from kp2seg.data.scenes import scenes_to_coco
from kp2seg.keypoint_sources.discovered import Finding
from kp2seg.loop.masks import mask_config, seconds_per_step
from kp2seg.loop.points import ObjectData, PointSet, discovered_points, no_points, true_points
from kp2seg.loop.study import TITLES, compare, figures, ratio_lines, ratios
from kp2seg.report.keypoints import KeypointRun
from kp2seg.report.write import write_report

STAGES = 8
KEYPOINT_SHARE, CROWDED_SHARE = 0.34, 0.54
"""Of the time, when the keypoints on black, and those in pictures, have to be there."""
EVALUATION_S = 5.0
"""Seconds kept for scoring the keypoints."""
RESERVE_S = 40.0
"""Seconds kept for scoring the masks and the report, when a slow machine trains for fewer steps."""


EXPECTED: dict[str, float | None] = {
    "none": 0.189,
    "discovered": 0.188,
    "true": 0.227,
    "crowded": 146,
    "crowds": 22,
    "discovery": 14,
    "masks": 229,
    "report": 4,
}
"""What README says to expect on two cores: AP of each kind of keypoints, seconds of each stage."""


@dataclass(frozen=True)
class LoopSettings:
    """What the second half of the demo makes.

    Attributes:
        train, test: models of the crowds; those to train on may be the same as KeypointNet's.
        train_pictures, test_pictures: how many crowds.  size: px of their sides.
        layout: of them. Most hold chairs of one model, as rooms do: colours do not tell them apart.
        templates: how many, of discovered and of true poses.
        finding: how objects are shown to KeypointNet.
        masks: LazyConfig file of the mask model.  overrides: of it.
        seed: of everything random in it.
    """

    train: str = "chair:0-300"
    test: str = "chair:10000-10060"
    train_pictures: int = 500
    test_pictures: int = 80
    size: int = 256
    layout: SceneRange = field(default_factory=partial(SceneRange, alike=0.7))
    templates: int = 12
    finding: Finding = field(default_factory=partial(Finding, corners=True))
    masks: str = "configs/kp2seg/demo.py"
    overrides: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class LoopResult:
    """What the whole demo found.

    keypoints: of its first half.  rows: of `study.figures`.  seconds: of each stage in this run.
    """

    keypoints: DemoResult
    rows: dict[str, dict[str, float]]
    seconds: dict[str, float]
    report: Path


def run_loop_demo(
    config: TrainConfig,
    crowded: TrainConfig,
    models: DemoModels,
    loop: LoopSettings,
    out: Path,
    *,
    workers: int | None = None,
    limit_s: float = 0.0,
    say: Callable[[str], None] = print,
) -> LoopResult:
    """Runs every stage.

    Args:    config, models, out, workers, say: see `keypointnet.quickstart.run_demo`.
             crowded: of the KeypointNet for pictures, see `keypointnet.quickstart.teach`.
             limit_s: a machine too slow to be done by then trains for fewer steps; 0: no limit.
    Raises:  as `run_demo`, `discover_dataset`, `masks_of` and `write_report`.
    """
    began = time.monotonic()
    limit_s = limit_s or math.inf
    both = {"crowded": asdict(crowded), "loop": asdict(loop)}
    asked = json.loads(json.dumps(both))  # a tuple is a list when it is read again
    first = run_demo(
        config,
        models,
        out,
        workers=workers,
        limit_s=KEYPOINT_SHARE * limit_s if limit_s < math.inf else 0.0,
        reserve_s=EVALUATION_S,
        stages=STAGES,
        besides=asked,
        say=say,
    )
    seconds: dict[str, float] = {}
    found_on_black = out / "checkpoints" / "last.safetensors"

    say(f"4/{STAGES}  a network that finds the same keypoints in crowded pictures")
    with stage_timer(seconds, "crowded"):
        left_s = CROWDED_SHARE * limit_s - (time.monotonic() - began)
        weights = teach(crowded, out, limit_s=left_s, say=say)

    say(f"5/{STAGES}  crowds: {loop.train_pictures} pictures to train on, {loop.test_pictures} not")
    with stage_timer(seconds, "crowds"):
        train = make_crowds(
            loop.train, loop.train_pictures, out / "scenes/train", loop, 2 * loop.seed, workers
        )
        test = make_crowds(
            loop.test, loop.test_pictures, out / "scenes/test", loop, 2 * loop.seed + 1, workers
        )

    say(f"6/{STAGES}  keypoints of every object, and templates of their poses")
    with stage_timer(seconds, "discovery"):
        points = point_sets(weights, train, test, out / "points", loop)

    with stage_timer(seconds, "masks"):
        probe = mask_config(Path(loop.masks), loop.overrides, points[-1], out / "masks/probe")
        left_s = (limit_s - RESERVE_S - (time.monotonic() - began)) / len(points)
        one = partial(seconds_per_step, probe)
        steps = settle_steps(out, "mask_steps", int(probe.train.steps), one, left_s, say)
        say(f"7/{STAGES}  masks, three times {steps} steps: with no, discovered and true keypoints")
        results = compare(
            points, Path(loop.masks), loop.overrides, out / "masks", steps=steps, seed=loop.seed
        )
        rows = figures(results)
        masks = results["discovered"].checkpoint
        learnt = out / "points/discovered-train.json"
        save_bundle(out / "chair.safetensors", weights, masks, learnt)

    say(f"8/{STAGES}  report")
    with stage_timer(seconds, "report"):
        report = out / "report.html"
        state: Any = read_json(out / "demo.json")
        second = state["crowded_steps"]
        write_report(
            report,
            "Masks from keypoints nobody labelled",
            f"kp2seg's demo: {first.steps} steps of KeypointNet on rendered views of {models.train}"
            f", {second} of a second one that learns to find the same points in crowded pictures, "
            f"then {steps} of each mask model on {loop.train_pictures} pictures of crowds; "
            f"everything is scored on {models.test} and {loop.test}, which neither has seen.",
            _keypoint_run(out, found_on_black, models, first),
            results,
        )
    write_json(
        out / "loop.json",
        {
            "asked": asked["loop"],
            "rows": rows,
            "ratios": ratios(rows),
            "seconds": {**first.seconds, **seconds},
        },
    )
    return LoopResult(first, rows, seconds, report)


def format_loop_table(result: LoopResult) -> str:
    """What this run found beside what README says to expect."""
    rows = table_rows(result.keypoints)
    for name, row in result.rows.items():
        expected = EXPECTED[name]
        value = row.get("AP_quality", row["AP_constant"])
        written = "–" if expected is None else f"{expected:.3f}"
        rows.append([f"AP, {TITLES[name]}", f"{value:.3f}", written])
    rows += [seconds_row(stage, s, EXPECTED[stage]) for stage, s in result.seconds.items()]
    return "\n".join([align_columns(rows), *ratio_lines([result.rows])])


def make_crowds(
    models: str, pictures: int, folder: Path, loop: LoopSettings, seed: int, workers: int | None
) -> ObjectData:
    """Renders what is missing of a folder of scenes, and writes its annotations.json.

    Raises: StorageError: a picture could not be made, or the folder is of other settings.
    """
    sources = find_sources(models)
    settings = SceneSettings(size=(loop.size, loop.size), seed=seed, layout=loop.layout)
    prepare_scenes(folder, settings, sources, [], sources[0].family or "object")
    jobs, present = plan_pictures(folder, pictures)
    workers = min(workers or len(os.sched_getaffinity(0)), max(1, len(jobs)))
    with progress_bar(
        total=pictures, initial=present, desc=f"crowds, {folder.name}", unit="picture"
    ) as bar:
        maker = partial(SceneMaker, sources, settings, [])
        for outcome in render_scenes(jobs, folder, maker, settings.quality, workers):
            if outcome.error is not None:
                raise StorageError(f"picture {outcome.id} could not be made: {outcome.error}")
            bar.update()
    file = folder / "annotations.json"
    coco = scenes_to_coco(folder, read_json(folder / "scenes.json"), range(pictures))
    write_json(file, coco)
    return ObjectData(file, folder / "images")


def point_sets(
    weights: Path, train: ObjectData, test: ObjectData, out: Path, loop: LoopSettings
) -> list[PointSet]:
    """No, discovered and true keypoints."""
    k = loop.templates
    return [
        no_points([train], test, out),
        discovered_points(weights, [train], test, out, loop.finding, k=k),
        true_points([train], test, out, loop.finding, k=k),
    ]


def _keypoint_run(out: Path, weights: Path, models: DemoModels, first: DemoResult) -> KeypointRun:
    return KeypointRun(
        folder=out,
        checkpoint=weights,
        views=out / "views",
        subset="test",
        sources=tuple(find_sources(models.test)),
        evaluation=first.evaluation,
        what="chairs",
    )
