"""Closed mesh pieces that furniture is made of: lofts, bars, tubes, slabs, sheets, pillows.

Convention: metres, +Y up, x left/right, outlines in (x, z) unless said otherwise. Every piece is
closed with faces wound outwards. Vertices are shared where a surface should shade smoothly and
repeated where it has an edge, so vertex normals computed from the faces look right as they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keypointnet.shapes.curves import Points

_TINY = 1e-9


class Piece(NamedTuple):
    """A closed triangle mesh: vertices (V, 3) float64 and faces (F, 3) int64, wound outwards."""

    vertices: np.ndarray
    faces: np.ndarray


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume enclosed by a closed mesh; negative if its faces are wound inwards."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6.0)


def _outwards(vertices: np.ndarray, faces: np.ndarray) -> Piece:
    centred = vertices - vertices.mean(axis=0)
    if signed_volume(centred, faces) < 0:
        faces = faces[:, ::-1]
    return Piece(vertices, faces)


@lru_cache(maxsize=256)
def _grid_faces(rows: int, cols: int, wrap_rows: bool, wrap_cols: bool) -> np.ndarray:
    """Triangles of a rows x cols vertex grid, row-major, optionally joined end to end."""
    index = np.arange(rows * cols).reshape(rows, cols)
    if wrap_rows:
        index = np.concatenate([index, index[:1]])
    if wrap_cols:
        index = np.concatenate([index, index[:, :1]], axis=1)
    a, b = index[:-1, :-1], index[:-1, 1:]
    c, d = index[1:, 1:], index[1:, :-1]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    return np.ascontiguousarray(faces.reshape(-1, 3))


@lru_cache(maxsize=256)
def _loft_faces(rows: int, cols: int, ring: bool, flat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Faces of a loft, and the loop vertex that each of its vertices copies (caps excluded)."""
    index = np.arange(rows * cols).reshape(rows, cols)
    if flat:  # each side is a strip with its own two columns of vertices
        pairs = np.stack([index, np.roll(index, -1, axis=1)], axis=-1)  # (rows, cols, 2)
        source = pairs.transpose(1, 0, 2).reshape(-1)
        strip = _grid_faces(rows, 2, ring, False)
        faces = (strip[None] + (2 * rows * np.arange(cols))[:, None, None]).reshape(-1, 3)
    else:
        source = index.reshape(-1)
        faces = _grid_faces(rows, cols, ring, True)
    if not ring:
        n_side = len(source)
        around = np.arange(cols)
        fan = np.stack([np.full(cols, cols), np.roll(around, -1), around], axis=1)
        faces = np.concatenate([faces, fan + n_side, fan[:, ::-1] + n_side + cols + 1])
    return source, faces


def loft(loops: Points, ring: bool = False, flat: bool = False) -> Piece:
    """Surface through a stack of closed loops, capped at both ends.

    Args:    loops: (L, m, 3), each loop star-shaped about its mean. ring: the last loop joins the
             first, no caps. flat: the m sides meet in edges (bars) instead of shading smoothly.
    Returns: a closed piece with 2 m (L - 1) side faces (2 m L for a ring) and 2 m cap faces.
    Raises:  ValueError: loops is not (L >= 2, m >= 3, 3).
    """
    loops = np.asarray(loops, dtype=np.float64)
    if loops.ndim != 3 or loops.shape[0] < 2 or loops.shape[1] < 3 or loops.shape[2] != 3:
        raise ValueError(f"loft: loops must be (L >= 2, m >= 3, 3), received {loops.shape}")
    rows, cols = loops.shape[:2]
    source, faces = _loft_faces(rows, cols, ring, flat)
    vertices = loops.reshape(-1, 3)[source]
    if not ring:
        ends = [loops[0], loops[0].mean(0)[None], loops[-1], loops[-1].mean(0)[None]]
        vertices = np.concatenate([vertices, *ends])
    return _outwards(vertices, faces)


def _frames(path: np.ndarray, up: np.ndarray, ring: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two unit normals along a path: one towards up as far as possible, one across it."""
    if ring:
        tangent = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    else:
        tangent = np.empty_like(path)
        tangent[1:-1] = path[2:] - path[:-2]
        tangent[0], tangent[-1] = path[1] - path[0], path[-1] - path[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + _TINY
    normal = up - (tangent @ up)[:, None] * tangent
    if (np.einsum("ij,ij->i", normal, normal) < 0.1 * (up @ up)).any():
        # Somewhere the path runs along up: carry the first normal along it instead.
        normal[0] += 1e-6 * np.roll(tangent[0], 1)
        for k in range(1, len(path)):
            normal[k] = normal[k - 1] - (normal[k - 1] @ tangent[k]) * tangent[k]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + _TINY
    return normal, np.cross(tangent, normal)


def _auto_up(path: np.ndarray) -> np.ndarray:
    """The axis that the path comes least close to running along."""
    steps = np.diff(path, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True) + _TINY
    return np.eye(3)[int(np.argmin(np.abs(steps).max(axis=0)))]


@lru_cache(maxsize=32)
def _circle(sides: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(sides) / sides
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def tube(path: Points, radius: ArrayLike, sides: int = 10, ring: bool = False) -> Piece:
    """Round tube along a path.

    Args:    path: (n, 3) m. radius: m, scalar or (n,), (turned legs, tapers). ring: closed path.
    """
    path = np.asarray(path, dtype=np.float64)
    normal, across = _frames(path, _auto_up(path), ring)
    radius = np.broadcast_to(np.asarray(radius, dtype=np.float64), (len(path),))
    ring_xy = _circle(sides)
    offset = ring_xy[None, :, :1] * normal[:, None] + ring_xy[None, :, 1:] * across[:, None]
    return loft(path[:, None] + radius[:, None, None] * offset, ring=ring)


def bar(
    path: Points, size_up: ArrayLike, size_across: ArrayLike, up: Points | None = None
) -> Piece:
    """Bar of rectangular section along a path, with sharp edges.

    Args:    path: (n, 3) m. size_up: extent along `up`, size_across: extent across it, m, scalar
             or (n,). up: (3,) direction not parallel to the path; default: the axis it runs least.
    """
    path = np.asarray(path, dtype=np.float64)
    up_axis = _auto_up(path) if up is None else np.asarray(up, dtype=np.float64)
    normal, across = _frames(path, up_axis, ring=False)
    half_up = np.broadcast_to(np.asarray(size_up, dtype=np.float64) / 2, (len(path),))
    half_across = np.broadcast_to(np.asarray(size_across, dtype=np.float64) / 2, (len(path),))
    signs = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], dtype=np.float64)
    offset = (
        signs[None, :, :1] * (half_up[:, None] * normal)[:, None]
        + signs[None, :, 1:] * (half_across[:, None] * across)[:, None]
    )
    return loft(path[:, None] + offset, flat=True)


def box(size: Points, centre: Points) -> Piece:
    """Axis-aligned box with sharp edges: size (3,), centre (3,)."""
    size, centre = np.asarray(size, dtype=np.float64), np.asarray(centre, dtype=np.float64)
    half = np.array([0.0, size[1] / 2, 0.0])
    return bar([centre - half, centre + half], size[0], size[2], up=(1.0, 0.0, 0.0))


def slab(
    outline: np.ndarray, bottom: float, top: float, edge: float = 0.0, dome: float = 0.0
) -> Piece:
    """Horizontal plate of any star-shaped outline, its rim rounded over.

    Args:    outline: (m, 2) x, z. bottom, top: y, m. edge: radius of the rounding, m. dome: height
             of the crown above `top` in the middle, m; negative for a dished seat.
    """
    edge = float(np.clip(edge, 0.0, 0.49 * (top - bottom)))
    if edge <= 0.001:
        heights, insets = np.array([bottom, top]), np.zeros(2)
    else:
        angle = np.linspace(0, np.pi / 2, 3)
        rise, inset = edge * (1 - np.cos(angle)), edge * (1 - np.sin(angle))
        heights = np.concatenate([bottom + rise, top - rise[::-1]])
        insets = np.concatenate([inset, inset[::-1]])
    shrink = np.ones_like(heights)
    if dome:
        shares = np.array([0.75, 0.45, 0.15])
        heights = np.concatenate([heights, top + dome * (1 - shares**2)])
        insets, shrink = (
            np.concatenate([a, b]) for a, b in ((insets, np.zeros(3)), (shrink, shares))
        )
    centre = outline.mean(axis=0)
    reach = np.linalg.norm(outline - centre, axis=1).mean() + _TINY
    loops = np.empty((len(heights), len(outline), 3))
    loops[..., [0, 2]] = centre + (outline - centre) * (shrink - insets / reach)[:, None, None]
    loops[..., 1] = heights[:, None]
    return loft(loops)


def sheet(grid: np.ndarray, thickness: ArrayLike) -> Piece:
    """Curved board or pad: a surface given by a grid of points, thickened along its normals.

    Args:    grid: (a, b, 3) m, a, b >= 2. thickness: m, scalar or (a, b); a small thickness at the
             border makes a pillow.
    """
    grid = np.asarray(grid, dtype=np.float64)
    a, b = grid.shape[:2]
    normal = np.cross(np.gradient(grid, axis=0), np.gradient(grid, axis=1))
    normal /= np.linalg.norm(normal, axis=2, keepdims=True) + _TINY
    half = np.broadcast_to(np.asarray(thickness, dtype=np.float64) / 2, (a, b))[..., None] * normal
    front, back = (grid + half).reshape(-1, 3), (grid - half).reshape(-1, 3)
    source, faces = _sheet_faces(a, b)
    return _outwards(np.concatenate([front, back])[source], faces)


@lru_cache(maxsize=64)
def _sheet_faces(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(a * b).reshape(a, b)
    rim = np.concatenate([index[0, :-1], index[:-1, -1], index[-1, :0:-1], index[:0:-1, 0]])
    source = np.concatenate([np.arange(2 * a * b), rim, rim + a * b])
    face = _grid_faces(a, b, False, False)
    strip = _grid_faces(2, len(rim), False, True)
    faces = [face, face[:, ::-1] + a * b, strip[:, ::-1] + 2 * a * b]
    return source, np.concatenate(faces)


@lru_cache(maxsize=8)
def _cube_lattice(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) int in 0..n-1 on the surface of an n^3 lattice, merged, and its faces."""
    u, v = (g.reshape(-1) for g in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    quads = _grid_faces(n, n, False, False)
    points: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    for axis in range(3):
        for side in (0, n - 1):
            point = np.empty((n * n, 3), dtype=np.int64)
            point[:, axis], point[:, (axis + 1) % 3], point[:, (axis + 2) % 3] = side, u, v
            faces.append((quads if side else quads[:, ::-1]) + n * n * len(points))
            points.append(point)
    unique, inverse = np.unique(np.concatenate(points), axis=0, return_inverse=True)
    return unique, inverse.reshape(-1)[np.concatenate(faces)]


def pillow(size: Points, centre: Points, radius: float, dome: float = 0.0, axis: int = 1) -> Piece:
    """Box with rounded edges and, if wanted, a crowned face: cushions and upholstered blocks.

    Args:    size, centre: (3,) m. radius: of the edges, m, clipped to half the shortest side.
             dome: how far the positive face of `axis` bulges out in its middle, m.
    """
    half = np.asarray(size, dtype=np.float64) / 2
    radius = float(min(radius, 0.98 * half.min()))
    index, faces = _cube_lattice(7)
    step = np.array([-1.0, -0.4142, 0.0, 0.0, 0.0, 0.4142, 1.0])  # tan of 45, 22.5, 0 degrees
    inner = half - radius
    side = np.array([-1.0, -1.0, -1.0, 0.0, 1.0, 1.0, 1.0])
    core = side[index] * inner
    direction = step[index]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + _TINY
    point = core + radius * direction
    if dome:
        crown = np.ones(len(point))
        for k in range(3):
            if k != axis:
                crown *= 1 - (point[:, k] / half[k]) ** 2
        point[:, axis] += dome * crown * (0.5 + 0.5 * point[:, axis] / half[axis])
    return _outwards(point + np.asarray(centre, dtype=np.float64), faces)


def transformed(piece: Piece, rotation: np.ndarray, pivot: ArrayLike) -> Piece:
    """Piece rotated by a (3, 3) matrix about a pivot (3,)."""
    pivot = np.asarray(pivot, dtype=np.float64)
    return Piece((piece.vertices - pivot) @ rotation.T + pivot, piece.faces)


def mirrored(piece: Piece) -> Piece:
    """Piece mirrored left to right (x negated), still wound outwards."""
    return Piece(piece.vertices * np.array([-1.0, 1.0, 1.0]), piece.faces[:, ::-1])
