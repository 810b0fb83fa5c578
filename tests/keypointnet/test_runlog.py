import json
import math

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keypointnet.model import KeypointNet
from keypointnet.runlog import RunLog
from keypointnet.views.pairs import open_models


def lines(out) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_scalars_are_lines_and_curves(tmp_path):
    with RunLog(tmp_path, 0) as log:
        log.scalars("train", 1, {"total": 2.5, "pose": 0.5})
        log.scalars("test", 1, {"mean_deg": 9.0, "se_3d": math.nan, "orientation_accuracy": None})
        assert lines(tmp_path)[0] == {"group": "train", "step": 1, "total": 2.5, "pose": 0.5}
    assert lines(tmp_path)[1] == {
        "group": "test",
        "step": 1,
        "mean_deg": 9.0,
        "se_3d": None,
        "orientation_accuracy": None,
    }
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["test/mean_deg", "train/pose", "train/total"]
    assert [(e.step, e.value) for e in events.Scalars("train/total")] == [(1, 2.5)]


def test_what_a_killed_run_wrote_after_its_checkpoint_is_dropped(tmp_path):
    with RunLog(tmp_path, 0) as log:
        for step in range(1, 6):
            log.scalars("train", step, {"total": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"group": "train", "st')  # killed in the middle of a line
    with RunLog(tmp_path, 3) as log:
        log.scalars("train", 4, {"total": 40.0})
    assert [(line["step"], line["total"]) for line in lines(tmp_path)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 40.0),
    ]


def test_a_run_that_starts_anew_has_an_empty_log(tmp_path):
    with RunLog(tmp_path, 0) as log:
        log.scalars("train", 1, {"total": 1.0})
    with RunLog(tmp_path, 0):
        assert lines(tmp_path) == []


def test_a_kill_while_the_log_is_trimmed_costs_nothing(tmp_path, monkeypatch):
    with RunLog(tmp_path, 0) as log:
        log.scalars("train", 1, {"total": 1.0})

    def killed(self, target):
        raise KeyboardInterrupt("killed here")

    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt, match=r"^killed here$"):
        RunLog(tmp_path, 1)
    assert len(lines(tmp_path)) == 1


@pytest.mark.parametrize("training", [True, False])
def test_a_picture_of_the_keypoints(tmp_path, blob_root, training):
    model = KeypointNet(4, channels=8, orientation_channels=0).train(training)
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    with RunLog(tmp_path, 0) as log:
        log.keypoint_picture(7, model, open_models(blob_root, "test", (32, 32)))
    assert (tmp_path / "pictures" / "keypoints-0000007.png").stat().st_size > 1000
    assert model.training == training
    assert norm.num_batches_tracked == 0
