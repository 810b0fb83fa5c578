"""Which part of one model is which part of another of the same class.

Names decide where both models use them. Otherwise parts are compared as surfaces (or clouds) with a
middle μ and a covariance Σ, after each model has been stretched to fill the cube from -1 to 1, so
that a stool's seat lies where a tall chair's does:
    cost = √(|μ₁ - μ₂|² + ‖Σ₁^½ - Σ₂^½‖²) + SHARE_WEIGHT |ln(share₁ / share₂)|,
share being how much of its model's area (or points) a part is. The first term tells where a part
lies and how far it reaches along which axes. The best one-to-one assignment is scipy's; a pair that
costs MAX_COST or more stays apart.

Convention: both models are aligned, in the object frame of `keypointnet.shapenet.models`. A part
that lies on one side of its model is never taken for one on the other side, by whatever way.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from keypointnet.shapenet.parts import Part, name_words

MAX_COST = 1.0
SHARE_WEIGHT = 0.05
_ON_A_SIDE = 0.02  # of a part's extent, by which it may reach over the middle
_FLAT = 0.02  # of a model's longest side: an axis shorter than this is not stretched further
_NEVER = 1e6


@dataclass(frozen=True)
class Match:
    """Two parts that correspond.

    first, second: the parts.
    score: exp(-cost), 1 for the same place, shape and share.
    by: "name" or "shape".
    """

    first: Part
    second: Part
    score: float
    by: str


@dataclass(frozen=True)
class Correspondence:
    """Parts that correspond, in the order of the first tree, and those of either that have none."""

    matches: list[Match]
    only_first: list[Part]
    only_second: list[Part]


def correspond(
    first: Part,
    second: Part,
    *,
    leaves: bool = False,
    names: bool = True,
    max_cost: float = MAX_COST,
    side_axis: int = 0,
) -> Correspondence:
    """Which parts of two models are the same part.

    Level by level: the children of two parts that correspond are compared with each other, down to
    where one of the two has none. Parts with the same telling words in their names belong together
    (what the model's own name says tells nothing: in a "chair", "chair_seat" is "seat"); of several
    with one name, those that lie alike. The others go by shape, but two parts whose
    names tell different things (and none of which has the other's name below it, as a "base" of
    "legs" has) stay apart, unless the two levels have no name in common.

    Args:    first, second: the roots, which are not themselves compared.
             leaves: compare the leaves of the trees instead, wherever they hang.
             names: False leaves names aside.
             max_cost: see MAX_COST; names join parts whatever it costs.
             side_axis: the axis from one side of the models to the other.
    Raises:  ValueError: a part without faces or points.
    """
    frames = _Frame(first, side_axis), _Frame(second, side_axis)
    own_words = frozenset([*name_words(first.name), *name_words(second.name)]) if names else None
    if leaves:
        levels = [(first.leaves(), second.leaves())]
    else:
        levels = [(first.children, second.children)]
    matches: list[Match] = []
    only_first: list[Part] = []
    only_second: list[Part] = []
    while levels:
        level = _match_level(*levels.pop(), *frames, own_words, max_cost)
        matches += level.matches
        only_first += level.only_first
        only_second += level.only_second
        for match in [] if leaves else level.matches:
            if match.first.children and match.second.children:
                levels.append((match.first.children, match.second.children))
    order = {id(part): number for number, (_, part) in enumerate(first.walk())}
    matches.sort(key=lambda match: order[id(match.first)])
    return Correspondence(matches, only_first, only_second)


def part_costs(
    parts: Sequence[Part],
    others: Sequence[Part],
    whole: Part,
    other_whole: Part,
    side_axis: int = 0,
) -> np.ndarray:
    """What it costs to take each part of one model for each of another; names play no role.

    Args:    whole, other_whole: the models that they are parts of.
    Returns: (n, m) float64, at least _NEVER where two parts lie on different sides.
    """
    frames = _Frame(whole, side_axis), _Frame(other_whole, side_axis)
    return _costs(_described(parts, frames[0]), _described(others, frames[1]))


def assign(costs: np.ndarray, max_cost: float) -> list[tuple[int, int]]:
    """The one-to-one assignment that costs least in all, where staying alone costs max_cost / 2.

    Args:    costs: (n, m).
    Returns: pairs of places; none of them costs max_cost or more.
    """
    # A pair dearer than max_cost is as good as two that stay alone: its price is capped there.
    rows, columns = linear_sum_assignment(np.minimum(costs, max_cost))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if costs[row, column] < max_cost]


class _Frame:
    """Takes a model's bounding box to the cube from -1 to 1."""

    def __init__(self, whole: Part, side_axis: int) -> None:
        low, high = whole.bounds
        self.middle = (low + high) / 2
        self.half = np.maximum(high - low, _FLAT * (high - low).max()) / 2
        self.mass = whole.moments[0]
        self.side_axis = side_axis


@dataclass(frozen=True)
class _Described:
    """Of n parts: place and spread (n, 12), the logarithm of their share (n,), side (n,)."""

    place: np.ndarray
    log_share: np.ndarray
    side: np.ndarray


def _described(parts: Sequence[Part], frame: _Frame) -> _Described:
    place, share, side = np.zeros((len(parts), 12)), np.ones(len(parts)), np.zeros(len(parts))
    for k, part in enumerate(parts):
        mass, centroid, covariance = part.moments
        covariance = covariance / np.outer(frame.half, frame.half)
        values, axes = np.linalg.eigh(covariance)
        spread = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T
        place[k] = np.concatenate([(centroid - frame.middle) / frame.half, spread.ravel()])
        share[k] = mass / frame.mass
        low, high = (part.bounds - frame.middle)[:, frame.side_axis]
        reach = _ON_A_SIDE * (high - low) + 1e-6
        side[k] = 1.0 if low > -reach else -1.0 if high < reach else 0.0
    return _Described(place, np.log(share), side)


def _costs(first: _Described, second: _Described) -> np.ndarray:
    shares = np.abs(first.log_share[:, None] - second.log_share[None])
    costs = cdist(first.place, second.place) + SHARE_WEIGHT * shares
    return np.asarray(costs + _NEVER * (first.side[:, None] * second.side[None] < 0))


def _match_level(
    parts: Sequence[Part],
    others: Sequence[Part],
    frame: _Frame,
    other_frame: _Frame,
    own_words: frozenset[str] | None,
    max_cost: float,
) -> Correspondence:
    """One level; own_words: of the models' own names, or None to leave names aside."""
    costs = _costs(_described(parts, frame), _described(others, other_frame))
    words = [_telling(part.name, own_words) for part in parts]
    other_words = [_telling(part.name, own_words) for part in others]
    free, other_free = list(range(len(parts))), list(range(len(others)))
    found: list[tuple[int, int, str]] = []
    shared = (set(words) & set(other_words)) - {frozenset()}
    for name in sorted(shared, key=sorted):
        rows, columns = _places(words, name), _places(other_words, name)
        for k, j in assign(costs[np.ix_(rows, columns)], _NEVER):
            found.append((rows[k], columns[j], "name"))
    free = [k for k in free if k not in {row for row, _, _ in found}]
    other_free = [k for k in other_free if k not in {column for _, column, _ in found}]
    left = costs[np.ix_(free, other_free)]
    if shared:
        below = [_telling_below(parts[row], own_words) for row in free]
        other_below = [_telling_below(others[column], own_words) for column in other_free]
        for k, row in enumerate(free):
            for j, column in enumerate(other_free):
                if not (words[row] <= other_below[j] or other_words[column] <= below[k]):
                    left[k, j] = _NEVER
    found += [(free[k], other_free[j], "shape") for k, j in assign(left, max_cost)]
    taken, other_taken = {row for row, _, _ in found}, {column for _, column, _ in found}
    return Correspondence(
        [Match(parts[i], others[j], float(np.exp(-costs[i, j])), by) for i, j, by in found],
        [part for k, part in enumerate(parts) if k not in taken],
        [part for k, part in enumerate(others) if k not in other_taken],
    )


def _telling(name: str, own_words: frozenset[str] | None) -> frozenset[str]:
    """A part name's words without those of the model's, unless that leaves none."""
    if own_words is None:
        return frozenset()
    said = frozenset(name_words(name))
    return said - own_words or said


def _telling_below(part: Part, own_words: frozenset[str] | None) -> frozenset[str]:
    """The telling words of a part's name and of those of all parts that it is made of."""
    return frozenset().union(*(_telling(below.name, own_words) for _, below in part.walk()))


def _places(values: Sequence[Hashable], wanted: Hashable) -> list[int]:
    return [k for k, value in enumerate(values) if value == wanted]
