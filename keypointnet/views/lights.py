"""Lights for rendering views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Lights:
    """Diffuse light only: a hemisphere, and one lamp that moves with the camera.

    A surface with unit normal n (turned to the camera) and linear colour c (at least 0.02) sends
        c * (ground + (sky - ground) * (1 + n . up) / 2 + lamp * max(0, n . lamp_direction)).
    The hemisphere looks the same from every side, and the lamp stands still in the camera's frame,
    so neither tells a network from which side it sees the object.

    Attributes:
        sky, ground: linear RGB that reaches a surface facing straight up, straight down.
        lamp: linear RGB.
        lamp_direction: towards the lamp, camera frame (x right, y down, z forward), any length.
    """

    sky: Colour = (0.72, 0.72, 0.72)
    ground: Colour = (0.22, 0.22, 0.22)
    lamp: Colour = (0.3, 0.3, 0.3)
    lamp_direction: Colour = (-0.6, -0.5, -0.6)


def random_lights(rng: np.random.Generator) -> Lights:
    """Lights of random strength, contrast, tint and lamp position, as augmentation.

    Args:    rng: the source of all randomness.
    Returns: lights under which a white object is neither black nor wholly saturated.
    """

    def tinted(strength: float) -> Colour:
        tint = 1.0 + rng.uniform(-0.12, 0.12, 3)
        red, green, blue = (strength * tint / tint.mean()).tolist()
        return red, green, blue

    sky = rng.uniform(0.4, 0.95)
    direction = rng.normal(size=3)
    direction[2] = -abs(direction[2]) - 0.2  # on the camera's side of the object
    x, y, z = (direction / np.linalg.norm(direction)).tolist()
    return Lights(
        sky=tinted(sky),
        ground=tinted(sky * rng.uniform(0.15, 0.7)),
        lamp=tinted(rng.uniform(0.1, 0.7)),
        lamp_direction=(x, y, z),
    )
