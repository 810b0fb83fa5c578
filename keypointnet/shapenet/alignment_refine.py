"""Small turns about the chosen labels, which a discrete set cannot give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from keypointnet.shapenet.alignment_rotations import angle_deg
from keypointnet.shapenet.alignment_shapes import SurfaceSample, signatures

STEPS_DEG = (7.5, 4.0, 2.0)
LIMIT_DEG = {"azimuth": 12.0, "cube": 10.0}
LEAST_GAIN = {"azimuth": 0.0, "cube": 0.6}
"""Share of a shape's energy that a turn must save. A cube's label is kept unless most is gained:
models that lie askew are rarer than models whose difference from others looks like a tilt."""
LEAST_ENERGY = {"azimuth": 0.0, "cube": 0.02}
"""Energy, for each unit of weight, below which nothing is turned: two samplings differ as much."""


def refine(
    samples: Sequence[SurfaceSample],
    R: np.ndarray,
    pairs: np.ndarray,
    weights: np.ndarray,
    kind: str,
    held: frozenset[int] = frozenset(),
) -> np.ndarray:
    """Turns each shape a little, towards the mean signature of the shapes it is joined to.

    One sweep for each of STEPS_DEG; in it a shape tries a step each way about up ("azimuth") or
    about each axis ("cube"), and moves to the peak of the parabola through the three likenesses.

    Args:    samples: placed.  R: (n, 3, 3), the labels' rotations.
             pairs: (E, 2).  weights: (E,) of each pair.  held: shapes that are not turned.
    Returns: (n, 3, 3), within LIMIT_DEG of R; R itself where a turn saves too little.
    """
    joined: list[list[tuple[int, float]]] = [[] for _ in samples]
    for (i, j), weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        joined[i].append((j, weight))
        joined[j].append((i, weight))
    axes = np.eye(3)[[1]] if kind == "azimuth" else np.eye(3)
    refined = np.array(R)
    present = np.concatenate([signatures(s, r[None]) for s, r in zip(samples, R, strict=True)])
    for step_deg in STEPS_DEG:
        for i, partners in enumerate(joined):
            if i in held or not partners:
                continue
            goal = sum(weight * present[j] for j, weight in partners)
            turned = _step(samples[i], refined[i], goal, axes, step_deg)
            if angle_deg(turned @ R[i].T) <= LIMIT_DEG[kind]:
                refined[i] = turned
                present[i] = signatures(samples[i], turned[None])[0]
    for i, partners in enumerate(joined):
        if i in held or not partners:
            continue
        goal = sum(weight * present[j] for j, weight in partners)
        length = float(np.linalg.norm(goal))
        before = length - float(signatures(samples[i], R[i : i + 1])[0] @ goal)
        after = length - float(present[i] @ goal)
        if after > (1 - LEAST_GAIN[kind]) * before or before < LEAST_ENERGY[kind] * length:
            refined[i] = R[i]
    return refined


def _step(
    sample: SurfaceSample, R: np.ndarray, goal: np.ndarray, axes: np.ndarray, step_deg: float
) -> np.ndarray:
    """R, turned by at most step_deg about each axis to where the likeness peaks."""
    turns = np.concatenate([[np.zeros(3)], axes, -axes]) * np.deg2rad(step_deg)
    likeness = signatures(sample, Rotation.from_rotvec(turns).as_matrix() @ R) @ goal
    here, plus, minus = likeness[0], likeness[1 : 1 + len(axes)], likeness[1 + len(axes) :]
    bend = plus + minus - 2 * here
    # Without a peak between the two (bend >= 0), the better end.
    shift = np.where(bend < -1e-12, (minus - plus) / (2 * np.minimum(bend, -1e-12)), 0.0)
    shift = np.where(bend < -1e-12, np.clip(shift, -1, 1), np.sign(plus - minus))
    best = np.maximum(plus, minus)
    shift = np.where((bend >= 0) & (best <= here), 0.0, shift)
    turn = Rotation.from_rotvec((shift * np.deg2rad(step_deg)) @ axes)
    return np.asarray(turn.as_matrix() @ R)
