"""Predictions in one file, with a fingerprint of what they were made from.

The file is JSON: {"format", "version", "dataset", "fingerprint": {part: SHA-256}, "predictions":
[{"image_id", "category_id", "annotation_id", "segmentation": RLE, "constant", "quality"}]}. It
appears under its name only when it is whole. A cache whose fingerprint differs is refused, and
the message says in which part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import keypointnet
from keypointnet.files import file_sha256, write_whole
from kp2seg.data.annotations import is_integer, is_number
from kp2seg.data.coco_json import KeypointData, read_json
from kp2seg.data.masks import RLE
from kp2seg.data.problems import DataError

FORMAT = "kp2seg predictions"
VERSION = 1
SCORE_MODES = ("constant", "quality")
"""constant: 1 for every mask, the published protocol.  quality: the predicted IoU of the mask; a
detector's own score."""

_PACKAGE = Path(__file__).parents[1]
# Changing these does not change a prediction.
_FINDING = ("discovery.py", "geometry.py", "heatmaps.py", "model.py")
_NOT_PREDICTING = {"evaluation", "report", "zoo"}


class StaleCacheError(ValueError):
    """Predictions that were made from something else; the message names what."""


@dataclass(frozen=True)
class Prediction:
    """One mask.

    Attributes:
        image_id, category_id: COCO's.  segmentation: RLE of the picture's size, text counts.
        quality: predicted IoU in [0, 1], or a detector's score; None from a model without.
        annotation_id: the annotation whose keypoints it was made from, None for detected ones.
    """

    image_id: int
    category_id: int
    segmentation: RLE
    quality: float | None = None
    annotation_id: int | None = None

    def score(self, mode: str) -> float:
        """Its score in a mode.

        Raises:  ValueError: no such mode, or no quality was predicted.
        """
        if mode not in SCORE_MODES:
            raise ValueError(f"score: mode {mode!r}; there are {', '.join(SCORE_MODES)}")
        if mode == "constant":
            return 1.0
        if self.quality is None:
            raise ValueError("score: mode quality: this prediction has none; use constant")
        return self.quality


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 of each part that a prediction depends on."""

    weights: str
    annotations: str
    keypoints: str
    config: str
    code: str

    def differing(self, other: Fingerprint) -> list[str]:
        """Names of the parts that are not the same."""
        return [
            part.name
            for part in fields(self)
            if getattr(self, part.name) != getattr(other, part.name)
        ]


@dataclass(frozen=True)
class Cache:
    """A file of predictions, read."""

    dataset: str
    fingerprint: Fingerprint
    predictions: tuple[Prediction, ...]

    def modes(self) -> tuple[str, ...]:
        """The score modes that every prediction has."""
        return tuple(
            mode
            for mode in SCORE_MODES
            if mode == "constant" or all(row.quality is not None for row in self.predictions)
        )


def make_fingerprint(
    weights: Path | None, data: KeypointData, keypoints: str, config: str, code: str | None = None
) -> Fingerprint:
    """The fingerprint of a prediction that is about to be made, or of the cache that is wanted.

    Args:    weights: the file, None for a model without.
             data: its files, the pictures and people that are used of them, and the pictures'
             folder.
             keypoints: names the source, e.g. `PoseTable.fingerprint`.
             config: the whole configuration as text.  code: `code_fingerprint()` without.
    """
    used = [
        sorted(image["id"] for image in data.coco["images"]),
        sorted(row["id"] for row in data.coco["annotations"]),
        str(Path(data.image_root).resolve()),
    ]
    parts = [file_sha256(path) for path in data.files] + [json.dumps(used)]
    return Fingerprint(
        weights="none" if weights is None else file_sha256(Path(weights)),
        annotations=_sha256("\n".join(parts).encode()),
        keypoints=_sha256(keypoints.encode()),
        config=_sha256(config.encode()),
        code=code_fingerprint() if code is None else code,
    )


def code_fingerprint() -> str:
    """SHA-256 of the version and of the source that makes predictions (not of the scoring)."""
    digest = hashlib.sha256(keypointnet.__version__.encode())
    finder = Path(keypointnet.__file__).parent  # of models that find the keypoints themselves
    files = [finder / name for name in _FINDING] + sorted(_PACKAGE.rglob("*.py"))
    for path in files:
        name = path.relative_to(finder.parent if path.parent == finder else _PACKAGE)
        if name.parts[0] not in _NOT_PREDICTING:
            digest.update(name.as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def write_cache(
    path: Path, dataset: str, predictions: Sequence[Prediction], fingerprint: Fingerprint
) -> None:
    """Write a file of predictions, replacing an earlier one only when the new one is whole.

    Raises:  ValueError: a prediction's quality is no finite number (the row is named).
    """
    for number, row in enumerate(predictions):
        if row.quality is not None and not is_number(row.quality):
            raise ValueError(
                f"write_cache: prediction {number} (image {row.image_id}): quality {row.quality}"
            )
    content = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset,
        "fingerprint": asdict(fingerprint),
        "predictions": [{**asdict(row), "constant": 1.0} for row in predictions],
    }
    write_whole(Path(path), json.dumps(content, separators=(",", ":")).encode())


def read_cache(path: Path, expected: Fingerprint | None = None) -> Cache:
    """Read a file of predictions.

    Args:    expected: refuse the file unless it was made from this; None takes any.
    Raises:  DataError: no such file, cut short, or no file of predictions.
             StaleCacheError: made from something else; the parts are named.
    """
    path = Path(path)
    content = read_json(path, "predict first")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path}: no file of predictions; expected format {FORMAT!r}")
    if content.get("version") != VERSION:
        raise DataError(
            f"{path}: version {content.get('version')}, this code reads {VERSION}; predict again"
        )
    try:
        found = Fingerprint(**content["fingerprint"])
        rows = tuple(_prediction(row) for row in content["predictions"])
        dataset = str(content["dataset"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: a row is broken ({error!r}); predict again") from None
    if expected is not None and found != expected:
        details = ", ".join(
            f"{part} ({getattr(found, part)[:8]}, now {getattr(expected, part)[:8]})"
            for part in found.differing(expected)
        )
        raise StaleCacheError(
            f"{path}: these predictions were made with other {details}; predict again, or name "
            "another file"
        )
    return Cache(dataset, found, rows)


def _prediction(row: dict[str, Any]) -> Prediction:
    image_id, category_id = row["image_id"], row["category_id"]
    quality, annotation_id = row["quality"], row["annotation_id"]
    for key, value in (("image_id", image_id), ("category_id", category_id)):
        if not is_integer(value):
            raise ValueError(f"{key} {value}")
    for key, value in (("quality", quality), ("annotation_id", annotation_id)):
        if value is not None and not is_number(value):
            raise ValueError(f"image {image_id}: {key} {value}")
    return Prediction(image_id, category_id, dict(row["segmentation"]), quality, annotation_id)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
