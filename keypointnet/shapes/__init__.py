"""Parametric meshes: aligned object families with which everything runs, nothing downloaded.

People need an optional package, to make their bodies once; it is imported when one is made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keypointnet.shapenet.models import Model
from keypointnet.shapes.chair import make_chair
from keypointnet.shapes.chair_points import CHAIR_POINTS, chair_points
from keypointnet.shapes.object_points import PointSet
from keypointnet.shapes.person import make_person_model, prepare_people
from keypointnet.shapes.person_points import PERSON_POINTS, person_points

__all__ = ["FAMILIES", "FAMILY_POINTS", "PointSet", "make_model", "prepare_family"]

FAMILIES: dict[str, Callable[[int], Model]] = {
    "chair": make_chair,
    "person": make_person_model,
}

FAMILY_POINTS: dict[str, tuple[PointSet, Callable[[Model], np.ndarray]]] = {
    "chair": (CHAIR_POINTS, chair_points),
    "person": (PERSON_POINTS, person_points),
}
"""Family → its named points, and where a model has them: (K, 3), NaN for one that it lacks."""


def make_model(family: str, seed: int) -> Model:
    """One model of a parametric family, named "<family>-<seed, five digits>".

    Convention: the object frame of `keypointnet.shapenet.models`; the same seed, the same model.
    Raises:  ValueError: unknown family (the legal ones are listed) or a negative seed; PeopleError,
             one of these: bodies of people cannot be made.
    """
    if family not in FAMILIES:
        raise ValueError(
            f"make_model: unknown family {family!r}, expected one of {sorted(FAMILIES)}"
        )
    return FAMILIES[family](seed)


def prepare_family(family: str) -> None:
    """What a family's first model needs, before processes make models: bodies, for people.

    Raises:  ValueError (PeopleError is one): it cannot be had; the message says what to install.
    """
    if family == "person":
        prepare_people()
