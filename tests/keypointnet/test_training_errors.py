"""What goes wrong in a run of one process, and what is said then."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from keypointnet import stages, training
from keypointnet.checkpoints import CheckpointError, read_checkpoint
from keypointnet.config import ConfigError, TrainConfig, load_config
from keypointnet.training import Trainer, TrainingError
from keypointnet.views.pairs import PairSampler
from keypointnet.views.storage import StorageError, view_file


@pytest.fixture
def config(blob_root, tmp_path) -> Callable[..., TrainConfig]:
    """A configuration of a tiny run, with overrides."""
    settings = [
        f"data.train=[{{path: {blob_root}, subset: train}}]",
        f"data.test=[{{path: {blob_root}, subset: test}}]",
        "data={image_size: 32, workers: 0}",
        "model={num_keypoints: 4, channels: 16, orientation_channels: 16}",
        "optim={steps: 3, pairs_per_step: 4}",
        f"run={{out: '{tmp_path / 'run'}', device: cpu, log_every: 1, eval_pairs: 3}}",
    ]
    return lambda *more: load_config(None, [*settings, *more])


@pytest.mark.parametrize(
    ("place", "what"), [("loss", "loss pose, total"), ("gradient", "the gradient")]
)
def test_nan_stops_the_run(config, tmp_path, monkeypatch, place, what):
    original = stages.pair_losses

    def broken(*args, step, **kwargs):
        terms = original(*args, step=step, **kwargs)
        if step == 2 and place == "loss":
            terms["pose"] = terms["pose"] * torch.nan
            terms["total"] = terms["total"] + terms["pose"]
        if step == 2 and place == "gradient":
            terms["total"].register_hook(lambda gradient: gradient * torch.nan)
        return terms

    monkeypatch.setattr(stages, "pair_losses", broken)
    trainer = Trainer(config("run.checkpoint_every=1", "data.test=[]"))
    with pytest.raises(TrainingError) as failure:
        trainer.run()
    message = str(failure.value)
    assert message.startswith(f"step 3: {what} is not finite; models of the batch: blobs")
    keys = next(iter(PairSampler(15, 4, seed=0, first_step=2)))
    models = sorted(set(trainer.dataset[keys].models))
    assert f"batch: {', '.join(models)}. The last checkpoint is intact: " in message
    last = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert last.step == 2
    assert all(tensor.isfinite().all() for tensor in last.weights.values())


def test_a_checkpoint_that_cannot_be_written_stops_the_run(config, tmp_path, monkeypatch):
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    trainer = Trainer(config("run.checkpoint_every=1", "data.test=[]"))
    save = trainer._save
    monkeypatch.setattr(
        trainer,
        "_save",
        lambda: (trainer.step == 2 and monkeypatch.setattr(os, "fsync", full), save()),
    )
    with pytest.raises(CheckpointError, match=r"No space left on device.*previous .* is intact"):
        trainer.run()
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors").step == 1


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_truncated_view_file_is_named(config, tmp_path, blob_views, workers):
    root = tmp_path / "views"
    blob_views(root, ["good", "cut"], views=4)
    path = view_file(root, "cut")
    trainer = Trainer(
        config(f"data.train=[{{path: {root}, subset: all}}]", f"data.workers={workers}")
    )
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StorageError, match=r"cut.zip"):
        Trainer(config(f"data.train=[{{path: {root}, subset: all}}]"))
    trainer.dataset.models[0].store.__dict__["_open_files"].clear()
    with pytest.raises(StorageError, match=r"cut.zip"):
        trainer.run()


def test_views_of_another_size_are_refused(config):
    with pytest.raises(ValueError, match=r"its views are 32x32, the configuration asks for 64x64"):
        Trainer(config("data.image_size=64"))


def test_an_occupied_folder_is_refused(config):
    Trainer(config("optim.steps=1", "data.test=[]")).run()
    with pytest.raises(ConfigError, match=r"run.out: .*holds a run already; go on with --resume"):
        Trainer(config())


def test_a_nearly_full_disk_is_refused(config, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        training.shutil,
        "disk_usage",
        lambda path: asked.append(Path(path)) or SimpleNamespace(free=10e6),
    )
    with pytest.raises(ConfigError, match=r"run.out: only 10 MB are free on the disk of .*deep"):
        Trainer(config(f"run.out={tmp_path}/not/yet/deep"))
    assert asked == [tmp_path]  # the nearest folder there is, not the root


def test_bf16_is_refused_where_its_gradients_would_be_nan(config):
    with pytest.raises(ConfigError, match=r"model.channels: .*multiple of 16, got 24"):
        Trainer(config("model.channels=24", "run.amp=bf16"))
    assert Trainer(config("model.channels=24", "run.amp=auto")).autocast is None


def test_an_unknown_device_is_refused(config):
    with pytest.raises(ConfigError, match=r"run.device: expected auto, cpu.*got 'gpu'"):
        Trainer(config("run.device=gpu"))
