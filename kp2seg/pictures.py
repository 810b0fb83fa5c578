"""Pictures as bytes: resampled by OpenCV, as the published weights were trained.

A picture is (h, w, 3) uint8.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def to_bytes(image: Tensor) -> np.ndarray:
    """(3, h, w) of 0 to 255 → (h, w, 3) uint8."""
    pixels = image.detach().cpu().permute(1, 2, 0)
    if pixels.dtype != torch.uint8:
        pixels = pixels.round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(pixels.numpy())


def to_float(pictures: np.ndarray) -> Tensor:
    """(n, h, w, 3) uint8 → (n, 3, h, w) float32 of 0 to 255."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float()


def warp(
    picture: np.ndarray, A_src2dst: np.ndarray, size: tuple[int, int], offset: float
) -> np.ndarray:
    """The picture resampled, bilinear, black outside.

    Args:    A_src2dst: (3, 3) in the convention whose first pixel's centre is at `offset`.
             size: (h, w).
    """
    A = A_src2dst[:2].copy()
    A[:, 2] += offset * (A[:, 0] + A[:, 1]) - offset  # OpenCV has pixel i at i
    return np.asarray(cv2.warpAffine(picture, A, (size[1], size[0]), flags=cv2.INTER_LINEAR))


def pyramid(picture: np.ndarray) -> list[np.ndarray]:
    """The picture, its half, the half of that, …, while both sides have 64 px or more.

    A side that is odd loses its last row or column, so that halves are exact.
    """
    levels = [picture]
    while min(levels[-1].shape[:2]) >= 128:
        h, w = (side // 2 for side in levels[-1].shape[:2])
        even = levels[-1][: 2 * h, : 2 * w]
        levels.append(np.asarray(cv2.resize(even, (w, h), interpolation=cv2.INTER_AREA)))
    return levels


def cut(pyramid: list[np.ndarray], A_img2region: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A region, read from the level that is at most twice as fine as it: less would alias."""
    scale = float(np.sqrt(abs(np.linalg.det(A_img2region[:2, :2]))))
    level = 0
    while level + 1 < len(pyramid) and scale * 2 ** (level + 1) <= 1:
        level += 1
    A = A_img2region @ np.diag([2.0**level, 2.0**level, 1.0])
    return warp(pyramid[level], A, size, 0.5)
