from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from keypointnet.shapenet.models import ModelRef, find_models
from keypointnet.shapenet.shape_index import (
    IndexFileError,
    Neighbour,
    fingerprint,
    model_files,
    nearest,
    read_index,
    update_table,
)

SETTINGS = {"points": 3, "weights": (1, 2)}


class Describer:
    """Vectors of a file's first byte and its length; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.broken: set[str] = set()
        self.stops_after: int | None = None

    def __call__(self, refs: list[ModelRef]):
        self.asked.append([ref.id for ref in refs])
        for number, ref in enumerate(refs):
            if number == self.stops_after:
                raise KeyboardInterrupt
            data = ref.path.read_bytes()
            vector = np.array([data[0], len(data)], np.float32)
            yield ref.id, "cannot be read" if ref.id in self.broken else vector


@pytest.fixture
def describer() -> Describer:
    return Describer()


@pytest.fixture
def root(tmp_path) -> Path:
    for name in "abc":
        folder = tmp_path / "models" / "03001627" / name
        folder.mkdir(parents=True)
        (folder / "model.obj").write_text(name * 5)
        (folder / "model.mtl").write_text("Kd 1 1 1")
    return tmp_path / "models"


def update(root: Path, describer: Describer, path: Path | None, name: str = "shapes", **changes):
    return update_table(find_models(root), name, {**SETTINGS, **changes}, describer, path)


def test_an_index_is_made_once_and_grows(root, describer, tmp_path):
    path = tmp_path / "new" / "all.index"
    table, left_out = update(root, describer, path)
    assert table.ids == ["03001627/a", "03001627/b", "03001627/c"]
    assert table.vectors.tolist() == [[97, 5], [98, 5], [99, 5]]
    assert left_out == {}
    again, _ = update(root, describer, path)
    assert again.vectors.tolist() == table.vectors.tolist()
    assert describer.asked == [table.ids]

    (root / "03001627" / "aa").mkdir()
    (root / "03001627" / "aa" / "model.obj").write_text("xyz")
    grown, _ = update(root, describer, path)
    assert describer.asked[1:] == [["03001627/aa"]]
    assert grown.ids == ["03001627/a", "03001627/aa", "03001627/b", "03001627/c"]
    assert grown.vectors.tolist() == [[97, 5], [120, 3], [98, 5], [99, 5]]
    assert read_index(path)["shapes"].prints == grown.prints


def test_two_tables_live_in_one_file(root, describer, tmp_path):
    path = tmp_path / "all.index"
    update(root, describer, path)
    update(root, describer, path, "pictures", points=4)
    tables = read_index(path)
    assert sorted(tables) == ["pictures", "shapes"]
    assert tables["pictures"].settings == {"points": 4, "weights": [1, 2]}
    assert len(describer.asked) == 2


def test_without_a_file_nothing_is_kept(root, describer):
    update(root, describer, None)
    update(root, describer, None)
    assert len(describer.asked) == 2
    assert not list(root.parent.glob("*.index"))


def test_touched_files_are_the_same_and_changed_ones_are_not(root, describer, tmp_path):
    path = tmp_path / "all.index"
    table, _ = update(root, describer, path)
    for file in root.rglob("model.obj"):
        os.utime(file, ns=(1, 1))
    touched, _ = update(root, describer, path)
    assert len(describer.asked) == 1
    for one, other in zip(table.prints.values(), touched.prints.values(), strict=True):
        assert (one.sha256, one.bytes) == (other.sha256, other.bytes)
        assert one.stamp != other.stamp
    assert read_index(path)["shapes"].prints == touched.prints

    # of the same length: only the contents tell
    (root / "03001627" / "b" / "model.mtl").write_text("Kd 0 1 1")
    with pytest.raises(
        IndexFileError, match=r"all.index: is stale.*03001627/b has changed; delete"
    ):
        update(root, describer, path)


def test_a_model_that_is_gone_makes_an_index_stale(root, describer, tmp_path):
    path = tmp_path / "all.index"
    update(root, describer, path)
    for name in "ab":
        (root / "03001627" / name / "model.obj").unlink()
    with pytest.raises(IndexFileError, match=r"03001627/a, 03001627/b have gone"):
        update(root, describer, path)


def test_other_settings_are_refused(root, describer, tmp_path):
    path = tmp_path / "all.index"
    update(root, describer, path)
    with pytest.raises(IndexFileError, match=r"all.index: was made with other settings \(points\)"):
        update(root, describer, path, points=7)


@pytest.mark.parametrize("harm", ["cut", "empty", "text", "foreign", "rows", "nan", "folder"])
def test_broken_files_are_refused(root, describer, tmp_path, harm):
    path = tmp_path / "all.index"
    update(root, describer, path)
    data = path.read_bytes()
    if harm == "cut":
        path.write_bytes(data[:-8])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "text":
        path.write_text("not an index\n" * 100)
    elif harm == "foreign":
        path.write_bytes(safetensors.numpy.save({"x": np.zeros(3, np.float32)}))
    elif harm == "folder":
        path.unlink()
        path.mkdir()
    else:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            metadata, vectors = file.metadata(), file.get_tensor("shapes")
        vectors = vectors[:2] if harm == "rows" else vectors * np.float32("nan")
        path.write_bytes(safetensors.numpy.save({"shapes": vectors}, metadata))
    remedy = "is a folder; expected" if harm == "folder" else "if it is an index, delete it"
    with pytest.raises(IndexFileError, match=rf"all.index: .*{remedy}"):
        update(root, describer, path)
    assert len(describer.asked) == 1


def test_a_stopped_run_is_gone_on_with(root, describer, tmp_path):
    path = tmp_path / "all.index"
    describer.stops_after = 2
    with pytest.raises(KeyboardInterrupt):
        update(root, describer, path)
    describer.stops_after = None
    update(root, describer, path)
    assert describer.asked[1] == ["03001627/c"]


def test_models_that_cannot_be_described_are_named_and_asked_for_again(root, describer, tmp_path):
    path = tmp_path / "all.index"
    describer.broken = {"03001627/b"}
    table, left_out = update(root, describer, path)
    assert table.ids == ["03001627/a", "03001627/c"]
    assert left_out == {"03001627/b": "cannot be read"}
    describer.broken = set()
    assert len(update(root, describer, path)[0].ids) == 3
    assert describer.asked[1] == ["03001627/b"]


def test_nothing_to_index(describer, root):
    with pytest.raises(ValueError, match="no model of 0 can be described"):
        update_table([], "shapes", SETTINGS, describer)
    describer.broken = {"03001627/a", "03001627/b", "03001627/c"}
    with pytest.raises(ValueError, match="no model of 3 can be described; the first, 03001627/a"):
        update(root, describer, None)


def test_the_files_that_say_how_a_model_looks(tmp_path):
    v2 = tmp_path / "x" / "models" / "model_normalized.obj"
    picture = tmp_path / "x" / "images" / "t.jpg"
    other = tmp_path / "x" / "models" / "model_normalized.solid.binvox"
    lone, its, not_its = (tmp_path / name for name in ("m.obj", "m.mtl", "n.mtl"))
    for file in (v2, picture, other, lone, its, not_its):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("abc")
    assert model_files(ModelRef("x", v2)) == [picture, v2]
    assert model_files(ModelRef("m", lone)) == [its, lone]
    print_ = fingerprint(ModelRef("m", lone))
    assert print_.bytes == 6
    assert fingerprint(ModelRef("m", lone), print_) is print_


def test_nearest_by_distance_then_by_id():
    distances = np.array([0.5, 0.0, 0.25, 0.0])
    ids = ["d", "c", "b", "a"]
    expected = [Neighbour("a", 0.0), Neighbour("c", 0.0), Neighbour("b", 0.25)]
    assert nearest(distances, ids, 3) == expected
    assert nearest(distances, ids, 9, without="a") == [*expected[1:], Neighbour("d", 0.5)]
