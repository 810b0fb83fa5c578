"""The loop on data of one's own, in small."""

import json
import re
import runpy
from pathlib import Path

import pytest

from keypointnet.checkpoints import build_model, save_checkpoint
from keypointnet.config import load_config
from kp2seg.build import trained_model
from kp2seg.bundle import bundled_category
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.keypoint_sources.layouts import COCO_JOINTS, CORNERS
from kp2seg.loop import own
from kp2seg.modeling.discovering import DiscoveringPose2Seg

DISCS = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))
tiny = DISCS["tiny"]
DETECTOR = """
from kp2seg.modeling.mask_rcnn import build_mask_rcnn

model = L(build_mask_rcnn)(
    name="test_efficientnet", channels=8, fc_dim=8, rois=16, proposals=20, pretrained=False
)
"""


@pytest.fixture
def tool(load_tool):
    return load_tool("loop")


@pytest.fixture
def words(tiny, tmp_path):
    """The arguments of a tiny study on discs of two classes, the checkpoint first."""
    root = tmp_path / "data/coco"
    for split in ("train", "val"):
        file = root / f"annotations/person_keypoints_{split}2017.json"
        coco = json.loads(file.read_text())
        coco["categories"].append({"id": 2, "name": "ball"})
        extra = {**coco["annotations"][0], "id": 99, "category_id": 2}
        crowd = {**coco["annotations"][0], "id": 98, "iscrowd": 1}
        crowd["segmentation"] = {"size": [60, 80], "counts": [0, 100, 4700]}
        coco["annotations"] += [extra, crowd]
        (root / f"{split}.json").write_text(json.dumps(coco))
    coco["categories"] = coco["categories"][:1]
    coco["annotations"] = [row for row in coco["annotations"] if row["category_id"] == 1]
    (root / "one.json").write_text(json.dumps(coco))
    _, masks, *_ = tiny()
    detector = tmp_path / "detector.py"
    detector.write_text(Path(masks).read_text() + DETECTOR)
    settings = load_config(None, ["model={num_keypoints: 4, channels: 8}", "data.image_size=16"])
    finder = tmp_path / "finder.safetensors"
    save_checkpoint(finder, {"model": build_model(settings).state_dict()}, step=1, config=settings)
    return [
        *(str(finder), str(tmp_path / "out"), "--category", "person", "--device", "cpu"),
        *("--train", f"{root}/train.json@{root}/train2017"),
        *("--train", f"{root}/one.json@{root}/val2017", "--repeat", "1", "2"),
        *("--test", f"{root}/val.json@{root}/val2017", "--templates", "1"),
        *("--min-confidence", "0", "--min-on-object", "0"),
        *("--config-file", masks, "--override", "model.mask_head.in_channels=null"),
        *("--steps", "2", "--mask-rcnn", str(detector)),
    ]


@pytest.mark.slow
def test_points_masks_a_detector_a_table_and_a_page_for_each_seed(tool, words, tmp_path, capsys):
    tool.main([*words, "--true", "--seeds", "3", "4"])
    said, out = capsys.readouterr().out, tmp_path / "out"
    for title in ("no keypoints, boxes alone", "discovered keypoints", "true keypoints"):
        assert re.search(rf"{title} +\S+ ± \S+", said)
    assert re.search(r"Mask R-CNN, which finds its own boxes +\S+ ± \S+", said)
    assert "of 4.0 points that count on each of 3 objects" in said

    points = {name: json.loads((out / f"points/{name}.json").read_text()) for name in (
        "discovered-train", "discovered-train-2", "discovered-test", "true-train", "none-test",
        "mask_rcnn-test",
    )}  # fmt: skip
    names = [data["categories"][0]["keypoints"] for data in points.values()]
    assert names[0] == names[1] == names[2]
    assert names[0][-4:] == list(CORNERS)
    assert names[3] == [*COCO_JOINTS, *CORNERS]
    assert (names[4], names[5]) == (list(CORNERS), [])
    assert [len(data["annotations"]) for data in points.values()] == [6, 3, 3, 6, 3, 4]
    assert sum(row["iscrowd"] for row in points["mask_rcnn-test"]["annotations"]) == 1

    document = json.loads((out / "results.json").read_text())
    assert document["seeds"].keys() == {"3", "4"}
    rows = document["seeds"]["4"]["rows"]
    assert list(rows) == ["none", "discovered", "true", "mask_rcnn"]
    assert document["points"]["objects"] == 3
    assert document["study"]["repeat"] == [1, 2]
    for seed in (3, 4):
        page = (out / f"seed-{seed}/report.html").read_text()
        assert "Mask R-CNN, which finds its own boxes" in page
        assert "Flips" not in page
        bundle = read_seg_checkpoint(out / f"seed-{seed}/object.safetensors")
        assert isinstance(trained_model(bundle), DiscoveringPose2Seg)
        assert bundled_category(bundle.config) == {"id": 1, "name": "person"}

    before = {path: path.stat().st_mtime_ns for path in out.rglob("last.safetensors")}
    assert len(before) == 8
    tool.main([*words, "--true", "--seeds", "3", "4"])  # nothing is trained again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = json.loads((out / "results.json").read_text())["seeds"]["4"]["rows"]
    assert again["discovered"] == rows["discovered"]  # its seconds, too
    assert "mean_iou" not in again["mask_rcnn"]
    json.loads((out / "results.json").read_text(), parse_constant=pytest.fail)  # no NaN

    # other settings would be told of masks of these
    with pytest.raises(SystemExit, match=r"with other settings \(repeat\[?.*2.* choose another"):
        tool.main([*words, "--true", "--repeat", "5", "1"])
    with pytest.raises(SystemExit, match=r"with other settings \(steps: 2 there, 4 asked for"):
        tool.main([*words, "--steps", "4"])
    tool.main([*words, "--seeds", "5"])  # a further seed keeps the others
    document = json.loads((out / "results.json").read_text())
    assert list(document["seeds"]) == ["3", "4", "5"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--repeat", "1"), "--repeat: expected 2 numbers, one for each --train"),
        (("--seeds", "1", "1"), "--seeds: expected different numbers"),
        (("--category", "cat"), "has no class 'cat'; there are ball, person"),
        (("--steps", "0"), "--steps"),
        (("--config-file", "/nowhere.py"), "/nowhere.py: no such configuration file"),
    ],
)
def test_mistakes_end_with_a_line_that_says_so(tool, words, capsys, changes, message):
    with pytest.raises(SystemExit) as stopped:
        tool.main([*words, *changes])
    assert message in f"{stopped.value} {capsys.readouterr().err}"


def test_a_data_set_of_another_class_is_refused(tool, words):
    words[words.index("--category") + 1] = "ball"
    with pytest.raises(SystemExit, match=r"one.json: has no class 'ball'; there are person"):
        tool.main(words)


def test_true_keypoints_have_to_be_there(tool, words, tmp_path):
    file = tmp_path / "data/coco/one.json"
    coco = json.loads(file.read_text())
    del coco["annotations"][0]["keypoints"]
    file.write_text(json.dumps(coco))
    with pytest.raises(SystemExit, match=r"annotation 1: expected keypoints, 51 numbers, got 0"):
        tool.main([*words, "--true"])
    coco["categories"][0]["keypoints"] = ["nose"]
    coco["annotations"] = coco["annotations"][1:]
    for row in coco["annotations"]:
        row["keypoints"] = [1, 1, 2]
    file.write_text(json.dumps(coco))
    with pytest.raises(
        SystemExit, match=r"one.json: its keypoints are nose, .* are nose, left_eye"
    ):
        tool.main([*words, "--true"])


def test_what_is_trained_on_is_not_scored_on(tool, words):
    words[words.index("--test") + 1] = words[words.index("--train") + 1]
    with pytest.raises(
        SystemExit, match=r"^loop: \S+train.json: is trained on, so masks of it pro"
    ):
        tool.main(words)


def test_masks_of_other_data_are_not_gone_on_with(tool, words, tmp_path, monkeypatch):
    class Begun(Exception):
        pass

    def stop(*args):
        raise Begun

    monkeypatch.setattr(own, "point_sets", stop)
    with pytest.raises(Begun):
        tool.main(words)
    file, quality = tmp_path / "data/coco/train.json", tmp_path / "out/points/quality.json"
    before = file.read_text()
    quality.parent.mkdir()
    quality.write_text("{}")
    file.write_text(before.replace('"bbox": [', '"bbox": [1', 1))
    with pytest.raises(Begun):  # nothing was learnt yet: the data may be mended
        tool.main(words)
    assert not quality.exists()
    file.write_text(before)
    (tmp_path / "out/seed-0").mkdir()
    with pytest.raises(
        SystemExit, match=r"out: its masks were learnt when \S+/train.json was anot"
    ):
        tool.main(words)


def test_a_missing_file_is_named(tool, words):
    words[words.index("--test") + 1] = "/nowhere.json@/nowhere"
    with pytest.raises(SystemExit, match=r"^loop: /nowhere.json: "):
        tool.main(words)
