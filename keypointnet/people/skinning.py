"""A body at rest and the angles of its joints -> its surface in that pose: linear blend skinning.

The bones' names are anny's: upperarm01.L is of the left arm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from keypointnet.people.joints import Angles, joint_turns, share

_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_NECK = ("neck01", "neck02", "neck03", "head")
# Limb: its bones from the trunk on, each with its joint, and the bone at whose head it ends.
_LIMBS = {
    "arm": ((("upperarm01", "arm"), ("upperarm02", "")), "lowerarm01"),
    "forearm": ((("lowerarm01", "elbow"), ("lowerarm02", "forearm")), "wrist"),
    "leg": ((("upperleg01", "leg"), ("upperleg02", "")), "lowerleg01"),
    "shank": ((("lowerleg01", "knee"), ("lowerleg02", "")), "foot"),
}
_DOWN = np.array([0.0, -1.0, 0.0])


def bone_transforms(
    angles: Angles, heads: np.ndarray, parents: Sequence[int], names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each bone of a body at rest goes.

    Args:    angles: every one of joints.LIMITS.  heads: (B, 3) where the bones begin, at rest.
             parents: B, each before its children, -1 for the first.  names: B.
    Returns: rotations (B, 3, 3) and shifts (B, 3): a point x goes to rotation @ x + shift. The
             first bone's head stays where it is.
    """
    joints = joint_turns(angles)
    places = {name: b for b, name in enumerate(names)}
    neutral = np.tile(np.eye(3), (len(names), 1, 1))  # takes a bone at rest to hanging down
    turns = np.tile(np.eye(3), (len(names), 1, 1))
    turns[0] = joints["body"]
    for part, chain in (("spine", _SPINE), ("neck", _NECK)):
        present = [places[bone] for bone in chain if bone in places]
        turns[present] = share(joints[part], 1 / max(1, len(present)))
    for side, letter in (("left", "L"), ("right", "R")):
        for bones, end in _LIMBS.values():
            start = places[f"{bones[0][0]}.{letter}"]
            hang = _between(heads[places[f"{end}.{letter}"]] - heads[start], _DOWN)
            for bone, joint in bones:
                place = places.get(f"{bone}.{letter}")
                if place is not None:
                    neutral[place] = hang
                    turns[place] = joints[f"{side}_{joint}"] if joint else np.eye(3)
        turns[places[f"clavicle.{letter}"]] = joints[f"{side}_shrug"]
        turns[places[f"foot.{letter}"]] = joints[f"{side}_ankle"]
        hand = neutral[places[f"lowerarm01.{letter}"]]
        for name, place in places.items():
            if name.endswith(f".{letter}") and name.startswith(("wrist", "finger", "metacarpal")):
                neutral[place] = hand
        turns[places[f"wrist.{letter}"]] = joints[f"{side}_wrist"]
        for finger in range(1, 6):
            for knuckle in range(1, 4):
                place = places.get(f"finger{finger}-{knuckle}.{letter}")
                if place is not None:
                    turns[place] = share(joints[f"{side}_fingers"], 0.4 if finger == 1 else 0.9)
    rotations, shifts = np.empty((len(names), 3, 3)), np.empty((len(names), 3))
    for b, parent in enumerate(parents):
        if parent < 0:
            rotations[b], moved = turns[b], heads[b]
        else:
            rotations[b] = rotations[parent] @ neutral[parent].T @ turns[b] @ neutral[b]
            moved = rotations[parent] @ heads[b] + shifts[parent]
        shifts[b] = moved - rotations[b] @ heads[b]
    return rotations, shifts


def skinned(
    vertices: np.ndarray, weights: csr_array, rotations: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
    """Each vertex moved by the weighted mean of what its bones do.

    Args:    vertices: (V, 3) at rest.  weights: (V, B), rows add up to 1.
    Returns: (V, 3).
    """
    affine = np.concatenate([rotations.reshape(-1, 9), shifts], axis=1)
    blended = weights @ affine  # (V, 12)
    turned = np.einsum("vij,vj->vi", blended[:, :9].reshape(-1, 3, 3), vertices)
    return np.asarray(turned + blended[:, 9:])


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, faces weighted by their areas; 0 for a vertex without any."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    corners = faces.ravel()
    normals = np.stack(
        [
            np.bincount(corners, np.repeat(across[:, k], 3), minlength=len(vertices))
            for k in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12))


def _between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation from one direction to another, not opposite, one.  (3,) -> (3, 3)."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    v = np.cross(a, b)
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + a @ b))
