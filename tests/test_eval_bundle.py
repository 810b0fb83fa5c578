"""tools/eval_seg.py with a bundle: instance JSON without keypoints, true and detected boxes."""

import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2seg.evaluation.cache import read_cache

DISCS = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))
tiny = DISCS["tiny"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("eval_seg")


@pytest.fixture
def bundle(tiny, tmp_path):
    return DISCS["save_bundle"](tiny(), tmp_path / "chair.safetensors")


@pytest.fixture
def instances(bundle, tmp_path):
    """The discs of the validation set as chairs, without keypoints; a table and a third picture."""
    folder = tmp_path / "data/coco"
    coco = json.loads((folder / "annotations/person_keypoints_val2017.json").read_text())
    for row in coco["annotations"]:
        row.pop("keypoints"), row.pop("num_keypoints")
        row["category_id"] = 62
    table = {**coco["annotations"][0], "id": 99, "category_id": 67}
    coco["annotations"].append(table)
    coco["categories"] = [{"id": 62, "name": "chair"}, {"id": 67, "name": "table"}]
    cv2.imwrite(str(folder / "val2017/000000000003.png"), np.zeros((60, 80, 3), np.uint8))
    coco["images"].append({**coco["images"][0], "id": 3, "file_name": "000000000003.png"})
    (tmp_path / "instances.json").write_text(json.dumps(coco))
    return f"{tmp_path / 'instances.json'}@{folder / 'val2017'}"


@pytest.fixture
def detections(tmp_path):
    """Two chairs of which one is right, one in an empty picture, a table, a chair of no score."""
    right = {"image_id": 1, "category_id": 62, "bbox": [21, 14, 38, 38], "score": 0.75}
    rows = [
        right,
        {**right, "bbox": [1, 1, 20, 20], "score": 0.5},
        {**right, "image_id": 3, "score": 0.25},
        {**right, "category_id": 67},
        {**right, "score": 0.01},
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    return path


def test_true_boxes_of_a_class(tool, bundle, instances, tmp_path, capsys):
    words = [str(bundle), "--dataset", instances, "--category", "chair", "--device", "cpu"]
    tool.main(words)
    printed = capsys.readouterr().out
    assert "| ours, keypoints found in the true boxes, quality score |" in printed
    document = json.loads((tmp_path / "evaluation/instances-chair.json").read_text())
    assert (document["matched"], document["missing"]) == (3, 0)
    cache = read_cache(tmp_path / "evaluation/instances-chair.predictions.json")
    assert {row.category_id for row in cache.predictions} == {62}
    assert [row.annotation_id for row in cache.predictions] == [1, 2, 3]
    tool.main(words)  # of the cache
    assert capsys.readouterr().out == printed


def test_another_class_is_said(tool, tiny, instances, tmp_path, capsys):
    bundle = DISCS["save_bundle"](tiny(), tmp_path / "sofa.safetensors", {"id": 63, "name": "sofa"})
    tool.main([str(bundle), "--dataset", instances, "--category", "chair", "--device", "cpu"])
    assert "sofa.safetensors was made for 'sofa', not 'chair'" in capsys.readouterr().err


def test_boxes_without_a_pixel_are_not_scored(tool, bundle, instances, tmp_path):
    file, _, folder = instances.partition("@")
    coco = json.loads(Path(file).read_text())
    for row in coco["annotations"]:
        row["bbox"] = [5, 5, 0, 0]
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps(coco))
    words = [str(bundle), "--dataset", f"{empty}@{folder}", "--category", "chair"]
    with pytest.raises(SystemExit, match=r"^eval_seg: .*nothing to score; [^\n]*: 3 \([^\n]*$"):
        tool.main([*words, "--device", "cpu"])


def test_detected_boxes(tool, bundle, instances, detections, tmp_path, capsys):
    words = [str(bundle), "--dataset", instances, "--category", "chair", "--device", "cpu"]
    words += ["--detections", str(detections)]
    tool.main(words)
    assert "| ours, keypoints found in detected boxes, quality score |" in capsys.readouterr().out
    document = json.loads((tmp_path / "evaluation/instances-chair.json").read_text())
    assert (document["matched"], document["missing"], document["mean_iou"]) == (0, 3, None)
    file = tmp_path / "evaluation/instances-chair.predictions.json"
    first = read_cache(file).predictions
    # The one in the empty picture counts as false.
    assert [row.image_id for row in first] == [1, 1, 3]
    assert all(0 < row.quality < 1 for row in first)
    assert [row.annotation_id for row in first] == [None] * 3
    rows = json.loads(detections.read_text())
    rows[0]["score"] = 0.375
    detections.write_text(json.dumps(rows))
    with pytest.raises(SystemExit, match=r"^eval_seg: .*made with other keypoints .*--again, --o"):
        tool.main(words)
    tool.main([*words, "--again"])
    second = read_cache(file).predictions
    assert second[0].segmentation == first[0].segmentation
    assert second[0].quality == pytest.approx(first[0].quality / 2)
    assert second[1:] == first[1:]
    with pytest.raises(SystemExit, match=r"made with other annotations .*, keypoints"):
        tool.main([*words, "--min-score", "0.4"])


def test_other_pictures_are_not_taken_for_these(tool, bundle, instances, tmp_path):
    words = [str(bundle), "--category", "chair", "--device", "cpu", "--dataset"]
    tool.main([*words, instances])
    file, _, folder = instances.partition("@")
    Path(folder).rename(tmp_path / "others")
    with pytest.raises(SystemExit, match=r"^eval_seg: .*made with other annotations"):
        tool.main([*words, f"{file}@{tmp_path / 'others'}"])


def test_mistakes_end_with_one_line(tool, tiny, bundle, instances, detections, tmp_path):
    for words, message in (
        (["--category", "sofa"], "instances.json: has no class 'sofa'; there are chair, table"),
        ([], "instances.json: has several classes, name one: chair, table"),
        (["--detections", "x", "--keypoints", "y"], "--detections has boxes, for a bundle; --keyp"),
        (["--min-score", "0.5"], "--min-score: needs --keypoints, --detector or --detections"),
        (
            ["--category", "chair", "--detections", "/nowhere.json"],
            "/nowhere.json: .*No such file",
        ),
        (
            ["--category", "table", "--detections", str(detections), "--min-score", "0.8"],
            "instances.json: no 'table' is left",
        ),
    ):
        with pytest.raises(SystemExit, match=rf"^eval_seg: [^\n]*{message}[^\n]*$"):
            tool.main([str(bundle), "--dataset", instances, "--device", "cpu", *words])
    with pytest.raises(SystemExit, match="category 'chair': cocopersons_val has one class"):
        tool.main([str(bundle), "--category", "chair"])
