"""Backs: panels, ladders, slats, spindles, hoops, splats, pads."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.chair_legs import turning
from keypointnet.shapes.curves import spline
from keypointnet.shapes.materials import shaded
from keypointnet.shapes.primitives import bar, pillow, sheet, transformed, tube

POST_BACKS = ("ladder", "slats", "spindles", "panel", "cross", "splat", "two_rails", "lattice")
UP = (0.0, 1.0, 0.0)


def posts(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    size: float,
    profile: str,
    u: float = 0.94,
) -> None:
    """Two uprights from just under the seat to the top of the back, with finials now and then.

    Args: profile: of the legs below (square or round section). u: how far out they stand.
    """
    v = np.linspace(-frame.thickness / frame.back_height, 1.0, 6)
    path = frame.back(u, v)
    if profile.startswith(("square", "sabre")):
        asm.add(
            "back",
            colour,
            bar(path, size * 0.8 * np.linspace(1, 0.75, 6), size, up=(0, 0, 1)),
            both=True,
        )
        return
    radius = size / 2 * (turning(rng, 6) if profile == "turned" else np.linspace(1, 0.8, 6))
    asm.add("back", colour, tube(path, radius, sides=8), both=True)
    if rng.random() < 0.4:
        top = path[-1] + np.outer([0, 0.01, 0.025, 0.045, 0.055], UP)
        asm.add(
            "back",
            colour,
            tube(top, size / 2 * np.array([0.5, 0.6, 1.1, 0.9, 0.2]), sides=8),
            both=True,
        )


def rail(
    asm: Assembly,
    frame: Frame,
    colour: np.ndarray,
    v: float,
    height: float,
    thick: float,
    u: float = 0.94,
    crown: float = 0.0,
    forward: float = 0.0,
) -> None:
    """A board across the back, following its bow.

    Args: v: of its middle. height, thick: m. u: half its length. crown: rise of its middle, m.
    """
    across = np.linspace(-u, u, 9)
    path = frame.back(across, v, forward)
    path[:, 1] += crown * (1 - (across / u) ** 2)
    asm.add("back", colour, bar(path, height, thick, up=UP))


def post_back(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    kind: str,
    colour: np.ndarray,
    infill: np.ndarray,
    size: float,
    profile: str,
) -> None:
    """Posts with a crest rail and something between them.

    Args:    kind: one of POST_BACKS. colour, infill: (3,). size, profile: see `posts`.
    Raises:  ValueError: unknown kind.
    """
    if kind not in POST_BACKS:
        raise ValueError(f"post_back: unknown kind {kind!r}, expected one of {POST_BACKS}")
    posts(asm, frame, rng, colour, size, profile)
    thick = size * rng.uniform(0.4, 0.7)
    tall = frame.back_height
    crest = rng.uniform(0.04, 0.12)
    crown = rng.choice([0.0, rng.uniform(0.0, 0.04)])
    top = 1 - crest / 2 / tall + rng.choice([0.0, 0.02])
    low = rng.uniform(0.08, 0.4)
    if kind == "ladder":
        count = int(rng.integers(2, 6))
        height = min(crest, 0.7 * tall / count * (1 - low))
        for v in np.linspace(top, low, count):
            rail(asm, frame, shaded(infill, rng, 0.05), float(v), height, thick, 0.94, float(crown))
        return
    rail(asm, frame, colour, top, crest, thick * 1.1, 0.99, float(crown))
    if kind == "two_rails":
        rail(asm, frame, infill, rng.uniform(0.35, 0.65), rng.uniform(0.04, 0.12), thick)
        return
    if kind == "cross":
        path = np.linspace(0, 1, 7)
        for forward in (0.004, -0.004):
            u = (1 - 2 * path) * 0.92 * np.sign(forward)
            asm.add(
                "back",
                infill,
                bar(
                    frame.back(u, low * 0.3 + path * (top - low * 0.3), forward),
                    thick * 0.7,
                    size * 0.7,
                    up=(0, 0, 1),
                ),
            )
        return
    rail(asm, frame, colour, low, rng.uniform(0.03, 0.06), thick)
    between = np.linspace(low, top, 5)
    if kind == "panel":
        width = rng.uniform(0.6, 0.9)
        u, v = np.meshgrid(np.linspace(-width, width, 7), between, indexing="ij")
        asm.add("back", infill, sheet(frame.back(u, v), rng.uniform(0.008, 0.03)))
    elif kind == "splat":
        shape = rng.uniform(0.15, 0.32) * rng.uniform(0.5, 1.2, size=5)
        u = np.linspace(-1, 1, 3)[:, None] * spline(shape[:, None], 9)[:, 0]
        v = np.broadcast_to(np.linspace(low, top, 9), u.shape)
        asm.add("back", infill, sheet(frame.back(u, v), 0.012))
    elif kind == "lattice":
        for u_bar in np.linspace(-0.5, 0.5, 3):
            asm.add("back", infill, bar(frame.back(u_bar, between), 0.012, 0.018, up=(0, 0, 1)))
        for v_bar in np.linspace(low, top, 4)[1:-1]:
            rail(asm, frame, infill, float(v_bar), 0.018, 0.01)
    else:
        count = int(rng.integers(3, 9)) if kind == "slats" else int(rng.integers(4, 10))
        width = frame.back_bottom / count * rng.uniform(0.3, 0.75)
        radius = rng.uniform(0.005, 0.009) * np.array([0.8, 1.0, 1.2, 1.0, 0.8])
        for u_bar in np.linspace(-1, 1, count + 2)[1:-1] * 0.92:
            path = frame.back(u_bar, between)
            piece = (
                bar(path, 0.012, width, up=(0, 0, 1))
                if kind == "slats"
                else tube(path, radius, sides=6)
            )
            asm.add("back", shaded(infill, rng, 0.04), piece)


def hoop_back(asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray) -> None:
    """A bent-wood bow over spindles, an inner bow, or a splat (Windsor, Thonet)."""
    angle = np.linspace(0, np.pi, 15)
    squareness = rng.uniform(0.55, 1.0)
    u = 0.92 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** squareness
    v = np.sin(angle) ** squareness
    radius = rng.uniform(0.009, 0.015)
    path = frame.back(u, np.maximum(v, -0.02))
    asm.add("back", colour, tube(path, radius, sides=8))

    def bow_height(u_at: np.ndarray | float) -> np.ndarray:
        cosine = np.clip(np.abs(np.asarray(u_at)) / 0.92, 0, 1) ** (1 / squareness)
        return np.sqrt(1 - cosine**2) ** squareness

    kind = rng.choice(["spindles", "inner", "splat", "cane"], p=[0.5, 0.2, 0.15, 0.15])
    if kind == "inner":
        shrink = rng.uniform(0.5, 0.75)
        asm.add(
            "back",
            colour,
            tube(frame.back(u * shrink, v * rng.uniform(0.7, 0.88)), radius * 0.8, sides=8),
        )
    elif kind == "cane":
        uu, t = np.meshgrid(np.linspace(-0.88, 0.88, 11), np.linspace(0.2, 1, 5), indexing="ij")
        asm.add("back", colour * 0.5 + 0.4, sheet(frame.back(uu, t * bow_height(uu)), 0.006))
    else:
        count = int(rng.integers(5, 11))
        fan = rng.uniform(0.8, 1.0)
        for u_top in np.linspace(-1, 1, count + 2)[1:-1] * 0.9:
            t = np.linspace(0, 1, 4)
            u_bar = u_top * (fan + (1 - fan) * t)
            asm.add(
                "back",
                colour,
                tube(
                    frame.back(u_bar, t * bow_height(u_top)),
                    radius * 0.5 * np.array([0.8, 1.2, 1.0, 0.7]),
                    sides=6,
                ),
            )
        if kind == "splat":
            uu, t = np.meshgrid([-0.2, 0.2], np.linspace(0, 0.97, 5), indexing="ij")
            asm.add("back", colour, sheet(frame.back(uu, t), 0.012))


def panel_back(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    low: float,
    thick: float,
    padded: bool,
    supports: np.ndarray | None = None,
) -> None:
    """One curved board or pad from v = low to the top, its corners rounded.

    Args: thick: m. padded: swelling like upholstery. supports: (3,) colour of two bars below it.
    """
    u, t = np.meshgrid(np.linspace(-1, 1, 11), np.linspace(-1, 1, 9), indexing="ij")
    k_low, k_top = rng.uniform(0, 0.5), rng.uniform(0, 0.9)
    k = np.where(t > 0, k_top, k_low)
    u_round = u * np.sqrt(1 - k * t**2 / 2 * np.abs(t))
    t_round = t * np.sqrt(1 - k * u**2 / 2 * np.abs(u))
    crown = rng.choice([0.0, rng.uniform(-0.04, 0.1)]) * (1 - u**2) * (t > 0) * t
    v = low + (1 - low) * (t_round + 1) / 2 + crown
    depth = (
        thick * np.clip(1.25 - np.maximum(np.abs(u), np.abs(t)) ** 3, 0.35, 1) if padded else thick
    )
    asm.add("back", colour, sheet(frame.back(u_round, v), depth))
    if supports is not None and low > 0.02:
        u_bar = rng.choice([0.0, rng.uniform(0.4, 0.85)])
        reach = np.linspace(-0.05, low + 0.35 * (1 - low), 5)
        path = frame.back(u_bar, reach, -thick / 2 - 0.008)
        wide = rng.uniform(0.05, 0.08) if u_bar == 0 else rng.uniform(0.018, 0.03)
        asm.add("back", supports, bar(path, 0.016, wide, up=(0, 0, 1)), both=u_bar > 0)


def headrest(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, post: np.ndarray
) -> None:
    """A pad on a stalk above the back."""
    above = 0.09 / frame.back_height
    foot, top = frame.back(0, 0.9, -0.01), frame.back(0, 1 + above)
    asm.add("back", post, bar([foot, top], 0.012, 0.05, up=(0, 0, 1)))
    size = (frame.back_top * rng.uniform(0.5, 0.8), rng.uniform(0.1, 0.16), 0.06)
    asm.add("back", colour, pillow(size, top, 0.03))


def block_back(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    half_x: float,
    z: float,
    thick: float,
    bottom: float,
    top: float,
    cushions: int,
    cushion: np.ndarray,
    wings_from: float | None = None,
) -> None:
    """Upholstered wall behind the seat, with loose cushions leaning on it.

    Args: half_x: half width. z: of its front face at the seat. thick, bottom, top: m.
          wings_from: y from which cheeks on either side reach forward, up to the top.
    """
    lean = frame.recline_rad
    turn = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    pivot = (0.0, bottom, z + thick / 2)
    wall = pillow(
        (2 * half_x, top - bottom, thick),
        (0, (top + bottom) / 2, z + thick / 2),
        rng.uniform(0.02, 0.07),
        rng.choice([0.0, rng.uniform(0.02, 0.12)]),
    )
    asm.add("back", colour, transformed(wall, turn, pivot))
    if cushions:
        tall = (top - frame.seat_y) * rng.uniform(0.75, 1.05)
        wide = 2 * half_x / cushions * 0.98
        for k in range(cushions):
            x = (k + 0.5) * 2 * half_x / cushions - half_x
            pad = pillow((wide, tall, 0.13), (x, frame.seat_y + tall / 2, z - 0.05), 0.055)
            asm.add("back", cushion, transformed(pad, turn, pivot))
    if wings_from is not None:
        deep, wide = thick * 0.5 + rng.uniform(0.12, 0.24), rng.uniform(0.04, 0.09)
        tall = top - wings_from - rng.uniform(0.0, 0.05)
        cheek = pillow(
            (wide, tall, deep),
            (half_x - wide / 2, wings_from + tall / 2, z + thick / 2 - deep / 2),
            0.03,
        )
        asm.add("back", colour, transformed(cheek, turn, pivot), both=True)
