"""Bases that are no four legs: sleds, cantilevers, stars, pedestals, wire, feet and plinths."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.curves import filleted, line, rounded_outline
from keypointnet.shapes.primitives import bar, box, pillow, slab, tube


def sled(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, radius: float
) -> None:
    """Runners: on each side a bent tube down, along the floor and up again, with cross bars."""
    front, rear = frame.corner(False, 2 * radius), frame.corner(True, 2 * radius)
    front_foot, rear_foot = (
        frame.foot(r, 2 * radius) + np.array([0, radius, 0]) for r in (False, True)
    )
    x = (front[0] + rear[0]) / 2 + frame.splay_side
    front_foot[0] = rear_foot[0] = x
    path = filleted([front, front_foot, rear_foot, rear], 0.06)
    asm.add("legs", colour, tube(path, radius, sides=8), both=True)
    flip = np.array([-1.0, 1.0, 1.0])
    for top in (front, rear):
        asm.add("legs", colour, tube(line(top, top * flip), radius, sides=8))
    if rng.random() < 0.5:
        end = rear_foot if rng.random() < 0.5 else front_foot
        asm.add("legs", colour, tube(line(end, end * flip), radius, sides=8))


def cantilever(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    radius: float,
    flat: bool,
) -> None:
    """Two front uprights and a floor loop: nothing holds the seat up at the rear."""
    y = frame.under_y - radius
    x_seat = min(frame.front, frame.rear) / 2 - radius
    x = max(frame.front, frame.rear) / 2 + rng.uniform(-0.01, 0.03)
    front, rear = (
        -frame.depth / 2 - rng.uniform(0.0, 0.05),
        frame.depth / 2 + rng.uniform(-0.05, 0.04),
    )
    corners = [
        [x_seat, y, frame.depth / 2 - 0.02],
        [x, y, front],
        [x, radius, front + rng.uniform(0, 0.05)],
        [x, radius, rear],
        [0, radius, rear],
    ]
    path = filleted(corners, 0.09, n=5)
    if flat:
        asm.add("legs", colour, bar(path, 2.6 * radius, radius, up=(1, 0.01, 0)), both=True)
    else:
        asm.add("legs", colour, tube(path, radius, sides=8), both=True)


def star(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, wheel: np.ndarray
) -> None:
    """Swivel base: gas column and four or five arms, on casters or glides."""
    asm.on_column = True
    arms = 5 if rng.random() < 0.8 else 4
    reach = rng.uniform(0.26, 0.34) * max(1.0, frame.front / 0.5)
    casters = rng.random() < 0.8
    hub_y = rng.uniform(0.09, 0.14) if casters else rng.uniform(0.05, 0.1)
    end_y = 0.065 if casters else 0.025
    slim = rng.uniform(0.7, 1.3)
    # An arm lies in the mirror plane, towards the front or the rear.
    turn = np.pi / 2 * rng.choice([-1, 1]) if arms == 5 else np.pi / 4
    for k in range(arms):
        angle = turn + 2 * np.pi * k / arms
        out = np.array([np.cos(angle), 0.0, np.sin(angle)])
        end = out * reach + [0, end_y, 0]
        path = line(out * 0.02 + [0, hub_y, 0], end, 3)
        asm.add(
            "legs",
            colour,
            bar(
                path,
                np.array([0.045, 0.035, 0.025]) * slim,
                np.array([0.06, 0.045, 0.035]) * slim,
                up=(0, 1, 0),
            ),
        )
        if casters:
            across = np.array([-out[2], 0.0, out[0]])
            middle = out * (reach - 0.01) + [0, 0.03, 0]
            asm.add(
                "legs",
                wheel,
                tube(line(middle - across * 0.022, middle + across * 0.022), 0.03, sides=10),
            )
        else:
            asm.add("legs", wheel, tube(line(end * [1, 0, 1], end), 0.018, sides=8))
    top = frame.under_y
    sleeve = hub_y + (top - hub_y) * rng.uniform(0.3, 0.6)
    column = 0.026 * rng.uniform(0.8, 1.2)
    asm.add("legs", wheel, tube([[0, hub_y - 0.03, 0], [0, sleeve, 0]], column * 1.35, sides=12))
    asm.add("legs", colour, tube([[0, sleeve, 0], [0, top, 0]], column, sides=12))
    plate = rng.uniform(0.16, 0.26)
    asm.add("legs", wheel, box((plate, 0.035, plate * 1.2), (0, top - 0.0175, 0)))


def pedestal(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    foot_ring: bool = False,
) -> None:
    """One column on a disc, or one tulip-shaped trumpet; foot_ring: a rest for bar stools."""
    asm.on_column = True
    top, reach = frame.under_y, rng.uniform(0.19, 0.27)
    if rng.random() < 0.4:  # trumpet
        heights = np.array([0, 0.012, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0]) * top
        radii = np.array([reach, reach, reach * 0.55, 0.05, 0.032, 0.045, 0.09, 0.12])
        path = np.stack([0 * heights, heights, 0 * heights], axis=1)
        asm.add("legs", colour, tube(path, radii, sides=20))
    else:
        disc = (
            rounded_outline(2 * reach, 2 * reach, 2 * reach, 1.0)
            if rng.random() < 0.8
            else rounded_outline(1.7 * reach, 1.7 * reach, 1.7 * reach, 0.1)
        )
        asm.add("legs", colour, slab(disc, 0.0, rng.uniform(0.012, 0.03), 0.006))
        asm.add(
            "legs", colour, tube([[0, 0.01, 0], [0, top, 0]], rng.uniform(0.02, 0.04), sides=14)
        )
    if foot_ring:
        y, radius = top * rng.uniform(0.3, 0.45), rng.uniform(0.13, 0.18)
        angle = 2 * np.pi * (np.arange(16) + 0.5) / 16
        ring = np.stack([radius * np.cos(angle), np.full(16, y), radius * np.sin(angle)], axis=1)
        asm.add("legs", colour, tube(ring, 0.011, sides=6, ring=True))
        asm.add("legs", colour, tube([[-radius, y, 0], [radius, y, 0]], 0.009, sides=6))


def wire_base(asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray) -> None:
    """Thin metal rods from a small mount to splayed feet, braced: the Eiffel base."""
    mount, radius = rng.uniform(0.07, 0.13), rng.uniform(0.006, 0.01)
    y = frame.under_y
    for rear in (False, True):
        foot = frame.foot(rear, 0.03)
        sign = 1 if rear else -1
        asm.add("legs", colour, tube([[mount, y, sign * mount], foot], radius, sides=6), both=True)
        asm.add(
            "legs",
            colour,
            tube(
                [[mount, y, -sign * mount], foot * [1, 0, 1] * 0.55 + [0, 0.45 * y, 0]],
                radius,
                sides=6,
            ),
            both=True,
        )
        asm.add(
            "legs",
            colour,
            tube(
                [foot * [0.55, 0, 0.55] + [0, 0.45 * y, 0], [0, 0.6 * y, sign * mount * 0.6]],
                radius,
                sides=6,
            ),
            both=True,
        )
    asm.add("legs", colour, box((2.4 * mount, 0.02, 2.4 * mount), (0, y - 0.01, 0)))


def block_feet(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    half_x: float,
    half_z: float,
) -> None:
    """Short feet under an upholstered body whose underside is at frame.under_y."""
    y, inset = frame.under_y, rng.uniform(0.02, 0.06)
    kind = rng.choice(["cone", "block", "bun"])
    for sign in (-1, 1):
        top = np.array([half_x - inset, y, sign * (half_z - inset)])
        foot = top * [1, 0, 1] + np.array([0.02, 0, sign * 0.02]) * (kind == "cone")
        if kind == "cone":
            piece = tube([top, foot], [0.028, 0.014], sides=8)
        elif kind == "block":
            piece = bar([top, foot], 0.06, 0.06, up=(0, 0, 1))
        else:
            piece = tube(line(top, foot, 4), [0.025, 0.038, 0.036, 0.024], sides=10)
        asm.add("legs", colour, piece, both=True)


def plinth(asm: Assembly, frame: Frame, colour: np.ndarray, half_x: float, half_z: float) -> None:
    """A closed base down to the floor, a little inset."""
    size = (2 * half_x - 0.05, frame.under_y, 2 * half_z - 0.05)
    asm.add("legs", colour, pillow(size, (0, frame.under_y / 2, 0), 0.01))
