"""Pieces put together into one model with colours and part labels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import trimesh

from keypointnet.shapenet.models import Model
from keypointnet.shapes.primitives import Piece, mirrored


class Assembly:
    """A list of coloured, labelled pieces that becomes a `Model`.

    Part names are kept in the order of their first use; `build` writes them, with the part of each
    face and the piece (leg, slat, ...) that it belongs to, to `meshes[0].metadata["parts"] =
    {"names": [...], "face_part": (F,) int, "face_piece": (F,) int}`.

    Attributes:
        on_column: it stands on one column, not on legs; `build` writes it to metadata["on_column"].
    """

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._parts: list[int] = []
        self._colours: list[np.ndarray] = []
        self._names: list[str] = []
        self.on_column = False

    def add(self, part: str, colour: np.ndarray, *pieces: Piece, both: bool = False) -> None:
        """Add pieces of one part and colour ((3,) sRGB in 0..1); both: and their mirror images."""
        if part not in self._names:
            self._names.append(part)
        rgba = np.append(np.round(np.clip(colour, 0, 1) * 255), 255).astype(np.uint8)
        for piece in _with_mirrors(pieces) if both else pieces:
            self._pieces.append(piece)
            self._parts.append(self._names.index(part))
            self._colours.append(rgba)

    def tilt(self, angle_rad: float) -> None:
        """Lean everything added so far backwards by an angle about the x axis."""
        c, s = np.cos(angle_rad), np.sin(angle_rad)
        turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        self._pieces = [Piece(p.vertices @ turn.T, p.faces) for p in self._pieces]

    def build(self, model_id: str) -> Model:
        """The model: one mesh, bounding box centred at the origin, longest side 2."""
        n_vertices = [len(p.vertices) for p in self._pieces]
        n_faces = [len(p.faces) for p in self._pieces]
        start = np.cumsum([0, *n_vertices[:-1]])
        vertices = np.concatenate([p.vertices for p in self._pieces])
        faces = np.concatenate([p.faces + k for p, k in zip(self._pieces, start, strict=True)])
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        vertices = (vertices - (low + high) / 2) * (2 / (high - low).max())
        mesh = trimesh.Trimesh(
            vertices,
            faces,
            process=False,
            vertex_colors=np.repeat(self._colours, n_vertices, axis=0),
        )
        mesh.metadata["parts"] = {
            "names": list(self._names),
            "face_part": np.repeat(np.array(self._parts, dtype=np.int64), n_faces),
            "face_piece": np.repeat(np.arange(len(n_faces)), n_faces),
        }
        mesh.metadata["on_column"] = self.on_column
        return Model(id=model_id, meshes=[mesh])


def _with_mirrors(pieces: Iterable[Piece]) -> list[Piece]:
    return [p for piece in pieces for p in (piece, mirrored(piece))]
