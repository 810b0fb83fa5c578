"""The faces of an OBJ file with the object, group and material that each stands under.

The reader of models asks trimesh for what a mesh looks like; here looks do not matter, but whose
each face is, which trimesh does not keep apart from the material. Format: Wavefront's "Object Files
(.obj)", appendix B1, as far as v, f, o, g, usemtl and mtllib go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keypointnet.shapenet.materials import (
    EmptyModelError,
    ModelError,
    OwnFolderResolver,
    text_of,
)
from keypointnet.shapenet.polygons import triangulate


@dataclass(frozen=True)
class ObjFaces:
    """Triangles of an OBJ file.

    corners:   (F, 3, 3) float64, as they lie in the file.
    labels:    (F, 3) int: places among names of the face's object, group and material.
    names:     what o, g and usemtl said; "" is first and stands for nothing said.
    libraries: what mtllib said.
    """

    corners: np.ndarray
    labels: np.ndarray
    names: list[str]
    libraries: list[str]


def read_obj_faces(path: Path) -> ObjFaces:
    """Read positions, faces, groups and the names of materials.

    Raises: ModelError, naming the file and the line: unreadable, a coordinate that is no finite
            number, or a face of a vertex that does not exist.  EmptyModelError: no faces.
    """
    try:
        text = text_of(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    points: list[list[float]] = []
    triangles: list[list[int]] = []
    labels: list[tuple[int, int, int]] = []
    names: dict[str, int] = {"": 0}
    libraries: list[str] = []
    now = [0, 0, 0]
    slot = {"o": 0, "g": 1, "usemtl": 2}
    for number, line in enumerate(
        text.replace("\\\r\n", "  ").replace("\\\n", "  ").splitlines(), 1
    ):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        if key == "v":
            try:
                points.append([float(word) for word in rest.split()[:3]])
            except ValueError:
                points.append([])
            if len(points[-1]) != 3 or not all(map(math.isfinite, points[-1])):
                raise ModelError(f"{path}, line {number}: expected v and 3 numbers, found {line!r}")
        elif key == "f":
            face = _face_indices(rest, len(points), f"{path}, line {number}")
            for fan in _triangles(face, points):
                triangles.append(fan)
                labels.append((now[0], now[1], now[2]))
        elif key in slot:
            now[slot[key]] = names.setdefault(rest.strip(), len(names))
        elif key == "mtllib":
            libraries.append(rest.strip())
    if not triangles:
        raise EmptyModelError(f"{path}: no faces")
    corners = np.array(points, dtype=np.float64)[np.array(triangles)]
    return ObjFaces(corners, np.array(labels), list(names), libraries)


def check_materials_lie_inside(faces: ObjFaces, path: Path, folder: Path) -> list[str]:
    """Look whether the materials and textures that an OBJ names lie in the model's own folder.

    Args:    folder: the model's own.
    Returns: notes, one for each file that is missing.
    Raises:  ModelError: a name leads out of the folder, whether or not there is such a file.
    """
    resolver = OwnFolderResolver(path, folder)
    notes = []
    names = list(dict.fromkeys(faces.libraries))
    while names:
        name = names.pop()
        try:
            data = resolver.get(name)
        except FileNotFoundError:
            notes.append(f"texture or material file {name} is missing")
            continue
        except ModelError as error:
            raise ModelError(f"{path}: its material or texture {error}") from error
        if name.lower().endswith(".mtl"):
            lines = (line.strip().split(None, 1) for line in text_of(data).splitlines())
            found = (words[1] for words in lines if len(words) == 2 and words[0] == "map_Kd")
            names += list(dict.fromkeys(found))
    return notes


def _face_indices(rest: str, n_points: int, place: str) -> list[int]:
    """Places among the points so far, from 0; a face counts from 1, or back from -1."""
    words = rest.split()
    try:
        counted = [int(word.partition("/")[0]) for word in words]
    except ValueError:
        raise ModelError(f"{place}: expected f and vertex numbers, found 'f {rest}'") from None
    indices = [k - 1 if k > 0 else n_points + k for k in counted]
    if any(not 0 <= index < n_points for index in indices) or 0 in counted:
        raise ModelError(
            f"{place}: a face names a vertex that does not exist; there are {n_points} before it, "
            f"found 'f {rest}'"
        )
    return indices


def _triangles(face: list[int], points: list[list[float]]) -> list[list[int]]:
    if len(face) == 3:
        return [face]
    if len(face) < 3:
        return []
    cut = triangulate(np.array([points[index] for index in face]))
    return [[face[corner] for corner in triangle] for triangle in cut.tolist()]
