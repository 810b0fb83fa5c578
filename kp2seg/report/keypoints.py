"""What a KeypointNet learnt, as sections of a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from keypointnet.checkpoints import load_model, read_checkpoint
from keypointnet.drawing import draw_keypoints, keypoint_colours, keypoint_sheet
from keypointnet.evaluation import Evaluation, points_of_object
from keypointnet.model import KeypointNet
from keypointnet.reporting import METRICS
from keypointnet.views.pairs import ModelViews, open_models
from keypointnet.views.sources import ModelSource
from kp2seg.report.charts import held_out_error, keypoint_training, object_3d, read_lines
from kp2seg.report.page import Chart, Gallery, Picture, Section, Table
from kp2seg.report.steps import heat_over

_SHEET_MODELS = 4
_SHEET_VIEWS = 8
_TILE_PX = 176


@dataclass(frozen=True)
class KeypointRun:
    """A trained KeypointNet and what it was evaluated on.

    Attributes:
        folder: of the run, with metrics.jsonl.  checkpoint: of its weights.
        views, subset: the store of held-out views and its side.
        sources: where the store's models come from, for the one that is shown in 3-D; may be empty.
        evaluation: on those views.
        what: plural of the class, e.g. "chairs".
    """

    folder: Path
    checkpoint: Path
    views: Path
    subset: str
    sources: tuple[ModelSource, ...]
    evaluation: Evaluation
    what: str = "objects"


def keypoint_sections(run: KeypointRun) -> list[Section]:
    """Training, held-out views, one object in 3-D, probability maps."""
    model = load_model(run.checkpoint)
    models = held_out_models(run)
    return [
        _training(run),
        _held_out(run, model, models),
        *_in_3d(run, model, models),
        _maps(model, models[0]),
    ]


def held_out_models(run: KeypointRun) -> list[ModelViews]:
    """The views that it was evaluated on. Raises: StorageError: they cannot be read."""
    side = read_checkpoint(run.checkpoint).config.data.image_size
    return open_models(run.views, run.subset, (side, side))


def _training(run: KeypointRun) -> Section:
    lines = read_lines(run.folder / "metrics.jsonl")
    items: list[Chart | Table] = [
        Chart(
            keypoint_training(lines),
            "chart-losses",
            "The loss terms of KeypointNet against the step of training.",
            "Loss terms of KeypointNet while it is trained. Click a name to hide or show it.",
        )
    ]
    if sum(row.get("group") == "test" for row in lines) > 1:
        items.append(
            Chart(
                held_out_error(lines),
                "chart-angles",
                "Mean and median angle on held-out models against the step of training.",
                f"Angle between the true and the found rotation of pairs of views of held-out "
                f"{run.what}.",
                height=300,
            )
        )
    rows = []
    for name, (heading, write) in METRICS.items():
        value = getattr(run.evaluation, name)
        rows.append([heading, "–" if value is None else write(value)])
    caption = f"{run.evaluation.models} held-out {run.what}, {run.evaluation.pairs} pairs of views"
    items.append(Table(("", "found"), rows, caption))
    return Section(
        "training",
        "Training of the keypoints",
        (
            "Two views of one object and the rotation between them are all that KeypointNet is "
            "told. mean and median: angle between that rotation and the one its points give. "
            "flips: pairs above 90°. 3D-SE: how far a point strays on an object whose longest side "
            "is 2. O-Net: views whose left and right are told apart.",
        ),
        items,
    )


def _held_out(run: KeypointRun, model: KeypointNet, models: list[ModelViews]) -> Section:
    shown = models[:_SHEET_MODELS]
    sheet = keypoint_sheet(
        model, shown, views=_SHEET_VIEWS, scale=max(1, round(128 / max(models[0].store.size)))
    )
    return Section(
        "views",
        "Held-out views",
        (f"{run.what.capitalize()} that it never saw. A colour is the same point everywhere.",),
        [
            Picture(
                sheet,
                f"{len(shown)} rows, each one object in {_SHEET_VIEWS} views, with "
                f"{model.num_keypoints} coloured points on each.",
                "A row is an object, a column a view of it.",
            )
        ],
    )


def _in_3d(run: KeypointRun, model: KeypointNet, models: list[ModelViews]) -> list[Section]:
    by_id = {source.id: source for source in run.sources}
    entry = next((entry for entry in models if entry.model in by_id), None)
    if entry is None:
        return []
    points = points_of_object(model, entry)
    names = [f"point {i + 1}" for i in range(len(points))]
    figure = object_3d(by_id[entry.model].make(), points, names)
    n = entry.store.n_views(entry.model)
    return [
        Section(
            "object",
            "One object in 3-D",
            ("Drag to turn it, scroll or pinch to come closer.",),
            [
                Chart(
                    figure,
                    "chart-object",
                    f"A held-out object as a grey shape with its {len(points)} points in space.",
                    f"{entry.model}: the median place of each point over {n} single views.",
                    height=520,
                )
            ],
        )
    ]


def _maps(model: KeypointNet, entry: ModelViews) -> Section:
    view = entry.store.view(entry.model, 0)
    picture = np.ascontiguousarray(view.rgba[..., :3])
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        found = model(image, return_prob=True)
    assert found.prob is not None
    scale = max(1, round(_TILE_PX / max(view.rgba.shape[:2])))
    tiles = [
        Picture(
            draw_keypoints(view.rgba, found.uvz[0, :, :2], scale=scale),
            "The view with all points on it.",
            "all points",
        )
    ]
    for i, prob in enumerate(found.prob[0].numpy()):
        confidence = float(found.confidence[0, i])
        tile = heat_over(picture, prob, _TILE_PX)
        colour = keypoint_colours(model.num_keypoints)[i]
        cv2.circle(tile, (16, 16), 8, colour, -1, cv2.LINE_AA)
        tiles.append(
            Picture(
                tile,
                f"Where point {i + 1} is looked for: bright where it is likely.",
                f"point {i + 1}, confidence {confidence:.2f}",
            )
        )
    return Section(
        "maps",
        "Probability maps",
        (
            "A point is where its map is on average. Its confidence is the share of the map that "
            "lies within 0.15 of that place, in units of half the picture. The disc in a corner "
            "has the point's colour.",
        ),
        [Gallery(tiles)],
    )
