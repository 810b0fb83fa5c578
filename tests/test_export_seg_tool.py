"""tools/export_seg.py, and a file of it as weights that come with the package."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch

from keypointnet.checkpoints import CheckpointError
from keypointnet.files import file_sha256
from kp2seg import zoo
from kp2seg.build import build_model, trained_model
from kp2seg.checkpoints import read_seg_checkpoint, save_seg_checkpoint
from kp2seg.lazy_config import config_to_text, load_seg_config

tiny = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))["tiny"]


@pytest.fixture
def trained(tiny, tmp_path):
    """A checkpoint with averaged weights and an optimiser."""
    _, file, *defaults = tiny()
    config = load_seg_config(file, defaults)
    model = build_model(config).state_dict()
    averaged = {name: 0.9 * t if t.is_floating_point() else t.clone() for name, t in model.items()}
    groups = {"model": model, "ema": averaged, "optimizer": {"x/exp_avg": torch.ones(1000)}}
    path = tmp_path / "last.safetensors"
    save_seg_checkpoint(path, groups, step=12, config=config_to_text(config), metrics={"AP": 0.5})
    return path


def test_the_averaged_weights_in_half(load_tool, trained, tmp_path, capsys):
    tool, out = load_tool("export_seg"), tmp_path / "half.safetensors"
    tool.main([str(trained), str(out), "--half"])
    assert "step 12" in capsys.readouterr().out
    before, after = read_seg_checkpoint(trained), read_seg_checkpoint(out)
    assert set(after.groups) == {"model"}
    assert (after.config, after.metrics, after.step) == (before.config, before.metrics, 12)
    for name, tensor in before.groups["ema"].items():
        half = after.weights[name]
        assert half.dtype == (torch.float16 if tensor.is_floating_point() else tensor.dtype)
        assert torch.allclose(half.to(tensor), tensor, rtol=1e-3, atol=1e-6)
    model = trained_model(after)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert out.stat().st_size < 0.3 * trained.stat().st_size


def test_without_half_the_same_bits(load_tool, trained, tmp_path):
    out = tmp_path / "full.safetensors"
    load_tool("export_seg").main([str(trained), str(out)])
    exported = read_seg_checkpoint(out).weights
    for name, tensor in read_seg_checkpoint(trained).groups["ema"].items():
        assert torch.equal(exported[name], tensor)


def test_mistakes_end_with_one_line(load_tool, trained, tmp_path):
    tool, before = load_tool("export_seg"), trained.read_bytes()
    with pytest.raises(SystemExit, match=r"^export_seg: .*would be replaced by the result"):
        tool.main([str(trained), str(tmp_path / "." / "last.safetensors")])
    assert trained.read_bytes() == before
    with pytest.raises(SystemExit, match=r"^export_seg: .*no such checkpoint"):
        tool.main([str(tmp_path / "gone"), str(tmp_path / "out")])


@pytest.fixture
def shipped(trained, monkeypatch):
    """The checkpoint as a model of the zoo, "people-tiny"."""
    entry = zoo.Entry(str(trained), file_sha256(trained), "", "", {}, "masks")
    monkeypatch.setitem(zoo.MODELS, "people-tiny", entry)
    return trained


def test_weights_that_come_with_the_package(load_tool, shipped, tmp_path, monkeypatch, capsys):
    assert "people-tiny" in zoo.names("masks")
    assert "people-tiny" not in zoo.names("keypoints")
    assert type(zoo.get("people-tiny")).__name__ == "Pose2Seg"
    monkeypatch.chdir(tmp_path)
    load_tool("eval_seg").main(["--model", "people-tiny", "--device", "cpu"])
    assert "cocopersons_val" in capsys.readouterr().out
    result = json.loads(Path("runs/people-tiny/evaluation/cocopersons_val.json").read_text())
    assert result["weights"] == "people-tiny"


def test_masks_weights_find_no_keypoints(load_tool, shipped, tmp_path):
    words = [str(tmp_path / name) for name in ("a.json", "b.json")]
    with pytest.raises(
        SystemExit, match=r"no model for keypoints 'people-tiny'; there are .*chair"
    ):
        load_tool("discover").main(["--model", "people-tiny", *words])


def test_weights_and_a_model_are_too_many(load_tool, shipped):
    with pytest.raises(SystemExit, match="choose one: WEIGHTS, or --model NAME"):
        load_tool("eval_seg").main(["a.safetensors", "--model", "people-tiny"])
    with pytest.raises(SystemExit, match="--weights and --model: choose one"):
        load_tool("demo").main(["a.png", "--weights", "a", "--model", "people-tiny"])


def test_changed_weights_are_refused(shipped):
    shipped.write_bytes(shipped.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="cut short or was changed"):
        zoo.get("people-tiny")
