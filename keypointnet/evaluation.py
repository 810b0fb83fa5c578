"""Table 1's protocol on held-out models, and what belongs beside it.

Each view goes through the network once, without noise and with the predicted orientation flag;
pairs are then formed from the predictions.

Shapes: V views of a model, P pairs of them, N keypoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from keypointnet.geometry import (
    invert_rigid,
    mirrored_cameras,
    normalise_intrinsics,
    procrustes_rotation,
    project,
    relative_transform,
    transform_points,
    unproject,
)
from keypointnet.metrics import FLIP_ANGLE_DEG, angular_distance, flip_rate, standard_error_3d
from keypointnet.model import KeypointNet, orientation_flag
from keypointnet.objective import AXIS_POINTS
from keypointnet.progress import progress_bar
from keypointnet.views.pairs import ModelViews

PAPER_TABLE_1 = {
    "car": {"mean_deg": 11.310, "median_deg": 3.372, "se_3d": 0.171},
    "aeroplane": {"mean_deg": 17.330, "median_deg": 5.721, "se_3d": 0.230},
    "chair": {"mean_deg": 14.572, "median_deg": 5.420, "se_3d": 0.196},
}
"""The row "ours" of Table 1 of Suwajanakorn et al. 2018."""


@dataclass(frozen=True)
class PairResult:
    """One evaluated pair of views of one model."""

    model: str
    views: tuple[int, int]
    angle_deg: float


@dataclass
class Evaluation:
    """The metrics of one network on a set of models.

    mean_deg, median_deg: angular distance over all pairs.  flips: share above 90°.
    se_3d: 3D-SE, mean over models, in object units (longest side 2); NaN if all pairs are flips.
    orientation_accuracy: share of right orientation flags; mean and median over models; None
    without an orientation network.
    """

    mean_deg: float
    median_deg: float
    flips: float
    se_3d: float
    orientation_accuracy: float | None
    orientation_accuracy_median: float | None
    models: int
    pairs: int
    per_model: dict[str, dict[str, float]] = field(repr=False)
    worst: list[PairResult] = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """The scalars only."""
        values = asdict(self)
        return {k: v for k, v in values.items() if k not in ("per_model", "worst")}


def choose_pairs(n_views: int, n_pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of different views: (2k, 2k + 1) as published while they last, else drawn.

    Args:    n_views: V ≥ 2.  n_pairs: P.
    Returns: (P', 2) of view numbers, no pair twice; P' = min(P, V (V − 1) / 2).
    Raises:  ValueError: fewer than two views.
    """
    if n_views < 2:
        raise ValueError(f"choose_pairs: a pair needs 2 views, got {n_views}")
    if 2 * n_pairs <= n_views:
        return np.arange(2 * n_pairs).reshape(-1, 2)
    first, second = np.triu_indices(n_views, k=1)
    chosen = rng.permutation(len(first))[:n_pairs]
    return np.stack([first[chosen], second[chosen]], axis=1)


@torch.inference_mode()
def predict_views(
    model: KeypointNet,
    views: ModelViews,
    indices: Sequence[int],
    batch_size: int = 64,
    *,
    mirrored: bool = False,
    size: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Runs a network over views of one model, on black, at the network's device.

    Args:    mirrored: show it the mirrored pictures; the cameras are then `mirrored_cameras`.
             size: px of the longer side, to show the pictures in; that of the store without.
    Returns: uvz (V, N, 3), T_world2cam (V, 4, 4), K (V, 3, 3), float64 on the CPU, and the
             predicted orientation flags (V,) or None.
    """
    device = next(model.parameters()).device
    loaded = [views.store.view(views.model, int(i)) for i in indices]
    uvz, flags = [], []
    for start in range(0, len(loaded), batch_size):
        rgb = np.stack([view.rgba[..., :3] for view in loaded[start : start + batch_size]])
        image = torch.from_numpy(rgb).to(device).permute(0, 3, 1, 2).float() / 255
        if size is not None and size != max(image.shape[-2:]):
            sides = [round(side * size / max(image.shape[-2:])) for side in image.shape[-2:]]
            image = F.interpolate(image, size=sides, mode="bilinear", antialias=True)
        prediction = model(image.flip(-1) if mirrored else image)
        uvz.append(prediction.uvz.double().cpu())
        if prediction.orientation_uv is not None:
            flags.append(orientation_flag(prediction.orientation_uv).cpu())
    K_px = torch.from_numpy(np.stack([view.K_px for view in loaded]))
    T_world2cam = torch.from_numpy(np.stack([view.T_world2cam for view in loaded]))
    K = normalise_intrinsics(K_px, views.store.size)
    if mirrored:
        T_world2cam, K = mirrored_cameras(T_world2cam, K)
    return torch.cat(uvz), T_world2cam, K, torch.cat(flags) if flags else None


def points_of_object(
    model: KeypointNet,
    views: ModelViews,
    indices: Sequence[int] | None = None,
    *,
    mirrored: bool = False,
    size: int | None = None,
) -> Tensor:
    """Where a network's keypoints are on a model: medians over views, which a few flips leave.

    Args:    indices: of the views; all without.  mirrored, size: see `predict_views`.
    Returns: (N, 3) float64 in the object's frame, that of the mirrored object where mirrored.
    """
    if indices is None:
        indices = range(views.store.n_views(views.model))
    uvz, T_world2cam, K, _ = predict_views(model, views, indices, mirrored=mirrored, size=size)
    return transform_points(invert_rigid(T_world2cam), unproject(uvz, K)).quantile(0.5, dim=0)


def evaluate(
    model: KeypointNet,
    models: Sequence[ModelViews],
    *,
    pairs_per_model: int = 100,
    seed: int = 0,
    n_worst: int = 16,
    progress: bool = False,
) -> Evaluation:
    """Evaluates a network on every given model.

    Args:    model: is put into evaluation mode for the time and back.
             models: held-out ones.  pairs_per_model: 100 in Table 1.  seed: draws the pairs where
             a model has fewer than two views for each.
    Raises:  ValueError: no models.
    """
    if not models:
        raise ValueError("evaluate: expected at least one model, got none")
    was_training = model.training
    model.eval()
    results: list[PairResult] = []
    per_model: dict[str, dict[str, float]] = {}
    for number, views in enumerate(
        progress_bar(models, desc="evaluate", disable=not progress, leave=False)
    ):
        rng = np.random.default_rng([seed, number])
        pairs = choose_pairs(views.store.n_views(views.model), pairs_per_model, rng)
        used, inverse = np.unique(pairs, return_inverse=True)
        positions = torch.from_numpy(inverse.reshape(pairs.shape))
        uvz, T_world2cam, K, flags = predict_views(model, views, used.tolist())
        X_cam = unproject(uvz, K)
        first, second = positions[:, 0], positions[:, 1]
        R_pred = procrustes_rotation(X_cam[first], X_cam[second])
        R_gt = relative_transform(T_world2cam[first], T_world2cam[second])[:, :3, :3]
        angles = angular_distance(R_pred, R_gt)
        keep = torch.zeros(len(used), dtype=torch.bool)
        keep[positions[angles < FLIP_ANGLE_DEG].flatten()] = True
        stats = {
            "mean_deg": float(angles.mean()),
            "median_deg": float(np.median(angles.numpy())),
            "flips": flip_rate(angles),
            "se_3d": standard_error_3d(transform_points(invert_rigid(T_world2cam), X_cam), keep),
        }
        if flags is not None:
            axis = torch.tensor(AXIS_POINTS, dtype=torch.float64).expand(len(used), -1, -1)
            gt = orientation_flag(project(transform_points(T_world2cam, axis), K)[..., :2])
            stats["orientation_accuracy"] = float((flags == gt).double().mean())
        per_model[views.name] = stats
        results += [
            PairResult(views.name, (int(a), int(b)), angle)
            for (a, b), angle in zip(pairs, angles.tolist(), strict=True)
        ]
    model.train(was_training)
    angles_deg = torch.tensor([result.angle_deg for result in results], dtype=torch.float64)
    errors_3d = [v["se_3d"] for v in per_model.values() if not math.isnan(v["se_3d"])]
    accuracy = [
        stats["orientation_accuracy"]
        for stats in per_model.values()
        if "orientation_accuracy" in stats
    ]
    return Evaluation(
        mean_deg=float(angles_deg.mean()),
        median_deg=float(np.median(angles_deg.numpy())),
        flips=flip_rate(angles_deg),
        se_3d=float(np.mean(errors_3d)) if errors_3d else math.nan,
        orientation_accuracy=float(np.mean(accuracy)) if accuracy else None,
        orientation_accuracy_median=float(np.median(accuracy)) if accuracy else None,
        models=len(models),
        pairs=len(results),
        per_model=per_model,
        worst=sorted(results, key=lambda result: -result.angle_deg)[:n_worst],
    )
