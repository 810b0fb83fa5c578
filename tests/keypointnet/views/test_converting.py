import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from keypointnet.views.converting import ConvertJob, convert_model, prepare_converted
from keypointnet.views.pairs import open_models
from keypointnet.views.published_records import PublishedStore
from keypointnet.views.storage import StorageError, ViewStore, read_split, write_model_views

case = runpy.run_path(str(Path(__file__).parents[1] / "released_case.py"))
SIZE = (24, 24)


@pytest.fixture
def folder(tmp_path):
    """Three tfrecords of two models with one pair each, a side each."""
    contents = {f"000{i}": case["pairs"](2, SIZE, seed=i) for i in range(3)}
    jobs = "a0 b0\na1 b1\na2 b2\n"
    sides = {"train": ["0000"], "dev": ["0001"], "test": ["0002"]}
    case["write_published"](tmp_path / "chairs", contents, jobs=jobs, **sides)
    return tmp_path / "chairs"


def test_the_store_holds_the_same_views(folder, tmp_path):
    source = PublishedStore(folder)
    jobs = prepare_converted(source, tmp_path / "views")
    assert jobs == [ConvertJob(f"{ab}{i}") for ab in "ab" for i in range(3)]
    assert [(job.names, job.without(1)) for job in jobs[:1]] == [(["a0"], None)]
    for job in jobs:
        convert_model(source, tmp_path / "views", job.model)
    assert prepare_converted(source, tmp_path / "views") == []
    store = ViewStore(tmp_path / "views")
    assert (store.models, store.size, store.split) == (source.models, source.size, source.split)
    for model in store.models:
        assert store.n_views(model) == source.n_views(model) == 2
        for i in range(2):
            ours, theirs = store.view(model, i), source.view(model, i)
            np.testing.assert_array_equal(ours.rgba, theirs.rgba)
            np.testing.assert_array_equal(ours.T_world2cam, theirs.T_world2cam)
            np.testing.assert_array_equal(ours.K_px, theirs.K_px)
    assert [entry.model for entry in open_models(tmp_path / "views", "dev", SIZE)] == ["a1", "b1"]


def test_a_store_of_something_else_is_left_alone(folder, tmp_path):
    source = PublishedStore(folder)
    out = tmp_path / "views"
    prepare_converted(source, out)
    (tmp_path / "other").mkdir()
    for path in folder.iterdir():
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(StorageError, match=r"views was .* \(source: .*chairs.* there, .*other"):
        prepare_converted(PublishedStore(tmp_path / "other"), out)
    (out / "store.json").write_text(json.dumps({"version": 1, "size": [24, 24], "views": 200}))
    with pytest.raises(StorageError, match="source: None there"):
        prepare_converted(source, out)
    with pytest.raises(StorageError, match="is the folder of the tfrecords; give the store one of"):
        prepare_converted(source, folder / ".." / folder.name)
    assert not (folder / "store.json").exists()


def test_a_dev_side_is_checked_as_the_others_are(tmp_path):
    def refused(**sides):
        (tmp_path / "split.json").write_text(json.dumps(sides))
        with pytest.raises(StorageError) as error:
            read_split(tmp_path)
        return str(error.value)

    assert "in 'train' and in 'dev': a" in refused(train=["a"], test=["b"], dev=["a"])
    assert "in 'test' and in 'dev': b" in refused(train=["a"], test=["b"], dev=["b"])
    assert "expected" in refused(train=["a"], test=["b"], dev="c")
    assert "expected" in refused(train=["a"], dev=["c"])
    (tmp_path / "split.json").write_text('{"train": ["a"], "test": []}')
    picture = np.zeros((*SIZE, 4), np.uint8)
    write_model_views(tmp_path, "a", [picture], np.eye(4)[None], np.eye(3))
    with pytest.raises(ValueError, match="its split has no 'dev' side"):
        open_models(tmp_path, "dev", SIZE)
