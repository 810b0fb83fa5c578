"""Masks and skeletons over pictures: one colour for each person.

P people, K keypoints. Pictures are (h, w, 3) uint8 RGB; points (x, y) px, pixel centres at +0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from keypointnet.drawing import BACKGROUND, contact_sheet, keypoint_colours

_TILE_PX = 192
_COLUMNS = 4


def draw_people(
    picture: np.ndarray,
    masks: np.ndarray,
    keypoints: np.ndarray,
    connections: Sequence[tuple[int, int]],
    *,
    opacity: float = 0.45,
) -> np.ndarray:
    """Masks over a picture, their outlines, and skeletons on top.

    Args:    masks: (P, h, w) bool.
             keypoints: (P, K, 3) of x, y, v; v = 0 is missing, and may be NaN in x and y.
             connections: pairs of keypoints, from 0.  opacity: of the masks.
    Returns: a new picture.
    Raises:  ValueError: masks of another size than the picture, or another number of them than of
             poses.
    """
    if len(masks) != len(keypoints) or (len(masks) and masks.shape[1:] != picture.shape[:2]):
        raise ValueError(
            f"draw_people: masks {masks.shape} and keypoints {keypoints.shape} for a picture "
            f"{picture.shape}; expected (P, h, w), (P, K, 3) and (h, w, 3)"
        )
    drawn = picture.copy()
    width = max(1, round(max(picture.shape[:2]) / 400))
    colours = keypoint_colours(len(masks))
    for mask, colour in zip(masks, colours, strict=True):
        blended = (1 - opacity) * drawn[mask] + opacity * np.array(colour)
        drawn[mask] = blended.round().astype(np.uint8)
        outline, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(drawn, outline, -1, colour, width, cv2.LINE_AA)
    for points, colour in zip(keypoints, colours, strict=True):
        _draw_skeleton(drawn, points, connections, colour, width)
    return drawn


def _draw_skeleton(
    canvas: np.ndarray,
    points: np.ndarray,
    connections: Sequence[tuple[int, int]],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    h, w = canvas.shape[:2]
    there = points[:, 2] > 0
    # cv2 has pixel i at i and takes 16ths here. Far outside the picture its integers overflow.
    xy = np.where(there[:, None], points[:, :2], 0.0).clip((-w, -h), (2 * w, 2 * h)) - 0.5
    at = np.round(xy * 16).astype(int).tolist()
    for i, j in connections:
        if there[i] and there[j]:
            cv2.line(canvas, at[i], at[j], (255, 255, 255), width + 1, cv2.LINE_AA, shift=4)
            cv2.line(canvas, at[i], at[j], colour, width, cv2.LINE_AA, shift=4)
    for i in np.flatnonzero(there).tolist():
        radius = (width + 1) * 16
        cv2.circle(canvas, at[i], radius, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
        cv2.circle(canvas, at[i], radius - 8, colour, -1, cv2.LINE_AA, shift=4)


def mask_sheet(
    model: nn.Module,
    pictures: Sequence[dict[str, Any]],
    connections: Sequence[tuple[int, int]],
    *,
    people: int = 8,
) -> np.ndarray:
    """A contact sheet of the first people of some pictures, each cut out with its mask over it.

    Args:    model: a `Pose2Seg` in evaluation mode.  pictures: its inputs.
             people: tiles of the sheet, fewer where there are not so many.
    Returns: a picture; one empty tile where there is nobody.
    """
    tiles: list[np.ndarray] = []
    for picture in pictures:
        if len(tiles) >= people:
            break
        with torch.inference_mode():
            instances = model([picture])[0]["instances"].to("cpu")
        rgb = np.ascontiguousarray(picture["image"].permute(1, 2, 0).numpy())
        for mask, points in zip(instances.pred_masks, instances.pred_keypoints, strict=True):
            one = draw_people(rgb, mask[None].numpy(), points[None].numpy(), connections)
            tiles.append(cut_out_object(one, points.numpy(), _TILE_PX))
    if not tiles:
        tiles = [np.full((_TILE_PX, _TILE_PX, 3), BACKGROUND, np.uint8)]
    return contact_sheet(tiles[:people], columns=min(_COLUMNS, len(tiles)))


def cut_out_object(picture: np.ndarray, points: np.ndarray, side: int) -> np.ndarray:
    """The square around a pose (K, 3), half as large again, as a tile (side, side, 3)."""
    h, w = picture.shape[:2]
    seen = points[points[:, 2] > 0, :2]
    low, high = (seen.min(0), seen.max(0)) if len(seen) else (np.zeros(2), np.array([w, h]))
    extent = max(1.5 * float((high - low).max()), 16.0)
    scale = side / extent
    x, y = (low + high) / 2 - extent / 2
    # cv2 has pixel i at i.
    A = np.array([[scale, 0, -scale * x], [0, scale, -scale * y]])
    A[:, 2] += 0.5 * scale - 0.5
    flags = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    tile = cv2.warpAffine(picture, A, (side, side), flags=flags, borderValue=BACKGROUND)
    return np.asarray(tile)
