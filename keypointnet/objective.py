"""The whole objective of a batch of pairs: the network's predictions through every loss term."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from keypointnet import losses
from keypointnet.config import LossConfig
from keypointnet.geometry import (
    procrustes_rotation,
    project,
    relative_transform,
    transfer,
    transform_points,
    unproject,
)
from keypointnet.model import Prediction, orientation_flag
from keypointnet.views.pairs import PairBatch

AXIS_POINTS = ((1.0, 0.0, 0.0), (-1.0, 0.0, 0.0))
"""The two points of the object frame whose projections tell its orientation."""


def anchor_points(n: int) -> Tensor:
    """Fibonacci's lattice of n points on a sphere of radius 0.4 about the object's centre.

    Returns: (n, 3), object frame.
    """
    i = torch.arange(n, dtype=torch.float32) + 0.5
    y = 1 - 2 * i / n
    angle = math.pi * (3 - math.sqrt(5)) * i
    ring = (1 - y**2).sqrt()
    return 0.4 * torch.stack([ring * angle.cos(), y, ring * angle.sin()], dim=-1)


def anchor_share(step: int, config: LossConfig) -> float:
    """Weight of the anchor term at a step: 1, falling linearly to 0 at `anchor_steps`."""
    return max(1.0 - step / config.anchor_steps, 0.0) if config.anchor_steps > 0 else 0.0


def gt_flag_share(step: int, config: LossConfig) -> float:
    """Share of the true orientation flag at a step: 1, then linearly down to 0."""
    start, end = config.flag_anneal_start, config.flag_anneal_end
    if end <= start:
        return float(step < start)
    return min(max((end - step) / (end - start), 0.0), 1.0)


def pair_losses(
    predict: Callable[..., Prediction],
    batch: PairBatch,
    config: LossConfig,
    *,
    step: int = 0,
    generator: torch.Generator | None = None,
    autocast: torch.autocast | None = None,
) -> dict[str, Tensor]:
    """Every term, unweighted, and their weighted sum as "total".

    Both views go through the network in one batch. The silhouette (alpha > 0) enters here only,
    never the network.

    Args:    predict: KeypointNet's forward.  batch: B pairs on the network's device.
             step: for the schedule of the orientation flag.  generator: of the Procrustes noise.
             autocast: precision of the network; the losses are float32 always.
    Returns: scalars "pose", "consistency", "separation", "silhouette", "variance", "total";
             "orientation" where the network has an orientation net; "anchor" while it is on.
    """
    losses.check_variant(config.variant)
    variant: losses.Variant = "paper" if config.variant == "paper" else "released"
    rgba, T_world2cam, K = view_major(batch)
    axis_uv = axis_in_views(T_world2cam, K)
    image = rgba[:, :3].contiguous(memory_format=torch.channels_last)
    with autocast or torch.autocast(rgba.device.type, enabled=False):
        prediction = predict(
            image,
            gt_flag=orientation_flag(axis_uv),
            gt_share=gt_flag_share(step, config),
            round_flag=variant == "released",
            return_prob=True,
        )
    prob = prediction.prob
    assert prob is not None
    mask = (rgba[:, 3:] > 0).float()
    mask = F.max_pool2d(mask, rgba.shape[-1] // prob.shape[-1]).squeeze(1)

    uvz0, uvz1 = prediction.uvz.chunk(2)
    T_0to1 = relative_transform(T_world2cam[0], T_world2cam[1])
    T_1to0 = relative_transform(T_world2cam[1], T_world2cam[0])
    X0, X1 = unproject(uvz0, K[0]), unproject(uvz1, K[1])
    R_pred = procrustes_rotation(X0, X1, noise=config.pose_noise, generator=generator)
    terms = {
        "pose": losses.pose_loss(R_pred, T_0to1[:, :3, :3]),
        "consistency": losses.consistency_loss(
            uvz0[..., :2],
            uvz1[..., :2],
            transfer(uvz1, T_1to0, K[1], K[0])[..., :2],
            transfer(uvz0, T_0to1, K[0], K[1])[..., :2],
            variant,
        ),
        "separation": 2
        * losses.separation_loss(torch.cat([X0, X1]), config.separation_delta, variant),
        "silhouette": 2 * losses.silhouette_loss(prob, mask),
        "variance": 2 * losses.variance_loss(prob, prediction.uvz[..., :2]),
    }
    if prediction.orientation_uv is not None:
        terms["orientation"] = 2 * losses.orientation_loss(prediction.orientation_uv, axis_uv)
    share = anchor_share(step, config)
    if config.anchor > 0 and share > 0:
        anchors = anchor_points(uvz0.shape[1]).to(rgba).expand(len(rgba), -1, -1)
        anchors = transform_points(T_world2cam.flatten(0, 1), anchors)
        anchors_uvz = project(anchors, K.flatten(0, 1))
        terms["anchor"] = share * losses.anchor_loss(prediction.uvz, anchors_uvz)
    terms["total"] = torch.stack([getattr(config, k) * v for k, v in terms.items()]).sum()
    return terms


def orientation_losses(
    predict: Callable[[Tensor], Tensor],
    batch: PairBatch,
    config: LossConfig,
    *,
    autocast: torch.autocast | None = None,
) -> dict[str, Tensor]:
    """The objective of the orientation network alone, to train it before or after the rest.

    Args:    predict: OrientationNet's forward.  The others: as in `pair_losses`.
    Returns: scalars "orientation" and "total".
    """
    rgba, T_world2cam, K = view_major(batch)
    image = rgba[:, :3].contiguous(memory_format=torch.channels_last)
    with autocast or torch.autocast(rgba.device.type, enabled=False):
        uv = predict(image)
    loss = 2 * losses.orientation_loss(uv, axis_in_views(T_world2cam, K))
    return {"orientation": loss, "total": config.orientation * loss}


def view_major(batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Rgba (2B, 4, h, w), the first B of them view 0; T_world2cam (2, B, 4, 4); K (2, B, 3, 3)."""
    return (
        batch.rgba.transpose(0, 1).flatten(0, 1),
        batch.T_world2cam.transpose(0, 1),
        batch.K.transpose(0, 1),
    )


def axis_in_views(T_world2cam: Tensor, K: Tensor) -> Tensor:
    """Where the two axis points project. Args: of `view_major`. Returns: (2B, 2, 2)."""
    T_world2cam, K = T_world2cam.flatten(0, 1), K.flatten(0, 1)
    axis = T_world2cam.new_tensor(AXIS_POINTS).expand(len(K), -1, -1)
    return project(transform_points(T_world2cam, axis), K)[..., :2]
