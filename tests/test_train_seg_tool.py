import errno
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from keypointnet import tensor_files
from keypointnet.tensor_files import write_tensors
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.lazy_config import model_from_text

ROOT = Path(__file__).parents[1]
tiny = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))["tiny"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("train_seg")


def iterations(out: Path) -> list[int]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [line["iteration"] for line in lines if "total_loss" in line]


def test_training_then_resuming_then_evaluating(tool, tiny, tmp_path, capsys):
    tool.main(tiny("train.steps=3", "train.eval_every=2"))
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    names = [f"{mode}/{figure}" for mode in ("quality", "constant") for figure in ("AP", "AP50")]
    assert {f"cocopersons_val/{name}" for name in (*names, "mean_iou")} <= printed.keys()
    out = tmp_path / "run"
    assert iterations(out) == [0, 1, 2]
    pictures = sorted(path.name for path in (out / "pictures").iterdir())
    assert pictures == ["masks-0000002.png", "masks-0000003.png"]
    assert list((out / "tensorboard").glob("events*"))
    assert "_target_: kp2seg.modeling.meta_arch.Pose2Seg" in (out / "config.yaml").read_text()
    last = read_seg_checkpoint(out / "checkpoints/last.safetensors")
    assert (last.step, set(last.groups)) == (3, {"model", "ema", "optimizer"})

    with pytest.raises(SystemExit, match=r"^train_seg: train.out: .*run already; .*--resume"):
        tool.main(tiny())
    tool.main(["--resume", *tiny("train.steps=4")])
    assert iterations(out) == [0, 1, 2, 3]
    capsys.readouterr()

    tool.main(["--eval-only", *tiny(f"train.init={last.path}", f"train.out={tmp_path}/none")])
    again = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert again.keys() == printed.keys()
    assert not (tmp_path / "none").exists()


# Kills itself with SIGKILL in a step.
KILLED = """
import os, runpy, signal, sys
import torch
from kp2seg.training import SegTrainer

torch.set_num_threads(1)
run_step = SegTrainer.run_step

def killed(self):
    if self.iter == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    run_step(self)

SegTrainer.run_step = killed
if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_digit(tool, tiny, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    killed = subprocess.run(
        [sys.executable, str(script), str(ROOT / "tools/train_seg.py"), *tiny()],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "eta" in killed.stdout
    out = tmp_path / "run"
    assert read_seg_checkpoint(out / "checkpoints/last.safetensors").step == 4
    assert iterations(out) == [0, 1, 2, 3, 4]
    tool.main(["--resume", *tiny()])
    assert iterations(out) == list(range(7))

    tool.main(tiny(f"train.out={tmp_path}/whole"))
    resumed, whole = (
        read_seg_checkpoint(folder / "checkpoints/last.safetensors").groups
        for folder in (out, tmp_path / "whole")
    )
    assert resumed.keys() == whole.keys() == {"model", "ema", "optimizer"}
    for group, tensors in whole.items():
        assert tensors.keys() == resumed[group].keys()
        for name, value in tensors.items():
            assert torch.equal(resumed[group][name], value), f"{group}/{name}"


def test_a_full_disk_leaves_the_last_checkpoint(tool, tiny, tmp_path, monkeypatch):
    replace, moved = os.replace, []

    def full(source, target):
        if str(target).endswith(".safetensors"):
            moved.append(target)
            if len(moved) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(tensor_files.os, "replace", full)
    with pytest.raises(SystemExit, match=r"^train_seg: .*No space left on device\); the previous"):
        tool.main(tiny())
    assert read_seg_checkpoint(tmp_path / "run/checkpoints/last.safetensors").step == 2


def test_a_nearly_full_disk_is_refused(tool, tiny, monkeypatch):
    monkeypatch.setattr("kp2seg.training.MIN_FREE_BYTES", 1e18)
    with pytest.raises(SystemExit, match=r"^train_seg: train.out: only .* MB are free on the disk"):
        tool.main(tiny())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stps=3", "unknown key 'train.stps'; did you mean 'train.steps'"),
        ("train.steps=many", "'train.steps=many': expected a whole number, got 'many'"),
        ("train.steps=0", "train.steps: expected at least 1, got 0"),
        ("steps", "override 'steps': expected key=value"),
        ("model.score_mode=best", "model: score_mode: expected 'constant' or 'quality'"),
        ("model.templates=/nowhere.json", "/nowhere.json"),
        ("train.device=gpu", "device 'gpu': expected auto, cpu"),
        ("train.device=cuda:99", "device 'cuda:99': there are"),
        ("train.init=/nowhere.safetensors", "/nowhere.safetensors: no such checkpoint"),
        ("train.out=/dev/null/run", "/dev/null/run.*: Not a directory"),
        ("data.train=coco_train", "no data set 'coco_train'; there are cocopersons_train"),
        ("data.train=ochuman_val", "OCHuman val.*found none of"),
        ("data.pictures_per_step=0", "data.pictures_per_step: expected a multiple"),
    ],
)
def test_mistakes_end_with_one_line(tool, tiny, override, message):
    with pytest.raises(SystemExit, match=rf"^train_seg: [^\n]*{message}[^\n]*$"):
        tool.main(tiny(override))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config-file", "x.py", "--epochs"], "unrecognized arguments: --epochs"),
        ([], "required: --config-file"),
        (["--config-file", "/nowhere.py"], "/nowhere.py: no such configuration file"),
        (["--config-file", "x.py", "--num-gpus", "99"], "--num-gpus 99: there are"),
        (["--config-file", "x.py", "--num-machines", "2"], "several need --dist-url"),
        (
            ["--config-file", "x.py", "--num-machines", "2", "--dist-url", "tcp://a:1"],
            "several need CUDA",
        ),
    ],
)
def test_wrong_flags_end_with_one_line(tool, words, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=rf"^train_seg: [^\n]*{message}[^\n]*$"):
        tool.main(words)


def test_missing_data(tool, tiny, tmp_path):
    (tmp_path / "data/coco/annotations/person_keypoints_train2017.json").unlink()
    with pytest.raises(SystemExit, match=r"^train_seg: .*train2017.json: .*DETECTRON2_DATASETS"):
        tool.main(tiny())


def test_evaluating_without_weights(tool, tiny):
    with pytest.raises(SystemExit, match=r"^train_seg: .*last.safetensors: no such checkpoint"):
        tool.main(["--eval-only", *tiny()])


def test_a_keypointnet_as_weights(tool, tiny, tmp_path):
    file = tmp_path / "kp.safetensors"
    write_tensors(file, {"model": {"x": torch.zeros(1)}}, {"format": "keypointnet-1"})
    with pytest.raises(SystemExit, match=r"^train_seg: .*it is a KeypointNet, which finds keyp"):
        tool.main(tiny(f"train.init={file}"))


def test_resuming_another_network_is_refused(tool, tiny):
    tool.main(tiny("train.steps=1"))
    other = "model.mask_head.blocks=[1,2]"
    with pytest.raises(SystemExit, match=r"^train_seg: .*last.safetensors: does not fit the model"):
        tool.main(["--resume", *tiny("train.steps=2", other)])


@pytest.mark.slow
def test_a_picture_that_breaks_in_a_loading_process_is_named(tool, tiny, tmp_path, monkeypatch):
    from kp2seg.build import read_dataset

    def then_broken(name, **settings):
        data = read_dataset(name, **settings)
        for path in (tmp_path / "data/coco/train2017").iterdir():
            path.write_bytes(b"no picture")
        return data

    monkeypatch.setattr("kp2seg.build.read_dataset", then_broken)
    with pytest.raises(SystemExit, match=r"^train_seg: \S*/0000\S*.png: the picture cannot be rea"):
        tool.main(tiny("data.workers=1"))


def test_the_checkpoint_has_its_templates(tool, tiny, tmp_path):
    tool.main(tiny("train.steps=1"))
    last = read_seg_checkpoint(tmp_path / "run/checkpoints/last.safetensors")
    assert "person_templates.json" not in last.config
    assert model_from_text(last.config, "here").templates.names[0] == "nose"
    assert last.groups["model"].keys() == last.groups["ema"].keys()


def test_help(tool, capsys):
    with pytest.raises(SystemExit) as end:
        tool.main(["--help"])
    assert end.value.code == 0
    assert "--eval-only" in capsys.readouterr().out
