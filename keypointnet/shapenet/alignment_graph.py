"""Which shapes are compared with which: a sparse graph, and the energy of each pair it joins.

A pair's energies are 1 minus the cosine of the two signatures, one number for each rotation of the
second shape against the first: enough for every pair of labels, because the labels are a group.
n shapes, E pairs, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from keypointnet.shapenet.alignment_rotations import RotationSet
from keypointnet.shapenet.alignment_shapes import SurfaceSample, invariants, signatures

NEIGHBOURS = 8
CANDIDATES = 32
REPRESENTATIVES = 8
SAME = 0.02
"""Least energy under which two shapes count as one: two samplings of a surface differ as much."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of shapes and what aligning them costs.

    pairs:    (E, 2) int, i < j, each once.
    energies: (E, L) float64; column g is the energy of shape i as it is and shape j turned by g.
    """

    pairs: np.ndarray
    energies: np.ndarray

    @property
    def least(self) -> np.ndarray:
        """(E,) the energy of the best rotation: how different the shapes are, however they lie."""
        return np.asarray(self.energies.min(axis=1))

    @property
    def likeness(self) -> np.ndarray:
        """(E,) how much a pair counts: exp(−(m_ij / m)²) of its least energy m_ij.

        m is the median over pairs that are no copies: where most shapes have copies, the energies
        of those would leave nothing to the pairs that join different shapes.
        """
        least = self.least
        different = least[least >= SAME]
        middle = float(np.median(different)) if len(different) else 1.0
        return np.asarray(np.exp(-((least / middle) ** 2)))


def pair_energies(
    samples: Sequence[SurfaceSample], pairs: np.ndarray, rotations: RotationSet
) -> np.ndarray:
    """Energies of given pairs.

    Args:    samples: placed.  pairs: (E, 2) int.
    Returns: (E, L) float64 in [0, 2].
    """
    identity = rotations.matrices[:1]
    needed = np.unique(pairs[:, 0])
    upright = np.zeros((len(samples), 0), dtype=np.float32)
    if len(needed):
        first = signatures(samples[needed[0]], identity)
        upright = np.zeros((len(samples), first.shape[1]), dtype=np.float32)
        upright[needed] = np.concatenate([signatures(samples[i], identity) for i in needed])
    energies = np.empty((len(pairs), len(rotations)))
    order = np.argsort(pairs[:, 1], kind="stable")
    for second, rows in _groups(pairs[order, 1], order):
        turned = signatures(samples[second], rotations.matrices)
        energies[rows] = 1 - upright[pairs[rows, 0]] @ turned.T
    return energies


def taxonomy_levels(paths: Sequence[Sequence[str]]) -> np.ndarray:
    """The category of each shape at each level of a taxonomy, the leaves first.

    Args:    paths: of each shape, the names from the root down to its own category; they may differ
             in length, and be empty.
    Returns: (n, K) int; equal numbers in a column are one category; the last column is the root.
    """
    depth = max((len(path) for path in paths), default=0)
    columns = []
    for length in range(depth, -1, -1):
        names: dict[tuple[str, ...], int] = {}
        columns.append([names.setdefault(tuple(p[:length]), len(names)) for p in paths])
    return np.array(columns, dtype=np.int64).reshape(depth + 1, len(paths)).T


def join_shapes(
    samples: Sequence[SurfaceSample],
    rotations: RotationSet,
    levels: np.ndarray | None = None,
    *,
    neighbours: int = NEIGHBOURS,
    candidates: int = CANDIDATES,
    on_stage: Callable[[str], object] = lambda text: None,
) -> Pairs:
    """Joins every shape to its most similar ones, category by category, and all into one piece.

    Candidates come from a k-d tree over what no rotation changes; of these the `neighbours` with
    the least energy are kept. Shapes that are copies of each other would know only themselves, so
    one of each set of copies is joined to its like again; and where the graph has several pieces,
    REPRESENTATIVES of each are joined across, until one piece is left. Each round leaves at most
    a fixed share of the shapes taking part: the cost is O(n log n).

    Args:    samples: placed.  levels: (n, K) from `taxonomy_levels`; None: no taxonomy.
    """
    n = len(samples)
    described = _main_directions(np.stack([invariants(sample) for sample in samples]))
    known = KnownPairs(samples, rotations)
    kept: set[tuple[int, int]] = set()
    for level in np.zeros((1, n), np.int64) if levels is None else levels.T:
        for _, members in _groups(np.sort(level), np.argsort(level, kind="stable")):
            pieces = _pieces(n, kept)
            if len(np.unique(pieces[members])) == len(members):  # nothing joined yet: the leaves
                on_stage(f"compare {len(members)} shapes")
                for shapes in (members, None):
                    if shapes is None:
                        shapes = _first_of_each(_pieces(n, known.copies(kept)), members)
                        if len(shapes) == len(members):
                            break
                    wanted = _candidates(described, shapes, candidates)
                    kept |= _nearest(known.least(wanted), neighbours)
            while len(np.unique((pieces := _pieces(n, kept))[members])) > 1:
                chosen = _representatives(pieces, members, kept)
                wanted = _candidates(described, chosen, candidates, pieces)
                kept |= _nearest(known.least(wanted), neighbours)
    return known.chosen(kept)


class KnownPairs:
    """Energies of pairs, each computed once."""

    def __init__(self, samples: Sequence[SurfaceSample], rotations: RotationSet) -> None:
        self._samples, self._rotations = samples, rotations
        self._energies: dict[tuple[int, int], np.ndarray] = {}

    def least(self, wanted: np.ndarray) -> dict[tuple[int, int], float]:
        """The least energy of each pair. wanted: (E, 2), i < j."""
        pairs = list(map(tuple, wanted.tolist()))
        new = np.array([pair for pair in pairs if pair not in self._energies]).reshape(-1, 2)
        found = pair_energies(self._samples, new.astype(np.int64), self._rotations)
        self._energies.update(zip(map(tuple, new.tolist()), found, strict=True))
        return {pair: float(self._energies[pair].min()) for pair in pairs}

    def copies(self, pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those pairs that are one shape twice."""
        return {pair for pair in pairs if self._energies[pair].min() < SAME}

    def chosen(self, pairs: set[tuple[int, int]]) -> Pairs:
        """Some pairs with their energies, in order."""
        ordered = sorted(pairs)
        energies = np.array([self._energies[pair] for pair in ordered])
        return Pairs(
            np.array(ordered, dtype=np.int64).reshape(-1, 2),
            energies.reshape(len(ordered), len(self._rotations)),
        )


def _main_directions(described: np.ndarray, count: int = 8) -> np.ndarray:
    """(n, F) → (n, at most count): so few that a k-d tree is faster than all pairs."""
    centred = described - described.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ vectors[:, ::-1][:, :count])


def _candidates(
    described: np.ndarray, shapes: np.ndarray, count: int, pieces: np.ndarray | None = None
) -> np.ndarray:
    """Pairs of each shape and its nearest `count` others, or the nearest in other pieces.

    Args:    described: (n, F) of all shapes.  shapes: (m,) those that take part.
             pieces: (n,) given where pairs inside a piece are not wanted; at most REPRESENTATIVES
             of each piece take part.
    Returns: (·, 2) int, i < j, each once.
    """
    asked = min(len(shapes), count + (1 if pieces is None else REPRESENTATIVES))
    _, near = cKDTree(described[shapes]).query(described[shapes], k=asked)
    own = np.repeat(shapes, asked)
    other = shapes[np.asarray(near).reshape(-1)]
    useful = own != other if pieces is None else pieces[own] != pieces[other]
    both = np.sort(np.stack([own, other], axis=1)[useful], axis=1)
    return np.asarray(np.unique(both, axis=0))


def _nearest(least: dict[tuple[int, int], float], count: int) -> set[tuple[int, int]]:
    """The pairs that are among the `count` best of either shape."""
    of_shape: dict[int, list[tuple[float, tuple[int, int]]]] = {}
    for pair, energy in least.items():
        for shape in pair:
            of_shape.setdefault(shape, []).append((energy, pair))
    return {pair for found in of_shape.values() for _, pair in sorted(found)[:count]}


def _pieces(n: int, pairs: set[tuple[int, int]]) -> np.ndarray:
    """(n,) the number of the connected piece that each shape is in."""
    rows, columns = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1])


def _first_of_each(pieces: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The first of the members in each piece."""
    _, first = np.unique(pieces[members], return_index=True)
    return np.sort(members[first])


def _representatives(
    pieces: np.ndarray, members: np.ndarray, pairs: set[tuple[int, int]]
) -> np.ndarray:
    """Of each piece, the members with the most neighbours, at most REPRESENTATIVES."""
    degree = np.bincount(np.array(sorted(pairs), dtype=np.int64).reshape(-1), minlength=len(pieces))
    order = members[np.lexsort((members, -degree[members], pieces[members]))]
    _, start = np.unique(pieces[order], return_index=True)
    rank = np.arange(len(order)) - np.repeat(start, np.diff(np.append(start, len(order))))
    return np.sort(order[rank < REPRESENTATIVES])


def _groups(keys: np.ndarray, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Rows of equal, sorted keys."""
    values, start = np.unique(keys, return_index=True)
    stop = [*start[1:].tolist(), len(rows)][: len(start)]
    spans = zip(values.tolist(), start.tolist(), stop, strict=True)
    return [(value, rows[begin:end]) for value, begin, end in spans]
