"""`SegTrainer` on tiny models; whole runs, killed ones too: test_train_seg_tool.py."""

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from fvcore.common.param_scheduler import ConstantParamScheduler, LinearParamScheduler
from torch import nn

from keypointnet.tensor_files import CheckpointError, read_tensors, write_tensors
from kp2seg.build import Evaluator, build_trainer, trained_model
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.data.problems import DataError
from kp2seg.lazy_config import SegConfigError, load_seg_config
from kp2seg.training import SegTrainer, SegTrainingError, drop_lines_after

tiny = runpy.run_path(str(Path(__file__).parents[1] / "disc_people.py"))["tiny"]


@pytest.fixture
def config(tiny):
    """A configuration of a tiny run, with overrides."""

    def make(*overrides):
        _, file, *defaults = tiny(*overrides)
        return load_seg_config(file, defaults)

    return make


def logged(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "total_loss" in line]


# --- a model that is one number


class Line(nn.Module):
    """Loss = mean of (weight · x)², and noise that the seed decides."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.noise: list[float] = []

    def forward(self, batch):
        self.noise.append(torch.rand(()).item())
        x = torch.tensor([row["x"] for row in batch])
        return {"loss_square": (self.weight * x).square().mean()}


def line_trainer(out, *, nan_at=None, steps=4, optimizer=torch.optim.SGD, **settings):
    def batches(first):
        while True:
            x = math.nan if first == nan_at else 1.0
            yield [{"x": x, "file_name": f"{first}.png"}]
            first += 1

    model = Line()
    settings = {"schedule": ConstantParamScheduler(1.0), "checkpoint_every": 2} | settings
    return SegTrainer(
        model,
        optimizer(model.parameters(), lr=0.25),
        batches,
        out=out,
        config="config text",
        steps=steps,
        log_every=1,
        **settings,
    )


def test_steps_by_hand(tmp_path):
    trainer = line_trainer(tmp_path, steps=3, schedule=LinearParamScheduler(1.0, 0.0))
    assert trainer.fit() == {}
    # d w² = 2 w; rates 1/4 (1, 2/3, 1/3): w = 1 → 1/2 → 1/2 (1 - 1/3) → 1/3 (1 - 1/6)
    assert trainer.model.weight.item() == pytest.approx(1 / 3 * 5 / 6)
    lines = logged(tmp_path)
    assert [line["iteration"] for line in lines] == [0, 1, 2]
    assert lines[0]["total_loss"] == lines[0]["loss_square"] == 1.0
    assert lines[1]["lr"] == pytest.approx(0.25 * 2 / 3)
    assert (tmp_path / "config.yaml").read_text() == "config text"


def test_the_gradient_is_clipped(tmp_path):
    trainer = line_trainer(tmp_path, steps=1, clip_norm=0.5)
    trainer.fit()
    assert trainer.model.weight.item() == pytest.approx(1 - 0.25 * 0.5)


def test_averaged_weights(tmp_path):
    trainer = line_trainer(tmp_path, steps=2, ema_decay=0.125)
    trainer.fit()
    # w = 1/2, then 1/4; the average starts as the first
    assert trainer.evaluated_model.weight.item() == pytest.approx(0.125 * 0.5 + 0.875 * 0.25)
    groups = read_seg_checkpoint(trainer.last).groups
    assert groups["ema"]["weight"].item() == trainer.evaluated_model.weight.item()
    assert groups["model"]["weight"].item() == pytest.approx(0.25)


def test_what_is_random_is_a_function_of_seed_and_step(tmp_path):
    whole = line_trainer(tmp_path / "a", optimizer=torch.optim.AdamW)
    whole.fit()
    torch.rand(5)
    line_trainer(tmp_path / "b", steps=2, optimizer=torch.optim.AdamW).fit()
    resumed = line_trainer(tmp_path / "b", optimizer=torch.optim.AdamW)
    assert resumed.resume()
    resumed.fit()
    assert resumed.model.noise == whole.model.noise[2:]
    assert torch.equal(resumed.model.weight, whole.model.weight)
    other = line_trainer(tmp_path / "c", seed=1)
    other.fit()
    assert other.model.noise[0] != whole.model.noise[0]


def test_nan_names_the_pictures_and_leaves_the_last_checkpoint(tmp_path, caplog):
    trainer = line_trainer(tmp_path, nan_at=3)
    message = (
        r"^step 4: loss_square nan, gradient norm nan: not finite; pictures of the batch: 3.png. "
        r"The last checkpoint is intact: .*last.safetensors$"
    )
    with pytest.raises(SegTrainingError, match=message):
        trainer.fit()
    last = read_seg_checkpoint(trainer.last)
    assert last.step == 2
    assert last.groups["model"]["weight"].item() == pytest.approx(0.25)
    assert math.isfinite(trainer.model.weight.item())
    assert "Traceback" not in caplog.text
    with pytest.raises(SegTrainingError, match=r"step 1: .*\. No checkpoint was written yet$"):
        line_trainer(tmp_path / "other", nan_at=0).fit()


def test_a_failed_last_step_is_not_evaluated(tmp_path):
    figures = []
    trainer = line_trainer(tmp_path, nan_at=3, evaluate=figures.append, eval_every=10)
    with pytest.raises(SegTrainingError, match="step 4"):
        trainer.fit()
    assert figures == []


def test_the_best_weights_are_kept_and_drawn(tmp_path):
    given = iter([0.2, 0.6, 0.4])
    modes = []

    def evaluate(model):
        modes.append(model.training)
        return {"AP": next(given), "AR": 0.0}

    sheet = np.full((6, 8, 3), 90, np.uint8)
    trainer = line_trainer(
        tmp_path, steps=5, evaluate=evaluate, draw=lambda model: sheet, eval_every=2
    )
    assert trainer.fit() == {"AP": 0.4, "AR": 0.0}
    assert modes == [False] * 3
    best = read_seg_checkpoint(trainer.best)
    assert (best.step, best.metrics, best.config) == (4, {"AP": 0.6, "AR": 0.0}, "config text")
    assert best.groups.keys() == {"model"}
    assert read_seg_checkpoint(trainer.last).metrics == {"best_figure": 0.6}
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"masks-000000{step}.png" for step in (2, 4, 5)]
    again = line_trainer(tmp_path, steps=6, evaluate=lambda m: {"AP": 0.5}, eval_every=2)
    again.resume()
    again.fit()
    assert read_seg_checkpoint(trainer.best).step == 4  # 0.5 is no better


def test_a_finished_run_has_nothing_to_do(tmp_path):
    line_trainer(tmp_path).fit()
    trainer = line_trainer(tmp_path)
    assert trainer.resume()
    assert trainer.fit() == {}
    assert trainer.model.noise == []
    assert not line_trainer(tmp_path / "nothing").resume()


def test_checkpoints_that_cannot_be_gone_on_with(tmp_path):
    trainer = line_trainer(tmp_path)
    trainer.fit()
    with pytest.raises(CheckpointError, match=r"has no averaged weights .*train.ema_decay=0"):
        line_trainer(tmp_path, ema_decay=0.5).resume()
    groups, metadata = read_tensors(trainer.last)
    for missing, message in (("optimizer", "optimiser state"), ("model", "weights")):
        rest = {"ema": {"weight": torch.zeros(1)}, **groups}
        rest.pop(missing)
        write_tensors(trainer.last, rest, metadata)
        with pytest.raises(CheckpointError, match=rf"last.safetensors: has no {message} to resume"):
            line_trainer(tmp_path).resume()
    trainer.last.write_bytes(b"half a checkpoi")
    with pytest.raises(CheckpointError, match=r"is no whole safetensors file"):
        line_trainer(tmp_path).resume()


def test_lines_past_a_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    drop_lines_after(path, 0)
    assert path.read_text() == ""
    lines = [json.dumps({"iteration": number}) + "\n" for number in range(4)]
    damaged = ['{"iter\n', "5\n", "{}\n", '{"iteration": "a"}\n']
    path.write_text("".join([*damaged, *lines]) + '{"itera')
    drop_lines_after(path, 3)
    assert path.read_text() == "".join(lines[:3])
    assert list(tmp_path.iterdir()) == [path]


# --- a Pose2Seg of a configuration


@pytest.mark.parametrize("quality", [True, False])
def test_the_losses_that_are_logged(config, tmp_path, quality):
    without = [] if quality else ["model.quality_head=null", "model.score_mode=constant"]
    build_trainer(config("train.steps=1", *without)).fit()
    expected = {"loss_mask"} | ({"loss_quality"} if quality else set())
    line = logged(tmp_path / "run")[0]
    assert {name for name in line if name.startswith("loss")} == expected
    assert line["total_loss"] == pytest.approx(sum(line[name] for name in expected))


def test_one_batch_overfits(config, tmp_path):
    still = "data.augmentation={flip: 0, colour: 0, drop_points: 0, move_points: 0}"
    overrides = ["train.steps=60", "model.aligner.jitter=null", "train.checkpoint_every=60", still]
    trainer = build_trainer(config(*overrides, "train.eval_every=60", "train.ema_decay=0.9"))
    one = next(iter(trainer.batches(0)))
    trainer.batches = lambda first: iter(lambda: one, None)
    figures = trainer.fit()
    lines = logged(tmp_path / "run")
    assert lines[-1]["loss_mask"] < 0.3 * lines[0]["loss_mask"]
    # The other discs look the same.
    assert figures["cocopersons_val/mean_iou"] > 0.7
    checkpoint = read_seg_checkpoint(trainer.best)
    model = trained_model(checkpoint, people_chunk=1)
    assert (checkpoint.step, model.people_chunk, model.training) == (60, 1, False)
    again = Evaluator(config(), model)(model)
    assert again["cocopersons_val/mean_iou"] == pytest.approx(figures["cocopersons_val/mean_iou"])
    assert next(iter(figures)) == "cocopersons_val/quality/AP"


def test_bf16_trains_too(config, tmp_path):
    build_trainer(config("train.steps=2", "train.amp=true")).fit()
    assert all(math.isfinite(line["total_loss"]) for line in logged(tmp_path / "run"))


def test_nothing_is_written_before_fit(config, tmp_path):
    build_trainer(config("train.eval_every=2"))
    assert not (tmp_path / "run").exists()


def test_test_sets_are_read_at_the_start(config, tmp_path):
    (tmp_path / "data/coco/annotations/person_keypoints_val2017.json").unlink()
    with pytest.raises(DataError, match=r"person_keypoints_val2017.json: .*No such file"):
        build_trainer(config("train.eval_every=2"))
    build_trainer(config("train.eval_every=0"))


def test_data_without_people(config, tmp_path):
    path = tmp_path / "data/coco/annotations/person_keypoints_train2017.json"
    coco = json.loads(path.read_text())
    path.write_text(json.dumps({**coco, "annotations": []}))
    with pytest.raises(DataError, match=r"cocopersons_train: no picture is left to train on"):
        build_trainer(config())


def test_templates_of_another_class_are_refused(config, tmp_path):
    path = tmp_path / "chair.json"
    path.write_text(
        json.dumps(
            {
                "names": ["seat", "back", "leg"],
                "connections": [[1, 2]],
                "vis_threshold": 0.4,
                "flip_map": {},
                "minpoints": 2,
                "templates": [[0.5, 0.5, 2, 0.5, 0.1, 2, 0.2, 0.9, 2]],
            }
        )
    )
    overrides = [f"model.templates={path}", f"model.mask_head.in_channels={8 + 5}"]
    message = r"cocopersons_train: its keypoints are nose, .*templates have seat, back, leg"
    with pytest.raises(SegConfigError, match=message):
        build_trainer(config(*overrides))


@pytest.mark.parametrize("name", ["steps", "checkpoint_every", "log_every"])
def test_counts_that_make_no_sense(config, name):
    with pytest.raises(SegConfigError, match=rf"train.{name}: expected at least 1, got 0"):
        build_trainer(config(f"train.{name}=0"))
