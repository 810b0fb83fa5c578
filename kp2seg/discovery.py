"""A data set's objects → their discovered keypoints, as COCO keypoint JSON.

N keypoints, P objects of a picture. What the network says is kept in a file of a line for each
object while the work goes on, so a run that was stopped goes on, and other thresholds need no
network.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from keypointnet.discovery import (
    Discovered,
    connect,
    join,
    keypoint_names,
    left_right_pairs,
    points_in_camera,
    right_shares,
    split,
)
from keypointnet.drawing import contact_sheet, draw_keypoints
from keypointnet.files import write_whole
from keypointnet.model import KeypointNet
from keypointnet.progress import progress_bar
from kp2seg.data.object_boxes import ObjectBoxes, object_masks, read_object_picture
from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.discovered import (
    Crops,
    Finding,
    crop_matrices,
    cut_objects,
    find_keypoints,
    join_crops,
    poses_in_picture,
)
from kp2seg.keypoint_sources.layouts import flip_pairs

logger = logging.getLogger(__name__)

_DIGITS = 5
"""Of numbers in the file of lines: of a crop of 256 px, 1e-3 px."""


def look_at_objects(
    model: KeypointNet,
    size: int,
    boxes: ObjectBoxes,
    image_root: Path,
    finding: Finding,
    lines: Path,
    about: dict[str, Any],
    *,
    batch: int = 32,
    use_masks: bool = False,
) -> dict[Any, Discovered]:
    """The network's answers for every object, looked up in a file where it has them.

    Args:    size: px of the crops, the network's.  lines: the file, made if it is missing.
             about: what the answers depend on (weights, settings); a file of others is an error.
             batch: objects that are seen at once.
             use_masks: the objects' own masks say what is on an object, in place of their boxes.
    Returns: annotation id → its answer (P = 1).
    Raises:  DataError: the file is of something else, or a picture cannot be read.
    """
    answers = _read_lines(lines, about)
    todo = [
        (image, rows)
        for image, rows in boxes.by_picture()
        if not all(row["id"] in answers for row in rows)
    ]
    waiting: list[tuple[list[int], Crops]] = []
    bar = progress_bar(todo, desc="discover", unit="picture")
    with open(lines, "a", encoding="utf-8") as file:
        for number, (image, rows) in enumerate(bar, start=1):
            crops = _crops(image, rows, size, image_root, finding, use_masks)
            waiting.append(([row["id"] for row in rows], crops))
            if number == len(todo) or sum(len(ids) for ids, _ in waiting) >= batch:
                joined = join_crops([crops for _, crops in waiting])
                found = find_keypoints(model, joined, mirrored=True)
                ids = [row_id for ids, _ in waiting for row_id in ids]
                for row_id, one in zip(ids, map(_as_lists, split(found)), strict=True):
                    if row_id in answers:  # another object of its picture was to be looked at again
                        continue
                    file.write(json.dumps({"id": row_id, **one}) + "\n")
                    answers[row_id] = _from_lists(one)  # the same now as when it is read
                file.flush()
                waiting = []
    return answers


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
    camera like the training views', where an object's longest side is 2). The category gets the
    names, which tell left from right, and a skeleton.

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
        names = keypoint_names(N, pairs)
        skeleton = [[i + 1, j + 1] for i, j in connect(X, pairs)]
    else:
        names, skeleton = like["keypoints"], like.get("skeleton", [])
        if len(names) != N:
            raise ValueError(f"like: expected {N} keypoints, the network's, got {len(names)}")
    A_img2crop = crop_matrices(np.array([row["bbox"] for row in rows]), size, finding.context)
    kpts, visibility = poses_in_picture(found, A_img2crop, size, finding)
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
                "keypoint_scores": found.confidence[i].double().round(decimals=4).tolist(),
                "keypoints_3d": X[i].double().round(decimals=4).tolist(),
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
        crop = _crops(images[row["image_id"]], [row], size, image_root, finding, False).pictures[0]
        opaque = np.dstack([crop, np.full(crop.shape[:2], 255, np.uint8)])
        uv = answers[row["id"]].uvz[0, :, :2]
        drawn.append(draw_keypoints(opaque, uv, scale=max(1, round(192 / size))))
    return contact_sheet(drawn, min(columns, len(drawn)))


def _crops(
    image: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    size: int,
    image_root: Path,
    finding: Finding,
    use_masks: bool,
) -> Crops:
    picture = read_object_picture(image, image_root)
    masks = object_masks(image, rows) if use_masks else None
    boxes = np.array([row["bbox"] for row in rows])
    return cut_objects(picture, boxes, size, finding.context, masks)


def _read_lines(path: Path, about: dict[str, Any]) -> dict[Any, Discovered]:
    """The answers of a file; a new one gets its first line, which says what they depend on.

    Lines that were damaged, such as one that was being written when a run was killed, are taken out
    of the file, and their objects are looked at again.
    """
    lines = []
    if path.exists():
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if len(lines) < 2:  # new, or killed before its first line was whole
        write_whole(path, (json.dumps(about) + "\n").encode())
        return {}
    try:
        there = json.loads(lines[0])
        other = sorted(key for key in {*there, *about} if there.get(key) != about.get(key))
    except (ValueError, TypeError, AttributeError):
        raise DataError(f"{path}: is no file of answers; delete it, or name another OUT") from None
    if other:
        raise DataError(
            f"{path}: was made with another {', '.join(other)}; delete it, or name another OUT"
        )
    answers, good = {}, [lines[0]]
    for line in lines[1:]:
        try:
            row = json.loads(line)
            row_id = row.pop("id")
            answers[row_id] = _from_lists(row)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        good.append(line)
    if [*good, ""] != lines:
        damaged = len(list(filter(None, lines))) - len(good)
        logger.warning("%s: %d damaged lines are left out", path, damaged)
        write_whole(path, ("\n".join(good) + "\n").encode())
    return answers


def _as_lists(one: Discovered) -> dict[str, Any]:
    return {
        name: None if value is None else value[0].double().round(decimals=_DIGITS).tolist()
        for name, value in one._asdict().items()
    }


def _from_lists(row: dict[str, Any]) -> Discovered:
    columns: dict[str, Any] = {
        name: None if value is None else torch.tensor(value).unsqueeze(0)
        for name, value in row.items()
    }
    return Discovered(**columns)
