"""The orientations of all shapes as a Markov random field: messages, labels, marginals.

Each shape i has a label x_i, the rotation that aligns it. The energy of a labelling is
Σ_i u_i(x_i) + Σ_(i,j) w_ij d_ij(R_{x_i}ᵀ R_{x_j}), where d_ij are a pair's energies; w_ij is larger
for shapes that are more alike. Turning all together changes nothing, so at least one is held.

n shapes, E pairs, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keypointnet.shapenet.alignment_graph import Pairs
from keypointnet.shapenet.alignment_rotations import RotationSet

INVERSE_TEMPERATURE = 20.0
MERGE_NOISE = 0.3
CHUNK = 1024  # messages computed at a time: each needs L² numbers


@dataclass(frozen=True)
class MarkovField:
    """A Markov random field over labels of a group.

    pairs: (E, 2) int.  costs: (E, L) of R_{x_i}ᵀ R_{x_j}; the least of each pair is 0.
    unary: (n, L) each shape's own costs; inf forbids a label.
    """

    pairs: np.ndarray
    costs: np.ndarray
    unary: np.ndarray
    rotations: RotationSet

    def energy(self, labels: np.ndarray) -> float:
        """The energy of a labelling. labels: (n,) int."""
        first, second = self.pairs.T
        relative = self.rotations.relative[labels[first], labels[second]]
        between = self.costs[np.arange(len(self.pairs)), relative].sum()
        return float(between + self.unary[np.arange(len(labels)), labels].sum())


def make_field(
    pairs: Pairs, n: int, rotations: RotationSet, held: Mapping[int, int]
) -> MarkovField:
    """The field of n shapes whose weights w_ij are the pairs' likeness.

    Args:    held: shape → its label.
    Raises:  ValueError: a held shape or label that does not exist.
    """
    unary = np.zeros((n, len(rotations)))
    for shape, label in held.items():
        if not (0 <= shape < n and 0 <= label < len(rotations)):
            raise ValueError(
                f"make_field: expected shapes below {n} and labels below {len(rotations)} in held, "
                f"got shape {shape}, label {label}"
            )
        unary[shape] = np.inf
        unary[shape, label] = 0.0
    costs = pairs.likeness[:, None] * (pairs.energies - pairs.least[:, None])
    return MarkovField(pairs.pairs, costs, unary, rotations)


def merge_bottom_up(
    field: MarkovField, levels: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """A labelling built from the leaves of the taxonomy to its root.

    At first every shape is a group. Two groups that are each other's surest partner (the best
    rotation between them beats the second best by most, over all pairs that join them) become one,
    turned by that rotation: a node of the tree with its children aligned, whose energy against the
    next is the sum over its members. A level's groups are done before the next level starts.

    Args:    field: shapes held in it form one group from the start.
             levels: (n, K) int, the category of each shape, leaf level first; the last column is
             the root.  rng: perturbs the order of merging; None: none.
    Returns: (n,) int.
    """
    held = np.isinf(field.unary).any(axis=1)
    labels = np.where(held, field.unary.argmin(axis=1), 0)
    # Group 0 holds what must not be turned: a merger always turns the group of higher number.
    group = np.where(held, 0, np.arange(len(labels)) + 1)
    for level in levels.T:
        inside = level[field.pairs[:, 0]] == level[field.pairs[:, 1]]
        while True:
            open_pairs = np.flatnonzero(
                inside & (group[field.pairs[:, 0]] != group[field.pairs[:, 1]])
            )
            if len(open_pairs) == 0:
                break
            labels, group = _merge_partners(field, labels, group, open_pairs, rng)
    return labels


def _merge_partners(
    field: MarkovField,
    labels: np.ndarray,
    group: np.ndarray,
    open_pairs: np.ndarray,
    rng: np.random.Generator | None,
) -> tuple[np.ndarray, np.ndarray]:
    """One round: the surer half of the groups join their partners.

    Each round takes away a fixed share of the groups, so there are O(log n) of them.
    """
    product, relative = field.rotations.product, field.rotations.relative
    inverse = field.rotations.inverse
    i, j = field.pairs[open_pairs].T
    swapped = group[i] > group[j]
    lower, higher = np.where(swapped, j, i), np.where(swapped, i, j)
    # the cost of turning the higher group by each g, from a table for the pair's own direction
    column = relative[labels[lower][:, None], product[:, labels[higher]].T]
    column = np.where(swapped[:, None], inverse[column], column)
    size = len(labels) + 1
    keys, row = np.unique(group[lower] * size + group[higher], return_inverse=True)
    total = np.zeros((len(keys), len(field.rotations)))
    np.add.at(total, row.reshape(-1), np.take_along_axis(field.costs[open_pairs], column, axis=1))
    ordered = np.partition(total, 1, axis=1)
    sure = ordered[:, 1] - ordered[:, 0]
    if rng is not None:
        sure = sure * np.exp(MERGE_NOISE * rng.standard_normal(len(sure)))
    lows, highs = np.divmod(keys, size)
    best: dict[int, int] = {}
    for k in np.lexsort((keys, -sure)).tolist():
        best.setdefault(int(lows[k]), k)
        best.setdefault(int(highs[k]), k)
    wishes = list(dict.fromkeys(best.values()))  # surest first, as they were found
    turn, name = np.zeros(size, dtype=np.int64), np.arange(size)
    keeps: set[int] = set()  # groups that others joined: they stay as they are in this round
    for k in wishes[: (len(wishes) + 1) // 2]:
        low, high, g = int(lows[k]), int(highs[k]), int(total[k].argmin())
        if name[low] != low or name[high] != high:
            continue  # one of them was turned: what joins them is another rotation now
        if high not in keeps:
            turn[high], name[high] = g, low
            keeps.add(low)
        elif low not in keeps and low != 0:
            turn[low], name[low] = inverse[g], high
            keeps.add(high)
    return product[turn[group], labels], name[group]


def descend(field: MarkovField, labels: np.ndarray, sweeps: int = 30) -> np.ndarray:
    """Gives each shape in turn its best label, the others as they are, until none changes.

    Returns: (n,) int; the energy is no higher than before.
    """
    labels = labels.copy()
    relative = field.rotations.relative
    joined: list[list[tuple[int, int, bool]]] = [[] for _ in labels]
    for k, (i, j) in enumerate(field.pairs.tolist()):
        joined[i].append((k, j, True))
        joined[j].append((k, i, False))
    for _ in range(sweeps):
        changed = False
        for i, partners in enumerate(joined):
            cost = field.unary[i].copy()
            for k, j, is_first in partners:
                row = relative[:, labels[j]] if is_first else relative[labels[j]]
                cost += field.costs[k][row]
            best = int(cost.argmin())
            if cost[best] < cost[labels[i]] - 1e-12:
                labels[i], changed = best, True
        if not changed:
            break
    return labels


def pass_messages(
    field: MarkovField,
    start: np.ndarray | None = None,
    *,
    largest: bool = False,
    beta: float = INVERSE_TEMPERATURE,
    steps: int = 60,
    damping: float = 0.5,
    tolerance: float = 1e-4,
) -> np.ndarray:
    """Loopy belief propagation: the marginal of each shape's label, exact where pairs form a tree.

    Args:    start: (n,) labels that the first messages are sent from as if certain; None: none.
             largest: max-product (max-marginals, whose peaks are the labels of least energy)
             instead of sum-product (marginals).  beta: inverse temperature.
             damping: share of a message that stays.  tolerance: of the last change of a message.
    Returns: (n, L) float64, rows of sum 1.
    """
    n_pairs = len(field.pairs)
    sender = np.concatenate([field.pairs[:, 0], field.pairs[:, 1]])
    receiver = np.concatenate([field.pairs[:, 1], field.pairs[:, 0]])
    answer = np.concatenate([np.arange(n_pairs) + n_pairs, np.arange(n_pairs)])
    own = -beta * field.unary
    messages = np.zeros((2 * n_pairs, len(field.rotations)))
    if start is not None:
        messages = _of_certain(field, start, beta)
    for _ in range(steps):
        outgoing = _sums(own, receiver, messages)[sender] - messages[answer]
        outgoing -= outgoing.max(axis=1, keepdims=True)
        new = np.empty_like(messages)
        for begin in range(0, len(messages), CHUNK):
            rows = np.arange(begin, min(begin + CHUNK, len(messages)))
            new[rows] = _sent(field, rows, outgoing[rows], beta, largest)
        new = damping * messages + (1 - damping) * new
        change = float(np.abs(np.exp(new) - np.exp(messages)).max(initial=0.0))
        messages = new
        if change < tolerance:
            break
    belief = _sums(own, receiver, messages)
    probability = np.exp(belief - belief.max(axis=1, keepdims=True))
    return np.asarray(probability / probability.sum(axis=1, keepdims=True))


def _sums(own: np.ndarray, receiver: np.ndarray, messages: np.ndarray) -> np.ndarray:
    """Each shape's own term and all that it hears. (n, L)."""
    belief = own.copy()
    np.add.at(belief, receiver, messages)
    return belief


def _of_certain(field: MarkovField, labels: np.ndarray, beta: float) -> np.ndarray:
    """The messages of shapes that are certain of a label, in both directions. (2E, L)."""
    relative = field.rotations.relative
    first, second = labels[field.pairs].T
    forth = np.take_along_axis(field.costs, relative[first], axis=1)
    back = np.take_along_axis(field.costs, relative[:, second].T, axis=1)
    return -beta * np.concatenate([forth, back])


def _sent(
    field: MarkovField, rows: np.ndarray, outgoing: np.ndarray, beta: float, largest: bool
) -> np.ndarray:
    """Messages of some rows of (2E, L): over the sender's labels, for each of the receiver's."""
    n_pairs = len(field.pairs)
    relative = field.rotations.relative
    costs = field.costs[rows % n_pairs][:, relative]  # (rows, x_i, x_j)
    back = rows >= n_pairs
    costs[back] = costs[back].transpose(0, 2, 1)
    terms = outgoing[:, :, None] - beta * costs
    peak = terms.max(axis=1)
    if not largest:
        peak = peak + np.log(np.exp(terms - peak[:, None]).sum(axis=1))
    return np.asarray(peak - peak.max(axis=1, keepdims=True))
