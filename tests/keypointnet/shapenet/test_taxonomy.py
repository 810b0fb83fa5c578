from __future__ import annotations

import importlib.util
import json
import runpy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from keypointnet.shapenet.taxonomy import (
    Node,
    Taxonomy,
    TaxonomyError,
    extended_by_wordnet,
    read_taxonomy,
    synset_id,
)
from keypointnet.shapenet.wordnet import WordNet

trees = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("shapenet_trees.py"))))
CHAIR, SWIVEL, ARMCHAIR, TABLE = trees.CHAIR, trees.SWIVEL, trees.ARMCHAIR, trees.TABLE


def read(tmp_path: Path, entries: object) -> Taxonomy:
    path = tmp_path / "taxonomy.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return read_taxonomy(path)


def test_a_tree_is_traversed_both_ways(tmp_path: Path) -> None:
    tree = read(tmp_path, trees.TAXONOMY)
    assert tree.roots == [CHAIR, TABLE]
    assert tree.nodes[CHAIR].title == "chair (03001627)"
    assert tree.nodes[CHAIR].published == 6778
    assert tree.nodes["20000027"] == Node("20000027", ("drafting chair", "high one"))
    assert tree.path("20000027") == ["20000027", SWIVEL, CHAIR]
    assert tree.below(CHAIR) == {CHAIR, SWIVEL, ARMCHAIR, "20000027"}
    assert tree.above("20000027") == {CHAIR, SWIVEL, "20000027"}
    assert tree.sisters(SWIVEL) == [ARMCHAIR]
    assert tree.sisters(CHAIR) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("Chairs", [CHAIR]),
        ("board", [TABLE]),
        ("swivel-chair", [SWIVEL]),
        ("*chair", [CHAIR, ARMCHAIR, SWIVEL, "20000027"]),
        ("t?ble", [TABLE]),
        ("04373704", [SWIVEL]),
        ("swivel", []),
    ],
)
def test_synsets_are_found_by_name_id_and_pattern(
    tmp_path: Path, pattern: str, found: list[str]
) -> None:
    assert read(tmp_path, trees.TAXONOMY).find(pattern) == found


def test_a_model_counts_once_under_each_synset(tmp_path: Path) -> None:
    tree = read(tmp_path, trees.TAXONOMY)
    models = {
        "a": [CHAIR, SWIVEL],
        "b": ["20000027", ARMCHAIR],
        "c": [CHAIR],
        "d": ["00000000"],
        "e": [],
    }
    expected = {CHAIR: 3, SWIVEL: 2, ARMCHAIR: 1, "20000027": 1}
    assert dict(tree.counts(models)) == expected
    assert tree.counts({}) == {}
    # the same by looking below each node
    plain = {n: sum(bool(tree.below(n) & set(s)) for s in models.values()) for n in tree.nodes}
    assert {n: count for n, count in plain.items() if count} == expected


def test_a_synset_may_have_several_parents() -> None:
    tree = Taxonomy([Node("a", (), ("c",)), Node("b", (), ("c", "d")), Node("c"), Node("d")])
    assert tree.parents("c") == ["a", "b"]
    assert tree.above("c") == {"a", "b", "c"}
    assert tree.sisters("c") == ["d"]


def test_short_and_numeric_ids_are_padded(tmp_path: Path) -> None:
    tree = read(tmp_path, [{"synsetId": 3001627, "children": [2738535]}, {"synsetId": "02738535"}])
    assert tree.nodes[CHAIR].children == (ARMCHAIR,)
    assert [synset_id(x) for x in ("n03001627", "3001627.0", "swivel", True, "123456789")] == [
        CHAIR, CHAIR, None, None, None,
    ]  # fmt: skip


def entry(synset: str, *children: str, **more: object) -> dict[str, object]:
    return {"synsetId": synset, "name": f"n{synset[-1]}", "children": list(children), **more}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [entry("00000001", "00000002"), entry("00000002", "00000003"),
             entry("00000003", "00000002")],
            r"a cycle: n2 \(00000002\) > n3 \(00000003\) > n2 \(00000002\)",
        ),
        ([entry("00000001", "00000001")], r"a cycle: n1 \(00000001\) > n1 \(00000001\)"),
        ([entry("00000001", "00000009")], r"synset 00000009 is missing: n1 \(00000001\) has it"),
        ([entry("00000001"), entry("00000001")], r"n1 \(00000001\) has two entries"),
        (
            [entry("00000001", "00000002", "00000002"), entry("00000002")],
            r"n1 \(00000001\) has its child 00000002 twice",
        ),
        ({"synsetId": "00000001"}, "expected a list of .* got a JSON dict"),
        ("[{", r"taxonomy\.json: not a JSON file"),
        (["chair"], 'entry 0: expected an object, got "chair"'),
        ([{"name": "chair"}], r"entry 0 \(synsetId None\): expected a synsetId"),
        ([entry("chair")], "expected a synsetId of eight digits"),
        ([entry("00000001", name=7)], "name: expected lemmas with commas, got 7"),
        ([entry("00000001", "seat")], "children: expected ids of eight digits, got 'seat'"),
        ([{"synsetId": "00000001", "children": "00000002"}], "children: expected a list"),
        ([entry("00000001", numInstances=-1)], "numInstances: expected a count, got -1"),
    ],
)  # fmt: skip
def test_bad_taxonomies_are_named(tmp_path: Path, entries: object, message: str) -> None:
    with pytest.raises(TaxonomyError, match=message) as caught:
        read(tmp_path, entries)
    assert str(tmp_path / "taxonomy.json") in str(caught.value)


def test_a_long_cycle_below_a_root_is_shown_whole() -> None:
    names = [f"{i:08d}" for i in range(2000)]
    nodes = [Node(name, (), (following,)) for name, following in pairwise(names)]
    nodes.append(Node(names[-1], (), (names[1990],)))
    with pytest.raises(TaxonomyError) as caught:
        Taxonomy(nodes)
    cycle = str(caught.value).split(": ")[1].split(";")[0]
    assert cycle == " > ".join([*names[1990:], names[1990]])


@pytest.mark.skipif(importlib.util.find_spec("nltk") is None, reason="nltk is not installed")
def test_wordnets_hypernyms_go_above_and_never_make_a_cycle(tmp_path: Path) -> None:
    ids = trees.write_wordnet(tmp_path / "dict")
    net = WordNet(tmp_path / "dict")
    chair, office, seat, glass = (ids[n] for n in ("chair", "office_chair", "seat", "glass_chair"))
    tree = extended_by_wordnet(Taxonomy([Node("20000001", ("own",))]), [chair, glass, chair], net)
    assert tree.roots == ["20000001", ids["entity"]]
    assert tree.path(glass) == [glass, chair, seat, ids["artifact"], ids["entity"]]
    assert tree.nodes[chair].names == ("chair",)
    # here the taxonomy has the seat below the chair, the other way round than WordNet
    odd = Taxonomy([Node(office, ("mine",), (seat,)), Node(seat, ("seat",))])
    tree = extended_by_wordnet(odd, [], net)
    assert tree.path(seat)[:2] == [seat, office]
    assert tree.nodes[office].names == ("mine",)
    assert tree.nodes[chair].children == (office,)
    # and without WordNet, only what is there
    tree = extended_by_wordnet(Taxonomy([]), [chair], None)
    assert tree.nodes == {chair: Node(chair)}
