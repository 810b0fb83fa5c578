from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from keypointnet.shapenet.models import Model, normalise_model
from keypointnet.shapenet.near_duplicates import (
    MAX_OUTLINE_RATIO,
    NEAR_DUPLICATE,
    PROBES,
    near_duplicates,
    shape_distance,
    shape_signature,
)
from keypointnet.shapes import make_model


def model_of(*meshes: trimesh.Trimesh) -> Model:
    return normalise_model(Model("m", list(meshes)))


def box(x: float, y: float, z: float) -> Model:
    return model_of(trimesh.creation.box(extents=(x, y, z)))


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


@pytest.fixture(scope="module")
def spoilt_chairs() -> dict[str, np.ndarray]:
    """Signatures of chairs, each as it is, with vertices moved, faces lost, and a part gone."""
    rng = np.random.default_rng(0)
    signatures = {}
    for seed in range(3):
        mesh = make_model("chair", seed).meshes[0]
        fine = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).subdivide()
        for amount in (0.0, 0.005, 0.01, 0.02):
            moved = fine.copy()
            moved.vertices = fine.vertices + rng.normal(0, amount, fine.vertices.shape)
            signatures[f"{seed} moved {amount}"] = shape_signature(model_of(moved))
        for share in (0.02, 0.1, 0.3):
            kept = rng.random(len(fine.faces)) > share
            some = trimesh.Trimesh(fine.vertices, fine.faces[kept], process=False)
            signatures[f"{seed} less {share}"] = shape_signature(model_of(some))
        pieces = fine.split(only_watertight=False)
        for k in range(min(3, len(pieces) - 1)):
            rest = trimesh.util.concatenate([p for n, p in enumerate(pieces) if n != k])
            signatures[f"{seed} without {k}"] = shape_signature(model_of(rest))
    return signatures


def test_no_near_duplicate_is_lost_to_the_index(spoilt_chairs: dict[str, np.ndarray]) -> None:
    ids = sorted(spoilt_chairs)
    distance = {
        (a, b): shape_distance(spoilt_chairs[a], spoilt_chairs[b])
        for k, a in enumerate(ids)
        for b in ids[k + 1 :]
        if np.abs(np.ptp(spoilt_chairs[a], axis=0) - np.ptp(spoilt_chairs[b], axis=0)).max() < 0.2
    }
    for threshold in (1.2, NEAR_DUPLICATE, 2.5):
        groups = {name: frozenset([name]) for name in ids}
        for a, b in [pair for pair, apart in distance.items() if apart <= threshold]:
            whole = groups[a] | groups[b]
            groups |= dict.fromkeys(whole, whole)
        expected = sorted(sorted(group) for group in set(groups.values()))
        assert len(expected) < len(ids) / 2
        assert near_duplicates(spoilt_chairs, threshold) == expected


def test_outlines_differ_by_less_than_they_may(spoilt_chairs: dict[str, np.ndarray]) -> None:
    names = sorted(spoilt_chairs)[::2]
    trees = {name: cKDTree(spoilt_chairs[name]) for name in names}
    outlines = {name: trees[name].query(PROBES)[0] for name in names}
    for a in names:
        for b in names:
            there = trees[b].query(spoilt_chairs[a][:1024])[0].mean()
            back = trees[a].query(spoilt_chairs[b][:1024])[0].mean()
            apart = np.abs(outlines[a] - outlines[b]).mean()
            assert apart <= MAX_OUTLINE_RATIO * (there + back) / 2


def test_signatures_are_read_when_they_are_needed() -> None:
    class Counting(dict[str, np.ndarray]):
        read = 0

        def __getitem__(self, name: str) -> np.ndarray:
            Counting.read += 1
            return super().__getitem__(name)

    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (400, 1, 3)) * 0.05 + rng.uniform(-1, 1, (400, 64, 3))
    signatures = Counting({f"{k:03d}": cloud.astype(np.float32) for k, cloud in enumerate(points)})
    stages = []

    def watch(items, stage):  # type: ignore[no-untyped-def]
        stages.append((stage, len(items)))
        return items

    near_duplicates(signatures, threshold=0.1, watch=watch)
    assert Counting.read == 400
    assert stages == [("shapes", 400), ("pairs", 400)]
