import json
import os
import resource

import pytest
import safetensors.torch
import torch

from keypointnet import tensor_files
from keypointnet.checkpoints import (
    Checkpoint,
    CheckpointError,
    build_model,
    export_weights,
    load_model,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    read_checkpoint,
    save_checkpoint,
)
from keypointnet.config import ModelConfig, TrainConfig

CONFIG = TrainConfig(model=ModelConfig(num_keypoints=3, channels=8, orientation_channels=4))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.safetensors"


def save(path, *, step: int = 7, **groups) -> dict[str, torch.Tensor]:
    torch.manual_seed(step)
    weights = build_model(CONFIG).state_dict()
    save_checkpoint(
        path, {"model": weights, **groups}, step=step, config=CONFIG, metrics={"best_error": 1.5}
    )
    return weights


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_what_is_saved_is_read(path):
    weights = save(path, optimizer={"trunk.0.weight/exp_avg": torch.ones(2, 3)})
    checkpoint = read_checkpoint(str(path))
    assert isinstance(checkpoint, Checkpoint)
    assert (checkpoint.path, checkpoint.step, checkpoint.config) == (path, 7, CONFIG)
    assert checkpoint.metrics == {"best_error": 1.5}
    assert checkpoint.groups.keys() == {"model", "optimizer"}
    assert same(checkpoint.groups["model"], weights)
    assert same(checkpoint.weights, weights)
    assert same(checkpoint.groups["optimizer"], {"trunk.0.weight/exp_avg": torch.ones(2, 3)})
    assert os.listdir(path.parent) == [path.name]


def test_averaged_weights_are_the_ones_to_predict_with(path):
    averaged = {name: tensor + 1 for name, tensor in build_model(CONFIG).state_dict().items()}
    save(path, ema=averaged)
    assert same(read_checkpoint(path).weights, averaged)
    assert same(load_model(path).state_dict(), averaged)


def test_a_loaded_model_predicts_as_the_saved_one(path):
    model = build_model(CONFIG)
    model(torch.rand(4, 3, 16, 16))  # moves the running averages
    save_checkpoint(path, {"model": model.state_dict()}, step=1, config=CONFIG)
    loaded = load_model(path)
    assert not loaded.training
    image = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(loaded(image).uvz, model.eval()(image).uvz)


def test_a_full_disk_leaves_the_previous_checkpoint(path):
    before = save(path, step=1)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow past half a checkpoint: the write fails as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(
            CheckpointError,
            match=r"last.safetensors: cannot be written \(.+\); the previous checkpoint is intact",
        ):
            save(path, step=2)
        with pytest.raises(CheckpointError, match="there is none before it"):
            save(path.with_name("best.safetensors"), step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_checkpoint(path).step == 1
    assert same(read_checkpoint(path).weights, before)
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupted_write_leaves_the_previous_checkpoint(path, monkeypatch):
    save(path, step=1)

    def killed(*args):
        raise KeyboardInterrupt("killed here")

    monkeypatch.setattr(tensor_files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt, match=r"^killed here$"):
        save(path, step=2)
    monkeypatch.undo()
    assert read_checkpoint(path).step == 1
    save(path, step=3)  # and what it left is replaced
    assert read_checkpoint(path).step == 3
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(path, keep):
    save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(CheckpointError, match=r"last.safetensors: is no whole safetensors file"):
        read_checkpoint(path)


def test_garbage_and_nothing_are_named(path):
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * 100)
    with pytest.raises(CheckpointError, match=r"last.safetensors: is no whole safetensors file"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"other.safetensors: no such checkpoint"):
        read_checkpoint(path.with_name("other.safetensors"))


def test_someone_elses_safetensors_are_refused(path):
    path.parent.mkdir()
    safetensors.torch.save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match=r"format 'keypointnet-1', got None"):
        read_checkpoint(path)
    safetensors.torch.save_file({"model/x": torch.ones(2)}, path, {"format": "keypointnet-0"})
    with pytest.raises(CheckpointError, match=r"format 'keypointnet-1', got 'keypointnet-0'"):
        read_checkpoint(path)


def test_loading_is_strict(path):
    weights = save(path)
    model = build_model(CONFIG)
    name = "head_prob.weight"
    for wrong, message in (
        ({k: v for k, v in weights.items() if k != name}, "lacks head_prob.weight"),
        (weights | {"extra": torch.ones(1)}, "has extra, which the model lacks"),
        (
            weights | {name: torch.ones(4, 8, 3, 3)},
            r"head_prob.weight has shape \(4, 8, 3, 3\), expected",
        ),
    ):
        with pytest.raises(CheckpointError, match=rf"(?s)x: does not fit the model: {message}"):
            load_weights(model, wrong, "x")
        save_checkpoint(path, {"model": wrong}, step=1, config=CONFIG)
        with pytest.raises(CheckpointError, match=r"last.safetensors: does not fit the model"):
            load_model(path)


@pytest.mark.parametrize("half", [True, False])
def test_export_keeps_what_predicting_needs(path, tmp_path, half):
    averaged = build_model(CONFIG).state_dict()
    save(path, ema=averaged, optimizer={"trunk.0.weight/exp_avg": torch.ones(99)})
    out = tmp_path / "weights.safetensors"
    export_weights(path, out, half=half)
    exported = read_checkpoint(out)
    assert exported.groups.keys() == {"model"}
    assert (exported.step, exported.config) == (7, CONFIG)
    assert exported.metrics == {"best_error": 1.5}
    floating = {t.dtype for t in exported.weights.values() if t.is_floating_point()}
    assert floating == {torch.float16 if half else torch.float32}
    loaded = load_model(out).state_dict()
    for name, tensor in averaged.items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor, rtol=1e-3 if half else 0, atol=1e-6)
    if half:
        assert out.stat().st_size < 0.7 * path.stat().st_size


def test_half_weights_of_the_published_size_are_under_two_megabytes(tmp_path):
    path, out = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    weights = build_model(TrainConfig()).state_dict()
    save_checkpoint(path, {"model": weights}, step=1, config=TrainConfig())
    export_weights(path, out, half=True)
    assert out.stat().st_size < 2e6


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_the_optimiser_goes_on_as_if_never_stopped(path, memory_format):
    def step(model, optimizer, seed):
        torch.manual_seed(seed)
        image = torch.rand(2, 3, 16, 16).contiguous(memory_format=memory_format)
        optimizer.zero_grad()
        model(image).uvz.square().sum().backward()
        optimizer.step()

    def fresh():
        torch.manual_seed(0)
        model = build_model(CONFIG).to(memory_format=memory_format)
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    model, optimizer = fresh()
    for seed in range(3):
        step(model, optimizer, seed)
    groups = {"model": model.state_dict(), "optimizer": optimizer_tensors(optimizer, model)}
    save_checkpoint(path, groups, step=3, config=CONFIG)
    again, its_optimizer = fresh()
    checkpoint = read_checkpoint(path)
    load_weights(again, checkpoint.groups["model"], path)
    load_optimizer(its_optimizer, again, checkpoint.groups["optimizer"])
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        for key, value in optimizer.state[a].items():
            restored = its_optimizer.state[b][key]
            assert torch.equal(restored, value)
            assert restored.stride() == value.stride()
    for seed in range(3, 6):
        step(model, optimizer, seed)
        step(again, its_optimizer, seed)
    assert same(again.state_dict(), model.state_dict())


def test_the_metadata_are_json_and_yaml_anyone_can_read(path):
    save(path)
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "keypointnet-1"
    assert metadata["step"] == "7"
    assert json.loads(metadata["metrics"]) == {"best_error": 1.5}
    assert "num_keypoints: 3" in metadata["config"]


def test_half_precision_keeps_what_float16_cannot_hold() -> None:
    weights = {
        "variance": torch.tensor([1.0, 214_804.0]),
        "weight": torch.tensor([0.5, -2.0]),
        "steps": torch.tensor(100_000),
    }
    stored = tensor_files.halved(weights)
    assert {name: tensor.dtype for name, tensor in stored.items()} == {
        "variance": torch.float32,
        "weight": torch.float16,
        "steps": torch.int64,
    }
    assert all(torch.equal(stored[name].to(weights[name]), weights[name]) for name in weights)
