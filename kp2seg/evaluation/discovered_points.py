"""How far discovered keypoints can be trusted: on the object, and in the same place again.

P objects, N keypoints, crops of S x S px. The network is asked about each object as it is boxed,
mirrored, in a box that somebody else would have drawn, and turned. Distances are in diagonals of
the box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keypointnet.discovery import Discovered, join, left_right_pairs
from keypointnet.model import KeypointNet
from kp2seg.keypoint_sources.discovered import (
    Crops,
    Finding,
    crop_matrices,
    cut_objects,
    cut_pictures,
    find_keypoints,
    poses_in_picture,
)

BOX_CHANGE = 0.10
"""By how much a box's sides and its place change, as a share of its sides."""

TURN_DEG = 15.0


@dataclass(frozen=True)
class PointQuality:
    """Figures over P objects.

    objects: P.
    points: that count, of each object, mean.
    inside: share of the points that count which lie in the true mask; NaN without any.
    flip, box, turn: median distance of a point from where it was found at first: in mirrored crops
        (of its partner there), in changed boxes, in turned crops. Of all points.
    """

    objects: int
    points: float
    inside: float
    flip: float
    box: float
    turn: float

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, which knows no NaN: what is undefined is None."""
        return {k: None if math.isnan(v) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> PointQuality:
        """What `as_dict` gave."""
        values: dict[str, Any] = {k: math.nan if v is None else v for k, v in row.items()}
        return cls(**values)


class PointQualityMeter:
    """Collects the figures, picture by picture.

    Args:    model: in evaluation mode.  size: S.  finding: see there.  seed: of the changed boxes.
    """

    def __init__(self, model: KeypointNet, size: int, finding: Finding, *, seed: int = 0) -> None:
        self.model, self.size, self.finding = model, size, finding
        self.rng = np.random.default_rng(seed)
        self.found: list[Discovered] = []
        self.uv_in_diagonals: list[np.ndarray] = []
        self.inside: list[np.ndarray] = []
        self.counted: list[np.ndarray] = []
        self.moved: dict[str, list[np.ndarray]] = {"box": [], "turn": []}

    def add(self, picture: np.ndarray, boxes_xywh: np.ndarray, masks: Sequence[np.ndarray]) -> None:
        """The objects of a picture.

        Args:    picture: (h, w, 3) uint8 RGB.  boxes_xywh: (P, 4) px.  masks: P times (h, w) bool.
        """
        boxes = np.asarray(boxes_xywh, dtype=np.float64)
        size, context = self.size, self.finding.context
        A = crop_matrices(boxes, size, context)
        crops = cut_objects(picture, boxes, size, context)
        found = find_keypoints(self.model, crops, mirrored=True)
        kpts, visibility = poses_in_picture(found, A, size, self.finding)
        self.found.append(found)
        self.counted.append((visibility > 0).sum(axis=1))
        for points, codes, mask in zip(kpts, visibility, masks, strict=True):
            self.inside.append(_in_mask(points[codes > 0], mask))
        diagonal = np.hypot(boxes[:, 2], boxes[:, 3])
        # A unit of (u, v) is half a crop.
        self.uv_in_diagonals.append(boxes[:, 2:].max(axis=1) * context / 2 / diagonal)
        for name, matrices in (
            ("box", crop_matrices(self._changed(boxes), size, context)),
            ("turn", self._turned(A)),
        ):
            again = Crops(cut_pictures(picture, matrices, size), np.ones_like(crops.objects))
            found = find_keypoints(self.model, again)
            kpts_again, _ = poses_in_picture(found, matrices, size, self.finding)
            distance = np.linalg.norm(kpts_again - kpts, axis=-1) / diagonal[:, None]
            self.moved[name].append(distance)

    def result(self) -> PointQuality:
        """All figures. Raises: ValueError: no object was added."""
        if not self.found:
            raise ValueError("PointQualityMeter: no object was added")
        inside = np.concatenate(self.inside)
        counted = np.concatenate(self.counted)
        medians = {name: float(np.median(np.concatenate(v))) for name, v in self.moved.items()}
        return PointQuality(
            objects=len(counted),
            points=float(counted.mean()),
            inside=float(inside.mean()) if len(inside) else math.nan,
            flip=self._flip(),
            **medians,
        )

    def _flip(self) -> float:
        found = join(self.found)
        assert found.mirrored_uv is not None
        partner = np.arange(found.uvz.shape[1])
        for left, right in left_right_pairs(found):
            partner[left], partner[right] = right, left
        moved = (found.mirrored_uv[:, partner] - found.uvz[..., :2]).norm(dim=-1).numpy()
        return float(np.median(moved * np.concatenate(self.uv_in_diagonals)[:, None]))

    def _changed(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes moved, and made larger or smaller, by up to `BOX_CHANGE`."""
        change = self.rng.uniform(-BOX_CHANGE, BOX_CHANGE, boxes.shape)
        sides = boxes[:, 2:] * (1 + change[:, 2:])
        middle = boxes[:, :2] + boxes[:, 2:] * (0.5 + change[:, :2])
        return np.concatenate([middle - sides / 2, sides], axis=1)

    def _turned(self, A_img2crop: np.ndarray) -> np.ndarray:
        """Crops turned about their middles by `TURN_DEG`, either way."""
        angle = np.radians(TURN_DEG) * self.rng.choice([-1.0, 1.0], len(A_img2crop))
        c, s, middle = np.cos(angle), np.sin(angle), self.size / 2
        turn = np.zeros_like(A_img2crop)
        turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = c, -s, s, c
        turn[:, 0, 2], turn[:, 1, 2] = middle * (1 - c + s), middle * (1 - s - c)
        turn[:, 2, 2] = 1
        return np.asarray(turn @ A_img2crop)


def _in_mask(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(n,) bool of points (n, 2), COCO's px: whether the nearest pixel is in a mask (h, w)."""
    h, w = mask.shape
    x, y = points.round().astype(int).T
    there = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    return np.asarray(there & mask[y.clip(0, h - 1), x.clip(0, w - 1)])
