import pytest
import torch

from keypointnet import pyramid_trunk
from keypointnet.checkpoints import build_model, load_model, save_checkpoint
from keypointnet.config import PYRAMID_STRIDES, ConfigError, load_config
from keypointnet.config_checks import check_config
from keypointnet.model import KeypointNet
from keypointnet.precision import resolve_autocast
from keypointnet.pyramid_trunk import PyramidTrunk

PYRAMID = ("model={trunk: pyramid, num_keypoints: 3, channels: 16, downsample: 4}",)


@pytest.mark.parametrize("downsample", PYRAMID_STRIDES)
def test_maps_have_the_stride_that_was_asked_for(downsample):
    trunk = PyramidTrunk(3, 16, downsample=downsample).eval()
    with torch.inference_mode():
        assert trunk(torch.rand(2, 3, 64, 96)).shape == (2, 16, 64 // downsample, 96 // downsample)


def test_pictures_need_no_round_size():
    trunk = PyramidTrunk(3, 16, downsample=2).eval()
    with torch.inference_mode():
        assert trunk(torch.rand(1, 3, 50, 70)).shape == (1, 16, 25, 35)


def test_a_new_network_starts_from_imagenet_and_is_blind_to_the_flag():
    trunk = PyramidTrunk(4, 16, downsample=4, pretrained=True).eval()
    image = torch.rand(1, 4, 32, 32)
    with torch.inference_mode():
        seen = trunk.network(image)[0]
        image[:, 3] = 1 - image[:, 3]
        torch.testing.assert_close(trunk.network(image)[0], seen)
        other = PyramidTrunk(4, 16, downsample=4).eval()
        assert (other.network(image)[0] - seen).abs().max() > 0.01


def test_a_stored_network_needs_no_imagenet_weights(tmp_path, monkeypatch):
    config = load_config(None, PYRAMID)
    network = build_model(config, pretrained=True).eval()
    path = tmp_path / "pyramid.safetensors"
    save_checkpoint(path, {"model": network.state_dict()}, step=1, config=config)
    monkeypatch.setattr(pyramid_trunk, "load_lite0", lambda network: pytest.fail("it looked"))
    again = load_model(path)
    image = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        found = network(image, return_prob=True)
        torch.testing.assert_close(again(image).uvz, found.uvz)
    assert found.prob is not None
    assert found.prob.shape == (2, 3, 8, 8)
    torch.testing.assert_close(found.prob.sum((2, 3)), torch.ones(2, 3))


def test_bf16_spares_the_depthwise_layers():
    config = load_config(None, PYRAMID)
    assert resolve_autocast("bf16", torch.device("cpu"), config.model) is not None
    layers = [one for one in build_model(config).modules() if isinstance(one, torch.nn.Conv2d)]
    depthwise = [one for one in layers if one.groups > 1]
    assert len(depthwise) == 16
    assert all(type(one).__name__.endswith("InFloat32") for one in depthwise)


def test_settings_that_make_no_sense():
    with pytest.raises(ValueError, match="downsample to be one of"):
        KeypointNet(3, trunk="pyramid", downsample=1)
    with pytest.raises(ValueError, match="expected 'dilated' or 'pyramid', got 'resnet'"):
        KeypointNet(3, trunk="resnet")
    config = load_config(None, ["model.trunk=resnet", "data.train=[{path: x}]"])
    with pytest.raises(ConfigError, match=r"model.trunk: expected dilated or pyramid"):
        check_config(config)
    config = load_config(None, ["model.trunk=pyramid", "data.train=[{path: x}]"])
    with pytest.raises(ConfigError, match=r"model.downsample: a pyramid has strides 2, .*, got 1"):
        check_config(config)


def test_the_averages_follow_as_fast_as_they_are_told():
    trunk = PyramidTrunk(3, 16, downsample=4, bn_momentum=0.02)
    norms = [m.momentum for m in trunk.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) > 10
    assert set(norms) == {0.02}
