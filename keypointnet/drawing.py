"""Pictures of keypoints: one colour for each keypoint, the same everywhere."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from keypointnet.evaluation import predict_views
from keypointnet.geometry import normalised_to_pixels
from keypointnet.model import KeypointNet
from keypointnet.views.pairs import ModelViews

BACKGROUND = (38, 40, 46)


def keypoint_colours(n: int) -> list[tuple[int, int, int]]:
    """RGB colours (0–255), n around the hue circle, neighbours alternating in brightness."""
    return [
        tuple(round(255 * c) for c in colorsys.hsv_to_rgb(i / n, 0.9, 1.0 if i % 2 else 0.75))  # type: ignore[misc]
        for i in range(n)
    ]


def draw_keypoints(rgba: np.ndarray, uv: Tensor, *, scale: int = 4) -> np.ndarray:
    """A view on a dark ground with its keypoints as numbered-by-colour discs.

    Args:    rgba: (h, w, 4) uint8, premultiplied.  uv: (N, 2) normalised.
             scale: pixels of the picture for each pixel of the view.
    Returns: (h·scale, w·scale, 3) uint8 RGB.
    """
    alpha = rgba[..., 3:].astype(np.float32) / 255
    rgb = rgba[..., :3] + (1 - alpha) * np.array(BACKGROUND, dtype=np.float32)
    h, w = rgba.shape[:2]
    canvas = cv2.resize(
        rgb.clip(0, 255).astype(np.uint8), (w * scale, h * scale), interpolation=cv2.INTER_CUBIC
    )
    xy = normalised_to_pixels(uv.double(), (h, w)).numpy() * scale
    radius = max(2, round(0.022 * max(h, w) * scale))
    for (x, y), colour in zip(xy, keypoint_colours(len(xy)), strict=True):
        # cv2 puts integer coordinates on pixel centres; ours are at +0.5. shift=4: 1/16 px.
        centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))
        cv2.circle(canvas, centre, (radius + 1) * 16, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
        cv2.circle(canvas, centre, radius * 16, colour, -1, cv2.LINE_AA, shift=4)
    return canvas


def contact_sheet(tiles: Sequence[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Tiles of one size in rows.

    Args:    tiles: (h, w, 3) uint8 each.  columns: tiles in a row.
    Returns: one (H, W, 3) uint8 picture.
    Raises:  ValueError: no tiles.
    """
    if not tiles:
        raise ValueError("contact_sheet: expected at least one tile, got none")
    h, w = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    sheet = np.empty((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), dtype=np.uint8)
    sheet[:] = BACKGROUND
    for i, tile in enumerate(tiles):
        y, x = gap + (i // columns) * (h + gap), gap + (i % columns) * (w + gap)
        sheet[y : y + h, x : x + w] = tile
    return sheet


def keypoint_sheet(
    model: KeypointNet, models: Sequence[ModelViews], *, views: int = 8, scale: int = 3
) -> np.ndarray:
    """Held-out models in rows, their first views in columns, with predicted keypoints.

    Args:    model: in evaluation mode.  views: of each model.
    Returns: (H, W, 3) uint8 RGB.
    """
    tiles = []
    for entry in models:
        indices = range(min(views, entry.store.n_views(entry.model)))
        uvz = predict_views(model, entry, list(indices))[0]
        row = [
            draw_keypoints(entry.store.view(entry.model, i).rgba, uvz[i, :, :2], scale=scale)
            for i in indices
        ]
        # A model with fewer views leaves its row empty at the end.
        row += [np.full_like(row[0], BACKGROUND)] * (views - len(row))
        tiles += row
    return contact_sheet(tiles, columns=views)


def caption(text: str, width: int, height: int = 20) -> np.ndarray:
    """A line of text on black, its middle left out where it is too long. (height, width, 3)."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    kept, shown = len(text), text
    while kept > 8 and cv2.getTextSize(shown, font, size, 1)[0][0] > width - 8:
        kept -= 1
        shown = f"{text[: kept - kept // 3]}...{text[-(kept // 3) :]}"
    bar = np.zeros((height, width, 3), dtype=np.uint8)
    cv2.putText(bar, shown, (4, height - 6), font, size, (230, 230, 230), 1, cv2.LINE_AA)
    return bar


def save_picture(path: Path, rgb: np.ndarray) -> None:
    """Writes an RGB picture, in the format of the file's suffix. Raises OSError if it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.haveImageWriter(str(path)):
        raise OSError(f"{path}: expected a picture's name, ending in .png or .jpg for one")
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path}: the picture could not be written")


def read_picture(path: Path) -> np.ndarray:
    """A picture file as (h, w, 3) uint8 RGB. Raises OSError if it cannot be read."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise OSError(f"{path}: the picture could not be read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
