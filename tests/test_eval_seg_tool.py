import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from keypointnet.tensor_files import write_tensors
from kp2seg import prediction_cache
from kp2seg.build import build_model
from kp2seg.checkpoints import save_seg_checkpoint
from kp2seg.data.catalog import read_dataset
from kp2seg.keypoint_sources.poses import Pose
from kp2seg.lazy_config import config_to_text, load_seg_config

tiny = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))["tiny"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("eval_seg")


@pytest.fixture
def weights(tiny, tmp_path):
    """A function that writes an untrained checkpoint, by its configuration's overrides."""

    def write(*overrides, name="runs/a/checkpoints/best.safetensors"):
        _, file, *defaults = tiny(*overrides)
        config = load_seg_config(file, defaults)
        path = tmp_path / name
        model = build_model(config)
        save_seg_checkpoint(
            path, {"model": model.state_dict()}, step=0, config=config_to_text(config)
        )
        return path

    return write


def test_both_score_modes_then_the_cache_alone(tool, weights, tmp_path, capsys, monkeypatch):
    path = weights()
    tool.main([str(path), "--boundary", "--device", "cpu"])
    printed = capsys.readouterr().out
    assert "| Pose2Seg, true keypoints *" in printed
    assert "| ours, true keypoints, constant score |" in printed
    assert "| ours, true keypoints, quality score |" in printed
    assert "boundary AP" in printed
    out = tmp_path / "runs/a/evaluation"
    document = json.loads((out / "cocopersons_val.json").read_text())
    assert document["scores"].keys() == {"constant", "quality"}
    assert (document["dataset"], document["keypoints"]) == ("cocopersons_val", "true keypoints")
    assert (document["matched"], document["missing"]) == (3, 0)

    monkeypatch.setattr(prediction_cache, "predict_dataset", None)  # not called again
    tool.main([str(path), "--boundary", "--device", "cpu", "--batch", "1"])
    assert capsys.readouterr().out == printed


def test_a_stale_cache_is_refused_with_the_reason(tool, weights, tmp_path, capsys):
    path = weights()
    words = [str(path), "--device", "cpu"]
    tool.main(words)
    with pytest.raises(SystemExit, match=r"^eval_seg: .*made with other config .*--again, --out"):
        tool.main([*words, "--amp"])
    weights("train.seed=4")
    with pytest.raises(SystemExit, match=r"^eval_seg: .*made with other weights"):
        tool.main(words)
    tool.main([*words, "--again"])
    file = tmp_path / "data/coco/annotations/person_keypoints_val2017.json"
    coco = json.loads(file.read_text())
    coco["annotations"][0]["keypoints"][0] += 1
    file.write_text(json.dumps(coco))
    with pytest.raises(SystemExit, match=r"^eval_seg: .*made with other annotations .*, keypoints"):
        tool.main(words)
    tool.main([*words, "--out", str(tmp_path / "other")])
    assert (tmp_path / "other/cocopersons_val.predictions.json").exists()
    cache = tmp_path / "other/cocopersons_val.predictions.json"
    cache.write_text(cache.read_text()[:100])
    with pytest.raises(SystemExit, match=r"^eval_seg: .*predictions.json: is cut short"):
        tool.main([*words, "--out", str(tmp_path / "other")])


def test_a_model_without_quality_has_constant_scores_only(tool, weights, capsys):
    path = weights("model.quality_head=null", "model.score_mode=constant")
    tool.main([str(path), "--device", "cpu"])
    printed = capsys.readouterr().out
    assert "constant score" in printed
    assert "quality score" not in printed


def test_detected_keypoints(tool, weights, tmp_path, capsys):
    rows = []
    path = weights()
    for row in read_dataset("cocopersons_val").coco["annotations"]:
        rows.append({key: row[key] for key in ("image_id", "category_id", "keypoints")})
        rows[-1]["score"] = 0.9
    results = tmp_path / "results.json"
    results.write_text(json.dumps(rows))
    tool.main([str(path), "--keypoints", str(results), "--device", "cpu"])
    assert "ours, detected keypoints, quality score" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^eval_seg: layout: no layout 'body9'; there are coco,"):
        tool.main([str(path), "--keypoints", str(results), "--joints", "body9"])


def test_a_file_of_keypoints(tool, weights, tmp_path, capsys):
    file = tmp_path / "data/coco/annotations/person_keypoints_val2017.json"
    name = f"{file}@{tmp_path / 'data/coco/val2017'}"
    out = tmp_path / "out"
    tool.main([str(weights()), "--dataset", name, "--device", "cpu", "--out", str(out)])
    assert "ours, the file's keypoints, quality score" in capsys.readouterr().out
    stem = "person_keypoints_val2017"
    assert {path.name for path in out.iterdir()} == {f"{stem}.json", f"{stem}.predictions.json"}


def test_a_detectors_own_thresholds_stand_unless_changed(tool):
    assert tool.chosen(tool.DETECTED, None) == tool.DETECTED
    assert tool.chosen(tool.DETECTED, 0.1) == tool.Choice(0.1, tool.DETECTED.min_confidence)
    assert tool.chosen(tool.Choice(), None) == tool.Choice()


def test_ranges_that_are_not_there_are_said(tool, tiny, capsys):
    args = tool.parse(["w", "--dataset", "ochuman_val"])
    data, cache = SimpleNamespace(coco={"annotations": []}), SimpleNamespace(predictions=[])
    assert tool.ranges(args, data, cache) == {}
    assert "moderate: OCHuman val" in capsys.readouterr().err
    assert tool.ranges(tool.parse(["w"]), data, cache) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "coco"], "read_dataset: no data set 'coco'; there are cocopersons_train"),
        (["--keypoints", "/nowhere.json"], "/nowhere.json: .*No such file"),
        (["--device", "gpu"], "device 'gpu': expected auto, cpu"),
        (["--batch", "0"], "argument --batch: expected at least 1, got 0"),
        (["--joints", "coco"], "--joints: is the layout of --keypoints FILE"),
        (["--detector-weights", "x"], "--detector-weights: needs --detector"),
        (["--min-score", "0.3"], "--min-score: needs --keypoints, --detector or --det"),
        (
            ["--category", "chair"],
            "--category: \\S* takes keypoints; expected a bundle of tools",
        ),
        (["--detections", "x"], "--detections: \\S* takes keypoints; expected a bundle"),
        (["--bundary"], "unrecognized arguments: --bundary; --help lists the flags"),
        (["--keypoints", "x", "--detector"], "--keypoints and --detector: choose one"),
        (["--detector", "--detector-weights", "/no.pkl"], "/no.pkl: no such file of weights"),
    ],
)
def test_mistakes_end_with_one_line(tool, weights, words, message):
    with pytest.raises(SystemExit, match=rf"^eval_seg: [^\n]*{message}[^\n]*$"):
        tool.main([str(weights()), *words])


def test_weights_that_are_none(tool, tiny, tmp_path):
    with pytest.raises(SystemExit, match=r"^eval_seg: \S*nowhere.safetensors: no such checkpoint"):
        tool.main([str(tmp_path / "nowhere.safetensors")])
    other = tmp_path / "kp.safetensors"
    write_tensors(other, {"model": {"x": torch.zeros(1)}}, {"format": "keypointnet-1"})
    with pytest.raises(SystemExit, match=r"^eval_seg: .*it is a KeypointNet"):
        tool.main([str(other)])
    foreign = tmp_path / "foreign.safetensors"
    text = "model: {_target_: os.system, command: 'true', templates: {}}"
    save_seg_checkpoint(foreign, {"model": {"x": torch.zeros(1)}}, step=0, config=text)
    with pytest.raises(SystemExit, match=r"^eval_seg: .*foreign.safetensors: its configuration"):
        tool.main([str(foreign)])


def test_missing_data(tool, weights, tmp_path):
    (tmp_path / "data/coco/annotations/person_keypoints_val2017.json").unlink()
    with pytest.raises(SystemExit, match=r"^eval_seg: .*val2017.json: .*DETECTRON2_DATASETS"):
        tool.main([str(weights())])


def test_a_detector_looks_once(tool, weights, tmp_path, monkeypatch, capsys):
    looked = []

    class Detector:
        def __init__(self, weights, device, *, choice):
            self.choice = choice

        def detect(self, picture, target):
            looked.append(picture.shape)
            points = np.stack([np.linspace(10, 40, len(target))] * 2, axis=1)
            return [Pose(points, np.full(len(target), 2), 0.75)]

    monkeypatch.setattr(tool, "KeypointRCNN", Detector)
    zoo_file = tmp_path / "zoo.pkl"
    zoo_file.write_bytes(b"weights")
    words = [str(weights()), "--device", "cpu", "--detector", "--detector-weights", str(zoo_file)]
    out = tmp_path / "out"
    tool.main([*words, "--out", str(out)])
    first = capsys.readouterr().out
    pictures = len(looked)
    assert pictures > 0
    tool.main([*words, "--out", str(out)])
    assert len(looked) == pictures
    assert capsys.readouterr().out == first
    # Other weights, other thresholds, a damaged file: it looks again.
    for change in (["--again"], ["--min-score", "0.3", "--again"]):
        looked.clear()
        tool.main([*words, "--out", str(out), *change])
        assert len(looked) == pictures
    looked.clear()
    (out / "cocopersons_val.poses.json").write_text("{")
    tool.main([*words, "--out", str(out), "--min-score", "0.3"])
    assert len(looked) == pictures
