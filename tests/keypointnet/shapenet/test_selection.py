from __future__ import annotations

import importlib.util
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from keypointnet.shapenet import wordnet as wordnet_module
from keypointnet.shapenet.catalogue import open_catalogue
from keypointnet.shapenet.metadata import MetadataError, Record, read_metadata
from keypointnet.shapenet.selection import select_models, split_selection
from keypointnet.shapenet.taxonomy import TaxonomyError
from keypointnet.views.scene_files import models_of_split
from keypointnet.views.sources import class_name, find_sources, models_folder

trees = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("shapenet_trees.py"))))
CHAIR, SWIVEL, ARMCHAIR, TABLE = trees.CHAIR, trees.SWIVEL, trees.ARMCHAIR, trees.TABLE
needs_nltk = pytest.mark.skipif(
    importlib.util.find_spec("nltk") is None, reason="nltk is not installed"
)


@pytest.fixture(autouse=True)
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordnet_module, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)


def selected(models: str) -> str:
    return " ".join(source.id.rpartition("/")[2] for source in find_sources(models))


@pytest.mark.parametrize("v2", [True, False])
def test_models_are_selected_by_synset_and_keyword(tmp_path: Path, v2: bool) -> None:
    core = trees.write_core(tmp_path / "core", v2)
    expected = {
        "chair": "a b c d",
        "Chairs": "a b c d",
        CHAIR: "a b c d",
        SWIVEL: "a b",
        "swivel chair": "a b",
        "chair/swivel*": "a b c",  # c by its tag
        "chair/swivel*/tag:office": "c",
        "chair/drafting_chair": "b",
        "tag:mesh": "c",
        "tag:aer?n": "c",
        "armchair,table": "d t",
        "chair/armchair,chair/swivel*": "a b c d",
        "*": "a b c d t",
    }
    assert {name: selected(f"{core}::{name}") for name in expected} == expected
    ids = [source.id for source in find_sources(f"{core}::table")]
    assert ids == [f"{TABLE}/t"]
    # the folder of one synset finds what lies beside it
    assert selected(f"{core / CHAIR}::swivel*") == "a b"
    assert [ref.id for ref in select_models(core / CHAIR, "armchair")] == ["d"]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("chiar", "nothing here is named 'chiar'; near it are chair"),
        ("table/swivel*", r"swivel chair \(04373704\)|nothing here is named 'swivel\*'"),
        ("chair/tag:ofice", "nothing here is named 'tag:ofice'; near it are office"),
        ("zzz", r"named 'zzz'; there are chair \(03001627\): 4 models, swivel"),
        ("", "expected a selection such as chair"),
        ("chair//swivel", "expected a selection such as"),
        ("tag:", "expected a selection such as"),
        ("chair,sofa", "nothing here is named 'sofa'"),
    ],
)
def test_what_selects_nothing_says_what_is_near(
    tmp_path: Path, selection: str, message: str
) -> None:
    core = trees.write_core(tmp_path / "core")
    with pytest.raises(ValueError, match=message):
        find_sources(f"{core}::{selection}")


def test_a_synset_without_models_is_told_from_an_unknown_one(tmp_path: Path) -> None:
    core = trees.write_core(tmp_path / "core")
    empty = {"synsetId": "04256520", "name": "sofa,couch", "children": []}
    (core / "taxonomy.json").write_text(json.dumps([*trees.TAXONOMY, empty]))
    with pytest.raises(ValueError, match=r"sofa, couch \(04256520\) has no models here"):
        find_sources(f"{core}::couch")
    with pytest.raises(ValueError, match=r"no such folder as .*nowhere"):
        find_sources(f"{tmp_path / 'nowhere'}::chair")


def test_a_bad_taxonomy_stops_a_selection(tmp_path: Path) -> None:
    wrong = [{"synsetId": CHAIR, "name": "chair", "children": [SWIVEL]}]
    core = trees.write_core(tmp_path / "core", taxonomy=wrong)
    with pytest.raises(TaxonomyError, match=f"synset {SWIVEL} is missing"):
        find_sources(f"{core}::chair")


def test_without_taxonomy_and_wordnet_there_are_ids(tmp_path: Path) -> None:
    models = trees.write_models(tmp_path / "free", [f"{CHAIR}/x", f"{TABLE}/y"])
    (models / "attribution.json").write_text(json.dumps({f"{CHAIR}/x": {"title": "Bar stool"}}))
    assert selected(f"{models}::{CHAIR}") == "x"
    assert selected(f"{models}::tag:stool") == "x"
    with pytest.raises(ValueError, match="WordNet would know names, and is not there: pip install"):
        find_sources(f"{models}::chair")


@needs_nltk
def test_wordnet_names_what_a_tree_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = trees.write_wordnet(tmp_path / "dict")
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path / "dict"))
    models = [f"{ids['office_chair']}/x", f"{ids['glass_chair']}/y", f"{ids['cushion']}/z"]
    root = trees.write_models(tmp_path / "free", models)
    assert selected(f"{root}::chair") == "x y"
    assert selected(f"{root}::chair/office*") == "x"
    assert selected(f"{root}::artifact") == "z x y"  # sorted by id, synset first
    with pytest.raises(ValueError, match="near it are chair"):
        find_sources(f"{root}::chhair")
    # with a taxonomy.json, only for names that it lacks
    chairs = [ids["office_chair"], ids["glass_chair"]]
    own = [{"synsetId": name, "name": "mine", "children": []} for name in chairs]
    (root / "taxonomy.json").write_text(json.dumps(own))
    assert selected(f"{root}::mine") == "x y"
    assert selected(f"{root}::seat") == "x y"


def test_what_lies_beside_the_folders_of_synsets_is_read(tmp_path: Path) -> None:
    trees.write_core(tmp_path / "all" / "core")
    free = trees.write_models(tmp_path / "all" / "free", [f"{CHAIR}/x"])
    (free / "attribution.json").write_text(json.dumps({f"{CHAIR}/x": {"title": "Bar stool"}}))
    assert selected(f"{tmp_path / 'all'}::chair") == "a b c d x"
    assert selected(f"{tmp_path / 'all'}::chair/bar*,swivel chair") == "a b x"
    (free / "taxonomy.json").write_text("[]")
    (note,) = open_catalogue(tmp_path / "all").notes
    assert "core/taxonomy.json is the tree; not read: " in note


def test_a_selection_is_told_from_a_folder(tmp_path: Path) -> None:
    odd = tmp_path / "a::b"
    trees.write_models(odd, ["x"])
    assert split_selection(str(odd)) == (odd, None)
    assert split_selection("core::chair/swivel*") == (Path("core"), "chair/swivel*")
    assert models_folder("core::chair") == models_folder("core") == Path("core")
    named = [class_name(text) for text in ("core::chair/swivel*,sofa", "core::tag:bar*", "chair:9")]
    assert named == ["chair", "bar", "chair"]
    assert class_name("some/cars") == class_name("some/cars::*") == "cars"


def test_a_selection_has_its_part_of_the_split(
    tmp_path: Path, load_tool: Callable[[str], ModuleType]
) -> None:
    core = trees.write_core(tmp_path / "core")
    split = {
        "train": [f"{CHAIR}/a", f"{CHAIR}/d"],
        "test": [f"{CHAIR}/b", f"{CHAIR}/c", f"{TABLE}/t"],
    }
    (core / "split.json").write_text(json.dumps(split))
    tool = load_tool("render_views")
    out = tmp_path / "out"
    out.mkdir()
    for models, expected in [
        (f"{core}::swivel chair", {"train": [f"{CHAIR}/a"], "test": [f"{CHAIR}/b"]}),
        # more models rendered into the same store keep those of before
        (f"{core}::table", {"train": [f"{CHAIR}/a"], "test": [f"{CHAIR}/b", f"{TABLE}/t"]}),
        (str(core), split),
    ]:
        tool._copy_split(models, out, find_sources(models))
        assert json.loads((out / "split.json").read_text()) == expected
    chosen = f"{core}::chair"
    assert [s.id for s in models_of_split(chosen, find_sources(chosen), "test")] == [
        f"{CHAIR}/b", f"{CHAIR}/c",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------ metadata


def test_shapenetsem_has_its_synsets_in_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "models-OBJ" / "models"
    folder.mkdir(parents=True)
    for name in ("1a", "2b", "3c"):
        (folder / f"{name}.obj").write_text(trees.BOX)
    columns = ["fullId", "category", "wnsynset", "wnlemmas", "up", "front", "unit", "aligned.dims"]
    rows = [
        ["wss.1a", "_Scenes,OfficeChair", "n04373704", "swivel_chair", r"0\,0\,1", "", "0.0254",
         r"50.0\,45.0\,5.0", "Desk seat", "work,grey"],
        ["wss.2b", "", CHAIR, "chair", "", "", "", "", "*", ""],
        ["wss.3c", "", "somewhere", "", "", "", "", "", "", ""],
        ["wss.4d", "", CHAIR, "chair", "", "", "", "", "not on disk", ""],
    ]  # fmt: skip
    trees.write_csv(tmp_path / "metadata.csv", [*columns, "name", "tags"], rows)
    catalogue = open_catalogue(tmp_path)
    assert [entry.synsets for entry in catalogue.entries] == [(SWIVEL,), (CHAIR,), ()]
    assert catalogue.entries[0].record == Record(
        ("Desk seat",), (SWIVEL,), ("swivel chair",), ("office chair", "work", "grey")
    )
    assert catalogue.entries[1].record.names == ()
    (note,) = catalogue.notes
    assert "metadata.csv: 1 synsets are no ids" in note
    assert "line 4: wnsynset 'somewhere'" in note
    assert selected(f"{tmp_path}::tag:office") == "1a"
    assert selected(f"{tmp_path}::{CHAIR},{SWIVEL}") == "1a 2b"


def test_tables_of_other_things_are_left_alone(tmp_path: Path) -> None:
    trees.write_csv(tmp_path / "densities.csv", ["material", "density"], [["oak", "0.7"]])
    assert read_metadata([tmp_path]) == ({}, [])
    trees.write_csv(tmp_path / "all.csv", ["modelId", "split"], [["a", "train"], ["", "test"]])
    with pytest.raises(MetadataError, match=r"all\.csv, line 3: expected a modelId in each row"):
        read_metadata([tmp_path])
    (tmp_path / "all.csv").unlink()
    (tmp_path / "attribution.json").write_text('{"a": {"creator": "b"}}')
    with pytest.raises(MetadataError, match=r'attribution\.json: a: expected \{"title"'):
        read_metadata([tmp_path])
