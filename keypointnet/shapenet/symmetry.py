"""Symmetries of a model: the planes it is mirrored in, the axes it can be turned about.

How it works: area-uniform samples of the surface; a sweep over all directions, with a coarse
distance field, for planes and for axes of order 2, 3, 5 and 7 through the centroid; the best are
fitted by iterative closest points and judged by how much of the surface they map onto it. Further
axes and planes follow from those found, as a group's elements do, and are fitted and judged alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import trimesh

from keypointnet.shapenet.isometries import Mirror, Turn, across, axis_angle_deg
from keypointnet.shapenet.symmetry_search import (
    Match,
    fit,
    match,
    same,
    settle,
    sweep_mirrors,
    sweep_turns,
)
from keypointnet.shapenet.symmetry_surface import Surface, sample_surface

PRIMES = (2, 3, 5, 7)
MAX_ORDER = 12
FREE_TURNS_DEG = (20.9, 34.7, 67.3, 97.1, 157.9)
"""Angles whose multiples meet in no small order: what stands them all is a solid of revolution."""


@dataclass(frozen=True)
class Plane:
    """A plane that the surface is mirrored in.

    normal:    (3,) unit; its largest component is positive.  point: (3,) on it, nearest to the
               centroid of the surface, in the model's own units.
    score:     share of the surface that its mirror image covers, in [0, 1].
    deviation: root mean square of what lies between, in units of the object's size.
    """

    normal: np.ndarray
    point: np.ndarray
    score: float
    deviation: float


@dataclass(frozen=True)
class Axis:
    """An axis that the surface can be turned about.

    order: the turn is by 360°/order; None: by any angle, as for a solid of revolution.
    The others: as for a plane; a turn has two directions, and the worse one counts.
    """

    direction: np.ndarray
    point: np.ndarray
    order: int | None
    score: float
    deviation: float


@dataclass(frozen=True)
class Symmetries:
    """What `find_symmetries` found, best first.

    A solid of revolution has no end of planes through its axis and of half-turns across it: the
    axis stands for them. spherical: every plane and axis through the centre; none is listed.
    size: what deviations are shares of, the diameter of the sphere about the centroid.
    """

    planes: list[Plane] = field(default_factory=list)
    axes: list[Axis] = field(default_factory=list)
    spherical: bool = False
    size: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Lists and numbers only."""
        return {
            "planes": [
                {
                    "normal": np.round(plane.normal, 5).tolist(),
                    "point": np.round(plane.point, 5).tolist(),
                    "score": round(plane.score, 4),
                    "deviation": round(plane.deviation, 5),
                }
                for plane in self.planes
            ],
            "axes": [
                {
                    "direction": np.round(axis.direction, 5).tolist(),
                    "point": np.round(axis.point, 5).tolist(),
                    "order": "continuous" if axis.order is None else axis.order,
                    "score": round(axis.score, 4),
                    "deviation": round(axis.deviation, 5),
                }
                for axis in self.axes
            ],
            "spherical": self.spherical,
            "size": round(self.size, 5),
        }


def find_symmetries(meshes: Sequence[trimesh.Trimesh], seed: int = 0) -> Symmetries:
    """Find the planes of reflection and the axes of rotation of an object.

    It may lie anywhere, be turned anyhow, have holes, noise and unwelded faces: see
    `symmetry_search` for how much of the surface must fit and how well.

    Args:    meshes: of one object, as in Model.meshes.  seed: of the samples.
    Raises:  ValueError: no face has an area, or a vertex is not finite.
    """
    surface = sample_surface(meshes, seed=seed)
    mirrors = settle(surface, sweep_mirrors(surface))
    best = max((quality.covered for _, quality in mirrors), default=0.0)
    axes = _axes(surface, [mirror for mirror, _ in mirrors], best)
    mirrors += settle(
        surface,
        list(_turned_mirrors([m for m, _ in mirrors], [(turn, n) for turn, n, _ in axes])),
        known=[mirror for mirror, _ in mirrors],
        best=best,
    )
    mirrors = _without_contradictions(_without_fans(mirrors), axes)
    round_axes = [turn.direction for turn, order, _ in axes if order is None]
    if any(axis_angle_deg(a, b) > 15 for a, b in combinations(round_axes, 2)):
        return Symmetries(spherical=True, size=surface.size)
    if round_axes:
        only = round_axes[0]
        # Its planes and half-turns are no findings of their own.
        mirrors = [(m, q) for m, q in mirrors if axis_angle_deg(m.normal, only) < 45]
        axes = [entry for entry in axes if entry[1] is None]
    return Symmetries(
        [_plane(surface, mirror, quality) for mirror, quality in mirrors],
        [_axis(surface, turn, order, quality) for turn, order, quality in axes],
        size=surface.size,
    )


def _without_fans(mirrors: list[tuple[Mirror, Match]]) -> list[tuple[Mirror, Match]]:
    """Leave out planes beside a clearly better one, which nearly round objects have.

    The planes of the highest order asked for are 15 degrees apart.
    """
    return [
        (mirror, quality)
        for mirror, quality in mirrors
        if not any(
            better.covered > quality.covered + 0.003 and same(mirror, other, 12.0)
            for other, better in mirrors
        )
    ]


def _without_contradictions(
    mirrors: list[tuple[Mirror, Match]], axes: list[tuple[Turn, int | None, Match]]
) -> list[tuple[Mirror, Match]]:
    """Leave out the worse of two planes that ask for a turn which the object does not have.

    Two reflections after one another are a turn by twice the angle between their planes. A stool
    with a square seat and two rungs has its diagonals all but for the rungs; the quarter turn that
    they ask for is refused, as all of the surface is held against it at once.
    """
    kept: list[Mirror] = []
    for mirror, _ in sorted(mirrors, key=lambda entry: -entry[1].covered):
        if not any(_contradict(mirror, other, axes) for other in kept):
            kept.append(mirror)
    return [entry for entry in mirrors if any(entry[0] is mirror for mirror in kept)]


def _contradict(first: Mirror, second: Mirror, axes: list[tuple[Turn, int | None, Match]]) -> bool:
    """Whether the planes' common line is an axis whose order has no turn from one to the other."""
    line = np.cross(first.normal, second.normal)
    length = np.linalg.norm(line)
    if length < 0.1:  # parallel, or nearly: no line to speak of
        return False
    turned = 2 * axis_angle_deg(first.normal, second.normal)
    for turn, order, _ in axes:
        if order is not None and axis_angle_deg(turn.direction, line / length) < 10:
            step = 360 / order
            return bool(abs((turned + step / 2) % step - step / 2) > min(10, step / 4))
    return False


def _axes(
    surface: Surface, mirrors: list[Mirror], best: float
) -> list[tuple[Turn, int | None, Match]]:
    """Axes with their orders, highest order first. best: what the best mirror covers."""
    axes: list[tuple[Turn, int | None, Match]] = []
    for start in _axis_starts(surface, mirrors):
        if any(same(start, known) for known, _, _ in axes):
            continue
        found = _highest_order(surface, start, best)
        if found is not None and not any(same(found[0], known) for known, _, _ in axes):
            axes.append(found)
            best = max(best, found[2].covered)
            if sum(order is None for _, order, _ in axes) == 2:
                break  # a sphere
    axes = [entry for entry in axes if entry[2].holds(best)]
    return sorted(axes, key=lambda entry: (-(entry[1] or 1000), entry[2].rms))


def _axis_starts(surface: Surface, mirrors: list[Mirror]) -> Iterable[Turn]:
    """Where axes may lie."""
    if len(mirrors) == 1:
        # By group theory the only axes beside one single plane are those across it.
        mirror = mirrors[0]
        point = mirror.offset * mirror.normal
        for order in PRIMES:
            start = Turn(mirror.normal, point, 2 * np.pi / order)
            yield from (turn for turn, _ in settle(surface, [start]))
        return
    for first, second in combinations(mirrors, 2):
        if axis_angle_deg(first.normal, second.normal) > 10:
            yield _meeting(first, second, np.pi)
    for order in PRIMES:
        yield from (turn for turn, _ in settle(surface, sweep_turns(surface, order)))


def _highest_order(
    surface: Surface, start: Turn, best: float
) -> tuple[Turn, int | None, Match] | None:
    """The highest order that an axis has, the axis fitted for it; None where it has none."""

    def try_angle(angle_rad: float) -> tuple[Turn, Match] | None:
        guess = Turn(start.direction, start.point, angle_rad)
        if match(surface, guess, 400).covered < 0.7:
            return None
        fitted = fit(surface, guess)
        quality = match(surface, fitted)
        # A fit that went elsewhere is another axis' business.
        return (fitted, quality) if quality.holds(best) and same(fitted, start) else None

    free = []
    for angle in FREE_TURNS_DEG:
        turn = try_angle(np.radians(angle))
        if turn is None:
            break
        free.append(turn)
    else:
        worst = max((quality for _, quality in free), key=lambda quality: quality.rms)
        return free[0][0], None, worst
    found = []
    for order in range(MAX_ORDER, 1, -1):
        turn = try_angle(2 * np.pi / order)
        if turn is not None:
            found.append((turn[0], order, turn[1]))
            best = max(best, turn[1].covered)
    # A nearly round object nearly has any order: a higher one must fit as well as a lower one does,
    # but for what damage takes off.
    most = max((quality.covered for _, _, quality in found), default=0.0)
    enough = most - 0.005 - 0.5 * (1 - most)
    fitting = (entry for entry in found if entry[2].holds(best) and entry[2].covered >= enough)
    return next(fitting, None)


def _meeting(first: Mirror, second: Mirror, angle_rad: float) -> Turn:
    """A turn about the line in which two planes meet."""
    normals = np.stack([first.normal, second.normal])
    direction = np.cross(first.normal, second.normal)
    direction /= np.linalg.norm(direction)
    point, *_ = np.linalg.lstsq(normals, np.array([first.offset, second.offset]), rcond=None)
    return Turn(direction, point, angle_rad)


def _turned_mirrors(mirrors: list[Mirror], axes: list[tuple[Turn, int | None]]) -> Iterable[Mirror]:
    """The planes that follow from a plane and an axis in it: every half of the axis' angle."""
    for turn, order in axes:
        if order is None:
            continue
        along = [m for m in mirrors if axis_angle_deg(m.normal, turn.direction) > 85]
        for mirror in along[:1]:
            for k in range(1, order):
                matrix = Turn(turn.direction, turn.point, np.pi * k / order).matrix
                normal = matrix @ mirror.normal
                yield Mirror(normal, float(normal @ turn.point))


def _plane(surface: Surface, mirror: Mirror, quality: Match) -> Plane:
    sign = _sign(mirror.normal)
    point = surface.centre + surface.size * mirror.offset * mirror.normal
    return Plane(sign * mirror.normal, point, quality.covered, quality.rms)


def _axis(surface: Surface, turn: Turn, order: int | None, quality: Match) -> Axis:
    basis = across(turn.direction)
    point = surface.centre + surface.size * (basis @ turn.point) @ basis
    direction = _sign(turn.direction) * turn.direction
    return Axis(direction, point, order, quality.covered, quality.rms)


def _sign(direction: np.ndarray) -> float:
    return -1.0 if direction[int(np.argmax(np.abs(direction)))] < 0 else 1.0
