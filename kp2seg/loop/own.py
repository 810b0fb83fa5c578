"""The loop on data of one's own: keypoints discovered in boxes, and the masks they are worth.

OUT/asked.json             the settings; OUT is gone on with only if they are the same
OUT/points                 the keypoints of each data set, their quality, and their templates
OUT/seed-N/NAME            a training run for each kind of keypoints
OUT/seed-N/object.safetensors  KeypointNet and the masks from its points as one model
OUT/seed-N/report.html     all of it to look at
OUT/results.json           the figures

Everything goes on where an earlier run was stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from keypointnet.checkpoints import read_checkpoint, trained_model
from keypointnet.demo_state import differences
from keypointnet.files import file_sha256, write_json
from keypointnet.listing import listed
from keypointnet.progress import progress_bar
from keypointnet.reporting import align_columns
from keypointnet.views.storage import read_json
from kp2seg.bundle import save_bundle
from kp2seg.data.object_boxes import object_masks, read_object_boxes, read_object_picture
from kp2seg.evaluation.discovered_points import PointQuality, PointQualityMeter
from kp2seg.keypoint_sources.discovered import Finding
from kp2seg.lazy_config import choose_device
from kp2seg.loop.points import (
    ObjectData,
    PointSet,
    discovered_points,
    no_points,
    plain_boxes,
    true_points,
)
from kp2seg.loop.study import (
    TITLES,
    compare,
    compare_detector,
    figures,
    ratio_lines,
    ratios,
    spread,
)
from kp2seg.report.write import write_report


@dataclass(frozen=True)
class LoopStudy:
    """What is compared, and on what.

    Attributes:
        weights: checkpoint of a KeypointNet.
        train, test: data sets with masks.  repeat: how often a picture of each of `train` is shown
            in an epoch; once without.
        masks: LazyConfig file of the mask model.  overrides: of it.  steps: its own without.
        detector: LazyConfig file of a Mask R-CNN that is trained for the same time; None for none.
        detector_overrides: of it.
        true: compare with the data sets' own keypoints, too.
        templates: how many, of discovered and of true poses.
        finding: how objects are shown to KeypointNet.  seeds: of the trainings.
    """

    weights: Path
    train: tuple[ObjectData, ...]
    test: ObjectData
    masks: Path
    repeat: tuple[int, ...] | None = None
    overrides: tuple[str, ...] = ()
    steps: int | None = None
    detector: Path | None = None
    detector_overrides: tuple[str, ...] = ()
    true: bool = False
    templates: int = 12
    finding: Finding = field(default_factory=lambda: Finding(corners=True))
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        """Raises ValueError: what is scored was trained on."""
        if self.test.file.resolve() in {data.file.resolve() for data in self.train}:
            raise ValueError(
                f"{self.test.file}: is trained on, so masks of it prove nothing; score on others"
            )


@dataclass(frozen=True)
class LoopStudyResult:
    """rows: of `study.figures`, for each seed.  quality: of the discovered points of `test`."""

    rows: dict[int, dict[str, dict[str, float]]]
    quality: PointQuality
    report: Path


def run_loop_study(
    study: LoopStudy, out: Path, *, device: str = "auto", say: Callable[[str], None] = print
) -> LoopStudyResult:
    """Finds the points, trains and scores the masks, writes the figures and a page for each seed.

    Raises: DataError, CheckpointError, SegConfigError, SegTrainingError, TemplateError,
            ValueError: what is wrong is named.
    """
    _begin(study, out)
    torch_device = choose_device(device)
    points = point_sets(study, out / "points", torch_device)
    quality = point_quality(study, out / "points" / "quality.json", torch_device)
    kept: Any = read_json(out / "results.json") or {"seeds": {}}
    rows: dict[int, dict[str, dict[str, float]]] = {}
    report = out
    for seed in study.seeds:
        folder = out / f"seed-{seed}"
        say(f"seed {seed}")
        how: dict[str, Any] = {"repeat": study.repeat, "seed": seed, "device": device, "say": say}
        results = compare(points, study.masks, study.overrides, folder, steps=study.steps, **how)
        found = results["discovered"]
        if study.detector is not None:
            boxes = plain_boxes(study.train, study.test, out / "points")
            words = study.detector_overrides
            results["mask_rcnn"] = compare_detector(
                boxes, study.detector, words, folder, seconds=found.seconds, **how
            )
        rows[seed] = figures(results)
        learnt = out / "points/discovered-train.json"
        save_bundle(folder / "object.safetensors", study.weights, found.checkpoint, learnt)
        report = folder / "report.html"
        about = f"{study.weights.name} on {study.test.file.name}, seed {seed}."
        write_report(report, "Masks from discovered keypoints", about, None, results)
        # After every seed, so that a study that is stopped leaves what it has.
        kept["seeds"][str(seed)] = {"rows": rows[seed], "ratios": ratios(rows[seed])}
        document = {
            "study": _asked(study),
            "weights_sha256": file_sha256(study.weights),
            "points": quality.as_dict(),
            "seeds": dict(sorted(kept["seeds"].items(), key=lambda pair: int(pair[0]))),
        }
        write_json(out / "results.json", document)
    return LoopStudyResult(rows, quality, report)


def _begin(study: LoopStudy, out: Path) -> None:
    """Notes what was asked for. Raises: ValueError: OUT is of something else."""
    file, asked = out / "asked.json", _asked(study)
    there: Any = read_json(file)
    if there is not None:
        # A detector or true keypoints may be compared with later.
        both = (there.keys() & asked.keys()) - {"sha256"}
        before, now = ({key: each[key] for key in both} for each in (there, asked))
        if different := list(differences(before, now)):
            raise ValueError(
                f"{out}: was begun with other settings ({listed(different, 4, '; ')}); choose "
                "another folder"
            )
        now_in = asked["sha256"]
        if changed := [k for k, v in there.get("sha256", {}).items() if now_in.get(k, v) != v]:
            if list(out.glob("seed-*")):  # masks, learnt from what the files were then
                raise ValueError(
                    f"{out}: its masks were learnt when {listed(changed, 4)} was another file; "
                    "choose another folder"
                )
            (out / "points" / "quality.json").unlink(missing_ok=True)
        asked = {**there, **asked}
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, asked)


def _asked(study: LoopStudy) -> dict[str, Any]:
    """The settings that all seeds have in common, as JSON has them."""
    asked: dict[str, Any] = json.loads(json.dumps(asdict(study), default=str))
    del asked["seeds"]
    for name in ("detector", "true"):
        if not asked[name]:
            del asked[name]
    if study.detector is None:
        del asked["detector_overrides"]
    files = [study.weights, *(data.file for data in study.train), study.test.file]
    asked["sha256"] = {str(file): file_sha256(file) for file in files}
    return asked


def point_sets(study: LoopStudy, out: Path, device: torch.device) -> list[PointSet]:
    """No, discovered and, if wanted, true keypoints."""
    train, test, finding, k = study.train, study.test, study.finding, study.templates
    sets = [no_points(train, test, out)]
    if study.true:
        sets.append(true_points(train, test, out, finding, k=k))
    found = discovered_points(study.weights, train, test, out, finding, k=k, device=device)
    return [sets[0], found, *sets[1:]]


def point_quality(study: LoopStudy, file: Path, device: torch.device) -> PointQuality:
    """How far the points of the objects to score can be trusted; kept in a file.

    Raises: as `read_object_boxes`.
    """
    kept: Any = read_json(file)
    if kept is not None:
        return PointQuality.from_dict(kept)
    checkpoint = read_checkpoint(study.weights)
    model = trained_model(checkpoint, device)
    meter = PointQualityMeter(model, checkpoint.config.data.image_size, study.finding)
    path, images, category = study.test
    boxes = read_object_boxes(path, images, category=category, need_masks=True)
    for image, rows in progress_bar(boxes.by_picture(), desc="look", unit="picture"):
        picture = read_object_picture(image, images)
        meter.add(picture, np.array([row["bbox"] for row in rows]), object_masks(image, rows))
    quality = meter.result()
    write_json(file, quality.as_dict())
    return quality


def format_loop_study(result: LoopStudyResult) -> str:
    """A line for each kind of keypoints, mean ± spread over the seeds, and the points' quality."""
    heads = {
        "AP": "AP_quality",
        "AP50": "AP50_quality",
        "AP, constant score": "AP_constant",
        "moderate": "AP_quality_moderate",
        "hard": "AP_quality_hard",
        "mean IoU": "mean_iou",
    }
    there = set().union(*(row for rows in result.rows.values() for row in rows.values()))
    heads = {head: key for head, key in heads.items() if key in there}
    keys = list(heads.values())
    lines = [["masks from", *heads, "training, s"]]
    for name in next(iter(result.rows.values())):
        per_seed = [rows[name] for rows in result.rows.values()]
        cells = [spread([row[key] for row in per_seed if key in row], ".3f") for key in keys]
        seconds = spread([row["seconds"] for row in per_seed], ".0f")
        lines.append([TITLES[name], *cells, seconds])
    q = result.quality
    inside = "–" if math.isnan(q.inside) else f"{100 * q.inside:.1f} %"
    return "\n".join(
        [
            align_columns(lines),
            *ratio_lines(list(result.rows.values())),
            f"of {q.points:.1f} points that count on each of {q.objects} objects {inside} lie in "
            f"the true masks; they move by {100 * q.flip:.1f} % of the box's diagonal in mirrored "
            f"crops, {100 * q.box:.1f} % in changed boxes, {100 * q.turn:.1f} % in turned crops "
            "(medians)",
        ]
    )
