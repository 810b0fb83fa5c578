"""A network for small pictures goes on with larger ones.

A `DilatedTrunk` that folds blocks of 2x2 pixels and one that folds blocks of 4x4 differ in their
first convolution alone. Where each of its weights is shared out among the 2x2 pixels that are in
the place of one, the second network sees of a picture of 128x128 what the first saw of the average
over blocks of 2x2: it starts where the first one ended, costs the same, and has detail to learn.
"""

from __future__ import annotations

from torch import Tensor

from keypointnet.checkpoints import Checkpoint
from keypointnet.config import TrainConfig

FIRST = "trunk.1.weight"
"""The convolution after the folding of pixels."""


def weights_to_begin(checkpoint: Checkpoint, config: TrainConfig) -> dict[str, Tensor]:
    """A checkpoint's weights for a network of the configuration, whose pictures may be larger."""
    small, large = checkpoint.config, config
    factor = large.data.image_size // small.data.image_size
    enlarged = (
        factor > 1
        and large.data.image_size == factor * small.data.image_size
        and large.model.downsample == factor * small.model.downsample
        and small.model.downsample > 1
        and small.model.trunk == large.model.trunk == "dilated"
    )
    if not enlarged:
        return checkpoint.weights
    first = share_out(checkpoint.weights[FIRST], small.model.downsample, factor)
    return {**checkpoint.weights, FIRST: first}


def share_out(weight: Tensor, downsample: int, factor: int) -> Tensor:
    """The first convolution's weights for blocks of `factor` times as many pixels each way.

    Args:    weight: (out, planes · downsample², 3, 3), after `nn.PixelUnshuffle(downsample)`.
    Returns: (out, planes · (factor · downsample)², 3, 3).
    """
    blocks = weight.unflatten(1, (-1, downsample, downsample)) / factor**2
    blocks = blocks.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return blocks.flatten(1, 3)
