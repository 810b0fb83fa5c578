import pickle
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from keypointnet.views.cameras import intrinsics
from keypointnet.views.pairs import PairDataset, PairKey, choose_models, open_models
from keypointnet.views.published_records import PublishedStore, premultiplied
from keypointnet.views.stores import open_store
from keypointnet.views.view_files import StorageError

case = runpy.run_path(str(Path(__file__).parents[1] / "released_case.py"))
SIZE = (24, 24)


def contents(*names, n=2):
    return {name: case["pairs"](n, SIZE, seed=i) for i, name in enumerate(names)}


@pytest.fixture
def folder(tmp_path):
    """Four tfrecords of two models with two pairs each; sides; ids in job.txt."""
    names = ["0000", "0001", "0002", "0003"]
    jobs = "".join(f"{name} 03001627/{name}a /x/03001627/{name}b/model.obj\n" for name in names)
    case["write_published"](
        tmp_path / "chairs",
        contents(*names, n=4),
        jobs=jobs,
        train=["0000", "0001"],
        dev=["0002"],
        test=["0003"],
    )
    return tmp_path / "chairs"


def one_file(folder, *records):
    """A folder whose only tfrecord has these records."""
    case["write_published"](folder, {})
    case["write_records"](folder / "0000.tfrecord", records)
    return folder


def pair():
    pictures, T_world2cam = case["pairs"](1, SIZE)
    return pictures[0], T_world2cam[0]


# --- what is in a folder


def test_views_are_what_was_written(folder):
    store = PublishedStore(folder)
    assert store.size == SIZE
    assert store.models == [f"03001627/000{i}{ab}" for i in range(4) for ab in "ab"]
    for i, name in enumerate(contents("0000", "0001", "0002", "0003")):
        pictures, T_world2cam = case["pairs"](4, SIZE, seed=i)
        for j, ab in enumerate("ab"):
            model = f"03001627/{name}{ab}"
            assert store.n_views(model) == 4
            cameras, K_px = store.cameras(model)
            for view in range(4):
                record, side = 2 * j + view // 2, view % 2
                got = store.view(model, view)
                np.testing.assert_array_equal(got.rgba, pictures[record, side])
                np.testing.assert_allclose(got.T_world2cam, T_world2cam[record, side], atol=1e-5)
                np.testing.assert_array_equal(cameras[view], got.T_world2cam)
                np.testing.assert_array_equal(K_px[view], got.K_px)
    np.testing.assert_allclose(store.K_px, intrinsics(5.0, SIZE), rtol=1e-6)


def test_sides(folder):
    store = PublishedStore(folder)
    assert choose_models(store, "train") == [f"03001627/000{i}{ab}" for i in (0, 1) for ab in "ab"]
    assert choose_models(store, "dev") == ["03001627/0002a", "03001627/0002b"]
    assert choose_models(store, "test") == ["03001627/0003a", "03001627/0003b"]
    assert choose_models(store, "all") == store.models
    (folder / "0003.tfrecord").unlink()
    (folder / "0001.tfrecord").unlink()
    left = PublishedStore(folder)
    assert choose_models(left, "train") == ["03001627/0000a", "03001627/0000b"]
    with pytest.raises(ValueError, match="none of the 2 models of its 'test' split"):
        choose_models(left, "test")
    for side in ("train", "dev", "test"):
        (folder / f"{side}.txt").unlink()
    assert PublishedStore(folder).split is None


def test_without_ids_models_have_the_tfrecords_names(folder):
    (folder / "job.txt").unlink()
    store = PublishedStore(folder)
    assert store.models == ["0000", "0001", "0002", "0003"]
    assert store.n_views("0002") == 8
    with pytest.raises(StorageError, match="chairs: has no model 0000a"):
        store.n_views("0000a")


# --- into the data set


@pytest.mark.parametrize("slash", ["", "/"])
def test_pairs_are_drawn_with_and_without_a_slash(folder, slash):
    models = open_models(f"{folder}{slash}", "train", SIZE)
    assert [entry.name for entry in models][:2] == [
        "chairs/03001627/0000a",
        "chairs/03001627/0000b",
    ]
    dataset = pickle.loads(pickle.dumps(PairDataset(models, seed=0)))
    assert len(dataset) == 4 * 2
    batch = dataset[[PairKey(0, position) for position in range(8)]].to("cpu")
    assert batch.rgba.shape == (8, 2, 4, *SIZE)
    index, first, second = dataset.pair_at(PairKey(0, 3))
    entry = models[index]
    for side, number in enumerate((first, second)):
        view = entry.store.view(entry.model, number)
        np.testing.assert_allclose(batch.T_world2cam[3, side], view.T_world2cam, atol=1e-5)
        rgba = batch.rgba[3, side].permute(1, 2, 0) * 255
        np.testing.assert_allclose(rgba, view.rgba, atol=1e-3)
    f = 1 / np.tan(np.radians(2.5))
    np.testing.assert_allclose(batch.K[0, 0], [[f, 0, 0], [0, f, 0], [0, 0, 1]], atol=1e-4)


def test_another_size_than_asked_for(folder):
    with pytest.raises(ValueError, match="its views are 24x24, the configuration asks for 128x128"):
        open_models(folder, "train", (128, 128))


# --- alpha


def test_colours_are_multiplied_by_alpha_once():
    straight = np.array([[[200, 100, 0, 128], [7, 8, 9, 0], [250, 255, 1, 255]]], np.uint8)
    once = np.array([[[100, 50, 0, 128], [0, 0, 0, 0], [250, 255, 1, 255]]], np.uint8)
    np.testing.assert_array_equal(premultiplied(straight), once)
    np.testing.assert_array_equal(premultiplied(once), once)


def test_pictures_are_read_premultiplied(tmp_path):
    pictures, T_world2cam = pair()
    pictures[0][0, 0] = [200, 100, 0, 128]
    store = open_store(one_file(tmp_path, case["record"](pictures, T_world2cam)))
    out = np.zeros((*SIZE, 4), np.uint8)
    assert store.view("0000", 0, out=out).rgba is out
    np.testing.assert_array_equal(out[0, 0], [100, 50, 0, 128])


# --- records that cannot be used


def foreign(tmp_path, **other):
    """What is said of a folder whose second record has these features instead."""
    good, bad = case["record"](*pair()), case["record"](*pair(), **other)
    store = PublishedStore(one_file(tmp_path, good, bad))
    with pytest.raises(StorageError) as error:
        _ = [store.view("0000", view) for view in range(4)]
    text = str(error.value)
    prefix = f"{tmp_path / '0000.tfrecord'}: record 1"
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


def test_foreign_records_are_named(tmp_path):
    _, T_world2cam = pair()
    mv = case["GL"] @ T_world2cam[0]
    flip = np.diag([-1.0, 1, 1, 1])
    for other, expected in (
        ({"img1": None, "mvi0": None}, " lacks img1, mvi0 (it has img0, mv0, mv1, mvi1)"),
        ({"mv1": (np.eye(4).flatten().astype(int), "int")}, " is of another kind: Incompatible"),
        ({"img0": (b"no picture", "byte")}, ": img0 is no RGBA PNG of 8 bits"),
        ({"img1": (b"", "byte")}, ": img1 is no RGBA PNG of 8 bits"),
        (
            {"img1": (case["png"](np.zeros((*SIZE, 3), np.uint8)), "byte")},
            ": img1 is no RGBA PNG of 8 bits",
        ),
        (
            {"img1": (case["png"](np.zeros((20, 24, 4), np.uint8)), "byte")},
            ": img1 is (20, 24), the first picture of the folder (24, 24) (h, w)",
        ),
        ({"mv0": (mv.flatten()[:15], "float")}, ": mv0: expected 16 finite numbers, got 15"),
        ({"mv0": (np.full(16, np.nan), "float")}, ": mv0: expected 16 finite numbers, got 16"),
        ({"mv0": (mv.T.flatten(), "float")}, ": mv0 is no rigid motion, written row by row"),
        ({"mv0": ((2 * mv).flatten(), "float")}, ": mv0 is no rigid motion, written row by row"),
        ({"mv0": ((flip @ mv).flatten(), "float")}, ": mv0 is no rigid motion, written row by row"),
        ({"mvi0": (mv.flatten(), "float")}, ": mvi0 is not the inverse of mv0"),
    ):
        assert foreign(tmp_path, **other).startswith(expected), other


def test_folders_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(StorageError, match="nowhere: no such folder"):
        PublishedStore(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r": no .tfrecord files in it"):
        PublishedStore(tmp_path)
    with pytest.raises(IndexError, match=r"0000.tfrecord: view 4 of 4 of 03001627/0000a"):
        PublishedStore(folder).view("03001627/0000a", 4)


def test_a_truncated_tfrecord_is_named_or_left_out(folder):
    path = folder / "0003.tfrecord"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StorageError, match=r"0003.tfrecord: record 3 is cut short"):
        open_models(folder, "train", SIZE)
    store = PublishedStore(folder, leave_out_broken=True)
    assert list(store.broken) == ["0003"]
    assert store.broken["0003"].startswith(f"{path}: record 3 is cut short")
    assert "03001627/0003a" not in store.models
    assert store.split["test"] == ["03001627/0003a", "03001627/0003b"]
    for name in ("0000", "0001", "0002"):
        (folder / f"{name}.tfrecord").write_bytes(b"nothing of the kind")
    with pytest.raises(StorageError, match=r"0000.tfrecord: is no TFRecord file"):
        PublishedStore(folder, leave_out_broken=True)


def test_a_tfrecord_cut_after_a_whole_record_is_named_or_left_out(folder):
    path = folder / "0000.tfrecord"
    whole, starts = path.read_bytes(), PublishedStore(folder).files["0000"].starts
    for records, expected in ((1, "cannot be shared evenly"), (2, "in most others it is 2")):
        path.write_bytes(whole[: starts[records]])
        why = rf"chairs/0000.tfrecord: its {records} pairs .*{expected}"
        with pytest.raises(StorageError, match=why):
            PublishedStore(folder)
        store = PublishedStore(folder, leave_out_broken=True)
        assert re.search(why, store.broken["0000"])
        assert store.models == [f"03001627/000{i}{ab}" for i in (1, 2, 3) for ab in "ab"]
    for name in ("0001", "0002", "0003"):
        (folder / f"{name}.tfrecord").unlink()
    path.write_bytes(whole[: starts[1]])
    with pytest.raises(StorageError, match=r"0000.tfrecord: its 1 pairs cannot be shared"):
        PublishedStore(folder, leave_out_broken=True)


def test_a_damaged_first_picture_does_not_hide_the_others(folder):
    path = folder / "0000.tfrecord"
    damaged = bytearray(path.read_bytes())
    damaged[60] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match=r"0000.tfrecord: record 0 does not match its checksum"):
        PublishedStore(folder)
    store = PublishedStore(folder, leave_out_broken=True)
    assert store.size == SIZE
    assert (len(store.models), store.broken) == (8, {})
    for name in ("0001", "0002", "0003"):
        (folder / f"{name}.tfrecord").unlink()
    path.write_bytes(path.read_bytes()[: store.files["0000"].starts[1]])
    (folder / "job.txt").unlink()
    with pytest.raises(StorageError, match=r"0000.tfrecord: record 0 does not match its checksum"):
        PublishedStore(folder, leave_out_broken=True)
