"""tools/shapenet.py similar: queries of every kind, and what cannot be searched."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import trimesh
from PIL import Image

from keypointnet.shapenet.model_views import ModelViews, cameras_at, rendered_views
from keypointnet.shapenet.models import ModelRef


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("shapenet")


def box(extents: tuple[float, float, float], at: tuple[float, float, float]) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(extents)
    mesh.apply_translation(at)
    return mesh


def seat(back: float) -> trimesh.Trimesh:
    legs = [box((0.1, 1, 0.1), (x, -0.5, z)) for x in (-0.4, 0.4) for z in (-0.4, 0.4)]
    top = [box((1, 0.1, 1), (0, 0, 0)), box((1, back, 0.1), (0, back / 2, 0.45))]
    return trimesh.util.concatenate([*legs, *top])


def plane(span: float) -> trimesh.Trimesh:
    wings = [box((span, 0.05, 0.4), (0, 0, 0)), box((0.8, 0.05, 0.2), (0, 0.1, 1.1))]
    return trimesh.util.concatenate([box((0.3, 0.3, 2.6), (0, 0, 0)), *wings])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    made = {"seats/low": seat(0.6), "seats/high": seat(1.0), "planes/wide": plane(2.8)}
    made |= {"planes/narrow": plane(2.2), "planes/copy": plane(2.2)}
    for name, mesh in made.items():
        (root / name).parent.mkdir(exist_ok=True)
        mesh.export(root / f"{name}.obj")
    return root


def answers(text: str) -> list[tuple[float, str]]:
    return [
        (float(d), name) for d, name in re.findall(r"^ *\d+  (\S+)  (\S+)$", text, re.MULTILINE)
    ]


def message(tool, *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        tool.main(["similar", *map(str, words)])
    text = str(stop.value)
    assert text.startswith("shapenet")
    assert "\n" not in text
    return text


def test_a_model_of_the_collection(tool, models, tmp_path, capsys):
    index = tmp_path / "all.index"
    for _ in range(2):
        assert (
            tool.main(["similar", str(models), "seats/low", "--n", "2", "--index", str(index)]) == 0
        )
        found = answers(capsys.readouterr().out)
        assert found[0][1] == "seats/high"
        assert found[1][1].startswith("planes/")
        assert 0 < found[0][0] < found[1][0]
    assert index.exists()
    # a copy is an answer, at no distance; the query itself is none
    tool.main(["similar", str(models), "narrow", "--index", str(index)])
    found = answers(capsys.readouterr().out)
    assert found[0] == (0.0, "planes/copy")
    assert len(found) == 4


def test_a_mesh_that_is_turned(tool, models, tmp_path, capsys):
    mesh = seat(1.0)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(0.7, (0, 1, 0)))
    mesh.export(tmp_path / "turned.ply")
    tool.main(["similar", str(models), str(tmp_path / "turned.ply"), "--n", "1"])
    ((distance, name),) = answers(capsys.readouterr().out)
    assert name == "seats/high"
    assert distance < 0.01
    # a file of the collection, given by its path, is no answer to itself
    tool.main(["similar", str(models), str(models / "seats" / "high.obj"), "--n", "1"])
    assert answers(capsys.readouterr().out)[0][1] == "seats/low"


@pytest.mark.slow
def test_a_picture(tool, models, tmp_path, capsys):
    ref = ModelRef("planes/wide", models / "planes" / "wide.obj")
    camera = cameras_at([67.0], [25.0], 8.0, 32.0, (160, 200))
    ((_, views),) = rendered_views([ModelViews(ref, *camera)], (160, 200))
    assert isinstance(views, np.ndarray)
    assert views.shape == (1, 160, 200, 4)
    path, sheet = tmp_path / "black.png", tmp_path / "sheet.png"
    Image.fromarray(views[0, ..., :3]).save(path)
    words = ["similar", str(models), str(path), "--n", "3", "--picture", str(sheet)]
    assert tool.main([*words, "--index", str(tmp_path / "all.index")]) == 0
    found = answers(capsys.readouterr().out)
    assert {name for _, name in found} == {"planes/wide", "planes/narrow", "planes/copy"}
    with Image.open(sheet) as image:
        assert image.size == (4 * (192 + 4) + 4, 192 + 40 + 8)


def test_what_cannot_be_a_query(tool, models, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("neither")
    assert re.search("notes.txt: cannot be read as a picture.*nor a model's id",
                     message(tool, models, text))  # fmt: skip
    broken = tmp_path / "broken.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:50])
    assert "broken.png: cannot be read as a picture" in message(tool, models, broken)
    assert "seats/lo: neither a model's id nor a mesh or picture file; similar ids: seats/low" in (
        message(tool, models, "seats/lo")
    )
    assert "a folder of 5 models; expected one" in message(tool, models, models)
    assert "is a model; a box or a mask belongs to a picture" in (
        message(tool, models, "seats/low", "--box", "0,0,9,9")
    )
    assert "expected X0,Y0,X1,Y1 in pixels, got '1,2'" in (
        message(tool, models, broken, "--box", "1,2")
    )
    assert "expected X0,Y0,X1,Y1 in pixels, got 'nan,0,9,9'" in (
        message(tool, models, broken, "--box", "nan,0,9,9")
    )
    assert "broken.png is a file, not a folder" in (
        message(tool, models, "seats/low", "--index", broken / "all.index")
    )
    assert "s.xyz: expected a picture's name" in (
        message(tool, models, "seats/low", "--picture", tmp_path / "s.xyz")
    )
    assert "high.obj: is no whole index of models" in (
        said := message(tool, models, "seats/low", "--index", models / "seats" / "high.obj")
    )
    assert "name another file; if it is an index, delete it" in said
    mesh = tmp_path / "mesh.obj"
    mesh.write_text("v 0 0 0\n")
    assert "mesh.obj" in message(tool, models, mesh)


def test_collections_in_which_nothing_can_be_found(tool, models, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no model below" in message(tool, empty, "a")
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(models / "seats" / "low.obj", one)
    assert "n = 5 and 0 other models" in message(tool, one, "low")
    tool.main(["similar", str(one), str(models / "seats" / "high.obj")])
    assert [name for _, name in answers(capsys.readouterr().out)] == ["low"]
    (one / "bad.obj").write_text("v 0 0 0\n")
    assert tool.main(["similar", str(one), "low"]) == 1
    assert "left out: bad: model bad" in capsys.readouterr().out


def test_two_models_of_one_name(tool, models, tmp_path):
    for kind in "xy":
        (tmp_path / kind).mkdir()
        shutil.copy(models / "seats" / "low.obj", tmp_path / kind)
    assert "low: 2 models are called so: x/low, y/low" in message(tool, tmp_path, "low")
