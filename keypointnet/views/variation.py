"""New shapes and colours from a model: smooth space warps and recoloured materials, for training.

Convention: the object frame (+Y up, front -Z, x left/right). A variation keeps up, front, left and
right where they are, and a mirror-symmetric model stays so; see `keypointnet.shapes.warps`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from keypointnet.shapenet.models import Model
from keypointnet.shapenet.surfaces import normalisation
from keypointnet.shapes.materials import MATERIALS, pick_colour, random_colour
from keypointnet.shapes.warps import SpaceWarp, carried_normals
from keypointnet.views.generate import model_rng, variant_id


def vary_model(model: Model, rng: np.random.Generator, strength: float = 1.0) -> Model:
    """A deformed, recoloured copy of a model; the model itself is left as it is.

    Args:    rng: decides everything. strength: 0 changes nothing but normalises; 1 is meant for
             training; above 1.5 shapes become caricatures.
    Returns: a normalised model of the same id, faces, part labels and points. A texture may have
             become plain colours: its faces then follow those of the first, coloured mesh.
    Raises:  ValueError: strength is negative or not finite.
    """
    if not (np.isfinite(strength) and strength >= 0):
        raise ValueError(f"vary_model: strength must be finite and >= 0, received {strength}")
    before = [np.asarray(mesh.vertices, dtype=np.float64) for mesh in model.meshes]
    warp = SpaceWarp(np.abs(np.concatenate(before)).max(axis=0), rng, strength)
    after = [warp(points) for points in before]
    centre, scale = normalisation(np.concatenate(after))
    meshes = []
    for mesh, points, moved in zip(model.meshes, before, after, strict=True):
        normals = carried_normals(warp, points, np.asarray(mesh.vertex_normals), moved)
        vertices, faces = (moved - centre) * scale, np.array(mesh.faces)
        meshes.append(_mesh(vertices, faces, normals, _own_look(mesh), mesh.metadata))
    if rng.random() < strength:
        meshes = _recoloured(meshes, rng)
    known = None if model.points is None else (warp(model.points) - centre) * scale
    return Model(model.id, meshes, list(model.notes), known)


def variant_of(model: Model, variant: int, seed: int, strength: float) -> Model:
    """The variant of a model that a store has: 0 is the model itself.

    Args:    seed, strength: the store's, see `generate.RenderSettings`.
    """
    if variant == 0:
        return model
    name = variant_id(model.id, variant)
    return replace(vary_model(model, model_rng(seed, name, "variation"), strength), id=name)


def _mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    normals: np.ndarray,
    visual: ColorVisuals | TextureVisuals,
    metadata: dict,
) -> trimesh.Trimesh:
    return trimesh.Trimesh(
        vertices,
        faces,
        vertex_normals=normals,
        visual=visual,
        metadata=dict(metadata),
        process=False,
        validate=False,
    )


def _own_look(mesh: trimesh.Trimesh) -> ColorVisuals | TextureVisuals:
    """A copy of a mesh's colours; of a texture, the picture itself is shared (never written to)."""
    if isinstance(mesh.visual, TextureVisuals):
        return TextureVisuals(uv=np.array(mesh.visual.uv), material=mesh.visual.material)
    return ColorVisuals(vertex_colors=_rgba(mesh))


def _rgba(mesh: trimesh.Trimesh) -> np.ndarray:
    assert isinstance(mesh.visual, ColorVisuals)
    return np.array(mesh.visual.vertex_colors, dtype=np.uint8)


def _recoloured(meshes: list[trimesh.Trimesh], rng: np.random.Generator) -> list[trimesh.Trimesh]:
    """New colours for meshes that are ours to change."""
    mode = str(
        rng.choice(
            ["keep", "nuance", "materials", "parts", "wild", "one"],
            p=[0.1, 0.2, 0.35, 0.15, 0.12, 0.08],
        )
    )
    if mode == "keep":
        return meshes
    plain, kept = [], []
    for mesh in meshes:
        visual = mesh.visual
        if not isinstance(visual, TextureVisuals):
            mesh.visual = ColorVisuals(vertex_colors=_new_colours(mesh, mode, rng))
            plain.append(mesh)
        elif rng.random() < 0.5 or _has_alpha(visual):
            mesh.visual = _tinted(visual, rng)
            kept.append(mesh)
        else:
            colour = pick_colour(rng, str(rng.choice(MATERIALS)), wild=0.2)
            grey = np.append(np.round(colour * 255), 255).astype(np.uint8)
            mesh.visual = ColorVisuals(vertex_colors=np.tile(grey, (len(mesh.vertices), 1)))
            if mode in ("parts", "wild", "materials"):
                mesh.visual = ColorVisuals(vertex_colors=_new_colours(mesh, "parts", rng))
            plain.append(mesh)
    return [*_merged(plain), *kept]


def _has_alpha(visual: TextureVisuals) -> bool:
    image = getattr(visual.material, "image", None)
    return image is not None and image.mode in ("RGBA", "LA")


def _merged(meshes: list[trimesh.Trimesh]) -> list[trimesh.Trimesh]:
    """Coloured meshes as one, the first one's faces first."""
    if len(meshes) < 2:
        return meshes
    start = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    visual = ColorVisuals(vertex_colors=np.concatenate([_rgba(mesh) for mesh in meshes]))
    return [
        _mesh(
            np.concatenate([mesh.vertices for mesh in meshes]),
            np.concatenate([m.faces + k for m, k in zip(meshes, start, strict=True)]),
            np.concatenate([mesh.vertex_normals for mesh in meshes]),
            visual,
            {},
        )
    ]


def _new_colours(mesh: trimesh.Trimesh, mode: str, rng: np.random.Generator) -> np.ndarray:
    """Per-vertex RGBA (V, 4) uint8 after a recolouring; alpha is kept."""
    rgba = _rgba(mesh)
    old = rgba[:, :3] / 255.0
    if mode == "nuance":
        new = old @ _colour_turn(rng, 0.25).T
    elif mode == "parts":
        group, count = _part_groups(mesh, rng)
        new = np.stack([_some_colour(rng, 0.15) for _ in range(count)])[group]
    else:
        cluster, centres = _colour_clusters(rgba)
        if mode == "one":
            targets = np.tile(_some_colour(rng, 0.2), (len(centres), 1))
            targets = targets * rng.uniform(0.9, 1.1, size=(len(centres), 1))
        else:
            wild = 1.0 if mode == "wild" else 0.1
            targets = np.stack([_some_colour(rng, wild) for _ in centres])
        new = targets[cluster] + 0.7 * (old - centres[cluster])
    rgba[:, :3] = np.round(np.clip(new, 0.0, 1.0) * 255)
    return rgba


def _some_colour(rng: np.random.Generator, wild: float) -> np.ndarray:
    if rng.random() < wild:
        return random_colour(rng)
    return pick_colour(rng, str(rng.choice(MATERIALS)), wild=0.0)


def _colour_clusters(rgba: np.ndarray, radius: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Groups of alike colours: cluster of each vertex (V,), and centres (C, 3) in 0..1."""
    coarse = (rgba[:, :3] >> 3).astype(np.int64)
    key = (coarse[:, 0] << 16) + (coarse[:, 1] << 8) + coarse[:, 2]
    _, first, which, count = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    colours = rgba[first, :3] / 255.0
    centres: list[np.ndarray] = []
    label = np.zeros(len(colours), dtype=np.int64)
    for index in np.argsort(-count, kind="stable"):
        if centres:
            gap = np.abs(np.stack(centres) - colours[index]).max(axis=1)
            nearest = int(np.argmin(gap))
            if gap[nearest] < radius or len(centres) >= 24:
                label[index] = nearest
                continue
        label[index] = len(centres)
        centres.append(colours[index])
    return label[which.reshape(-1)], np.stack(centres)


def _part_groups(mesh: trimesh.Trimesh, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Two or three groups of connected parts, alike parts (and mirror images) together.

    Returns: group of each vertex (V,), and the number of groups.
    """
    points, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    grid = np.round((points + 4.0) / 1e-3).astype(np.int64)
    _, place = np.unique((grid[:, 0] << 42) + (grid[:, 1] << 21) + grid[:, 2], return_inverse=True)
    place = place.reshape(-1)
    ends = place[faces]
    size = int(place.max()) + 1
    edges = coo_matrix(
        (
            np.ones(2 * len(faces), dtype=np.int8),
            (np.concatenate([ends[:, 0], ends[:, 1]]), np.concatenate([ends[:, 1], ends[:, 2]])),
        ),
        shape=(size, size),
    )
    n_parts, part_of_place = connected_components(edges, directed=False)
    part = part_of_place[place]
    low = np.full((n_parts, 3), np.inf)
    high = np.full((n_parts, 3), -np.inf)
    np.minimum.at(low, part, points)
    np.maximum.at(high, part, points)
    centre = (low + high) / 2
    centre[:, 0] = np.abs(centre[:, 0])
    features = np.concatenate([centre, high - low], axis=1)
    score = features @ rng.normal(size=6)
    count = int(rng.integers(2, 4))
    cuts = np.sort(rng.uniform(score.min(), score.max() + 1e-6, size=count - 1))
    return np.searchsorted(cuts, np.round(score, 6))[part], count


def _colour_turn(rng: np.random.Generator, spread_rad: float) -> np.ndarray:
    """A random (3, 3) matrix on RGB columns: turn of the hue, saturation, gain."""
    angle = rng.uniform(-spread_rad, spread_rad)
    saturation, gain = rng.uniform(0.3, 1.2), np.exp(rng.normal(0, 0.25))
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    chroma = np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross
    return np.asarray(gain * (grey + saturation * chroma))


def _tinted(visual: TextureVisuals, rng: np.random.Generator) -> TextureVisuals:
    """The texture with another hue, saturation and gain."""
    image = getattr(visual.material, "image", None)
    if image is None:
        return visual
    spread = 0.15 if rng.random() < 0.5 else np.pi
    matrix = np.concatenate([_colour_turn(rng, spread), np.zeros((3, 1))], axis=1)
    picture = image.convert("RGB").convert("RGB", tuple(float(v) for v in matrix.reshape(-1)))
    if _has_alpha(visual):
        picture.putalpha(image.getchannel("A"))
    material = SimpleMaterial(image=picture, diffuse=[255] * 4, ambient=[255] * 4)
    return TextureVisuals(uv=visual.uv, material=material)
