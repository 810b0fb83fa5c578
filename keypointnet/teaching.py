"""A network for pictures learns from one for bare views: keypoints that many views agree on.

The paper's objective finds keypoints, and needs whole objects on black for it. What it has found,
in every view of a training model, is put together in the object's frame; a second network then
learns to say it of views with other objects, backgrounds and things before them. Still nobody
labels anything, and the second network learns from agreed points, not from one view's errors.

Not in the papers. Shapes: M models, V views, N keypoints, B pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from keypointnet import losses
from keypointnet.config import LossConfig
from keypointnet.evaluation import predict_views
from keypointnet.geometry import invert_rigid, project, transform_points, unproject
from keypointnet.model import KeypointNet, Prediction
from keypointnet.objective import axis_in_views, view_major
from keypointnet.progress import progress_bar
from keypointnet.views.pairs import ModelViews, PairBatch

MAX_VIEWS = 24
"""Of a model that are asked: the median of more is the same."""


@torch.inference_mode()
def agreed_points(
    teacher: KeypointNet,
    models: Sequence[ModelViews],
    *,
    size: int | None = None,
    progress: bool = False,
) -> Tensor:
    """Where a network's keypoints are on each model: the median of what it says of all views.

    Args:    teacher: in evaluation mode.  size: px, the side of the pictures that it knows; those
             of the views without.
    Returns: (M, 2, N, 3) float32 on the CPU, object frame: of the model, and of the model mirrored
             in x = 0 as the network sees it in mirrored pictures (whose left is called left).
    """
    rows = []
    for views in progress_bar(models, desc="agree", unit="model", disable=not progress):
        n_views = views.store.n_views(views.model)
        chosen = range(0, n_views, -(-n_views // MAX_VIEWS))
        both = []
        for mirrored in (False, True):
            uvz, T_world2cam, K, _ = predict_views(
                teacher, views, chosen, mirrored=mirrored, size=size
            )
            X_world = transform_points(invert_rigid(T_world2cam), unproject(uvz, K))
            both.append(X_world.median(dim=0).values)
        rows.append(torch.stack(both))
    return torch.stack(rows).float()


def taught_losses(
    predict: Callable[..., Prediction],
    batch: PairBatch,
    config: LossConfig,
    *,
    autocast: torch.autocast | None = None,
) -> dict[str, Tensor]:
    """The objective of a network that is taught: every view's points are where `batch.points` say.

    A point outside of the picture is to be found at its border, where it will be off the object.

    Args:    predict: KeypointNet's forward.  batch: with points.  autocast: of the network.
    Returns: scalars "taught", "orientation" where there is such a network, "total".
    """
    assert batch.points is not None
    rgba, T_world2cam, K = view_major(batch)
    uvz = project(transform_points(T_world2cam, batch.points[:, 0]), K).flatten(0, 1)
    uvz = torch.cat([uvz[..., :2].clamp(-1, 1), uvz[..., 2:]], dim=-1)
    image = rgba[:, :3].contiguous(memory_format=torch.channels_last)
    with autocast or torch.autocast(rgba.device.type, enabled=False):
        prediction = predict(image, return_prob=True)
    assert prediction.prob is not None
    terms = {"taught": losses.taught_loss(prediction.prob, prediction.uvz, uvz)}
    if prediction.orientation_uv is not None:
        axis_uv = axis_in_views(T_world2cam, K)
        terms["orientation"] = 2 * losses.orientation_loss(prediction.orientation_uv, axis_uv)
    terms["total"] = torch.stack([getattr(config, k) * v for k, v in terms.items()]).sum()
    return terms
