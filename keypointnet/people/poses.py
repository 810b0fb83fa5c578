"""Poses that people take, drawn as joint angles; see keypointnet/people/joints.py for these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keypointnet.people.joints import SIDES, Angles, limited, mirrored


def draw_pose(kind: str, rng: np.random.Generator) -> Angles:
    """A pose of a kind, mirrored half of the time.

    Args:    kind: one of POSES.
    Returns: every angle of LIMITS, within its limits.
    Raises:  ValueError: no such kind (the kinds are listed).
    """
    if kind not in POSES:
        raise ValueError(f"draw_pose: no kind {kind!r}; there are {', '.join(POSES)}")
    angles = _loose(rng) | POSES[kind](rng)
    for name in angles:  # nobody holds still
        angles[name] += rng.normal(0.0, 2.5)
    return limited(mirrored(angles) if rng.random() < 0.5 else angles)


def _both(**values: float) -> Angles:
    return {f"{side}_{name}": value for side in SIDES for name, value in values.items()}


def _loose(rng: np.random.Generator) -> Angles:
    """Arms beside the body, a relaxed head."""
    angles: Angles = {
        "neck_turn": rng.normal(0, 25),
        "neck_bend": rng.normal(4, 10),
        "neck_side": rng.normal(0, 5),
        "spine_turn": rng.normal(0, 6),
        "spine_side": rng.normal(0, 3),
        "spine_bend": rng.normal(3, 4),
    }
    for side in SIDES:
        angles |= {
            f"{side}_arm_raise": rng.uniform(6, 18),
            f"{side}_arm_plane": rng.uniform(45, 95),
            f"{side}_arm_turn": rng.uniform(-5, 30),
            f"{side}_elbow": rng.uniform(5, 35),
            f"{side}_wrist": rng.uniform(-10, 15),
            f"{side}_fingers": rng.uniform(10, 45),
        }
    return angles


def _standing(rng: np.random.Generator) -> Angles:
    sway, apart = rng.uniform(0, 8), rng.uniform(2, 9)
    angles = _both(leg_raise=apart, leg_plane=75.0) | {
        "right_leg_turn": rng.uniform(-25, 0),
        "left_leg_turn": rng.uniform(-25, 0),
        "spine_side": rng.normal(0, 4),
    }
    if rng.random() < 0.4:  # the weight on one leg
        angles |= {"left_leg_raise": 10 + sway, "left_leg_plane": 10.0, "left_knee": 12 + 2 * sway}
        angles |= {"left_ankle": -sway}
    arms = rng.choice(["down", "hips", "crossed", "pockets", "phone", "behind"])
    if arms == "hips":
        angles |= _both(arm_raise=38.0, arm_plane=88.0, arm_turn=55.0, elbow=88.0, wrist=30.0)
    elif arms == "crossed":
        angles |= _both(arm_raise=28.0, arm_plane=15.0, arm_turn=62.0, elbow=100.0)
        angles |= {"right_arm_raise": 38.0}
    elif arms == "pockets":
        angles |= _both(arm_raise=14.0, arm_plane=100.0, arm_turn=18.0, elbow=38.0)
    elif arms == "phone":
        angles |= {"left_arm_raise": 30.0, "left_arm_plane": 15.0, "left_arm_turn": 35.0}
        angles |= {"left_elbow": 115.0, "neck_bend": 25.0, "neck_turn": rng.normal(0, 6)}
    elif arms == "behind":
        angles |= _both(arm_raise=-18.0, arm_plane=10.0, arm_turn=45.0, elbow=35.0)
    return angles


def _walking(rng: np.random.Generator) -> Angles:
    step = rng.uniform(15, 32)
    swing = step * rng.uniform(0.7, 1.3)
    return {
        "left_leg_raise": step,
        "left_knee": rng.uniform(2, 14),
        "left_ankle": rng.uniform(0, 12),
        "right_leg_raise": -0.7 * step,
        "right_knee": rng.uniform(12, 50),
        "right_ankle": rng.uniform(-30, -8),
        "left_arm_raise": -swing,
        "left_arm_plane": 10.0,
        "right_arm_raise": swing,
        "right_arm_plane": 5.0,
        "left_elbow": rng.uniform(8, 30),
        "right_elbow": rng.uniform(15, 50),
        "spine_bend": rng.uniform(0, 10),
        "spine_turn": rng.uniform(0, 12),
    }


def _sitting(rng: np.random.Generator) -> Angles:
    angles = _both(
        leg_raise=rng.uniform(80, 92), leg_plane=rng.uniform(3, 22), knee=rng.uniform(78, 95)
    ) | {"spine_bend": rng.uniform(-5, 22)}
    arms = rng.choice(["lap", "knees", "gesture", "chin"])
    if arms in ("lap", "knees"):
        angles |= _both(
            arm_raise=rng.uniform(18, 42),
            arm_plane=rng.uniform(5, 25),
            arm_turn=rng.uniform(25, 45) if arms == "lap" else 5.0,
            elbow=rng.uniform(60, 85) if arms == "lap" else rng.uniform(35, 60),
        )
    elif arms == "gesture":
        angles |= _arms_anywhere(rng)
    else:
        angles |= {"left_arm_raise": 55.0, "left_arm_plane": 5.0, "left_arm_turn": 30.0}
        angles |= {"left_elbow": 138.0, "neck_bend": 15.0, "spine_bend": 25.0}
    if rng.random() < 0.25:  # one leg stretched
        angles |= {"right_knee": rng.uniform(25, 60)}
    return angles


def _sitting_low(rng: np.random.Generator) -> Angles:
    """On the floor: knees up, or legs stretched out, or squatting."""
    raised = rng.uniform(95, 118) if rng.random() < 0.6 else rng.uniform(78, 90)
    knee = (raised - 75) * rng.uniform(2.4, 3.0) if raised > 94 else rng.uniform(0, 20)
    return _both(
        leg_raise=raised,
        leg_plane=rng.uniform(5, 25),
        knee=knee,
        arm_raise=rng.uniform(25, 60),
        arm_plane=rng.uniform(0, 20),
        elbow=rng.uniform(10, 60),
    ) | {"spine_bend": rng.uniform(5, 30), "body_pitch": rng.uniform(0, 12)}


def _lying(rng: np.random.Generator) -> Angles:
    angles = _both(leg_raise=rng.uniform(0, 10), leg_plane=60.0, knee=rng.uniform(0, 15))
    where = rng.choice(["back", "belly", "side"])
    angles |= {"body_pitch": -88.0 if where == "belly" else 88.0}
    if where == "side":
        angles |= {"body_roll": 85.0, "left_leg_raise": 40.0, "left_knee": 55.0}
        angles |= {"right_leg_raise": 15.0, "right_knee": 25.0}
        angles |= _both(arm_raise=rng.uniform(30, 80), arm_plane=0.0, elbow=rng.uniform(30, 100))
        return angles | _both(leg_plane=0.0)
    if rng.random() < 0.5:
        angles |= {"left_leg_raise": 45.0, "left_leg_plane": 10.0, "left_knee": 80.0}
        if where == "belly":
            angles |= {"left_leg_plane": 70.0}
    raised = rng.uniform(15, 150)
    angles |= {"left_arm_raise": raised, "right_arm_raise": rng.uniform(15, 60)}
    return angles | _both(arm_plane=90.0, elbow=rng.uniform(5, 70), arm_turn=-10.0)


def _reaching(rng: np.random.Generator) -> Angles:
    up = rng.uniform(60, 170)
    low = rng.random() < 0.25
    angles = _standing(rng) | {
        "left_arm_raise": up,
        "left_arm_plane": rng.uniform(-20, 60),
        "left_elbow": rng.uniform(0, 35),
        "left_arm_turn": rng.uniform(-20, 20),
        "neck_bend": (90 - up) * 0.3,
        "spine_side": rng.uniform(-12, 12),
    }
    if low:  # picking something up
        angles |= {"spine_bend": rng.uniform(35, 70), "left_arm_raise": rng.uniform(60, 100)}
        angles |= _both(leg_raise=rng.uniform(30, 60), leg_plane=10.0, knee=rng.uniform(40, 80))
        angles |= _both(ankle=15.0)
    elif rng.random() < 0.4:
        angles |= {"right_arm_raise": up + rng.normal(0, 12), "right_arm_plane": 20.0}
        angles |= {"right_elbow": rng.uniform(0, 40)}
    return angles


def _hugging(rng: np.random.Generator) -> Angles:
    angles = _both(
        arm_raise=rng.uniform(55, 85),
        arm_plane=rng.uniform(15, 32),
        arm_turn=rng.uniform(40, 65),
        elbow=rng.uniform(45, 80),
        leg_raise=rng.uniform(2, 6),
        leg_plane=75.0,
        fingers=15.0,
    )
    return angles | {
        "spine_bend": rng.uniform(4, 14),
        "neck_turn": rng.uniform(20, 50),
        "neck_side": rng.uniform(0, 15),
        "left_arm_raise": rng.uniform(75, 110),
    }


def _dancing(rng: np.random.Generator) -> Angles:
    angles = _arms_anywhere(rng) | {
        "spine_side": rng.uniform(-20, 20),
        "spine_turn": rng.uniform(-25, 25),
        "spine_bend": rng.uniform(-12, 15),
        "left_leg_raise": rng.uniform(10, 75),
        "left_leg_plane": rng.uniform(0, 75),
        "right_leg_raise": rng.uniform(0, 14),
        "right_leg_plane": rng.uniform(0, 75),
        "right_knee": rng.uniform(0, 25),
        "left_leg_turn": rng.uniform(-35, 10),
    }
    angles["left_knee"] = rng.uniform(0.3, 1.2) * angles["left_leg_raise"] + 5
    return angles | {"left_ankle": rng.uniform(-35, 0)}


def _sport(rng: np.random.Generator) -> Angles:
    game = rng.choice(["run", "throw", "kick", "lunge", "jump", "guard"])
    if game == "run":
        stride = rng.uniform(40, 75)
        return {
            "left_leg_raise": stride,
            "left_knee": rng.uniform(50, 100),
            "right_leg_raise": rng.uniform(-25, -8),
            "right_knee": rng.uniform(10, 80),
            "right_ankle": -25.0,
            "left_arm_raise": -40.0,
            "right_arm_raise": rng.uniform(25, 55),
            **_both(arm_plane=8.0, elbow=rng.uniform(75, 110)),
            "spine_bend": rng.uniform(5, 22),
            "spine_turn": rng.uniform(5, 18),
        }
    if game == "throw":
        return _arms_anywhere(rng) | {
            "left_arm_raise": rng.uniform(95, 150),
            "left_arm_plane": rng.uniform(70, 110),
            "left_elbow": rng.uniform(40, 110),
            "spine_turn": rng.uniform(10, 35),
            "right_leg_raise": rng.uniform(15, 50),
            "right_knee": rng.uniform(10, 60),
            "left_leg_raise": -12.0,
            "left_knee": 12.0,
        }
    if game == "kick":
        return _both(arm_raise=55.0, arm_plane=85.0, elbow=30.0) | {
            "left_leg_raise": rng.uniform(45, 95),
            "left_leg_plane": rng.uniform(-10, 45),
            "left_knee": rng.uniform(0, 45),
            "right_leg_raise": -6.0,
            "right_knee": 12.0,
            "spine_bend": rng.uniform(-10, 12),
        }
    if game == "lunge":
        return _arms_anywhere(rng) | {
            "left_leg_raise": rng.uniform(55, 85),
            "left_knee": rng.uniform(65, 90),
            "right_leg_raise": rng.uniform(-26, -10),
            "right_knee": rng.uniform(5, 40),
            "right_ankle": -20.0,
            "spine_bend": rng.uniform(5, 30),
        }
    if game == "jump":
        bent = rng.uniform(0, 70)
        return _arms_anywhere(rng) | _both(leg_raise=bent, leg_plane=25.0, knee=1.3 * bent)
    bent = rng.uniform(25, 55)
    return _both(
        leg_raise=bent,
        leg_plane=30.0,
        knee=1.6 * bent,
        ankle=15.0,
        arm_raise=rng.uniform(40, 75),
        arm_plane=rng.uniform(5, 40),
        arm_turn=20.0,
        elbow=rng.uniform(60, 120),
        fingers=70.0,
    ) | {"spine_bend": rng.uniform(15, 40), "neck_bend": -15.0}


def _arms_anywhere(rng: np.random.Generator) -> Angles:
    angles: Angles = {}
    for side in SIDES:
        angles |= {
            f"{side}_arm_raise": rng.uniform(25, 165),
            f"{side}_arm_plane": rng.uniform(-10, 100),
            f"{side}_arm_turn": rng.uniform(-30, 45),
            f"{side}_elbow": rng.uniform(5, 120),
        }
    return angles


POSES: dict[str, Callable[[np.random.Generator], Angles]] = {
    "standing": _standing,
    "walking": _walking,
    "sitting": _sitting,
    "sitting low": _sitting_low,
    "lying": _lying,
    "reaching": _reaching,
    "hugging": _hugging,
    "dancing": _dancing,
    "sport": _sport,
}
"""Kind of pose -> draws its angles; what it leaves out hangs loosely."""

_MIXTURE = {"standing": 0.27, "walking": 0.13, "sitting": 0.13, "sitting low": 0.06, "lying": 0.06,
            "reaching": 0.09, "hugging": 0.1, "dancing": 0.08, "sport": 0.08}  # fmt: skip
assert set(_MIXTURE) == set(POSES)


def draw_kinds(count: int, rng: np.random.Generator) -> list[str]:
    """Kinds of poses, as often as people in crowds take them."""
    return [str(kind) for kind in rng.choice(list(_MIXTURE), count, p=list(_MIXTURE.values()))]
