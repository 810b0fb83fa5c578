from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from trimesh.creation import box

from keypointnet.drawing import read_picture
from keypointnet.shapenet.commands import symmetry
from keypointnet.shapenet.models import Model, ModelRef, load_model
from keypointnet.shapes import make_model


def test_planes_axes_and_the_answer_for_the_class(
    tmp_path: Path, load_tool: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    models, out, picture = tmp_path / "models", tmp_path / "s.json", tmp_path / "s.png"
    models.mkdir()
    make_model("chair", 0).meshes[0].export(models / "chair.ply")
    make_model("chair", 3).meshes[0].export(models / "club.ply")
    box((1, 2, 3)).export(models / "box.ply")
    (models / "bad.obj").write_bytes(b"")
    words = ["symmetry", str(models), "--out", str(out), "--picture", str(picture)]
    assert load_tool("shapenet").main(words) == 0
    printed = capsys.readouterr().out
    assert "chair: plane x (100.0%); left as right 100.0%" in printed
    assert "the file is empty" in printed
    assert "3 models, 100% look mirror-symmetric in x, 33% of these the same from behind" in printed
    assert "orientation network: needed" in printed
    saved = json.loads(out.read_text())
    assert set(saved["models"]) == {"chair", "club", "box"}
    assert [axis["order"] for axis in saved["models"]["box"]["axes"]] == [2, 2, 2]
    np.testing.assert_allclose(saved["models"]["club"]["planes"][0]["normal"], [1, 0, 0], atol=0.01)
    assert saved["orientation_network"]["needed"] is True
    image = read_picture(picture)
    assert image.shape == (244 + 4, 3 * 224 + 4, 3)
    assert image.std() > 10


def test_nothing_that_can_be_read(
    tmp_path: Path, load_tool: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.obj").write_bytes(b"")
    assert load_tool("shapenet").main(["symmetry", str(tmp_path)]) == 1
    assert "the file is empty" in capsys.readouterr().out


def test_a_model_of_specks_is_named_and_stops_nothing(
    tmp_path: Path, load_tool: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    speck = "v {0} 0 0\nv {0}.0001 0 0\nv {0} 0.0001 0\n"
    (tmp_path / "a.obj").write_text(speck.format(0) + speck.format(100) + "f 1 2 3\nf 4 5 6\n")
    box((1, 2, 3)).export(tmp_path / "b.ply")
    assert load_tool("shapenet").main(["symmetry", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "model a (" in printed
    assert "expected a face with an area, found none" in printed
    assert "1 models, 100% look mirror-symmetric" in printed


def test_what_was_found_is_printed_though_the_run_is_stopped(
    tmp_path: Path,
    load_tool: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a", "b"):
        box((1, 2, 3)).export(tmp_path / f"{name}.ply")

    def stopping(ref: ModelRef) -> Model:
        if ref.id == "b":
            raise KeyboardInterrupt
        return load_model(ref)

    monkeypatch.setattr(symmetry, "load_model", stopping)
    with pytest.raises(SystemExit) as ended:
        load_tool("shapenet").main(["symmetry", str(tmp_path)])
    assert ended.value.code == 130
    assert "a: plane " in capsys.readouterr().out


def test_where_nothing_can_be_written_no_work_is_begun(
    tmp_path: Path, load_tool: Callable[[str], ModuleType]
) -> None:
    (tmp_path / "file").write_text("x")
    for words, expected in (
        (["--out", tmp_path], "is a folder; expected the name of a file"),
        (["--out", tmp_path / "file" / "s.json"], "file is a file, not a folder"),
        (["--picture", tmp_path / "s.xyz"], "s.xyz: expected a picture's name"),
    ):
        with pytest.raises(SystemExit, match=rf"^shapenet symmetry: argument .*{expected}"):
            load_tool("shapenet").main(["symmetry", "/nowhere", *map(str, words)])
