"""Pictures of models with their planes and axes of symmetry, drawn from surface samples."""

from __future__ import annotations

import cv2
import numpy as np

from keypointnet.drawing import BACKGROUND, caption, keypoint_colours
from keypointnet.shapenet.isometries import across
from keypointnet.shapenet.models import Model
from keypointnet.shapenet.symmetry import Symmetries
from keypointnet.shapenet.symmetry_surface import sample_surface

VIEW = np.array([0.55, 0.45, -0.7])
"""From the object to the eye: the front, a little from the left and above."""
MAX_LINES = 8
AXIS_RGB = (255, 255, 255)


def draw_symmetries(model: Model, found: Symmetries, side_px: int = 220) -> np.ndarray:
    """One model as shaded points, its planes as coloured outlines, its axes as white lines.

    Returns: (side_px + 20, side_px, 3) uint8 RGB.
    """
    surface = sample_surface(model.meshes, 9000)
    eye = VIEW / np.linalg.norm(VIEW)
    right = np.cross([0.0, 1.0, 0.0], eye)
    right /= np.linalg.norm(right)
    screen = np.stack([right, -np.cross(eye, right)])

    def to_px(points: np.ndarray) -> np.ndarray:
        return np.asarray((points @ screen.T * 0.88 + 0.5) * side_px)

    canvas = np.empty((side_px, side_px, 3), dtype=np.uint8)
    canvas[:] = BACKGROUND
    order = np.argsort(surface.points @ eye)
    shade = 60 + 150 * np.abs(surface.normals @ eye)
    cells = np.clip(to_px(surface.points).astype(int), 0, side_px - 2)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):  # nearest last
        canvas[cells[order, 1] + dy, cells[order, 0] + dx] = shade[order, None].astype(np.uint8)
    planes = found.planes[:MAX_LINES]
    for plane, colour in zip(planes, keypoint_colours(max(len(planes), 1)), strict=False):
        centre = (plane.point - surface.centre) / surface.size
        first, second = across(plane.normal)
        corners = [centre + 0.45 * (a * first + b * second) for a, b in ((1, 1), (1, -1), (-1, -1))]
        corners.append(centre + 0.45 * (second - first))
        outline = np.round(to_px(np.array(corners)) * 16).astype(np.int32)
        cv2.polylines(canvas, [outline], True, colour, 1, cv2.LINE_AA, shift=4)
    for axis in found.axes[:MAX_LINES]:
        centre = (axis.point - surface.centre) / surface.size
        ends = to_px(np.stack([centre - 0.5 * axis.direction, centre + 0.5 * axis.direction]))
        start, stop = (tuple(round(value * 16) for value in end) for end in ends)
        cv2.line(canvas, start, stop, AXIS_RGB, 1, cv2.LINE_AA, shift=4)
    orders = ["any" if axis.order is None else str(axis.order) for axis in found.axes]
    many = "" if len(found.planes) == 1 else "s"
    text = f"{len(found.planes)} plane{many}" + (f", axes {' '.join(orders)}" if orders else "")
    return np.concatenate([canvas, caption("sphere" if found.spherical else text, side_px)])
