"""A picture of pose templates: one skeleton for each."""

from __future__ import annotations

import cv2
import numpy as np

from keypointnet.drawing import BACKGROUND, contact_sheet, keypoint_colours
from kp2seg.template_files import PoseTemplates

_LIMB = (150, 156, 168)


def draw_templates(templates: PoseTemplates, *, tile_px: int = 320, columns: int = 3) -> np.ndarray:
    """The templates in rows; each limb's first end in the colour of its keypoint.

    Points that a template lacks (v below the threshold) are left out, with their limbs. A point is
    drawn larger the more often it is visible. Symmetric templates show left and right points of
    neighbouring colours.

    Returns: (H, W, 3) uint8 RGB.
    """
    tiles = [_draw(templates, number, tile_px) for number in range(len(templates.templates))]
    return contact_sheet(tiles, columns=min(columns, len(tiles)))


def _draw(templates: PoseTemplates, number: int, size: int) -> np.ndarray:
    pose = templates.templates[number]
    there = (pose[:, 2] > 0) & (pose[:, 2] >= templates.vis_threshold)
    canvas = np.full((size, size, 3), BACKGROUND, np.uint8)
    margin = 0.06
    points = np.round((margin + pose[:, :2] * (1 - 2 * margin)) * size * 16).astype(int)
    for i, j in templates.connections:
        if there[i] and there[j]:
            ends = points[[i, j]].tolist()
            cv2.line(canvas, ends[0], ends[1], _LIMB, max(2, size // 110), cv2.LINE_AA, shift=4)
    for i, colour in enumerate(keypoint_colours(len(pose))):
        if there[i]:
            radius = round(size * (0.009 + 0.007 * min(pose[i, 2], 2.0)) * 16)
            cv2.circle(canvas, points[i].tolist(), radius, colour, -1, cv2.LINE_AA, shift=4)
    text = f"{number}: {int(there.sum())} of {len(pose)} points"
    scale = size / 620
    cv2.putText(
        canvas, text, (8, size - 10), cv2.FONT_HERSHEY_SIMPLEX, scale, _LIMB, 1, cv2.LINE_AA
    )
    return canvas
