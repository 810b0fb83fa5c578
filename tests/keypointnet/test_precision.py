import pytest
import torch

from keypointnet import precision
from keypointnet.config import ConfigError, ModelConfig, load_config
from keypointnet.model import KeypointNet
from keypointnet.precision import resolve_autocast

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["native bf16", "no bf16"])
def native(request, monkeypatch) -> bool:
    monkeypatch.setattr(precision, "_has_native_bf16", lambda device: request.param)
    return request.param


def test_auto_uses_bf16_where_it_is_native(native):
    autocast = resolve_autocast("auto", CPU, ModelConfig())
    assert (autocast is not None) == native
    assert resolve_autocast("off", CPU, ModelConfig()) is None
    # YAML 1.1 reads a bare off as false.
    assert resolve_autocast(load_config(None, ["run.amp=off"]).run.amp, CPU, ModelConfig()) is None
    assert resolve_autocast("bf16", CPU, ModelConfig()) is not None


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (ModelConfig(channels=24), "model.channels"),
        (ModelConfig(channels=40, orientation_channels=0), "model.channels"),
        (ModelConfig(orientation_channels=24), "model.orientation_channels"),
    ],
)
def test_bf16_is_kept_off_networks_whose_gradients_would_be_nan(native, config, key):
    assert resolve_autocast("auto", CPU, config) is None
    with pytest.raises(ConfigError, match=rf"^{key}: .*multiple of 16, got (24|40).*run.amp"):
        resolve_autocast("bf16", CPU, config)


def test_networks_without_an_orientation_net_may_use_bf16(native):
    config = ModelConfig(channels=48, orientation_channels=0)
    assert resolve_autocast("bf16", CPU, config) is not None


def test_residual_orientation_nets_may_have_any_number_of_channels(native):
    config = ModelConfig(orientation_network="residual", orientation_channels=24)
    assert resolve_autocast("bf16", CPU, config) is not None


@pytest.mark.parametrize("channels", [16, 48])
def test_bf16_gradients_are_those_of_float32(channels):
    model = KeypointNet(4, channels=channels, orientation_channels=0)
    model = model.to(memory_format=torch.channels_last)
    image = torch.rand(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    gradients = []
    for amp in ("bf16", "off"):
        config = ModelConfig(channels=channels, orientation_channels=0)
        autocast = resolve_autocast(amp, CPU, config)
        model.zero_grad()
        with autocast or torch.autocast("cpu", enabled=False):
            prediction = model(image)
        prediction.uvz.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert gradients[0].isfinite().all()
    cosine = torch.cosine_similarity(gradients[0], gradients[1], dim=0)
    assert cosine > 0.9


def test_an_unknown_precision_is_named():
    with pytest.raises(ConfigError, match=r"run.amp: expected 'auto', 'bf16' or 'off', got 'fp16'"):
        resolve_autocast("fp16", CPU, ModelConfig())
