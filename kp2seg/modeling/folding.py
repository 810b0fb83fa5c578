"""Batch norms folded into the convolutions before them: the same function in fewer passes."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from detectron2.layers import Conv2d as WrappedConv2d
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norms(network: nn.Module, run: Callable[[nn.Module], object]) -> nn.Module:
    """A copy of a network in which convolutions do the work of their batch norms.

    Which norm follows which convolution is seen in a run, so any network will do. Predictions
    differ by rounding only; the copy cannot be trained.

    Args:    network: in evaluation mode.  run: calls the network it is given on some input.
    Raises:  ValueError: the network is in training mode.
    """
    if network.training:
        raise ValueError("fold_batch_norms: expected a network in evaluation mode")
    folded = copy.deepcopy(network)
    for module in folded.modules():
        # Detectron2's convolutions hold their norm.
        if isinstance(module, WrappedConv2d) and isinstance(module.norm, nn.BatchNorm2d):
            _fold(module, module.norm)
            module.norm = None
    pairs = _pairs(folded, run)
    for norm, convolution in pairs.items():
        _fold(convolution, norm)
    for name, module in list(folded.named_modules()):
        if module in pairs:
            parent, _, child = name.rpartition(".")
            assert isinstance(module, nn.BatchNorm2d)
            setattr(folded.get_submodule(parent), child, _what_is_left(module))
    return folded


def _pairs(
    network: nn.Module, run: Callable[[nn.Module], object]
) -> dict[nn.BatchNorm2d, nn.Conv2d]:
    """Each batch norm whose input is a convolution's output, and that convolution."""
    made: list[tuple[Tensor, nn.Conv2d]] = []  # tensors are kept, or their ids would be reused
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}
    calls: dict[nn.Module, int] = {}

    def note_output(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        calls[module] = calls.get(module, 0) + 1
        made.append((output, module))

    def note_input(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        calls[module] = calls.get(module, 0) + 1
        for output, convolution in made:
            if output is args[0]:
                pairs[module] = convolution

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(note_input))
    with torch.inference_mode():
        run(network)
    for hook in hooks:
        hook.remove()
    # One that is called twice may have another partner each time.
    shared = {convolution for convolution in pairs.values() if calls[convolution] > 1}
    return {n: c for n, c in pairs.items() if calls[n] == 1 and c not in shared}


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


def _what_is_left(norm: nn.BatchNorm2d) -> nn.Module:
    """What remains of a norm: timm's have the activation in them."""
    if isinstance(norm, BatchNormAct2d):
        return nn.Sequential(norm.drop, norm.act)
    return nn.Identity()
