from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from keypointnet.shapenet import wordnet as wordnet_module
from keypointnet.shapenet.wordnet import (
    DEBIAN_FOLDER,
    WordNet,
    WordNetError,
    find_wordnet,
    open_wordnet,
)

trees = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("shapenet_trees.py"))))
needs_nltk = pytest.mark.skipif(
    importlib.util.find_spec("nltk") is None, reason="nltk is not installed"
)
needs_wordnet = pytest.mark.skipif(
    importlib.util.find_spec("nltk") is None or not (DEBIAN_FOLDER / "data.noun").is_file(),
    reason="needs nltk and Debian's wordnet-base",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("wordnet") / "dict"
    ids = trees.write_wordnet(folder)
    return SimpleNamespace(folder=folder, ids=ids, wordnet=WordNet(folder))


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordnet_module, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)


@needs_nltk
def test_synsets_are_found_by_their_ids_alone(small: SimpleNamespace) -> None:
    chair = small.wordnet.get(small.ids["chair"])
    assert (chair.id, chair.names) == (small.ids["chair"], ("chair",))
    assert chair.gloss == "a seat for one person"
    between = f"{int(small.ids['chair']) + 1:08d}"
    for unknown in (between, "99999999", "20000027", "chair", ""):
        assert small.wordnet.get(unknown) is None
    with pytest.raises(WordNetError, match=r"no noun of WordNet 3\.0 has the offset 20000027"):
        small.wordnet.hypernyms("20000027")


@needs_nltk
def test_relations(small: SimpleNamespace) -> None:
    net, ids = small.wordnet, small.ids
    (office,) = net.senses("Office  chairs")
    assert office.id == ids["office_chair"]
    assert [s.name for s in net.senses("glasses chair")] == ["glass chair"]
    assert net.senses("sofa") == []
    (path,) = net.hypernym_paths(office.id)
    assert [s.name for s in path] == ["chair", "seat", "artifact", "entity"]
    assert [s.name for s in net.sister_terms(office.id)] == ["glass chair"]
    assert [s.name for s in net.hyponyms(ids["chair"])] == ["glass chair", "office chair"]
    parts = net.part_meronyms(office.id)
    # the seat's cushion is every chair's; what an artifact in general has is nobody's
    assert [(whole.name, [part.name for part in its]) for whole, its in parts] == [
        ("chair", ["backrest"]),
        ("seat", ["cushion"]),
    ]
    # "wide" is no thing, and the cushion is in an example
    assert net.parts_in_gloss(office.id) == ["base"]
    assert net.parts_in_gloss(ids["chair"]) == []
    assert net.near("ofice chair")[0] == "office chair"


@needs_nltk
def test_another_version_is_refused(tmp_path: Path) -> None:
    trees.write_wordnet(tmp_path / "dict", version="3.1")
    with pytest.raises(
        WordNetError, match=r"version 3\.1; ShapeNet's ids are offsets of WordNet 3\.0"
    ):
        WordNet(tmp_path / "dict")


@needs_nltk
def test_a_broken_database_is_named(tmp_path: Path) -> None:
    trees.write_wordnet(tmp_path / "dict")
    (tmp_path / "dict" / "index.noun").write_text("chair n many\n")
    with pytest.raises(WordNetError, match=r"dict cannot be read .*index\.noun"):
        WordNet(tmp_path / "dict")


@pytest.mark.usefixtures("nothing_installed")
def test_without_a_database_it_says_what_to_install(tmp_path: Path) -> None:
    assert find_wordnet() is None
    with pytest.raises(WordNetError, match=r"no data\.noun.*apt install wordnet-base.*WNSEARCHDIR"):
        open_wordnet()
    with pytest.raises(WordNetError, match=f"expected data.noun, .* in {tmp_path}"):
        find_wordnet(tmp_path)


@needs_nltk
@pytest.mark.usefixtures("nothing_installed")
def test_the_environment_names_the_folder(
    small: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WNHOME", str(small.folder.parent))
    assert open_wordnet().folder == small.folder
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path))
    with pytest.raises(WordNetError, match=str(tmp_path)):
        find_wordnet()


def test_without_nltk_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trees.write_wordnet(tmp_path / "dict")
    monkeypatch.setitem(sys.modules, "nltk", None)
    monkeypatch.setitem(sys.modules, "nltk.data", None)
    with pytest.raises(WordNetError, match=r"nltk cannot be imported.*pip install nltk"):
        WordNet(tmp_path / "dict")
    monkeypatch.setattr(wordnet_module, "DEBIAN_FOLDER", tmp_path / "dict")
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)
    assert find_wordnet() is None


@needs_wordnet
def test_the_lectures_swivel_chair() -> None:
    net = open_wordnet(DEBIAN_FOLDER)
    (swivel,) = net.senses("swivel chair")
    assert (swivel.id, swivel.gloss) == ("04373704", "a chair that swivels on its base")
    (path,) = net.hypernym_paths(swivel.id)
    assert [s.name for s in path][:3] == ["chair", "seat", "furniture"]
    assert path[-1].name == "entity"
    assert {"armchair", "barber chair"} <= {s.name for s in net.sister_terms(swivel.id)}
    parts = {name for _, its in net.part_meronyms(swivel.id) for part in its for name in part.names}
    assert {"backrest", "seat"} <= parts
    # WordNet 3.0 has no base among the parts of chairs; the gloss of this one does
    assert "base" not in parts
    assert net.parts_in_gloss(swivel.id) == ["base"]


@needs_wordnet
@pytest.mark.parametrize(
    ("offset", "name"),
    [("03001627", "chair"), ("02691156", "airplane"), ("02958343", "car"), ("04379243", "table")],
)
def test_shapenets_ids_are_offsets_of_debians_database(offset: str, name: str) -> None:
    synset = open_wordnet(DEBIAN_FOLDER).get(offset)
    assert synset is not None
    assert synset.name == name
