"""A data set's objects → their discovered keypoints, as COCO keypoint JSON.

N keypoints, P objects of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from keypointnet.checkpoints import read_checkpoint, trained_model
from keypointnet.discovery import (
    Discovered,
    connect,
    join,
    keypoint_names,
    left_right_pairs,
    points_in_camera,
    right_shares,
)
from keypointnet.drawing import contact_sheet, draw_keypoints
from keypointnet.files import file_sha256, write_json
from keypointnet.true_points import family_points
from keypointnet.views.cameras import CameraRange
from kp2seg.data.coco_json import check_lists, read_json
from kp2seg.data.object_boxes import (
    ObjectBoxes,
    read_object_boxes,
)
from kp2seg.data.problems import DataError
from kp2seg.discovery_answers import look_at_objects, object_crops
from kp2seg.keypoint_sources.discovered import (
    Finding,
    object_poses,
)
from kp2seg.keypoint_sources.layouts import flip_pairs


class DiscoveredPoints(NamedTuple):
    """The keypoints of a data set's objects.

    result:  COCO keypoint JSON, as it was written.
    answers: annotation id → what the network said of it.  boxes: the objects.
    size:    px of the crops.
    """

    result: dict[str, Any]
    answers: dict[Any, Discovered]
    boxes: ObjectBoxes
    size: int


def discover_dataset(
    weights: Path,
    dataset: Path,
    images: Path,
    out: Path,
    finding: Finding,
    *,
    name: str | None = None,
    category: str | None = None,
    detections: Path | None = None,
    min_score: float = 0.5,
    like: Path | None = None,
    fov_deg: float = CameraRange().fov_deg,
    use_masks: bool = False,
    strict: bool = False,
    batch: int = 32,
    device: str | torch.device = "cpu",
) -> DiscoveredPoints:
    """Finds and writes the keypoints of every object of a data set.

    The network's answers are kept beside `out`, in a file of lines: see `look_at_objects`.

    Args:    weights: checkpoint of a KeypointNet.  name: what the result calls it (the path).
             dataset, images, category, detections, min_score, strict: see `read_object_boxes`.
             like: an earlier result of the same weights, whose names are taken. A network that
             was told true points (run.points) has their names without it.
             fov_deg, use_masks, batch: see `keypoint_json` and `look_at_objects`.
    Raises:  DataError, CheckpointError, ValueError: what is wrong is named.
    """
    digest = file_sha256(weights)
    names = None if like is None else earlier_result(like, weights)[0]
    boxes = read_object_boxes(
        dataset,
        images,
        category=category,
        detections=detections,
        min_score=min_score,
        need_masks=use_masks,
        strict=strict,
    )
    boxes.report.log()
    checkpoint = read_checkpoint(weights)
    if names is None and checkpoint.config.run.points is not None:
        true = family_points(checkpoint.config.run.points)
        names = {
            "keypoints": [*true.names, *finding.extra_names],
            "skeleton": true.skeleton,
        }
    model = trained_model(checkpoint, device)
    size = checkpoint.config.data.image_size
    about = {
        "weights": digest,
        "dataset": file_sha256(dataset),
        "detections": detections and file_sha256(detections),
        "category": boxes.category["name"],
        "images": str(images.resolve()),
        "context": finding.context,
        "masks": use_masks,
    }
    answers = look_at_objects(
        model,
        size,
        boxes,
        images,
        finding,
        out.with_suffix(".answers.jsonl"),
        about,
        batch=batch,
        use_masks=use_masks,
    )
    result = keypoint_json(boxes, answers, size, finding, fov_deg, names)
    result["discovery"] = {"weights": name or str(weights), "sha256": digest, **asdict(finding)}
    write_json(out, result)
    return DiscoveredPoints(result, answers, boxes, size)


def earlier_result(path: Path, weights: Path) -> tuple[dict[str, Any], Finding]:
    """The category of a result, and the settings that it was made with.

    Args:    weights: of the KeypointNet that it should be of.
    Raises:  DataError: it is no result of `discover_dataset`, or of other weights.
    """
    earlier = read_json(path)
    made = earlier.get("discovery") if isinstance(earlier, dict) else None
    if not isinstance(made, dict):
        raise DataError(f"{path}: is no result of tools/discover.py")
    check_lists(earlier, str(path))
    if made.get("sha256") != file_sha256(weights):
        raise DataError(
            f"{path}: was made with other weights than {weights}, so its names mean other points"
        )
    # Settings that it lacks came later, and their defaults are what was done before.
    finding = Finding(**{name: made[name] for name in vars(Finding()) if name in made})
    category: dict[str, Any] = earlier["categories"][0]
    return category, finding


def keypoint_json(
    boxes: ObjectBoxes,
    answers: dict[Any, Discovered],
    size: int,
    finding: Finding,
    fov_deg: float,
    like: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """COCO JSON of the objects with their points.

    Annotations get `keypoints` (x, y px and 2, or 0 0 0 where the point does not count),
    `num_keypoints`, `keypoint_scores` (N confidences) and `keypoints_3d` (N x 3, in the frame of a
    camera like the training views', where an object's longest side is 2; null for a box's corner).
    The category gets the names, which tell left from right, and a skeleton.

    Args:    answers: of `look_at_objects`.  size, finding: as there.
             fov_deg: of the network's training views.
             like: a category of an earlier result, whose names and skeleton are taken. Those of
             another data set need not be the same, so the second one of two that belong together
             takes those of the first.
    Raises:  ValueError: `like` has another number of keypoints.
    """
    rows = [row for row in boxes.objects if row["id"] in answers]
    found = join([answers[row["id"]] for row in rows])
    X = points_in_camera(found.uvz, fov_deg)
    N = X.shape[1]
    if like is None:
        pairs = left_right_pairs(found)
        names = [*keypoint_names(N, pairs), *finding.extra_names]
        skeleton = [[i + 1, j + 1] for i, j in connect(X, pairs)]
    else:
        names, skeleton = like["keypoints"], like.get("skeleton", [])
        expected = N + len(finding.extra_names)
        if len(names) != expected:
            raise ValueError(f"like: expected {expected} keypoints, got {len(names)}")
    kpts, visibility = object_poses(found, np.array([row["bbox"] for row in rows]), size, finding)
    extra = kpts.shape[1] - N
    annotations = []
    for i, row in enumerate(rows):
        flat = np.column_stack([kpts[i].round(2), visibility[i]])
        flat[visibility[i] == 0] = 0
        annotations.append(
            {
                "area": row["bbox"][2] * row["bbox"][3],
                "iscrowd": 0,
                **row,
                "keypoints": flat.ravel().tolist(),
                "num_keypoints": int((visibility[i] > 0).sum()),
                "keypoint_scores": [
                    *found.confidence[i].double().round(decimals=4).tolist(),
                    *extra * [1.0],
                ],
                "keypoints_3d": [*X[i].double().round(decimals=4).tolist(), *extra * [None]],
            }
        )
    category = {**boxes.category, "keypoints": names, "skeleton": skeleton}
    return {
        **boxes.info,
        "images": boxes.images,
        "annotations": annotations,
        "categories": [category],
    }


def sides_agree(answers: dict[Any, Discovered], names: Sequence[str]) -> float | None:
    """Share of objects in which a pair's right point is on the right, mean over the pairs.

    Returns: None without pairs, or from a network that does not tell the sides.
    """
    found = join(list(answers.values()))
    names = names[: found.uvz.shape[1]]  # without a box's corners
    pairs = [(names.index(left), names.index(right)) for left, right in flip_pairs(names)]
    if not pairs or found.axis_uv is None:
        return None
    return float(np.mean(right_shares(found, pairs)))


def drawn_crops(
    boxes: ObjectBoxes,
    answers: dict[Any, Discovered],
    size: int,
    image_root: Path,
    finding: Finding,
    *,
    tiles: int = 40,
    columns: int = 8,
) -> np.ndarray:
    """A sheet of objects from the whole data set, as the network sees them, with all its points."""
    rows = boxes.objects[:: max(1, len(boxes.objects) // tiles)][:tiles]
    images = {image["id"]: image for image in boxes.images}
    drawn = []
    for row in rows:
        crops = object_crops(images[row["image_id"]], [row], size, image_root, finding)
        crop = crops.pictures[0]
        opaque = np.dstack([crop, np.full(crop.shape[:2], 255, np.uint8)])
        uv = answers[row["id"]].uvz[0, :, :2]
        drawn.append(draw_keypoints(opaque, uv, scale=max(1, round(192 / size))))
    return contact_sheet(drawn, min(columns, len(drawn)))
