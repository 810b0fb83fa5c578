"""Triangle soups to clean meshes: degenerate and double faces, crease normals, merged vertices.

A soup lists the three corners of every face on their own, so that nothing depends on how a file
shared its vertices. F = faces, V = vertices; a corner is one of the 3 F (face, vertex) pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from keypointnet.shapenet.materials import EmptyModelError

CREASE_DEG = 40.0
MAX_FAN = 64  # corners at one point; above it the point is shaded flat (pairs grow with the square)
UNTEXTURED = -1


@dataclass(frozen=True)
class Soup:
    """Faces as separate corners.

    corners: (F, 3, 3) float64 positions; the winding is as the file has it.
    rgba:    (F, 3, 4) uint8, used where texture is UNTEXTURED.
    uv:      (F, 3, 2) float64 in texture units, v up; zeros where untextured.
    texture: (F,) int, index into images, or UNTEXTURED.
    images:  the pictures.
    """

    corners: np.ndarray
    rgba: np.ndarray
    uv: np.ndarray
    texture: np.ndarray
    images: list[Image.Image]

    def moved(self, corners: np.ndarray) -> Soup:
        """The same faces with other positions."""
        return Soup(corners, self.rgba, self.uv, self.texture, self.images)

    def keep(self, mask_or_order: np.ndarray) -> Soup:
        """The faces that a boolean mask or an index array selects."""
        return Soup(
            self.corners[mask_or_order],
            self.rgba[mask_or_order],
            self.uv[mask_or_order],
            self.texture[mask_or_order],
            self.images,
        )


def normalise_points(points: np.ndarray) -> np.ndarray:
    """Bounding box centred at the origin, longest side scaled to [-1, 1].

    Args:    points: (..., 3), at least one point.
    Returns: the same shape, float64.
    Raises:  ValueError: a coordinate is not finite.  EmptyModelError: all points coincide.
    """
    points = np.asarray(points, dtype=np.float64)
    centre, scale = normalisation(points)
    return (points - centre) * scale


def normalisation(points: np.ndarray) -> tuple[np.ndarray, float]:
    """What `normalise_points` does, for other points to follow: (points - centre) * scale.

    Args, Raises: of `normalise_points`.
    Returns: centre (3,) and scale.
    """
    points = np.asarray(points, dtype=np.float64)
    if not np.isfinite(points).all():
        raise ValueError("a vertex has a NaN or infinite coordinate")
    flat = points.reshape(-1, 3)
    low, high = flat.min(axis=0), flat.max(axis=0)
    side = float((high - low).max())
    if not np.isfinite(side) or side <= 1e-12 * max(1.0, float(np.abs(flat).max())):
        raise EmptyModelError("the model has no extent (all of its vertices coincide)")
    return low + (high - low) / 2, 2.0 / side


def point_ids(corners: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
    """Number the distinct positions of a normalised soup.

    Args:    corners: (F, 3, 3) in [-1, 1].  tolerance: grid step under which positions are one.
    Returns: (F, 3) int64, equal where positions are equal on the grid.
    """
    grid = np.round((corners.reshape(-1, 3) + 1.5) / tolerance).astype(np.int64)
    # at 1e-6 each axis is below 3e6 < 2**22: no exact packing in 64 bits, so two steps
    _, yz = np.unique(grid[:, 1] * (1 << 32) + grid[:, 2], return_inverse=True)
    _, ids = np.unique(grid[:, 0] * (1 << 32) + yz.reshape(-1), return_inverse=True)
    return ids.reshape(-1, 3).astype(np.int64)


def clean_faces(soup: Soup, tolerance: float = 1e-6) -> Soup:
    """The faces of `kept_faces`, in their order; there may be none."""
    return soup.keep(kept_faces(soup, tolerance))


def kept_faces(soup: Soup, tolerance: float = 1e-6) -> np.ndarray:
    """Which faces are left without those that have no area, and with one of each over three points.

    Doubled faces (one for each winding, common in ShapeNet) fight for the same depth and speckle a
    double-sided picture. Of several, a textured one is kept before a plain one, then the first.

    Args:    soup: normalised.
    Returns: (K,) int, rising.
    """
    ids = point_ids(soup.corners, tolerance)
    distinct = (ids[:, 0] != ids[:, 1]) & (ids[:, 1] != ids[:, 2]) & (ids[:, 2] != ids[:, 0])
    edges = soup.corners[:, 1:] - soup.corners[:, :1]
    double_area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    usable = np.flatnonzero(distinct & (double_area > 1e-13))
    order = usable[np.argsort(soup.texture[usable] == UNTEXTURED, kind="stable")]
    key = np.sort(ids[order], axis=1)
    _, pair = np.unique(key[:, 1] * (1 << 32) + key[:, 2], return_inverse=True)
    _, first = np.unique(key[:, 0] * (1 << 32) + pair.reshape(-1), return_index=True)
    return np.asarray(np.sort(order[first]))


def crease_normals(
    corners: np.ndarray, ids: np.ndarray, crease_deg: float = CREASE_DEG
) -> np.ndarray:
    """Normal of every corner: smooth over faces that meet within the crease angle, else flat.

    A corner's normal is the mean of the face normals at its point, weighted by the angle there,
    over the faces within crease_deg of its own face. Faces wound the other way count with their
    normal turned, since files mix windings; the result always agrees with its own face's winding.

    Args:    corners: (F, 3, 3).  ids: (F, 3) int, equal where corners share a point.
    Returns: (F, 3, 3) unit normals, float64.
    """
    n_faces = len(corners)
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    face_normals = _unit(np.cross(ab, ac))
    forward = _unit(np.roll(corners, -1, axis=1) - corners)
    backward = _unit(np.roll(corners, 1, axis=1) - corners)
    angle = np.arccos(np.clip((forward * backward).sum(axis=2), -1.0, 1.0)).reshape(-1)

    flat_ids = ids.reshape(-1)
    order = np.argsort(flat_ids, kind="stable")
    _, start, count = np.unique(flat_ids[order], return_index=True, return_counts=True)
    small = count <= MAX_FAN
    start, count = start[small], count[small]
    # every ordered pair (me, other) of corners at one point
    fan_of_me = np.repeat(np.arange(len(start)), count)
    me = order[_ranges(start, count)]
    repeats = count[fan_of_me]
    pair_me = np.repeat(me, repeats)
    pair_other = order[_ranges(start[fan_of_me], repeats)]

    cosine = np.einsum("ij,ij->i", face_normals[pair_me // 3], face_normals[pair_other // 3])
    weight = np.where(np.abs(cosine) >= np.cos(np.deg2rad(crease_deg)), np.sign(cosine), 0.0)
    weight *= angle[pair_other]
    total = np.zeros((3 * n_faces, 3))
    used = weight != 0
    for axis in range(3):
        total[:, axis] = np.bincount(
            pair_me[used],
            weights=weight[used] * face_normals[pair_other[used] // 3, axis],
            minlength=3 * n_faces,
        )
    flat = np.repeat(face_normals, 3, axis=0)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-9, total / np.maximum(length, 1e-9), flat).reshape(-1, 3, 3)


def build_meshes(soup: Soup, crease_deg: float = CREASE_DEG) -> list[trimesh.Trimesh]:
    """One mesh of all the untextured faces (per-vertex RGBA), then one for each texture in use.

    Args:    soup: clean and normalised.
    Returns: meshes with explicit vertex normals; equal corners share a vertex.
    """
    ids = point_ids(soup.corners)
    normals = crease_normals(soup.corners, ids, crease_deg)
    meshes = []
    for texture in np.unique(soup.texture):
        chosen = soup.texture == texture
        points = soup.corners[chosen].reshape(-1, 3)
        corner_normals = normals[chosen].reshape(-1, 3)
        rgba = soup.rgba[chosen].reshape(-1, 4)
        uv = soup.uv[chosen].reshape(-1, 2)
        if texture == UNTEXTURED:
            look = np.ascontiguousarray(rgba).view(np.uint32).reshape(-1).astype(np.int64)
        else:
            look = _pair_ids(*(np.round(uv * 2**14).astype(np.int64)).T)
        direction = np.round((corner_normals + 1.0) * 255).astype(np.int64)
        turn = (direction[:, 0] * 1024 + direction[:, 1]) * 1024 + direction[:, 2]
        key = _pair_ids(_pair_ids(ids[chosen].reshape(-1), look), turn)
        _, first, faces = np.unique(key, return_index=True, return_inverse=True)
        visual: ColorVisuals | TextureVisuals
        if texture == UNTEXTURED:
            visual = ColorVisuals(vertex_colors=rgba[first])
        else:
            white = [255, 255, 255, 255]
            material = SimpleMaterial(image=soup.images[texture], diffuse=white, ambient=white)
            visual = TextureVisuals(uv=uv[first], material=material)
        meshes.append(
            trimesh.Trimesh(
                vertices=points[first],
                faces=faces.reshape(-1, 3),
                vertex_normals=corner_normals[first],
                visual=visual,
                process=False,
                validate=False,
            )
        )
    return meshes


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-300))


def _ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """start[0], start[0] + 1, … (count[0] of them), then start[1], …"""
    if len(count) == 0:
        return np.zeros(0, dtype=np.int64)
    before = np.concatenate([[0], np.cumsum(count)[:-1]])
    return np.asarray(np.arange(count.sum()) + np.repeat(start - before, count))


def _pair_ids(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One id for each distinct pair of integers."""
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    return np.asarray(a.reshape(-1).astype(np.int64) * (int(b.max(initial=0)) + 1) + b.reshape(-1))
