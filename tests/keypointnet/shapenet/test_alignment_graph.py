from __future__ import annotations

import numpy as np
import pytest

from keypointnet.shapenet.alignment_graph import (
    SAME,
    join_shapes,
    pair_energies,
    taxonomy_levels,
)
from keypointnet.shapenet.alignment_rotations import rotation_set
from keypointnet.shapenet.alignment_shapes import SurfaceSample, place, signatures

AZIMUTH = rotation_set("azimuth", steps=6)


def blocks(seed: int, n_blocks: int = 3) -> SurfaceSample:
    """A few random boxes' surfaces, placed."""
    rng = np.random.default_rng(seed)
    points, normals = [], []
    for _ in range(n_blocks):
        centre, half = rng.uniform(-0.6, 0.6, 3), rng.uniform(0.1, 0.4, 3)
        on = rng.uniform(-1, 1, (200, 3))
        axis = rng.integers(0, 3, 200)
        on[np.arange(200), axis] = np.sign(on[np.arange(200), axis])
        points.append(centre + on * half)
        normals.append(np.eye(3)[axis])
    sample = SurfaceSample(
        np.concatenate(points).astype(np.float32), np.concatenate(normals).astype(np.float32)
    )
    return place(sample, "azimuth")[0]


def pieces_of(pairs: np.ndarray, n: int) -> int:
    piece = list(range(n))
    for i, j in pairs.tolist():
        piece = [piece[i] if p == piece[j] else p for p in piece]
    return len(set(piece))


def test_energies_are_one_minus_the_cosine_of_signatures() -> None:
    samples = [blocks(seed) for seed in range(4)]
    pairs = np.array([[0, 2], [1, 3], [0, 3]])
    found = pair_energies(samples, pairs, AZIMUTH)
    assert found.shape == (3, 6)
    for row, (i, j) in zip(found, pairs, strict=True):
        for g, R in enumerate(AZIMUTH.matrices):
            first = signatures(samples[i], np.eye(3)[None])[0]
            second = signatures(samples[j], R[None])[0]
            assert row[g] == pytest.approx(1 - first @ second, abs=1e-5)


def test_the_energy_of_a_turned_copy_is_least_at_the_rotation_back() -> None:
    sample = blocks(5)
    turned = sample.turned(AZIMUTH.matrices[2])
    energies = pair_energies([sample, turned], np.array([[0, 1]]), AZIMUTH)[0]
    assert energies.argmin() == AZIMUTH.inverse[2]
    assert energies.min() < 1e-3
    assert np.sort(energies)[1] > 0.2


def test_no_pairs_have_no_energies() -> None:
    assert pair_energies([blocks(0)], np.zeros((0, 2), int), AZIMUTH).shape == (0, 6)


def test_shapes_are_joined_to_the_most_similar_and_into_one_piece() -> None:
    kinds = [blocks(seed) for seed in (1, 2, 3)]
    rng = np.random.default_rng(0)
    samples = [
        SurfaceSample(
            kinds[k % 3].points + rng.normal(0, 0.03, (600, 3)).astype(np.float32),
            kinds[k % 3].normals,
        )
        for k in range(15)
    ]
    found = join_shapes(samples, AZIMUTH, neighbours=2, candidates=6)
    assert (found.pairs[:, 0] < found.pairs[:, 1]).all()
    assert len(np.unique(found.pairs, axis=0)) == len(found.pairs)
    assert pieces_of(found.pairs, 15) == 1
    same_kind = found.pairs[:, 0] % 3 == found.pairs[:, 1] % 3
    assert pieces_of(found.pairs[same_kind], 15) == 3
    np.testing.assert_array_equal(found.least, found.energies.min(axis=1))
    assert found.least[same_kind].max() < found.least[~same_kind].min()


def test_copies_are_joined_to_other_shapes_too() -> None:
    samples = [blocks(1)] * 6 + [blocks(2)] * 6
    found = join_shapes(samples, AZIMUTH, neighbours=2, candidates=4)
    assert pieces_of(found.pairs, 12) == 1
    across = found.pairs[(found.pairs < 6).sum(axis=1) == 1]
    assert len(across) >= 1
    assert (found.least < SAME).sum() >= 10


def test_one_shape_and_identical_shapes() -> None:
    assert join_shapes([blocks(0)], AZIMUTH).pairs.shape == (0, 2)
    found = join_shapes([blocks(0)] * 3, AZIMUTH)
    assert found.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(found.least, 0, atol=1e-5)


def test_with_a_taxonomy_categories_are_joined_inside_first() -> None:
    samples = [blocks(seed) for seed in range(8)]
    paths = [["seat", "chair"]] * 4 + [["seat", "sofa"]] * 4
    found = join_shapes(samples, AZIMUTH, taxonomy_levels(paths), neighbours=1, candidates=1)
    inside = (found.pairs < 4).sum(axis=1) != 1
    assert pieces_of(found.pairs[inside], 8) == 2
    assert pieces_of(found.pairs, 8) == 1


def test_levels_of_a_taxonomy_start_at_the_leaves() -> None:
    paths = [["seat", "chair"], ["seat", "sofa"], ["seat", "chair"], ["car"], []]
    levels = taxonomy_levels(paths)
    assert levels.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0], [2, 1, 0], [3, 2, 0]]
    assert taxonomy_levels([(), ()]).tolist() == [[0], [0]]
