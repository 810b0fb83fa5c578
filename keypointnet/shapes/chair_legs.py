"""Legs: four of them with aprons and stretchers, crossed ones, boards on either side."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.curves import line, spline
from keypointnet.shapes.primitives import Piece, bar, loft, tube

LEG_PROFILES = ("square", "square_taper", "round", "round_taper", "turned", "sabre")


def leg(
    top: np.ndarray, foot: np.ndarray, profile: str, size: float, rng: np.random.Generator
) -> Piece:
    """One leg from top (3,) to foot (3,).

    Args:    profile: one of LEG_PROFILES. size: thickness at the top, m.
    Raises:  ValueError: unknown profile.
    """
    if profile == "square":
        return bar(line(top, foot), size, size * rng.uniform(0.8, 1.0), up=(0, 0, 1))
    if profile == "square_taper":
        path = line(top, foot, 3)
        taper = np.array([1, 1, 1]) * np.linspace(1, rng.uniform(0.45, 0.75), 3)
        return bar(path, size * taper, size * taper, up=(0, 0, 1))
    if profile == "round":
        return tube(line(top, foot), size / 2, sides=10)
    if profile == "round_taper":
        width = size / 2 * np.array([rng.uniform(0.7, 1.0), 1.0, rng.uniform(0.5, 0.7)])
        return tube(line(top, foot, 3), width, sides=10)
    if profile == "turned":
        return tube(line(top, foot, 11), size / 2 * turning(rng, 11), sides=8)
    if profile == "sabre":
        middle = (top + foot) / 2 + np.array([0, 0, np.sign(-foot[2]) * rng.uniform(0.015, 0.03)])
        taper = np.linspace(1.15, 0.75, 6)
        return bar(spline([top, middle, foot], 6), size * taper, size * 0.8, up=(0, 0, 1))
    raise ValueError(f"leg: unknown profile {profile!r}, expected one of {LEG_PROFILES}")


def turning(rng: np.random.Generator, n: int) -> np.ndarray:
    """Relative radii of a lathe-turned post: beads and vases, (n,), 0.5..1.2."""
    radii = rng.uniform(0.62, 1.15, size=n)
    radii[1::3] *= rng.uniform(0.6, 0.9)
    radii[0], radii[-1] = 0.8, 0.6
    return np.clip(radii, 0.5, 1.2)


def four_legs(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    profile: str,
    size: float,
    stretchers: str = "none",
    apron: bool = False,
) -> None:
    """Four legs, mirrored left to right.

    Args: stretchers: "none", "box" (all round), "h" (sides and one across), "front" or "ladder".
    """
    inset = size * rng.uniform(0.5, 0.7)
    tops, feet = [], []
    for rear in (False, True):
        top, foot = frame.corner(rear, inset), frame.foot(rear, inset)
        kind = (
            "square_taper"
            if rear and profile in ("turned", "sabre") and rng.random() < 0.5
            else profile
        )
        asm.add("legs", colour, leg(top, foot, kind, size, rng), both=True)
        tops.append(top)
        feet.append(foot)
    if apron:
        _apron(asm, frame, rng, colour, tops)
    if stretchers != "none":
        _stretchers(asm, rng, colour, tops, feet, stretchers, size, profile)


def _apron(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    tops: list[np.ndarray],
) -> None:
    height, thick = rng.uniform(0.035, 0.08), 0.018
    front, rear = (t - np.array([0, height / 2, 0]) for t in tops)
    flip = np.array([-1.0, 1.0, 1.0])
    asm.add("seat", colour, bar(line(front, rear), height, thick, up=(0, 1, 0)), both=True)
    for end in (front, rear):
        asm.add("seat", colour, bar(line(end, end * flip), height, thick, up=(0, 1, 0)))


def _stretchers(
    asm: Assembly,
    rng: np.random.Generator,
    colour: np.ndarray,
    tops: list[np.ndarray],
    feet: list[np.ndarray],
    kind: str,
    size: float,
    profile: str,
) -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    thick = size * rng.uniform(0.45, 0.65)

    def on(index: int, height: float) -> np.ndarray:
        return feet[index] + (tops[index] - feet[index]) * height

    def rail(start: np.ndarray, end: np.ndarray, both: bool) -> None:
        path = line(start, end, 4)
        piece = (
            bar(path, thick * 1.4, thick * 0.8, up=(0, 1, 0))
            if profile.startswith("square")
            else tube(path, thick / 2 * np.array([0.8, 1.1, 1.1, 0.8]), sides=8)
        )
        asm.add("legs", colour, piece, both=both)

    side, across = rng.uniform(0.22, 0.45), rng.uniform(0.22, 0.6)
    if kind in ("h", "box", "ladder"):
        rail(on(0, side), on(1, side), both=True)
    if kind == "h":
        middle = (on(0, side) + on(1, side)) / 2
        rail(middle, middle * flip, both=False)
    if kind in ("box", "front"):
        rail(on(0, across), on(0, across) * flip, both=False)
    if kind == "box":
        rail(on(1, side), on(1, side) * flip, both=False)
    if kind == "ladder":
        for height in (side + 0.2, side - 0.12):
            rail(on(0, height), on(0, height) * flip, both=False)
        rail(on(0, side + 0.25), on(1, side + 0.25), both=True)


def scissors(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, size: float
) -> None:
    """Crossed legs of a folding chair: front foot to the rear of the seat and the other way."""
    x = frame.front / 2
    y = frame.under_y + frame.thickness / 2
    reach = frame.depth / 2 + rng.uniform(0.0, 0.05)
    round_bar = rng.random() < 0.4
    # One leg goes on upwards and carries the back, if there is one.
    top = np.array([x, y, frame.depth / 2 - 0.03])
    for shift, ends in (
        (0.0, (top, np.array([x, 0, -reach]))),
        (-1.3 * size, (np.array([x, y, -frame.depth / 2 + 0.05]), np.array([x, 0, reach]))),
    ):
        path = line(*ends) + np.array([shift, 0, 0])
        piece = (
            tube(path, size / 2, sides=8)
            if round_bar
            else bar(path, 1.5 * size, size * 0.8, up=(0, 0, 1))
        )
        asm.add("legs", colour, piece, both=True)
        low = path[1] + (path[0] - path[1]) * 0.12
        asm.add("legs", colour, tube(line(low, low * [-1, 1, 1]), size * 0.3, sides=6))


def plank_sides(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    thick: float,
    up_to: float,
) -> None:
    """A board on either side instead of legs, from the floor to up_to, m: arms above the seat."""
    x = max(frame.front, frame.rear) / 2 + thick / 2
    flare = rng.uniform(-0.03, 0.06)
    low, high = frame.depth / 2 + flare, frame.depth / 2

    def board(bottom: float, top: float) -> Piece:
        loops = []
        for y in (bottom, top):
            half = low + (high - low) * y / up_to
            corners = ((1, -half), (1, half), (-1, half), (-1, -half))
            loops.append([[x + side * thick / 2, y, z] for side, z in corners])
        return loft(np.array(loops), flat=True)

    asm.add("legs", colour, board(0.0, frame.seat_y), both=True)
    if up_to > frame.seat_y:
        asm.add("arms", colour, board(frame.seat_y, up_to), both=True)
