"""Seats: boards, saddles, cushions, slats, woven seats."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.curves import line
from keypointnet.shapes.primitives import Piece, bar, pillow, sheet, slab

SEATS = ("board", "saddle", "cushioned", "padded", "slats", "woven", "bent")


def seat(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    kind: str,
    colour: np.ndarray,
    cushion: np.ndarray,
) -> None:
    """The seat, its top at frame.seat_y (cushions rise above it).

    Args:    kind: one of SEATS. colour, cushion: (3,) of the board and of what lies on it.
    Raises:  ValueError: unknown kind.
    """
    y, under = frame.seat_y, frame.under_y
    if kind == "board":
        asm.add("seat", colour, slab(frame.outline, under, y, rng.uniform(0, 0.012)))
    elif kind == "saddle":
        asm.add("seat", colour, _domed(frame.outline, under, y, -0.4 * frame.thickness))
    elif kind == "cushioned":
        asm.add("seat", colour, slab(frame.outline, under, y, 0.004))
        pad = rng.uniform(0.025, 0.06)
        outline = frame.outline * rng.uniform(0.9, 1.0)
        asm.add("seat", cushion, _domed(outline, y, y + pad, rng.uniform(0, 0.02)))
    elif kind == "padded":
        asm.add("seat", cushion, _domed(frame.outline, under, y, rng.uniform(0, 0.025)))
    elif kind == "slats":
        _slats(asm, frame, rng, colour)
    elif kind == "woven" and frame.roundness > 0.25:
        asm.add("seat", colour, slab(frame.outline, under, y, 0.01))
        asm.add("seat", cushion, _domed(frame.outline * 0.88, y - 0.005, y + 0.004, -0.006))
    elif kind == "woven":
        asm.add("seat", cushion, _domed(frame.outline * 0.93, under, y + 0.004, -0.006))
        _rim(asm, frame, colour)
    elif kind == "bent":
        _bent(asm, frame, rng, colour)
    else:
        raise ValueError(f"seat: unknown kind {kind!r}, expected one of {SEATS}")


def _domed(outline: np.ndarray, bottom: float, top: float, dome: float) -> Piece:
    return slab(outline, bottom, top, 0.45 * (top - bottom), dome)


def _slats(asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray) -> None:
    count = int(rng.integers(4, 9))
    pitch = frame.depth / count
    thick, y = min(frame.thickness, 0.022), frame.seat_y
    shares = (np.arange(count) + 0.5) / count
    for share in shares:
        z = (share - 0.5) * frame.depth
        half = (frame.front + (frame.rear - frame.front) * share) / 2
        dip = 0.012 * np.sin(np.pi * share)
        asm.add(
            "seat",
            colour,
            bar(
                [[-half, y - thick / 2 - dip, z], [half, y - thick / 2 - dip, z]],
                thick,
                pitch * 0.78,
                up=(0, 1, 0),
            ),
        )
    asm.add(
        "seat",
        colour,
        bar(
            [
                [frame.front / 2 - 0.04, y - 0.035, -frame.depth / 2 + 0.01],
                [frame.rear / 2 - 0.04, y - 0.035, frame.depth / 2 - 0.01],
            ],
            0.03,
            0.022,
            up=(0, 1, 0),
        ),
        both=True,
    )


def _rim(asm: Assembly, frame: Frame, colour: np.ndarray) -> None:
    corners = [
        np.array([s * w / 2, (frame.seat_y + frame.under_y) / 2, z])
        for w, z, s in (
            (frame.front, -frame.depth / 2, 1),
            (frame.rear, frame.depth / 2, 1),
            (frame.rear, frame.depth / 2, -1),
            (frame.front, -frame.depth / 2, -1),
        )
    ]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        asm.add("seat", colour, bar(line(start, end), frame.thickness, 0.03, up=(0, 1, 0)))


def _bent(asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray) -> None:
    """Bent plywood: waterfall front edge, slightly dished."""
    u, t = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 1, 10), indexing="ij")
    drop = rng.uniform(0.02, 0.06)
    half = (frame.front + (frame.rear - frame.front) * t) / 2
    y = frame.seat_y - 0.012 - drop * np.clip(1 - t / 0.3, 0, 1) ** 2 - 0.012 * (1 - u**2) * t
    corner = 1 - 0.08 * np.abs(u) ** 4
    grid = np.stack([u * half, y, (t - 0.5) * frame.depth * corner], axis=-1)
    asm.add("seat", colour, sheet(grid, 0.014))


def block_cushion(
    asm: Assembly,
    size: tuple[float, float, float],
    centre: tuple[float, float, float],
    rng: np.random.Generator,
    colour: np.ndarray,
    places: int = 1,
) -> None:
    """Thick seat cushions, as many as there are places, side by side.

    Args: size: of all of them together, m. centre: of the row.
    """
    width, radius, dome = size[0] / places, rng.uniform(0.02, 0.05), rng.uniform(0, 0.03)
    for k in range(places):
        x = centre[0] - size[0] / 2 + (k + 0.5) * width
        one = pillow((0.99 * width, *size[1:]), (x, *centre[1:]), radius, dome)
        asm.add("seat", colour, one)
