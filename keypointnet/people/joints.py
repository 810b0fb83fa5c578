"""The angles of a body's joints, how far they go, and the turns they mean.

Convention: degrees; the body frame is the object frame of `keypointnet.shapenet.models` (+Y up,
front -Z, so a person's left is -x). All angles 0: upright, arms and legs hanging straight down.

An arm is swung away from hanging by `arm_raise` in a vertical plane, `arm_plane` of which 0 is
straight ahead, 90 sideways and -45 across the body; `arm_turn` then turns it about itself, thumb
inwards. `elbow` bends it forwards. `leg_raise`, `leg_plane`, `leg_turn` likewise (a negative raise
goes backwards), `knee` bends backwards. `wrist` and `fingers` bend
towards the palm, `ankle` lifts the toes. `spine_*` and `neck_*` are shared
out among the vertebrae; bend is forwards, side to the left, turn to the left. `body_pitch` and
`body_roll` turn all of it: pitch 90 lies on the back, -90 on the belly, roll about its length.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

Angles = dict[str, float]

_TRUNK = {
    "body_pitch": (-95.0, 95.0),
    "body_roll": (-95.0, 95.0),
    "spine_bend": (-25.0, 75.0),
    "spine_side": (-30.0, 30.0),
    "spine_turn": (-40.0, 40.0),
    "neck_bend": (-35.0, 45.0),
    "neck_side": (-30.0, 30.0),
    "neck_turn": (-70.0, 70.0),
}
_LIMBS = {
    "shrug": (-5.0, 25.0),
    "arm_raise": (-45.0, 172.0),
    "arm_plane": (-45.0, 115.0),
    "arm_turn": (-60.0, 75.0),
    "elbow": (0.0, 148.0),
    "forearm_turn": (-70.0, 70.0),
    "wrist": (-50.0, 60.0),
    "fingers": (0.0, 85.0),
    "leg_raise": (-28.0, 122.0),
    "leg_plane": (-25.0, 75.0),
    "leg_turn": (-40.0, 40.0),
    "knee": (0.0, 150.0),
    "ankle": (-45.0, 28.0),
}
SIDES = {"left": -1.0, "right": 1.0}

LIMITS: dict[str, tuple[float, float]] = {
    **_TRUNK,
    **{f"{side}_{name}": limits for side in SIDES for name, limits in _LIMBS.items()},
}
"""Of each angle: about what healthy adults reach."""


def limited(angles: Angles) -> Angles:
    """All angles of a pose, within their limits; 0 where none is given.

    Raises:  ValueError: an angle that no joint has (it is named).
    """
    unknown = sorted(set(angles) - set(LIMITS))
    if unknown:
        raise ValueError(f"limited: no angle {unknown[0]!r}; there are {', '.join(LIMITS)}")
    return {
        name: float(np.clip(angles.get(name, 0.0), low, high))
        for name, (low, high) in LIMITS.items()
    }


def mirrored(angles: Angles) -> Angles:
    """The pose in a mirror."""
    swap = {"left": "right", "right": "left"}
    result = {}
    for name, value in angles.items():
        first, _, rest = name.partition("_")
        turns = name in ("body_roll", "spine_side", "spine_turn", "neck_side", "neck_turn")
        result[f"{swap[first]}_{rest}" if first in swap else name] = -value if turns else value
    return result


def joint_turns(angles: Angles) -> dict[str, np.ndarray]:
    """What each joint turns, for a body whose limbs hang straight down at rest.

    Args:    angles: every one of LIMITS.
    Returns: name of the joint -> (3, 3), of the part beyond it relative to the part before it, in
             the body frame: body, spine, neck, and shrug, arm, elbow, forearm, wrist, fingers,
             leg, knee, ankle of each side ("left_arm").
    """
    body = _turn("y", angles["body_roll"])
    turns = {
        "body": _turn("x", angles["body_pitch"]) @ body,
        "spine": _trunk_turn(angles, "spine"),
        "neck": _trunk_turn(angles, "neck"),
    }
    for side, sign in SIDES.items():
        angle = {name: angles[f"{side}_{name}"] for name in _LIMBS}
        turns |= {
            f"{side}_shrug": _turn("z", sign * angle["shrug"]),
            f"{side}_arm": _swing(angle["arm_raise"], angle["arm_plane"], angle["arm_turn"], sign),
            f"{side}_elbow": _turn("x", angle["elbow"]),
            f"{side}_forearm": _turn("y", sign * angle["forearm_turn"]),
            f"{side}_wrist": _turn("z", -sign * angle["wrist"]),
            f"{side}_fingers": _turn("z", -sign * angle["fingers"]),
            f"{side}_leg": _swing(angle["leg_raise"], angle["leg_plane"], angle["leg_turn"], sign),
            f"{side}_knee": _turn("x", -angle["knee"]),
            f"{side}_ankle": _turn("x", angle["ankle"]),
        }
    return turns


def share(turn: np.ndarray, part: float) -> np.ndarray:
    """A part of a rotation, about its own axis: 0 none, 1 all of it.  (3, 3) -> (3, 3)."""
    return np.asarray(
        Rotation.from_rotvec(part * Rotation.from_matrix(turn).as_rotvec()).as_matrix()
    )


def _turn(axis: str, degrees: float) -> np.ndarray:
    return np.asarray(Rotation.from_euler(axis, degrees, degrees=True).as_matrix())


def _trunk_turn(angles: Angles, part: str) -> np.ndarray:
    bend, side, turn = (angles[f"{part}_{way}"] for way in ("bend", "side", "turn"))
    return _turn("y", turn) @ _turn("x", -bend) @ _turn("z", side)


def _swing(rise: float, plane: float, turn: float, sign: float) -> np.ndarray:
    """Of a hanging limb: up by `rise` in the vertical plane, after a turn about itself."""
    about = _turn("y", -sign * plane)
    return about @ _turn("x", rise) @ about.T @ _turn("y", sign * turn)
