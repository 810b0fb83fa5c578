"""The joints of each detector and data set, in their order: a table, no code for each.

A joint that two layouts share has the same name in both (COCO's, where COCO has it), so one layout
is turned into another by name alone. `left_` and `right_` are the person's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_FACE = "nose left_eye right_eye left_ear right_ear"
_LIMBS = (
    "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
_ARMS_RIGHT_FIRST = "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist"
_LEGS_RIGHT_FIRST = "right_hip right_knee right_ankle left_hip left_knee left_ankle"
_FACE_RIGHT_FIRST = "right_eye left_eye right_ear left_ear"

LAYOUTS: dict[str, tuple[str, ...]] = {
    name: tuple(joints.split())
    for name, joints in {
        # COCO, and every detector trained on it alone (Detectron2, HRNet, AlphaPose, ViTPose).
        "coco": f"{_FACE} {_LIMBS}",
        # OpenPose's models COCO and BODY_25.
        "openpose18": f"nose neck {_ARMS_RIGHT_FIRST} {_LEGS_RIGHT_FIRST} {_FACE_RIGHT_FIRST}",
        "openpose25": (
            f"nose neck {_ARMS_RIGHT_FIRST} mid_hip {_LEGS_RIGHT_FIRST} {_FACE_RIGHT_FIRST} "
            "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"
        ),
        # AlphaPose's body with feet.
        "halpe26": (
            f"{_FACE} {_LIMBS} head neck mid_hip left_big_toe right_big_toe left_small_toe "
            "right_small_toe left_heel right_heel"
        ),
        "ochuman": (
            f"{_ARMS_RIGHT_FIRST} {_LEGS_RIGHT_FIRST} head neck right_ear left_ear nose "
            "right_eye left_eye"
        ),
        "crowdpose": f"{_LIMBS} head neck",
    }.items()
}
"""Name of a layout → its joints. "ochuman" and "crowdpose" are those data sets' 19 and 14."""

COCO_JOINTS = LAYOUTS["coco"]
"""COCO's 17."""


def layout(name: str) -> tuple[str, ...]:
    """The joints of a layout. Raises: ValueError: no such layout (the names are listed)."""
    if name not in LAYOUTS:
        raise ValueError(f"layout: no layout {name!r}; there are {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[name]


def layouts_of(n_keypoints: int) -> list[str]:
    """Names of the layouts with so many joints."""
    return [name for name, joints in LAYOUTS.items() if len(joints) == n_keypoints]


def map_joints(
    kpts: np.ndarray,
    visibility: np.ndarray,
    source: Sequence[str],
    target: Sequence[str] = COCO_JOINTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of one layout as those of another, joint by joint of the same name.

    Args:    kpts: (..., K, 2) px.  visibility: (..., K) integer.  source, target: K and M names.
    Returns: (..., M, 2) and (..., M); a joint that the source lacks is at (0, 0), visibility 0.
    Raises:  ValueError: another number of joints than names, or no name in common.
    """
    kpts, visibility = np.asarray(kpts), np.asarray(visibility)
    if kpts.shape[-2:] != (len(source), 2) or visibility.shape != kpts.shape[:-1]:
        raise ValueError(
            f"map_joints: kpts {kpts.shape} and visibility {visibility.shape} for {len(source)} "
            "joints; expected (..., K, 2) and (..., K)"
        )
    both = [(i, source.index(name)) for i, name in enumerate(target) if name in source]
    if not both:
        raise ValueError(
            f"map_joints: none of {', '.join(source)} is among {', '.join(target)}; name the "
            "joints as kp2seg.keypoint_sources.layouts does"
        )
    to, of = (list(indices) for indices in zip(*both, strict=True))
    mapped = np.zeros((*kpts.shape[:-2], len(target), 2), kpts.dtype)
    codes = np.zeros(mapped.shape[:-1], visibility.dtype)
    mapped[..., to, :], codes[..., to] = kpts[..., of, :], visibility[..., of]
    return mapped, codes


CORNERS = ("box_top_left", "box_top_right", "box_bottom_left", "box_bottom_right")
"""Names of a box's corners where they stand beside its object's keypoints."""


def flip_pairs(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs (left, right) among the joints, by their names; empty where nothing is mirrored."""
    return tuple(
        (name, other)
        for name in names
        if "left" in name and (other := name.replace("left", "right")) in names
    )
