import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from keypointnet.checkpoints import build_model, load_model, optimizer_tensors, read_checkpoint
from keypointnet.config import RunConfig, StoreConfig, TrainConfig, load_config
from keypointnet.released_weights import (
    convert_released,
    find_released,
    our_name,
    read_released,
    released_config,
)
from keypointnet.tensor_files import CheckpointError
from keypointnet.training import Trainer

case = runpy.run_path(str(Path(__file__).with_name("released_case.py")))
SIZES = {"num_keypoints": 3, "channels": 6, "orientation_channels": 4}
ROOT = "KeypointNetwork/"
TURN = "KeypointNetwork/OrientationNetwork/"


@pytest.fixture
def variables():
    return case["released_variables"](**SIZES, adam=True)


def convert(variables):
    return convert_released(variables, released_config(variables, "ckpt"), "ckpt")


# --- names and layouts


@pytest.mark.parametrize(
    ("released", "ours"),
    [
        (ROOT + "dconv0/weights", "trunk.0.weight"),
        (ROOT + "dconv11/BatchNorm/moving_variance", "trunk.34.running_var"),
        (ROOT + "dconv5/BatchNorm/moving_mean", "trunk.16.running_mean"),
        (TURN + "dconv2/BatchNorm/beta", "orientation.trunk.7.bias"),
        (TURN + "Conv/biases", "orientation.head.bias"),
        (ROOT + "conv_xy/weights", "head_prob.weight"),
        (ROOT + "conv_z/biases", "head_depth.bias"),
        (ROOT + "Conv/weights", None),
        (TURN + "conv_xy/weights", None),
        (ROOT + "dconv0/BatchNorm/gamma", None),
        ("dconv0/weights", None),
    ],
)
def test_names(released, ours):
    assert our_name(released) == ours


def test_the_released_network_has_the_known_number_of_weights():
    variables = case["released_variables"]()
    learnt = [v.size for name, v in variables.items() if "moving" not in name and v.ndim]
    assert sum(learnt) == 523_318
    config = released_config(variables, "ckpt")
    assert config.model == TrainConfig().model
    assert config.loss.variant == "released"


def test_every_variable_is_used_once_and_every_place_filled(variables):
    groups, step = convert(variables)
    assert step == 1200
    model = build_model(released_config(variables, "ckpt"))
    model.load_state_dict(groups["model"])
    counters = [name for name in groups["model"] if name.endswith("num_batches_tracked")]
    assert len(counters) == 24
    assert {int(groups["model"][name]) for name in counters} == {1200}
    plain = [name for name in variables if "Adam" not in name and name.startswith(ROOT)]
    assert len(groups["model"]) == len(plain) + 24
    assert {our_name(name) for name in plain} | set(counters) == set(groups["model"])
    learnt = {name for name, _ in model.named_parameters()}
    assert set(groups["optimizer"]) == {
        f"{name}/{part}" for name in learnt for part in ("exp_avg", "exp_avg_sq", "step")
    }


def test_a_weight_keeps_its_place(variables):
    groups, _ = convert(variables)
    released = variables[ROOT + "dconv3/weights"]
    ours = groups["model"]["trunk.9.weight"]
    assert ours.shape == (6, 6, 3, 3)
    assert ours[4, 2, 0, 1] == released[0, 1, 2, 4]
    # The camera looks the other way: depth changes its sign, and so does its gradient's average.
    for part in ("weights", "biases"):
        like = "weight" if part == "weights" else "bias"
        for slot, kept, sign in (
            ("", None, -1),
            ("/Adam", "exp_avg", -1),
            ("/Adam_1", "exp_avg_sq", 1),
        ):
            value = variables[f"{ROOT}conv_z/{part}{slot}"]
            group = groups["model"] if kept is None else groups["optimizer"]
            ours = group[f"head_depth.{like}" + (f"/{kept}" if kept else "")].numpy()
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
            np.testing.assert_array_equal(ours, sign * value)


def test_without_adam(variables):
    groups, step = convert({k: v for k, v in variables.items() if "Adam" not in k})
    assert list(groups) == ["model"]
    assert step == 1200
    del variables["global_step"]
    assert convert(variables)[1] == 0


def test_what_does_not_fit_is_named(variables):
    def problem(change):
        with pytest.raises(CheckpointError, match=r"^ckpt: is no released KeypointNet: ") as error:
            convert(variables | change)
        return str(error.value).removeprefix("ckpt: is no released KeypointNet: ")

    assert problem({"other/weights": np.zeros(3)}) == "other/weights has no place here"
    average = ROOT + "dconv2/BatchNorm/moving_mean/Adam"
    assert problem({average: np.zeros(6)}) == f"{average} has no place here"
    name = ROOT + "dconv2/weights"
    assert problem({name: np.zeros((3, 3, 6, 5))}) == (
        f"{name} is (5, 6, 3, 3) in our order, expected (6, 6, 3, 3)"
    )
    assert problem({name: np.full((3, 3, 6, 6), np.nan)}) == (
        f"{name} has numbers that are not finite"
    )
    moving = ROOT + "dconv2/BatchNorm/moving_mean"
    del variables[moving]
    assert problem({}) == "nothing is given for trunk.7.running_mean"
    del variables[ROOT + "conv_z/biases/Adam_1"]
    assert problem({}).endswith("; nothing is given for head_depth.bias/exp_avg_sq")
    many = {f"other{i}": np.zeros(1) for i in range(9)}
    assert problem(many).endswith("; and 6 more")
    for missing in ("conv_xy/weights", "dconv0/weights", "OrientationNetwork/dconv0/weights"):
        left = {k: v for k, v in variables.items() if k != ROOT + missing}
        with pytest.raises(CheckpointError, match=f"it has no {ROOT}{missing}"):
            released_config(left, "ckpt")


# --- files


def test_which_checkpoint_of_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"got 0$"):
        find_released(tmp_path)
    for step in (100, 200000, 9000):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    with pytest.raises(CheckpointError, match=r"got 3; name one, such as .*model.ckpt-9000"):
        find_released(tmp_path)
    newest = tmp_path / "model.ckpt-200000"
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "/where/it/was/trained/model.ckpt-200000"\n'
        'all_model_checkpoint_paths: "/where/it/was/trained/model.ckpt-100"\n'
    )
    assert find_released(tmp_path) == newest
    assert find_released(newest) == newest
    assert find_released(tmp_path / "model.ckpt-100.index") == tmp_path / "model.ckpt-100"
    with pytest.raises(CheckpointError, match=r"model.ckpt-5: no such folder or TensorFlow"):
        find_released(tmp_path / "model.ckpt-5")
    (tmp_path / "model.ckpt-200000.index").unlink()
    (tmp_path / "model.ckpt-9000.index").unlink()
    assert find_released(tmp_path) == tmp_path / "model.ckpt-100"


def fake_tensorflow(variables):
    """The two calls that are used of it."""

    def load_checkpoint(stem):
        if not Path(f"{stem}.index").stat().st_size:
            raise ValueError("Unable to open table file\nand more")
        return SimpleNamespace(
            get_variable_to_shape_map=lambda: {k: list(v.shape) for k, v in variables.items()},
            get_tensor=variables.__getitem__,
        )

    return SimpleNamespace(
        train=SimpleNamespace(load_checkpoint=load_checkpoint),
        errors=SimpleNamespace(OpError=ArithmeticError),
    )


def test_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(CheckpointError, match=r"pip install 'tensorflow-cpu>=2.20' \(the extra"):
        read_released(tmp_path / "model.ckpt-1")


def test_a_real_checkpoint(tmp_path, variables):
    tensorflow = pytest.importorskip("tensorflow", reason="the extra 'released' is not installed")
    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default(), v1.Session() as session:
        held = [v1.Variable(value, name=name) for name, value in variables.items()]
        session.run(v1.global_variables_initializer())
        v1.train.Saver(held).save(session, str(tmp_path / "model.ckpt"), global_step=1200)
    read = read_released(find_released(tmp_path))
    assert set(read) == set(variables)
    for name, value in variables.items():
        np.testing.assert_array_equal(read[name], value)
    (tmp_path / "model.ckpt-1200.index").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"model.ckpt-1200: cannot be read as a checkpoint: "):
        read_released(tmp_path / "model.ckpt-1200")


def test_the_tool(tmp_path, variables, monkeypatch, load_tool, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", fake_tensorflow(variables))
    (tmp_path / "model.ckpt-1200.index").write_text("x")
    out = tmp_path / "out" / "chair.safetensors"
    tool = load_tool("convert_weights")
    tool.main(["keypointnet", f"{tmp_path}/", str(out)])
    assert capsys.readouterr().out == (
        f"{out}: {len(variables)} variables of model.ckpt-1200, each used once; step 1200, "
        "3 keypoints, with Adam's averages\n"
    )
    checkpoint = read_checkpoint(out)
    assert (checkpoint.step, checkpoint.config.loss.variant) == (1200, "released")
    assert load_model(out)(torch.rand(1, 3, 16, 16)).uvz.shape == (1, 3, 3)
    (tmp_path / "model.ckpt-1200.index").write_text("")
    for words, message in (
        (
            ["keypointnet", str(tmp_path), str(out)],
            "cannot be read as a checkpoint: Unable to open",
        ),
        (["keypointnet", "/nowhere", str(out)], "/nowhere: no such folder or TensorFlow"),
        (["keypointnet", "x", str(out), "--templates", "t"], "expected with pose2seg only"),
    ):
        with pytest.raises(SystemExit, match=rf"^convert_weights: [^\n]*{message}[^\n]*$"):
            tool.main(words)


# --- training goes on from them, on published data


@pytest.fixture
def settings(tmp_path, variables):
    """A configuration: two published tfrecords and the variables, converted."""
    contents = {f"000{i}": case["pairs"](3, (16, 16), seed=i) for i in (0, 1)}
    case["write_published"](tmp_path / "chairs", contents, test=["0001"], dev=[])
    config = load_config(Path(__file__).parents[2] / "configs/keypointnet/released.yaml")
    config.model = released_config(variables, "ckpt").model
    config.data.image_size, config.data.workers = 16, 0
    config.data.train = [StoreConfig(f"{tmp_path}/chairs/", "train")]
    config.data.test = [StoreConfig(f"{tmp_path}/chairs", "test")]
    config.optim.steps, config.optim.pairs_per_step = 2, 2
    config.run = RunConfig(out=str(tmp_path / "run"), device="cpu", log_every=1, eval_pairs=2)
    return config


def test_training_goes_on_from_released_weights(
    settings, tmp_path, variables, monkeypatch, load_tool
):
    monkeypatch.setitem(sys.modules, "tensorflow", fake_tensorflow(variables))
    (tmp_path / "model.ckpt-1200.index").write_text("x")
    released = tmp_path / "chair.safetensors"
    load_tool("convert_weights").main(["keypointnet", str(tmp_path), str(released)])
    first = read_checkpoint(released).weights

    settings.run.init = str(released)
    trainer = Trainer(settings)
    assert settings.loss.variant == "released"
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, first[name]), name
    summary = trainer.run()
    assert np.isfinite(summary["mean_deg"])
    after = read_checkpoint(tmp_path / "run/checkpoints/last.safetensors")
    assert after.step == 2
    moved = (after.weights["head_depth.weight"] - first["head_depth.weight"]).abs().max()
    assert 0 < moved < 3 * settings.optim.learning_rate


def test_resuming_takes_adams_averages_too(settings, variables, monkeypatch, load_tool):
    monkeypatch.setitem(sys.modules, "tensorflow", fake_tensorflow(variables))
    folder = Path(settings.data.test[0].path).parent
    (folder / "model.ckpt-1200.index").write_text("x")
    out = Path(settings.run.out) / "checkpoints" / "last.safetensors"
    load_tool("convert_weights").main(["keypointnet", str(folder), str(out)])
    settings.optim.steps = 1201
    trainer = Trainer(settings, resume=True)
    assert trainer.step == 1200
    averages = optimizer_tensors(trainer.optimizer, trainer.model)
    value = variables[ROOT + "conv_xy/weights/Adam"].transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(averages["head_prob.weight/exp_avg"].numpy(), value)
    trainer.run()
    assert trainer.step == 1201
