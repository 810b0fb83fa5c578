"""Parts of a mesh file: an OBJ's objects and groups, or else what hangs together.

Convention: the object frame of `keypointnet.shapenet.models`, into which the whole model is brought
first, so that a part lies where `load_model` would put it.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from keypointnet.shapenet.materials import EmptyModelError, ModelError, error_of_model
from keypointnet.shapenet.models import ModelRef, load_model, model_folder
from keypointnet.shapenet.obj_faces import ObjFaces, check_materials_lie_inside, read_obj_faces
from keypointnet.shapenet.parts import Part, part_of_corners, sorted_by_area
from keypointnet.shapenet.surfaces import (
    UNTEXTURED,
    Soup,
    kept_faces,
    normalise_points,
    point_ids,
)

WAYS = ("auto", "groups", "materials", "components")


def read_mesh_parts(ref: ModelRef, by: str = "auto") -> Part:
    """The parts of a mesh file.

    Args:    by: "groups" (an OBJ's o and g lines: objects, and their groups below them where one
             has several), "materials" (its usemtl lines), "components" (pieces of surface that
             share no point) or "auto": groups where there are at least two, else components.
    Returns: the whole, named by the model, over its parts, the largest first. Each part's material
             lists the names of its faces' materials.
    Raises:  ModelError, naming the file and the reason: see `read_obj_faces` and `load_model`; or
             the file has no groups or materials where they are asked for.
             ValueError: an unknown way.
    """
    if by not in WAYS:
        raise ValueError(f"read_mesh_parts: by is {by!r}, expected one of {', '.join(WAYS)}")
    if ref.path.suffix.lower() != ".obj":
        if by in ("groups", "materials"):
            raise ModelError(f"{ref.path}: only an OBJ file has {by}; ask for components")
        return _parts_of_model(ref)
    faces = read_obj_faces(ref.path)
    notes = check_materials_lie_inside(faces, ref.path, model_folder(ref.path))
    faces = _in_object_frame(faces, ref)
    if by == "auto":
        by = "groups" if len(np.unique(faces.labels[:, :2], axis=0)) > 1 else "components"
        way = "its groups" if by == "groups" else "connected components, as it has no groups"
        notes.append(f"parts are {way}")
    if by == "components":
        children = component_parts(faces.corners, faces.labels[:, 2], faces.names)
    elif by == "materials":
        children = _parts_by(faces, 2)
    else:
        children = _parts_by(faces, 0, 1)
    if not any(part.name for part in children):
        raise ModelError(f"{ref.path}: it has no {by}; ask for components")
    return Part(ref.id, children=children, notes=notes)


def component_parts(
    corners: np.ndarray, material: np.ndarray | None = None, names: list[str] | None = None
) -> list[Part]:
    """Pieces of surface that share no point with each other, the largest first.

    Points that coincide are one, whatever the file made of them.

    Args:    corners: (F, 3, 3), in the object frame.
             material: (F,) int, places among names, for the parts' materials.
    Returns: named "component 1" and so on.
    """
    label = component_labels(corners)
    parts = []
    for faces in _faces_of_each(label):
        used = "" if material is None else _joined(material[faces], names or [])
        parts.append(part_of_corners("", corners[faces], material=used))
    parts = sorted_by_area(parts)
    for number, part in enumerate(parts, 1):
        part.name = f"component {number}"
    return parts


def component_labels(corners: np.ndarray) -> np.ndarray:
    """For each face the number of the piece that it hangs together with. Returns: (F,) int."""
    ids = point_ids(corners)
    n_points = int(ids.max(initial=-1)) + 1
    rows, columns = ids[:, [0, 1]].ravel(), ids[:, [1, 2]].ravel()
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n_points, n_points))
    _, of_point = connected_components(graph, directed=False)
    return np.asarray(of_point[ids[:, 0]])


def _parts_of_model(ref: ModelRef) -> Part:
    model = load_model(ref)
    corners = np.concatenate([np.asarray(mesh.vertices)[mesh.faces] for mesh in model.meshes])
    notes = [*model.notes, "parts are connected components, as only OBJ files have groups"]
    return Part(ref.id, children=component_parts(corners), notes=notes)


def _in_object_frame(faces: ObjFaces, ref: ModelRef) -> ObjFaces:
    """The faces as `load_model` brings them into the object frame and cleans them."""
    try:
        corners = normalise_points(faces.corners)
        n_faces = len(corners)
        plain = np.zeros((n_faces, 3, 4), np.uint8)
        untextured = np.full(n_faces, UNTEXTURED)
        kept = kept_faces(Soup(corners, plain, plain[..., :2], untextured, []))
        if not len(kept):
            raise EmptyModelError("every face is degenerate (no area)")
        corners = normalise_points(corners[kept])
    except ValueError as error:
        raise error_of_model(f"{ref.id} ({ref.path})", error) from error
    return ObjFaces(corners, faces.labels[kept], faces.names, faces.libraries)


def _parts_by(faces: ObjFaces, column: int, below: int | None = None) -> list[Part]:
    """A part for each name in a column of the labels; parts below by another column."""
    labels = faces.labels
    if below is not None and len(np.unique(labels[:, column])) == 1:
        column, below = below, None  # one object around everything tells nothing
    parts = []
    for chosen in _faces_of_each(labels[:, column]):
        name = faces.names[labels[chosen[0], column]]
        material = _joined(labels[chosen, 2], faces.names)
        inner = np.unique(labels[chosen, below]) if below is not None else np.zeros(1)
        if len(inner) > 1:
            part = ObjFaces(faces.corners[chosen], labels[chosen], faces.names, [])
            parts.append(Part(name, children=_parts_by(part, below or 0), material=material))
        else:
            parts.append(part_of_corners(name, faces.corners[chosen], material=material))
    return sorted_by_area(parts)


def _faces_of_each(label: np.ndarray) -> list[np.ndarray]:
    """The places of each value of label, in the order of the values."""
    order = np.argsort(label, kind="stable")
    _, start = np.unique(label[order], return_index=True)
    return np.split(order, start[1:])


def _joined(labels: np.ndarray, names: list[str]) -> str:
    return ", ".join(names[k] for k in dict.fromkeys(labels.tolist()) if names[k])
