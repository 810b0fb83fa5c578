"""Where the objects of a scene stand, and the camera that sees them behind one another.

Convention: the ground is the plane y = 0, +Y is up; cameras and pixels as in cameras.py. A
footprint is the rectangle on the ground (x, z) under a model's bounding box. Footprints do not
meet, so objects touch at most; they overlap in the picture only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keypointnet.views.cameras import intrinsics, look_at

_STEP = 0.1  # an object moves away in such steps until it meets no other, world units
_CENTRINGS = 3  # times that the camera turns to the middle of what it sees and comes nearer
_NEAR = 0.3  # the camera keeps this distance from the nearest box, world units


@dataclass(frozen=True)
class SceneRange:
    """What scenes may be drawn; everything (low, high) is uniform.

    Attributes:
        objects: how many, both included.
        scale: of each model, whose longest side is 2 at scale 1.
        gap: between an object and the one it is put beside, world units.
        spread_deg: the next object stands before or behind another one, up to this angle off the
            line of sight: 0 hides most, 90 puts them anywhere.
        elevation_deg: of the camera, degrees above the ground.
        fov_deg: horizontal field of view, degrees.
        fill: the farthest corner of a box from the picture's middle, in halves of the picture;
            above 1 some objects are cut off by the edge.
        alike: share of the pictures whose objects are all of one model, as chairs around a table
            are: colours do not tell them apart then.

    Raises:  ValueError: an impossible range; the message names it.
    """

    objects: tuple[int, int] = (2, 6)
    scale: tuple[float, float] = (0.85, 1.15)
    gap: tuple[float, float] = (0.0, 0.1)
    spread_deg: float = 20.0
    elevation_deg: tuple[float, float] = (5.0, 40.0)
    fov_deg: tuple[float, float] = (25.0, 55.0)
    fill: tuple[float, float] = (0.85, 1.4)
    alike: float = 0.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("objects", 1, 32),
            ("scale", 0.05, 20.0),
            ("gap", 0.0, 100.0),
            ("elevation_deg", 0.0, 89.0),
            ("fov_deg", 1.0, 120.0),
            ("fill", 0.1, 4.0),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"SceneRange: {name} must be (low, high) within {least:g} to {most:g}, "
                    f"low <= high; got ({low}, {high})"
                )
        if not 0 <= self.spread_deg <= 90:
            raise ValueError(f"SceneRange: spread_deg must be 0 to 90, got {self.spread_deg}")
        if not 0 <= self.alike <= 1:
            raise ValueError(f"SceneRange: alike must be 0 to 1, got {self.alike}")


@dataclass(frozen=True)
class SceneLayout:
    """Where everything is.

    Attributes:
        T_obj2world: (M, 4, 4): a turn about +Y, a scale and a translation.
        T_world2cam: (4, 4).  K_px: (3, 3).
    """

    T_obj2world: np.ndarray
    T_world2cam: np.ndarray
    K_px: np.ndarray


def box_corners(bounds: np.ndarray) -> np.ndarray:
    """(2, 3) low and high -> (8, 3)."""
    picks = np.array([[i >> axis & 1 for axis in range(3)] for i in range(8)])
    return np.asarray(bounds[picks, np.arange(3)])


def draw_layout(
    bounds: Sequence[np.ndarray],
    rng: np.random.Generator,
    scenes: SceneRange,
    size: tuple[int, int],
) -> SceneLayout:
    """Objects on the ground, most of them before or behind another, and a camera on all of them.

    Args:    bounds: M times (2, 3), low and high corner of each model in its object frame.
             size: (h, w) px.
    """
    azimuth = rng.uniform(0.0, 2 * math.pi)
    sight = -np.array([math.sin(azimuth), math.cos(azimuth)])  # on the ground, away from the camera
    T_obj2world = _placed(bounds, sight, rng, scenes)
    corners = np.concatenate(
        [box_corners(b) @ T[:3, :3].T + T[:3, 3] for b, T in zip(bounds, T_obj2world, strict=True)]
    )
    elevation_deg, fov_deg = rng.uniform(*scenes.elevation_deg), rng.uniform(*scenes.fov_deg)
    T_world2cam, K_px = fit_camera(
        corners, sight, elevation_deg, fov_deg, rng.uniform(*scenes.fill), size
    )
    return SceneLayout(T_obj2world, T_world2cam, K_px)


def fit_camera(
    points_world: np.ndarray,
    sight: np.ndarray,
    elevation_deg: float,
    fov_deg: float,
    fill: float,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """A camera that turns to some points and comes so near that they fill the picture.

    Args:    points_world: (n, 3).  sight: (2,) unit, (x, z) away from the camera.
             elevation_deg: above the ground.  fov_deg: horizontal.
             fill: the farthest point from the picture's middle, in halves of the picture.
             size: (h, w) px.
    Returns: T_world2cam (4, 4) and K_px (3, 3).
    """
    elevation = math.radians(elevation_deg)
    K_px = intrinsics(fov_deg, size)
    target = (points_world.min(axis=0) + points_world.max(axis=0)) / 2
    away = np.array(
        [-sight[0] * math.cos(elevation), math.sin(elevation), -sight[1] * math.cos(elevation)]
    )
    R_world2cam = look_at((target + away)[None], target)[0]
    half = fill * np.array([size[1], size[0]]) / 2
    focal = K_px[[0, 1], [0, 1]]
    for _ in range(_CENTRINGS):
        in_cam = (points_world - target) @ R_world2cam.T
        reach = (focal * np.abs(in_cam[:, :2]) / half).max(axis=1)
        distance = max(float((reach - in_cam[:, 2]).max()), _NEAR - float(in_cam[:, 2].min()))
        rays = in_cam[:, :2] / (in_cam[:, 2:] + distance)
        aside = (rays.min(axis=0) + rays.max(axis=0)) / 2 * distance
        target = target + aside @ R_world2cam[:2]
    T_world2cam = np.eye(4)
    T_world2cam[:3, :3] = R_world2cam
    T_world2cam[:3, 3] = -R_world2cam @ (target + distance * away)
    return T_world2cam, K_px


def _placed(
    bounds: Sequence[np.ndarray],
    sight: np.ndarray,
    rng: np.random.Generator,
    scenes: SceneRange,
) -> np.ndarray:
    """(M, 4, 4) T_obj2world; each object stands beside one that was put before it."""
    T_obj2world = np.tile(np.eye(4), (len(bounds), 1, 1))
    footprints: list[np.ndarray] = []
    for m, (low, high) in enumerate(bounds):
        yaw, scale = rng.uniform(0.0, 2 * math.pi), rng.uniform(*scenes.scale)
        c, s = math.cos(yaw), math.sin(yaw)
        T_obj2world[m, :3, :3] = scale * np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        T_obj2world[m, 1, 3] = -scale * low[1]
        rectangle = np.array([[low[0], low[2]], [high[0], low[2]], [high[0], high[2]],
                              [low[0], high[2]]])  # fmt: skip
        footprint = scale * rectangle @ np.array([[c, -s], [s, c]])
        if footprints:
            angle = math.radians(rng.uniform(-scenes.spread_deg, scenes.spread_deg))
            turn = np.array(
                [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
            )
            direction = turn @ sight * rng.choice([-1.0, 1.0])
            start = footprints[int(rng.integers(len(footprints)))].mean(axis=0)
            moved = footprint + start - footprint.mean(axis=0)
            while any(_meet(moved, other) for other in footprints):
                moved = moved + _STEP * direction
            moved = moved + rng.uniform(*scenes.gap) * direction
            while any(_meet(moved, other) for other in footprints):
                moved = moved + _STEP * direction
            T_obj2world[m, [0, 2], 3] = (moved - footprint).mean(axis=0)
            footprint = moved
        footprints.append(footprint)
    return T_obj2world


def _meet(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two rectangles, (4, 2) corners in order, have an area in common."""
    for rectangle in (first, second):
        for axis in (rectangle[1] - rectangle[0], rectangle[2] - rectangle[1]):
            a, b = first @ axis, second @ axis
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True
