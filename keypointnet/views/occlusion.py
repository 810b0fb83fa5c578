"""How much objects hide of one another: what is enough to be annotated, and OCHuman's MaxIoU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_SEEN = 0.05
"""Share of its amodal mask that must be seen for an object to be annotated ..."""

MIN_AREA = 32
"""... and so many pixels."""


def is_annotated(seen_px: int, whole_px: int) -> bool:
    """Whether enough of an object is seen, of `whole_px` that it would cover alone."""
    return seen_px >= max(MIN_AREA, MIN_SEEN * whole_px)


def max_ious(boxes: Sequence[Sequence[float]]) -> list[float]:
    """The largest IoU of each box with another one; 0 for a box that is alone.

    Args:    boxes: N times [x, y, w, h] px.
    Source:  OCHuman (Pose2Seg, Zhang et al. 2019, section 4): MaxIoU of an object's box.
    """
    if len(boxes) < 2:
        return [0.0] * len(boxes)
    corner, extent = np.hsplit(np.asarray(boxes, dtype=np.float64), 2)
    low = np.maximum(corner[:, None], corner[None])
    high = np.minimum((corner + extent)[:, None], (corner + extent)[None])
    common = np.prod(np.maximum(high - low, 0.0), axis=-1)
    area = np.prod(extent, axis=1)
    iou = common / np.maximum(area[:, None] + area[None] - common, 1e-12)
    np.fill_diagonal(iou, 0.0)
    return [float(value) for value in iou.max(axis=1)]


def boxes_of_annotated(nearest: np.ndarray, covered: np.ndarray, objects: int) -> list[list[float]]:
    """[x, y, w, h] px of what is seen of each annotated one of the first `objects` of a scene.

    Args:    nearest, covered: as scene_rendering.RenderedScene has them.
    """
    boxes = []
    for m in range(objects):
        seen = nearest == m
        if is_annotated(int(seen.sum()), int(((covered >> np.uint32(m)) & 1).sum())):
            rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            x, y = int(columns[0]), int(rows[0])
            boxes.append([x, y, float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)])
    return boxes
