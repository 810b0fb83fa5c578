import itertools
import json
import pickle
from collections import Counter

import pytest
import torch

from keypointnet.geometry import normalise_intrinsics
from keypointnet.views.pairs import (
    ModelViews,
    PairDataset,
    PairKey,
    PairSampler,
    check_models,
    choose_models,
    open_models,
)
from keypointnet.views.storage import StorageError, ViewStore


def batches(n: int, **settings) -> list[list[PairKey]]:
    settings = {"n_pairs": 23, "batch_size": 6, "seed": 1} | settings
    return list(itertools.islice(PairSampler(**settings), n))


@pytest.fixture
def dataset(blob_root) -> PairDataset:
    return PairDataset(open_models(blob_root, "all", (32, 32)), seed=3)


# --- the sampler


def test_every_pair_comes_once_in_an_epoch():
    keys = [key for batch in batches(23) for key in batch]  # 138 keys: exactly six epochs
    assert Counter((key.epoch, key.position) for key in keys) == Counter(
        itertools.product(range(6), range(23))
    )
    orders = [[k.position for k in keys if k.epoch == epoch] for epoch in range(6)]
    assert len({tuple(order) for order in orders}) == 6


def test_processes_share_the_batches_without_overlap():
    whole = batches(10)
    shares = [batches(10, rank=rank, world_size=3) for rank in range(3)]
    for step in range(10):
        parts = [share[step] for share in shares]
        assert [len(part) for part in parts] == [2, 2, 2]
        assert [key for part in parts for key in part] == whole[step]
        assert len(set(whole[step])) == 6


@pytest.mark.parametrize("first_step", [1, 3, 4, 57])
def test_going_on_from_a_step_repeats_its_batches(first_step):
    assert batches(5, first_step=first_step) == batches(first_step + 5)[first_step:]


def test_the_order_depends_on_the_seed():
    assert batches(4) == batches(4)
    assert batches(4) != batches(4, seed=2)


def test_a_step_may_be_larger_than_an_epoch():
    (keys,) = batches(1, n_pairs=4, batch_size=10)
    assert [key.epoch for key in keys] == [0] * 4 + [1] * 4 + [2] * 2
    assert sorted(key.position for key in keys[:4]) == [0, 1, 2, 3]


def test_a_batch_that_cannot_be_shared():
    with pytest.raises(ValueError, match="6 pairs a step cannot be shared by 4 processes"):
        batches(1, world_size=4)


# --- the data set


def test_an_epoch_uses_every_view_once(dataset):
    assert len(dataset) == 4 * 5
    for epoch in (0, 7):
        pairs = [dataset.pair_at(PairKey(epoch, position)) for position in range(20)]
        assert [model for model, _, _ in pairs] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
        for model in range(4):
            views = [v for m, *both in pairs if m == model for v in both]
            assert sorted(views) == list(range(10))
    assert pairs != [dataset.pair_at(PairKey(8, position)) for position in range(20)]


def test_an_odd_view_is_left_for_another_epoch(tmp_path, blob_views):
    blob_views(tmp_path, ["odd"], views=5)
    dataset = PairDataset(open_models(tmp_path, "all", (32, 32)), seed=0)
    assert len(dataset) == 2
    left_out = set()
    for epoch in range(30):
        views = [v for position in range(2) for v in dataset.pair_at(PairKey(epoch, position))[1:]]
        assert len(set(views)) == 4
        left_out |= set(range(5)) - set(views)
    assert left_out == set(range(5))


def test_an_item_is_what_the_store_holds(dataset, blob_root):
    key = PairKey(2, 11)
    model, first, second = dataset.pair_at(key)
    assert model == 2
    store = ViewStore(blob_root)
    loaded = dataset[[key, PairKey(2, 0)]]
    assert loaded.rgba.dtype == torch.uint8  # bytes travel faster
    batch = loaded.to("cpu")
    assert batch.rgba.shape == (2, 2, 4, 32, 32)
    assert batch.models == [f"{blob_root.name}/c", f"{blob_root.name}/a"]
    for i, index in enumerate((first, second)):
        view = store.view("c", index)
        expected = torch.from_numpy(view.rgba).permute(2, 0, 1) / 255
        torch.testing.assert_close(batch.rgba[0, i], expected)
        torch.testing.assert_close(
            batch.T_world2cam[0, i], torch.from_numpy(view.T_world2cam).float()
        )
        K = normalise_intrinsics(torch.from_numpy(view.K_px), (32, 32))
        torch.testing.assert_close(batch.K[0, i], K.float())
    assert {t.dtype for t in (batch.rgba, batch.T_world2cam, batch.K)} == {torch.float32}


def test_pairs_loaded_one_by_one_or_together_are_the_same(dataset):
    keys = [PairKey(0, position) for position in (3, 19, 0)]
    together, joined = dataset[keys].to("cpu"), dataset.collate([dataset[key] for key in keys])
    assert together.models == joined.models
    assert all(torch.equal(a, b) for a, b in zip(together[:3], joined[:3], strict=True))
    assert torch.equal(joined.to("cpu").rgba, joined.rgba)  # not divided by 255 twice


def test_a_data_set_travels_to_workers(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    key = PairKey(1, 3)
    assert copy.pair_at(key) == dataset.pair_at(key)
    assert torch.equal(copy[key].rgba, dataset[key].rgba)


def test_data_sets_that_cannot_be(tmp_path, blob_root, blob_views):
    with pytest.raises(ValueError, match="expected at least one model, got none"):
        PairDataset([], seed=0)
    blob_views(tmp_path / "lone", ["many", "one"], views=1)
    entries = open_models(tmp_path / "lone", "all", (32, 32))
    with pytest.raises(ValueError, match="lone/many has 1 views; a pair needs 2"):
        PairDataset(entries, seed=0)
    blob_views(tmp_path / "wide", ["x"], size=(24, 40))
    wide = ModelViews(ViewStore(tmp_path / "wide"), "x")
    with pytest.raises(ValueError, match=r"differ in size: \[\(24, 40\), \(32, 32\)\]"):
        PairDataset([wide, ModelViews(ViewStore(blob_root), "a")], seed=0)


# --- stores and splits


@pytest.fixture
def split_root(tmp_path, blob_views):
    blob_views(tmp_path, ["s/a", "s/a@1", "s/a@2", "s/b", "s/b@1", "s/c"], views=2)
    (tmp_path / "split.json").write_text('{"train": ["s/a", "s/gone"], "test": ["s/b"]}')
    return tmp_path


def test_variants_follow_their_model_into_training_only(split_root):
    store = ViewStore(split_root)
    assert choose_models(store, "train") == ["s/a", "s/a@1", "s/a@2"]
    assert choose_models(store, "test") == ["s/b"]
    assert choose_models(store, "all") == ["s/a", "s/a@1", "s/a@2", "s/b", "s/b@1", "s/c"]


def test_a_side_without_models_is_named(split_root):
    (split_root / "split.json").write_text('{"train": ["s/gone", "s/lost"], "test": ["s/b"]}')
    with pytest.raises(ValueError, match="none of the 2 models of its 'train' split is rendered"):
        choose_models(ViewStore(split_root), "train")


def test_a_test_side_that_is_not_whole_is_refused(split_root):
    (split_root / "split.json").write_text('{"train": ["s/a"], "test": ["s/b", "s/lost"]}')
    with pytest.raises(ValueError, match=r"1 of the 2 models .* not rendered, such as s/lost"):
        choose_models(ViewStore(split_root), "test")


def test_what_would_spoil_a_run_is_found_before_it(split_root, blob_views, tmp_path):
    train, test = (open_models(split_root, side, (32, 32)) for side in ("train", "test"))
    check_models(train, test, 30.0)
    everything = open_models(split_root, "all", (32, 32))
    with pytest.raises(ValueError, match=r"data.test: .*/s/b is trained on too"):
        check_models(everything, test, 30.0)
    with pytest.raises(ValueError, match=r"cameras are 30 away.*set model.depth_offset=30"):
        check_models(train, test, 8.0)
    lonely = tmp_path / "lonely"
    blob_views(lonely, ["x"], views=1)
    with pytest.raises(ValueError, match=r"data.test: lonely/x has 1 views; a pair needs 2"):
        check_models(train, open_models(lonely, "all", (32, 32)), 30.0)
    info = split_root / "store.json"
    info.write_text(json.dumps({"version": 1, "size": [32, 32], "background": [0, 0, 9]}))
    on_blue = open_models(split_root, "train", (32, 32))
    with pytest.raises(ValueError, match=r"was rendered with --background, which leaves no"):
        check_models(on_blue, test, 30.0)
    info.unlink()
    file = next(split_root.rglob("b.zip"))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(StorageError, match=r"b\.zip: truncated .*; render again"):
        check_models(train, open_models(split_root, "test", (32, 32)), 30.0)


def test_subsets_that_are_not_there(split_root):
    with pytest.raises(ValueError, match="expected 'train', 'test', 'dev' or 'all', got 'val'"):
        choose_models(ViewStore(split_root), "val")
    (split_root / "split.json").unlink()
    with pytest.raises(ValueError, match=r"has no split.json, so there is no 'test' side"):
        choose_models(ViewStore(split_root), "test")


def test_opening_a_store(split_root):
    entries = open_models(split_root, "test", (32, 32))
    assert [(entry.model, entry.name) for entry in entries] == [("s/b", f"{split_root.name}/s/b")]
    with pytest.raises(ValueError, match="its views are 32x32, the configuration asks for 64x64"):
        open_models(split_root, "test", (64, 64))
