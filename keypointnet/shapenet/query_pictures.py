"""Picture files with one object, and which of their pixels are the object's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from keypointnet.shapenet.picture_search import ObjectPicture

_SAME = 12  # of 255: how far a ground of one colour strays from it (JPEG, a soft shadow)
_GRABCUT_ROUNDS = 5

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 px, the corners' outer edges."""


def read_object_picture(
    path: Path, box: Box | None = None, mask: Path | None = None
) -> ObjectPicture:
    """Read a picture and find out which pixels are the object's.

    The first that applies: the mask; the picture's alpha; GrabCut within the box; a ground of one
    colour, seen along the border; everything. A mask or an alpha is cut to the box, if given.

    Args:    mask: a picture of the same size, not black where the object is.
    Raises:  ValueError: a file is no picture, broken or of another size than its mask, the box
             lies outside, or nothing is left of the object; the file is named.
    """
    pixels = _read(path)
    rgb, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3]
    size = alpha.shape
    inside = np.full(size, 255, np.uint8) if box is None else _box_mask(path, box, size)
    if mask is not None:
        given = _read(mask)
        if given.shape[:2] != size:
            raise ValueError(
                f"{mask}: expected the {size[1]}x{size[0]} px of {path}, found "
                f"{given.shape[1]}x{given.shape[0]}"
            )
        shown = given[..., :3].max(axis=2) > 127
        coverage = np.minimum(np.where(shown, given[..., 3], 0).astype(np.uint8), inside)
    elif alpha.min() < 255:
        coverage = np.minimum(alpha, inside)
    elif box is not None:
        coverage = cut_out(rgb, inside)
    else:
        coverage = off_ground(rgb)
    if not (coverage > 127).any():
        where = str(mask) if mask is not None else f"{path}: its alpha or the box"
        raise ValueError(f"{where} leaves nothing of the object; give another, or none")
    return ObjectPicture(rgb, coverage)


def _read(path: Path) -> np.ndarray:
    """(h, w, 4) uint8, upright."""
    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            if image.mode.startswith("I"):  # 16 bits: Pillow would cut them off, not scale
                grey = np.asarray(image).astype(np.float64) / 257
                image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
            return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such picture") from None
    except Exception as error:  # PIL's readers raise many types on a damaged file
        raise ValueError(f"{path}: cannot be read as a picture ({error})") from error


def _box_mask(path: Path, box: Box, size: tuple[int, int]) -> np.ndarray:
    """255 in the box, 0 elsewhere."""
    h, w = size
    x0, y0, x1, y1 = (round(each) for each in np.clip(box, 0, [w, h, w, h]))
    if x1 - x0 < 2 or y1 - y0 < 2:
        raise ValueError(
            f"{path}: expected a box X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1 within its {w}x{h} px, "
            f"got {','.join(f'{each:g}' for each in box)}"
        )
    inside = np.zeros(size, np.uint8)
    inside[y0:y1, x0:x1] = 255
    return inside


def cut_out(rgb: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """GrabCut: what stands out from the surroundings of the box; the box where nothing does."""
    if inside.all():  # no surroundings to learn from
        return inside
    scale = min(1.0, 400 / max(inside.shape))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    box = cv2.resize(inside, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    labels = np.where(box > 0, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if not (labels == cv2.GC_BGD).any() or not (labels == cv2.GC_PR_FGD).any():
        return inside
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(small[..., ::-1])
    cv2.grabCut(
        bgr, labels, (0, 0, 1, 1), background, foreground, _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    if found.sum() < 0.05 * box.astype(np.int64).sum():
        return inside
    grown = cv2.resize(found, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.minimum(grown, inside)


def off_ground(rgb: np.ndarray) -> np.ndarray:
    """What differs from the colour along the border, if that is one colour; else everything."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]).astype(np.int16)
    ground = np.median(border, axis=0)
    strays = np.abs(border - ground).max(axis=1) > _SAME
    everything = np.full(rgb.shape[:2], 255, np.uint8)
    if strays.mean() > 0.1:
        return everything
    differs = np.abs(rgb.astype(np.int16) - ground).max(axis=2) > _SAME
    # of the ground's colour but not joined to it is the object's own: a white cushion on white
    _, areas = cv2.connectedComponents((~differs).astype(np.uint8), connectivity=4)
    edge = np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]])
    ground_areas = np.setdiff1d(edge, [0])
    coverage = np.where(np.isin(areas, ground_areas), 0, 255).astype(np.uint8)
    return coverage if (coverage > 127).sum() >= 16 else everything
