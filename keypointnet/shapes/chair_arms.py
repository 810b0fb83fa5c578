"""Arms: rests on posts, bent tubes, office T arms, upholstered blocks, wings."""

from __future__ import annotations

import numpy as np

from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_frame import Frame
from keypointnet.shapes.chair_legs import turning
from keypointnet.shapes.curves import arc_xz, filleted, line, spline
from keypointnet.shapes.primitives import Piece, bar, pillow, tube

UP = (0.0, 1.0, 0.0)


def post_arms(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    rest: np.ndarray,
    size: float,
    profile: str,
    from_floor: bool = False,
) -> None:
    """Rests from the back to the front, each on a post.

    Args: colour, rest: (3,) of post and rest. profile: of the legs. from_floor: the post is the
          front leg going on upwards.
    """
    height = rng.uniform(0.17, 0.26)
    share = float(np.clip(height / frame.back_height, 0.1, 0.9))
    behind = frame.back(0.97, share)
    front_corner = frame.corner(False, size / 2)
    setback = 0.0 if from_floor else rng.uniform(0.0, 0.12)
    foot = front_corner + np.array([0.0, frame.thickness * 0.5, setback])
    out = rng.uniform(0.0, 0.04)
    top = foot + np.array([out, height, rng.uniform(-0.01, 0.03)])
    top[1] = behind[1] - rng.uniform(-0.01, 0.03)
    bend = (top + behind) / 2 + np.array([rng.uniform(0, 0.03), rng.uniform(-0.01, 0.02), 0])
    overhang = top + (top - behind) / np.linalg.norm(top - behind) * rng.uniform(0.01, 0.06)
    path = spline([behind, bend, top, overhang], 9)
    wide = rng.uniform(1.0, 2.2) * size
    if profile in ("round", "round_taper", "turned") and rng.random() < 0.6:
        asm.add("arms", rest, tube(path, size * 0.5, sides=8), both=True)
    else:
        asm.add(
            "arms", rest, bar(path, size * 0.6, wide * np.linspace(0.6, 1, 9), up=UP), both=True
        )
    post = line(foot, top, 6)
    piece = (
        tube(post, size / 2 * turning(rng, 6), sides=8)
        if profile == "turned"
        else tube(post, size * 0.4, sides=8)
        if profile.startswith("round")
        else bar(post, size * 0.8, size * 0.8, up=(0, 0, 1))
    )
    asm.add("arms", colour, piece, both=True)
    if rng.random() < 0.15:
        for t in (0.25, 0.5, 0.75):
            high = path[0] + (path[6] - path[0]) * t
            asm.add(
                "arms",
                colour,
                tube([high * [1, 0, 1] + [0, frame.seat_y - 0.01, 0], high], size * 0.2, sides=6),
                both=True,
            )


def loop_arms(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    rest: np.ndarray,
    radius: float,
) -> None:
    """A bent tube on each side: up from the seat's side, back along, and down or into the back."""
    x = max(frame.front, frame.rear) / 2 + radius + rng.uniform(0.0, 0.03)
    top = frame.seat_y + rng.uniform(0.18, 0.25)
    front = -frame.depth / 2 + rng.uniform(0.02, 0.12)
    share = (top - frame.seat_y) / frame.back_height
    behind = frame.back(1.0, share)
    y = frame.under_y - radius
    if rng.random() < 0.5:
        corners = [[x, y, front], [x, top, front], [x, top, behind[2] - 0.02], behind]
    else:
        corners = [
            [x, y, front],
            [x, top, front],
            [x, top, frame.depth / 2 - 0.06],
            [x, y, frame.depth / 2 - 0.06],
        ]
    asm.add("arms", colour, tube(filleted(corners, 0.07), radius, sides=8), both=True)
    inner = frame.corner(False, 0.06)
    asm.add(
        "arms",
        colour,
        tube([[inner[0] - 0.05, y, front], [x, y, front]], radius, sides=8),
        both=True,
    )
    if rng.random() < 0.7:
        start, end = (
            np.array([x, top + radius, front + 0.03]),
            np.array([x, top + radius, frame.depth / 2 - 0.09]),
        )
        asm.add(
            "arms", rest, bar(line(start, end), 0.02, rng.uniform(0.035, 0.06), up=UP), both=True
        )


def office_arms(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, rest: np.ndarray
) -> None:
    """T or L shaped arms bolted under the seat, with a pad on top."""
    x = max(frame.front, frame.rear) / 2 + 0.03
    top = frame.seat_y + rng.uniform(0.18, 0.25)
    z = rng.uniform(-0.02, 0.06)
    y = frame.under_y + 0.005
    corners = [[x - 0.14, y, z], [x, y, z], [x, top, z + rng.uniform(-0.04, 0.02)]]
    asm.add(
        "arms",
        colour,
        bar(filleted(corners, 0.05), rng.uniform(0.04, 0.07), 0.018, up=(0, 0, 1)),
        both=True,
    )
    size = (rng.uniform(0.06, 0.1), 0.03, rng.uniform(0.22, 0.3))
    asm.add("arms", rest, pillow(size, (x, top + 0.01, z - 0.02), 0.014), both=True)


def block_arms(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    x_inner: float,
    thick: float,
    z_range: tuple[float, float],
    top: float,
) -> str:
    """Upholstered side walls beside the seat cushion; returns their style's name."""
    low = frame.under_y
    z, deep = (z_range[0] + z_range[1]) / 2, z_range[1] - z_range[0]
    x = x_inner + thick / 2
    style = str(rng.choice(["block", "roll", "slim", "slope"]))
    if style == "roll":
        radius = thick * rng.uniform(0.55, 0.7)
        asm.add(
            "arms",
            colour,
            pillow((thick, top - radius - low, deep), (x, (top - radius + low) / 2, z), 0.02),
            tube(
                [[x + 0.01, top - radius, z - deep / 2], [x + 0.01, top - radius, z + deep / 2]],
                radius,
                sides=14,
            ),
            both=True,
        )
    elif style == "slope":
        drop = rng.uniform(0.06, 0.14)
        path = [[x, (top - drop + low) / 2, z - deep / 2], [x, (top + low) / 2, z + deep / 2]]
        asm.add(
            "arms",
            colour,
            bar(path, np.array([top - drop - low, top - low]), thick, up=UP),
            both=True,
        )
    else:
        radius = 0.015 if style == "slim" else rng.uniform(0.02, 0.08)
        asm.add(
            "arms",
            colour,
            pillow((thick, top - low, deep), (x, (top + low) / 2, z), radius, rng.uniform(0, 0.02)),
            both=True,
        )
    return style


def bow_arms(
    asm: Assembly, frame: Frame, rng: np.random.Generator, colour: np.ndarray, size: float
) -> None:
    """One horizontal bow round the seat at the height of the arms, on spindles."""
    y = frame.seat_y + rng.uniform(0.18, 0.26)
    radius_x, radius_z = frame.rear / 2 + rng.uniform(0.0, 0.05), frame.depth / 2 + 0.01
    past = rng.uniform(0.25, 0.7)  # how far the arms reach forward of the seat's middle
    angle = np.linspace(-past, np.pi + past, 25)
    path = arc_xz((0, y, 0), radius_x, radius_z * 1.02, angle[0], angle[-1], 25)
    path[:, 1] += rng.uniform(0.0, 0.07) * np.clip(np.sin(angle), 0, 1) ** 2
    wide = size * rng.uniform(0.9, 1.8)
    flat = rng.random() < 0.6

    def stretch(first: int, last: int) -> Piece:
        piece = path[first:last]
        return bar(piece, size * 0.6, wide, up=UP) if flat else tube(piece, size * 0.45, sides=8)

    rear = np.flatnonzero(np.sin(angle) > 0.55)
    first, last = int(rear[0]), int(rear[-1])
    asm.add("arms", colour, stretch(0, first + 1), stretch(last, 25))
    asm.add("back", colour, stretch(first, last + 1))
    count = int(rng.integers(3, 9))
    thin = size * rng.uniform(0.16, 0.3)
    for k in np.unique(np.linspace(2, 12, count).astype(int)):
        top = path[k]
        foot = top * [0.84, 0, 0.84] + [0, frame.seat_y - 0.01, 0]
        piece = tube(line(foot, top, 4), thin * np.array([0.8, 1.3, 1.0, 0.8]), sides=6)
        asm.add("back" if first <= k <= last else "arms", colour, piece, both=k != 12)


def frame_arms(
    asm: Assembly,
    frame: Frame,
    rng: np.random.Generator,
    colour: np.ndarray,
    size: float,
    half_x: float,
) -> None:
    """Open side frames of a lounge chair: legs, rest and lower rail in one loop of bars."""
    z_front, z_rear = -frame.depth / 2 + 0.02, frame.depth / 2 + rng.uniform(-0.02, 0.06)
    top_front = frame.seat_y + rng.uniform(0.15, 0.24)
    top_rear = top_front - rng.uniform(0.0, 0.06)
    x = half_x + size / 2
    lean = rng.uniform(0, 0.06)
    front, rear = np.array([x, top_front, z_front]), np.array([x, top_rear, z_rear])
    feet = [np.array([x, 0, z_front - lean]), np.array([x, 0, z_rear + lean])]
    section = (size * 0.9, size)
    share = (frame.under_y - 0.02) / top_front
    low = [foot + (top - foot) * share for top, foot in zip((front, rear), feet, strict=True)]
    middle = size * (1 - 0.4 * (1 - share))  # legs taper from the arms to the floor
    for top, seam, foot in zip((front, rear), low, feet, strict=True):
        lower = bar([seam, foot], np.array([middle, 0.6 * size]), size * 0.8, up=(0, 0, 1))
        upper = bar([top, seam], np.array([size, middle]), size * 0.8, up=(0, 0, 1))
        asm.add("legs", colour, lower, both=True)
        asm.add("arms", colour, upper, both=True)
    overhang = (front - rear) / np.linalg.norm(front - rear) * rng.uniform(0.0, 0.06)
    asm.add(
        "arms",
        colour,
        bar(
            spline([rear - overhang, (front + rear) / 2 + [0.01, 0.01, 0], front + overhang], 7),
            size * 0.6,
            size * rng.uniform(1.0, 2.4),
            up=UP,
        ),
        both=True,
    )
    asm.add("seat", colour, bar(low, *section, up=UP), both=True)
    for end in low:
        asm.add("seat", colour, bar([end, end * [-1, 1, 1]], 0.05, 0.022, up=UP))
