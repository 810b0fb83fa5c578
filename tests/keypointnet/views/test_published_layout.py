import re

import numpy as np
import pytest

from keypointnet.views.published_layout import (
    model_id,
    models_of,
    read_jobs,
    read_projection,
    read_sides,
    record_files,
    uneven_files,
)
from keypointnet.views.view_files import StorageError

# --- projection.txt


def write_projection(folder, matrix):
    lines = [" ".join(f"{value:.6f}" for value in row) for row in matrix]
    (folder / "projection.txt").write_text("\n".join(lines))


def test_intrinsics_by_hand(tmp_path):
    (tmp_path / "projection.txt").write_text("2 0 0 0 \n0 2 0 0\n0 0 -1 -0.2\n\n0 0 -1 0\n")
    K_px = read_projection(tmp_path, (128, 128))
    np.testing.assert_array_equal(K_px, [[128, 0, 64], [0, 128, 64], [0, 0, 1]])


def test_the_same_point_by_both_conventions(tmp_path):
    matrix = np.array(
        [[3.0, 0, 0.25, 0], [0, 5.0, -0.125, 0], [0, 0, -1.002, -0.2], [0, 0, -1.0, 0]]
    )
    write_projection(tmp_path, matrix)
    h, w = 48, 80
    K_px = read_projection(tmp_path, (h, w))
    X_gl = np.random.default_rng(0).uniform([-1, -1, -7], [1, 1, -5], (20, 3))
    clip = np.c_[X_gl, np.ones(20)] @ matrix.T
    ndc = clip[:, :2] / clip[:, 3:]
    expected = np.c_[(ndc[:, 0] + 1) * w / 2, (1 - ndc[:, 1]) * h / 2]
    X_cv = X_gl * [1, -1, -1]
    projected = X_cv @ K_px.T
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 0 0 0\n0 1 0 0\n", "expected 4 lines of 4 numbers"),
        ("a b c d\n" * 4, "expected 4 lines of 4 numbers"),
        ("1 0 0 nan\n" * 4, "expected 4 lines of 4 numbers"),
        ("1 0 0 0\n0 1 0 0 0\n0 0 1 0\n0 0 0 1", "expected 4 lines of 4 numbers"),
        ("1 0 0 0\n0 -1 0 0\n0 0 1 0\n0 0 0 1", "focal lengths > 0 .* got 1 and -1"),
    ],
)
def test_a_projection_that_is_none(tmp_path, text, expected):
    (tmp_path / "projection.txt").write_text(text)
    with pytest.raises(StorageError, match=rf"projection.txt: .*{expected}"):
        read_projection(tmp_path, (128, 128))


def test_without_a_projection(tmp_path):
    expected = "projection.txt: No such file or directory; it comes with the tfrecords"
    with pytest.raises(StorageError, match=expected):
        read_projection(tmp_path, (128, 128))
    (tmp_path / "projection.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError, match=r"projection.txt: is no text"):
        read_projection(tmp_path, (128, 128))


# --- train.txt, dev.txt, test.txt


def test_what_is_on_no_list_is_for_training(tmp_path):
    assert read_sides(tmp_path, ["0000", "0001"]) is None
    (tmp_path / "test.txt").write_text("0002\n 0003.tfrecord \n\n")
    (tmp_path / "dev.txt").write_text("0001")
    files = ["0000", "0001", "0002", "0003", "0004"]
    sides = {"train": ["0000", "0004"], "dev": ["0001"], "test": ["0002", "0003"]}
    assert read_sides(tmp_path, files) == sides
    # A list counts, also for what is not there.
    (tmp_path / "train.txt").write_text("0004\n0009\n")
    assert read_sides(tmp_path, files) == sides | {"train": ["0004", "0009"]}


def test_a_name_on_two_lists(tmp_path):
    (tmp_path / "test.txt").write_text("0002\n")
    (tmp_path / "dev.txt").write_text("0001\n0002\n")
    with pytest.raises(StorageError, match=r"0002 is in dev.txt and in test.txt"):
        read_sides(tmp_path, ["0001", "0002"])


# --- job.txt

TWO_FILES = {"0000": 200, "0001": 100}


@pytest.mark.parametrize(
    "text",
    [
        "0000 a b\n0001 c\n",
        "0000.tfrecord: a, b\n\n0001.tfrecord: c",
        "a 0000\nb 0000\nc 0001\n",
        "0000 a\n0001 c\n0000 b\n",
        "a b\nc\n",
        "a\nb\nc\n",
    ],
)
def test_ids_in_every_order(tmp_path, text):
    (tmp_path / "job.txt").write_text(text)
    assert read_jobs(tmp_path, TWO_FILES) == {"0000": ["a", "b"], "0001": ["c"]}


def test_lines_by_number_where_files_are_missing(tmp_path):
    (tmp_path / "job.txt").write_text("a b\nc d\ne f\ng\n")
    assert read_jobs(tmp_path, {"0001": 200, "0003": 100}) == {"0001": ["c", "d"], "0003": ["g"]}
    (tmp_path / "job.txt").write_text("0000 a b\n0001 c d\n0002 e f\n")
    assert read_jobs(tmp_path, {"0001": 200})["0001"] == ["c", "d"]
    # One id a line: by number only where files cannot hold several models.
    (tmp_path / "job.txt").write_text("a\nb\nc\n")
    assert read_jobs(tmp_path, {"0000": 7, "0002": 8}) == {"0000": ["a"], "0002": ["c"]}
    with pytest.raises(StorageError, match="cannot tell the models of the 2 tfrecords from its 3"):
        read_jobs(tmp_path, {"0000": 4000, "0002": 3900})


def test_jobs_that_cannot_be_used(tmp_path):
    assert read_jobs(tmp_path, TWO_FILES) is None
    (tmp_path / "job.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(StorageError, match=r"job.txt: cannot tell the models .* from its 4 lines"):
        read_jobs(tmp_path, TWO_FILES)
    (tmp_path / "job.txt").write_text("")
    with pytest.raises(StorageError, match=r"job.txt: cannot tell .* from its 0 lines"):
        read_jobs(tmp_path, TWO_FILES)
    (tmp_path / "job.txt").write_text("0000 a b\n0001 x/a\n")
    with pytest.raises(StorageError, match=r"job.txt: a is there twice"):
        read_jobs(tmp_path, TWO_FILES)
    for word in ("..", "x/..", "/models/model_normalized.obj", r"c:\\a"):
        (tmp_path / "job.txt").write_text(f"0000 a b\n0001 {word}\n")
        with pytest.raises(StorageError, match=r"job.txt: expected ShapeNet's ids, .* found "):
            read_jobs(tmp_path, TWO_FILES)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1a6f615e", "1a6f615e"),
        ("03001627/1a6f615e", "03001627/1a6f615e"),
        ("/x/03001627/1a6f615e/model.obj", "03001627/1a6f615e"),
        ("/x/03001627/1a6f615e/models/model_normalized.obj", "03001627/1a6f615e"),
        ("/x/03001627/1a6f615e/", "03001627/1a6f615e"),
        ("chairs/1a6f615e", "1a6f615e"),
    ],
)
def test_ids_from_paths(word, expected):
    assert model_id(word) == expected


# --- which pairs show which model


def test_pairs_are_shared_by_the_ids():
    jobs = {"0000": ["b", "a"], "0001": []}
    assert models_of(jobs, "0000", 200) == {"b": (0, 100), "a": (100, 100)}
    assert models_of(jobs, "0001", 6) == {"0001": (0, 6)}
    with pytest.raises(StorageError, match=re.escape("0000.tfrecord: its 201 pairs cannot be")):
        models_of(jobs, "0000", 201)
    with pytest.raises(StorageError, match="its 1 pairs cannot be shared evenly by the 2 models"):
        models_of(jobs, "0000", 1)


def test_without_ids_a_hundred_pairs_are_a_model_or_every_pair_is():
    assert models_of(None, "0007", 100) == {"0007": (0, 100)}
    assert models_of(None, "0007", 300) == {f"0007/{i}": (100 * i, 100) for i in range(3)}
    forty = models_of(None, "0007", 4000)
    assert (len(forty), forty["0007/39"]) == (40, (3900, 100))
    alone = models_of(None, "0007", 250)
    assert (len(alone), alone["0007/013"]) == (250, (13, 1))


def test_a_file_with_fewer_pairs_a_model_than_most_others():
    jobs = {name: ["a", "b"] for name in ("0000", "0001", "0002", "0003")} | {"0004": []}
    counts = {"0000": 200, "0001": 200, "0002": 200, "0003": 100, "0004": 7}
    assert list(uneven_files(jobs, counts)) == ["0003"]
    assert uneven_files(jobs, counts)["0003"].startswith(
        "0003.tfrecord: its 100 pairs are 50 for each model that job.txt names, in most others it "
        "is 100; fetch it again"
    )
    # What is longer is not cut, and `models_of` says what cannot be shared at all.
    assert uneven_files(jobs, counts | {"0003": 400}) == {}
    assert uneven_files(jobs, counts | {"0003": 101}) == {}
    assert uneven_files(jobs, {"0000": 200, "0001": 100}) == {}
    assert uneven_files(None, counts) == {}
    assert uneven_files(jobs, {}) == {}


def test_hidden_files_are_no_tfrecords(tmp_path):
    for name in ("0000", "._0000", "0001"):
        (tmp_path / f"{name}.tfrecord").write_bytes(b"")
    (tmp_path / "0002.tfrecord").mkdir()
    assert list(record_files(tmp_path)) == ["0000", "0001"]
