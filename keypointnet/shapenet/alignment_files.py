"""What an alignment leaves on disk: transforms.json, the turned models, a page of pictures.

OUT/transforms.json                       rotations and confidences, and what was left out
OUT/models/<id>/models/…, images/         the models, turned, in ShapeNetCore's v2 layout
OUT/models/                               and what lay beside them, see `companions`
OUT/page.html, OUT/pictures/              each model as given and as aligned, surest first
OUT/.unfinished/                          all of it, until it is complete
"""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from keypointnet.drawing import BACKGROUND, save_picture
from keypointnet.files import write_json, write_whole
from keypointnet.shapenet.alignment import CollectionAlignment
from keypointnet.shapenet.alignment_shapes import SurfaceSample
from keypointnet.shapenet.companions import Companions
from keypointnet.shapenet.models import Model, ModelRef, load_model, normalise_model
from keypointnet.shapenet.writing import collection_layout, write_model

MODELS, PICTURES, PAGE, TRANSFORMS = "models", "pictures", "page.html", "transforms.json"
UNFINISHED = ".unfinished"
CONVENTION = "X_aligned = rotation X; X as the reader gives it: +Y up, box centred"
PICTURE_PX = 128
VIEW_ELEVATION_RAD = np.deg2rad(25.0)
VIEW_AZIMUTH_RAD = np.deg2rad(35.0)


def turn_model(model: Model, R: np.ndarray) -> tuple[Model, np.ndarray]:
    """Turns a model about the origin, then centres and scales it again as the reader does.

    Args:    R: (3, 3), X_aligned = R X.
    Returns: a new model, and T_model2aligned, (4, 4): that rotation, one scale and a shift.
    """
    meshes = []
    for mesh in model.meshes:
        normals = np.array(mesh.vertex_normals)
        copy = mesh.copy()
        copy.vertices = np.asarray(mesh.vertices) @ R.T
        copy.vertex_normals = normals @ R.T  # type: ignore[method-assign]
        meshes.append(copy)
    turned = normalise_model(Model(model.id, meshes, list(model.notes)))
    points = np.concatenate([np.asarray(mesh.vertices) for mesh in model.meshes]) @ R.T
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 2.0 / float((high - low).max())
    T_model2aligned = np.eye(4)
    T_model2aligned[:3, :3] = scale * R
    T_model2aligned[:3, 3] = -scale * (low + high) / 2
    return turned, T_model2aligned


def splat(sample: SurfaceSample, R: np.ndarray, size: int = PICTURE_PX) -> np.ndarray:
    """A picture of a sample: its points from the front, above and to one side, lit by the viewer.

    Args:    R: (3, 3) turns the sample first.
    Returns: (size, size, 3) uint8.
    """
    c, s = np.cos(VIEW_AZIMUTH_RAD), np.sin(VIEW_AZIMUTH_RAD)
    R_side = np.array([[-c, 0, s], [0, 1, 0], [-s, 0, -c]])  # the viewer looks from -Z
    c, s = np.cos(VIEW_ELEVATION_RAD), np.sin(VIEW_ELEVATION_RAD)
    R_view = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ R_side @ R
    points, normals = sample.points @ R_view.T, sample.normals @ R_view.T
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    points = points - centre
    radius = max(float(np.linalg.norm(points, axis=1).max()), 1e-12)
    picture = np.empty((size, size, 3), dtype=np.uint8)
    picture[:] = BACKGROUND
    order = np.argsort(points[:, 2])  # the nearest last, over the others
    column = (size / 2 + points[order, 0] / radius * size * 0.48).astype(int)
    row = (size / 2 - points[order, 1] / radius * size * 0.48).astype(int)
    light = (70 + 170 * np.abs(normals[order, 2])).clip(0, 255).astype(np.uint8)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        inside = (row + down).clip(0, size - 1), (column + right).clip(0, size - 1)
        picture[inside] = light[:, None]
    return picture


def prepare_output(out: Path) -> None:
    """Makes the folder of an alignment, or removes from it what a stopped one left.

    Raises:  ValueError: it holds an alignment, or something else.  OSError: it cannot be made.
    """
    if out.is_dir():
        names = {path.name for path in out.iterdir()}
        if TRANSFORMS in names:
            raise ValueError(f"{out}: holds a finished alignment; name another folder or remove it")
        if UNFINISHED in names and names <= {UNFINISHED, MODELS, PICTURES, PAGE}:
            _clear(out)
            names.clear()
    if out.exists() and (not out.is_dir() or names):
        raise ValueError(f"{out}: expected a new or empty folder; name another")
    out.mkdir(parents=True, exist_ok=True)


def _clear(out: Path) -> None:
    """Removes what belongs to an unfinished alignment; last, what tells that it is one."""
    for name in (MODELS, PICTURES, PAGE, UNFINISHED):
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_alignment(
    found: CollectionAlignment,
    refs: Sequence[ModelRef],
    out: Path,
    *,
    settings: dict[str, Any],
    companions: Companions | None = None,
    on_model: Callable[[str], object] = lambda model_id: None,
) -> None:
    """Writes everything, or nothing: if it is stopped, what was written is removed.

    Where even that is not possible, the next alignment into the folder does it. transforms.json is
    put into place last, so that it is there only when all the rest is.

    Args:    refs: those that were aligned, and perhaps more.  out: see `prepare_output`.
             settings: kept in transforms.json.  companions: go with the models.
    Raises:  ModelError: a model can no longer be read.  OSError: out cannot be written.
             ValueError: what `prepare_output` and `writing.collection_layout` refuse.
    """
    layout = collection_layout(found.ids)
    prepare_output(out)
    part = out / UNFINISHED
    part.mkdir()
    try:
        order = np.argsort(-found.alignment.confidence, kind="stable").tolist()
        entries = _write_models(found, refs, order, layout, part, on_model)
        if companions is not None:
            companions.write(part / MODELS, found.ids)
        write_whole(part / PAGE, page(found, order).encode())
        write_json(
            part / TRANSFORMS,
            {
                "convention": CONVENTION,
                "settings": settings,
                "held": [found.ids[k] for k in found.alignment.held],
                "energy": found.alignment.energy,
                "energies_of_restarts": list(found.alignment.energies),
                "models": entries,
                "left_out": dict(found.left_out),
            },
        )
        for name in (MODELS, PICTURES, PAGE, TRANSFORMS):
            os.replace(part / name, out / name)
    except BaseException:
        if not (out / TRANSFORMS).exists():
            _clear(out)
        raise
    part.rmdir()


def _write_models(
    found: CollectionAlignment,
    refs: Sequence[ModelRef],
    order: Sequence[int],
    layout: Mapping[str, Path],
    out: Path,
    on_model: Callable[[str], object],
) -> dict[str, Any]:
    """Writes models and pictures in this order. Returns: what transforms.json has of each."""
    ref_of = {ref.id: ref for ref in refs}
    alignment = found.alignment
    entries: dict[str, Any] = {}
    for rank, k in enumerate(order):
        model_id = found.ids[k]
        on_model(model_id)
        turned, T_model2aligned = turn_model(load_model(ref_of[model_id]), alignment.R[k])
        write_model(turned, out / MODELS / layout[model_id])
        as_given, as_aligned = (splat(found.samples[k], R) for R in (np.eye(3), alignment.R[k]))
        save_picture(picture_path(out, rank), np.concatenate([as_given, as_aligned], axis=1))
        entries[model_id] = {
            "confidence": round(float(alignment.confidence[k]), 4),
            "held": k in alignment.held,
            "rotation": np.round(alignment.R[k], 7).tolist(),
            "T_model2aligned": np.round(T_model2aligned, 7).tolist(),
        }
    return entries


def picture_path(out: Path, rank: int) -> Path:
    """Where the picture of the rank-th surest model lies."""
    return out / PICTURES / f"{rank:05d}.png"


def page(found: CollectionAlignment, order: Sequence[int]) -> str:
    """The HTML page: a picture of each model as given (left) and aligned (right), surest first.

    Args:    order: shapes in the order of their pictures.
    """
    confidence = found.alignment.confidence
    figures = []
    for rank, k in enumerate(order):
        source = quote(picture_path(Path(), rank).as_posix())
        note = "held" if k in found.alignment.held else f"{100 * confidence[k]:.0f} %"
        name = html.escape(found.ids[k])
        figures.append(
            f'<figure><img loading="lazy" src="{source}" alt="{name}">'
            f"<figcaption>{note}<br>{name}</figcaption></figure>"
        )
    left_out = "".join(
        f"<li>{html.escape(model_id)}: {html.escape(reason)}</li>"
        for model_id, reason in found.left_out.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Alignment</title>'
        "<style>body{font:14px sans-serif;background:#26282e;color:#ddd}"
        "main{display:flex;flex-wrap:wrap}figure{margin:6px;width:256px;overflow-wrap:anywhere}"
        "</style><h1>Alignment</h1>"
        f"<p>{len(order)} models, each as given and as aligned, the surest first.</p>"
        f"<main>{''.join(figures)}</main>"
        + (f"<h2>Left out</h2><ul>{left_out}</ul>" if left_out else "")
        + "</html>\n"
    )
