"""A look put on a body: the texture's colours by region, and how far cloth and hair stand off.

The same rules say where a garment is for vertices and for texels, so that what is pushed out is
what is painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from keypointnet.people.anatomy import Anatomy, Sites
from keypointnet.people.atlas import TEXELS
from keypointnet.people.bodies import PARTS
from keypointnet.people.looks import Cloth, Look

_EYES = tuple(PARTS.index(f"eye_front.{letter}") for letter in "LR")
_INSIDE = tuple(PARTS.index(name) for name in ("mouth_cavity", "tongue"))
_ARM_M, _LEG_M = 0.5, 0.8  # from shoulder to wrist, from hip to ankle: patterns are in metres
_LONG_HAIR = ("long", "bob")


@dataclass(frozen=True)
class Worn:
    """Which of n places are under what; bool (n,) each, the later ones over the earlier ones."""

    beard: np.ndarray
    hair: np.ndarray
    bottom: np.ndarray
    socks: np.ndarray
    shoes: np.ndarray
    top: np.ndarray
    hat: np.ndarray


def worn(sites: Sites, look: Look, points: dict[str, np.ndarray]) -> Worn:
    """Where the garments of a look are.

    Args:    sites: n places.  points: of anatomy.Anatomy.
    """
    x, y, z = (sites[name] for name in "xyz")
    arm, leg = sites["arm"], sites["leg"]
    on_arm, on_leg, on_head = sites["arms"] > 0.5, sites["legs"] > 0.5, sites["head"] > 0.5
    on_foot = sites["feet"] > 0.5
    ear, eye = points["left_ear"], points["left_eye"]
    eyes_y, lips = float(eye[1]), points["lips"]
    forward = ear[2] - z

    def line(ahead: list[float], height: list[float]) -> np.ndarray:
        heights = np.zeros(len(sites))  # on the head only, for that is faster
        heights[on_head] = np.interp(forward[on_head], ahead, height)
        return heights

    hairline = line(
        [-0.10, -0.02, 0.0, 0.025, 0.06, 0.10],
        [ear[1] - 0.07, ear[1] - 0.05, ear[1], eyes_y + 0.015, eyes_y + 0.05, eyes_y + 0.062],
    )
    beside_ear = np.hypot(y - ear[1], z - ear[2]) < 0.035
    scalp = on_head & (y > hairline) & ~(beside_ear & (look.haircut not in _LONG_HAIR))
    hair = scalp & (look.haircut != "bald")
    if look.haircut in _LONG_HAIR:
        length = 0.30 if look.haircut == "long" else 0.12
        falls = (forward < 0.01) & (y > ear[1] - length) & (np.abs(x) < 0.11) & ~on_arm
        hair |= falls & ((sites["head"] + sites["neck"] > 0.3) | (z > ear[2] + 0.02))
    beard = on_head & (forward > 0.005) & (y < lips[1] + 0.018) & (look.beard > 0)
    throat_y = points["left_shoulder"][1] + 0.055
    hips_y = points["left_hip"][1]
    waist_y = hips_y + 0.10
    below_throat = throat_y - y
    front = z < points["left_shoulder"][2] - 0.02
    bare_neck = below_throat < np.where(front, look.neckline - 0.7 * np.abs(x) + 0.02, -0.02)
    trunk = ~on_arm & ~on_head & ~on_foot
    top = (trunk & (y > waist_y - 0.04 - look.hem) & ~bare_neck & (sites["neck"] < 0.6)) | (
        on_arm & (arm < look.sleeve)
    )
    down = look.skirt or look.trousers
    bottom = trunk & (y < waist_y) & (~on_leg | (leg < down))
    shoes = on_foot & (y < points["left_ankle"][1] - 0.01) | (on_leg & (leg > 1 - look.boots))
    socks = (on_leg | on_foot) & (leg > 0.99 - look.socks) & ~shoes & (look.socks > 0)
    hat = np.zeros(len(sites), bool)
    rim = eyes_y + line([-0.1, 0.1], [-0.01, 0.045])
    if look.headgear in ("cap", "beanie"):
        hat = on_head & (y > rim)
    elif look.headgear == "helmet":
        hat = on_head & (y > rim - np.where(forward < 0.03, 0.06, 0.0))
    elif look.headgear == "band":
        hat = on_head & (y > rim + 0.01) & (y < rim + 0.045)
    elif look.headgear == "scarf":
        oval = np.hypot(x / 0.055, (y - (eyes_y - 0.02)) / 0.085) < 1
        hat = (on_head | (sites["neck"] > 0.35)) & ~(oval & (forward > 0.02))
        hair = np.zeros(len(sites), bool)
    return Worn(beard, hair & ~hat, bottom & ~top, socks, shoes, top, hat)


def stand_off(sites: Sites, look: Look, points: dict[str, np.ndarray]) -> np.ndarray:
    """How far what is worn stands off the mean body at each place, metres.

    Looser towards the ends of sleeves, legs and hems.
    """
    on = worn(sites, look, points)
    y, arm, leg = sites["y"], sites["arm"], sites["leg"]
    hips_y = float(points["left_hip"][1])
    off = np.zeros(len(sites))
    top, bottom = look.top.loose_m, look.bottom.loose_m
    folds = 1.0 + 0.35 * np.sin(55 * y + 7 * np.sin(23 * sites["x"]) + 5 * sites["z"])
    towards_hem = np.clip((hips_y + 0.35 - y) / 0.4, 0.15, 1.0)
    on_arm = sites["arms"] > 0.5
    sleeve = np.clip(arm / max(look.sleeve, 0.2), 0.25, 1.0)
    off[on.bottom] = (0.003 + bottom * np.clip(leg, 0.15, 1.0) * folds)[on.bottom]
    off[on.shoes] = 0.009
    off[on.socks] = 0.002
    off[on.top] = (0.004 + top * np.where(on_arm, 0.8 * sleeve, towards_hem) * folds)[on.top]
    crown = np.clip((y - points["left_ear"][1]) / 0.12, 0.0, 1.0)
    thick = {"cropped": 0.003, "short": 0.012, "bob": 0.022, "long": 0.02, "bun": 0.008,
             "curly": 0.045, "bald": 0.0}[look.haircut]  # fmt: skip
    off[on.hair] = (thick * (0.6 + 0.4 * crown))[on.hair]
    if look.haircut == "bun":
        back = points["left_ear"] + [0, 0.07, 0.1]
        knot = np.hypot(sites["x"], y - back[1]) + np.maximum(0, back[2] - 0.03 - sites["z"])
        off[on.hair] += (0.05 * np.clip(1 - knot / 0.05, 0, 1) ** 0.5)[on.hair]
    off[on.beard] += 0.004 * look.beard
    hat = {"cap": 0.012, "beanie": 0.016, "helmet": 0.03, "scarf": 0.012, "band": 0.004}
    off[on.hat] = hat.get(look.headgear, 0.0)
    if look.headgear == "cap":  # its peak
        forward = points["left_ear"][2] - sites["z"]
        peak = on.hat & (y < points["left_eye"][1] + 0.06) & (forward > 0.07)
        off[peak] += 0.055
    return off


def paint(anatomy: Anatomy, look: Look, rng: np.random.Generator) -> np.ndarray:
    """The texture of a person.

    Args:    rng: for patterns and the unevenness of everything.
    Returns: (TEXELS, TEXELS, 3) uint8 sRGB.
    """
    sites, points = anatomy.texels, anatomy.points
    on = worn(sites, look, points)
    rgb = np.empty((len(sites), 3), np.float32)
    rgb[:] = look.skin
    _face(rgb, anatomy, look)
    rgb[on.beard] += 0.85 * look.beard * (np.asarray(look.hair) - rgb[on.beard])
    for where, colour in ((on.hair, look.hair), (on.socks, look.hat), (on.shoes, look.shoes)):
        rgb[where] = colour
    _weave(rgb, on.bottom, anatomy, look.bottom, rng)
    _weave(rgb, on.top, anatomy, look.top, rng)
    rgb[on.hat] = look.hat
    for part in _EYES:
        _eye(rgb, anatomy, part, look)
    for part in _INSIDE:
        rgb[anatomy.texels_of[part]] = (0.35, 0.12, 0.12)
    places = anatomy.places
    fine = _noise(200, rng)[places]
    shade = 1.0 + 0.035 * _noise(48, rng)[places] + 0.03 * fine
    strands = 1.0 + 0.16 * fine
    shade = np.where(on.hair | on.beard, strands, shade)
    rgb *= shade[:, None]
    texture = np.full((TEXELS * TEXELS, 3), 255 * np.asarray(look.skin), np.uint8)
    texture[anatomy.places] = np.clip(rgb, 0.0, 1.0) * 255
    return texture.reshape(TEXELS, TEXELS, 3)


def _face(rgb: np.ndarray, anatomy: Anatomy, look: Look) -> None:
    """Brows, lips, cheeks."""
    points = anatomy.points
    ahead = anatomy.texels_ahead
    x, y = (anatomy.texels[name][ahead] for name in "xy")
    lips = points["lips"]
    red = np.asarray(look.skin) * [0.82, 0.55, 0.55]
    mouth = ahead[np.hypot(x / 0.026, (y - lips[1]) / 0.0085) < 1]
    rgb[mouth] = 0.35 * rgb[mouth] + 0.65 * red
    for side in ("left", "right"):
        pupil = points[f"{side}_pupil"]
        across, up = np.abs(x - pupil[0] * 1.04), y - pupil[1]
        brow = ahead[(across < 0.021) & (np.abs(up - 0.021 + 8 * across**2) < 0.004)]
        rgb[brow] = 0.25 * rgb[brow] + 0.75 * 0.8 * np.asarray(look.hair)
        lid = ahead[np.hypot(across / 0.019, up / 0.011) < 1]
        rgb[lid] *= 0.72
        warm = ahead[np.hypot(across / 0.03, (up + 0.045) / 0.02) < 1]
        rgb[warm] = rgb[warm] * [1.0, 0.94, 0.93]


def _eye(rgb: np.ndarray, anatomy: Anatomy, part: int, look: Look) -> None:
    pupil = anatomy.points["left_pupil" if part == _EYES[0] else "right_pupil"]
    ball = anatomy.texels_of[part]
    away = np.linalg.norm(anatomy.texels.values[ball, :3] - pupil, axis=1)
    rgb[ball] = (0.93, 0.91, 0.89)
    rgb[ball[away < 0.0066]] = look.eyes
    rgb[ball[away < 0.0032]] = (0.02, 0.02, 0.02)


def _weave(
    rgb: np.ndarray,
    where: np.ndarray,
    anatomy: Anatomy,
    cloth: Cloth,
    rng: np.random.Generator,
) -> None:
    """Paint cloth: its pattern runs along and round the body and each limb."""
    chosen = np.flatnonzero(where)
    sites, points, places = anatomy.texels.some(chosen), anatomy.points, anatomy.places[chosen]
    first, second = (np.asarray(colour, np.float32) for colour in cloth.colours)
    on_arm, on_leg = sites["arms"] > 0.5, sites["legs"] > 0.5
    shoulder_y, hip_y = points["left_shoulder"][1], points["left_hip"][1]
    along = np.where(on_arm, shoulder_y - _ARM_M * sites["arm"], sites["y"])
    along = np.where(on_leg, hip_y - _LEG_M * sites["leg"], along)
    around = np.where(on_arm, sites["z"] * 1.5, sites["x"])
    v, u = along / cloth.period_m, around / cloth.period_m
    kind = cloth.pattern
    if kind == "stripes":
        other = v % 1 < 0.5
    elif kind == "bars":
        other = u % 1 < 0.3
    elif kind == "checks":
        other = (v % 1 < 0.5) ^ (u % 1 < 0.5)
    elif kind == "dots":
        other = np.hypot(v % 1 - 0.5, u % 1 - 0.5) < 0.28
    elif kind == "blocks":
        other = (sites["y"] > (shoulder_y + hip_y) / 2) & ~on_arm
    elif kind == "camouflage":
        other = _noise(24, rng)[places] > 0.15
    elif kind == "print":
        chest = (sites["z"] < points["left_shoulder"][2]) & ~on_arm & ~on_leg
        low = shoulder_y - 0.22
        other = chest & (np.abs(sites["x"]) < 0.09) & (np.abs(sites["y"] - low) < 0.07)
        other &= np.sin(70 * sites["x"]) + np.sin(90 * sites["y"]) + _noise(40, rng)[places] > -0.4
    else:
        other = np.zeros(len(sites), bool)
    rgb[chosen] = first
    rgb[chosen[other]] = second
    folds = 1 + 0.07 * np.sin(60 * along + 4 * _noise(16, rng)[places]) * (sites["y"] < shoulder_y)
    rgb[chosen] *= folds[:, None]


def _noise(cells: int, rng: np.random.Generator) -> np.ndarray:
    """(TEXELS²,) smooth noise of unit strength."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    size = (TEXELS, TEXELS)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)).ravel()
