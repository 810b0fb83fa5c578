"""Boxes of objects in pictures, for models that find the keypoints themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kp2seg.data.problems import Report


@dataclass(frozen=True, eq=False)
class Box:
    """A box of one object.

    Attributes:
        xywh: (4,) float64 px, COCO's: the corner at the top left, width and height.
        score: how sure the source is; 1 for an annotation.
    """

    xywh: np.ndarray
    score: float = 1.0

    def inside(self, size: tuple[int, int]) -> tuple[float, float]:
        """(w, h) px of its part in a picture of a size (h, w); negative for one outside."""
        low = self.xywh[:2].clip(min=0)
        w, h = np.minimum(self.xywh[:2] + self.xywh[2:], size[::-1]) - low
        return float(w), float(h)


@dataclass(frozen=True)
class BoxTable:
    """Boxes of one class that were read from a file.

    Attributes:
        by_image: image id → boxes.  category_id: of all of them, in that file.
        report: what was left out.
        fingerprint: SHA-256 of all boxes; a cache of predictions is valid for one of them.
    """

    by_image: Mapping[int, list[Box]]
    category_id: int
    report: Report
    fingerprint: str

    def boxes(self, image_id: int) -> list[Box]:
        """The boxes of a picture, in the file's order; an empty list where there are none."""
        return list(self.by_image.get(image_id, []))


def box_table(by_image: Mapping[int, list[Box]], category_id: int, report: Report) -> BoxTable:
    """A table with its fingerprint: of every number, the pictures' ids and the boxes' order."""
    digest = hashlib.sha256(f"boxes of {category_id}".encode())
    for image_id in sorted(by_image):
        for box in by_image[image_id]:
            digest.update(f"{image_id} {box.score!r}".encode())
            digest.update(np.ascontiguousarray(box.xywh, "<f8").tobytes())
    return BoxTable(by_image, category_id, report, digest.hexdigest())
