"""Colours that furniture comes in, as sRGB in 0..1.

Named base colours with jitter, and now and then any colour at all, so that a network cannot rely
on a palette.
"""

from __future__ import annotations

import colorsys

import numpy as np

_PALETTES: dict[str, tuple[str, ...]] = {
    "wood": (
        "e3c797",
        "d2a86a",
        "c08a4e",
        "a56f3c",
        "8a5a33",
        "6d4225",
        "50301c",
        "3a2418",
        "b9773f",
        "9a4f2b",
        "7b3020",
        "d9b98a",
        "f0dfc0",
        "2a201b",
        "f1efe9",
        "c8a989",
    ),
    "fabric": (
        "8c8f94",
        "5b6470",
        "2f3d55",
        "28456e",
        "4f7ca8",
        "8a2f2f",
        "b5483a",
        "c98a2c",
        "d9c9a6",
        "efe6d2",
        "6b7a4a",
        "2f5a45",
        "7a5a8a",
        "b77a8a",
        "3a3a3d",
        "a39582",
        "c7c3bb",
        "1f2226",
        "5a8f8a",
        "cfa08a",
    ),
    "leather": (
        "1b1919",
        "2e211b",
        "4a2d1c",
        "6e3f22",
        "8f552c",
        "b5793f",
        "d9cdb8",
        "f0ece4",
        "5a1d1a",
        "3b3f46",
    ),
    "plastic": (
        "f4f4f0",
        "1a1a1c",
        "c8271f",
        "e06a1c",
        "f0b81a",
        "3d8a3a",
        "1f66b0",
        "38a5b8",
        "8a8d90",
        "e8d8c0",
        "c85a8a",
        "5a3a7a",
        "b8d048",
        "4a4a4e",
    ),
    "metal": (
        "b8bcc0",
        "8f9499",
        "d8dadc",
        "2a2b2d",
        "55585c",
        "1a1a1b",
        "c0a860",
        "8a6a3a",
        "f0f0ee",
        "6a7078",
    ),
    "straw": ("d9bd83", "c7a565", "e6d3a6", "b08c50", "9a7a4a"),
}
MATERIALS: tuple[str, ...] = tuple(_PALETTES)


def pick_colour(rng: np.random.Generator, material: str, wild: float = 0.08) -> np.ndarray:
    """One colour of a material, (3,) sRGB in 0..1.

    Args:    material: one of MATERIALS. wild: chance of a uniformly random colour instead.
    Raises:  ValueError: unknown material; the legal ones are listed.
    """
    if material not in _PALETTES:
        raise ValueError(f"pick_colour: unknown material {material!r}, expected one of {MATERIALS}")
    palette = _PALETTES[material]
    code = palette[int(rng.integers(len(palette)))]
    hue, saturation, value = colorsys.rgb_to_hsv(
        *(int(code[k : k + 2], 16) / 255 for k in (0, 2, 4))
    )
    jitter = rng.normal(size=3) * (0.015, 0.08, 0.06)
    if rng.random() < wild:
        return random_colour(rng)
    return _from_hsv(hue + jitter[0], saturation * (1 + jitter[1]), value + jitter[2])


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """Any colour, (3,) sRGB in 0..1: uniform hue, from grey to vivid, seldom black."""
    return _from_hsv(rng.random(), rng.random() ** 1.3, rng.uniform(0.12, 1.0))


def shaded(colour: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """The same colour a little lighter or darker, as boards of one wood differ."""
    return np.clip(colour * (1 + spread * rng.uniform(-1, 1)), 0.0, 1.0)


def _from_hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    saturation, value = float(np.clip(saturation, 0, 1)), float(np.clip(value, 0.04, 1))
    return np.array(colorsys.hsv_to_rgb(float(hue % 1.0), saturation, value))
