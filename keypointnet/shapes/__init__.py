"""Parametric meshes: aligned object families with which everything runs, nothing downloaded."""

from __future__ import annotations

from collections.abc import Callable

from keypointnet.shapenet.models import Model
from keypointnet.shapes.chair import make_chair

__all__ = ["FAMILIES", "make_model"]

FAMILIES: dict[str, Callable[[int], Model]] = {"chair": make_chair}


def make_model(family: str, seed: int) -> Model:
    """One model of a parametric family, named "<family>-<seed, five digits>".

    Convention: the object frame of `keypointnet.shapenet.models`; the same seed, the same model.
    Raises:  ValueError: unknown family (the legal ones are listed) or a negative seed.
    """
    if family not in FAMILIES:
        raise ValueError(
            f"make_model: unknown family {family!r}, expected one of {sorted(FAMILIES)}"
        )
    return FAMILIES[family](seed)
