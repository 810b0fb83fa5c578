"""What stands behind rendered objects: made-up rooms, or crops of somebody's pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def find_pictures(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted.

    Raises:  ValueError: no such folder, or no picture in it.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: no such folder of background pictures")
    found = [
        Path(here, file)
        for here, _, files in os.walk(folder, followlinks=True)
        for file in files
        if Path(file).suffix.lower() in SUFFIXES and not file.startswith(".")
    ]
    if not found:
        raise ValueError(f"{folder}: no picture in it; expected files in {', '.join(SUFFIXES)}")
    return sorted(found)


def cropped_background(path: Path, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random part of a picture, at least half its height or width, mirrored half of the time.

    Args:    size: (h, w) px of the result.
    Returns: (h, w, 3) uint8 RGB.
    Raises:  ValueError: the file is no picture; it is named.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: cannot be read as a picture")
    height, width = picture.shape[:2]
    h, w = size
    largest = min(height / h, width / w)
    scale = largest * rng.uniform(0.5, 1.0)
    crop_h, crop_w = max(1, round(h * scale)), max(1, round(w * scale))
    top = int(rng.integers(height - crop_h + 1))
    left = int(rng.integers(width - crop_w + 1))
    crop = picture[top : top + crop_h, left : left + crop_w, ::-1]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    shrinks = scale > 1
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(crop), (w, h), interpolation=method))


def made_up_background(
    size: tuple[int, int], horizon_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Wall and floor of random colours, soft shapes, and noise of every coarseness.

    Args:    size: (h, w) px.  horizon_px: the row where the wall meets the floor; may lie outside.
    Returns: (h, w, 3) uint8 RGB.
    """
    h, w = size
    canvas = np.empty((h, w, 3), np.float32)
    edge = int(np.clip(horizon_px + rng.uniform(0, 0.25) * h, 0, h))
    for rows in (slice(0, edge), slice(edge, h)):
        top, bottom = _colour(rng), rng.normal(0, 20, 3)
        ramp = np.linspace(0, 1, max(1, canvas[rows].shape[0]), dtype=np.float32)
        canvas[rows] = (top + ramp[: canvas[rows].shape[0], None] * bottom)[:, None]
    for _ in range(int(rng.integers(0, 9))):
        _soft_shape(canvas, rng)
    for coarseness in (3, 9, 40, max(h, w)):
        canvas += _noise(size, coarseness, rng)[..., None] * rng.uniform(0, 14)
    tint = np.stack([_noise(size, 4, rng) for _ in range(3)], axis=-1)
    canvas += tint * rng.uniform(0, 10)
    if rng.random() < 0.5:
        sigma = rng.uniform(0.3, 1.6) * min(size) / 256
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), max(sigma, 0.2)))
    return np.clip(canvas, 0, 255).astype(np.uint8)


def darkened(
    background: np.ndarray, footprints_px: Sequence[np.ndarray], strength: float
) -> np.ndarray:
    """Soft shadows on the ground under the objects.

    Args:    background: (h, w, 3) uint8.  footprints_px: convex polygons (n, 2) px.
             strength: how much of the light is lost in the middle, 0..1.
    Returns: (h, w, 3) uint8.
    """
    h, w = background.shape[:2]
    # drawn small and blurred: a shadow has no edge that would need more
    small = np.zeros((max(1, h // 4), max(1, w // 4)), np.float32)
    ratio = np.array([small.shape[1] / w, small.shape[0] / h])
    for polygon in footprints_px:
        corners = np.rint(np.clip(polygon * ratio, -1e4, 1e4)).astype(np.int32)
        cv2.fillConvexPoly(small, corners, 1.0)
    small = cv2.GaussianBlur(small, (0, 0), max(0.5, min(h, w) / 128))
    shade = 1.0 - strength * cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.asarray((background * shade[..., None]).astype(np.uint8))


def _soft_shape(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Paint a blurred rectangle, ellipse or triangle over the canvas, in place."""
    h, w = canvas.shape[:2]
    mask = np.zeros((max(1, h // 2), max(1, w // 2)), np.float32)
    middle = rng.uniform(0, 1, 2) * mask.shape[::-1]
    reach = rng.uniform(0.05, 0.35, 2) * max(mask.shape)
    kind = int(rng.integers(3))
    if kind == 0:
        low, high = (np.rint(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
        cv2.rectangle(mask, low, high, 1.0, -1)
    elif kind == 1:
        box = (middle.tolist(), (2 * reach).tolist(), float(rng.uniform(0, 180)))
        cv2.ellipse(mask, box, 1.0, -1)
    else:
        corners = middle + rng.uniform(-1, 1, (3, 2)) * 1.5 * reach
        cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 4.0))
    alpha = cv2.resize(mask, (w, h), interpolation=cv2.INTER_LINEAR) * rng.uniform(0.4, 1.0)
    colour = _colour(rng)
    left, top, width, height = cv2.boundingRect((alpha > 0).astype(np.uint8))
    part = np.s_[top : top + height, left : left + width]  # nothing changes elsewhere
    canvas[part] += alpha[part][..., None] * (colour - canvas[part])


def _colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32 in 0..255, grey as a rule and bright now and then, as rooms are."""
    wild = rng.uniform(15, 240, 3)
    return np.asarray(wild.mean() + rng.beta(1.2, 2.5) * (wild - wild.mean()), dtype=np.float32)


def _noise(size: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """(h, w) float32 noise of unit strength, about so many cells across."""
    h, w = size
    rows, columns = max(2, cells * h // max(size)), max(2, cells * w // max(size))
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    if (rows, columns) == size:
        return coarse
    return np.asarray(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC))
