import errno
import json
import runpy
import sys
from pathlib import Path

import pytest

from keypointnet.checkpoints import read_checkpoint
from keypointnet.training import Trainer

TOOL = Path(__file__).parents[1] / "tools" / "train_kp.py"


@pytest.fixture
def arguments(blob_root, tmp_path) -> list[str]:
    """A tiny run of two steps, as a file and overrides."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"""
model: {{num_keypoints: 3, channels: 8, orientation_channels: 8}}
data:
  image_size: 32
  workers: 0
  train:
    - {{path: {blob_root}, subset: train}}
  test:
    - {{path: {blob_root}, subset: test}}
optim: {{steps: 2, pairs_per_step: 2}}
run: {{device: cpu, log_every: 1, eval_pairs: 2, out: {tmp_path}/run}}
"""
    )
    return ["--config", str(path)]


@pytest.fixture
def train_kp(monkeypatch):
    """Runs the tool in this process; what it exits with is raised."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["train_kp.py", *arguments])
        runpy.run_path(str(TOOL), run_name="__main__")

    return run


def test_training_then_resuming(train_kp, arguments, tmp_path, capsys):
    train_kp(*arguments, "optim.learning_rate=2e-3", "run.seed=5")
    printed = capsys.readouterr().out
    assert printed.startswith("held out: mean ")
    assert printed.endswith(f"checkpoints in {tmp_path}/run/checkpoints\n")
    last = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert (last.step, last.config.optim.learning_rate, last.config.run.seed) == (2, 2e-3, 5)

    with pytest.raises(SystemExit, match=r"^train_kp: run.out: .*run already; .*--resume"):
        train_kp(*arguments)
    train_kp("--resume", *arguments)
    assert capsys.readouterr().out == f"{last.path}: all 2 steps are done\n"
    train_kp("--resume", *arguments, "optim.steps=3")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [(line["group"], line["step"]) for line in map(json.loads, lines)]
    assert steps == [("train", 1), ("train", 2), ("test", 2), ("train", 3), ("test", 3)]


def test_overfitting(train_kp, arguments, tmp_path, capsys):
    train_kp(*arguments, "--overfit", "data.test=[]")
    assert capsys.readouterr().out == ""
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.stps=2", "unknown key 'optim.stps'; did you mean 'optim.steps'"),
        ("data.image_size=64", "its views are 32x32, the configuration asks for 64x64"),
        ("run.device=gpu", "run.device: expected auto, cpu, cuda"),
        ("run.amp=bf16", "model.channels: run.amp 'bf16' on a CPU needs a multiple of 16, got 8"),
        ("data.train=[{path: /nowhere}]", "/nowhere: no such folder"),
        ("data.train=[]", "data.train: expected at least one view store"),
        ("run.out=/dev/null/run", "/dev/null/run.*: Not a directory"),
        ("run.init=/nowhere.safetensors", "/nowhere.safetensors: no such checkpoint"),
    ],
)
def test_mistakes_end_with_one_line(train_kp, arguments, override, message):
    with pytest.raises(SystemExit, match=rf"^train_kp: .*{message}"):
        train_kp(*arguments, override)


def test_a_full_disk(train_kp, arguments, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "run", full)
    with pytest.raises(SystemExit, match=r"^train_kp: No space left.*intact, .*--resume$"):
        train_kp(*arguments)


def test_a_config_that_is_not_there(train_kp):
    with pytest.raises(SystemExit, match=r"^train_kp: nowhere.yaml: no such configuration file"):
        train_kp("--config", "nowhere.yaml")


def test_a_damaged_checkpoint(train_kp, arguments, tmp_path):
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"damaged")
    with pytest.raises(SystemExit, match=r"^train_kp: .*last.safetensors: is no whole safetensors"):
        train_kp("--resume", *arguments)
    assert last.read_bytes() == b"damaged"


def test_help(train_kp, capsys):
    with pytest.raises(SystemExit) as end:
        train_kp("--help")
    assert end.value.code == 0
    assert "--overfit" in capsys.readouterr().out
