from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keypointnet.shapenet import wordnet as wordnet_module
from keypointnet.shapenet.catalogue import open_catalogue
from keypointnet.shapenet.companions import find_companions
from keypointnet.shapenet.metadata import MetadataError
from keypointnet.shapenet.models import find_models
from keypointnet.shapenet.parts_metadata import find_metadata, read_attributes
from keypointnet.shapenet.selection import select_models
from keypointnet.views.storage import StorageError, read_split

trees = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("shapenet_trees.py"))))
CHAIR, SWIVEL, ARMCHAIR, TABLE = trees.CHAIR, trees.SWIVEL, trees.ARMCHAIR, trees.TABLE


@pytest.fixture(autouse=True)
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordnet_module, "DEBIAN_FOLDER", tmp_path / "not installed")
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def credit(*models: str) -> dict[str, dict[str, str]]:
    return {name: {"title": f"Title of {name}", "licence": "CC-BY"} for name in models}


def copied(root: Path, out: Path, *left_out: str) -> list[str]:
    """A copy of a collection's models with what lies beside them. Returns: ids."""
    companions = find_companions(open_catalogue(root))
    ids = [ref.id for ref in find_models(root) if ref.id not in left_out]
    trees.write_models(out, ids)
    companions.write(out, ids)
    assert [ref.id for ref in find_models(out)] == ids
    return ids


def names_below(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".obj", ".mtl")
    )


def test_a_copy_of_a_whole_tree_is_known_as_the_tree_is(tmp_path: Path) -> None:
    core = trees.write_core(tmp_path / "core")
    chairs = [f"{CHAIR}/{name}" for name in "abcd"]
    write_json(core / "attribution.json", credit(*chairs, f"{TABLE}/t", "t", "gone"))
    split = {"train": [*chairs[:3], "gone"], "test": [chairs[3]], "dev": [f"{TABLE}/t"]}
    write_json(core / "split.json", split)
    (core / "ATTRIBUTION.md").write_text("by many")
    (core / "LICENSE.txt").write_text("free")
    (core / "notes.txt").write_text("mine")
    trees.write_csv(core / "metadata.csv", ["fullId", "weight"], [["wss.a", "9.80665"]])
    trees.write_csv(core / "materials.csv", ["Category", "Material", "Ratio"], [])
    trees.write_csv(core / "densities.csv", ["material", "density"], [])
    (core / CHAIR / "LICENCE").write_text("of chairs")
    out = tmp_path / "out"
    copied(core, out, f"{CHAIR}/b")
    assert names_below(out) == [
        f"{CHAIR}.csv", f"{CHAIR}/LICENCE", "ATTRIBUTION.md", "LICENSE.txt", "all.csv",
        "attribution.json", "materials.csv", "metadata.csv", "split.json", "taxonomy.json",
    ]  # fmt: skip
    kept = credit(chairs[0], *chairs[2:], f"{TABLE}/t", "t")
    assert read_json(out / "attribution.json") == kept
    assert read_split(out) == {
        "train": [chairs[0], chairs[2]], "test": [chairs[3]], "dev": [f"{TABLE}/t"],
    }  # fmt: skip
    there = {entry.ref.id: entry for entry in open_catalogue(core).entries}
    for entry in open_catalogue(out).entries:
        assert entry.record == there[entry.ref.id].record
        assert entry.synsets == there[entry.ref.id].synsets
    table = find_metadata(out / CHAIR / "a" / "models" / "model_normalized.obj")
    assert table == out / "metadata.csv"


def test_each_collection_below_a_folder_keeps_its_own(tmp_path: Path) -> None:
    root = tmp_path / "all"
    for name in ("one", "two"):
        trees.write_models(root / name, [f"{CHAIR}/x", f"{CHAIR}/y"])
        write_json(root / name / "attribution.json", credit(f"{CHAIR}/x", f"{CHAIR}/y"))
        write_json(root / name / "split.json", {"train": [f"{CHAIR}/x"], "test": [f"{CHAIR}/y"]})
        (root / name / "COPYING").write_text(name)
    write_json(root / "two" / CHAIR / "attribution.json", credit("Sheet 1"))
    assert copied(root, tmp_path / "part", f"two/{CHAIR}/x", f"two/{CHAIR}/y") == [
        f"one/{CHAIR}/x", f"one/{CHAIR}/y",
    ]  # fmt: skip
    expected = ["one/COPYING", "one/attribution.json", "one/split.json"]
    assert names_below(tmp_path / "part") == expected
    out = tmp_path / "out"
    copied(root, out, f"one/{CHAIR}/x")
    assert read_json(out / "one" / "attribution.json") == credit(f"{CHAIR}/y")
    assert read_split(out / "one") == {"train": [], "test": [f"{CHAIR}/y"]}
    assert read_json(out / "two" / "attribution.json") == credit(f"{CHAIR}/x", f"{CHAIR}/y")
    assert [ref.id for ref in select_models(out, f"{CHAIR}/tag:title")] == [
        f"one/{CHAIR}/y", f"two/{CHAIR}/x", f"two/{CHAIR}/y",
    ]  # fmt: skip


def test_the_folder_of_one_synset_has_its_companions_beside_it(tmp_path: Path) -> None:
    core = trees.write_core(tmp_path / "core")
    write_json(core / "attribution.json", credit(f"{CHAIR}/a", f"{CHAIR}/b", f"{TABLE}/t"))
    write_json(core / "split.json", {"train": [f"{CHAIR}/a"], "test": [f"{CHAIR}/c", f"{TABLE}/t"]})
    (core / "ATTRIBUTION.md").write_text("by many")
    out = tmp_path / "out"
    assert copied(core / CHAIR, out, "b") == ["a", "c", "d"]
    assert names_below(out) == [
        "ATTRIBUTION.md", "attribution.json", "models.csv", "split.json", "taxonomy.json",
    ]  # fmt: skip
    assert list(read_json(out / "attribution.json")) == ["a"]
    assert read_split(out) == {"train": ["a"], "test": ["c"]}
    there = {entry.ref.id: entry for entry in open_catalogue(core / CHAIR).entries}
    for entry in open_catalogue(out).entries:
        assert entry.synsets == there[entry.ref.id].synsets
        assert entry.record.keywords == there[entry.ref.id].record.keywords
    assert [ref.id for ref in select_models(out, "chair/swivel*")] == ["a", "c"]


def test_tables_of_shapenetsem_lie_above_its_models(tmp_path: Path) -> None:
    sem = tmp_path / "sem"
    models = trees.write_models(sem / "models-OBJ" / "models", ["1a", "2b"], v2=False)
    columns = ["fullId", "category", "weight"]
    trees.write_csv(sem / "metadata.csv", columns, [["wss.2b", "Chair,Seat", "9.80665"]])
    rows = [["Chair", "wood", "1"]]
    trees.write_csv(sem / "materials.csv", ["Category", "Material", "Ratio"], rows)
    out = tmp_path / "out"
    copied(models, out)
    assert names_below(out) == ["materials.csv", "metadata.csv"]
    table = find_metadata(out / "2b" / "models" / "model_normalized.obj")
    attributes = read_attributes(table or Path(), "2b")
    assert attributes is not None
    assert (attributes.mass_kg, attributes.material) == (pytest.approx(1.0), "wood 100 %")
    # another collection's table is not theirs
    trees.write_csv(sem / "metadata.csv", columns, [["wss.3c", "", ""]])
    copied(models, tmp_path / "more")
    assert names_below(tmp_path / "more") == []


def test_licences_of_models_that_are_named_otherwise_are_kept(tmp_path: Path) -> None:
    root = trees.write_models(tmp_path / "in", ["chairs/a", "chairs/b"])
    write_json(root / "attribution.json", credit("Sheet 1", "Sheet 2"))
    write_json(root / "chairs" / "attribution.json", credit("a", "b"))
    write_json(root / "split.json", {"train": ["Sheet 1"], "test": []})
    copied(root, tmp_path / "out", "chairs/b")
    assert read_json(tmp_path / "out" / "attribution.json") == credit("Sheet 1", "Sheet 2")
    assert read_json(tmp_path / "out" / "chairs" / "attribution.json") == credit("a")
    assert not (tmp_path / "out" / "split.json").exists()  # of none of the models


def test_wrong_files_are_named_before_anything_is_written(tmp_path: Path) -> None:
    root = trees.write_models(tmp_path / "in", ["chairs/a"])
    (root / "chairs" / "attribution.json").write_text("[]")
    with pytest.raises(MetadataError, match=r"chairs/attribution\.json: expected an object"):
        find_companions(open_catalogue(root))
    write_json(root / "chairs" / "attribution.json", {"a": {"creator": "b"}})
    with pytest.raises(MetadataError, match=r'attribution\.json: a: expected \{"title"'):
        find_companions(open_catalogue(root))
    (root / "chairs" / "attribution.json").unlink()
    (root / "split.json").write_text('{"train": 1}')
    with pytest.raises(StorageError, match=r"split\.json: expected"):
        find_companions(open_catalogue(root))
