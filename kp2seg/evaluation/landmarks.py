"""What discovered keypoints know of annotated ones: a linear map from those to these.

The usual test of landmarks that were found without labels: all of an object's found points, in its
box, are regressed linearly to each annotated one, on some objects, and others are scored. Beside it
stands the trivial predictor, the mean place in the box, which is what a linear map gives without
information.

P objects, N found points, K annotated joints. Convention: COCO's pixels; in a box: from its middle,
in its longer sides.

Source: Thewlis, Bilen, Vedaldi 2017 (Unsupervised learning of object landmarks by factorized
spatial embeddings); Zhang et al. 2018 (Unsupervised discovery of object landmarks as structural
representations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

from kp2seg.data.coco_json import check_lists, read_json
from kp2seg.data.problems import DataError

PCK = 0.1
"""A joint is right within so many longer sides of the object's box."""

_STRENGTHS = np.logspace(-6, 2, 9)  # of the ridge; leave-one-out chooses


@dataclass(frozen=True)
class Landmarks:
    """Named points of P objects.

    Attributes:
        source: the file.  category: name.  names: K.  connections: pairs of places among them.
        images: image id -> its file name.
        ids, image_ids: (P,) of the annotations.  boxes: (P, 4) x, y, w, h px.
        points: (P, K, 2) px, NaN where visibility is 0.
    """

    source: str
    category: str
    names: tuple[str, ...]
    connections: tuple[tuple[int, int], ...]
    images: dict[int, str]
    ids: np.ndarray
    image_ids: np.ndarray
    boxes: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def in_box(self) -> np.ndarray:
        """(P, K, 2) from the middle of each object's box, in its longer sides."""
        middle = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        return np.asarray((self.points - middle[:, None]) / _sides(self.boxes))

    def of(self, chosen: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Some of the objects, by their places, with other boxes."""
        rows = {"ids": self.ids, "image_ids": self.image_ids, "points": self.points}
        rest = {k: v for k, v in vars(self).items() if k not in (*rows, "boxes")}
        return Landmarks(**rest, **{k: v[chosen] for k, v in rows.items()}, boxes=boxes)


def read_landmarks(path: Path) -> Landmarks:
    """The objects of a COCO keypoint JSON: annotations, or what tools/discover.py found.

    Objects without a box of an area, and crowds, are left out.
    Raises:  DataError: it is none, or has not one class with keypoints; the row is named.
    """
    coco = read_json(path)
    check_lists(coco, str(path))
    classes = [row for row in coco["categories"] if row.get("keypoints")]
    if len(classes) != 1:
        raise DataError(f"{path}: expected one class with keypoints, got {len(classes)}")
    (category,) = classes
    names = tuple(category["keypoints"])
    ids, image_ids, boxes, poses = [], [], [], []
    for row in coco["annotations"]:
        if row.get("category_id") != category["id"] or row.get("iscrowd"):
            continue
        try:
            pose = np.array(row["keypoints"], dtype=np.float64).reshape(len(names), 3)
            x, y, w, h = map(float, row["bbox"])
            key, image = int(row["id"]), int(row["image_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: annotation {row.get('id')}: expected id, image_id, bbox and "
                f"{3 * len(names)} keypoint numbers ({type(error).__name__}: {error})"
            ) from None
        if min(w, h) > 0:
            ids.append(key)
            image_ids.append(image)
            boxes.append((x, y, w, h))
            poses.append(np.where(pose[:, 2:] > 0, pose[:, :2], np.nan))
    if not ids:
        raise DataError(f"{path}: has no object of the class {category['name']}")
    if len(set(ids)) < len(ids):
        raise DataError(f"{path}: two annotations have one id")
    return Landmarks(
        source=str(path),
        category=str(category["name"]),
        names=names,
        connections=tuple((i - 1, j - 1) for i, j in category.get("skeleton", [])),
        images={row["id"]: row["file_name"] for row in coco["images"]},
        ids=np.array(ids),
        image_ids=np.array(image_ids),
        boxes=np.array(boxes),
        points=np.stack(poses),
    )


def matched(found: Landmarks, true: Landmarks) -> tuple[Landmarks, Landmarks, int]:
    """The same objects of both, in one order, in the true boxes.

    Returns: found, true, and how many true objects with a joint were not found.
    Raises:  DataError: another class; a found object is not among the true ones, or in another
             picture there.
    """
    if found.category != true.category:
        raise DataError(
            f"{found.source}: is of the class {found.category}, {true.source} of {true.category}"
        )
    places = {key: k for k, key in enumerate(true.ids.tolist())}
    unknown = [key for key in found.ids.tolist() if key not in places]
    if unknown:
        raise DataError(
            f"{found.source}: {len(unknown)} of its {len(found)} objects, such as annotation "
            f"{unknown[0]}, are not in {true.source}; are they of the same data set?"
        )
    chosen = np.array([places[key] for key in found.ids.tolist()])
    other = np.flatnonzero(true.image_ids[chosen] != found.image_ids)
    if len(other):
        raise DataError(
            f"{found.source}: annotation {found.ids[other[0]]} is in another picture than in "
            f"{true.source}; are they of the same data set?"
        )
    annotated = np.isfinite(true.points[..., 0]).any(axis=1)
    boxes = true.boxes[chosen]
    missing = int(annotated.sum() - annotated[chosen].sum())
    return found.of(np.arange(len(found)), boxes), true.of(chosen, boxes), missing


class LandmarkMap:
    """A linear map with a constant from N found points to each of K joints: ridge regression.

    The strength of the ridge is chosen by leaving one object out. A found point that an object
    lacks is taken to be in its mean place.
    """

    def __init__(self, found: Landmarks, true: Landmarks) -> None:
        """Fit it.

        Args:    found, true: of `matched`.
        Raises:  DataError: a joint of the file is annotated in fewer objects than the map has
                 unknowns, 2 N + 1.
        """
        self.names = true.names
        features, targets = _features(found), true.in_box
        self._maps = []
        for k, name in enumerate(true.names):
            there = np.isfinite(targets[:, k, 0])
            if there.sum() < features.shape[1] + 1:
                raise DataError(
                    f"{true.source}: {name} is annotated in {there.sum()} objects; a linear map "
                    f"from {len(found.names)} points needs {features.shape[1] + 1} at least"
                )
            ridge = RidgeCV(alphas=_STRENGTHS)
            model = make_pipeline(SimpleImputer(keep_empty_features=True), ridge)
            self._maps.append(model.fit(features[there], targets[there, k]))

    def __call__(self, found: Landmarks) -> np.ndarray:
        """The joints of objects, (P, K, 2) in their boxes."""
        return np.stack([model.predict(_features(found)) for model in self._maps], axis=1)


def mean_places(true: Landmarks) -> np.ndarray:
    """(K, 2) where in its box each joint is on average; every joint annotated somewhere."""
    return np.asarray(np.nanmean(true.in_box, axis=0))


def score(predicted: np.ndarray, true: Landmarks) -> dict[str, dict[str, Any]]:
    """How near predictions are to the annotated joints.

    Args:    predicted: (P, K, 2) in the boxes, NaN where there is none.
    Returns: for each joint by name, and for "all" of them together: "objects" that count, the
             share "found" of them that have a prediction, the share "pck" of them within PCK longer
             sides of the box (one without a prediction is not), and "error", the mean distance in
             longer sides, of those found. None where nothing counts.
    """
    distance = np.linalg.norm(predicted - true.in_box, axis=-1)
    counts = np.isfinite(true.points[..., 0])
    rows = {name: (distance[:, k], counts[:, k]) for k, name in enumerate(true.names)}
    rows["all"] = (distance.ravel(), counts.ravel())
    return {name: _figures(d[c]) for name, (d, c) in rows.items()}


def in_picture(predicted: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Points in boxes, (P, K, 2), as COCO's pixels."""
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    return np.asarray(predicted * _sides(boxes) + middle[:, None])


def check_names(first: Landmarks, second: Landmarks, remedy: str) -> None:
    """Raises DataError, with the remedy, unless two files name the same points."""
    if first.names != second.names:
        raise DataError(
            f"{second.source}: its points have other names than those of {first.source}; {remedy}"
        )


def only_points(found: Landmarks, names: Sequence[str]) -> Landmarks:
    """The found points of these names only. Raises: DataError: one is not there."""
    missing = [name for name in names if name not in found.names]
    if missing:
        raise DataError(
            f"{found.source}: has no point {missing[0]}; it has {', '.join(found.names)}"
        )
    chosen = [found.names.index(name) for name in names]
    values = vars(found) | {"names": tuple(names), "points": found.points[:, chosen]}
    return Landmarks(**values | {"connections": ()})


def _sides(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(boxes[:, 2:].max(axis=1)[:, None, None])


def _features(found: Landmarks) -> np.ndarray:
    return found.in_box.reshape(len(found), -1)


def _figures(distance: np.ndarray) -> dict[str, Any]:
    there = distance[np.isfinite(distance)]
    n = len(distance)
    return {
        "objects": n,
        "found": len(there) / n if n else None,
        "pck": float((there <= PCK).sum() / n) if n else None,
        "error": float(there.mean()) if len(there) else None,
    }
