"""Pictures of a model with a colour for each part, and what the colours stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import trimesh

from keypointnet.drawing import keypoint_colours
from keypointnet.shapenet.models import Model
from keypointnet.shapenet.part_correspondence import Correspondence
from keypointnet.shapenet.parts import Part
from keypointnet.shapenet.surfaces import UNTEXTURED, Soup, build_meshes
from keypointnet.views.cameras import intrinsics, look_at
from keypointnet.views.rendering import ViewRenderer

Colour = tuple[int, int, int]
MOST_COLOURS = 24
REST: Colour = (150, 150, 150)
"""Parts beyond MOST_COLOURS, and those without a partner."""

_GROUND = 255
_DISTANCE, _FOV_DEG = 6.0, 26.0
_POINT_RADIUS = 0.02
_ROW_PX, _LEGEND_PX = 22, 260


def part_colours(parts: Sequence[Part]) -> list[Colour]:
    """A colour for each part, the first MOST_COLOURS all different, then REST."""
    count = min(len(parts), MOST_COLOURS)
    return [*keypoint_colours(count), *[REST] * (len(parts) - count)]


def draw_parts(
    root: Part, size: int = 480, azimuth_deg: float = 215.0, elevation_deg: float = 25.0
) -> np.ndarray:
    """A model seen from its front and one side, each of its leaves in a colour, with a legend.

    Args:    root: in the object frame; a cloud is drawn as small octahedra.  size: of the model's
             picture, px.  azimuth_deg: about +Y; 0 looks from +Z, at its back.
    Returns: (size, size + legend, 3) uint8 RGB.
    Raises:  ValueError: nothing to draw.  RenderingError: no graphics system.
    """
    leaves = root.leaves()
    colours = part_colours(leaves)
    shown = list(zip(leaves, colours, strict=True))[:MOST_COLOURS]
    rows = [(part.name, colour) for part, colour in shown]
    if len(leaves) > MOST_COLOURS:
        rows.append((f"{len(leaves) - MOST_COLOURS} more", REST))
    picture = _render(
        root,
        {id(part): c for part, c in zip(leaves, colours, strict=True)},
        size,
        azimuth_deg,
        elevation_deg,
    )
    return np.concatenate([picture, _legend(rows, size)], axis=1)


def draw_correspondence(
    first: Part,
    second: Part,
    found: Correspondence,
    size: int = 420,
    azimuth_deg: float = 215.0,
    elevation_deg: float = 25.0,
) -> np.ndarray:
    """Two models beside each other, parts that correspond in one colour, the others grey.

    Args, raises: as draw_parts.
    Returns: (size, 2 size + legend, 3) uint8 RGB.
    """
    matched = {id(match.first) for match in found.matches}
    # Where children correspond, they have the colours, and a child without a partner is grey.
    matches = [
        match
        for match in found.matches
        if not matched & {id(below) for _, below in list(match.first.walk())[1:]}
    ]
    colours = part_colours([match.first for match in matches])
    of_part: dict[int, Colour] = {}
    for match, colour in zip(matches, colours, strict=True):
        for part in (match.first, match.second):
            of_part |= {id(below): colour for _, below in part.walk()}
    pictures = [
        _render(root, of_part, size, azimuth_deg, elevation_deg) for root in (first, second)
    ]
    rows = [
        (f"{match.first.name} = {match.second.name}", colour)
        for match, colour in zip(matches[:MOST_COLOURS], colours, strict=False)
    ]
    if len(matches) > MOST_COLOURS or found.only_first or found.only_second:
        rows.append(("without a partner, or more", REST))
    return np.concatenate([*pictures, _legend(rows, size)], axis=1)


def _render(
    root: Part,
    colours: Mapping[int, Colour],
    size: int,
    azimuth_deg: float,
    elevation_deg: float,
) -> np.ndarray:
    """The model on white, (size, size, 3); a part without a colour of its own is REST."""
    meshes = []
    for _, part in root.walk():
        if not len(part.vertices):
            continue
        corners = part.vertices[part.faces] if len(part.faces) else _beads(part.vertices)
        meshes.append(_coloured(corners, colours.get(id(part), REST)))
    if not meshes:
        raise ValueError(f"{root.name}: it has no faces and no points to draw")
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    level = np.cos(elevation)
    direction = [level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth)]
    eye = _DISTANCE * np.array([direction])
    T_world2cam = np.eye(4)
    T_world2cam[:3, :3] = look_at(eye)[0]
    T_world2cam[:3, 3] = -T_world2cam[:3, :3] @ eye[0]
    with ViewRenderer(size, size) as renderer:
        K_px = intrinsics(_FOV_DEG, (size, size))
        rgba = renderer.render(Model(root.name, meshes), T_world2cam, K_px).astype(np.float64)
    return (
        np.round(rgba[..., :3] + (1 - rgba[..., 3:] / 255) * _GROUND).clip(0, 255).astype(np.uint8)
    )


def _coloured(corners: np.ndarray, colour: Colour) -> trimesh.Trimesh:
    n_faces = len(corners)
    rgba = np.broadcast_to(np.array([*colour, 255], np.uint8), (n_faces, 3, 4)).copy()
    untextured = np.full(n_faces, UNTEXTURED)
    (mesh,) = build_meshes(Soup(corners, rgba, np.zeros((n_faces, 3, 2)), untextured, []))
    return mesh


def _beads(points: np.ndarray) -> np.ndarray:
    """An octahedron round each point. Returns: (8 n, 3, 3) corners."""
    tips = _POINT_RADIUS * np.concatenate([np.eye(3), -np.eye(3)])
    faces = [(x, y, z) for x in (0, 3) for y in (1, 4) for z in (2, 5)]
    return np.asarray((points[:, None, None] + tips[np.array(faces)]).reshape(-1, 3, 3))


def _legend(rows: Sequence[tuple[str, Colour]], height: int) -> np.ndarray:
    """A patch of colour and a name in each row, as many as fit. (height, _LEGEND_PX, 3)."""
    legend = np.full((height, _LEGEND_PX, 3), _GROUND, np.uint8)
    fitting = max(1, (height - 8) // _ROW_PX)
    if len(rows) > fitting:
        rows = [*rows[: fitting - 1], (f"and {len(rows) - fitting + 1} more", (255, 255, 255))]
    font = cv2.FONT_HERSHEY_SIMPLEX
    for k, (name, colour) in enumerate(rows):
        top = 6 + k * _ROW_PX
        legend[top : top + 14, 8:28] = colour
        text = name if len(name) <= 30 else f"{name[:18]}...{name[-9:]}"
        cv2.putText(legend, text, (36, top + 12), font, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return legend
