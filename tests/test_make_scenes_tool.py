import json

import numpy as np
import pytest
from PIL import Image

from keypointnet.views.scene_files import BLOCK
from keypointnet.views.scenes import SceneMaker, SceneSettings
from keypointnet.views.sources import find_sources
from kp2seg.data.masks import decode

PICTURES = BLOCK + 2  # two blocks
SMALL = ["--models", "chair:4", "--size", "24x32"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("make_scenes")


@pytest.fixture(scope="module")
def made(tool, tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes") / "out"
    words = [str(out), *SMALL, "--pictures", str(PICTURES), "--workers", "2"]
    assert tool.main(words) == 0
    return out


def files(out):
    return {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_what_two_workers_make_is_true(made):
    coco = json.loads((made / "annotations.json").read_text())
    assert [row["id"] for row in coco["images"]] == list(range(1, PICTURES + 1))
    settings = SceneSettings(size=(24, 32))
    with SceneMaker(find_sources("chair:4"), settings) as maker:
        scene = maker.make(BLOCK + 1)
    rows = [row for row in coco["annotations"] if row["image_id"] == BLOCK + 2]
    assert rows
    for row in rows:
        seen = decode(row["segmentation"]) > 0
        whose = {m for m in range(len(scene.models)) if np.array_equal(seen, scene.nearest == m)}
        assert {scene.models[m] for m in whose} == {row["model"]}
        assert len(row["keypoints"]) == 36
    with Image.open(made / "images" / f"{BLOCK + 1:06d}.jpg") as picture:
        assert picture.size == (32, 24)
        difference = np.abs(np.asarray(picture).astype(int) - scene.picture)
    assert difference.mean() < 12


def test_a_run_in_parts_and_one_that_was_damaged_end_with_the_same_bytes(
    tool, made, tmp_path, capsys
):
    out = tmp_path / "parts"
    words = [str(out), *SMALL, "--pictures", str(PICTURES), "--workers", "1"]
    assert tool.main([*words, "--shard", "1/2"]) == 0
    assert f"{BLOCK} of {PICTURES} pictures are still to come" in capsys.readouterr().out
    assert not (out / "annotations.json").exists()
    assert tool.main([*words, "--shard", "0/2"]) == 0
    assert files(out) == files(made)

    (out / "images" / "000000.jpg").write_bytes(b"damaged")
    (out / "scenes" / f"{BLOCK:06d}.npz").unlink()
    assert tool.main(words) == 0
    assert f"{PICTURES - 2} pictures are there already" in capsys.readouterr().out
    assert files(out) == files(made)


def test_files_that_cannot_be_used_are_named_and_stop_nothing(tool, tmp_path, capsys):
    models, photos, out = tmp_path / "models", tmp_path / "photos", tmp_path / "out"
    models.mkdir()
    photos.mkdir()
    (models / "bad.obj").write_text("nothing\n")
    (models / "good.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 2 3 4\nf 1 3 4\n"
    )
    Image.new("RGB", (40, 30), (0, 200, 0)).save(photos / "fine.png")
    (photos / "broken.png").write_bytes(b"none")
    words = [str(out), "--models", str(models), "--size", "32", "--backgrounds", str(photos)]
    assert tool.main([*words, "--pictures", "6", "--objects", "1", "2", "--name", "thing"]) == 0
    printed = capsys.readouterr().out
    assert "2 files cannot be used, others took their places:\n  bad: " in printed
    assert "broken.png: cannot be read as a picture" in printed
    assert not (out / "failures.json").exists()
    coco = json.loads((out / "annotations.json").read_text())
    assert len(coco["images"]) == 6
    assert coco["categories"] == [{"id": 1, "name": "thing", "supercategory": "thing"}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "gone"], "gone: no such folder"),
        (["--models", "table:3"], "no family 'table'; there are chair"),
        (["--models", "chair:3", "--split", "test"], "no split.json in it"),
        (["--models", "chair:3", "--backgrounds", "gone"], "gone: no such folder of background"),
        (["--models", "chair:3", "--objects", "0", "2"], "objects must be (low, high) within 1 to"),
        (["--models", "chair:3", "--pictures", "0"], "expected at least 1, got 0"),
        (["--models", "chair:3", "--shard", "2/2"], "expected I/N with I from 0"),
        (["--models", "chair:3", "--quality", "200"], "quality must be 1 to 100"),
        ([], "the following arguments are required: --models"),
    ],
)
def test_mistakes_end_with_one_line(tool, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        tool.main(["out", *words])
    assert str(stop.value).startswith("make_scenes: ")
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)
    assert not (tmp_path / "out").exists()


def test_other_settings_are_refused(tool, made):
    with pytest.raises(SystemExit, match="seed: 0 there, 5 asked for"):
        tool.main([str(made), *SMALL, "--seed", "5"])
