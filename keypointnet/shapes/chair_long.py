"""Kinds of chair to lie in: garden loungers, deck chairs, chaises longues."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_sampling import one_of, palette
from keypointnet.shapes.curves import spline
from keypointnet.shapes.primitives import bar, pillow, sheet, tube


def lounger(asm: Assembly, rng: np.random.Generator) -> None:
    """A long curve to lie on, of slats, canvas or padding, on low legs."""
    colours = palette(
        rng, one_of(rng, "wood", "metal", "plastic"), one_of(rng, "fabric", "leather")
    )
    half_x, seat_y = rng.uniform(0.26, 0.36), rng.uniform(0.22, 0.4)
    leg_rest, back = rng.uniform(0.55, 1.0), rng.uniform(0.5, 0.8)
    angle = rng.uniform(0.35, 1.15)  # of the back above the horizontal
    knee, dip = rng.choice([0.0, rng.uniform(0.03, 0.12)]), rng.uniform(0.0, 0.05)
    foot_y = seat_y - rng.choice([0.0, rng.uniform(-0.04, 0.15)])
    key = np.array(
        [
            [foot_y, -leg_rest],
            [seat_y + knee, -leg_rest * 0.45],
            [seat_y - dip, 0.0],
            [seat_y + 0.5 * back * np.sin(angle), 0.05 + 0.5 * back * np.cos(angle)],
            [seat_y + back * np.sin(angle), 0.05 + back * np.cos(angle)],
        ]
    )
    profile = spline(key, 25)
    cut = 13
    _surface(asm, rng, profile[: cut + 1], half_x, "seat", colours.soft, colours.accent)
    _surface(asm, rng, profile[cut:], half_x, "back", colours.soft, colours.accent)
    size = rng.uniform(0.022, 0.05)
    rail = np.stack([np.full(25, half_x + size / 2), profile[:, 0] - 0.01, profile[:, 1]], axis=1)
    for part, stretch in (("seat", rail[: cut + 1]), ("back", rail[cut:])):
        asm.add(part, colours.frame, bar(stretch, size, size * 0.7, up=(1, 0.01, 0)), both=True)
    _legs(asm, rng, rail, cut, size, colours.frame)
    if rng.random() < 0.35:
        top = seat_y + rng.uniform(0.14, 0.22)
        ends = [[half_x + size, top, -0.28], [half_x + size, top + 0.02, 0.12]]
        asm.add("arms", colours.frame, bar(ends, 0.025, 0.06, up=(0, 1, 0)), both=True)
        for share in (0.08, 0.7):
            post = np.array(ends[0]) + (np.array(ends[1]) - ends[0]) * share
            asm.add(
                "arms",
                colours.frame,
                bar([post * [1, 0, 1] + [0, seat_y - 0.02, 0], post], 0.025, 0.025, up=(0, 0, 1)),
                both=True,
            )
    if rng.random() < 0.3:
        head = (0.0, *(profile[-3] + [0.03, -0.02]))
        asm.add("back", colours.soft, pillow((half_x * 1.3, 0.09, 0.12), head, 0.04))


def _surface(
    asm: Assembly,
    rng: np.random.Generator,
    profile: np.ndarray,
    half_x: float,
    part: str,
    soft: np.ndarray,
    hard: np.ndarray,
) -> None:
    """What one lies on, along a (n, 2) y, z profile."""
    kind = one_of(rng, "slats", "canvas", "pad", "pad")
    if kind == "slats":
        for start, end in pairwise(profile):
            middle, along = (start + end) / 2, end - start
            width = float(np.linalg.norm(along)) * 0.75
            path = [[-half_x, *middle], [half_x, *middle]]
            asm.add(part, hard, bar(path, width, 0.016, up=(0, *along)))
        return
    u = np.linspace(-1, 1, 7)
    grid = np.empty((7, len(profile), 3))
    grid[..., 0] = u[:, None] * half_x
    grid[..., 1:] = profile[None]
    thick = 0.01
    if kind == "pad":
        thick = rng.uniform(0.05, 0.12)
        grid[..., 1] += thick * 0.4
    asm.add(part, soft, sheet(grid, thick))


def _legs(
    asm: Assembly,
    rng: np.random.Generator,
    rail: np.ndarray,
    cut: int,
    size: float,
    colour: np.ndarray,
) -> None:
    kind = one_of(rng, "posts", "runners", "crossed")
    front, rear = rail[3], rail[cut + 2]
    if kind == "crossed":
        top = rail[-4]
        asm.add(
            "legs",
            colour,
            bar([top, [top[0], 0.0, front[2] * 0.2]], size, size * 0.7, up=(0, 0, 1)),
            bar([front, [front[0], 0.0, top[2] * 0.8]], size, size * 0.7, up=(0, 0, 1)),
            both=True,
        )
        return
    lean = rng.uniform(-0.05, 0.12)
    feet = []
    for top, shift in ((front, -lean), (rear, lean)):
        foot = np.array([top[0], 0.0, top[2] + shift])
        asm.add("legs", colour, bar([top, foot], size, size * 0.8, up=(0, 0, 1)), both=True)
        feet.append(foot + np.array([0, size / 2, 0]))
    if kind == "runners":
        asm.add("legs", colour, bar(feet, size, size * 0.8, up=(0, 1, 0)), both=True)
    elif rng.random() < 0.3:  # a pair of wheels at the rear
        x = feet[1][0] + size
        asm.add(
            "legs",
            colour,
            tube([[x, 0.09, feet[1][2]], [x + 0.03, 0.09, feet[1][2]]], 0.09, sides=16),
            both=True,
        )
