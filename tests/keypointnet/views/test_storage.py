import io
import multiprocessing
import os
import pickle
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypointnet.files import write_json
from keypointnet.views import storage
from keypointnet.views.storage import (
    StorageError,
    ViewStore,
    view_file,
    write_model_views,
)

SIZE = (24, 40)  # h, w


def pictures(n: int, seed: int = 0, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Premultiplied noise in the middle, transparent outside."""
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(n):
        rgba = np.zeros((*size, 4), np.uint8)
        rgba[4:-4, 4:-4, 3] = rng.integers(0, 256, (size[0] - 8, size[1] - 8))
        rgba[..., :3] = rgba[..., 3:] * rng.random((*size, 3))
        views.append(rgba)
    return views


def cameras(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4, 4)), rng.normal(size=(n, 3, 3))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, model_id in enumerate(("03001627/b@1", "a", "03001627/b")):
        write_model_views(tmp_path, model_id, pictures(5, number), *cameras(5, number))
    return tmp_path


def test_what_is_written_is_read(root):
    store = ViewStore(root)
    assert store.models == ["03001627/b", "03001627/b@1", "a"]
    assert store.size == SIZE
    assert store.split is None
    assert store.info == {}
    assert store.n_views("a") == 5
    T_world2cam, K_px = cameras(5, 1)
    np.testing.assert_array_equal(store.cameras("a")[0], T_world2cam)
    np.testing.assert_array_equal(store.cameras("a")[1], K_px)
    for index, rgba in enumerate(pictures(5, 1)):
        view = store.view("a", index)
        np.testing.assert_array_equal(view.rgba, rgba)
        np.testing.assert_array_equal(view.T_world2cam, T_world2cam[index])
        np.testing.assert_array_equal(view.K_px, K_px[index])
        assert view.rgba.dtype == np.uint8
        assert view.T_world2cam.dtype == view.K_px.dtype == np.float64


def test_one_intrinsic_matrix_serves_all_views(tmp_path):
    K_px = np.diag([2.0, 3.0, 1.0])
    write_model_views(tmp_path, "a", pictures(3), cameras(3)[0], K_px)
    np.testing.assert_array_equal(ViewStore(tmp_path).cameras("a")[1], np.stack([K_px] * 3))


def test_other_tools_can_open_a_file(root):
    with zipfile.ZipFile(view_file(root, "03001627/b")) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["cameras.npy", *(f"{i:03d}.png" for i in range(5))]
        index = np.load(io.BytesIO(archive.read("cameras.npy")))
        np.testing.assert_array_equal(index["T"], cameras(5, 2)[0])
        bgra = cv2.imdecode(np.frombuffer(archive.read("003.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(bgra[..., [2, 1, 0, 3]], pictures(5, 2)[3])


def test_a_view_is_read_without_the_others(root, monkeypatch):
    store = ViewStore(root)
    store.n_views("a")
    read = []

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(descriptor, size, offset)

    pread = os.pread
    monkeypatch.setattr(os, "pread", counting)
    store.view("a", 3)
    with zipfile.ZipFile(view_file(root, "a")) as archive:
        assert read == [archive.getinfo("003.png").file_size]


def test_equal_views_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_model_views(tmp_path, name, pictures(2), *cameras(2))
    assert view_file(tmp_path, "a").read_bytes() == view_file(tmp_path, "b").read_bytes()


def test_a_file_cut_anywhere_is_noticed_and_named(root):
    whole = view_file(root, "a").read_bytes()
    store = ViewStore(root)
    for length in [0, 1, 21, 22, 30, 40, 300, len(whole) // 2, len(whole) - 22, len(whole) - 1]:
        view_file(root, "a").write_bytes(whole[:length])
        with pytest.raises(StorageError, match=r"/a\.zip: truncated or not a view file"):
            store.view("a", 0)


def test_a_changed_byte_is_noticed_in_the_view_it_is_in(root):
    whole = view_file(root, "a").read_bytes()
    with zipfile.ZipFile(view_file(root, "a")) as archive:
        start = archive.getinfo("002.png").header_offset + 30 + len("002.png")
    broken = bytearray(whole)
    broken[start + 60] ^= 1
    view_file(root, "a").write_bytes(bytes(broken))
    store = ViewStore(root)
    store.view("a", 1)
    with pytest.raises(
        StorageError, match=r"/a\.zip: view 2 is damaged; delete it and render again"
    ):
        store.view("a", 2)


def test_a_changed_camera_is_noticed(root):
    broken = bytearray(view_file(root, "a").read_bytes())
    broken[30 + len("cameras.npy") + 192 + 300] ^= 1
    view_file(root, "a").write_bytes(bytes(broken))
    with pytest.raises(StorageError, match=r"/a\.zip: its index is damaged"):
        ViewStore(root).cameras("a")


@pytest.mark.parametrize("members", [[], ["other.txt"]])
def test_another_zip_is_no_view_file(root, members):
    with zipfile.ZipFile(view_file(root, "a"), "w") as archive:
        for member in members:
            archive.writestr(member, "x" * 100)
    with pytest.raises(StorageError, match=r"/a\.zip: not a view file"):
        ViewStore(root).view("a", 0)


def test_a_missing_model_or_view_is_named(root):
    store = ViewStore(root)
    with pytest.raises(StorageError, match=r"/zzz\.zip: No such file"):
        store.view("zzz", 0)
    for index in (5, -1):
        with pytest.raises(IndexError, match=rf"a\.zip: view {index} of 5"):
            store.view("a", index)


def test_a_picture_of_another_size_is_named(root):
    write_json(root / "store.json", {"version": 1, "size": [24, 41]})
    with pytest.raises(StorageError, match=r"view 0 is \(24, 40\), the store \(24, 41\) \(h, w\)"):
        ViewStore(root).view("a", 0)


def test_split_and_info_are_read(root):
    write_json(root / "split.json", {"train": ["a"], "test": ["03001627/b"]})
    write_json(root / "store.json", {"version": 1, "size": list(SIZE), "seed": 3})
    store = ViewStore(root)
    assert store.split == {"train": ["a"], "test": ["03001627/b"]}
    assert store.info["seed"] == 3


def test_stores_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(StorageError, match="nowhere: no such folder"):
        ViewStore(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="no view files"):
        ViewStore(tmp_path)
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(StorageError, match=r"store\.json: not a JSON file"):
        ViewStore(tmp_path)
    write_json(tmp_path / "store.json", {"version": 99})
    with pytest.raises(StorageError, match=r"store\.json: version 99, this code reads 1"):
        ViewStore(tmp_path)


@pytest.mark.parametrize("model_id", ["../a", "/a", "", "a/../b", "a\\b", "a//b"])
def test_ids_stay_in_the_store(tmp_path, model_id):
    with pytest.raises(StorageError, match="is not a relative path"):
        write_model_views(tmp_path, model_id, pictures(1), *cameras(1))


def test_shapes_are_checked(tmp_path):
    with pytest.raises(ValueError, match="2 pictures need as many cameras"):
        write_model_views(tmp_path, "a", pictures(2), *cameras(3))
    with pytest.raises(ValueError, match="picture 1 is float64"):
        write_model_views(tmp_path, "a", [pictures(1)[0], np.zeros((*SIZE, 4))], *cameras(2))
    with pytest.raises(ValueError, match=r"picture 1 is uint8 \(9, 9, 4\)"):
        write_model_views(tmp_path, "a", pictures(1) + pictures(1, size=(9, 9)), *cameras(2))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file_and_nothing_else(root, monkeypatch):
    before = sorted(root.rglob("*"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_model_views(root, "a", pictures(2, 9), *cameras(2))
    assert sorted(root.rglob("*")) == before
    np.testing.assert_array_equal(ViewStore(root).view("a", 4).rgba, pictures(5, 1)[4])


def test_a_used_store_can_be_pickled(root):
    store = ViewStore(root)
    store.view("a", 0)
    copy = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(copy.view("a", 1).rgba, store.view("a", 1).rgba)
    assert copy.models == store.models


def _sum_of_views(store: ViewStore, results: "multiprocessing.SimpleQueue[int]") -> None:
    results.put(sum(int(store.view("a", i % 5).rgba.sum()) for i in range(200)))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_open_files_survive_a_fork(root):
    # Children share the descriptors; positioned reads keep them from disturbing each other.
    store = ViewStore(root)
    expected = sum(int(store.view("a", i % 5).rgba.sum()) for i in range(200))
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    children = [context.Process(target=_sum_of_views, args=(store, results)) for _ in range(2)]
    for child in children:
        child.start()
    assert sum(int(store.view("a", i % 5).rgba.sum()) for i in range(200)) == expected
    for child in children:
        child.join()
    assert [results.get() for _ in children] == [expected] * 2


def test_only_so_many_files_are_kept_open(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_OPEN_FILES", 3)
    for number in range(8):
        write_model_views(tmp_path, f"m{number}", pictures(1, number), *cameras(1))
    store = ViewStore(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for number in range(8):
            np.testing.assert_array_equal(store.view(f"m{number}", 0).rgba, pictures(1, number)[0])
    assert len(os.listdir("/proc/self/fd")) <= before + 3


def test_a_replaced_file_is_whole_at_every_moment(root):
    # The store goes on with the file it has open; a new store sees the new one.
    store = ViewStore(root)
    store.view("a", 0)
    write_model_views(root, "a", pictures(5, 7), *cameras(5, 7))
    np.testing.assert_array_equal(store.view("a", 2).rgba, pictures(5, 1)[2])
    np.testing.assert_array_equal(ViewStore(root).view("a", 2).rgba, pictures(5, 7)[2])
