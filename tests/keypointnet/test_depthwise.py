"""Depthwise convolutions that are trained in float32 under a CPU's autocast."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from keypointnet.depthwise import train_depthwise_in_float32


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.Conv2d(32, 32, 5, padding=2, groups=32, bias=False),
        Conv2dSame(32, 32, 3, stride=2, groups=32),
        nn.Conv2d(32, 32, 3, groups=4),
        nn.Conv2d(32, 8, 1),
    )


def gradients(model: nn.Module, image: torch.Tensor, amp: bool) -> dict[str, torch.Tensor]:
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        out = model(image)
    out.float().square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_depthwise_ones_alone_are_changed_and_once() -> None:
    model = network()
    names = set(model.state_dict())
    train_depthwise_in_float32(model)
    before = [type(layer) for layer in model]
    changed = [kind.__name__ for kind in before if kind.__name__.endswith("InFloat32")]
    assert changed == ["Conv2dInFloat32", "Conv2dSameInFloat32"]
    assert before[0] is before[3] is before[4] is nn.Conv2d
    train_depthwise_in_float32(model)
    assert [type(layer) for layer in model] == before
    assert set(model.state_dict()) == names
    assert all(isinstance(layer, nn.Conv2d) for layer in copy.deepcopy(model))


def test_under_autocast_their_arithmetic_is_float32() -> None:
    """Not so exact without: the gradients of the weights tell which arithmetic it was."""
    model = network()[1:3]
    changed = copy.deepcopy(model)
    train_depthwise_in_float32(changed)
    image = torch.rand(4, 32, 16, 16)
    exact = gradients(model, image, amp=False)
    error = {}
    for name, one in {"bf16": model, "float32": changed}.items():
        found = gradients(one, image, amp=True)
        off = [(found[k] - exact[k]).norm() / exact[k].norm() for k in exact]
        error[name] = float(torch.stack(off).max())
    assert error["float32"] < 0.02  # what goes in and comes out is rounded to bf16 all the same
    assert error["float32"] < error["bf16"]


@pytest.mark.parametrize("amp", [False, True])
def test_in_evaluation_nothing_is_different(amp: bool) -> None:
    model = network().eval()
    changed = copy.deepcopy(model)
    train_depthwise_in_float32(changed)
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=amp):
        assert torch.equal(model(image), changed(image))


def test_without_autocast_nothing_is_different() -> None:
    model = network()
    changed = copy.deepcopy(model)
    train_depthwise_in_float32(changed)
    image = torch.rand(2, 3, 16, 16)
    expected, found = gradients(model, image, amp=False), gradients(changed, image, amp=False)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_comes_out_is_what_autocast_gives() -> None:
    model = network()[1:2]
    train_depthwise_in_float32(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.rand(1, 32, 8, 8)).dtype is torch.bfloat16
