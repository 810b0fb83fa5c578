"""Runs that train a part and go on with another's weights: optim.trained, run.init."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from keypointnet import training
from keypointnet.checkpoints import read_checkpoint
from keypointnet.config import ConfigError, TrainConfig, load_config
from keypointnet.training import Trainer


@pytest.fixture
def config(blob_root: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(out: str, *more: str) -> TrainConfig:
        return load_config(
            None,
            [
                f"data.train=[{{path: {blob_root}, subset: train}}]",
                "data.image_size=32",
                "data.workers=0",
                "model={num_keypoints: 4, channels: 16, orientation_channels: 16}",
                "optim={steps: 4, pairs_per_step: 4}",
                f"run={{out: '{tmp_path / out}', device: cpu, log_every: 1}}",
                *more,
            ],
        )

    return make


def test_a_second_run_starts_from_the_averaged_weights(config, tmp_path):
    Trainer(config("first", "optim.ema_decay=0.5")).run()
    first = tmp_path / "first/checkpoints/last.safetensors"
    second = Trainer(config("second", f"run.init={first}"))
    assert second.step == 0
    expected = read_checkpoint(first).groups["ema"]
    for name, value in second.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["dilated", "residual"])
@pytest.mark.parametrize("part", ["orientation", "keypoints"])
def test_a_part_is_trained_and_the_other_stays_as_it_is(config, tmp_path, kind, part):
    network = f"model.orientation_network={kind}"
    first = Trainer(config("first", network))
    first.run()
    saved = tmp_path / "first/checkpoints/last.safetensors"
    trainer = Trainer(
        config("run", network, f"optim.trained={part}", f"run.init={saved}", "optim.ema_decay=0.5")
    )
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    for model in (trainer.model, trainer.evaluated_model()):
        changed = {
            name for name, value in model.state_dict().items() if not value.equal(before[name])
        }
        assert changed == {
            name for name in before if name.startswith("orientation.") == (part == "orientation")
        }
    line = (tmp_path / "run/metrics.jsonl").read_text().splitlines()[0]
    assert '"orientation"' in line
    assert ('"pose"' in line) == (part == "keypoints")


def test_the_best_orientation_network_is_the_one_that_is_right_most_often(
    config, blob_root, monkeypatch
):
    results = iter([(30.0, 0.7), (20.0, 0.6), (40.0, 0.9), (10.0, 0.8)])

    def evaluate(model, models, **options):
        mean_deg, accuracy = next(results)
        found = training_evaluate(model, models, **options)
        return replace(found, mean_deg=mean_deg, orientation_accuracy=accuracy)

    training_evaluate = training.evaluate
    monkeypatch.setattr(training, "evaluate", evaluate)
    every = ("optim.trained=orientation", "run.eval_every=1", "run.eval_pairs=2")
    held_out = f"data.test=[{{path: {blob_root}, subset: test}}]"
    trainer = Trainer(config("run", *every, held_out))
    trainer.run()
    best = read_checkpoint(trainer.best)
    assert (best.step, best.metrics["orientation_accuracy"]) == (3, 0.9)
    assert read_checkpoint(trainer.last).metrics["best_error"] == pytest.approx(0.1)


@pytest.mark.parametrize("part", ["orientation", "keypoints"])
def test_a_part_alone_needs_an_orientation_network(config, part):
    with pytest.raises(ConfigError, match=rf"optim.trained: '{part}'.*orientation_channels = 0"):
        Trainer(config("run", f"optim.trained={part}", "model.orientation_channels=0"))
