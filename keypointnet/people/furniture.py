"""Things that stand in the way of people, and what they sit on: chairs, tables, boxes, posts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh

from keypointnet.people.contact import Surface
from keypointnet.shapenet.models import Model
from keypointnet.shapes import make_model
from keypointnet.shapes.chair_points import CHAIR_POINTS, chair_points
from keypointnet.shapes.materials import MATERIALS, pick_colour

KINDS = ("chair", "table", "box", "post")
_SAMPLES = 500
_CHAIR_M = (0.75, 1.1)  # how high chairs are


@dataclass(frozen=True)
class Thing:
    """A piece of furniture in the object frame: metres, standing on y = 0.

    Attributes:
        seat_m: the height of a chair's seat; 0 for others.
    """

    id: str
    model: Model
    surface: Surface
    seat_m: float = 0.0


def make_thing(name: str, kind: str, rng: np.random.Generator) -> Thing:
    """A thing of one of KINDS. Raises: ValueError: no such kind."""
    if kind not in KINDS:
        raise ValueError(f"make_thing: no kind {kind!r}; there are {', '.join(KINDS)}")
    if kind == "chair":
        return _chair(name, rng)
    if kind == "table":
        width, depth, height = rng.uniform((0.6, 0.5, 0.45), (1.5, 0.8, 0.95))
        leg = rng.uniform(0.03, 0.06)
        parts = [_box((width, 0.04, depth), (0, height - 0.02, 0))]
        for x in (-1, 1):
            for z in (-1, 1):
                at = (x * (width - leg) / 2, height / 2 - 0.02, z * (depth - leg) / 2)
                parts.append(_box((leg, height - 0.04, leg), at))
    elif kind == "box":
        size = rng.uniform((0.4, 0.3, 0.3), (1.2, 1.1, 0.6))
        parts = [_box(size, (0, size[1] / 2, 0))]
    else:
        radius, height = rng.uniform(0.04, 0.13), rng.uniform(1.2, 3.0)
        post = trimesh.creation.cylinder(radius, height, sections=20)
        post.apply_transform([[1, 0, 0, 0], [0, 0, 1, height / 2], [0, -1, 0, 0], [0, 0, 0, 1]])
        parts = [post]
    return _thing(name, parts, rng)


def make_seat(name: str, height_m: float, rng: np.random.Generator) -> Thing:
    """A block to sit on."""
    width, depth = rng.uniform(0.36, 0.6), rng.uniform(0.34, 0.5)
    return _thing(name, [_box((width, height_m, depth), (0, height_m / 2, 0))], rng)


def _box(size: tuple[float, ...] | np.ndarray, at: tuple[float, float, float]) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(size)
    mesh.apply_translation(at)
    return mesh


def _thing(name: str, parts: list[trimesh.Trimesh], rng: np.random.Generator) -> Thing:
    mesh: Any = trimesh.util.concatenate(parts)
    corners = mesh.faces.ravel()
    normals = np.repeat(mesh.face_normals, 3, axis=0)  # edges are sharp
    colour = pick_colour(rng, str(rng.choice(MATERIALS)), wild=0.2)
    rgba = np.append(np.rint(255 * np.asarray(colour)), 255).astype(np.uint8)
    drawn = trimesh.Trimesh(
        mesh.vertices[corners],
        np.arange(len(corners)).reshape(-1, 3),
        vertex_normals=normals,
        process=False,
        validate=False,
    )
    drawn.visual = trimesh.visual.ColorVisuals(vertex_colors=np.tile(rgba, (len(corners), 1)))
    return Thing(name, Model(name, [drawn]), _sampled(mesh, rng))


def _sampled(mesh: Any, rng: np.random.Generator) -> Surface:
    points, faces = trimesh.sample.sample_surface(mesh, _SAMPLES, seed=int(rng.integers(2**31)))
    return Surface(np.asarray(points), np.asarray(mesh.face_normals[faces]))


def _chair(name: str, rng: np.random.Generator) -> Thing:
    model = make_model("chair", int(rng.integers(100_000)))
    points = chair_points(model)
    low = min(mesh.bounds[0, 1] for mesh in model.meshes)
    high = max(mesh.bounds[1, 1] for mesh in model.meshes)
    scale = rng.uniform(*_CHAIR_M) / (high - low)
    meshes = []
    for mesh in model.meshes:
        normals = np.array(mesh.vertex_normals)
        moved = trimesh.Trimesh(
            (mesh.vertices - [0, low, 0]) * scale,
            mesh.faces,
            vertex_normals=normals,
            visual=mesh.visual,
            process=False,
            validate=False,
        )
        meshes.append(moved)
    seats = [i for i, point in enumerate(CHAIR_POINTS.names) if "seat" in point]
    seat = (np.nanmean(points[seats, 1]) - low) * scale
    surface = _sampled(
        trimesh.util.concatenate([m.copy(include_visual=False) for m in meshes]), rng
    )
    return Thing(name, Model(name, meshes), surface, float(seat))
