"""Splits by model, fixed by hash, with near-duplicates on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from keypointnet.shapenet.near_duplicates import NEAR_DUPLICATE, near_duplicates


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
