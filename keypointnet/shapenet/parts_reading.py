"""The part tree of whatever a MODEL argument names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keypointnet.shapenet.materials import ModelError
from keypointnet.shapenet.models import V1_FILE, V2_FILE, Model, ModelRef, model_folder
from keypointnet.shapenet.parts import Part, part_of_corners
from keypointnet.shapenet.parts_metadata import apply_attributes, find_metadata, read_attributes
from keypointnet.shapenet.parts_obj import read_mesh_parts
from keypointnet.shapenet.parts_partnet import TREE_FILES, read_partnet_parts, shapenet_id
from keypointnet.shapenet.parts_shapenetpart import read_shapenet_part
from keypointnet.views.sources import find_sources


def read_parts(
    model: str,
    by: str = "auto",
    labels: Path | None = None,
    metadata: Path | None = None,
    weight_unit: str = "N",
) -> Part:
    """The part tree of a model, with what metadata say of it.

    Args:    model: a PartNet folder or tree file; a ShapeNetPart cloud, .pts or .txt; one mesh, or
             a folder that holds one; or one parametric model, such as "chair:7-8".
             by: how a mesh is taken apart, see `read_mesh_parts`.
             labels: the .seg file of a .pts, where it lies elsewhere; of nothing else.
             metadata: ShapeNetSem's metadata.csv; if None, one in the model's folder or above,
             which, where it cannot be read or has no such model, is only noted.
             weight_unit: of its column weight, see `read_attributes`.
    Raises:  ModelError (a ValueError), naming the file: see the reader of each kind; or the folder
             holds several models, or labels are given to what has none.
    """
    path = Path(model)
    if labels is not None and path.suffix.lower() != ".pts":
        raise ModelError(f"{model}: has no file of labels, as a .pts cloud has; got {labels}")
    if _is_partnet(path):
        root = read_partnet_parts(path)
        folder = path if path.is_dir() else path.parent
        model_id = shapenet_id(folder) or folder.name
    elif path.suffix.lower() in (".pts", ".txt"):
        root = read_shapenet_part(path, labels)
        model_id = root.name
    else:
        root, path = _read_mesh_or_family(model, by)
        model_id = root.name
    table = metadata or (find_metadata(path) if path.exists() else None)
    if table is None:
        return root
    try:
        attributes = read_attributes(table, model_id, weight_unit)
    except ModelError as error:
        if metadata is not None:
            raise
        root.notes.append(f"no attributes: {error}")
        return root
    if attributes is not None:
        apply_attributes(root, attributes)
    else:
        root.notes.append(f"no attributes: {table} has no row of {model_id}")
    return root


def labelled_parts(model: Model) -> Part:
    """The parts of a parametric model: its labels, over the pieces that each is built of.

    Raises:  ValueError: a model without part labels.
    """
    mesh = model.meshes[0]
    parts = mesh.metadata.get("parts")
    if parts is None:
        raise ValueError(f"labelled_parts: {model.id} has no part labels; is it parametric?")
    corners = np.asarray(mesh.vertices, dtype=np.float64)[mesh.faces]
    root = Part(model.id, notes=["parts are the family's own"])
    for number, name in enumerate(parts["names"]):
        inside = parts["face_part"] == number
        pieces = [
            part_of_corners(f"piece {k}", corners[inside & (parts["face_piece"] == piece)])
            for k, piece in enumerate(np.unique(parts["face_piece"][inside]), 1)
        ]
        if len(pieces) == 1:
            pieces[0].name = name
            root.children += pieces
        else:
            root.children.append(Part(name, children=pieces))
    return root


def _is_partnet(path: Path) -> bool:
    if path.is_dir():
        return (path / "objs").is_dir() or any((path / name).is_file() for name in TREE_FILES)
    return path.suffix.lower() == ".json"


def _read_mesh_or_family(model: str, by: str) -> tuple[Part, Path]:
    """The parts, and the file; of a parametric model, a name that no file has."""
    if model.lower().endswith(".zip"):
        raise ModelError(f"{model}: unpack the archive and name the model's folder in it")
    sources = find_sources(model)
    if len(sources) > 1:
        first = sources[0]
        one = first.path or f"{first.family}:{first.seed}-{first.seed + 1}"
        raise ModelError(f"{model}: {len(sources)} models; name one of them, such as {one}")
    source = sources[0]
    if source.path is None:
        return labelled_parts(source.make()), Path(model)
    path, name = source.path, source.id
    if path == Path(model) and path.name in (V1_FILE, V2_FILE[-1]):
        name = model_folder(path.absolute()).name  # the file is named alike in every model
    return read_mesh_parts(ModelRef(name, path), by), path
