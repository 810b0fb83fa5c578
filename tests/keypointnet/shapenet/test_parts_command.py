from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from keypointnet.drawing import read_picture
from keypointnet.shapenet.bench_parts import limb_tree, parts_figures
from keypointnet.shapenet.models import Model, ModelError
from keypointnet.shapenet.parts_reading import labelled_parts, read_parts
from keypointnet.shapes import make_model
from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.primitives import box

BOXES = {"seat": ((2, 0.2, 2), (0, 2, 0)), "leg": ((0.4, 2, 0.4), (0, 1, 0))}


def grouped_obj(path: Path) -> Path:
    lines: list[str] = []
    for k, (name, (size, centre)) in enumerate(BOXES.items()):
        piece = box(size, centre)
        start = 1 + sum(line.startswith("v ") for line in lines)
        lines += [f"v {x} {y} {z}" for x, y, z in piece.vertices]
        lines += [f"g {name}", f"usemtl material{k}"]
        lines += ["f " + " ".join(str(start + i) for i in face) for face in piece.faces]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def two_pieces() -> Model:
    assembly = Assembly()
    grey = np.full(3, 0.5)
    assembly.add("legs", grey, box((0.1, 1, 0.1), (0.5, 0, 0)), both=True)
    assembly.add("seat", grey, box((1, 0.1, 1), (0, 0.5, 0)))
    return assembly.build("two")


def test_a_parametric_model_has_its_labels_over_its_pieces() -> None:
    root = labelled_parts(two_pieces())
    assert [(depth, part.name, len(part.surface[1])) for depth, part in root.walk()] == [
        (0, "two", 48),
        (1, "legs", 32),
        (2, "piece 1", 16),
        (2, "piece 2", 16),
        (1, "seat", 16),
    ]
    np.testing.assert_allclose(
        root.children[0].children[0].centroid[0], -root.children[0].children[1].centroid[0]
    )
    chair = make_model("chair", 3)
    tree = labelled_parts(chair)
    assert tree.area == pytest.approx(chair.meshes[0].area)
    assert {part.name for part in tree.children} == set(chair.meshes[0].metadata["parts"]["names"])
    chair.meshes[0].metadata.clear()
    with pytest.raises(ValueError, match="chair-00003 has no part labels"):
        labelled_parts(chair)


def test_limbs_lie_where_their_names_say() -> None:
    root = limb_tree(make_model("chair", 2))
    assert {part.name for part in root.children} >= {"seat", "back", "left front leg"}
    total = 0.0
    for part in root.children:
        total += part.area or 0
        x, _, z = part.centroid
        if "left" in part.name:
            assert x < 0
        if "right" in part.name:
            assert x > 0
        if "leg" in part.name:
            assert ("front" in part.name) == (z < 0)
    assert total == pytest.approx(make_model("chair", 2).meshes[0].area)


def test_the_figures_beat_chance_and_confuse_no_sides() -> None:
    figures = parts_figures(n_models=6, n_pairs=8)
    limbs, pieces = figures["limbs"], figures["pieces"]
    assert (figures["models"], figures["pairs"]) == (6, 8)
    assert limbs["shared"] > 20
    assert limbs["correspond"] > 0.6 > 0.3 > limbs["chance"]
    assert limbs["sides_confused"]["correspond"] == 0
    assert pieces["correspond"] > pieces["chance"]
    assert 0 < pieces["matched_share"] <= 1
    assert parts_figures(n_models=6, n_pairs=8) == figures


def test_read_parts_knows_each_kind_by_its_name(tmp_path: Path) -> None:
    path = grouped_obj(tmp_path / "objects" / "a.obj")
    assert [part.name for part in read_parts(str(path)).children] == ["seat", "leg"]
    assert [part.name for part in read_parts(str(path.parent)).children] == ["seat", "leg"]
    assert read_parts("chair:3-4").name == "chair-00003"
    tree = [{"name": "chair", "children": [{"name": n, "objs": [n]} for n in ("seat", "leg")]}]
    folder = tmp_path / "42"
    for name in ("seat", "leg"):
        grouped_obj(folder / "objs" / f"{name}.obj")
    (folder / "result.json").write_text(json.dumps(tree))
    for model in (folder, folder / "result.json"):
        assert read_parts(str(model)).name == "chair"
    (tmp_path / "abc.txt").write_text("0 0 0 0 1 0 12\n1 1 1 0 1 0 13\n")
    assert [part.name for part in read_parts(str(tmp_path / "abc.txt")).children] == [
        "back",
        "seat",
    ]
    grouped_obj(tmp_path / "objects" / "b.obj")
    with pytest.raises(ModelError, match=r"objects: 2 models; name one of them, such as .*a\.obj"):
        read_parts(str(tmp_path / "objects"))
    with pytest.raises(ValueError, match=r"chair:3-5: 2 models; name one .* such as chair:3-4"):
        read_parts("chair:3-5")
    with pytest.raises(ModelError, match=r"a\.obj: has no file of labels, as a \.pts cloud has"):
        read_parts(str(path), labels=tmp_path / "abc.txt")
    with pytest.raises(ModelError, match=r"a\.zip: unpack the archive"):
        read_parts(str(tmp_path / "a.zip"))
    with pytest.raises(ValueError, match="no such folder"):
        read_parts(str(tmp_path / "nothing"))


def test_metadata_above_a_model_are_used(tmp_path: Path) -> None:
    path = grouped_obj(tmp_path / "models" / "a.obj")
    (tmp_path / "metadata.csv").write_text(
        'fullId,aligned.dims,weight\nwss.a,"50,50,52.5",98.0665\n'
    )
    root = read_parts(str(path))
    assert root.mass_kg == pytest.approx(10)
    np.testing.assert_allclose(root.extents * (root.cm_per_unit or 0), [50, 52.5, 50])
    (tmp_path / "metadata.csv").write_text("fullId,weight\nwss.b,1\n")
    assert "has no row of a" in read_parts(str(path)).notes[-1]
    (tmp_path / "metadata.csv").write_text("id\n")  # another collection's
    assert "it has no column fullId" in read_parts(str(path)).notes[-1]
    with pytest.raises(ModelError, match="it has no column fullId"):
        read_parts(str(path), metadata=tmp_path / "metadata.csv")


def test_metadata_of_a_model_that_is_selected_or_named_by_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "03001627" / "abc"
    files = [folder / "models" / "model_normalized.obj", folder / "model.obj"]
    (tmp_path / "metadata.csv").write_text("fullId,weight\nwss.abc,98.0665\n")
    for path in files:
        grouped_obj(path)
        for model in (path, folder, f"{tmp_path}::03001627"):
            root = read_parts(str(model))
            assert (root.name.rpartition("/")[2], root.notes) == ("abc", ["parts are its groups"])
            assert root.mass_kg == pytest.approx(10)
        path.unlink()


def test_the_command_prints_compares_draws_and_writes(
    tmp_path: Path, load_tool: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    tool = load_tool("shapenet")
    path = grouped_obj(tmp_path / "a.obj")
    assert tool.main(["parts", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a: 1.905 x 2.000 x 1.905",
        "├─ seat: 1.905 x 0.190 x 1.905 material0",
        "└─ leg: 0.381 x 1.905 x 0.381 material1",
        "  parts are its groups",
    ]
    picture, out = tmp_path / "parts.png", tmp_path / "parts.json"
    words = ["parts", str(path), "--other", "chair:3-4", "--most", "3"]
    assert tool.main([*words, "--picture", str(picture), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "seat = seat (name, " in printed
    assert "only in the other: " in printed
    value = json.loads(out.read_text())
    assert value["correspondence"]["matches"][0]["by"] == "name"
    assert [child["name"] for child in value["model"]["children"]] == ["seat", "leg"]
    assert value["other"]["name"] == "chair-00003"
    assert read_picture(picture).shape == (420, 840 + 260, 3)


def test_the_command_tells_in_one_line_what_is_wrong(
    tmp_path: Path, load_tool: Callable[[str], ModuleType]
) -> None:
    (tmp_path / "result.json").write_text('[{"name": "chair", "objs": ["../../secret"]}]')
    with pytest.raises(SystemExit, match=r"^shapenet: .*would lie outside the model's folder"):
        load_tool("shapenet").main(["parts", str(tmp_path)])


def test_part_names_are_held_against_the_words_of_a_class(
    tmp_path: Path, load_tool: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nltk")
    trees = runpy.run_path(str(Path(__file__).with_name("shapenet_trees.py")))
    trees["write_wordnet"](tmp_path / "dict")
    model = grouped_obj(tmp_path / "a.obj")
    model.write_text(model.read_text().replace("g leg", "g backrest"))
    words = ["parts", str(model), "--wordnet", str(tmp_path / "dict")]
    tool = load_tool("shapenet")
    assert tool.main([*words, "--class", "chair", "--json", str(tmp_path / "a.json")]) == 0
    assert "in the dictionary: backrest" in capsys.readouterr().out
    links = json.loads((tmp_path / "a.json").read_text())["meronyms"]
    assert links["linked"] == {"backrest": "backrest"}
    assert "seat" in links["unknown"]
    with pytest.raises(SystemExit, match="--class chiar: WordNet has no such noun"):
        tool.main([*words, "--class", "chiar"])
