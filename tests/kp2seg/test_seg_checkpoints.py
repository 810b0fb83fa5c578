import errno
import json
import os

import pytest
import torch
from torch import nn

from keypointnet.tensor_files import CheckpointError, load_weights, write_tensors
from kp2seg.checkpoints import read_seg_checkpoint, save_seg_checkpoint


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def test_what_was_saved_is_read(model, tmp_path):
    path = tmp_path / "deep" / "last.safetensors"
    averaged = {name: value * 2 for name, value in model.state_dict().items()}
    groups = {"model": model.state_dict(), "ema": averaged}
    save_seg_checkpoint(path, groups, step=7, config="model: 3\n", metrics={"AP": 0.5})
    read = read_seg_checkpoint(path)
    assert (read.path, read.step, read.config, read.metrics) == (path, 7, "model: 3\n", {"AP": 0.5})
    assert read.groups.keys() == {"model", "ema"}
    assert torch.equal(read.groups["model"]["0.weight"], model.state_dict()["0.weight"])
    assert read.weights is read.groups["ema"]
    assert list(path.parent.iterdir()) == [path]
    save_seg_checkpoint(path, {"model": model.state_dict()}, step=8, config="")
    assert read_seg_checkpoint(path).weights.keys() == model.state_dict().keys()
    assert read_seg_checkpoint(path).metrics == {}


def test_a_full_disk_leaves_the_previous_checkpoint(model, tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    save_seg_checkpoint(path, {"model": model.state_dict()}, step=7, config="")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"last.safetensors: .*No space left.*is intact"):
        save_seg_checkpoint(path, {"model": model.state_dict()}, step=8, config="")
    assert read_seg_checkpoint(path).step == 7
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_checkpoint(model, tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere.safetensors: no such checkpoint"):
        read_seg_checkpoint(tmp_path / "nowhere.safetensors")
    with pytest.raises(CheckpointError, match=r"nowhere.pkl: no such checkpoint$"):
        read_seg_checkpoint(tmp_path / "nowhere.pkl")
    cut = tmp_path / "cut.safetensors"
    save_seg_checkpoint(cut, {"model": model.state_dict()}, step=7, config="")
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"cut.safetensors: is no whole safetensors file"):
        read_seg_checkpoint(cut)
    published = tmp_path / "pose2seg_release.pkl"
    torch.save({"x": torch.zeros(1)}, published)
    with pytest.raises(CheckpointError, match=r"release.pkl: .*tools/convert_weights.py"):
        read_seg_checkpoint(published)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "expected a checkpoint of format 'kp2seg-1', got None$"),
        ({"format": "keypointnet-1"}, "it is a KeypointNet, which finds keypoints"),
        ({"format": "kp2seg-1"}, "its metadata are broken"),
        ({"format": "kp2seg-1", "step": "x", "config": "", "metrics": "{}"}, "metadata are broken"),
        ({"format": "kp2seg-1", "step": "1", "config": "", "metrics": "{"}, "metadata are broken"),
    ],
)
def test_metadata_that_are_not_ours(model, tmp_path, metadata, message):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"model": model.state_dict()}, metadata)
    with pytest.raises(CheckpointError, match=rf"x.safetensors: .*{message}"):
        read_seg_checkpoint(path)


def test_a_checkpoint_without_weights(tmp_path):
    path = tmp_path / "x.safetensors"
    metadata = {"format": "kp2seg-1", "step": "1", "config": "", "metrics": json.dumps({})}
    write_tensors(path, {"optimizer": {"x": torch.zeros(1)}}, metadata)
    with pytest.raises(CheckpointError, match=r"expected a checkpoint of format"):
        read_seg_checkpoint(path)


def test_weights_fit_or_are_refused_in_one_line(model, tmp_path):
    weights = {name: value + 1 for name, value in model.state_dict().items()}
    load_weights(model, weights, tmp_path)
    assert torch.equal(model[0].weight, weights["0.weight"])
    wrong = {**weights, "0.weight": torch.zeros(4, 2, 1, 1), "2.bias": torch.zeros(1)}
    del wrong["1.bias"]
    with pytest.raises(CheckpointError) as error:
        load_weights(model, wrong, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: does not fit the model: lacks 1.bias; 0.weight has shape (4, 2, 1, 1), "
        "expected (4, 3, 1, 1); has 2.bias, which the model lacks"
    )
    assert torch.equal(model[0].weight, weights["0.weight"])
    with pytest.raises(CheckpointError, match=r"lacks 0.weight; .*; and 4 more$"):
        load_weights(model, {}, tmp_path)
