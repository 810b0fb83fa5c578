"""What a KeypointNet says of a data set's objects, kept in a file of a line for each.

The file grows while the work goes on, so a run that was stopped goes on, and other thresholds need
no network. P objects of a picture.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from keypointnet.discovery import Discovered, split
from keypointnet.files import write_whole
from keypointnet.model import KeypointNet
from keypointnet.progress import progress_bar
from kp2seg.data.object_boxes import ObjectBoxes, object_masks, read_object_picture
from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.discovered import (
    Crops,
    Finding,
    cut_objects,
    find_keypoints,
    join_crops,
)

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
            crops = object_crops(image, rows, size, image_root, finding, use_masks)
            waiting.append(([row["id"] for row in rows], crops))
            if number == len(todo) or sum(len(ids) for ids, _ in waiting) >= batch:
                joined = join_crops([crops for _, crops in waiting])
                found = find_keypoints(model, joined, mirrored=True, batch=batch)
                ids = [row_id for ids, _ in waiting for row_id in ids]
                for row_id, one in zip(ids, map(_as_lists, split(found)), strict=True):
                    if row_id in answers:  # another object of its picture was to be looked at again
                        continue
                    file.write(json.dumps({"id": row_id, **one}) + "\n")
                    answers[row_id] = _from_lists(one)  # the same now as when it is read
                file.flush()
                waiting = []
    return answers


def object_crops(
    image: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    size: int,
    image_root: Path,
    finding: Finding,
    use_masks: bool = False,
) -> Crops:
    """The crops of some objects of a picture. Args: as of `look_at_objects`.

    Raises:  DataError: the picture cannot be read.
    """
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
