import runpy
from pathlib import Path

import numpy as np
import pytest

from keypointnet.shapes.person_points import PERSON_POINTS
from keypointnet.views.scene_files import BLOCK
from kp2seg.data.catalog import read_dataset, register_datasets
from kp2seg.data.masks import decode
from kp2seg.data.ochuman_json import _SKELETON
from kp2seg.data.problems import DataError
from kp2seg.data.scenes import max_ious
from kp2seg.data.syncrowd import belongs
from kp2seg.keypoint_sources.layouts import COCO_JOINTS

box_library = runpy.run_path(str(Path(__file__).with_name("box_people.py")))["box_library"]
PICTURES = BLOCK + 2
SMALL = ["--size", "48x64", "--people", "2", "3", "--pictures", str(PICTURES), "--hard", "0.05"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("make_crowd")


@pytest.fixture(scope="module")
def root(tool, box_library, tmp_path_factory):
    """Where DETECTRON2_DATASETS may point to."""
    root = tmp_path_factory.mktemp("data")
    assert tool.main([str(root / "syncrowd" / "val"), *SMALL, "--workers", "2"]) == 0
    return root


@pytest.fixture
def registered(root):
    register_datasets(root)
    yield
    register_datasets()


def files(out):
    return {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_joints_are_coco_s():
    assert PERSON_POINTS.names == COCO_JOINTS
    assert sorted(map(sorted, PERSON_POINTS.skeleton)) == sorted(map(sorted, _SKELETON))


def test_the_data_sets_hold_what_was_made(root, registered):
    data = read_dataset("syncrowd_val", strict=True)
    assert len(data.coco["images"]) == PICTURES
    people = data.coco["annotations"]
    by_picture = {row["id"]: [] for row in data.coco["images"]}
    for row in people:
        by_picture[row["image_id"]].append(row)
        seen, amodal = decode(row["segmentation"]), decode(row["amodal_segmentation"])
        assert (seen <= amodal).all()
        assert row["occlusion"] == pytest.approx(1 - seen.sum() / amodal.sum(), abs=1e-4)
        assert row["model"].startswith("body-")
        assert np.shape(row["keypoints_3d"]) == (17, 3)
        assert set(row["keypoints"][2::3]) <= {0, 1, 2}
    for rows in by_picture.values():
        assert [row["max_iou"] for row in rows] == pytest.approx(
            max_ious([row["bbox"] for row in rows]), abs=1e-4
        )
    ranges = {"_moderate": (0.5, 0.75), "_hard": (0.75, 1.0)}
    for suffix, iou_range in ranges.items():
        there = [row["id"] for row in people if belongs(row, iou_range)]
        assert there or suffix == "_hard"
        part = read_dataset(f"syncrowd_val{suffix}", strict=True)
        assert [row["id"] for row in part.coco["annotations"]] == there
    with pytest.raises(DataError, match=r"syncrowd/train/annotations.json.*tools/make_crowd.py"):
        read_dataset("syncrowd_train")


def test_ranges_by_hand():
    rows = [{"max_iou": value} for value in (0.0, 0.5, 0.74, 0.75, 1.0)] + [{}]
    assert [belongs(row, (0.5, 0.75)) for row in rows] == [False, True, True, False, False, False]
    assert [belongs(row, (0.75, 1.0)) for row in rows] == [False, False, False, True, True, False]
    assert all(belongs(row, (0.0, 1.0)) for row in rows)


@pytest.mark.slow
def test_a_run_in_parts_and_one_that_was_damaged_end_with_the_same_bytes(
    tool, root, tmp_path, capsys
):
    made, out = root / "syncrowd" / "val", tmp_path / "parts"
    words = [str(out), *SMALL, "--workers", "1"]
    assert tool.main([*words, "--shard", "1/2"]) == 0
    assert f"{BLOCK} of {PICTURES} pictures are still to come" in capsys.readouterr().out
    assert tool.main([*words, "--shard", "0/2"]) == 0
    assert files(out) == files(made)
    (out / "images" / "000001.jpg").write_bytes(b"damaged")
    assert tool.main(words) == 0
    assert f"{PICTURES - 1} pictures are there already" in capsys.readouterr().out
    assert files(out) == files(made)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bodies", "5-3"], "expected START-END within 0-256"),
        (["--bodies", "0-500"], "expected START-END within 0-256"),
        (["--hard", "0.8", "--moderate", "0.8"], "add up to at most 1"),
        (["--people", "0", "2"], "people must be (low, high) within 1 to 8"),
        (["--backgrounds", "gone"], "gone: no such folder of background"),
        (["--quality", "200"], "quality must be 1 to 100"),
    ],
)
def test_mistakes_end_with_one_line(tool, box_library, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        tool.main(["out", *words])
    assert str(stop.value).startswith("make_crowd: ")
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)
    assert not (tmp_path / "out").exists()


def test_without_anny_the_extra_is_named(tool, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setenv("ANNY_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(SystemExit, match=r"not installed .*pip install 'kp2seg\[people\]'"):
        tool.main([str(tmp_path / "out")])
    assert "once: a minute or more" in capsys.readouterr().err
