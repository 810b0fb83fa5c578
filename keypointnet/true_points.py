"""The true points of parametric models, known from their making, for networks that are told them.

Shapes: M models, K points.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from keypointnet.config import ConfigError
from keypointnet.progress import progress_bar
from keypointnet.shapes import FAMILY_POINTS, PointSet, make_model, prepare_family
from keypointnet.views.pairs import ModelViews
from keypointnet.views.variation import variant_of


def family_points(family: str) -> PointSet:
    """What the points of `run.points` are called.  Raises: ConfigError: no such family."""
    if family not in FAMILY_POINTS:
        known = ", ".join(sorted(FAMILY_POINTS))
        raise ConfigError(f"run.points: no family {family!r} with true points; there are {known}")
    return FAMILY_POINTS[family][0]


def true_points(family: str, models: Sequence[ModelViews], *, progress: bool = False) -> Tensor:
    """Where the models of some stores have their family's points; each model is made again.

    Args:    family: name.  models: rendered from it, variants too.
    Returns: (M, 2, K, 3) float32, object frame, NaN for a point that a model lacks: of the model,
             and of the model mirrored in x = 0, whose left is called left.
    Raises:  ConfigError: no such family, or a model is not of it.
             PeopleError: bodies cannot be made.
    """
    points = family_points(family)
    name = re.compile(rf"{family}-(?P<seed>\d{{5,}})(?:@(?P<variant>\d+))?")
    found = [name.fullmatch(views.model) for views in models]
    for views, match in zip(models, found, strict=True):
        if match is None:
            raise ConfigError(
                f"run.points: {views.name} is no model of the family {family}, which are called "
                f"{family}-00000, …"
            )
    prepare_family(family)
    rows = []
    bar = progress_bar(found, desc="true points", unit="model", disable=not progress)
    for views, match in zip(models, bar, strict=True):
        assert match is not None
        model = make_model(family, int(match["seed"]))
        if match["variant"]:
            info = views.store.info
            model = variant_of(model, int(match["variant"]), info["seed"], info["variation"])
        here = FAMILY_POINTS[family][1](model)
        rows.append(np.stack([here, points.mirrored(here)]))
    return torch.from_numpy(np.stack(rows)).float()
