from __future__ import annotations

import argparse
import importlib.util
import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keypointnet.shapenet import wordnet as wordnet_module
from keypointnet.shapenet.alignment_graph import Pairs, taxonomy_levels
from keypointnet.shapenet.alignment_inference import MarkovField, merge_bottom_up
from keypointnet.shapenet.alignment_rotations import rotation_set
from keypointnet.shapenet.catalogue import open_catalogue
from keypointnet.shapenet.category_paths import category_paths, category_source
from keypointnet.shapenet.commands import align

trees = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("shapenet_trees.py"))))
CHAIR, SWIVEL, ARMCHAIR, TABLE = trees.CHAIR, trees.SWIVEL, trees.ARMCHAIR, trees.TABLE
SEAT = "04161981"
DRAFTING = "20000027"


@pytest.fixture(autouse=True)
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordnet_module, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)


def test_a_model_is_of_its_finest_synset(tmp_path: Path) -> None:
    above = {"synsetId": SEAT, "name": "seat", "children": [CHAIR]}
    core = trees.write_core(tmp_path / "core", taxonomy=[*trees.TAXONOMY, above])
    trees.write_models(core, ["loose/x"])
    catalogue = open_catalogue(core)
    assert category_source(catalogue) == "taxonomy.json"
    assert category_paths(catalogue) == {
        f"{CHAIR}/a": (SEAT, CHAIR, SWIVEL),
        f"{CHAIR}/b": (SEAT, CHAIR, SWIVEL, DRAFTING),
        f"{CHAIR}/c": (SEAT, CHAIR),
        f"{CHAIR}/d": (SEAT, CHAIR, ARMCHAIR),
        f"{TABLE}/t": (TABLE,),
        "loose/x": ("loose",),
    }
    # the folder of one synset knows what lies beside it
    assert category_paths(open_catalogue(core / CHAIR))["b"] == (SEAT, CHAIR, SWIVEL, DRAFTING)


def test_a_synset_elsewhere_in_the_tree_does_not_count(tmp_path: Path) -> None:
    core = trees.write_core(tmp_path / "core")
    rows = [[CHAIR, TABLE, "a"], [CHAIR, f"{SWIVEL},{TABLE}", "b"]]
    trees.write_csv(core / "all.csv", ["synsetId", "subSynsetId", "modelId"], rows)
    paths = category_paths(open_catalogue(core))
    assert paths[f"{CHAIR}/a"] == (CHAIR,)
    assert paths[f"{CHAIR}/b"] == (CHAIR, SWIVEL)


def test_of_several_parents_the_way_from_the_folder_counts(tmp_path: Path) -> None:
    tree = [
        {"synsetId": TABLE, "name": "office furniture", "children": [SWIVEL]},
        {"synsetId": CHAIR, "name": "chair", "children": [SWIVEL]},
        {"synsetId": SWIVEL, "name": "swivel chair", "children": []},
    ]
    core = trees.write_core(tmp_path / "core", taxonomy=tree)
    paths = category_paths(open_catalogue(core))
    assert paths[f"{CHAIR}/a"] == (CHAIR, SWIVEL)
    assert paths[f"{CHAIR}/b"] == (CHAIR, DRAFTING)  # not in the tree: a kind of chair
    assert paths[f"{CHAIR}/c"] == (CHAIR,)


def test_without_taxonomy_there_are_tables_and_folders(tmp_path: Path) -> None:
    core = trees.write_core(tmp_path / "core")
    (core / "taxonomy.json").unlink()
    assert category_source(open_catalogue(core)) == "tables"
    paths = category_paths(open_catalogue(core))
    assert paths[f"{CHAIR}/a"] == (CHAIR, SWIVEL)
    assert paths[f"{CHAIR}/c"] == (CHAIR,)
    for table in core.glob("*.csv"):
        table.unlink()
    trees.write_models(core, ["more/old/x"])
    catalogue = open_catalogue(core)
    assert category_source(catalogue) == "folders"
    assert category_paths(catalogue)[f"{CHAIR}/a"] == (CHAIR,)
    assert category_paths(catalogue)["more/old/x"] == ("more", "old")


@pytest.mark.skipif(importlib.util.find_spec("nltk") is None, reason="nltk is not installed")
def test_wordnet_orders_the_synsets_of_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = trees.write_wordnet(tmp_path / "dict")
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path / "dict"))
    root = trees.write_models(tmp_path / "sem", ["x"])
    row = ["wss.x", ids["office_chair"]]
    trees.write_csv(root / "metadata.csv", ["fullId", "wnsynset"], [row])
    names = ("entity", "artifact", "seat", "chair", "office_chair")
    assert category_paths(open_catalogue(root)) == {"x": tuple(ids[name] for name in names)}


def frustrated() -> MarkovField:
    """Models a, b and c: a-b and b-c want no turn, a-c a quarter; a-c the most, then b-c."""
    rotations = rotation_set("azimuth", steps=4)
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    energies = np.ones((3, 4))
    quarter = int(rotations.inverse[1])
    for row, (best, margin) in enumerate([(0, 0.1), (quarter, 0.5), (0, 0.4)]):
        energies[row, best] -= margin
    least = Pairs(pairs, energies).least[:, None]
    unary = np.zeros((3, 4))
    unary[0, 1:] = np.inf
    return MarkovField(pairs, energies - least, unary, rotations)


def test_models_are_merged_in_the_order_of_the_taxonomy(tmp_path: Path) -> None:
    core = trees.write_core(tmp_path / "core")
    rows = [[CHAIR, SWIVEL, "a"], [CHAIR, SWIVEL, "b"], [CHAIR, ARMCHAIR, "c"]]
    trees.write_csv(core / "all.csv", ["synsetId", "subSynsetId", "modelId"], rows)
    field = frustrated()

    def merged(paths: Mapping[str, tuple[str, ...]]) -> list[int]:
        levels = taxonomy_levels([paths[f"{CHAIR}/{name}"] for name in "abc"])
        return [int(label) for label in merge_bottom_up(field, levels)]

    # without it the surest pair first: c to a, then b to c
    folders = {f"{CHAIR}/{name}": (CHAIR,) for name in "abc"}
    turned = merged(folders)
    assert turned[0] == 0
    assert turned[2] == turned[1] != 0
    # with it the swivel chairs a and b first, though least sure; then the armchair c to both
    assert merged(category_paths(open_catalogue(core))) == [0, 0, turned[2]]


def test_the_command_aligns_by_the_taxonomy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    core = trees.write_core(tmp_path / "core")
    (core / CHAIR / "d" / "models" / "model_normalized.obj").write_text("nothing")
    credits = {f"{CHAIR}/{name}": {"title": name, "licence": "CC0"} for name in "acd"}
    credits[f"{TABLE}/t"] = {"title": "t", "licence": "CC0"}
    (core / "attribution.json").write_text(json.dumps(credits))
    (core / "split.json").write_text(json.dumps({"train": list(credits), "test": [f"{CHAIR}/b"]}))
    seen = {}
    real = align.align_models

    def spy(*args: object, **named: object) -> object:
        seen.update(named)
        return real(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(align, "align_models", spy)
    parser = argparse.ArgumentParser()
    align.add_arguments(parser)
    words = [f"{core}::chair", str(tmp_path / "out"), "--restarts", "1", "--no-refine"]
    assert align.run(parser.parse_args(words)) == 0
    assert seen["taxonomy"] == category_paths(open_catalogue(core))
    written = json.loads((tmp_path / "out" / "transforms.json").read_text())
    assert written["settings"]["categories"] == "taxonomy.json"
    assert sorted(written["models"]) == [f"{CHAIR}/{name}" for name in "abc"]
    assert list(written["left_out"]) == [f"{CHAIR}/d"]
    models = tmp_path / "out" / "models"
    # what was selected and could be read
    kept = [f"{CHAIR}/a", f"{CHAIR}/c"]
    assert json.loads((models / "attribution.json").read_text()) == {k: credits[k] for k in kept}
    split = json.loads((models / "split.json").read_text())
    assert split == {"train": kept, "test": [f"{CHAIR}/b"]}
    paths = category_paths(open_catalogue(models))
    assert paths == {name: seen["taxonomy"][name] for name in written["models"]}
    assert "categories: from taxonomy.json" in capsys.readouterr().out
