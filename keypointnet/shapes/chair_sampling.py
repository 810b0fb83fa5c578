"""What every kind of chair draws first: its colours and its dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.materials import pick_colour, random_colour

Style = Callable[[Assembly, np.random.Generator], None]


@dataclass
class Palette:
    """Colours of one chair, (3,) sRGB in 0..1."""

    frame: np.ndarray
    accent: np.ndarray
    soft: np.ndarray
    metal: np.ndarray


def palette(rng: np.random.Generator, frame: str = "wood", soft: str = "fabric") -> Palette:
    """Colours of one chair; two-tone now and then, all random seldom."""
    if rng.random() < 0.1:
        return Palette(*(random_colour(rng) for _ in range(4)))
    base = pick_colour(rng, frame)
    accent = base if rng.random() < 0.75 else pick_colour(rng, frame, wild=0.3)
    return Palette(base, accent, pick_colour(rng, soft), pick_colour(rng, "metal", wild=0.03))


def any_frame(rng: np.random.Generator) -> Frame:
    """Dimensions of a dining chair, spread a little wider than the shops'."""
    front = rng.uniform(0.38, 0.52)
    rear = front * rng.uniform(0.8, 1.0)
    top = rear * rng.uniform(0.85, 1.12)
    return Frame(
        seat_y=rng.uniform(0.41, 0.5),
        depth=rng.uniform(0.37, 0.5),
        front=front,
        rear=rear,
        thickness=rng.uniform(0.02, 0.06),
        roundness=rng.choice([0.05, rng.uniform(0.1, 0.6)]),
        back_height=rng.uniform(0.32, 0.62),
        back_bottom=rear,
        back_top=top,
        recline_rad=rng.uniform(0.03, 0.28),
        curl=rng.choice([0.0, rng.uniform(0, 0.06)]),
        bow=rng.uniform(0, 0.05),
        splay_side=rng.uniform(0, 0.03),
        splay_front=rng.uniform(0, 0.03),
        splay_rear=rng.uniform(0, 0.07),
    )


def one_of(rng: np.random.Generator, *choices: str) -> str:
    """One of the strings, each as likely."""
    return choices[int(rng.integers(len(choices)))]
