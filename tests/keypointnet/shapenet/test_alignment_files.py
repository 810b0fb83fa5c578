from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.drawing import read_picture
from keypointnet.shapenet import alignment_files
from keypointnet.shapenet.alignment_files import splat, turn_model
from keypointnet.shapenet.alignment_rotations import rotation_set
from keypointnet.shapenet.alignment_shapes import SurfaceSample
from keypointnet.shapenet.commands import align
from keypointnet.shapenet.models import Model, ModelRef, find_models, load_model, normalise_model

R_TIP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # +Y to +Z, +Z to -Y


def stair(turn: np.ndarray) -> trimesh.Trimesh:
    """Two boxes of two colours, without symmetry but for left and right."""
    low = trimesh.creation.box((1.0, 0.4, 2.0))
    high = trimesh.creation.box((1.0, 1.2, 0.5)).apply_translation((0, 0.8, 0.75))
    low.visual.face_colors = [200, 10, 10, 255]
    high.visual.face_colors = [10, 10, 200, 255]
    mesh = trimesh.util.concatenate([low, high])
    T = np.eye(4)
    T[:3, :3] = turn
    return mesh.apply_transform(T)


def write_stairs(root: Path, turns: list[np.ndarray]) -> None:
    for number, turn in enumerate(turns):
        (root / "0001").mkdir(parents=True, exist_ok=True)
        stair(turn).export(root / "0001" / f"stair{number}.ply")


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    align.add_arguments(parser)
    return align.run(parser.parse_args(list(words)))


def points_of(model: Model) -> np.ndarray:
    return np.concatenate([np.asarray(mesh.vertices) for mesh in model.meshes])


def test_a_turned_model_is_normal_again_and_its_matrix_says_how() -> None:
    slanted = normalise_model(Model("a", [stair(np.eye(3))]))
    turn = trimesh.transformations.rotation_matrix(0.5, [0, 1, 0])[:3, :3]
    turned, T_model2aligned = turn_model(slanted, turn)
    points = points_of(turned)
    np.testing.assert_allclose(points.max(axis=0), -points.min(axis=0), atol=1e-9)
    assert np.abs(points).max() == pytest.approx(1)
    expected = points_of(slanted) @ T_model2aligned[:3, :3].T + T_model2aligned[:3, 3]
    np.testing.assert_allclose(points, expected, atol=1e-9)
    scale = np.cbrt(np.linalg.det(T_model2aligned[:3, :3]))
    np.testing.assert_allclose(T_model2aligned[:3, :3] / scale, turn, atol=1e-9)
    normals = np.asarray(slanted.meshes[0].vertex_normals) @ turn.T
    np.testing.assert_allclose(turned.meshes[0].vertex_normals, normals, atol=1e-6)


def test_the_command_writes_transforms_models_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = rotation_set("cube").matrices
    turns = [np.eye(3), R_TIP, cube[5], cube[11]]
    write_stairs(tmp_path / "in", turns)
    (tmp_path / "in" / "0001" / "bad.ply").write_text("ply\nnot really\n")
    out = tmp_path / "out"
    fix = "0001/stair1=+z,+y"  # its up is +z; its front, -Z before it was tipped, is +y
    assert run(str(tmp_path / "in"), str(out), "--fix", fix, "--restarts", "2", "--no-refine") == 0
    written = json.loads((out / "transforms.json").read_text())
    assert list(written["left_out"]) == ["0001/bad"]
    assert "0001/bad" in written["left_out"]["0001/bad"]
    assert written["held"] == ["0001/stair1"]
    assert written["settings"]["fix"] == [fix]
    assert set(written["models"]) == {f"0001/stair{k}" for k in range(4)}
    confidences = [entry["confidence"] for entry in written["models"].values()]
    assert confidences == sorted(confidences, reverse=True)
    plain = points_of(normalise_model(Model("a", [stair(np.eye(3))])))
    for number, turn in enumerate(turns):
        entry = written["models"][f"0001/stair{number}"]
        np.testing.assert_allclose(np.array(entry["rotation"]) @ turn, np.eye(3), atol=1e-6)
        assert entry["held"] == (number == 1)
        model = load_model(
            ModelRef("m", out / "models" / f"0001/stair{number}/models/model_normalized.obj")
        )
        np.testing.assert_allclose(
            np.abs(points_of(model)).max(axis=0), plain.max(axis=0), atol=1e-5
        )
        blue = model.meshes[0].visual.vertex_colors[:, 2] > 150
        assert points_of(model)[blue, 2].min() > 0.4
    assert len(find_models(out / "models")) == 4
    text = (out / "page.html").read_text()
    assert text.index("0001/stair1") < text.index("Left out") < text.index("0001/bad")
    pictures = sorted((out / "pictures").iterdir())
    assert [path.name for path in pictures] == [f"{k:05d}.png" for k in range(4)]
    assert read_picture(pictures[0]).shape == (128, 256, 3)
    printed = capsys.readouterr().out
    assert "4 models aligned, 1 left out" in printed
    assert "aligned with 0001/stair1" in printed


def test_an_output_that_holds_something_is_refused(tmp_path: Path) -> None:
    write_stairs(tmp_path / "in", [np.eye(3)])
    Image.new("RGB", (1, 1)).save(tmp_path / "mine.png")
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        run(str(tmp_path / "in"), str(tmp_path))
    with pytest.raises(ValueError, match=r"mine\.png: expected a new or empty folder"):
        run(str(tmp_path / "in"), str(tmp_path / "mine.png"))
    (tmp_path / ".unfinished").mkdir()  # with what no alignment writes beside it
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        run(str(tmp_path / "in"), str(tmp_path))
    assert (tmp_path / ".unfinished").is_dir()


def test_a_stopped_alignment_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stairs(tmp_path / "in", [np.eye(3), R_TIP])
    out = tmp_path / "out"
    words = [str(tmp_path / "in"), str(out), "--restarts", "1", "--no-refine"]

    def stopped(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(alignment_files, "page", stopped)  # when the models are written
        with pytest.raises(KeyboardInterrupt):
            run(*words)
        assert list(out.iterdir()) == []
        patch.setattr(alignment_files, "_clear", lambda folder: None)  # as when it is killed
        with pytest.raises(KeyboardInterrupt):
            run(*words)
    left = out / ".unfinished" / "models"
    assert len(find_models(left)) == 2
    left.rename(out / "models")  # killed while the parts are put into place
    (out / "models" / "old.txt").write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(alignment_files.os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(*words)
        assert list(out.iterdir()) == []
    assert run(*words) == 0
    names = ["models", "page.html", "pictures", "transforms.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    before = (out / "transforms.json").read_bytes()
    with pytest.raises(ValueError, match=r"out: holds a finished alignment; name another folder"):
        run(*words)
    assert (out / "transforms.json").read_bytes() == before


def test_models_inside_one_another_stay_apart(tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "a").mkdir(parents=True)
    stair(np.eye(3)).export(root / "a.ply")
    stair(R_TIP).export(root / "a" / "b.ply")
    out = tmp_path / "out"
    words = ["--fix", "a=+y,-z", "--restarts", "1", "--no-refine"]
    assert run(str(root), str(out), *words) == 0
    written = json.loads((out / "transforms.json").read_text())["models"]
    found = find_models(out / "models")
    assert [ref.id for ref in found] == sorted(written) == ["a", "a/b"]
    one, other = (points_of(load_model(ref)) for ref in found)
    np.testing.assert_allclose(one.max(axis=0), other.max(axis=0), atol=1e-5)
    np.testing.assert_allclose(sorted(one.mean(axis=0)), sorted(other.mean(axis=0)), atol=1e-5)
    (root / "a.glb.ply").write_bytes((root / "a.ply").read_bytes())
    with pytest.raises(ValueError, match=r"a lies beside its own folder \(a/b\).*rename one"):
        run(str(root), str(tmp_path / "more"), *words)
    assert not (tmp_path / "more").exists()


def test_fixed_orientations_are_read() -> None:
    found = align.read_fixed(["a=+y,-z", "b/c=90", "d=e=+z,+y"])
    np.testing.assert_allclose(found["a"], np.eye(3))
    np.testing.assert_allclose(found["b/c"] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found["d=e"] @ [0, 0, 1], [0, 1, 0])
    np.testing.assert_allclose(found["d=e"] @ [0, 1, 0], [0, 0, -1])
    for up in align.AXES:
        for front in align.AXES:
            if align.AXES[up] @ align.AXES[front] == 0:
                R = align.read_fixed([f"m={up},{front}"])["m"]
                assert np.linalg.det(R) == pytest.approx(1)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("chair", "expected ID=DEGREES or ID=UP,FRONT"),
        ("=90", "expected ID=DEGREES or ID=UP,FRONT"),
        ("a=north", "such as \\+z,-y"),
        ("a=nan", "such as \\+z,-y"),
        ("a=+y,-y", "two axes at right angles"),
        ("a=+y,up", "two axes at right angles"),
    ],
)
def test_a_wrong_fix_is_refused(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        align.read_fixed([word])
    with pytest.raises(ValueError, match="a is fixed twice"):
        align.read_fixed(["a=0", "a=90"])


def test_a_picture_shows_the_front_from_above_and_the_side() -> None:
    points = np.zeros((3, 3), np.float32)
    points[:, 1] = [-1, 0, 1]
    upright = SurfaceSample(points, np.tile(np.float32([0, 0, 1]), (3, 1)))
    picture = splat(upright, np.eye(3), size=64)
    assert picture.shape == (64, 64, 3)
    rows, columns = np.nonzero((picture != picture[0, 0]).any(axis=2))
    assert set(columns) == {32, 33}
    assert rows.max() - rows.min() > 40
    front = SurfaceSample(points[:, [0, 2, 1]], upright.normals)  # along Z: slants down and aside
    shown = np.nonzero((splat(front, np.eye(3), size=64) != picture[0, 0]).any(axis=2))
    assert shown[1].max() - shown[1].min() > 15
