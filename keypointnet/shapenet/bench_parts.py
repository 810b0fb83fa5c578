"""How well parts are found again: pairs of parametric chairs, whose parts are known.

A chair's limbs are its seat, its back, each arm and, where it stands on legs, each of four legs:
the family's labels, cut at the middle plane and legs also between front and rear. Every name is
hidden from the matcher. Its rivals: the part with the nearest centroid (which may be taken twice),
and a random one-to-one assignment.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from keypointnet.shapenet.models import Model
from keypointnet.shapenet.part_correspondence import correspond
from keypointnet.shapenet.parts import Part, part_of_corners
from keypointnet.shapenet.parts_reading import labelled_parts
from keypointnet.shapes import make_model

FIRST_SEED = 1000
_NO_LIMIT = 1e5
_MIDDLE = 0.02  # a piece whose centroid is this near to the middle plane is on neither side


def parts_figures(n_models: int = 40, n_pairs: int = 200, seed: int = 0) -> dict[str, Any]:
    """Accuracy of the correspondence of parts between parametric chairs.

    Args:    n_models: chairs from FIRST_SEED on.  n_pairs: of different ones, drawn with seed.
    Returns: "limbs": of those that both chairs of a pair have, the share that is given to its own,
             by `correspond`, by it without a limit on the cost, by the nearest centroid and by
             chance; how many of them were given to the other side's. "pieces" (slats, single legs,
             cushions, ... as they are built): of the pairs that are matched, the share in which
             both pieces are of one label and side, and the share of pieces that are matched.
    """
    models = [make_model("chair", FIRST_SEED + k) for k in range(n_models)]
    rng = np.random.default_rng(seed)
    pairs = [rng.choice(n_models, 2, replace=False).tolist() for _ in range(n_pairs)]
    limbs = [limb_tree(model) for model in models]
    pieces = [_sided_pieces(labelled_parts(model)) for model in models]
    return {
        "family": "chair",
        "models": n_models,
        "pairs": n_pairs,
        "limbs": _limb_figures([(limbs[a], limbs[b]) for a, b in pairs]),
        "pieces": _piece_figures([(pieces[a], pieces[b]) for a, b in pairs]),
    }


def limb_tree(model: Model) -> Part:
    """A parametric chair's limbs, as the module tells, by names such as "left front leg".

    Left is -x, as of one who sits in the chair.
    """
    mesh = model.meshes[0]
    parts = mesh.metadata["parts"]
    corners = np.asarray(mesh.vertices, dtype=np.float64)[mesh.faces]
    middle = corners.mean(axis=1)
    side = np.where(middle[:, 0] < 0, "left", "right")
    root = Part(model.id)
    for number, label in enumerate(parts["names"]):
        inside = np.flatnonzero(parts["face_part"] == number)
        names = np.full(len(inside), label, dtype=object)
        if label == "arms":
            names = np.array([f"{a} arm" for a in side[inside]], dtype=object)
        elif label == "legs" and not mesh.metadata["on_column"]:
            z = corners[inside, :, 2]
            front = middle[inside, 2] < (z.min() + z.max()) / 2
            ends = np.where(front, "front", "rear")
            names = np.array(
                [f"{a} {b} leg" for a, b in zip(side[inside], ends, strict=True)], dtype=object
            )
        for name in sorted(set(names)):
            root.children.append(part_of_corners(name, corners[inside[names == name]]))
    return root


def nearest_centroid(first: Part, second: Part) -> list[tuple[Part, Part]]:
    """For each part of one model the other's with the nearest centroid, in the object frame."""
    centroids = np.stack([part.centroid for part in second.children])
    pairs = []
    for part in first.children:
        distance = np.linalg.norm(centroids - part.centroid, axis=1)
        pairs.append((part, second.children[int(np.argmin(distance))]))
    return pairs


def _limb_figures(pairs: list[tuple[Part, Part]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    chance = 0.0
    for first, second in pairs:
        shared = {part.name for part in first.children} & {part.name for part in second.children}
        counts["shared"] += len(shared)
        chance += len(shared) / max(len(first.children), len(second.children))
        found = correspond(first, second, names=False).matches
        every = correspond(first, second, names=False, max_cost=_NO_LIMIT).matches
        for way, matched in (
            ("correspond", [(match.first, match.second) for match in found]),
            ("without_limit", [(match.first, match.second) for match in every]),
            ("nearest_centroid", nearest_centroid(first, second)),
        ):
            for a, b in matched:
                if a.name in shared:
                    counts[way] += a.name == b.name
                    counts[f"{way} sides"] += _sides_differ(a.name, b.name)
    total = max(counts["shared"], 1)
    return {
        "shared": counts["shared"],
        "correspond": counts["correspond"] / total,
        "without_limit": counts["without_limit"] / total,
        "nearest_centroid": counts["nearest_centroid"] / total,
        "chance": chance / total,
        "sides_confused": {
            way: counts[f"{way} sides"] for way in ("correspond", "nearest_centroid")
        },
    }


def _sides_differ(name: str, other: str) -> bool:
    return {name.split()[0], other.split()[0]} == {"left", "right"}


def _sided_pieces(root: Part) -> Part:
    """The pieces of a tree side by side, each named by the limb and the side that it is of."""
    flat = Part(root.name)
    for limb in root.children:
        for piece in limb.leaves():
            x = piece.centroid[0]
            side = "middle" if abs(x) < _MIDDLE else "left" if x < 0 else "right"
            flat.children.append(Part(f"{limb.name}, {side}", piece.vertices, piece.faces))
    return flat


def _piece_figures(pairs: list[tuple[Part, Part]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    chance = 0.0
    for first, second in pairs:
        matches = correspond(first, second, names=False).matches
        counts["matched"] += len(matches)
        counts["correspond"] += sum(match.first.name == match.second.name for match in matches)
        counts["possible"] += min(len(first.children), len(second.children))
        counts["pieces"] += len(first.children)
        counts["nearest"] += sum(a.name == b.name for a, b in nearest_centroid(first, second))
        names = Counter(part.name for part in second.children)
        chance += sum(names[part.name] for part in first.children) / len(second.children)
    return {
        "matched": counts["matched"],
        "matched_share": counts["matched"] / max(counts["possible"], 1),
        "correspond": counts["correspond"] / max(counts["matched"], 1),
        "nearest_centroid": counts["nearest"] / max(counts["pieces"], 1),
        "chance": chance / max(counts["pieces"], 1),
    }
