from __future__ import annotations

import itertools

import numpy as np
import pytest

from keypointnet.shapenet.alignment_graph import Pairs
from keypointnet.shapenet.alignment_inference import (
    MarkovField,
    descend,
    make_field,
    merge_bottom_up,
    pass_messages,
)
from keypointnet.shapenet.alignment_rotations import RotationSet, rotation_set

FOUR = rotation_set("azimuth", steps=4)
CUBE = rotation_set("cube")
TREE = np.array([[0, 1], [1, 2], [1, 3]])
LOOP = np.array([[0, 1], [1, 2], [2, 3], [0, 3], [0, 2]])


def random_field(pairs: np.ndarray, n: int, seed: int) -> MarkovField:
    rng = np.random.default_rng(seed)
    unary = rng.uniform(0, 0.1, (n, 4))
    unary[0] = [0.0, np.inf, np.inf, np.inf]
    return MarkovField(pairs, rng.uniform(0, 0.2, (len(pairs), 4)), unary, FOUR)


def all_labellings(n: int) -> np.ndarray:
    return np.array(list(itertools.product(range(4), repeat=n)))


def planted_field(
    n: int, rotations: RotationSet, seed: int, noise: float = 0.3
) -> tuple[MarkovField, np.ndarray]:
    """Pairs that agree on hidden labels, but for noise; shape 0 is held at its own."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(rotations), n)
    chosen = [(i, j) for i in range(n) for j in range(i + 1, n) if j == i + 1 or rng.random() < 0.3]
    pairs = np.array(chosen)
    energies = rng.uniform(1 - noise, 1, (len(pairs), len(rotations)))
    agreed = rotations.relative[truth[pairs[:, 0]], truth[pairs[:, 1]]]
    energies[np.arange(len(pairs)), agreed] = 0.5
    return make_field(Pairs(pairs, energies), n, rotations, {0: int(truth[0])}), truth


def test_the_energy_of_a_labelling_by_hand() -> None:
    costs = np.array([[0.0, 1.0, 2.0, 3.0]])
    unary = np.array([[0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.25]])
    field = MarkovField(np.array([[0, 1]]), costs, unary, FOUR)
    assert field.energy(np.array([1, 3])) == pytest.approx(2.0 + 0.5 + 0.25)
    assert field.energy(np.array([3, 1])) == pytest.approx(2.0)
    assert field.energy(np.array([1, 0])) == pytest.approx(3.0 + 0.5)


def test_turning_every_shape_changes_nothing() -> None:
    field, _ = planted_field(6, CUBE, 0)
    free = MarkovField(field.pairs, field.costs, np.zeros_like(field.unary), CUBE)
    labels = np.arange(6)
    for g in (3, 17):
        assert free.energy(CUBE.product[g][labels]) == pytest.approx(free.energy(labels))


def test_a_field_weighs_likeness_and_holds_shapes() -> None:
    energies = np.array([[0.1, 0.3], [0.4, 0.2], [0.9, 0.8]])
    two = RotationSet("azimuth", FOUR.matrices[::2], np.eye(2, dtype=int), np.eye(2, dtype=int))
    field = make_field(Pairs(np.array([[0, 1], [1, 2], [0, 2]]), energies), 3, two, {2: 1})
    weights = np.exp(-((np.array([0.1, 0.2, 0.8]) / 0.2) ** 2))
    np.testing.assert_allclose(field.costs[:2], weights[:2, None] * [[0, 0.2], [0.2, 0]])
    assert np.isinf(field.unary).tolist() == [[False, False], [False, False], [True, False]]
    with pytest.raises(ValueError, match=r"shapes below 3 and labels below 2 .* shape 3, label 0"):
        make_field(Pairs(np.zeros((0, 2), int), np.zeros((0, 2))), 3, two, {3: 0})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_messages_on_a_tree_are_exact(seed: int) -> None:
    field = random_field(TREE, 4, seed)
    beta = 10.0
    labellings = all_labellings(4)
    weights = np.exp(-beta * np.array([field.energy(labels) for labels in labellings]))
    marginals, largest = np.zeros((4, 4)), np.zeros((4, 4))
    for labels, weight in zip(labellings, weights, strict=True):
        marginals[np.arange(4), labels] += weight / weights.sum()
        largest[np.arange(4), labels] = np.maximum(largest[np.arange(4), labels], weight)
    largest /= largest.sum(axis=1, keepdims=True)
    found = pass_messages(field, beta=beta, tolerance=1e-9, steps=200)
    np.testing.assert_allclose(found, marginals, atol=1e-6)
    found = pass_messages(field, np.array([0, 1, 2, 3]), beta=beta, tolerance=1e-9, steps=200)
    np.testing.assert_allclose(found, marginals, atol=1e-6)
    found = pass_messages(field, largest=True, beta=beta, tolerance=1e-9, steps=200)
    np.testing.assert_allclose(found, largest, atol=1e-6)


def test_messages_without_pairs_give_the_shapes_own_costs() -> None:
    unary = np.array([[0.0, 0.1, np.inf, np.inf]])
    field = MarkovField(np.zeros((0, 2), int), np.zeros((0, 4)), unary, FOUR)
    weights = np.array([1, np.exp(-1), 0, 0])
    np.testing.assert_allclose(pass_messages(field, beta=10)[0], weights / weights.sum())


@pytest.mark.parametrize("seed", range(5))
def test_descending_ends_where_no_single_label_is_better(seed: int) -> None:
    field = random_field(LOOP, 4, seed)
    start = np.array([0, *np.random.default_rng(seed).integers(0, 4, 3)])
    end = descend(field, start)
    assert field.energy(end) <= field.energy(start)
    for shape in range(4):
        for label in range(4):
            other = end.copy()
            other[shape] = label
            assert field.energy(end) <= field.energy(other) + 1e-12


@pytest.mark.parametrize(
    ("rotations", "seed"), [(CUBE, 0), (CUBE, 1), (rotation_set("azimuth"), 2)]
)
def test_merging_finds_planted_labels(rotations: RotationSet, seed: int) -> None:
    field, truth = planted_field(40, rotations, seed)
    levels = np.zeros((40, 1), dtype=np.int64)
    np.testing.assert_array_equal(merge_bottom_up(field, levels), truth)
    two_levels = np.stack([np.arange(40) // 10, np.zeros(40, dtype=np.int64)], axis=1)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(merge_bottom_up(field, two_levels, rng), truth)
    np.testing.assert_array_equal(pass_messages(field, truth).argmax(axis=1), truth)


def test_fixed_shapes_keep_their_labels_and_decide_for_the_others() -> None:
    field, truth = planted_field(12, CUBE, 3)
    other = CUBE.product[5][truth]
    pairs = Pairs(field.pairs, field.costs)
    fixed = make_field(pairs, 12, CUBE, {2: int(other[2]), 9: int(other[9])})
    np.testing.assert_array_equal(merge_bottom_up(fixed, np.zeros((12, 1), np.int64)), other)
    torn = make_field(pairs, 12, CUBE, {2: int(truth[2]), 9: int(other[9])})
    found = merge_bottom_up(torn, np.zeros((12, 1), np.int64))
    assert (found[2], found[9]) == (truth[2], other[9])
