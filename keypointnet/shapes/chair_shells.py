"""One-piece seats and backs: moulded shells, tubs, lounge curves, slings."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.curves import spline
from keypointnet.shapes.primitives import loft, sheet


def shell(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    arms: bool,
    thick: float = 0.012,
) -> None:
    """Moulded seat and back in one sweep (plastic or plywood), with raised sides as arms if wanted.

    The sheet is cut where the seat turns into the back, so that each has its own label.
    """
    half_depth = frame.depth / 2
    top = frame.back(0, 1.0)
    turn = rng.uniform(0.02, 0.05)
    key = np.array(
        [
            [frame.seat_y - rng.uniform(0.015, 0.05), -half_depth - 0.02],
            [frame.seat_y, -half_depth + 0.07],
            [frame.seat_y - turn, half_depth * 0.2],
            [frame.seat_y - turn * 0.6, half_depth * 0.75],
            [frame.seat_y + 0.12, half_depth + 0.02 + 0.12 * np.tan(frame.recline_rad)],
            [float(top[1]), float(top[2])],
        ]
    )
    even = np.linspace(0, 1, 19)
    share = even - 0.1 * np.sin(2 * np.pi * even)  # rows crowd at both rims, which are rounded
    profile = _resampled(spline(key, 60), share)
    u = np.linspace(-1, 1, 13)
    waist = rng.uniform(0.0, 0.16)
    half = np.interp(
        share,
        [0, 0.2, 0.55, 0.72, 1.0],
        [
            frame.front * 0.5,
            frame.front * 0.52,
            frame.rear * 0.5,
            frame.back_bottom * (0.5 - waist / 2),
            frame.back_top * 0.46,
        ],
    )
    bend_front, bend_top = rng.uniform(0.1, 0.18), rng.uniform(0.1, 0.3)
    into_rim = np.maximum(1 - share / bend_front, 1 - (1 - share) / bend_top).clip(0, 1)
    corner = np.sqrt(1 - rng.uniform(0.4, 0.85) * into_rim**2.5)
    dish = rng.uniform(0.02, 0.05) * np.sin(np.pi * np.clip(share, 0.05, 0.95)) ** 0.7
    grid = np.empty((13, 19, 3))
    grid[..., 0] = u[:, None] * (half * corner)[None]
    tangent = np.gradient(profile, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    lift = np.abs(u[:, None]) ** 2.5 * dish[None]
    if arms:
        height = rng.uniform(0.13, 0.2)
        where = np.exp(-(((share - rng.uniform(0.5, 0.58)) / 0.2) ** 2))
        side = np.clip((np.abs(u) - 0.62) / 0.38, 0, 1)[:, None]
        grid[..., 0] += np.sign(u)[:, None] * side * 0.05 * where[None]
        grid[..., 1] = profile[:, 0] + lift * tangent[:, 1] + side**0.8 * (height * where)[None]
        grid[..., 2] = profile[:, 1] - lift * tangent[:, 0]
    else:
        grid[..., 1] = profile[:, 0] + lift * tangent[:, 1]
        grid[..., 2] = profile[:, 1] - lift * tangent[:, 0]
    cut = int(np.argmax(share > 0.58))
    asm.add("seat", colour, sheet(grid[:, : cut + 1], thick))
    if not arms:
        asm.add("back", colour, sheet(grid[:, cut:], thick))
        return
    asm.add("back", colour, sheet(grid[2:-2, cut:], thick))
    for rows in (grid[:3, cut:], grid[-3:, cut:]):
        asm.add("arms", colour, sheet(rows, thick))


def tub(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, thick: float
) -> None:
    """A padded wall bent round the seat: arms that run into the back in one curve."""
    reach = rng.uniform(0.75, 1.0)
    angle = np.linspace(-0.5 * np.pi * reach - 0.35, 0.5 * np.pi * reach + 0.35, 25)  # 0 = rear
    squareness = rng.uniform(0.5, 1.0)
    radius_x, radius_z = frame.rear / 2 + thick / 2, frame.depth / 2 + thick / 2
    x = radius_x * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** squareness
    z = radius_z * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** squareness
    arm_top = frame.seat_y + rng.uniform(0.1, 0.24)
    back_top = frame.seat_y + max(frame.back_height, arm_top - frame.seat_y + 0.02)
    mix = np.clip((np.cos(angle) + rng.uniform(0.0, 0.3)) / 1.1, 0, 1) ** rng.uniform(0.8, 1.6)
    top = arm_top + (back_top - arm_top) * mix
    low = frame.under_y if rng.random() < 0.7 else frame.seat_y + 0.01
    flare = rng.uniform(0.0, 0.08)
    normal = np.stack([np.gradient(z), -np.gradient(x)], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    section = _rounded_section(9)
    loops = np.empty((25, len(section), 3))
    height = (top - low)[:, None]
    loops[..., 1] = low + height / 2 + section[None, :, 1] * (height / 2)
    out = section[None, :, 0] * thick / 2
    lean = flare * (loops[..., 1] - low) / np.maximum(height, 0.05)
    for axis, values, k in ((0, x, 0), (2, z, 1)):
        centre = values[:, None] * (1 + lean)
        loops[..., axis] = centre + normal[:, None, k] * out
    rear = np.abs(angle) < 0.85
    first, last = int(np.argmax(rear)), int(len(rear) - np.argmax(rear[::-1]))
    asm.add("arms", colour, loft(loops[: first + 1]), loft(loops[last - 1 :]))
    asm.add("back", colour, loft(loops[first:last]))


def _resampled(path: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Points of a path at shares 0..1 of its length."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return np.stack(
        [np.interp(share * length[-1], length, path[:, k]) for k in range(path.shape[1])], axis=1
    )


def _rounded_section(n: int) -> np.ndarray:
    """A tall rounded rectangle, (4 n, 2) in -1..1."""
    angle = 2 * np.pi * (np.arange(4 * n) + 0.5) / (4 * n)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.sign(c) * np.abs(c) ** 0.5, np.sign(s) * np.abs(s) ** 0.25], axis=1)


def sling(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, part: str
) -> None:
    """Canvas hung between two bars: part "seat" or "back"."""
    u, t = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 1, 6), indexing="ij")
    sag = rng.uniform(0.015, 0.04) * (1 - u**2)
    if part == "seat":
        half = frame.front / 2
        grid = np.stack([u * half, frame.seat_y - sag, (t - 0.5) * frame.depth], axis=-1)
    else:
        low = rng.uniform(0.3, 0.6)
        grid = frame.back(u, low + (1 - low) * t)
        grid[..., 2] += sag
    asm.add(part, colour, sheet(grid, 0.006))
