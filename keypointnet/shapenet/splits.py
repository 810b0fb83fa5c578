"""Splits by model, fixed by hash, with near-duplicates on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from keypointnet.shapenet.models import Model

NEAR_DUPLICATE = 1.5  # spacings; two samplings of one surface are 1 apart
SIGNATURE_POINTS = 8192
QUERY_POINTS = 1024


def shape_signature(model: Model, n_points: int = SIGNATURE_POINTS) -> np.ndarray:
    """Points spread over a model's surface, to compare shapes whatever their colours and meshing.

    Args:    model: in the object frame.
    Returns: (n_points, 3) float32 in random order, the same on every call.
    """
    triangles = np.concatenate([np.asarray(mesh.triangles) for mesh in model.meshes])
    ab, ac = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = np.linalg.norm(np.cross(ab, ac), axis=1)
    rng = np.random.default_rng(0)
    # one point in each of n equal strips of area: evener than independent draws
    where = (np.arange(n_points) + rng.random(n_points)) / n_points * area.sum()
    face = np.minimum(np.searchsorted(np.cumsum(area), where), len(area) - 1)
    a, b = rng.random((2, n_points, 1))
    fold = a + b > 1
    a, b = np.where(fold, 1 - a, a), np.where(fold, 1 - b, b)
    points = triangles[face, 0] + a * ab[face] + b * ac[face]
    return np.asarray(rng.permutation(points).astype(np.float32))


def shape_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Symmetric chamfer distance of two signatures, in spacings of their points.

    The mean distance to the nearest point of the other, over the mean distance to the nearest in
    the same signature: 1 for one shape sampled twice, whatever its size; 0 for equal signatures.
    """
    return _Sampled(first).distance(_Sampled(second))


class _Sampled:
    def __init__(self, points: np.ndarray) -> None:
        self.some = points[:QUERY_POINTS]
        self.extent = np.ptp(points, axis=0)
        self.tree = cKDTree(points)
        self.spacing = float(self.tree.query(self.some, k=2)[0][:, 1].mean())

    def distance(self, other: _Sampled) -> float:
        there = other.tree.query(self.some)[0].mean()
        back = self.tree.query(other.some)[0].mean()
        return float((there + back) / (self.spacing + other.spacing))


def near_duplicates(
    signatures: Mapping[str, np.ndarray],
    threshold: float = NEAR_DUPLICATE,
    families: Mapping[str, str] | None = None,
) -> list[list[str]]:
    """Group models that are within threshold of each other, directly or through others.

    Args:    threshold: spacings, of shape_distance.
             families: id -> name; models of one family are in one group whatever their shapes.
    Returns: every id in exactly one group; groups and their members sorted.
    """
    families = families or {}
    ids = sorted(signatures)
    parent = {name: name for name in ids}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    sampled = {name: _Sampled(signatures[name]) for name in ids}
    for i, one in enumerate(ids):
        for other in ids[i + 1 :]:
            if root(one) == root(other):
                continue
            related = one in families and families[one] == families.get(other)
            if related or _near(sampled[one], sampled[other], threshold):
                low, high = sorted((root(one), root(other)))
                parent[high] = low
    groups: dict[str, list[str]] = {}
    for name in ids:
        groups.setdefault(root(name), []).append(name)
    return [sorted(group) for _, group in sorted(groups.items())]


def _near(one: _Sampled, other: _Sampled, threshold: float) -> bool:
    # boxes that differ this much cannot belong to near-duplicates: saves most of the queries
    reach = 6 * threshold * (one.spacing + other.spacing) / 2
    if np.abs(one.extent - other.extent).max() > reach:
        return False
    return one.distance(other) <= threshold


def split_models(
    ids: Sequence[str],
    signatures: Mapping[str, np.ndarray],
    n_test: int,
    salt: str,
    threshold: float = NEAR_DUPLICATE,
    families: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Split models into training and test, the same on every machine and in any order of ids.

    Groups of near-duplicates (and families) are put in the order of sha256(salt + ":" + id), a
    group counting by its members' smallest hash; in that order a group goes to test if it still
    fits. Groups of more than a sixth of the test set come last: they would rule the mean.

    Args:    ids: distinct.  signatures: of shape_signature, at least for every id.
             threshold, families: see near_duplicates.
    Returns: {"train": [...], "test": [...]}, sorted, no model or near-duplicate in both.
    Raises:  ValueError: ids repeated or without signature, fewer than n_test + 1 models, or groups
             that cannot make up n_test.
    """
    if len(set(ids)) != len(ids):
        repeated = sorted({name for name in ids if list(ids).count(name) > 1})
        raise ValueError(f"split_models: ids appear more than once: {', '.join(repeated)}")
    unknown = sorted(set(ids) - set(signatures))
    if unknown:
        raise ValueError(f"split_models: no signature for {', '.join(unknown)}")
    if n_test < 1 or len(ids) <= n_test:
        raise ValueError(
            f"split_models: {len(ids)} models cannot give {n_test} for test and at least one for "
            f"training; add models or ask for a test set of 1 to {max(len(ids) - 1, 1)}"
        )
    groups = near_duplicates({name: signatures[name] for name in ids}, threshold, families)
    groups.sort(key=lambda group: min(_hash(salt, name) for name in group))
    test: list[str] = []
    large = max(1, n_test // 6)
    groups.sort(key=lambda group: len(group) > large)  # stable: large ones last
    for group in groups:
        if len(test) + len(group) <= n_test and len(group) < len(ids):
            test += group
    if len(test) != n_test:
        sizes = sorted((len(group) for group in groups), reverse=True)
        possible = f"ask for {len(test)} or " if test else ""
        raise ValueError(
            f"split_models: groups of near-duplicates of sizes {sizes[:8]} cannot make up a test "
            f"set of {n_test} (got to {len(test)}); {possible}lower the threshold"
        )
    return {"train": sorted(set(ids) - set(test)), "test": sorted(test)}


def _hash(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()
