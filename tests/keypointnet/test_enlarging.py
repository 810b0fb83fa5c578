"""A network that goes on with larger pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from keypointnet.checkpoints import build_model, load_weights, read_checkpoint, save_checkpoint
from keypointnet.config import TrainConfig
from keypointnet.enlarging import weights_to_begin


def config_for(size: int, downsample: int, orientation: int, network: str) -> TrainConfig:
    config = TrainConfig()
    config.data.image_size = size
    config.model = replace(
        config.model,
        channels=8,
        orientation_channels=8,
        orientation_network=network,
        orientation_mirrored=True,
        downsample=downsample,
        orientation_downsample=orientation,
    )
    return config


def test_it_begins_with_what_the_smaller_network_says(tmp_path: Path) -> None:
    for network in ("dilated", "residual"):
        small = config_for(32, 2, 1, network)
        torch.manual_seed(0)
        first = build_model(small).eval()
        path = tmp_path / f"{network}.safetensors"
        save_checkpoint(path, {"model": first.state_dict()}, step=1, config=small)
        large = config_for(64, 4, 2, network)
        second = build_model(large).eval()
        load_weights(second, weights_to_begin(read_checkpoint(path), large), path)
        picture = torch.rand(2, 3, 64, 64)
        with torch.inference_mode():
            a = first(F.avg_pool2d(picture, 2), return_prob=True)
            b = second(picture, return_prob=True)
        torch.testing.assert_close(b.uvz, a.uvz)
        torch.testing.assert_close(b.prob, a.prob)
        torch.testing.assert_close(b.orientation_uv, a.orientation_uv)


def test_of_the_same_size_nothing_changes(tmp_path: Path) -> None:
    config = config_for(32, 2, 1, "residual")
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, {"model": build_model(config).state_dict()}, step=1, config=config)
    checkpoint = read_checkpoint(path)
    assert weights_to_begin(checkpoint, config) is checkpoint.weights
    other = config_for(64, 2, 1, "residual")
    assert weights_to_begin(checkpoint, other) is checkpoint.weights
