"""PartNet's part trees: a folder with result.json and the meshes that it names in objs/.

The tree file holds a list with one root; a node is {"id", "name", "text", "objs", "children"}, of
which each has "name" and either "children" or "objs": names, without suffix, of meshes in objs/
that are together the part. Many meshes may make one part. In result_after_merging.json, nodes with
children also list the meshes of everything below them. meta.json beside it names the ShapeNet
model.

Source: the README and scripts of daerduoCarey/partnet_dataset (Mo et al. 2019, "PartNet"), read for
the layout and the keys; that meta.json has the key "model_id" is from memory. No file of PartNet
itself was at hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.listing import listed
from keypointnet.shapenet.materials import ModelError
from keypointnet.shapenet.obj_faces import read_obj_faces
from keypointnet.shapenet.parts import Part, part_of_corners
from keypointnet.shapenet.surfaces import normalise_points

TREE_FILES = ("result.json", "result_after_merging.json")
MAX_DEPTH = 64


@dataclass
class _Node:
    """A node of the tree file. objs: of the node alone, not of those below it."""

    name: str
    objs: list[str]
    children: list[_Node] = field(default_factory=list)


def read_partnet_parts(path: Path) -> Part:
    """The part tree of a PartNet model.

    Args:    path: the model's folder (whose result.json is taken, if it has one), or a tree file.
    Returns: the root, named as the file names it; a node's own faces are those of meshes that no
             node below it has. Scaled and centred into the object frame, turned nowhere.
    Raises:  ModelError, naming the file and the node: no tree file; not a list with one root; a
             node without a name, or with neither children nor objs; a name that leads out of
             objs/; meshes that are missing (they are listed); a mesh that cannot be read.
    """
    path = Path(path)
    there = [path / name for name in TREE_FILES if (path / name).is_file()]
    tree_file = [*there, path / TREE_FILES[0]][0] if path.is_dir() else path
    root = _read_tree(tree_file)
    folder = tree_file.parent / "objs"
    names = list(dict.fromkeys(_objs_below(root)))
    _require_meshes(tree_file, folder, names)
    faces = {name: read_obj_faces(folder / f"{name}.obj").corners for name in names}
    try:
        moved = normalise_points(np.concatenate(list(faces.values())))
    except ValueError as error:
        raise ModelError(f"{tree_file}: {error}") from error
    stops = np.cumsum([len(corners) for corners in faces.values()])[:-1]
    part = _part(root, dict(zip(faces, np.split(moved, stops), strict=True)))
    part.notes.append(f"parts are those of {tree_file.name}")
    return part


def shapenet_id(folder: Path) -> str:
    """The ShapeNet model that a PartNet folder was made from, or "" where meta.json tells none."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    name = meta.get("model_id") if isinstance(meta, dict) else None
    return name if isinstance(name, str) else ""


def _read_tree(tree_file: Path) -> _Node:
    try:
        value = json.loads(tree_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{tree_file}: cannot be read ({error.strerror}); a PartNet folder holds "
            f"{' or '.join(TREE_FILES)} and objs/"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{tree_file}: expected PartNet's part tree as JSON: {error}") from error
    if not isinstance(value, list) or len(value) != 1:
        found = f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__
        raise ModelError(f"{tree_file}: expected a list with one root node, found {found}")
    return _node(value[0], str(tree_file), 0)


def _node(value: Any, place: str, depth: int) -> _Node:
    """A checked node; place: the file, and the names of the nodes above."""
    if not isinstance(value, dict):
        raise ModelError(f"{place}: expected a node {{name, objs or children}}, found {value!r}")
    name = value.get("name") or value.get("text")
    if not isinstance(name, str):
        raise ModelError(f"{place}: a node (id {value.get('id')!r}) has no name")
    place = f"{place}{': ' if not depth else '/'}{name}"
    if depth > MAX_DEPTH:
        raise ModelError(f"{place}: more than {MAX_DEPTH} levels of parts")
    objs, below = value.get("objs", []), value.get("children", [])
    if not isinstance(objs, list) or not all(isinstance(obj, str) for obj in objs):
        raise ModelError(f"{place}: expected objs to be a list of names, found {objs!r}")
    if not isinstance(below, list):
        raise ModelError(f"{place}: expected children to be a list, found {below!r}")
    if not objs and not below:
        raise ModelError(f"{place}: a part with neither children nor objs; the tree is incomplete")
    for obj in objs:
        if not obj or any(sign in obj for sign in "/\\:\0") or obj.startswith("."):
            raise ModelError(
                f"{place}: the mesh {obj!r} would lie outside the model's folder objs; expected "
                "the name of a file in it without .obj"
            )
    children = [_node(child, place, depth + 1) for child in below]
    inner = {obj for child in children for obj in _objs_below(child)}
    return _Node(name, [obj for obj in objs if obj not in inner], children)


def _objs_below(node: _Node) -> list[str]:
    return [*node.objs, *(obj for child in node.children for obj in _objs_below(child))]


def _require_meshes(tree_file: Path, folder: Path, names: list[str]) -> None:
    missing = [name for name in names if not (folder / f"{name}.obj").is_file()]
    if missing:
        files = listed([f"{name}.obj" for name in missing], 5)
        raise ModelError(
            f"{tree_file}: {len(missing)} of {len(names)} meshes that the tree names are missing "
            f"from {folder}: {files}; copy the model's whole objs folder there"
        )


def _part(node: _Node, corners: dict[str, np.ndarray]) -> Part:
    own = [corners[name] for name in node.objs]
    part = part_of_corners(node.name, np.concatenate(own)) if own else Part(node.name)
    part.children = [_part(child, corners) for child in node.children]
    return part
