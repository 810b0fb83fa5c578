"""Masks from keypoints, as sections of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from keypointnet.drawing import read_picture
from kp2seg.build import trained_model
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.data.catalog import dataset_dicts, read_dataset
from kp2seg.data.coco_json import KeypointData
from kp2seg.data.mapper import PoseMapper
from kp2seg.data.masks import decode, to_rle
from kp2seg.drawing import draw_people
from kp2seg.evaluation.cache import Prediction
from kp2seg.evaluation.evaluate import mask_iou, own_truths
from kp2seg.keypoint_sources.layouts import CORNERS
from kp2seg.loop.masks import MaskResult
from kp2seg.loop.study import TITLES, ratios
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.report.charts import mask_training, read_lines
from kp2seg.report.page import Chart, Gallery, Picture, Section, Table
from kp2seg.report.steps import object_steps
from kp2seg.template_drawing import draw_templates

_TILE_PX = 208


@dataclass(frozen=True)
class Instance:
    """An object, its mask and the truth.

    iou: of the two.  annotation: COCO's row.
    keypoints: (N, 3) x, y, v of the row, without the corners of its box: they say nothing of where
        the object is.
    """

    prediction: Prediction
    annotation: dict[str, Any]
    iou: float
    keypoints: np.ndarray


class MaskRun:
    """The model of a `MaskResult`, its data and its masks.

    Raises: as `read_dataset` and `trained_model`.
    """

    def __init__(self, result: MaskResult) -> None:
        self.result = result
        self.data: KeypointData = read_dataset(result.points.test)
        model = trained_model(read_seg_checkpoint(result.checkpoint))
        assert isinstance(model, Pose2Seg)
        self.model = model
        rows = {row["id"]: row for row in self.data.coco["annotations"]}
        self.images = {row["id"]: row for row in self.data.coco["images"]}
        names = self.data.keypoint_names
        self.instances = [
            Instance(
                mask,
                rows[mask.annotation_id],
                mask_iou(mask.segmentation, truth),
                without_corners(rows[mask.annotation_id], names),
            )
            for mask, truth in own_truths(self.data.coco, result.predictions.predictions)
        ]

    def picture_of(self, instance: Instance) -> np.ndarray:
        """(h, w, 3) uint8 RGB of its whole picture."""
        image = self.images[instance.annotation["image_id"]]
        return read_picture(self.data.image_root / image["file_name"])

    def tile(self, instance: Instance, caption: str, *, points: bool = False) -> Picture:
        """The object with the outlines of its mask and of the truth."""
        rgb = self.picture_of(instance)
        size = rgb.shape[:2]
        found = decode(instance.prediction.segmentation).astype(np.uint8)
        truth = decode(_rle(instance.annotation, size)).astype(np.uint8)
        if points:
            numbers = np.array(instance.annotation["keypoints"], np.float64).reshape(1, -1, 3)
            numbers[..., :2] += 0.5
            rgb = draw_people(rgb, np.zeros((1, *size), bool), numbers, self.model.connections)
        return Picture(
            _outlined(rgb, instance.annotation["bbox"], truth, found),
            f"An object, its true outline in white and the found one in orange, IoU "
            f"{instance.iou:.2f}.",
            caption,
            smooth=True,
        )


def without_corners(annotation: Mapping[str, Any], names: Sequence[str]) -> np.ndarray:
    """(N, 3) keypoints of a row but its box's corners. Args: names: of all of them."""
    numbers = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
    return numbers[[name not in CORNERS for name in names]]


def mask_sections(
    results: Mapping[str, MaskResult], run: MaskRun, rows: Mapping[str, Mapping[str, float]]
) -> list[Section]:
    """The comparison, training, templates, one picture step by step, best and worst masks.

    Args:    results: of `kp2seg.loop.study.compare`.  run: of the discovered ones.
             rows: of `kp2seg.loop.study.figures`.
    """
    return [
        comparison(rows, run),
        *_found(run),
        _training(results),
        _templates(run),
        _steps(run),
        _best_and_worst(run),
    ]


def comparison(rows: Mapping[str, Mapping[str, float]], run: MaskRun) -> Section:
    """AP from discovered, true and no keypoints."""
    keys = ("AP_quality", "AP50_quality", "AP_constant", "mean_iou", "seconds")
    cells = [
        [
            TITLES[name],
            *(f"{row[key]:.3f}" if key in row else "–" for key in keys[:-1]),
            f"{row['seconds']:.0f}",
        ]
        for name, row in rows.items()
    ]
    pictures, objects = len(run.images), len(run.data.coco["annotations"])
    table = Table(
        ("masks from", "AP", "AP50", "AP, constant score", "mean IoU", "training, s"),
        cells,
        f"{pictures} pictures with {objects} objects that were not trained on",
    )
    said = [
        f"AP with discovered keypoints is {ratio:.2f} times that with {TITLES[name]}."
        for name, ratio in ratios(rows).items()
    ]
    return Section(
        "results",
        "Results",
        (
            "The same mask head, data and number of steps for each kind of keypoints"
            + (", and as much time for the detector. " if "mask_rcnn" in rows else ". ")
            + " ".join(said),
        ),
        [table],
    )


def _found(run: MaskRun) -> list[Section]:
    sheet = run.result.points.sheet
    if sheet is None:
        return []
    return [
        Section(
            "found",
            "Keypoints found in pictures",
            ("What the mask model is given of objects that it is scored on, all points of each.",),
            [
                Picture(
                    read_picture(sheet),
                    "Crops of objects with coloured points, a colour for each keypoint.",
                    "A colour is the same keypoint everywhere; hidden ones are guessed, too.",
                )
            ],
        )
    ]


def _training(results: Mapping[str, MaskResult]) -> Section:
    lines = {
        TITLES[name]: read_lines(result.checkpoint.parents[1] / "metrics.jsonl")
        for name, result in results.items()
        if result.points.templates is not None  # a detector has other losses
    }
    return Section(
        "mask-training",
        "Training of the masks",
        (),
        [
            Chart(
                mask_training(lines),
                "chart-masks",
                "The mask loss of each kind of keypoints against the step of training.",
                "Mask loss, means over four entries of the log.",
                height=320,
            )
        ],
    )


def _templates(run: MaskRun) -> Section:
    templates = run.model.templates
    limbs = len(templates.connections)
    found = {left: right for left, right in templates.flip_map.items() if left not in CORNERS}
    pairs = ", ".join(f"{left} and {right}" for left, right in found.items())
    corners = sum(name in CORNERS for name in templates.names)
    points = f"{len(templates.names) - corners} points"
    if corners:
        points += f", the {corners} corners of the box"
    return Section(
        "templates",
        "Templates",
        (
            f"K-means centres of the discovered poses: {len(templates.templates)} templates of "
            f"{points} and {limbs} connections. Pairs of points that change places in mirrored "
            f"pictures: {pairs or 'none was found'}.",
        ),
        [
            Picture(
                draw_templates(templates, tile_px=256, columns=4),
                f"{len(templates.templates)} skeletons of coloured points.",
                "Each object is turned and scaled to the one that fits it best.",
            )
        ],
    )


def _steps(run: MaskRun) -> Section:
    """An object with a median mask, most of whose points count."""
    many = [row for row in run.instances if _counted(row) >= len(row.keypoints) / 2]
    ordered = sorted(many or run.instances, key=lambda row: row.iou)
    chosen = ordered[len(ordered) // 2]
    mapper = PoseMapper(run.data.keypoint_names)
    records = {record["image_id"]: record for record in dataset_dicts(run.data)}
    picture = mapper(records[chosen.annotation["image_id"]])
    ids = picture["instances"].annotation_ids.tolist()
    steps = object_steps(run.model, picture, ids.index(chosen.annotation["id"]))
    name = run.images[chosen.annotation["image_id"]]["file_name"]
    return Section(
        "steps",
        "From pose to mask",
        (f"One object of {name}, whose mask is a median one (IoU {chosen.iou:.2f}).",),
        [Gallery(steps)],
    )


def _best_and_worst(run: MaskRun, n: int = 8) -> Section:
    ordered = sorted(run.instances, key=lambda row: -row.iou)
    return Section(
        "instances",
        "Best and worst masks",
        ("White: the true outline. Orange: the found one.",),
        [
            Gallery([run.tile(row, f"best: {instance_text(row)}") for row in ordered[:n]]),
            Gallery([run.tile(row, f"worst: {instance_text(row)}") for row in ordered[n:][-n:]]),
        ],
    )


def instance_text(row: Instance) -> str:
    """Its numbers in words."""
    text = f"IoU {row.iou:.2f}"
    if row.prediction.quality is not None:
        text += f", predicted {row.prediction.quality:.2f}"
    hidden = row.annotation.get("occlusion")
    if hidden is not None:
        text += f", {100 * hidden:.0f} % hidden"
    return f"{text}, {_counted(row)} points"


def _counted(row: Instance) -> int:
    return int((row.keypoints[:, 2] > 0).sum())


def _rle(annotation: Mapping[str, Any], size: Sequence[int]) -> Any:
    return to_rle(annotation["segmentation"], (int(size[0]), int(size[1])))


def _outlined(
    rgb: np.ndarray, box_xywh: Sequence[float], truth: np.ndarray, found: np.ndarray
) -> np.ndarray:
    """The square around a box, half as large again, with both outlines. A tile."""
    x, y, w, h = box_xywh
    side = max(1.5 * max(w, h), 16.0)
    scale = _TILE_PX / side
    x, y = x + w / 2 - side / 2, y + h / 2 - side / 2
    # cv2 has pixel i at i.
    A = np.array([[scale, 0, -scale * x], [0, scale, -scale * y]])
    A[:, 2] += 0.5 * scale - 0.5
    size = (_TILE_PX, _TILE_PX)
    tile = cv2.warpAffine(rgb, A, size, flags=cv2.INTER_LINEAR)
    for mask, colour in ((truth, (255, 255, 255)), (found, (255, 140, 20))):
        large = cv2.warpAffine(255 * mask, A, size, flags=cv2.INTER_LINEAR)
        outline, _ = cv2.findContours(
            (large > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(tile, outline, -1, colour, 1, cv2.LINE_AA)
    return np.asarray(tile)
