from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.checking import KINDS, check_collection
from keypointnet.shapenet.models import ModelError
from keypointnet.shapes import make_model


def write(path: Path, seed: int, change: Callable[[trimesh.Trimesh], object] | None = None) -> None:
    mesh = make_model("chair", seed).meshes[0].copy()
    if change is not None:
        change(mesh)
    path.parent.mkdir(parents=True, exist_ok=True)
    mesh.export(path)


def kinds(root: Path, ignored: tuple[str, ...] = ()) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in check_collection(root, ignored).findings:
        found.setdefault(finding.model, set()).add(finding.kind)
    return found


@pytest.fixture
def chairs(tmp_path: Path) -> Path:
    for seed in (0, 2, 3, 5, 6, 8):
        write(tmp_path / f"{seed}.ply", seed)
    return tmp_path


def test_made_chairs_are_sound(chairs: Path) -> None:
    report = check_collection(chairs)
    assert (report.models, report.findings, report.count()) == (6, [], {})


def test_broken_files_are_reported_and_the_rest_is_looked_at(chairs: Path) -> None:
    (chairs / "nothing.obj").write_bytes(b"")
    (chairs / "points.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    (chairs / "flat.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    (chairs / "wild.ply").write_bytes(b"ply\nformat ascii 1.0\nelement ver")
    (chairs / "nan.obj").write_text("v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n")
    write(chairs / "copy.ply", 3)
    found = kinds(chairs)
    assert found["nothing"] == found["points"] == found["flat"] == {"empty"}
    assert found["wild"] == found["nan"] == {"unreadable"}
    assert found["copy"] == found["3"] == {"duplicate"}
    assert check_collection(chairs).models == 12


def test_the_same_shape_in_another_file_is_a_near_duplicate(chairs: Path) -> None:
    def remesh(mesh: trimesh.Trimesh) -> None:
        rng = np.random.default_rng(0)
        mesh.vertices = 3 * mesh.vertices + rng.normal(0, 0.003, mesh.vertices.shape)

    write(chairs / "again.off", 2, remesh)
    found = check_collection(chairs).findings
    assert [(f.model, f.kind) for f in found] == [(n, "near-duplicate") for n in ("2", "again")]
    assert found[0].text == "as good as again"


def test_a_turned_model_is_told_and_a_turned_copy_too(chairs: Path) -> None:
    def lie_down(mesh: trimesh.Trimesh) -> None:
        mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))

    write(chairs / "4.ply", 4, lie_down)
    assert kinds(chairs) == {"4": {"not-aligned"}}
    write(chairs / "upright.ply", 4)
    assert kinds(chairs)["4"] == {"not-aligned", "near-duplicate"}


def test_each_class_is_compared_with_itself(tmp_path: Path) -> None:
    def turned(axis: tuple[int, int, int], degrees: float) -> Callable[[trimesh.Trimesh], object]:
        matrix = trimesh.transformations.rotation_matrix(np.deg2rad(degrees), axis)
        return lambda mesh: mesh.apply_transform(matrix)

    upright, lying = tmp_path / "03001627", tmp_path / "more" / "lying"
    for seed in range(8):
        write(upright / str(seed) / "model.obj", seed)
        write(lying / f"{seed + 20}.ply", seed + 20, turned((1, 0, 0), 90))
    report = check_collection(tmp_path)
    assert (report.findings, report.small) == ([], [])
    write(upright / "8" / "model.obj", 8, turned((1, 0, 0), 90))
    write(lying / "29.ply", 29)
    write(tmp_path / "few" / "4.ply", 4, turned((0, 0, 1), 90))
    wrong = {"03001627/8": {"not-aligned"}, "more/lying/29": {"not-aligned"}}
    assert kinds(tmp_path) == wrong
    assert check_collection(tmp_path).small == ["few"]
    # A copy is one in any class, however both lie.
    write(lying / "30.ply", 4)
    found = kinds(tmp_path)
    assert found["more/lying/30"] == {"not-aligned", "near-duplicate"}
    assert found["03001627/4"] == {"near-duplicate"}


def test_the_same_file_is_a_duplicate_in_another_class(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name / "chair.ply", 1)
    findings = check_collection(tmp_path).findings
    assert [(f.model, f.text) for f in findings] == [
        ("a/chair", "the same file as b/chair"),
        ("b/chair", "the same file as a/chair"),
    ]


def test_empty_is_told_by_the_kind_of_error_not_by_its_words(tmp_path: Path) -> None:
    folder = tmp_path / "no faces"
    folder.mkdir()
    (folder / "wild.ply").write_bytes(b"ply\nformat ascii 1.0\nelement ver")
    (folder / "same.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    (folder / "void.ac").write_bytes(b"")
    (folder / "bare.ac").write_text("AC3Db\nOBJECT world\nkids 0\n")
    found = kinds(tmp_path)
    assert found.pop("no faces/wild") == {"unreadable"}
    assert set(found) == {"no faces/same", "no faces/void", "no faces/bare"}
    assert all(kind == {"empty"} for kind in found.values())


def test_faults_of_the_mesh_and_its_place(chairs: Path) -> None:
    def spoil(mesh: trimesh.Trimesh) -> None:
        mesh.apply_translation((0.0, 1.0, 0.0))
        mesh.faces = mesh.faces[:, ::-1]

    write(chairs / "7.ply", 7, spoil)
    fan = trimesh.Trimesh(
        [[0, -1, 0], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 1]],
        [[0, 1, 2], [1, 0, 3], [0, 1, 4]],
        process=False,
    )
    fan.export(chairs / "fan.ply")
    found = kinds(chairs, ("not-aligned",))
    assert found["7"] == {"flipped", "not-centred"}
    assert found["fan"] == {"non-manifold", "not-centred"}
    assert kinds(chairs, tuple(KINDS)) == {}


def test_one_model_and_only_copies_and_nothing(tmp_path: Path) -> None:
    write(tmp_path / "one" / "a.ply", 1)
    assert check_collection(tmp_path / "one").findings == []
    for name in "abcdef":
        write(tmp_path / "same" / f"{name}.ply", 1)
    assert set().union(*kinds(tmp_path / "same").values()) == {"duplicate"}
    (tmp_path / "void").mkdir()
    with pytest.raises(ModelError, match="no model below"):
        check_collection(tmp_path / "void")
    with pytest.raises(ValueError, match="unknown kind ugly; expected unreadable, empty"):
        check_collection(tmp_path / "one", ["ugly"])


def test_the_command_says_so_and_ends_with_1(
    chairs: Path, load_tool: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    tool, out = load_tool("shapenet"), chairs.parent / "check.json"
    assert tool.main(["check", str(chairs)]) == 0
    (chairs / "nothing.obj").write_bytes(b"")
    assert tool.main(["check", str(chairs), "--out", str(out)]) == 1
    assert "nothing: empty: " in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert (report["models"], report["kinds"]) == (7, {"empty": 1})
    assert tool.main(["check", str(chairs), "--ignore", "empty"]) == 0
    printed = capsys.readouterr()
    assert "not compared" not in printed.out
    for stage in ("read", "orientation", "files", "shapes", "pairs"):
        assert f"{stage}: 100%" in printed.err


def test_the_command_says_which_classes_are_too_small(
    tmp_path: Path, load_tool: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "few" / "4.ply", 4)
    assert load_tool("shapenet").main(["check", str(tmp_path)]) == 0
    assert "not compared in folders of fewer than 5: few\n" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["read_soup", "find_turned", "file_sha256", "near_duplicates"])
def test_ctrl_c_ends_in_one_line(
    stage: str,
    chairs: Path,
    load_tool: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"keypointnet.shapenet.checking.{stage}", interrupted)
    with pytest.raises(SystemExit) as stop:
        load_tool("shapenet").main(["check", str(chairs)])
    assert stop.value.code == 130
    assert capsys.readouterr().err.endswith("\nstopped\n")
