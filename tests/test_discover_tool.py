"""The tool and, under it, kp2seg.discovery."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from keypointnet.checkpoints import build_model, save_checkpoint
from keypointnet.config import load_config
from keypointnet.shapes.person_points import PERSON_POINTS
from kp2seg import discovery_answers
from kp2seg.data.coco_json import check_coco
from kp2seg.keypoint_sources.layouts import CORNERS
from kp2seg.template_poses import read_poses

SETTINGS = ["model.num_keypoints=5", "model.channels=8", "model.orientation_channels=4"]
SIZE = 16


@pytest.fixture
def tool(load_tool):
    return load_tool("discover")


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(1)
    config = load_config(None, [*SETTINGS, f"data.image_size={SIZE}"])
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, {"model": build_model(config).state_dict()}, step=0, config=config)
    return path


@pytest.fixture
def dataset(tmp_path):
    """Three pictures with two chairs each."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (tmp_path / "images").mkdir()
    for number in (1, 2, 3):
        name = f"{number}.png"
        noise = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / name), cv2.resize(noise, (80, 60)))
        images.append({"id": number, "file_name": name, "height": 60, "width": 80})
        for k in range(2):
            x, y = rng.uniform(0, 30, 2).round(1).tolist()
            box = [[x, y, x + 30, y, x + 30, y + 20, x, y + 20]]
            row = {"image_id": number, "category_id": 3, "bbox": [x, y, 30, 20], "area": 600}
            annotations.append({"id": 2 * number + k, **row, "segmentation": box, "iscrowd": 0})
    path = tmp_path / "data.json"
    categories = [{"id": 3, "name": "chair"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(coco))
    return path


def test_points_of_every_object(tool, checkpoint, dataset, tmp_path, capsys):
    out = tmp_path / "out/points.json"
    words = [str(checkpoint), str(dataset), str(out), "--min-confidence", "0", "--device", "cpu"]
    tool.main([*words, "--min-on-object", "0"])
    printed = capsys.readouterr()
    assert f"{out}: 6 objects, 5.0 of 5 points each" in printed.out
    assert "discover: 100%" in printed.err
    result = json.loads(out.read_text())
    (category,) = result["categories"]
    assert category["name"] == "chair"
    assert len(set(category["keypoints"])) == 5
    assert len(category["skeleton"]) >= 4
    assert {i for edge in category["skeleton"] for i in edge} == {1, 2, 3, 4, 5}
    for row in result["annotations"]:
        points = np.array(row["keypoints"]).reshape(5, 3)
        # Within the crop, which is 1.3 times the longer side of the box.
        middle = np.add(row["bbox"][:2], [14.5, 9.5])
        assert (np.abs(points[:, :2] - middle) <= 19.5).all()
        assert row["num_keypoints"] == 5
        assert np.array(row["keypoints_3d"]).shape == (5, 3)
        assert len(row["keypoint_scores"]) == 5
    # Every reader of keypoints takes it.
    data = check_coco(result, out, tmp_path / "images")
    assert len(data.coco["annotations"]) == 6
    assert not data.report.counts
    assert read_poses(out, min_points=3).poses.shape == (6, 5, 3)
    picture = cv2.imread(str(out.with_suffix(".png")))
    assert picture.shape[0] > 192

    # Other thresholds need no network.
    tool.trained_model = lambda checkpoint, device: torch.nn.Identity()
    words[words.index("0")] = "1"
    tool.main(words)
    assert "6 objects, 0.0 of 5 points each" in capsys.readouterr().out
    rows = json.loads(out.read_text())["annotations"]
    assert all(row["keypoints"] == [0] * 15 for row in rows)


def test_a_network_that_was_told_true_points_has_their_names(tool, dataset, tmp_path):
    told = [*SETTINGS, f"data.image_size={SIZE}", "model.num_keypoints=17", "run.points=person"]
    config = load_config(None, told)
    path = tmp_path / "told.safetensors"
    save_checkpoint(path, {"model": build_model(config).state_dict()}, step=0, config=config)
    tool.main([str(path), str(dataset), str(tmp_path / "points.json"), "--corners"])
    (category,) = json.loads((tmp_path / "points.json").read_text())["categories"]
    assert category["keypoints"] == [*PERSON_POINTS.names, *CORNERS]
    assert category["skeleton"] == PERSON_POINTS.skeleton


def test_a_stopped_run_goes_on(tool, checkpoint, dataset, tmp_path, monkeypatch, capsys):
    words = [str(checkpoint), str(dataset)]
    tool.main([*words, str(tmp_path / "whole.json"), "--batch", "1"])
    seen = []
    look = discovery_answers.find_keypoints

    def stop_at_the_second(model, crops, **options):
        seen.append(len(crops.pictures))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return look(model, crops, **options)

    monkeypatch.setattr(discovery_answers, "find_keypoints", stop_at_the_second)
    out = tmp_path / "points.json"
    with pytest.raises(SystemExit) as stopped:
        tool.main([*words, str(out), "--batch", "1"])
    assert stopped.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    lines = out.with_suffix(".answers.jsonl")
    with open(lines, "a") as file:
        file.write('{"id": 5, "uvz": [[0.1')  # killed while it wrote
    tool.main([*words, str(out), "--batch", "1"])
    assert seen == [2, 2, 2, 2]
    assert len(lines.read_text().splitlines()) == 7
    assert out.read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_two_data_sets_of_one_network_have_the_same_names(tool, checkpoint, dataset, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    words = [str(checkpoint), str(dataset)]
    tool.main([*words, str(first)])
    given = json.loads(first.read_text())
    given["categories"][0] |= {"keypoints": ["a", "b", "c", "d", "e"], "skeleton": [[1, 5]]}
    first.write_text(json.dumps(given))
    tool.main([*words, str(second), "--like", str(first)])
    (category,) = json.loads(second.read_text())["categories"]
    assert category == given["categories"][0]
    given["categories"][0]["keypoints"].pop()
    for row in given["annotations"]:
        row["keypoints"] = row["keypoints"][3:]
    first.write_text(json.dumps(given))
    with pytest.raises(SystemExit, match="like: expected 5 keypoints, got 4"):
        tool.main([*words, str(second), "--like", str(first)])


def test_corners_of_the_boxes_are_keypoints_too(tool, checkpoint, dataset, tmp_path, capsys):
    out = tmp_path / "points.json"
    tool.main([str(checkpoint), str(dataset), str(out), "--corners"])
    result = json.loads(out.read_text())
    (category,) = result["categories"]
    assert len(category["keypoints"]) == 5 + 4
    assert category["keypoints"][5:] == list(CORNERS)
    assert max(i for pair in category["skeleton"] for i in pair) <= 5
    assert result["discovery"]["corners"] is True
    for row in result["annotations"]:
        x, y, w, h = row["bbox"]
        seen = np.array(row["keypoints"][15:]).reshape(4, 3)
        expected = [[x, y], [x + w, y], [x, y + h], [x + w, y + h]]
        np.testing.assert_allclose(seen[:, :2], np.array(expected) - 0.5, atol=0.006)
        assert (seen[:, 2] == 2).all()
        assert row["num_keypoints"] == 4  # the untrained network's points do not count
        assert row["keypoint_scores"][5:] == [1.0] * 4
        assert row["keypoints_3d"][5:] == [None] * 4
    capsys.readouterr()
    again = tmp_path / "again.json"
    tool.main([str(checkpoint), str(dataset), str(again), "--corners", "--like", str(out)])
    with pytest.raises(SystemExit, match="like: expected 5 keypoints, got 9"):
        tool.main([str(checkpoint), str(dataset), str(again), "--like", str(out)])


def test_answers_of_another_run_are_refused(tool, checkpoint, dataset, tmp_path):
    words = [str(checkpoint), str(dataset), str(tmp_path / "points.json")]
    tool.main(words)
    with pytest.raises(SystemExit, match=r"points.answers.jsonl: was made with another context; "):
        tool.main([*words, "--context", "2"])
    with pytest.raises(SystemExit, match=r"was made with another masks; delete it"):
        tool.main([*words, "--masks"])
    for text in ("no JSON\n", "[1]\n"):
        (tmp_path / "points.answers.jsonl").write_text(text)
        with pytest.raises(
            SystemExit, match=r"is no file of answers; delete it, or name another O"
        ):
            tool.main(words)


def test_other_pictures_classes_and_boxes_are_other_answers(tool, checkpoint, dataset, tmp_path):
    coco = json.loads(dataset.read_text())
    coco["categories"].append({"id": 4, "name": "car"})
    coco["annotations"][0]["category_id"] = 4
    dataset.write_text(json.dumps(coco))
    words = [str(checkpoint), str(dataset), str(tmp_path / "points.json")]
    tool.main([*words, "--category", "chair"])
    with pytest.raises(SystemExit, match="was made with another category;"):
        tool.main([*words, "--category", "car"])
    shutil.copytree(tmp_path / "images", tmp_path / "others")
    with pytest.raises(SystemExit, match="was made with another images;"):
        tool.main([*words, "--category", "chair", "--images", str(tmp_path / "others")])


def test_damaged_answers_are_looked_up_again(tool, checkpoint, dataset, tmp_path, caplog):
    words = [str(checkpoint), str(dataset), str(tmp_path / "points.json")]
    tool.main(words)
    file = tmp_path / "points.answers.jsonl"
    result = json.loads((tmp_path / "points.json").read_text())["annotations"]
    ids = sorted(row["id"] for row in result)
    lines = file.read_bytes().split(b"\n")
    for damaged in (
        b"\n".join([lines[0], lines[1][:20], *lines[2:]]),
        b"\n".join([lines[0], b'{"uvz": 1}', *lines[2:]]),
        b"\n".join([lines[0], b"\xff\xfe", *lines[2:]]),
        b"",
        lines[0][:10],
        lines[0],  # killed before its end
    ):
        file.write_bytes(damaged)
        tool.main(words)
        kept = [json.loads(line) for line in file.read_text().splitlines()]
        assert sorted(row["id"] for row in kept[1:]) == ids
        again = json.loads((tmp_path / "points.json").read_text())["annotations"]
        # An object that is looked at among others may differ in the last digits.
        scores = [np.array([row["keypoint_scores"] for row in rows]) for rows in (again, result)]
        np.testing.assert_allclose(*scores, atol=1e-3)
    assert "1 damaged lines are left out" in caplog.text


def test_results_replace_nothing_that_they_are_made_of(tool, checkpoint, dataset, tmp_path):
    before = dataset.read_bytes()
    with pytest.raises(SystemExit, match=r"data.json: would be replaced by the result"):
        tool.main([str(checkpoint), str(dataset), str(dataset)])
    assert dataset.read_bytes() == before
    # The sheet of objects would take the place of the keypoints.
    for out in ("points.png", "points", "."):
        with pytest.raises(
            SystemExit, match=r"expected a name that ends in \.json; OUT\.png is wri"
        ):
            tool.main([str(checkpoint), str(dataset), str(tmp_path / out)])
    assert not list(tmp_path.rglob("*.answers.jsonl"))


def test_flags_may_stand_between_the_paths(tool, checkpoint, dataset, tmp_path):
    out = tmp_path / "points.json"
    tool.main([str(checkpoint), "--batch", "4", str(dataset), "--category", "chair", str(out)])
    assert len(json.loads(out.read_text())["annotations"]) == 6


def test_names_of_another_network_are_refused(tool, checkpoint, dataset, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    tool.main([str(checkpoint), str(dataset), str(first)])
    other = json.loads(first.read_text())
    other["discovery"]["sha256"] = "0"
    first.write_text(json.dumps(other))
    with pytest.raises(
        SystemExit, match=r"first.json: was made with other weights .*, so its names"
    ):
        tool.main([str(checkpoint), str(dataset), str(second), "--like", str(first)])
    assert not second.with_suffix(".answers.jsonl").exists()


def test_detections_and_masks(tool, checkpoint, dataset, tmp_path, capsys):
    rows = [{"image_id": 2, "category_id": 3, "bbox": [5, 5, 20, 9], "score": 0.8}]
    results = tmp_path / "results.json"
    results.write_text(json.dumps(rows))
    out = tmp_path / "points.json"
    tool.main([str(checkpoint), str(dataset), str(out), "--detections", str(results)])
    assert "1 objects" in capsys.readouterr().out
    (row,) = json.loads(out.read_text())["annotations"]
    assert (row["score"], row["area"], row["bbox"]) == (0.8, 180, [5, 5, 20, 9])
    tool.main([str(checkpoint), str(dataset), str(tmp_path / "masks.json"), "--masks"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--context", "0.5"], "context: expected at least 1"),
        (["--fov", "0"], "--fov: expected degrees between 0 and 180"),
        (["--category", "car"], "data.json: has no class 'car'; there are chair"),
        (["--images", "/nowhere"], "none of its 3 pictures is in /nowhere"),
        (["--model", "chair-64"], "expected DATASET OUT; got"),
        (["--batch", "0"], "--batch"),
        (["--detections", "/nowhere.json"], "/nowhere.json"),
    ],
)
def test_mistakes_end_with_one_line(tool, checkpoint, dataset, tmp_path, change, message):
    words = [str(checkpoint), str(dataset), str(tmp_path / "points.json")]
    with pytest.raises(SystemExit, match=rf"^discover: [^\n]*{message}[^\n]*$"):
        tool.main([*words, *change])
    for missing in (0, 1):
        wrong = list(words)
        wrong[missing] = "/nowhere"
        with pytest.raises(SystemExit, match=r"^discover: /nowhere: [^\n]*$"):
            tool.main(wrong)
    with pytest.raises(SystemExit, match="expected CHECKPOINT DATASET OUT, or --model; got"):
        tool.main(words[:2])
    with pytest.raises(SystemExit, match=r"no model for keypoints 'sofa'; there are .*chair-64"):
        tool.main([*words[1:], "--model", "sofa"])
