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
from keypointnet.shapenet.search_words import search_catalogue
from keypointnet.shapenet.words import matches, near_words, plain, singular

trees = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("shapenet_trees.py"))))
CHAIR, SWIVEL, TABLE = trees.CHAIR, trees.SWIVEL, trees.TABLE
needs_nltk = pytest.mark.skipif(
    importlib.util.find_spec("nltk") is None, reason="nltk is not installed"
)


@pytest.fixture(autouse=True)
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordnet_module, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)


@pytest.fixture(scope="module")
def tool(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool("shapenet")


def found(root: Path, *words: str) -> tuple[str, str]:
    result = search_catalogue(open_catalogue(root), words)
    models = " ".join(entry.ref.id.rpartition("/")[2] for entry in result.entries)
    return models, " ".join(node.name for node in result.synsets)


def test_words_are_compared_without_case_number_and_hyphens() -> None:
    assert plain(" Swivel_chair\t-x ") == "swivel chair x"
    assert [singular(w) for w in ("Chairs", "glass", "bus", "swivel chairs")] == [
        "chair", "glass", "bus", "swivel chair",
    ]  # fmt: skip
    assert matches("swivel*", "Swivel Chair")
    assert matches("glasses", "glasses")
    assert not matches("swivel", "swivel chair")
    assert near_words("chiar*", ["chair", "table", "high chair"])[0] == "chair"
    assert near_words("", ["chair"]) == []


def test_names_tags_and_synsets_are_searched_in_this_order(tmp_path: Path) -> None:
    core = trees.write_core(tmp_path / "core")
    assert found(core, "swivel", "chair") == ("c a b", "swivel chair")
    assert found(core, "Swivel chairs") == ("c a b", "swivel chair")
    assert found(core, "office") == ("c", "")
    assert found(core, "off") == ("c", "")  # the beginning of a word
    assert found(core, "of") == ("", "")
    assert found(core, "mes?", "aeron") == ("c", "")
    assert found(core, "office", "table") == ("", "")
    assert found(core, "board") == ("t", "table")
    result = search_catalogue(open_catalogue(core), ["ofice"])
    assert (result.unknown, result.near) == (["ofice"], ["office"])
    with pytest.raises(ValueError, match="expected words to look for"):
        found(core, " ")


def test_a_whole_name_comes_before_its_words(tmp_path: Path) -> None:
    root = trees.write_models(tmp_path / "free", [f"{CHAIR}/{name}" for name in "abc"])
    titles = {"a": "Old chair office", "b": "Office chair", "c": "Bar stool"}
    attribution = {f"{CHAIR}/{name}": {"title": title} for name, title in titles.items()}
    (root / "attribution.json").write_text(json.dumps(attribution))
    assert found(root, "office", "chairs") == ("b a", "")


def test_what_a_file_is_called_is_a_name(tmp_path: Path) -> None:
    root = trees.write_models(tmp_path / "own", ["office_chair-01", "kitchen/bar_stool"])
    assert found(root, "office", "chairs") == ("office_chair-01", "")
    assert found(root, "bar stool") == ("bar_stool", "")
    assert found(root, "kitchen") == ("", "")
    core = trees.write_core(tmp_path / "core")
    assert found(core, "b") == ("b", "")


def test_search_command(
    tmp_path: Path, tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    core = trees.write_core(tmp_path / "core")
    assert tool.main(["search", "swivel", str(core)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 synsets and 3 models for swivel",
        "  swivel chair (04373704): 2 of 521 models",
        "  03001627/c  Aeron, chair, swivel chair, office, mesh",
        "  03001627/a",
        "  03001627/b",
    ]
    assert tool.main(["search", "chair", str(core), "--limit", "1"]) == 0
    assert "... (--limit shows more)" in capsys.readouterr().out
    assert tool.main(["search", "swivel", f"{core}::tag:office"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 synsets and 1 models for swivel",
        "  swivel chair (04373704): 0 of 521 models",
        "  03001627/c  Aeron, chair, swivel chair, office, mesh",
    ]
    with pytest.raises(SystemExit, match="nothing here is named 'nought'"):
        tool.main(["search", "swivel", f"{core}::nought"])
    assert tool.main(["search", "ofice", str(core)]) == 1
    assert "not here: ofice; near: office" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no such folder"):
        tool.main(["search", "chair", "no/such"])
    with pytest.raises(SystemExit, match="apt install wordnet-base"):
        tool.main(["search", "chair"])


def test_tree_command_without_wordnet(
    tmp_path: Path, tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    core = trees.write_core(tmp_path / "core")
    assert tool.main(["tree", str(core)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{core}: 5 models",
        "chair (03001627): 4 of 6778 models",
        "  swivel chair (04373704): 2 of 521 models",
        "    drafting chair, high one (20000027): 1 model",
        "  armchair (02738535): 1 of 1995 models",
        "table, board (04379243): 1 of 8443 models",
    ]
    assert tool.main(["tree", "swivel", "chair", str(core)]) == 0
    printed = capsys.readouterr().out
    for line in (
        "swivel chair (04373704): 2 of 521 models",
        "  hypernyms: chair",
        "  sister terms: armchair (1)",
        "  below it: drafting chair (1)",
        "part meronyms and the rest of WordNet: pip install",
    ):
        assert line in printed
    with pytest.raises(SystemExit, match="named 'swivle chair'; near it are swivel chair"):
        tool.main(["tree", "swivle chair", str(core)])
    with pytest.raises(SystemExit, match="apt install wordnet-base"):
        tool.main(["tree", "swivel", "chair"])


@needs_nltk
def test_commands_with_wordnet(
    tmp_path: Path, tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = trees.write_wordnet(tmp_path / "dict")
    options = ["--wordnet", str(tmp_path / "dict")]
    models = [f"{ids['office_chair']}/x", f"{ids['glass_chair']}/y", "20000027/z"]
    root = trees.write_models(tmp_path / "free", models)
    assert tool.main(["tree", str(root), *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{root}: 3 models",
        f"entity > artifact > seat > chair ({ids['chair']}): 2 models",
        f"  glass chair ({ids['glass_chair']}): 1 model",
        f"  office chair ({ids['office_chair']}): 1 model",
        "20000027: 1 model",
    ]
    assert tool.main(["tree", "office", "chair", str(root), *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"office chair ({ids['office_chair']}): a chair that turns on its wide base",
        "  models here: 1",
        "  hypernyms: chair > seat > artifact > entity",
        "  sister terms: glass chair (1 models)",
        "  part meronyms of every chair: backrest",
        "  part meronyms of every seat: cushion",
        "  parts by its gloss: base",
    ]
    own = [{"synsetId": ids["chair"], "name": "my chair", "children": [ids["office_chair"]]}]
    own.append({"synsetId": ids["office_chair"], "name": "office", "numInstances": 7})
    (root / "taxonomy.json").write_text(json.dumps(own))
    assert tool.main(["tree", str(root), *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{root / 'taxonomy.json'} has no entry for {ids['glass_chair']}, 20000027, which models "
        "here are",
        f"{root}: 3 models",
        "20000027: 1 model",
        f"glass chair ({ids['glass_chair']}): 1 model",
        f"my chair > office ({ids['office_chair']}): 1 of 7 models",
    ]
    assert tool.main(["tree", str(root), "--hypernyms", *options]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        f"entity > artifact > seat > my chair ({ids['chair']}): 2 models",
        f"  glass chair ({ids['glass_chair']}): 1 model",
        f"  office ({ids['office_chair']}): 1 of 7 models",
        "20000027: 1 model",
    ]
    (root / "taxonomy.json").unlink()
    assert tool.main(["search", "seat", str(root), *options]) == 0
    assert "2 models for seat" in capsys.readouterr().out
    assert tool.main(["search", "chairs", *options]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "3 synsets of WordNet for chairs",
        f"  chair ({ids['chair']}):  a seat for one person",
    ]
    assert tool.main(["search", "chiar", *options]) == 1
    assert "near: chair" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no noun 'chiar'; near it are chair"):
        tool.main(["tree", "chiar", *options])


def test_info_counts_by_synset(
    tmp_path: Path, tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    core = trees.write_core(tmp_path / "core")
    assert tool.main(["info", str(core)]) == 0
    printed = capsys.readouterr().out
    assert "5 models (5 .obj)" in printed
    assert "  chair (03001627): 4\n  table, board (04379243): 1\n" in printed
    # a file and an eight-digit folder above the root are no synsets
    dated = tmp_path / "20240101" / "mine"
    dated.mkdir(parents=True)
    (dated / "box.obj").write_text(trees.BOX)
    (dated.parent / "all.csv").write_text('modelId\n""\n')
    for models in (dated, dated / "box.obj"):
        assert tool.main(["info", str(models)]) == 0
        assert "20240101:" not in capsys.readouterr().out
