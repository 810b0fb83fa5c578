"""How well a reflection or a turn maps a surface onto itself, and the nearest one that does best.

Lengths are in units of the object's size; see `symmetry_surface`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from keypointnet.shapenet.isometries import Mirror, Turn, axis_angle_deg, half_sphere
from keypointnet.shapenet.symmetry_surface import Surface

TOLERANCE = 0.02
"""What lies as near as this to the surface lies on it."""
FAR = 0.035
"""What lies further from the surface than this is out of place, whatever noise there is."""
HOLE = 0.15
"""Holes are at most this wide: what is nearer to a rim may belong to what is missing."""
MIN_COVERED = 0.88
MAX_FAR = 0.01
SLACK = 0.025
"""A symmetry maps at least MIN_COVERED of the surface onto it, at most SLACK less than the object's
best one does (damage costs all of them the same), and leaves at most MAX_FAR of it out of place."""

DIRECTIONS = 640
"""Of the sweep, 5.7 degrees apart: within 4 degrees of any plane, well inside the fit's reach."""
APART_DEG = 9.0
MAX_COST = 0.03
"""Mean distance above which a direction of the sweep is not worth a fit: a plane 4 degrees away
costs up to 0.017."""
FIRST = (0.12, 0.12)
LOST = 0.02
"""Mean distance that two steps leave of a guess near a symmetry, even a noisy one, at most."""
COARSE = (0.08, 0.08, 0.05)
FINE = (0.05, 0.04, 0.03, 0.03, 0.02, 0.02, 0.02, 0.02)
"""Distances beyond which the steps of a fit ignore a point."""

Isometry = TypeVar("Isometry", Mirror, Turn)


@dataclass(frozen=True)
class Match:
    """How well an isometry maps a surface onto itself.

    covered: share of the surface that comes to lie within TOLERANCE of it, the smaller of the two
             directions.
    far:     share that comes to lie further off than FAR, not counting what falls into a hole.
    rms:     root of the mean squared distance of what is covered.
    """

    covered: float
    far: float
    rms: float

    def holds(self, best: float = 0.0) -> bool:
        """It is a symmetry of an object whose best one covers so much."""
        return self.covered >= max(MIN_COVERED, best - SLACK) and self.far <= MAX_FAR


def match(surface: Surface, isometry: Mirror | Turn, count: int = 4000) -> Match:
    """Compare a surface with its image, and, for a turn, its image with it.

    Args:    count: about how many samples to move.
    """
    step = max(len(surface.points) // count, 1)
    points = surface.points[::step]
    both = [isometry] if isinstance(isometry, Mirror) else [isometry, isometry.inverse()]
    covered, far, rms = [], [], []
    for way in both:
        index, distance = surface.nearest(way.apply(points), within=HOLE)
        on = distance <= TOLERANCE
        in_hole = surface.at_rim[index] & (distance <= HOLE)
        covered.append(float(on.mean()))
        far.append(float(((distance > FAR) & ~in_hole).mean()))
        rms.append(float(np.sqrt((distance[on] ** 2).mean())) if on.any() else np.inf)
    return Match(min(covered), max(far), max(rms))


def fit(
    surface: Surface, isometry: Isometry, reaches: Sequence[float] = FINE, count: int = 1500
) -> Isometry:
    """Move a reflection or turn to where it maps the surface onto itself best.

    Iterative closest points with distances to tangent planes (Chen and Medioni 1992), Tukey's
    weights and a reach that shrinks; the unknowns are the plane's or the axis' own, so that the
    result is a reflection or a turn by the same angle at every step.

    Args:    reaches: a step each.  count: about how many samples to move.
    """
    step = max(len(surface.points) // count, 1)
    points = surface.points[::step]
    for reach in reaches:
        image = isometry.apply(points)
        gap, index = surface.tree.query(image, distance_upper_bound=reach)
        near = np.flatnonzero(gap < reach)
        if len(near) < 20:
            break
        index = index[near]
        normals = surface.normals[index]
        weight = (1 - (gap[near] / reach) ** 2) ** 2
        residual = np.einsum("ij,ij->i", normals, image[near] - surface.points[index])
        slope = np.einsum("ij,ijk->ik", normals, isometry.jacobian(points[near]))
        normal_matrix = (slope * weight[:, None]).T @ slope
        damping = 1e-3 * np.trace(normal_matrix) / len(normal_matrix) + 1e-9
        change = np.linalg.solve(
            normal_matrix + damping * np.eye(len(normal_matrix)),
            -slope.T @ (weight * residual),
        )
        isometry = isometry.moved(change * min(1.0, 0.15 / (np.abs(change).max() + 1e-12)))
    return isometry


def settle(
    surface: Surface,
    starts: Iterable[Isometry],
    known: Sequence[Isometry] = (),
    best: float = 0.0,
) -> list[tuple[Isometry, Match]]:
    """Fit guesses, coarsely at first, and keep those that are symmetries, once each.

    Args:    known: symmetries that are not wanted again.  best: what the best of them covers.
    Returns: best first.
    """
    some = _some(surface, 320)
    rough: list[Isometry] = list(known)
    found: list[tuple[Isometry, Match]] = []
    for start in starts:
        guess = fit(surface, start, FIRST, 250)
        if _cost(surface, guess.apply(some)[None])[0] > LOST:
            continue
        guess = fit(surface, guess, COARSE, 400)
        if match(surface, guess, 400).covered < 0.5 or any(same(guess, other) for other in rough):
            continue
        rough.append(guess)
        fine = fit(surface, guess)
        quality = match(surface, fine)
        if quality.holds() and not any(same(fine, other) for other in known):
            found.append((fine, quality))
    found.sort(key=lambda entry: entry[1].rms)
    best = max([best, *(quality.covered for _, quality in found)])
    distinct: list[tuple[Isometry, Match]] = []
    for isometry, quality in found:
        if quality.holds(best) and not any(same(isometry, other) for other, _ in distinct):
            distinct.append((isometry, quality))
    return distinct


def same(first: Isometry, second: Isometry, within_deg: float = 5.0, gap: float = 0.03) -> bool:
    """Two reflections have one plane, or two turns one axis, whatever their angles."""
    if isinstance(first, Mirror) and isinstance(second, Mirror):
        shift = first.offset - np.sign(first.normal @ second.normal) * second.offset
        return bool(axis_angle_deg(first.normal, second.normal) < within_deg and abs(shift) < gap)
    if isinstance(first, Turn) and isinstance(second, Turn):
        apart = first.point - second.point
        apart = apart - (apart @ first.direction) * first.direction
        angle = axis_angle_deg(first.direction, second.direction)
        return bool(angle < within_deg and np.linalg.norm(apart) < gap)
    return False


def sweep_mirrors(surface: Surface, keep: int = 14) -> list[Mirror]:
    """The best planes through the centroid, of all directions.

    A sweep is chosen over principal axes, which a square or round object does not have, and over
    votes of pairs of points, whose number grows with the square of what detail must be seen: it
    sees every plane, at a cost that does not depend on the object.
    Returns: at most `keep`, best first, no two within APART_DEG.
    """
    directions = half_sphere(DIRECTIONS).astype(np.float32)
    points = _some(surface, 320)
    images = points - 2 * (directions @ points.T)[..., None] * directions[:, None]
    return [Mirror(normal, 0.0) for normal in _best_apart(directions, _cost(surface, images), keep)]


def sweep_turns(surface: Surface, order: int, keep: int = 4) -> list[Turn]:
    """The best axes through the centroid for a turn by 360°/order; as `sweep_mirrors`."""
    directions = half_sphere(DIRECTIONS).astype(np.float32)
    points = _some(surface, 200)
    angle = 2 * np.pi / order
    turns = _rotations(directions, angle)
    cost = _cost(surface, np.einsum("dij,qj->dqi", turns, points, optimize=True))
    return [
        Turn(direction, np.zeros(3), angle) for direction in _best_apart(directions, cost, keep)
    ]


def _rotations(directions: np.ndarray, angle_rad: float) -> np.ndarray:
    """(D, 3, 3) rotations by an angle about (D, 3) directions."""
    x, y, z = directions.T
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    turned = np.eye(3) + np.sin(angle_rad) * skew + (1 - np.cos(angle_rad)) * skew @ skew
    return np.asarray(turned, dtype=np.float32)


def _some(surface: Surface, count: int) -> np.ndarray:
    step = max(len(surface.points) // count, 1)
    return surface.points[::step].astype(np.float32)


def _cost(surface: Surface, images: np.ndarray) -> np.ndarray:
    """Mean distance of (D, Q, 3) images, those far off counted as 0.1. (D,)."""
    return np.minimum(surface.rough_distance(images), 0.1).mean(axis=1)


def _best_apart(directions: np.ndarray, cost: np.ndarray, keep: int) -> list[np.ndarray]:
    """The cheapest directions that are worth a fit, no two within APART_DEG of each other."""
    chosen: list[np.ndarray] = []
    for k in np.argsort(cost, kind="stable"):
        if len(chosen) == keep or cost[k] > MAX_COST:
            break
        direction = directions[k].astype(np.float64)
        direction /= np.linalg.norm(direction)
        if all(axis_angle_deg(direction, other) > APART_DEG for other in chosen):
            chosen.append(direction)
    return chosen
