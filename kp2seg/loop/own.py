"""The loop on data of one's own: keypoints discovered in boxes, and the masks they are worth.

OUT/points                 the keypoints of each data set, and their templates
OUT/seed-N/NAME            a training run for each kind of keypoints
OUT/seed-N/object.safetensors  KeypointNet and the masks from its points as one model
OUT/seed-N/report.html     all of it to look at
OUT/results.json           the figures

Everything goes on where an earlier run was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.checkpoints import read_checkpoint, trained_model
from keypointnet.files import file_sha256, write_json
from keypointnet.progress import progress_bar
from keypointnet.reporting import align_columns
from kp2seg.bundle import bundled
from kp2seg.checkpoints import read_seg_checkpoint, save_seg_checkpoint
from kp2seg.data.coco_json import read_json
from kp2seg.data.object_boxes import object_masks, read_object_boxes, read_object_picture
from kp2seg.evaluation.discovered_points import PointQuality, PointQualityMeter
from kp2seg.keypoint_sources.discovered import Finding
from kp2seg.loop.points import (
    ObjectData,
    PointSet,
    discovered_points,
    no_points,
    plain_boxes,
    true_points,
)
from kp2seg.loop.study import TITLES, compare, compare_detector, figures, ratios
from kp2seg.report.write import write_report


@dataclass(frozen=True)
class Study:
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


@dataclass(frozen=True)
class StudyResult:
    """rows: of `study.figures`, for each seed.  quality: of the discovered points of `test`."""

    rows: dict[int, dict[str, dict[str, float]]]
    quality: PointQuality
    report: Path


def run_study(
    study: Study, out: Path, *, device: str = "auto", say: Callable[[str], None] = print
) -> StudyResult:
    """Finds the points, trains and scores the masks, writes the figures and a page for each seed.

    Raises: DataError, CheckpointError, SegConfigError, SegTrainingError, TemplateError,
            ValueError: what is wrong is named.
    """
    quality = point_quality(study)
    points = point_sets(study, out / "points")
    rows: dict[int, dict[str, dict[str, float]]] = {}
    report = out
    for seed in study.seeds:
        folder = out / f"seed-{seed}"
        say(f"seed {seed}")
        how: dict[str, Any] = {"repeat": study.repeat, "seed": seed, "device": device, "say": say}
        results = compare(points, study.masks, study.overrides, folder, steps=study.steps, **how)
        if study.detector is not None:
            boxes = plain_boxes(study.train, study.test, out / "points")
            results["mask_rcnn"] = compare_detector(
                boxes,
                study.detector,
                study.detector_overrides,
                folder,
                seconds=results["discovered"].seconds,
                **how,
            )
        rows[seed] = figures(results)
        masks = read_seg_checkpoint(results["discovered"].checkpoint)
        tensors, text = bundled(read_checkpoint(study.weights), masks, study.finding)
        save_seg_checkpoint(
            folder / "object.safetensors", {"model": tensors}, step=masks.step, config=text
        )
        report = folder / "report.html"
        about = f"{study.weights.name} on {study.test.file.name}, seed {seed}."
        write_report(report, "Masks from discovered keypoints", about, None, results)
        write_json(out / "results.json", _document(study, rows, quality))
    return StudyResult(rows, quality, report)


def point_sets(study: Study, out: Path) -> list[PointSet]:
    """No, discovered and, if wanted, true keypoints."""
    sets = [
        no_points(study.train, study.test, out),
        discovered_points(
            study.weights, study.train, study.test, out, study.finding, k=study.templates
        ),
    ]
    if study.true:
        sets.append(true_points(study.train, study.test, out, study.finding, k=study.templates))
    return sets


def point_quality(study: Study) -> PointQuality:
    """How far the points of the objects to score can be trusted. Raises: as `read_object_boxes`."""
    checkpoint = read_checkpoint(study.weights)
    meter = PointQualityMeter(
        trained_model(checkpoint), checkpoint.config.data.image_size, study.finding
    )
    file, images, category = study.test
    boxes = read_object_boxes(file, images, category=category, need_masks=True)
    for image, rows in progress_bar(boxes.by_picture(), desc="look", unit="picture"):
        picture = read_object_picture(image, images)
        meter.add(picture, np.array([row["bbox"] for row in rows]), object_masks(image, rows))
    return meter.result()


def class_of(file: Path, images: Path, category: str | None) -> ObjectData:
    """A data set; a class is asked for only where its file has several."""
    coco = read_json(file)
    several = isinstance(coco, dict) and len(coco.get("categories") or ()) > 1
    return ObjectData(file, images, category if several else None)


def format_study(result: StudyResult) -> str:
    """A line for each kind of keypoints, mean ± spread over the seeds, and the points' quality."""
    lines = [["masks from", "AP", "AP50", "AP, constant score", "mean IoU", "training, s"]]
    keys = ("AP_quality", "AP50_quality", "AP_constant", "mean_iou")
    for name in next(iter(result.rows.values())):
        per_seed = [rows[name] for rows in result.rows.values()]
        cells = [_spread([row[key] for row in per_seed if key in row], ".3f") for key in keys]
        seconds = _spread([row["seconds"] for row in per_seed], ".0f")
        lines.append([TITLES[name], *cells, seconds])
    text = align_columns(lines)
    for name in ratios(next(iter(result.rows.values()))):
        values = [ratios(rows)[name] for rows in result.rows.values()]
        text += (
            f"\nAP of discovered keypoints is {_spread(values, '.2f')} times that of {TITLES[name]}"
        )
    q = result.quality
    return text + (
        f"\nof {q.points:.1f} points that count on each of {q.objects} objects "
        f"{100 * q.inside:.1f} % lie in the true masks; they move by {100 * q.flip:.1f} % of the "
        f"box's diagonal in mirrored crops, {100 * q.box:.1f} % in changed boxes, "
        f"{100 * q.turn:.1f} % in turned crops (medians)"
    )


def _spread(values: Sequence[float], digits: str) -> str:
    if not values:
        return "–"
    text = f"{np.mean(values):{digits}}"
    return text + (f" ± {np.std(values, ddof=1):{digits}}" if len(values) > 1 else "")


def _document(
    study: Study, rows: dict[int, dict[str, dict[str, float]]], quality: PointQuality
) -> dict[str, Any]:
    settings = asdict(study)
    for key in ("weights", "masks", "detector"):
        settings[key] = settings[key] and str(settings[key])
    for key in ("train", "test"):
        data = (getattr(study, key),) if key == "test" else study.train
        settings[key] = [{"file": each.file.name, "category": each.category} for each in data]
    return {
        "study": settings,
        "weights_sha256": file_sha256(study.weights),
        "seeds": {str(seed): {"rows": each, "ratios": ratios(each)} for seed, each in rows.items()},
        "points": asdict(quality),
    }
