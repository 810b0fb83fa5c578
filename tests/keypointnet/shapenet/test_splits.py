from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapenet.splits import split_models


def cloud(seed: int) -> np.ndarray:
    """A signature of its own: 64 points, far from those of other seeds."""
    points = np.random.default_rng(seed).uniform(-1, 1, (64, 3)) + 10 * seed
    return points.astype(np.float32)


IDS = [f"chair-{k}" for k in range(12)]
SIGNATURES = {name: cloud(k) for k, name in enumerate(IDS)}


def test_split_models_literal() -> None:
    # by sha256("salt:" + id), in ascending order: 7, 4, 0, 5, 11, 6, 8, 1, 3, 2, 10, 9
    split = split_models(IDS, SIGNATURES, 3, "salt")
    assert split["test"] == ["chair-0", "chair-4", "chair-7"]
    assert split["train"] == sorted(set(IDS) - set(split["test"]))


def test_split_models_ignores_the_order_of_ids() -> None:
    split = split_models(IDS, SIGNATURES, 4, "salt")
    shuffled = dict(sorted(SIGNATURES.items(), reverse=True))
    assert split_models(IDS[::-1], shuffled, 4, "salt") == split
    assert not set(split["train"]) & set(split["test"])


def test_split_models_depends_on_the_salt() -> None:
    splits = {tuple(split_models(IDS, SIGNATURES, 4, f"s{k}")["test"]) for k in range(5)}
    assert len(splits) > 1


def test_split_models_keeps_duplicates_together() -> None:
    signatures = dict(SIGNATURES)
    for k in range(0, 12, 2):
        signatures[f"chair-{k + 1}"] = signatures[f"chair-{k}"]
    for salt in "abcdef":
        split = split_models(IDS, signatures, 8, salt)
        assert len(split["test"]) == 8
        for k in range(0, 12, 2):
            pair = {f"chair-{k}", f"chair-{k + 1}"}
            assert pair <= set(split["train"]) or pair <= set(split["test"])


def test_split_models_tests_no_group_that_would_rule_the_mean() -> None:
    families = {f"chair-{k}": "one" for k in range(4)}
    for salt in "abcdef":
        split = split_models(IDS, SIGNATURES, 8, salt, families=families)
        assert set(families) <= set(split["train"])


def test_split_models_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="12 models cannot give 12 for test"):
        split_models(IDS, SIGNATURES, 12, "salt")
    with pytest.raises(ValueError, match="0 models cannot give 1"):
        split_models([], {}, 1, "salt")
    with pytest.raises(ValueError, match="more than once: chair-3"):
        split_models([*IDS, "chair-3"], SIGNATURES, 3, "salt")
    with pytest.raises(ValueError, match="no signature for stool"):
        split_models([*IDS, "stool"], SIGNATURES, 3, "salt")
    same = dict.fromkeys(IDS, SIGNATURES["chair-0"])
    with pytest.raises(ValueError, match="cannot make up a test set of 3"):
        split_models(IDS, same, 3, "salt")
