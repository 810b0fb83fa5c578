"""Charts: training curves, and an object with its keypoints that turns under the mouse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import trimesh
from torch import Tensor

from keypointnet.drawing import keypoint_colours
from keypointnet.shapenet.models import Model

_PALETTE = ("#3b7dd8", "#d9822b", "#3fa06b", "#b5489a", "#8a6fd1", "#c9483b", "#6b7684")
"""Readable on white and on black."""


def keypoint_training(lines: Sequence[Mapping[str, Any]]) -> go.Figure:
    """The loss terms of a KeypointNet's training.

    Args:    lines: of its metrics.jsonl.
    """
    train = [row for row in lines if row.get("group") == "train"]
    left_out = {"group", "step", "lr", "gt_flag_share", "seconds", "seconds_waiting"}
    names = list(dict.fromkeys(key for row in train for key in row if key not in left_out))
    figure = _curves("step", "loss term, logarithmic")
    for i, name in enumerate(names):
        rows = [row for row in train if row.get(name)]
        figure.add_scatter(
            x=[row["step"] for row in rows],
            y=[row[name] for row in rows],
            name=name,
            mode="lines",
            line={"color": _PALETTE[i % len(_PALETTE)], "width": 3 if name == "total" else 1.5},
        )
    figure.update_yaxes(type="log")
    return figure


def held_out_error(lines: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Angles on held-out models during a KeypointNet's training. Args: as before."""
    rows = [row for row in lines if row.get("group") == "test"]
    figure = _curves("step", "degrees")
    for i, name in enumerate(("mean_deg", "median_deg")):
        figure.add_scatter(
            x=[row["step"] for row in rows],
            y=[row[name] for row in rows],
            name=name.removesuffix("_deg"),
            mode="lines+markers",
            line={"color": _PALETTE[i]},
        )
    figure.update_yaxes(rangemode="tozero")
    return figure


def mask_training(runs: Mapping[str, Sequence[Mapping[str, Any]]], *, window: int = 4) -> go.Figure:
    """The mask loss of several runs.

    Args:    runs: title → lines of its metrics.jsonl.  window: lines that a mean is taken over.
    """
    figure = _curves("step", "mask loss")
    for i, (title, lines) in enumerate(runs.items()):
        rows = [row for row in lines if "loss_mask" in row]
        losses = np.array([row["loss_mask"] for row in rows])
        means = [losses[max(0, at + 1 - window) : at + 1].mean() for at in range(len(losses))]
        figure.add_scatter(
            x=[row["iteration"] + 1 for row in rows],
            y=means,
            name=title,
            mode="lines",
            line={"color": _PALETTE[i % len(_PALETTE)]},
        )
    return figure


def object_3d(model: Model, points: Tensor, names: Sequence[str]) -> go.Figure:
    """A mesh with its keypoints.

    Args:    points: (N, 3) in the object's frame (+Y up, front towards −Z).  names: N.
    """
    mesh = trimesh.util.concatenate(model.meshes)
    assert isinstance(mesh, trimesh.Trimesh)
    # plotly's z is up; three digits are a tenth of a per cent of the object
    x, y, z = _upright(np.asarray(mesh.vertices)).round(3).T
    i, j, k = np.asarray(mesh.faces).T
    figure = go.Figure(
        go.Mesh3d(
            x=x,
            y=y,
            z=z,
            i=i,
            j=j,
            k=k,
            color="#9aa3ad",
            opacity=0.5,
            flatshading=True,
            hoverinfo="skip",
        )
    )
    colours = [f"rgb{colour}" for colour in keypoint_colours(len(points))]
    x, y, z = _upright(points.numpy()).T
    figure.add_scatter3d(
        x=x,
        y=y,
        z=z,
        mode="markers",
        marker={"size": 7, "color": colours, "line": {"color": "white", "width": 1}},
        text=list(names),
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    hidden = {"visible": False, "showspikes": False}
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        scene={
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": hidden,
            "aspectmode": "data",
            "camera": {"eye": {"x": 1.1, "y": 1.3, "z": 0.7}},
        },
    )
    return figure


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last one that was cut short is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def _curves(x: str, y: str) -> go.Figure:
    return go.Figure(
        layout={
            "margin": {"l": 55, "r": 10, "t": 10, "b": 45},
            "xaxis": {"title": {"text": x}},
            "yaxis": {"title": {"text": y}},
            # Grows upwards: on a phone it has several rows.
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "hovermode": "x",
        }
    )


def _upright(X_obj: np.ndarray) -> np.ndarray:
    """(n, 3) from +Y up, front towards −Z, to plotly's +Z up."""
    return np.stack([X_obj[:, 0], -X_obj[:, 2], X_obj[:, 1]], axis=1)
