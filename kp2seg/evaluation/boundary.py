"""Boundary IoU: how well the outlines of two masks agree.

A mask's boundary is the part of it within d px of its outline, d = 2 % of the picture's diagonal.
Two figures are made of it: boundary AP (COCO's AP with min(IoU, boundary IoU) in place of the
IoU), and the mean boundary IoU of masks that belong to a known annotation.

Source:  Cheng et al., "Boundary IoU", CVPR 2021, Sec. 3 and 5.2; own code. A picture's edge counts
as an outline, as in theirs.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_api
from pycocotools.cocoeval import COCOeval

from kp2seg.data.masks import RLE, as_text, decode, encode

DILATION_RATIO = 0.02
"""Of the picture's diagonal."""


def boundary_width_px(size: tuple[int, int], ratio: float = DILATION_RATIO) -> int:
    """D in px, at least 1. Args: size: (h, w) px."""
    return max(1, round(ratio * float(np.hypot(*size))))


def mask_boundary(mask: np.ndarray, width_px: int) -> np.ndarray:
    """The pixels of a mask that are within so many px (in x or in y) of one that is not in it.

    Args:    mask: (h, w), nonzero is inside; around the picture nothing is.
    Returns: (h, w) uint8, 0 or 1.
    """
    inside = (np.asarray(mask) != 0).astype(np.uint8)
    if inside.size == 0:
        return inside
    # Only the mask's own box matters: around it, as around the picture, nothing is inside.
    x, y, w, h = cv2.boundingRect(inside)
    padded = cv2.copyMakeBorder(inside[y : y + h, x : x + w], 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    if w and h:
        eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width_px)
        inside[y : y + h, x : x + w] -= eroded[1:-1, 1:-1]
    return inside


def boundary_rle(rle: RLE, ratio: float = DILATION_RATIO) -> RLE:
    """The boundary of a mask, as RLE."""
    rle = as_text(rle)
    return dict(_boundary((rle["size"][0], rle["size"][1]), rle["counts"], ratio))


@functools.lru_cache(maxsize=2**15)  # the same masks are scored in several modes
def _boundary(size: tuple[int, int], counts: str, ratio: float) -> RLE:
    mask = decode({"size": list(size), "counts": counts})
    return encode(mask_boundary(mask, boundary_width_px(size, ratio)))


class BoundaryEval(COCOeval):
    """pycocotools' evaluation with min(IoU, boundary IoU); for `segm_scores`."""

    def computeIoU(self, imgId: int, catId: int) -> Any:
        """(D, G): D detections of the picture, best first, against G annotations."""
        ious = super().computeIoU(imgId, catId)
        if len(ious) == 0:
            return ious
        gt, dt = self._gts[imgId, catId], self._dts[imgId, catId]
        best_first = np.argsort([-row["score"] for row in dt], kind="mergesort")
        dt = [dt[i] for i in best_first[: self.params.maxDets[-1]]]
        boundaries = [[boundary_rle(row["segmentation"]) for row in rows] for rows in (dt, gt)]
        crowd = [int(row["iscrowd"]) for row in gt]
        return np.minimum(ious, mask_api.iou(*boundaries, crowd))
