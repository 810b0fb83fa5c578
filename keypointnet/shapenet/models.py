"""Models on disk: ShapeNetCore v1 and v2 trees, or any folder of meshes, read into one frame.

Convention: the object frame is ShapeNet's: +Y up, front -Z, X from side to side; the bounding box
is centred at the origin and its longest side is scaled to [-1, 1]. Colours are RGBA uint8.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from keypointnet.shapenet.ac3d import read_ac3d
from keypointnet.shapenet.materials import (
    EmptyModelError,
    ModelError,
    OwnFolderResolver,
    error_of_model,
    shrink_image,
    surface_look,
    text_of,
)
from keypointnet.shapenet.surfaces import (
    UNTEXTURED,
    Soup,
    build_meshes,
    clean_faces,
    normalisation,
    normalise_points,
)

__all__ = [
    "EmptyModelError",
    "Model",
    "ModelError",
    "ModelRef",
    "find_models",
    "folders_of",
    "load_model",
    "normalise_model",
]

AC3D_SUFFIXES = (".ac", ".acc")
SUFFIXES = (".obj", ".off", ".ply", ".glb", ".gltf", ".stl", *AC3D_SUFFIXES)
V2_FILE = ("models", "model_normalized.obj")
V1_FILE = "model.obj"


@dataclass(frozen=True)
class ModelRef:
    """A model that was found, not yet read. id: "synset/model", or its path below the root."""

    id: str
    path: Path


@dataclass
class Model:
    """A model in the object frame.

    meshes: one mesh with per-vertex RGBA of everything untextured, then one for each texture.
    notes:  what was repaired or left out while reading, one sentence each.
    points: (K, 3) of its parametric family, of those that know them from the making.
    """

    id: str
    meshes: list[trimesh.Trimesh]
    notes: list[str] = field(default_factory=list)
    points: np.ndarray | None = None


def folders_of(model_id: str) -> tuple[str, ...]:
    """The folders in an id, a model's categories from the root down: "synset/model" is in synset.

    No folder where the models are in the root itself.
    """
    return tuple(model_id.split("/")[:-1])


def find_models(root: Path) -> list[ModelRef]:
    """Find the models below a folder.

    A folder with models/model_normalized.obj (ShapeNetCore v2) or model.obj (v1) is one model,
    named by the folder's path below root, so "synset/model" in a whole tree. Every other mesh file
    is a model named by its path below root without suffix (with it, where two files would share
    a name). Folders that are links are followed, once each.

    Args:    root: a folder, or one mesh file.
    Returns: sorted by id.
    Raises:  ModelError: root does not exist, or holds no mesh that can be read.
    """
    root = Path(root)
    if root.is_file() and root.suffix.lower() in SUFFIXES:
        return [ModelRef(root.stem, root)]
    if not root.is_dir():
        raise ModelError(f"find_models: expected a folder of models, found none at {root}")
    found: dict[Path, list[Path]] = {}
    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        v2_file = here.joinpath(*V2_FILE)
        if v2_file.is_file() or V1_FILE in files:
            subfolders.clear()
            path = v2_file if v2_file.is_file() else here / V1_FILE
            name = here.relative_to(root) if here != root else Path(here.resolve().name)
            found.setdefault(name, []).append(path)
            continue
        for file in files:
            path = here / file
            if path.suffix.lower() in SUFFIXES and not file.startswith("."):
                found.setdefault(path.relative_to(root).with_suffix(""), []).append(path)
    refs = []
    for name, paths in found.items():
        for path in paths:
            alone = len(paths) == 1
            refs.append(ModelRef((name if alone else path.relative_to(root)).as_posix(), path))
    if not refs:
        raise ModelError(
            f"find_models: no model below {root}: expected synset/model/model.obj, "
            f"synset/model/models/model_normalized.obj, or files ending in {', '.join(SUFFIXES)}"
        )
    return sorted(refs, key=lambda ref: ref.id)


def load_model(ref: ModelRef) -> Model:
    """Read a model, clean it and bring it into the object frame.

    Faces without area and doubled faces are dropped; normals are recomputed with a crease angle of
    40 degrees; a texture that is missing or has no coordinates becomes a plain colour, with a note.
    The orientation is the file's own: the reader scales and centres, it never turns.

    Args:    ref: from find_models.
    Returns: the normalised model.
    Raises:  ModelError, naming the file and the reason: unreadable, a NaN or infinite vertex, or a
             material or texture outside the model's folder.
             EmptyModelError, one of these: an empty file, no faces, no area, or no extent.
    """
    return model_of_soup(ref, *read_soup(ref))


def read_soup(ref: ModelRef) -> tuple[Soup, list[str]]:
    """The faces of a model as they lie in its file, not cleaned, centred or scaled, and notes.

    Raises:  ModelError, naming the file and the reason; EmptyModelError: there are none.
    """
    if ref.path.suffix.lower() in AC3D_SUFFIXES:
        return read_ac3d_file(ref)
    return _read_other(ref)


def model_of_soup(ref: ModelRef, soup: Soup, notes: list[str]) -> Model:
    """Clean and normalise a soup of any size and place.

    Raises: ModelError, naming the file: a vertex is not finite.
            EmptyModelError: nothing with an area is left.
    """
    try:
        soup = clean_faces(soup.moved(normalise_points(soup.corners)))
        if len(soup.corners) == 0:
            raise EmptyModelError("every face is degenerate (no area)")
    except ValueError as error:
        raise error_of_model(f"{ref.id} ({ref.path})", error) from error
    if not soup.rgba[..., 3].any():
        soup.rgba[..., 3] = 255
        notes = [*notes, "every material is fully transparent: taken as opaque"]
    soup = soup.moved(normalise_points(soup.corners))
    return Model(ref.id, build_meshes(soup), list(dict.fromkeys(notes)))


def normalise_model(model: Model) -> Model:
    """Centre the bounding box at the origin and scale its longest side to [-1, 1].

    Returns: a copy; the given model is left as it is.
    Raises:  ModelError: a vertex is NaN or infinite.  EmptyModelError: no vertices, or no extent.
    """
    if not any(len(mesh.vertices) for mesh in model.meshes):
        raise EmptyModelError(f"model {model.id}: normalise_model: no vertices")
    stacked = np.concatenate([np.asarray(mesh.vertices, np.float64) for mesh in model.meshes])
    try:
        centre, scale = normalisation(stacked)
    except ValueError as error:
        raise error_of_model(model.id, error) from error
    vertices, meshes, start = (stacked - centre) * scale, [], 0
    for mesh in model.meshes:
        stop = start + len(mesh.vertices)
        # scaling and shifting leave normals as they are: carry them over, or trimesh drops them
        normals = np.array(mesh.vertex_normals)
        copy = mesh.copy()
        copy.vertices = vertices[start:stop]
        copy.vertex_normals = normals  # type: ignore[method-assign]
        meshes.append(copy)
        start = stop
    points = None if model.points is None else (model.points - centre) * scale
    return Model(model.id, meshes, list(model.notes), points)


def model_folder(path: Path) -> Path:
    """The folder that a model's materials and textures may lie in."""
    in_v2_layout = (path.parent.name, path.name) == V2_FILE
    return path.parent.parent if in_v2_layout else path.parent


def _read_other(ref: ModelRef) -> tuple[Soup, list[str]]:
    resolver = OwnFolderResolver(ref.path, model_folder(ref.path))
    try:
        return _soup_of_scene(_read_scene(ref.path, resolver), resolver)
    except ModelError as error:
        raise error_of_model(f"{ref.id} ({ref.path})", error) from error


def _read_scene(path: Path, resolver: OwnFolderResolver) -> trimesh.Scene:
    try:
        data = path.read_bytes()
        if not data:
            raise EmptyModelError("the file is empty")
        kind = path.suffix.lower()[1:]
        # trimesh would need another package to guess the encoding of an OBJ that is not UTF-8
        file = StringIO(text_of(data)) if kind == "obj" else BytesIO(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scene = trimesh.load_scene(file, file_type=kind, resolver=resolver, process=False)
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # any reader of any format: whatever it raises is "cannot be read"
        resolver.raise_refused()
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(error, ModuleNotFoundError):
            # Of what is no format it knows, trimesh asks another package for the encoding.
            reason = "its contents are of no kind that is known"
        raise ModelError(f"cannot be read as {path.suffix[1:]}: {reason}") from error
    resolver.raise_refused()
    return scene


def read_ac3d_file(ref: ModelRef) -> tuple[Soup, list[str]]:
    """The faces of an AC3D file as they lie in it, with textures from its folder, and notes.

    Raises: ModelError, naming the file and the reason.
    """
    resolver = OwnFolderResolver(ref.path, model_folder(ref.path))
    notes: list[str] = []

    def find_texture(name: str) -> Image.Image | None:
        try:
            with Image.open(BytesIO(resolver.get(name))) as image:
                return image.convert("RGB")
        except FileNotFoundError:
            notes.append(f"texture or material file {name} is missing")
        except (OSError, ValueError, SyntaxError) as error:
            resolver.raise_refused()
            notes.append(f"texture {name} cannot be decoded ({error})")
        return None

    try:
        return read_ac3d(ref.path.read_text(encoding="latin-1"), find_texture), notes
    except (OSError, ValueError) as error:
        raise error_of_model(f"{ref.id} ({ref.path})", error) from error


def _soup_of_scene(scene: trimesh.Scene, resolver: OwnFolderResolver) -> tuple[Soup, list[str]]:
    """All triangles of a scene, instances placed, with their looks."""
    corners, rgba, uv, texture = [], [], [], []
    images: list[Image.Image] = []
    known_images: dict[int, int] = {}
    notes = [f"texture or material file {name} is missing" for name in resolver.missing]
    notes += [
        f"texture {name} cannot be decoded: it is no picture" for name in resolver.no_pictures
    ]
    for node in scene.graph.nodes_geometry:
        T_mesh2world, name = scene.graph[node]
        mesh = scene.geometry[name]
        if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
            continue
        faces = np.asarray(mesh.faces)
        if faces.min() < 0 or faces.max() >= len(mesh.vertices):
            raise ModelError("a face names a vertex that does not exist")
        points = np.asarray(mesh.vertices, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # what is not finite is reported with the whole model
            points = points @ T_mesh2world[:3, :3].T + T_mesh2world[:3, 3]
        if np.linalg.det(T_mesh2world[:3, :3]) < 0:
            faces = faces[:, ::-1]
        look = surface_look(mesh, faces)
        notes += look.notes
        index = UNTEXTURED
        if look.image is not None:
            index = known_images.setdefault(id(look.source), len(images))
            if index == len(images):
                images.append(shrink_image(look.image))
        corners.append(points[faces])
        rgba.append(look.rgba)
        uv.append(look.uv if look.uv is not None else np.zeros((len(faces), 3, 2)))
        texture.append(np.full(len(faces), index))
    if not corners:
        raise EmptyModelError("no faces")
    soup = Soup(
        np.concatenate(corners),
        np.concatenate(rgba),
        np.concatenate(uv),
        np.concatenate(texture),
        images,
    )
    return soup, notes
