"""Depthwise convolutions in float32, where everything around them is trained in bf16 on a CPU.

oneDNN's bf16 gradients of depthwise convolutions are 5 to 14 times slower there than its float32
ones (5x5, 16 x 64 x 48 x 48, one thread: 101 ms and 20 ms for the weights), and were most of a
training step of networks that are built of them. Forward they cost the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    _Convolution = nn.Conv2d
else:
    _Convolution = object


class _InFloat32(_Convolution):
    """What a convolution's class is given before its own."""

    def forward(self, x: Tensor) -> Tensor:
        """As the class that follows, but for autocast on a CPU that is to be differentiated."""
        cpu = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not cpu or not torch.is_grad_enabled():
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))


def train_depthwise_in_float32(network: nn.Module) -> None:
    """Changes the class of a network's depthwise convolutions; names and weights stay.

    In evaluation, on GPUs and without autocast nothing is different.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or isinstance(module, _InFloat32):
            continue
        if module.groups == module.in_channels > 1:
            module.__class__ = _class_of(type(module))


_MADE: dict[type[nn.Conv2d], type[Any]] = {}


def _class_of(convolution: type[nn.Conv2d]) -> type[Any]:
    """One for each class of convolutions, so that two networks' layers have the same."""
    if convolution not in _MADE:
        name = f"{convolution.__name__}InFloat32"
        _MADE[convolution] = type(name, (_InFloat32, convolution), {})
    return _MADE[convolution]
