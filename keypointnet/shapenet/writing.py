"""Write a model in ShapeNetCore's v2 layout: models/model_normalized.obj, its .mtl, images/.

Such a folder is one model whatever else is in it. In a collection with the ids "a" and "a/b", "a"
is therefore a file beside its folder, a.glb, which has its textures in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import trimesh

from keypointnet.files import write_whole
from keypointnet.shapenet.models import V2_FILE, Model

FILE_SUFFIX = ".glb"


def collection_layout(ids: Iterable[str]) -> dict[str, Path]:
    """Where the models of a collection lie below its folder, so that `find_models` finds these ids.

    Returns: id → the path of its mesh: <id>/models/model_normalized.obj, or <id>.glb where other
             models lie in the folder <id>.
    Raises:  ValueError, naming the ids: they cannot all be found again.
    """
    ids = sorted(set(ids))
    # folder -> a model in it
    inside = {folder.as_posix(): name for name in ids for folder in PurePosixPath(name).parents}
    layout = {}
    for name in ids:
        if hidden := [part for part in name.split("/") if part.startswith(".")]:
            raise ValueError(
                f"{name}: a model below {hidden[0]} would not be found: names that begin with a "
                "dot are hidden; rename it"
            )
        file = name + FILE_SUFFIX
        if name in inside and (file in inside or file in ids):
            raise ValueError(
                f"{name} lies beside its own folder ({inside[name]}), and must be written as "
                f"{file}, which is the name of another model ({inside.get(file, file)}); rename "
                "one of them"
            )
        layout[name] = Path(file) if name in inside else Path(name, *V2_FILE)
    return layout


def write_model(model: Model, path: Path) -> None:
    """Write a model of a collection to a path of `collection_layout`; whole, or not at all."""
    if path.suffix != FILE_SUFFIX:
        write_shapenet_model(model, path.parents[1])
        return
    scene = trimesh.Scene()
    for number, mesh in enumerate(model.meshes):
        scene.add_geometry(mesh, geom_name=f"mesh{number}")
    write_whole(path, scene.export(file_type="glb"))


def write_shapenet_model(model: Model, folder: Path) -> Path:
    """Write a model; complete files only (the mesh is renamed into place last).

    Colours become one material each (rounded to 1/255), textures PNG files in ../images. Normals
    are not written: the reader makes its own.

    Args:    model: in the object frame.  folder: OUT/synset/model id.
    Returns: the path of model_normalized.obj.
    """
    mesh_folder, image_folder = folder / "models", folder / "images"
    mesh_folder.mkdir(parents=True, exist_ok=True)
    obj = ["mtllib model_normalized.mtl"]
    mtl: list[str] = []
    n_points, n_uv = 0, 0
    for number, mesh in enumerate(model.meshes):
        visual: Any = mesh.visual
        points, index = np.unique(np.round(mesh.vertices, 7), axis=0, return_inverse=True)
        faces = index.reshape(-1)[mesh.faces] + 1 + n_points
        n_points += len(points)
        obj += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in points.tolist()]
        if visual.kind == "texture":
            image_folder.mkdir(exist_ok=True)
            visual.material.image.save(image_folder / f"texture{number}.png")
            mtl += [f"newmtl texture{number}", "Kd 1 1 1", "d 1"]
            mtl += [f"map_Kd ../images/texture{number}.png", ""]
            obj.append(f"usemtl texture{number}")
            obj += [f"vt {u:.6g} {v:.6g}" for u, v in np.asarray(visual.uv).tolist()]
            uv = np.asarray(mesh.faces) + 1 + n_uv
            n_uv += len(mesh.vertices)
            obj += [
                f"f {a}/{ta} {b}/{tb} {c}/{tc}"
                for (a, b, c), (ta, tb, tc) in zip(faces.tolist(), uv.tolist(), strict=True)
            ]
            continue
        rgba = np.asarray(visual.vertex_colors)[mesh.faces].mean(axis=1).round()
        colours, colour_of = np.unique(rgba.astype(np.uint8), axis=0, return_inverse=True)
        for k, colour in enumerate(colours / 255.0):
            red, green, blue, opacity = (f"{c:.4f}" for c in colour)
            mtl += [f"newmtl colour{number}_{k}", f"Kd {red} {green} {blue}", f"d {opacity}", ""]
            obj.append(f"usemtl colour{number}_{k}")
            chosen = faces[colour_of.reshape(-1) == k].tolist()
            obj += [f"f {a} {b} {c}" for a, b, c in chosen]
    (mesh_folder / "model_normalized.mtl").write_text("\n".join(mtl) + "\n")
    target = mesh_folder / "model_normalized.obj"
    temporary = target.with_suffix(".obj.part")
    temporary.write_text("\n".join(obj) + "\n")
    os.replace(temporary, target)
    return target
