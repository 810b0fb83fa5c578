"""Who stands where in a crowd, and the camera that sees them; how hard a picture is to be.

Convention: metres; the ground is the plane y = 0, +Y is up. A picture's level is that of its most
overlapped person's MaxIoU: easy below 0.5, moderate below 0.75, hard from there on (OCHuman's).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from keypointnet.people.contact import Surface, is_clear
from keypointnet.views.occlusion import MIN_SEEN, max_ious
from keypointnet.views.scene_layout import SceneLayout, fit_camera

LEVELS: dict[str, tuple[float, float]] = {
    "easy": (0.0, 0.5),
    "moderate": (0.5, 0.75),
    "hard": (0.75, 1.01),
}
"""Level -> MaxIoU, low included, high not."""

TOUCH_M = 0.015
"""So deep may a body press into another one; two that hug, twice and a half as deep."""

_STEP_M = 0.05
_STEPS = 80
_CELLS = 64  # along a picture's longer side
# Level -> how far off the line of sight the next one stands, degrees, and the largest gap, metres.
_SPREAD = {"easy": (90.0, 0.9), "moderate": (40.0, 0.3), "hard": (12.0, 0.05)}


@dataclass(frozen=True)
class CrowdRange:
    """What crowds may be drawn; (low, high) is uniform, of fov_deg its logarithm.

    Attributes:
        people: how many, both included.
        moderate, hard: share of the pictures at these levels; the rest are easy.
        furniture: share of pictures in which something stands before somebody.
        elevation_deg: of the camera, above the ground.
        fov_deg: horizontal: 10 is a long tele lens, 75 a phone at arm's length.
        fill: the farthest point of anybody from the picture's middle, in halves of the picture.

    Raises:  ValueError: an impossible range; the message names it.
    """

    people: tuple[int, int] = (1, 8)
    moderate: float = 0.3
    hard: float = 0.2
    furniture: float = 0.35
    elevation_deg: tuple[float, float] = (-1.0, 28.0)
    fov_deg: tuple[float, float] = (12.0, 75.0)
    fill: tuple[float, float] = (0.8, 1.3)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("people", 1, 8),
            ("elevation_deg", -5.0, 80.0),
            ("fov_deg", 1.0, 120.0),
            ("fill", 0.1, 4.0),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"CrowdRange: {name} must be (low, high) within {least:g} to {most:g}, "
                    f"low <= high; got ({low}, {high})"
                )
        for name in ("moderate", "hard", "furniture"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"CrowdRange: {name} must be 0 to 1, got {getattr(self, name)}")
        if self.moderate + self.hard > 1:
            raise ValueError(
                f"CrowdRange: moderate and hard must add up to at most 1, got {self.moderate} and "
                f"{self.hard}"
            )
        if self.moderate + self.hard > 0 and self.people[1] < 2:
            raise ValueError(
                "CrowdRange: one person overlaps nobody: ask for moderate 0 and hard 0, or for "
                "more people"
            )


def level_of(max_iou: float) -> str:
    """The level of a MaxIoU in 0..1."""
    return next(name for name, (low, high) in LEVELS.items() if low <= max_iou < high)


def draw_level(rng: np.random.Generator, crowds: CrowdRange) -> str:
    """Which level a picture is to have."""
    value = rng.random()
    if value < crowds.hard:
        return "hard"
    return "moderate" if value < crowds.hard + crowds.moderate else "easy"


def placement(yaw: float, x: float = 0.0, z: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """(4, 4) a turn about +Y, radians, and a place on the ground."""
    c, s = math.cos(yaw), math.sin(yaw)
    T = np.eye(4)
    T[:3, :3] = scale * np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    T[[0, 2], 3] = x, z
    return T


def moved_clear(
    surface: Surface,
    others: Sequence[Surface],
    direction: np.ndarray,
    touch_m: float = TOUCH_M,
    start: np.ndarray | None = None,
) -> np.ndarray | None:
    """How far a body goes along a direction until it reaches into nobody.

    Args:    direction: (2,) unit, (x, z).  start: (3,) m, by which it is moved first.
    Returns: (3,) m, start included, or None if it is not clear after some metres.
    """
    step = _STEP_M * np.array([direction[0], 0.0, direction[1]])
    moved = np.zeros(3) if start is None else start
    others = list(others)
    for _ in range(_STEPS):
        for i, other in enumerate(others):
            if not is_clear(surface, other, touch_m, moved):
                others.insert(0, others.pop(i))  # likely to be in the way of the next step, too
                break
        else:
            return moved
        moved = moved + step
    return None


def place_people(
    surfaces: Sequence[Surface],
    hugging: Sequence[bool],
    sight: np.ndarray,
    level: str,
    rng: np.random.Generator,
    settled: Sequence[np.ndarray] = (),
) -> list[np.ndarray]:
    """Everybody's place: each beside one who was put before, nobody inside another.

    Args:    surfaces: of M people, about the origin.  hugging: who hugs: one after another they
             are put face to face.  sight: (2,) unit, (x, z) away from the camera.
             settled: places of the first ones, who stay there.
    Returns: T_obj2world for each; fewer than M where somebody finds no place.
    """
    spread_deg, gap_m = _SPREAD[level]
    places: list[np.ndarray] = []
    standing: list[Surface] = []
    partner: int | None = None
    for T, surface in zip(settled, surfaces, strict=False):
        places.append(T)
        standing.append(surface.placed(T))
    for m, surface in enumerate(surfaces):
        if m < len(settled):
            continue
        yaw = rng.uniform(0, 2 * math.pi)
        touch = TOUCH_M
        if not places:
            T = placement(yaw)
        elif hugging[m] and partner is not None:
            ahead = -places[partner][[0, 2], 2]
            T = placement(math.atan2(ahead[0], ahead[1]), *places[partner][[0, 2], 3])
            direction, gap, touch = ahead, 0.0, 2.5 * TOUCH_M
        else:
            angle = math.radians(rng.uniform(-spread_deg, spread_deg))
            c, s = math.cos(angle), math.sin(angle)
            direction = np.array([[c, -s], [s, c]]) @ sight * rng.choice([-1.0, 1.0])
            # the crowd's first two make the level; the others join anybody
            beside = 0 if m == 1 else int(rng.integers(len(places)))
            if level == "hard" and m == 1:  # behind the first, and seen on all sides of that one
                direction *= np.sign(direction @ sight)
                yaw = _as_wide(surface, 1.1 * _width(standing[0].points, sight), sight, rng)
            T = placement(yaw, *places[beside][[0, 2], 3])
            gap = rng.uniform(0, gap_m)
        partner = m if hugging[m] and partner is None else None
        if places:
            there = surface.placed(T)
            # nothing is nearer than the thickness of a body
            start = 0.1 * np.array([direction[0], 0.0, direction[1]])
            clear = moved_clear(there, standing, direction, touch, start)
            if clear is None:
                continue
            beyond = clear + gap * np.array([direction[0], 0.0, direction[1]])
            free = all(is_clear(there, other, TOUCH_M, beyond) for other in standing)
            T[:3, 3] += beyond if free else clear
        places.append(T)
        standing.append(surface.placed(T))
    return places


def _width(points: np.ndarray, sight: np.ndarray) -> float:
    """Across the line of sight, metres."""
    return float(np.ptp(points[:, [0, 2]] @ [-sight[1], sight[0]]))


def _as_wide(surface: Surface, width: float, sight: np.ndarray, rng: np.random.Generator) -> float:
    """Of some yaws the one at which a body is nearest to so wide across the line of sight."""
    yaws = rng.uniform(0, 2 * math.pi, 12)
    few = Surface(surface.points[::5], surface.normals[::5])
    unlike = [abs(_width(few.placed(placement(yaw)).points, sight) - width) for yaw in yaws]
    return float(yaws[int(np.argmin(unlike))])


def guessed_max_iou(surfaces: Sequence[Surface], T_world2cam: np.ndarray, K_px: np.ndarray,
                    size: tuple[int, int]) -> float:  # fmt: skip
    """The largest IoU of the boxes of what is seen of some people, near enough and at once.

    Each one's points, the nearest first, cover cells of a grid that those behind are not seen in.
    """
    h, w = size
    cell = max(h, w) / _CELLS
    rows, columns = int(h / cell) + 1, int(w / cell) + 1
    taken = np.zeros((rows, columns), np.uint8)
    seen = []
    for surface in sorted(surfaces, key=lambda s: float((s.points @ T_world2cam[2, :3]).mean())):
        xyz = surface.points @ T_world2cam[:3, :3].T + T_world2cam[:3, 3]
        px = xyz[:, :2] / xyz[:, 2:] * K_px[[0, 1], [0, 1]] + K_px[:2, 2]
        px = px[((px >= 0) & (px < [w, h])).all(axis=1)]
        x, y = (px / cell).astype(int).T
        free = taken[y, x] == 0
        if len(px) and free.mean() > MIN_SEEN:
            low, high = px[free].min(axis=0), px[free].max(axis=0)
            seen.append([*low, *(high - low)])
        own = np.zeros_like(taken)
        own[y, x] = 1
        taken[cv2.morphologyEx(own, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0] = 1
    return max(max_ious(seen), default=0.0)


def draw_view(rng: np.random.Generator, crowds: CrowdRange) -> tuple[float, float, float]:
    """Field of view and elevation, degrees, and fill of a camera."""
    fov_deg = math.exp(rng.uniform(*np.log(crowds.fov_deg)))
    low, high = crowds.elevation_deg
    # most pictures are taken by somebody who stands
    return fov_deg, low + (high - low) * rng.beta(1.2, 2.5), rng.uniform(*crowds.fill)


def look_at_crowd(
    points_world: np.ndarray,
    sight: np.ndarray,
    view: tuple[float, float, float],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """A camera on everybody, above the ground.

    Args:    points_world: (n, 3) on all of them.  sight: as in place_people.  view: of draw_view.
    Returns: T_world2cam (4, 4) and K_px (3, 3).
    """
    fov_deg, elevation_deg, fill = view
    while True:
        T_world2cam, K_px = fit_camera(points_world, sight, elevation_deg, fov_deg, fill, size)
        eye_y = -(T_world2cam[:3, :3].T @ T_world2cam[:3, 3])[1]
        if eye_y > 0.15 or elevation_deg > 10:
            return T_world2cam, K_px
        elevation_deg += 2.0


def joint_codes(
    points_obj: np.ndarray,
    layout: SceneLayout,
    nearest: np.ndarray,
    depth: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where people's joints are in a picture, and OCHuman's codes of how they are seen.

    2: seen, or hidden by nothing but the person's own body; 1: hidden by others or by things;
    0: outside the picture. A joint lies inside its body, so it counts as seen where one of the
    four pixels whose centres surround it shows the person, or nothing nearer than the joint.
    Args:    points_obj: (M, K, 3).  nearest, depth: as scene_rendering.RenderedScene has them.
    Returns: (M, K, 2) px, pixel centres at +0.5, and (M, K) uint8.
    """
    h, w = nearest.shape
    codes = np.zeros(points_obj.shape[:2], np.uint8)
    points_px = np.empty((*points_obj.shape[:2], 2))
    for m, T_obj2world in enumerate(layout.T_obj2world[: len(points_obj)]):
        T = layout.T_world2cam @ T_obj2world
        xyz = points_obj[m] @ T[:3, :3].T + T[:3, 3]
        K_px = layout.K_px
        points_px[m] = xyz[:, :2] / xyz[:, 2:] * K_px[[0, 1], [0, 1]] + K_px[:2, 2]
        for k, (x, y) in enumerate(points_px[m]):
            if not (0 <= x < w and 0 <= y < h and xyz[k, 2] > 0):
                continue
            left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
            window = np.s_[max(top, 0) : top + 2, max(left, 0) : left + 2]
            own = nearest[window] == m
            codes[m, k] = 2 if (own | (depth[window] > xyz[k, 2])).any() else 1
    return points_px, codes
