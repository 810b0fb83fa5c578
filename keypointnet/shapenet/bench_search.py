"""How good search is: precision@5 by category, for shapes and for pictures, against chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keypointnet.shapenet.model_views import ModelViews, cameras_at, rendered_views
from keypointnet.shapenet.models import Model, ModelError, ModelRef, find_models, load_model
from keypointnet.shapenet.near_duplicates import near_duplicates, shape_signature
from keypointnet.shapenet.picture_search import (
    ObjectPicture,
    PictureSettings,
    view_distances,
)
from keypointnet.shapenet.query_pictures import cut_out, off_ground
from keypointnet.shapenet.search import picture_table, shape_table
from keypointnet.shapenet.shape_descriptor import DescriptorSettings, describe_shape
from keypointnet.shapenet.shape_index import Table
from keypointnet.shapenet.surfaces import normalise_points
from keypointnet.views.backgrounds import made_up_background
from keypointnet.views.lights import random_lights

GROUNDS = ("white", "black", "room", "room, box", "room, mask")
"""What stands behind a picture's object, and what the search is told of where the object is."""


@dataclass(frozen=True)
class Collection:
    """Models of several categories, their ids in front of a slash."""

    refs: list[ModelRef]
    categories: np.ndarray
    groups: np.ndarray

    @property
    def names(self) -> list[str]:
        """Of the categories, in the order in which they came."""
        return list(dict.fromkeys(self.categories.tolist()))


def free_categories(root: Path) -> dict[str, list[ModelRef]]:
    """The free models, by category: chairs, other seats (most are sofas), aeroplanes, cars.

    Args:    root: with the folders chairs50, seats (which has the chairs, too), aeroplanes, cars.
    Raises:  ModelError: one of them is missing or empty.
    """
    found = {name: find_models(Path(root, name)) for name in ("chairs50", "seats")}
    chairs = {ref.id for ref in found["chairs50"]}
    return {
        "chairs": found["chairs50"],
        "other seats": [ref for ref in found["seats"] if ref.id not in chairs],
        "aeroplanes": find_models(Path(root, "aeroplanes")),
        "cars": find_models(Path(root, "cars")),
    }


def search_figures(
    categories: Mapping[str, Sequence[ModelRef]],
    *,
    index: Path | None = None,
    seed: int = 0,
    n: int = 5,
    pictures: bool = True,
    workers: int = 1,
) -> dict[str, object]:
    """Every model a query against all others; an answer is right if it is of the same category.

    Near-duplicates of a query (another livery of the same aeroplane) are no answers to it: they
    would make the task look easier than it is. Shapes are asked for as they are and once more
    turned by a random angle, read anew and sampled anew. Pictures are of cameras and lights that no
    view of the index has, one for each model, on every ground of `GROUNDS`.

    Args:    categories: name -> its models, at least two of each.
             index: keeps what is computed.  seed: of angles, cameras, lights and grounds.
             pictures: False leaves them out: they take most of the time.
    Returns: JSON: "models" and "chance" by category, "shape": "as it is", "turned" (precision@n by
             category and their mean), "same answers" (the part of answers that turning keeps),
             "found itself" (turned models whose nearest is the unturned one or a near-duplicate);
             "picture": each ground, by category, and "found itself" likewise.
    Raises:  ValueError: fewer than two models in a category, or a model that cannot be described.
    """
    collection, models = _collected(categories)
    settings = DescriptorSettings()
    table, reasons = shape_table(collection.refs, settings, index)
    _all_there(reasons)
    vectors = _rows(table, collection)
    figures: dict[str, object] = {
        "n": n,
        "models": {name: int((collection.categories == name).sum()) for name in collection.names},
        "chance": _chance(collection),
    }
    rng = np.random.default_rng(seed)
    again = DescriptorSettings(seed=settings.seed + 1)
    angles = rng.uniform(0, 2 * math.pi, len(models))
    turned = np.stack(
        [describe_shape(turned_model(m, a), again) for m, a in zip(models, angles, strict=True)]
    )
    as_it_is = _distances(vectors, vectors)
    of_turned = _distances(turned, vectors)
    first, second = (_answers(d, collection, n) for d in (as_it_is, of_turned))
    kept = [len(np.intersect1d(a, b)) / n for a, b in zip(first, second, strict=True)]
    figures["shape"] = {
        "as it is": _precision(first, collection),
        "turned": _precision(second, collection),
        "same answers": round(float(np.mean(kept)), 3),
        "found itself": _found_itself(of_turned, collection),
        "distance to itself turned": round(float(np.median(np.diag(of_turned))), 4),
        "distance to the nearest other": round(
            float(np.median(of_turned[np.arange(len(first)), first[:, 0]])), 4
        ),
    }
    if pictures:
        figures["picture"] = _picture_figures(collection, index, rng, n, workers)
    return figures


def turned_model(model: Model, angle_rad: float) -> Model:
    """A model turned about +Y, as a reader would find it in a file: its box normalised anew."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    stacked = np.concatenate([np.asarray(mesh.vertices) for mesh in model.meshes]) @ R.T
    points, start, meshes = normalise_points(stacked), 0, []
    for mesh in model.meshes:
        copy = mesh.copy()
        copy.vertices = points[start : start + len(mesh.vertices)]
        start += len(mesh.vertices)
        meshes.append(copy)
    return Model(model.id, meshes, list(model.notes))


def _collected(categories: Mapping[str, Sequence[ModelRef]]) -> tuple[Collection, list[Model]]:
    refs, names, models, reasons = [], [], [], {}
    for name, members in categories.items():
        if len(members) < 2:
            raise ValueError(
                f"search_figures: {name} has {len(members)} models, expected 2 or more"
            )
        for member in members:
            ref = ModelRef(f"{name}/{member.id}", member.path)
            refs.append(ref)
            names.append(name)
            try:
                models.append(load_model(ref))
            except ModelError as error:
                reasons[ref.id] = str(error)
    _all_there(reasons)
    signatures = {model.id: shape_signature(model) for model in models}
    group = {
        member: number
        for number, members in enumerate(near_duplicates(signatures))
        for member in members
    }
    groups = np.array([group[ref.id] for ref in refs])
    return Collection(refs, np.array(names), groups), models


def _all_there(reasons: Mapping[str, str]) -> None:
    if reasons:
        name, reason = next(iter(reasons.items()))
        raise ValueError(f"search_figures: {len(reasons)} models cannot be used; {name}: {reason}")


def _rows(table: Table, collection: Collection) -> np.ndarray:
    place = {name: row for row, name in enumerate(table.ids)}
    return table.vectors[[place[ref.id] for ref in collection.refs]]


def _distances(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(q, D), (n, D) -> (q, n), Euclidean."""
    return np.stack([np.linalg.norm(vectors - query, axis=1) for query in queries])


def _answers(distances: np.ndarray, collection: Collection, n: int) -> np.ndarray:
    """(N, N) -> (N, n): the nearest of other shapes."""
    allowed = collection.groups[:, None] != collection.groups[None]
    return np.argsort(np.where(allowed, distances, np.inf), axis=1, kind="stable")[:, :n]


def _precision(answers: np.ndarray, collection: Collection) -> dict[str, float]:
    right = collection.categories[answers] == collection.categories[:, None]
    figures = {
        name: float(right[collection.categories == name].mean()) for name in collection.names
    }
    figures["mean of categories"] = float(np.mean(list(figures.values())))
    return {name: round(value, 3) for name, value in figures.items()}


def _chance(collection: Collection) -> dict[str, float]:
    """The part of a category's models among those that may answer its queries."""
    allowed = collection.groups[:, None] != collection.groups[None]
    same = collection.categories[:, None] == collection.categories[None]
    share = (allowed & same).sum(axis=1) / np.maximum(allowed.sum(axis=1), 1)
    figures = {
        name: float(share[collection.categories == name].mean()) for name in collection.names
    }
    figures["mean of categories"] = float(np.mean(list(figures.values())))
    return {name: round(value, 3) for name, value in figures.items()}


def _found_itself(distances: np.ndarray, collection: Collection) -> float:
    nearest = distances.argmin(axis=1)
    return round(float((collection.groups[nearest] == collection.groups).mean()), 3)


def _picture_figures(
    collection: Collection, index: Path | None, rng: np.random.Generator, n: int, workers: int
) -> dict[str, object]:
    from keypointnet.shapenet.picture_vectors import picture_vectors  # loads torch

    settings = PictureSettings()
    table, reasons = picture_table(collection.refs, settings, index, workers)
    _all_there(reasons)
    vectors = _rows(table, collection)
    jobs = []
    for ref in collection.refs:
        azimuth, elevation = rng.uniform(0, 360), rng.uniform(5, 45)
        camera = cameras_at(
            [azimuth], [elevation], rng.uniform(6, 9), rng.uniform(32, 40), settings.size
        )
        jobs.append(ModelViews(ref, *camera, random_lights(rng)))
    places = {ref.id: place for place, ref in enumerate(collection.refs)}
    distances = {ground: np.zeros((len(jobs),) * 2) for ground in GROUNDS}
    for model_id, views in rendered_views(jobs, settings.size, workers):
        if isinstance(views, str):
            raise ValueError(f"search_figures: {model_id} cannot be seen: {views}")
        place = places[model_id]
        shown = [on_ground(views[0], ground, (place, 1)) for ground in GROUNDS]
        for ground, query in zip(GROUNDS, picture_vectors(shown, settings), strict=True):
            distances[ground][place] = view_distances(query, vectors)[0]
    return {
        ground: {
            **_precision(_answers(d, collection, n), collection),
            "found itself": _found_itself(d, collection),
        }
        for ground, d in distances.items()
    }


def on_ground(rgba: np.ndarray, ground: str, seed: tuple[int, ...]) -> ObjectPicture:
    """A rendered view as a picture file would show it, and what search makes of that.

    Args:    rgba: (h, w, 4) uint8, premultiplied.  ground: of `GROUNDS`.  seed: of a room.
    """
    h, w = rgba.shape[:2]
    room = ground.startswith("room")
    if room:
        behind = made_up_background((h, w), 0.6 * h, np.random.default_rng(seed))
    else:
        behind = np.full((h, w, 3), 255 if ground == "white" else 0, np.uint8)
    rest = 1 - rgba[..., 3:] / 255
    rgb = np.clip(np.rint(rgba[..., :3] + rest * behind), 0, 255).astype(np.uint8)
    if ground == "room, mask":
        return ObjectPicture(rgb, rgba[..., 3])
    if ground == "room, box":
        rows, columns = (np.flatnonzero((rgba[..., 3] > 127).any(axis=axis)) for axis in (1, 0))
        inside = np.zeros((h, w), np.uint8)
        inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 255
        return ObjectPicture(rgb, cut_out(rgb, inside))
    return ObjectPicture(rgb, off_ground(rgb))
