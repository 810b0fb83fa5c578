"""From a model's meshes to the vertex arrays that are drawn. Pure numpy, no graphics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh

DEFAULT_COLOUR = (180, 180, 180, 255)


@dataclass(frozen=True)
class DrawGroup:
    """Vertices that are drawn in one call.

    Attributes:
        positions: (V, 3) float32, world.
        normals: (V, 3) float32; on either side of the surface, any length but 0.
        colours: (V, 4) uint8, sRGB.
        uv: (V, 2) float32, v up; or None without a texture.
        texture: (h, w, 4) uint8 sRGB, first row at v = 1; or None.
        indices: (F, 3) uint32.
        closed: they enclose a volume, all wound anticlockwise as seen from outside, as the mesh's
            metadata say: {"closed": True}. Faces seen from within are not drawn: others hide them.
    """

    positions: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    uv: np.ndarray | None
    texture: np.ndarray | None
    indices: np.ndarray
    closed: bool = False


def draw_groups(meshes: list[trimesh.Trimesh]) -> list[DrawGroup]:
    """Everything untextured in one group, then one group for each textured mesh.

    Each further group costs a draw call for every view. A texture without coordinates is replaced
    by the material's colour; with them, the texture alone gives the colour.
    Args:    meshes: of one model, in world coordinates, with the normals they are shaded by.
    Returns: groups with at least one face each.
    Raises:  ValueError: no mesh has a face, or a coordinate is not finite.
    """
    groups = [_group(mesh) for mesh in meshes if len(mesh.faces)]
    if not groups:
        raise ValueError("it has no faces")
    if not all(np.isfinite(group.positions).all() for group in groups):
        raise ValueError("a vertex coordinate is not finite (NaN or infinite)")
    plain = [group for group in groups if group.texture is None]
    textured = [group for group in groups if group.texture is not None]
    return ([_merge(plain)] if plain else []) + textured


def _merge(groups: list[DrawGroup]) -> DrawGroup:
    sizes = [len(group.positions) for group in groups]
    starts = np.cumsum([0, *sizes[:-1]]).astype(np.uint32)
    return DrawGroup(
        positions=np.concatenate([group.positions for group in groups]),
        normals=np.concatenate([group.normals for group in groups]),
        colours=np.concatenate([group.colours for group in groups]),
        uv=None,
        texture=None,
        indices=np.concatenate(
            [group.indices + start for group, start in zip(groups, starts, strict=True)]
        ),
        closed=all(group.closed for group in groups),
    )


def _group(mesh: trimesh.Trimesh) -> DrawGroup:
    positions = np.asarray(mesh.vertices, dtype=np.float32)
    normals = np.array(mesh.vertex_normals, dtype=np.float32)
    # a vertex without a face that has an area: any normal will do, but 0 cannot be normalised
    length = np.linalg.norm(normals, axis=1)
    normals[~(length > 1e-6)] = (0.0, 1.0, 0.0)
    indices = np.asarray(mesh.faces, dtype=np.uint32)
    visual: Any = mesh.visual
    texture, uv = _texture(mesh)
    colours = np.tile(np.array(DEFAULT_COLOUR, dtype=np.uint8), (len(positions), 1))
    if texture is not None:
        colours[:] = 255
    elif visual.kind == "vertex":
        colours = np.array(visual.vertex_colors, dtype=np.uint8)
    elif visual.kind == "face":  # a vertex of each face's own
        colours = np.repeat(np.asarray(visual.face_colors, dtype=np.uint8), 3, axis=0)
        positions, normals = positions[indices.ravel()], normals[indices.ravel()]
        indices = np.arange(len(positions), dtype=np.uint32).reshape(-1, 3)
    elif visual.kind == "texture":
        main = np.asarray(getattr(visual.material, "main_color", None))
        if main.shape == (4,):
            colours[:] = main
    closed = bool(mesh.metadata.get("closed"))
    colours = np.ascontiguousarray(colours)
    return DrawGroup(positions, normals, colours, uv, texture, indices, closed)


def _texture(mesh: trimesh.Trimesh) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The picture (h, w, 4) and the coordinates (V, 2); (None, None) unless both are there."""
    visual: Any = mesh.visual
    if visual.kind != "texture" or visual.uv is None or len(visual.uv) != len(mesh.vertices):
        return None, None
    image = getattr(visual.material, "image", None)
    if image is None:
        image = getattr(visual.material, "baseColorTexture", None)
    uv = np.asarray(visual.uv, dtype=np.float32)
    if image is None or uv.ndim != 2 or uv.shape[1] < 2 or not np.isfinite(uv).all():
        return None, None
    return np.asarray(image.convert("RGBA"), dtype=np.uint8), np.ascontiguousarray(uv[:, :2])
