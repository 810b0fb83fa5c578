"""Pose templates by K-means, as Pose2Seg makes them, for any keypoints.

`template_poses.py` reads the poses, `template_files.py` has the templates and their file; both are
to be had from here. P poses, K keypoints, T templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples

from kp2seg.template_files import (
    PoseTemplates,
    TemplateError,
    labels_swapped,
    load_templates,
    matching_templates,
    mirrored,
    save_templates,
)
from kp2seg.template_poses import (
    MISSING_XY,
    PoseSet,
    flip_map_from_names,
    read_poses,
    unit_square_poses,
)

__all__ = [
    "Mirror",
    "PoseSet",
    "PoseTemplates",
    "TemplateError",
    "best_k",
    "fit_templates",
    "flip_map_from_names",
    "labels_swapped",
    "load_templates",
    "matching_templates",
    "mirrored",
    "read_poses",
    "save_templates",
    "silhouette_by_k",
    "unit_square_poses",
]

Mirror = Literal["true", "labels", "none"]
PUBLISHED_VIS_THRESHOLD = 0.4
_MAX_SILHOUETTE_POSES = 3000  # its time and memory grow with the square


def fit_templates(
    poses: np.ndarray,
    names: Sequence[str],
    connections: Sequence[tuple[int, int]] = (),
    flip_map: Mapping[str, str] | None = None,
    *,
    k: int | Literal["auto"] = 3,
    k_max: int = 8,
    min_points: int = 8,
    vis_threshold: float = PUBLISHED_VIS_THRESHOLD,
    mirror: Mirror = "true",
    weights: np.ndarray | None = None,
    seed: int = 0,
    n_init: int = 10,
) -> PoseTemplates:
    """Cluster poses and take the clusters' means as templates, the heaviest cluster first.

    A pose is clustered as the vector of its K (x, y, v); missing points are (0.5, 0.5, 0).

    Args:    poses: (P, K, 3) of (x, y, v) in the unit square (`unit_square_poses`, `read_poses`);
             where v = 0, x and y do not count, even NaN ones.
             names, connections (from 0), flip_map: see PoseTemplates.
             k: how many clusters; "auto": the best mean silhouette of 2 to k_max.
             min_points: poses with fewer visible points are left out.
             mirror: "true" as published: each pose's mirror image is clustered too, so that the
             templates do not lean to one side. "labels": besides, each template is followed, in the
             second half, by itself with left and right exchanged, 3 → 6; the published network's
             code does this doubling when it loads its file, and so does `matching_templates`.
             "none": the poses as they are.
             weights: (P,) >= 0, how much each pose counts.  seed, n_init: of the K-means.
    Returns: PoseTemplates with k templates, or 2 k for "labels".
    Raises:  TemplateError: wrong shapes, NaN in a visible point (the pose is named), no pose with
             enough points, k above the number of different poses.
    Source:  Zhang et al. 2019, section 3.1, and its released code.
    """
    if mirror not in ("true", "labels", "none"):
        raise TemplateError(
            f"fit_templates: expected mirror 'true', 'labels' or 'none', got {mirror!r}"
        )
    flip_map = dict(flip_map or {})
    samples, sample_weights = _samples(
        poses, names, flip_map, min_points, mirror != "none", weights
    )
    if k == "auto":
        k = best_k(_silhouettes(samples, sample_weights, k_max, seed, n_init))
    labels = _cluster(samples, sample_weights, k, seed, n_init)
    mass = np.bincount(labels, weights=sample_weights, minlength=k)
    # Averaged again: the centres that K-means returns are off by rounding, so that a point that is
    # missing from all poses of a cluster would have a visibility just above 0.
    means = [
        np.average(samples[labels == cluster], axis=0, weights=sample_weights[labels == cluster])
        for cluster in np.argsort(-mass, kind="stable")
    ]
    templates = np.stack(means).reshape(k, len(names), 3)
    if mirror == "labels":
        templates = np.concatenate([templates, labels_swapped(templates, names, flip_map)])
    return PoseTemplates(
        names=tuple(names),
        connections=tuple((int(i), int(j)) for i, j in connections),
        flip_map=flip_map,
        vis_threshold=vis_threshold,
        min_points=min_points,
        templates=templates,
    )


def silhouette_by_k(
    poses: np.ndarray,
    names: Sequence[str],
    flip_map: Mapping[str, str] | None = None,
    *,
    k_max: int = 8,
    min_points: int = 8,
    mirror: Mirror = "true",
    weights: np.ndarray | None = None,
    seed: int = 0,
    n_init: int = 10,
) -> dict[int, float]:
    """The mean silhouette (−1 to 1, higher is clearer) of 2 to k_max clusters.

    Of more than 3,000 poses, 3,000 that a seeded draw picks are scored.

    Args, raises:  as of `fit_templates`; TemplateError also with fewer than 3 different poses.
    Returns: k → score; k stops below the number of different poses.
    """
    samples, sample_weights = _samples(
        poses, names, dict(flip_map or {}), min_points, mirror != "none", weights
    )
    return _silhouettes(samples, sample_weights, k_max, seed, n_init)


def best_k(silhouettes: Mapping[int, float]) -> int:
    """The k of the highest silhouette, the smallest of equal ones."""
    return max(silhouettes, key=lambda k: (silhouettes[k], -k))


def _samples(
    poses: np.ndarray,
    names: Sequence[str],
    flip_map: dict[str, str],
    min_points: int,
    mirror: bool,
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors to cluster, (S, 3 K), and their weights, (S,)."""
    poses = np.asarray(poses, dtype=np.float64)
    K = len(names)
    if poses.ndim != 3 or poses.shape[1:] != (K, 3):
        raise TemplateError(
            f"fit_templates: expected poses (P, {K}, 3) for {K} names, got {poses.shape}"
        )
    weights = np.ones(len(poses)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != (len(poses),) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise TemplateError(
            f"fit_templates: expected weights ({len(poses)},), finite and >= 0, "
            f"got {weights.shape} {weights[:5]}"
        )
    visible = poses[..., 2] > 0
    broken = ~np.isfinite(poses[..., 2]) | (visible & ~np.isfinite(poses[..., :2]).all(axis=-1))
    if broken.any():
        pose, point = np.argwhere(broken)[0]
        raise TemplateError(
            f"fit_templates: pose {pose}: keypoint {names[point]}: NaN or infinite numbers"
        )
    kept = (visible.sum(axis=1) >= min_points) & (weights > 0)
    if not kept.any():
        raise TemplateError(
            f"fit_templates: none of {len(poses)} poses has {min_points} visible keypoints and a "
            "weight above 0; lower min_points"
        )
    poses = np.where(visible[..., None], poses, [MISSING_XY, MISSING_XY, 0.0])[kept]
    weights = weights[kept]
    if mirror:
        poses = np.concatenate([poses, mirrored(poses, names, flip_map)])
        weights = np.concatenate([weights, weights])
    return poses.reshape(len(poses), -1), weights


def _cluster(
    samples: np.ndarray, weights: np.ndarray, k: int, seed: int, n_init: int
) -> np.ndarray:
    """The cluster of each sample, (S,)."""
    n_different = _n_different(samples)
    if not 1 <= k <= n_different:
        raise TemplateError(
            f"fit_templates: expected k from 1 to {n_different}, the number of different poses "
            f"(mirror images included), got {k}"
        )
    kmeans = KMeans(n_clusters=k, n_init=n_init, random_state=seed)
    labels: np.ndarray = kmeans.fit(samples, sample_weight=weights).labels_
    return labels


def _n_different(samples: np.ndarray) -> int:
    # A mirror image is its pose up to rounding.
    return len(np.unique(samples.round(9), axis=0))


def _silhouettes(
    samples: np.ndarray, weights: np.ndarray, k_max: int, seed: int, n_init: int
) -> dict[int, float]:
    n_different = _n_different(samples)
    last = min(k_max, n_different - 1)
    if last < 2:
        raise TemplateError(
            "fit_templates: k 'auto' needs k_max of at least 2 and 3 different poses, got k_max "
            f"{k_max} and {n_different}; give k as a number"
        )
    chosen = np.arange(len(samples))
    if len(samples) > _MAX_SILHOUETTE_POSES:
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(samples), _MAX_SILHOUETTE_POSES, replace=False)
    scores = {}
    for k in range(2, last + 1):
        labels = _cluster(samples, weights, k, seed, n_init)[chosen]
        if len(np.unique(labels)) < 2:
            scores[k] = -1.0  # a cluster so small that the draw missed it
            continue
        each = silhouette_samples(samples[chosen], labels)
        scores[k] = float(np.average(each, weights=weights[chosen]))
    return scores
