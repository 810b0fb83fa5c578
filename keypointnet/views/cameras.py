"""Cameras around an object at the origin, drawn as the KeypointNet paper draws them.

Convention: world +Y is up; the camera frame is OpenCV's (x right, y down, z forward); pixel
coordinates are continuous with centres at +0.5, so the picture's middle is (w / 2, h / 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class CameraRange:
    """What cameras may be drawn; the defaults are the paper's.

    Attributes:
        distance: of the camera from the origin, before the shift; world units (an object's
            longest side is 2).
        fov_deg: horizontal field of view, degrees.
        elevation_deg: (low, high), degrees above the ground. Uniform in solid angle.
        azimuth_deg: (low, high), degrees about +Y; 0 looks at the object from +Z (its back).
        roll_deg: (low, high), degrees about the optical axis.
        shift: the location moves by up to this along each world axis after the camera has been
            turned to the origin, so that the object is not always in the middle.

    Raises:  ValueError: an impossible range; the message names it.
    """

    distance: float = 30.0
    fov_deg: float = 5.0
    elevation_deg: tuple[float, float] = (0.0, 90.0)
    azimuth_deg: tuple[float, float] = (0.0, 360.0)
    roll_deg: tuple[float, float] = (0.0, 0.0)
    shift: float = 0.2

    def __post_init__(self) -> None:
        for name in ("distance", "fov_deg", "shift"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"CameraRange: {name} is {getattr(self, name)}, not a number")
        if self.distance <= 0:
            raise ValueError(f"CameraRange: distance must be > 0, got {self.distance}")
        if not 0 < self.fov_deg < 180:
            raise ValueError(f"CameraRange: fov_deg must be in (0, 180), got {self.fov_deg}")
        if self.shift < 0:
            raise ValueError(f"CameraRange: shift must be >= 0, got {self.shift}")
        for name, limit in (("elevation_deg", 90.0), ("azimuth_deg", 360.0), ("roll_deg", 180.0)):
            low, high = getattr(self, name)
            if not -limit <= low <= high <= limit:
                raise ValueError(
                    f"CameraRange: {name} must be (low, high) within ±{limit:g}, low <= high; "
                    f"got ({low}, {high})"
                )


def look_at(eye: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
    """Rotations of cameras at `eye` that look at `target`, the world's +Y up in the picture.

    Convention: OpenCV camera frame. Straight up or down, where +Y gives no direction, the
    world's +X is the picture's right.
    Args:    eye: (n, 3) world.  target: (3,) world; the origin if None.
    Returns: (n, 3, 3) float64, world to camera: the rows are the camera's axes.
    Raises:  ValueError: an eye lies on the target (the row is named).
    """
    eye = np.asarray(eye, dtype=np.float64)
    forward = (np.zeros(3) if target is None else np.asarray(target, dtype=np.float64)) - eye
    length = np.linalg.norm(forward, axis=1, keepdims=True)
    if (length < 1e-12).any():
        row = int(np.argmin(length))
        raise ValueError(f"look_at: eye {row} lies on the target; move one of them")
    forward = forward / length
    right = np.cross(forward, _UP)
    norm = np.linalg.norm(right, axis=1, keepdims=True)
    degenerate = norm < 1e-9
    right = np.where(degenerate, [1.0, 0.0, 0.0], right / np.where(degenerate, 1.0, norm))
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def intrinsics(fov_deg: float, size: tuple[int, int]) -> np.ndarray:
    """Pinhole matrix of a camera with square pixels and its centre in the picture's middle.

    Convention: x_px = fx X / Z + cx, pixel centres at +0.5.
    Args:    fov_deg: horizontal, degrees.  size: (h, w) px.
    Returns: (3, 3) float64.
    """
    height, width = size
    focal = 0.5 * width / math.tan(math.radians(fov_deg) / 2)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def sample_cameras(
    n: int, rng: np.random.Generator, camera_range: CameraRange, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n cameras that look at the origin.

    The direction is uniform on the part of the sphere that the range allows. The camera is
    turned to the origin and rolled, then its location is shifted, its rotation kept. Unless the
    range reaches below the ground, the shift does not take the camera there.
    Args:    n: how many.  rng: the source of all randomness.  size: (h, w) px.
    Returns: T_world2cam (n, 4, 4) and K_px (n, 3, 3), float64.
    Raises:  ValueError: n < 0 or a size < 1.
    Source:  KeypointNet (Suwajanakorn et al. 2018), section 5.
    """
    if n < 0 or min(size) < 1:
        raise ValueError(f"sample_cameras: expected n >= 0 and a size >= 1, got {n} and {size}")
    low, high = np.sin(np.radians(camera_range.elevation_deg))
    height = rng.uniform(low, high, n)
    azimuth = np.radians(rng.uniform(*camera_range.azimuth_deg, n))
    roll = np.radians(rng.uniform(*camera_range.roll_deg, n))
    shift = rng.uniform(-1.0, 1.0, (n, 3)) * camera_range.shift

    ground = np.sqrt(np.maximum(0.0, 1.0 - height**2))
    direction = np.stack([ground * np.sin(azimuth), height, ground * np.cos(azimuth)], axis=1)
    eye = camera_range.distance * direction
    R_world2cam = _roll_matrix(roll) @ look_at(eye)
    eye = eye + shift
    if camera_range.elevation_deg[0] >= 0:
        eye[:, 1] = np.maximum(eye[:, 1], 0.0)

    T_world2cam = np.tile(np.eye(4), (n, 1, 1))
    T_world2cam[:, :3, :3] = R_world2cam
    T_world2cam[:, :3, 3] = -(R_world2cam @ eye[:, :, None])[:, :, 0]
    return T_world2cam, np.tile(intrinsics(camera_range.fov_deg, size), (n, 1, 1))


def _roll_matrix(angle_rad: np.ndarray) -> np.ndarray:
    """(n,) rad -> (n, 3, 3): turns the camera about its optical axis."""
    matrix = np.zeros((len(angle_rad), 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(angle_rad)
    matrix[:, 1, 0] = np.sin(angle_rad)
    matrix[:, 0, 1] = -np.sin(angle_rad)
    matrix[:, 2, 2] = 1.0
    return matrix
