from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.alignment import align_models, align_samples
from keypointnet.shapenet.alignment_refine import refine
from keypointnet.shapenet.alignment_rotations import angle_deg, azimuth_matrices, rotation_set
from keypointnet.shapenet.alignment_shapes import SurfaceSample, place, sample_surface
from keypointnet.shapenet.models import Model, ModelError, find_models


def plain_chair(seed: int) -> Model:
    """Seat, back, four legs, one arm, of random sizes; upright, front -Z. No symmetry at all."""
    rng = np.random.default_rng(seed)
    width, depth, seat, back = rng.uniform([0.8, 0.8, 0.6, 0.8], [1.0, 1.0, 0.8, 1.1])
    parts = [
        ((width, 0.1, depth), (0, seat, 0)),
        ((width, back, 0.1), (0, seat + back / 2, depth / 2)),
    ]
    parts += [
        ((0.1, seat, 0.1), (x * width / 2.2, seat / 2, z * depth / 2.2))
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    parts.append(((0.15, 0.1, 0.8 * depth), (width / 2, seat + 0.3, 0)))
    boxes = []
    for extents, centre in parts:
        box = trimesh.creation.box(extents)
        box.apply_translation(centre)
        boxes.append(box)
    return Model(f"chair-{seed}", [trimesh.util.concatenate(boxes)])


def chairs(n: int) -> list[SurfaceSample]:
    return [sample_surface(plain_chair(seed), seed=0, n_points=3000) for seed in range(n)]


def errors_deg(R: np.ndarray, true_R: np.ndarray) -> np.ndarray:
    """How far each shape is turned against the first."""
    left = R @ true_R
    return angle_deg(left[0].T @ left)


@pytest.mark.parametrize("kind", ["azimuth", "cube"])
def test_turned_chairs_are_aligned(kind: str) -> None:
    samples = chairs(7)
    rng = np.random.default_rng(4)
    if kind == "cube":
        true_R = rotation_set("cube").matrices[rng.integers(0, 24, 7)]
    else:
        true_R = azimuth_matrices(rng.uniform(0, 2 * np.pi, 7))
    turned = [sample.turned(R) for sample, R in zip(samples, true_R, strict=True)]
    found = align_samples(turned, kind, restarts=3, seed=1)
    assert errors_deg(found.R, true_R).max() < 5
    assert len(found.held) == 1
    np.testing.assert_allclose(found.R[found.held[0]], np.eye(3), atol=1e-9)
    assert found.confidence.shape == (7,)
    assert found.confidence[found.held[0]] == pytest.approx(1)
    assert found.confidence.min() > 0.5
    assert len(found.energies) == 3
    assert found.energy == min(found.energies)
    again = align_samples(turned, kind, restarts=3, seed=1)
    np.testing.assert_array_equal(again.R, found.R)


def test_a_fixed_shape_decides_for_all() -> None:
    cube = rotation_set("cube").matrices
    true_R = cube[[5, 0, 11, 20]]
    turned = [sample.turned(R) for sample, R in zip(chairs(4), true_R, strict=True)]
    found = align_samples(turned, "cube", fixed={2: true_R[2].T}, restarts=2)
    assert found.held == (2,)
    np.testing.assert_array_equal(found.R[2], true_R[2].T)
    assert angle_deg(found.R @ true_R).max() < 5


def test_one_shape_stays_as_it_is() -> None:
    found = align_samples(chairs(1), "cube")
    np.testing.assert_allclose(found.R, np.eye(3)[None])
    assert found.confidence.tolist() == [1.0]
    assert (found.held, found.n_pairs) == ((0,), 0)


def test_identical_shapes_are_turned_to_lie_alike() -> None:
    sample = chairs(1)[0]
    cube = rotation_set("cube").matrices[[0, 3, 14, 3, 22]]
    found = align_samples([sample.turned(R) for R in cube], "cube")
    assert errors_deg(found.R, cube).max() < 1e-3


def test_a_shape_that_looks_alike_from_all_sides_is_not_trusted() -> None:
    pillar = sample_surface(
        Model("pillar", [trimesh.creation.cylinder(0.3, 1.0).apply_transform(upright())]), 0, 3000
    )
    found = align_samples([*chairs(4), pillar], "azimuth", restarts=2)
    assert found.confidence[4] < 0.4 < found.confidence[:4].min()


def upright() -> np.ndarray:
    """Trimesh's cylinders stand along Z."""
    return np.asarray(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))


def test_what_cannot_be_aligned_is_refused() -> None:
    samples = chairs(2)
    with pytest.raises(ValueError, match="got 0 shapes, 8 restarts"):
        align_samples([], "cube")
    with pytest.raises(ValueError, match="got 2 shapes, 0 restarts"):
        align_samples(samples, "cube", restarts=0)
    with pytest.raises(ValueError, match="expected 2 paths"):
        align_samples(samples, "cube", paths=[("chair",)])
    with pytest.raises(ValueError, match="expected a shape below 2, got 2"):
        align_samples(samples, "cube", fixed={2: np.eye(3)})
    with pytest.raises(ValueError, match="shape 1: expected a 3x3 rotation"):
        align_samples(samples, "cube", fixed={1: np.diag([1.0, 1.0, -1.0])})
    tipped = rotation_set("cube").matrices[np.abs(rotation_set("cube").matrices[:, 1, 1]) < 0.5][0]
    with pytest.raises(ValueError, match='90 degrees from the nearest of "azimuth"'):
        align_samples(samples, "azimuth", fixed={0: tipped})


@pytest.mark.parametrize(("kind", "axis"), [("azimuth", [0, 1, 0]), ("cube", [0.6, 0, 0.8])])
def test_refining_turns_a_shape_back(kind: str, axis: list[float]) -> None:
    placed = [place(sample, kind)[0] for sample in [chairs(1)[0]] * 3]
    askew = azimuth_matrices(np.deg2rad([6.0]))[0]
    if kind == "cube":
        tilt = np.asarray(trimesh.transformations.rotation_matrix(np.deg2rad(7), axis))
        askew = tilt[:3, :3]
    placed[1] = placed[1].turned(askew)
    R = np.tile(np.eye(3), (3, 1, 1))
    pairs, weights = np.array([[0, 1], [1, 2], [0, 2]]), np.ones(3)
    found = refine(placed, R, pairs, weights, kind, frozenset([0]))
    np.testing.assert_array_equal(found[0], np.eye(3))
    assert angle_deg(found[1] @ askew) < 2.5
    assert angle_deg(found[2]) < 2.5


def write_models(root: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        plain_chair(number).meshes[0].export(folder / "model.obj")


def test_a_model_that_cannot_be_read_is_left_out_by_name(tmp_path: Path) -> None:
    write_models(tmp_path, ["chair/a", "chair/b", "sofa/c"])
    (tmp_path / "chair" / "broken").mkdir()
    (tmp_path / "chair" / "broken" / "model.obj").write_text("v 0 0 nonsense\n")
    refs = find_models(tmp_path)
    seen: list[str] = []
    found = align_models(refs, "cube", restarts=1, on_model=seen.append)
    assert found.ids == ("chair/a", "chair/b", "sofa/c")
    assert list(found.left_out) == ["chair/broken"]
    assert "chair/broken" in found.left_out["chair/broken"]
    assert seen == [ref.id for ref in refs]
    assert errors_deg(found.alignment.R, np.tile(np.eye(3), (3, 1, 1))).max() < 5
    with pytest.raises(ModelError, match="chair/broken"):
        align_models(refs, fixed={"chair/broken": np.eye(3)})
    with pytest.raises(ValueError, match="fixed: chair/d is not among the 4 models; ids look like"):
        align_models(refs, fixed={"chair/d": np.eye(3)})
    broken = [ref for ref in refs if ref.id == "chair/broken"]
    with pytest.raises(ModelError, match=r"none of 1 models can be read: .*chair/broken"):
        align_models(broken)
