"""One process. Several: test_distributed.py."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from keypointnet import stages
from keypointnet.checkpoints import CheckpointError, export_weights, load_model, read_checkpoint
from keypointnet.config import ConfigError, TrainConfig, load_config
from keypointnet.training import Trainer
from keypointnet.views.pairs import PairSampler

ROOT = Path(__file__).parents[2]
TERMS = {"pose", "consistency", "separation", "silhouette", "variance", "orientation", "total"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are then rounded in the same order here and in the processes that tests start."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(root: Path, out: Path, *more: str) -> list[str]:
    return [
        f"data.train=[{{path: {root}, subset: train}}]",
        f"data.test=[{{path: {root}, subset: test}}]",
        "data.image_size=32",
        "data.workers=0",
        "model={num_keypoints: 4, channels: 16, orientation_channels: 16}",
        "optim={steps: 3, pairs_per_step: 4}",
        f"run={{out: '{out}', device: cpu, log_every: 1, eval_pairs: 3}}",
        *more,
    ]


@pytest.fixture
def config(blob_root, tmp_path) -> Callable[..., TrainConfig]:
    """A configuration of a tiny run, with overrides."""
    return lambda *more: load_config(None, settings(blob_root, tmp_path / "run", *more))


def logged(out: Path, group: str = "train") -> list[dict]:
    """The lines of a group, without how long they took."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if not key.startswith("seconds")}
        for line in lines
        if line["group"] == group
    ]


# --- a whole run


def test_a_run_leaves_all_it_says(config, tmp_path, capsys):
    trainer = Trainer(config("optim.ema_decay=0.5", "run.eval_every=2"))
    summary = trainer.run()
    assert "100%" in capsys.readouterr().err  # a progress bar
    out = tmp_path / "run"
    train, test = logged(out), logged(out, "test")
    assert [line["step"] for line in train] == [1, 2, 3]
    assert train[0].keys() == TERMS | {"group", "step", "lr", "gt_flag_share"}
    assert [line["step"] for line in test] == [2, 3]
    finite = {k: None if v is None or math.isnan(v) else v for k, v in summary.items()}
    assert {"group": "test", "step": 3, **finite} == test[-1]
    assert test[0].keys() == {
        *("group", "step", "mean_deg", "median_deg", "flips", "se_3d", "models", "pairs"),
        *("orientation_accuracy", "orientation_accuracy_median"),
    }
    assert load_config(out / "config.yaml") == trainer.config
    assert len(list((out / "pictures").glob("*.png"))) == 2
    assert list((out / "tensorboard").glob("events*"))

    last = read_checkpoint(out / "checkpoints" / "last.safetensors")
    assert (last.step, last.config) == (3, trainer.config)
    assert last.groups.keys() == {"model", "ema", "optimizer"}
    best = read_checkpoint(out / "checkpoints" / "best.safetensors")
    assert best.groups.keys() == {"model"}
    assert best.metrics["mean_deg"] == min(line["mean_deg"] for line in test)
    assert last.metrics == {"best_error": best.metrics["mean_deg"]}
    averaged = trainer.evaluated_model().state_dict()
    loaded = load_model(last.path).state_dict()
    assert all(torch.equal(loaded[name], averaged[name]) for name in averaged)
    assert not torch.equal(averaged["head_prob.weight"], trainer.model.head_prob.weight)


def test_without_test_models_nothing_is_evaluated(config, tmp_path):
    assert Trainer(config("data.test=[]", "model.orientation_channels=0")).run() == {}
    assert logged(tmp_path / "run", "test") == []
    assert logged(tmp_path / "run")[0].keys() & TERMS == TERMS - {"orientation"}
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()


def test_one_batch_overfits(config, tmp_path):
    overrides = ["optim={steps: 50, pairs_per_step: 2, learning_rate: 5e-3}", "data.test=[]"]
    overrides += ["model.bn_momentum=0.1", "model.orientation_channels=0"]
    Trainer(config(*overrides), overfit=True).run()
    lines = logged(tmp_path / "run")
    first, last = (
        {name: sum(line[name] for line in part) / 5 for name in TERMS - {"orientation"}}
        for part in (lines[:5], lines[-5:])
    )
    assert last["total"] < 0.35 * first["total"], (first, last)
    assert last["silhouette"] < 0.2 * first["silhouette"]
    assert last["variance"] < 0.5 * first["variance"]


def test_overfit_sees_one_batch_as_it_is(config, monkeypatch):
    batches = []
    original = stages.pair_losses
    monkeypatch.setattr(
        stages,
        "pair_losses",
        lambda p, b, *args, **kw: batches.append(b) or original(p, b, *args, **kw),
    )
    strong = "data.augmentation={mirror: 1.0, colour: 1.0}"
    trainer = Trainer(config(strong, "data.test=[]"), overfit=True)
    trainer.run()
    assert len(batches) == 3
    assert all(torch.equal(batch.rgba, batches[0].rgba) for batch in batches)
    stored = trainer.dataset[next(iter(PairSampler(15, 4, seed=0)))].to("cpu")
    assert torch.equal(batches[0].rgba, stored.rgba)


# --- killed and resumed

# Kills itself with SIGKILL: at the start of a step, or while a checkpoint is moved to its place.
KILLED = """
import os, signal, sys
import torch
from keypointnet.config import load_config
from keypointnet.training import Trainer

moment, when = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
train_step, replace = Trainer._train_step, os.replace

def killed_step(self, batch):
    if moment == "step" and self.step == when:
        kill()
    return train_step(self, batch)

saved = []
def killed_replace(source, target):
    if str(target).endswith("last.safetensors"):
        saved.append(target)
        if moment == "save" and len(saved) == when:
            kill()
    replace(source, target)

Trainer._train_step, os.replace = killed_step, killed_replace
if __name__ == "__main__":
    Trainer(load_config(None, sys.argv[3:])).run()
"""
LONGER = (
    "optim={steps: 7, pairs_per_step: 4, schedule: one_cycle, ema_decay: 0.9}",
    "data.augmentation={mirror: 0.5, colour: 0.5, grey: 0.2, noise: 0.02}",
    "loss.flag_anneal_start=2",
    "loss.flag_anneal_end=6",
    "run.checkpoint_every=2",
    "run.eval_every=3",
)


@pytest.fixture(scope="module")
def uninterrupted(blob_root, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    Trainer(load_config(None, settings(blob_root, out, *LONGER))).run()
    torch.set_num_threads(threads)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "when", "last_step", "workers"),
    [
        pytest.param("save", 2, 2, 0, id="while saving, no worker"),
        pytest.param("step", 5, 4, 1, id="in a step, one worker"),
    ],
)
def test_a_killed_run_goes_on_to_the_digit(
    uninterrupted, blob_root, tmp_path, moment, when, last_step, workers
):
    out = tmp_path / "run"
    overrides = settings(blob_root, out, *LONGER, f"data.workers={workers}")
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    killed = subprocess.run(
        [sys.executable, str(script), moment, str(when), *overrides],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read_checkpoint(out / "checkpoints" / "last.safetensors").step == last_step
    assert len(logged(out)) > last_step  # the log is ahead of the checkpoint

    resumed = Trainer(load_config(None, overrides), resume=True)
    assert resumed.step == last_step
    resumed.run()
    assert [line["step"] for line in logged(out)] == list(range(1, 8))
    assert logged(out) == logged(uninterrupted)
    assert logged(out, "test") == logged(uninterrupted, "test")
    for name in ("last", "best"):
        groups, expected = (
            read_checkpoint(folder / "checkpoints" / f"{name}.safetensors").groups
            for folder in (out, uninterrupted)
        )
        assert groups.keys() == expected.keys()
        for group, tensors in groups.items():
            assert tensors.keys() == expected[group].keys()
            assert all(torch.equal(tensors[k], v) for k, v in expected[group].items()), group
    left = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert left == ["best.safetensors", "last.safetensors"]


def test_a_finished_run_goes_on_when_more_steps_are_asked_for(config, tmp_path):
    Trainer(config("optim.steps=2")).run()
    assert Trainer(config("optim.steps=2"), resume=True).run() == {}
    assert len(logged(tmp_path / "run")) == 2
    trainer = Trainer(config("optim.steps=4"), resume=True)
    trainer.run()
    assert [line["step"] for line in logged(tmp_path / "run")] == [1, 2, 3, 4]
    assert trainer.optimizer.state[trainer.model.head_prob.weight]["step"].item() == 4


def test_weights_to_start_from_must_fit(config, tmp_path):
    Trainer(config("optim.steps=1", "data.test=[]")).run()
    init = f"run.init={tmp_path}/run/checkpoints/last.safetensors"
    with pytest.raises(CheckpointError, match=r"last.safetensors: does not fit the model"):
        Trainer(config(init, f"run.out={tmp_path}/second", "model.num_keypoints=5"))


def test_resume_without_a_checkpoint_starts(config):
    assert Trainer(config(), resume=True).step == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.num_keypoints=5",
            "model.num_keypoints: .*trained with 4, the configuration says 5",
        ),
        ("model.channels=32", r"model.channels: .*resume with model.channels=16, or start anew"),
        ("model.depth_offset=20", "model.depth_offset: .*trained with 30.0, .*says 20.0"),
        ("optim.ema_decay=0.9", "optim.ema_decay: .*has no averaged weights"),
    ],
)
def test_resuming_another_network_is_refused(config, override, message):
    Trainer(config("optim.steps=1", "data.test=[]")).run()
    with pytest.raises(ConfigError, match=message):
        Trainer(config(override), resume=True)


def test_resuming_exported_weights_is_refused(config, tmp_path):
    Trainer(config("optim.steps=1", "data.test=[]")).run()
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    export_weights(last, last, half=True)
    with pytest.raises(CheckpointError, match=r"last.safetensors: has no optimiser state"):
        Trainer(config(), resume=True)


def test_a_truncated_checkpoint_is_named(config, tmp_path):
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"half a checkpoi")
    with pytest.raises(CheckpointError, match=r"last.safetensors: is no whole safetensors file"):
        Trainer(config(), resume=True)
