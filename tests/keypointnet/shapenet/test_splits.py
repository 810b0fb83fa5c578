from __future__ import annotations

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.models import Model, normalise_model
from keypointnet.shapenet.splits import (
    near_duplicates,
    shape_distance,
    shape_signature,
    split_models,
)


def model_of(*meshes: trimesh.Trimesh) -> Model:
    return normalise_model(Model("m", list(meshes)))


def box(x: float, y: float, z: float) -> Model:
    return model_of(trimesh.creation.box(extents=(x, y, z)))


def cloud(seed: int) -> np.ndarray:
    """A signature of its own: 64 points, far from those of other seeds."""
    points = np.random.default_rng(seed).uniform(-1, 1, (64, 3)) + 10 * seed
    return points.astype(np.float32)


IDS = [f"chair-{k}" for k in range(12)]
SIGNATURES = {name: cloud(k) for k, name in enumerate(IDS)}


def test_shape_signature_is_fixed_and_lies_on_the_surface() -> None:
    model = box(2, 4, 1)
    points = shape_signature(model, 500)
    assert points.shape == (500, 3)
    np.testing.assert_array_equal(points, shape_signature(box(2, 4, 1), 500))
    distance_to_side = np.abs(np.abs(points) - [0.5, 1.0, 0.25]).min(axis=1)
    assert distance_to_side.max() < 1e-6
    # by area: 8 of the 28 are the two sides of 4 x 1
    on_x = (np.abs(np.abs(points[:, 0]) - 0.5) < 1e-6).mean()
    assert on_x == pytest.approx(8 / 28, abs=0.03)


def test_shape_distance_does_not_see_meshing_and_sees_shape() -> None:
    plain = shape_signature(box(2, 4, 1))
    fine = trimesh.creation.box(extents=(2, 4, 1)).subdivide().subdivide()
    assert shape_distance(plain, plain) == 0
    assert shape_distance(plain, shape_signature(model_of(fine))) == pytest.approx(1.0, abs=0.15)
    assert shape_distance(plain, shape_signature(box(2.4, 4, 1))) > 1.5
    other = shape_signature(box(3, 4, 1))
    assert shape_distance(plain, other) == pytest.approx(shape_distance(other, plain))


def test_near_duplicates_group_through_others_and_by_family() -> None:
    signatures = {
        "a": shape_signature(box(2, 4, 1)),
        "b": shape_signature(model_of(trimesh.creation.box(extents=(2, 4, 1)).subdivide())),
        "c": shape_signature(box(4, 4, 1)),
        "d": shape_signature(model_of(trimesh.creation.icosphere())),
    }
    assert near_duplicates(signatures) == [["a", "b"], ["c"], ["d"]]
    families = {"b": "f", "d": "f", "c": "g"}
    assert near_duplicates(signatures, families=families) == [["a", "b", "d"], ["c"]]
    assert near_duplicates(signatures, threshold=1e9) == [["a", "b", "c", "d"]]
    assert near_duplicates({}) == []


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
