"""Exceptional cases: flips, points off their object, failed matches, each with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from keypointnet.checkpoints import load_model
from keypointnet.evaluation import PairResult, predict_views
from keypointnet.geometry import invert_rigid, project, transform_points, unproject
from keypointnet.metrics import FLIP_ANGLE_DEG
from keypointnet.model import KeypointNet, orientation_flag
from keypointnet.objective import AXIS_POINTS
from keypointnet.reporting import worst_pairs_sheet
from keypointnet.views.pairs import ModelViews
from kp2seg.alignment import MIN_SHARED_POINTS
from kp2seg.data.catalog import dataset_dicts
from kp2seg.data.mapper import PoseMapper
from kp2seg.data.masks import decode, to_rle
from kp2seg.modeling.people import gather_people
from kp2seg.report.keypoints import KeypointRun, held_out_models
from kp2seg.report.masks import Instance, MaskRun
from kp2seg.report.page import Gallery, Picture, Section

_SHOWN = 8
_WELL_SEEN = 0.5
"""Less of an object hidden than this counts as well seen."""


def exception_sections(keypoints: KeypointRun | None, masks: MaskRun) -> list[Section]:
    """A section, and a part of it for each kind of case.

    Args:    keypoints: None where no views are held out: flips are then not looked for.
    """
    return [
        Section(
            "exceptions",
            "Exceptional cases",
            ("Where it goes wrong, and what the numbers say about why.",),
        ),
        *([_flips(keypoints)] if keypoints else []),
        _off_the_object(masks),
        _failed_matches(masks),
    ]


def _flips(run: KeypointRun) -> Section:
    flips = [pair for pair in run.evaluation.worst if pair.angle_deg > FLIP_ANGLE_DEG]
    n = round(run.evaluation.flips * run.evaluation.pairs)
    text = (
        f"{n} of {run.evaluation.pairs} pairs of held-out views are turned by more than "
        f"{FLIP_ANGLE_DEG:g}°."
    )
    if not flips:
        return Section("flips", "Flips", (text,), level=3)
    model, models = load_model(run.checkpoint), held_out_models(run)
    pictures = [
        Picture(
            worst_pairs_sheet(model, models, [pair]),
            f"Two views of {pair.model} with points that do not belong together.",
            f"{pair.angle_deg:.0f}°: {flip_reason(model, models, pair)}",
        )
        for pair in flips[:_SHOWN]
    ]
    return Section("flips", "Flips", (text,), [Gallery(pictures)], level=3)


def flip_reason(model: KeypointNet, models: Sequence[ModelViews], pair: PairResult) -> str:
    """What the numbers say about a pair whose rotation is far off."""
    views = next(entry for entry in models if entry.name == pair.model)
    uvz, T_world2cam, K, flags = predict_views(model, views, list(pair.views))
    if flags is not None:
        axis = torch.tensor(AXIS_POINTS, dtype=torch.float64).expand(2, -1, -1)
        gt = orientation_flag(project(transform_points(T_world2cam, axis), K)[..., :2])
        wrong = [name for name, ok in zip(("first", "second"), flags == gt, strict=True) if not ok]
        if wrong:
            which = " and the ".join(wrong)
            views_of = "views" if len(wrong) > 1 else "view"
            return (
                f"the orientation network took left for right in the {which} {views_of}, so the "
                "points are those of the mirrored object"
            )
    X = transform_points(invert_rigid(T_world2cam), unproject(uvz, K))
    apart = float((X[0] - X[1]).norm(dim=-1).mean())
    return (
        "left and right are told apart rightly, but the points of the two views lie "
        f"{apart:.2f} apart on an object whose longest side is 2"
    )


def _off_the_object(run: MaskRun) -> Section:
    shares = [(share_inside(row), row) for row in run.instances]
    known = [(share, row) for share, row in shares if share is not None]
    if not known:
        return Section("off", "Points off the object", ("No point counts.",), level=3)
    mean = float(np.mean([share for share, _ in known]))
    worst = sorted(known, key=lambda pair: pair[0])[:_SHOWN]
    pictures = [
        run.tile(row, f"{100 * share:.0f} % inside: {_off_reason(row)}", points=True)
        for share, row in worst
    ]
    text = (
        f"{100 * mean:.0f} % of an object's counted points lie in its visible true mask, on "
        "average. A point of a hidden part lies outside of it even where it is right."
    )
    return Section("off", "Points off the object", (text,), [Gallery(pictures)], level=3)


def share_inside(row: Instance) -> float | None:
    """Share of an object's counted points that lie in its true mask; None without points.

    The corners of its box are no such points.
    """
    points = row.keypoints[row.keypoints[:, 2] > 0, :2].round().astype(int)
    if not len(points):
        return None
    h, w = row.prediction.segmentation["size"]
    mask = decode(to_rle(row.annotation["segmentation"], (h, w)))
    x, y = points[:, 0].clip(0, w - 1), points[:, 1].clip(0, h - 1)
    inside = (points[:, 0] == x) & (points[:, 1] == y)
    return float((mask[y, x].astype(bool) & inside).mean())


def _off_reason(row: Instance) -> str:
    hidden = row.annotation.get("occlusion")
    scores = row.annotation.get("keypoint_scores")
    # those of the box's corners, which are 1, stand behind the others
    text = "" if scores is None else f"mean confidence {np.mean(scores[: len(row.keypoints)]):.2f}"
    if hidden is None:
        return text
    if hidden >= _WELL_SEEN:
        return f"{100 * hidden:.0f} % of it is hidden, {text}"
    if row.annotation.get("max_iou", 0) >= 0.5:
        return (
            f"another object's box covers it (IoU {row.annotation['max_iou']:.2f}), so the crop "
            f"shows two, {text}"
        )
    return f"it is well seen ({100 * hidden:.0f} % hidden), {text}"


def _failed_matches(run: MaskRun) -> Section:
    model = run.model
    n_points = len(model.templates.names)
    mapper = PoseMapper(run.data.keypoint_names)
    failed: dict[int, torch.Tensor] = {}
    for record in dataset_dicts(run.data):
        picture = mapper(record)
        people = gather_people([picture], n_points, model.device)
        if not len(people):
            continue
        template = model.aligner.match(people, model.template_points).template
        ids = picture["instances"].annotation_ids
        for row in (template < 0).nonzero().flatten().tolist():
            failed[int(ids[people.row[row]])] = people.visibility[row] > 0
    n = len(run.instances)
    text = f"{len(failed)} of {n} objects fit no template."
    if not failed:
        return Section("unmatched", "Failed matches", (text,), level=3)
    by_id = {row.annotation["id"]: row for row in run.instances}
    text += (
        " A template fits where it has every point that counts, where they share at "
        f"least {MIN_SHARED_POINTS}, and "
        "where its region is smaller than the picture. Others get the region of their points' box."
    )
    exists = model.template_points[..., 2] > 0
    pictures = []
    for annotation_id, visible in sorted(failed.items(), key=lambda pair: int(pair[1].sum())):
        counted = int(visible.sum())
        whole = (exists | ~visible).all(dim=1)
        if counted < MIN_SHARED_POINTS:
            reason = "too few points count"
        elif not whole.any():
            reason = "no template has all of them"
        else:
            reason = "they fit only with a region larger than the picture"
        tile = run.tile(
            by_id[annotation_id], f"{counted} of {n_points} points count: {reason}", points=True
        )
        pictures.append(tile)
        if len(pictures) == _SHOWN:
            break
    return Section("unmatched", "Failed matches", (text,), [Gallery(pictures)], level=3)
