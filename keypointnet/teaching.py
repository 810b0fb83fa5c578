"""A network for pictures learns from one for bare views: keypoints that many views agree on.

The paper's objective finds keypoints, and needs whole objects on black for it. What it has found,
in every view of a training model, is put together in the object's frame; a second network then
learns to say it of views with other objects, backgrounds and things before them. Still nobody
labels anything, and the second network learns from agreed points, not from one view's errors.
To compare with, a network may be told the true points of a parametric family; see true_points.py.

Not in the papers. Shapes: M models, V views, N keypoints, B pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from keypointnet import losses
from keypointnet.checkpoints import read_checkpoint, trained_model
from keypointnet.config import ConfigError, LossConfig, TrainConfig
from keypointnet.evaluation import points_of_object
from keypointnet.files import file_sha256
from keypointnet.geometry import project, transform_points
from keypointnet.model import KeypointNet, Prediction, orientation_flag
from keypointnet.objective import axis_in_views, gt_flag_share, view_major
from keypointnet.progress import progress_bar
from keypointnet.tensor_files import read_tensors, write_tensors
from keypointnet.true_points import family_points, true_points
from keypointnet.views.pairs import ModelViews, PairBatch

MAX_VIEWS = 24
"""Of a model that are asked, evenly taken; see `evaluation.points_of_object`."""

POINTS_FILE = "taught.safetensors"


def agreed_points(
    teacher: KeypointNet,
    models: Sequence[ModelViews],
    *,
    size: int | None = None,
    progress: bool = False,
) -> Tensor:
    """Where a network's keypoints are on each model: the median of what it says of its views.

    Args:    teacher: in evaluation mode.  size: px, the side of the pictures that it knows; those
             of the views without.
    Returns: (M, 2, N, 3) float32 on the CPU, object frame: of the model, and of the model mirrored
             in x = 0 as the network sees it in mirrored pictures (whose left is called left).
    """
    rows = []
    for views in progress_bar(models, desc="agree", unit="model", disable=not progress):
        n_views = views.store.n_views(views.model)
        chosen = range(0, n_views, -(-n_views // MAX_VIEWS))
        both = [
            points_of_object(teacher, views, chosen, mirrored=mirrored, size=size)
            for mirrored in (False, True)
        ]
        rows.append(torch.stack(both))
    return torch.stack(rows).float()


def taught_points(
    config: TrainConfig,
    models: Sequence[ModelViews],
    device: torch.device,
    *,
    write: bool = True,
) -> dict[str, Tensor]:
    """What `run.teacher` or `run.points` says of each training model, by name; empty without them.

    Kept in OUT/taught.safetensors, so that a run that goes on need not ask again.

    Args:    write: the file, and show progress: for one of several processes.
    Returns: (2, N, 3) for each, see `agreed_points`; NaN where a model lacks a true point.
    Raises:  ConfigError: the teacher has another number of keypoints; the file is of another one,
             or of other models; two models have one name; see also `true_points`.
             CheckpointError: the teacher is none.
    """
    if not config.run.taught:
        return {}
    key = "teacher" if config.run.points is None else "points"
    names = [views.name for views in models]
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        raise ConfigError(
            f"data.train: two stores have a model {min(repeated)}; with run.{key}, folders of "
            "stores need different names"
        )
    tell, about = _of_family(config) if key == "points" else _of_teacher(config, device)
    file = Path(config.run.out) / POINTS_FILE
    if file.exists():
        groups, metadata = read_tensors(file)
        if metadata != about or groups["points"].keys() != set(names):
            raise ConfigError(
                f"run.{key}: {file} is of another teacher, or of other models, than "
                f"{getattr(config.run, key)} and data.train; remove it, or choose another run.out"
            )
        return groups["points"]
    points = dict(zip(names, tell(models, progress=write), strict=True))
    if write:
        write_tensors(file, {"points": points}, about)
    return points


def _of_teacher(
    config: TrainConfig, device: torch.device
) -> tuple[Callable[..., Tensor], dict[str, str]]:
    """`agreed_points` by run.teacher, on pictures of the size that it knows; which one it is."""
    assert config.run.teacher is not None
    checkpoint = read_checkpoint(config.run.teacher)
    n_keypoints = checkpoint.config.model.num_keypoints
    if n_keypoints != config.model.num_keypoints:
        raise ConfigError(
            f"run.teacher: {config.run.teacher} has {n_keypoints} keypoints, "
            f"model.num_keypoints is {config.model.num_keypoints}"
        )
    size = checkpoint.config.data.image_size
    about = {"teacher": file_sha256(Path(config.run.teacher))}

    def tell(models: Sequence[ModelViews], *, progress: bool) -> Tensor:
        teacher = trained_model(checkpoint, device)
        return agreed_points(teacher, models, size=size, progress=progress)

    return tell, about


def _of_family(config: TrainConfig) -> tuple[Callable[..., Tensor], dict[str, str]]:
    """`true_points` of run.points; which family it is."""
    family = str(config.run.points)
    n_points = len(family_points(family).names)
    if n_points != config.model.num_keypoints:
        raise ConfigError(
            f"run.points: {family} has {n_points} points, model.num_keypoints is "
            f"{config.model.num_keypoints}"
        )
    return partial(true_points, family), {"points": family}


def taught_losses(
    predict: Callable[..., Prediction],
    batch: PairBatch,
    config: LossConfig,
    *,
    step: int = 0,
    autocast: torch.autocast | None = None,
) -> dict[str, Tensor]:
    """The objective of a network that is taught: every view's points are where `batch.points` say.

    A point outside of the picture is to be found at its border, where it will be off the object.
    One that is NaN is not asked for.

    Args:    predict: KeypointNet's forward.  batch: with points.  The others: of `pair_losses`.
    Returns: scalars "taught", "orientation" where there is such a network, "total".
    """
    assert batch.points is not None
    rgba, T_world2cam, K = view_major(batch)
    uvz = project(transform_points(T_world2cam, batch.points[:, 0]), K).flatten(0, 1)
    uvz = torch.cat([uvz[..., :2].clamp(-1, 1), uvz[..., 2:]], dim=-1)
    axis_uv = axis_in_views(T_world2cam, K)
    image = rgba[:, :3].contiguous(memory_format=torch.channels_last)
    with autocast or torch.autocast(rgba.device.type, enabled=False):
        prediction = predict(
            image,
            gt_flag=orientation_flag(axis_uv),
            gt_share=gt_flag_share(step, config),
            round_flag=config.variant == "released",
            return_prob=True,
        )
    assert prediction.prob is not None
    terms = {"taught": losses.taught_loss(prediction.prob, prediction.uvz, uvz)}
    if prediction.orientation_uv is not None:
        terms["orientation"] = 2 * losses.orientation_loss(prediction.orientation_uv, axis_uv)
    terms["total"] = torch.stack([getattr(config, k) * v for k, v in terms.items()]).sum()
    return terms
