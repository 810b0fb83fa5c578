"""Pictures and views of models as vectors: the last feature map of EfficientNet-Lite0, averaged.

Importing this loads torch, which takes seconds; who compares shapes does without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F

from keypointnet.imagenet import LITE0, LITE0_MEAN, LITE0_STD, load_lite0
from keypointnet.shapenet.model_views import ModelViews, cameras_at, rendered_views
from keypointnet.shapenet.models import ModelRef
from keypointnet.shapenet.picture_search import (
    ObjectPicture,
    PictureSettings,
    object_square,
    of_view,
)


@torch.inference_mode()
def picture_vectors(pictures: Sequence[ObjectPicture], settings: PictureSettings) -> np.ndarray:
    """One vector for each picture.

    Returns: (n, 1280) float32, of unit length.
    Raises:  ValueError: an object covers no pixel.
    """
    if not pictures:
        return np.zeros((0, 1280), np.float32)
    squares = [object_square(picture, settings) for picture in pictures]
    rgb = torch.from_numpy(np.stack([square.rgb for square in squares])).permute(0, 3, 1, 2)
    inside = torch.from_numpy(np.stack([square.coverage for square in squares]))[:, None]
    maps = _network().forward_features((rgb.float() / 255 - LITE0_MEAN) / LITE0_STD)
    # thin parts cover little of a cell; the floor keeps a cell that holds anything in play
    weight = F.adaptive_avg_pool2d(inside.float() / 255, maps.shape[-2:])
    weight = (weight + 0.05) * (weight > 0)
    pooled = (maps * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))
    return np.asarray(F.normalize(pooled, dim=1).numpy())


def describe_views(
    refs: Sequence[ModelRef], settings: PictureSettings, workers: int = 1
) -> Iterator[tuple[str, np.ndarray | str]]:
    """For each model, as they come, its id and the vectors of its views (v, 1280), or why none.

    Raises:  WorkerError: rendering cannot start (no graphics system, for one).
    """
    T_world2cam, K_px = cameras_at(
        settings.azimuth_deg,
        settings.elevation_deg,
        settings.distance,
        settings.fov_deg,
        settings.size,
    )
    jobs = [ModelViews(ref, T_world2cam, K_px) for ref in refs]
    for model_id, views in rendered_views(jobs, settings.size, workers):
        if isinstance(views, str):
            yield model_id, views
            continue
        try:
            yield model_id, picture_vectors([of_view(view) for view in views], settings)
        except ValueError as error:  # a model that is edge on, thinner than a pixel
            yield model_id, str(error)


@cache
def _network() -> Any:
    network = timm.create_model(LITE0, pretrained=False)
    load_lite0(network)
    return network.eval()
