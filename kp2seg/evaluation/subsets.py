"""Predictions for a whole data set, scored on its moderate and hard ranges of MaxIoU.

Made-up crowds have MaxIoU in their annotations. OCHuman's ranges are files of their own, which
number pictures and people anew, so that predictions have to be matched by what they are: a picture
by its file name, a person by box and keypoints.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kp2seg.data.syncrowd import IOU_RANGES, belongs
from kp2seg.evaluation.cache import Prediction
from kp2seg.evaluation.evaluate import Evaluation, evaluate


def evaluate_ranges(
    coco: Mapping[str, Any], predictions: Sequence[Prediction]
) -> dict[str, Evaluation]:
    """Scores on "moderate" and "hard" objects, as far as there are any with a "max_iou" such.

    As in OCHuman, the others are not there: a detector's masks of them count as false.
    """
    scored = {}
    for suffix, iou_range in IOU_RANGES.items():
        rows = [row for row in coco["annotations"] if belongs(row, iou_range)]
        if not suffix or not rows:
            continue
        pictures = {row["image_id"] for row in rows}
        images = [image for image in coco["images"] if image["id"] in pictures]
        part = {**coco, "images": images, "annotations": rows}
        scored[suffix.removeprefix("_")] = evaluate(part, restrict(predictions, coco, part))
    return scored


def restrict(
    predictions: Sequence[Prediction], whole: Mapping[str, Any], part: Mapping[str, Any]
) -> list[Prediction]:
    """The predictions of a part of a data set, with the part's ids.

    Those made for an annotation are kept if that person is in the part; detected ones, if their
    picture is (then masks of people outside the part count as false, as for any detector).

    Args:    whole: COCO JSON that the predictions are of.  part: COCO JSON of some of its people.
    Raises:  ValueError: a person of the part is not in the whole, or two of them cannot be told
             apart (both are named).
    """
    new_image = {image["file_name"]: image["id"] for image in part["images"]}
    images = {
        image["id"]: new_image[image["file_name"]]
        for image in whole["images"]
        if image["file_name"] in new_image
    }
    in_part = _people(part)
    in_whole = _people(whole)
    unknown = [annotation_id for person, annotation_id in in_part.items() if person not in in_whole]
    if unknown:
        raise ValueError(
            f"restrict: {len(unknown)} annotations of the part are not in the whole, the first is "
            f"{unknown[0]}; they are of different versions of the data set"
        )
    annotations = {
        annotation_id: in_part[person]
        for person, annotation_id in in_whole.items()
        if person in in_part
    }
    kept = []
    for row in predictions:
        if row.image_id not in images:
            continue
        new_id = None
        if row.annotation_id is not None:
            new_id = annotations.get(row.annotation_id)
            if new_id is None:
                continue
        kept.append(replace(row, image_id=images[row.image_id], annotation_id=new_id))
    return kept


def with_pictures_of(part: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a data set without the pictures that the whole lacks, by their file names.

    The whole may have left some out, whose files are missing or damaged.
    """
    names = {image["file_name"] for image in whole["images"]}
    images = [image for image in part["images"] if image["file_name"] in names]
    ids = {image["id"] for image in images}
    annotations = [row for row in part["annotations"] if row["image_id"] in ids]
    return {**part, "images": images, "annotations": annotations}


def _people(coco: Mapping[str, Any]) -> dict[Hashable, int]:
    """What tells a person from the others → annotation id."""
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    people: dict[Hashable, int] = {}
    for row in coco["annotations"]:
        person = (names[row["image_id"]], tuple(row["bbox"]), tuple(row["keypoints"]))
        if person in people:
            raise ValueError(
                f"restrict: annotations {people[person]} and {row['id']} have the same picture, "
                "box and keypoints"
            )
        people[person] = row["id"]
    return people
