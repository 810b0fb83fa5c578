"""Two processes under torchrun. One process: test_training.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from keypointnet.checkpoints import read_checkpoint
from keypointnet.config import ConfigError, load_config
from keypointnet.distributed import Processes, resolve_device
from keypointnet.model import BatchNormBias
from keypointnet.teaching import POINTS_FILE
from keypointnet.tensor_files import read_tensors
from keypointnet.training import Trainer
from keypointnet.views.pairs import PairDataset

ROOT = Path(__file__).parents[2]
STEPS = 3

# Runs tools/train_kp.py as it is, but takes down which pairs a process loads, its first gradient
# and its last weights. Batch norm uses its running averages: those of a batch would differ between
# half the pairs and all of them.
RECORDER = """
import os, runpy, sys
import torch
from torch import nn
from keypointnet.checkpoints import CheckpointError
from keypointnet.model import BatchNormBias
from keypointnet.training import Trainer
from keypointnet.views.pairs import PairDataset

rank, out = int(os.environ["RANK"]), sys.argv.pop(1)
torch.set_num_threads(1)
seen, gradients = [], {}
BatchNormBias.train = lambda self, mode=True: nn.Module.train(self, False)
pair_at, train_step, run = PairDataset.pair_at, Trainer._train_step, Trainer.run

def recording_pair_at(self, key):
    seen.append((key.epoch, *pair_at(self, key)))
    return seen[-1][1:]

def recording_train_step(self, batch):
    terms = train_step(self, batch)
    for name, parameter in self.model.named_parameters():
        gradients.setdefault(name, parameter.grad.clone())
    return terms

def recording_run(self):
    summary = run(self)
    state = {"seen": seen, "gradients": gradients, "weights": self.model.state_dict()}
    torch.save(state, f"{out}/{rank}.pt")
    return summary

def full_disk(self):
    raise CheckpointError("last.safetensors: cannot be written (No space left on device)")

PairDataset.pair_at, Trainer._train_step = recording_pair_at, recording_train_step
Trainer.run = recording_run
if out == "full disk":
    Trainer._save = full_disk
sys.argv[0] = "tools/train_kp.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def settings(root: Path, out: Path) -> list[str]:
    return [
        f"data.train=[{{path: {root}, subset: train}}]",
        f"data.test=[{{path: {root}, subset: test}}]",
        "data.image_size=32",
        "data.workers=0",
        "model={num_keypoints: 4, channels: 16, orientation_channels: 16}",
        "loss.pose_noise=0",
        f"optim={{steps: {STEPS}, pairs_per_step: 4, gradient_norm: 1e9}}",
        f"run={{out: '{out}', device: cpu, amp: 'off', log_every: 1, eval_pairs: 3}}",
    ]


def torchrun(tmp_path: Path, record: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "recorder.py"
    script.write_text(RECORDER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--monitor-interval", "0.1", str(script), record]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command + arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, blob_root, monkeypatch):
    out = tmp_path / "two"
    done = torchrun(tmp_path, str(tmp_path), settings(blob_root, out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("held out: mean") == 1
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]

    # Both have the same weights, bit for bit.
    for name, tensor in ranks[0]["weights"].items():
        assert torch.equal(ranks[1]["weights"][name], tensor), name

    # No pair twice, and together the pairs that one process sees.
    seen = [pair for rank in ranks for pair in rank["seen"]]
    assert [len(rank["seen"]) for rank in ranks] == [2 * STEPS, 2 * STEPS]
    assert len(set(seen)) == 4 * STEPS
    alone: list[tuple[int, ...]] = []
    pair_at = PairDataset.pair_at
    monkeypatch.setattr(
        PairDataset,
        "pair_at",
        lambda self, key: alone.append((key.epoch, *pair_at(self, key))) or alone[-1][1:],
    )
    monkeypatch.setattr(
        BatchNormBias, "train", lambda self, mode=True: nn.Module.train(self, False)
    )
    one = [*settings(blob_root, tmp_path / "one"), "optim.steps=1"]
    trainer = Trainer(load_config(None, one))
    trainer.run()
    assert set(alone) == {pair for rank in ranks for pair in rank["seen"][:2]}

    # The averaged gradient is that of all pairs together.
    for name, parameter in trainer.model.named_parameters():
        gradient = ranks[0]["gradients"][name]
        assert torch.equal(ranks[1]["gradients"][name], gradient), name
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(gradient, parameter.grad, rtol=0, atol=1e-4 * scale + 1e-7)

    # One log, one set of checkpoints.
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(line["group"], line["step"]) for line in log] == [
        *(("train", step + 1) for step in range(STEPS)),
        ("test", STEPS),
    ]
    names = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert names == ["best.safetensors", "last.safetensors"]
    assert read_checkpoint(out / "checkpoints" / "last.safetensors").step == STEPS


@pytest.mark.slow
def test_two_processes_are_taught_alike(tmp_path, blob_root):
    Trainer(load_config(None, settings(blob_root, tmp_path / "teacher"))).run()
    teacher = tmp_path / "teacher/checkpoints/last.safetensors"
    taught = [f"run.teacher={teacher}", "model.orientation_channels=0"]
    both, one = tmp_path / "two", tmp_path / "one"
    done = torchrun(tmp_path, str(tmp_path), [*settings(blob_root, both), *taught])
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, tensor in ranks[0]["weights"].items():
        assert torch.equal(ranks[1]["weights"][name], tensor), name
    # Each was told the same of its models as a process alone is.
    Trainer(load_config(None, [*settings(blob_root, one), *taught])).run()
    (groups, _), (alone, _) = (read_tensors(out / POINTS_FILE) for out in (both, one))
    assert groups["points"].keys() == alone["points"].keys()
    for name, points in groups["points"].items():
        torch.testing.assert_close(points, alone["points"][name])


@pytest.mark.slow
def test_a_failing_process_ends_the_others(tmp_path, blob_root):
    """The first cannot save; the second waits for its gradients."""
    arguments = [*settings(blob_root, tmp_path / "out"), "run.checkpoint_every=1"]
    done = torchrun(tmp_path, "full disk", arguments)
    assert done.returncode != 0
    assert "train_kp: last.safetensors: cannot be written (No space left on device)" in done.stderr


# --- one process


def test_alone_without_torchrun(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    processes = Processes.from_torchrun("cpu")
    assert processes == Processes(0, 1, torch.device("cpu"))
    assert processes.is_main
    assert processes.gather(7) == [7]
    processes.wait()
    processes.leave()


def test_a_cluster_that_only_counts_processes_is_not_torchrun(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert Processes.from_torchrun("cpu").world_size == 1


def test_pairs_must_be_shared_evenly(tmp_path, blob_root):
    config = load_config(None, settings(blob_root, tmp_path))
    processes = Processes(0, 3, torch.device("cpu"))
    message = "optim.pairs_per_step: expected a multiple of the 3 processes, got 4"
    with pytest.raises(ConfigError, match=message):
        Trainer(config, processes=processes)


def test_devices(monkeypatch):
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(ConfigError, match=f"{name} is asked for, but torch finds no CUDA"):
            resolve_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto", local_rank=1) == torch.device("cuda:1")
    assert resolve_device("cuda:0", local_rank=1) == torch.device("cuda:0")
    with pytest.raises(ConfigError, match="cuda:2 is asked for, but there are 2 CUDA devices"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "meta", "", "cuda:x"])
def test_an_unknown_device_is_named(name):
    message = rf"run.device: expected auto, cpu, cuda or cuda:<n>, got '{name}'"
    with pytest.raises(ConfigError, match=message):
        resolve_device(name)
