"""The chair family: one seed, one chair."""

from __future__ import annotations

import numpy as np

from keypointnet.shapenet.models import Model
from keypointnet.shapes import chair_long, chair_metal, chair_soft, chair_wooden
from keypointnet.shapes.assembly import Assembly
from keypointnet.shapes.chair_sampling import Style

_FAMILY_KEY = 3001627  # the chair synset; keeps other families' streams apart

# Name: how it is built, how often. The weights follow what furniture catalogues hold.
STYLES: dict[str, tuple[Style, float]] = {
    "dining": (chair_wooden.dining, 4.5),
    "windsor": (chair_wooden.windsor, 1.3),
    "captain": (chair_wooden.captain, 0.9),
    "stool": (chair_wooden.stool, 0.8),
    "bar_chair": (chair_wooden.bar_chair, 1.0),
    "folding": (chair_wooden.folding, 0.8),
    "bench": (chair_wooden.bench, 0.8),
    "planked": (chair_wooden.planked, 0.6),
    "moulded": (chair_metal.moulded, 2.0),
    "tubular": (chair_metal.tubular, 1.8),
    "cafe": (chair_metal.cafe, 0.8),
    "parsons": (chair_soft.parsons, 1.6),
    "office": (chair_soft.office, 1.8),
    "club": (chair_soft.club, 2.2),
    "sofa": (chair_soft.sofa, 2.0),
    "tub": (chair_soft.tub_chair, 0.9),
    "lounge": (chair_soft.lounge, 1.0),
    "lounger": (chair_long.lounger, 0.9),
}


def style_of(seed: int) -> str:
    """Name, in STYLES, of the kind of chair that a seed makes."""
    weights = np.array([weight for _, weight in STYLES.values()])
    rng = np.random.default_rng([seed, _FAMILY_KEY])
    return list(STYLES)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def make_chair(seed: int) -> Model:
    """A chair, aligned as ShapeNet's are: +Y up, front -Z, bounding box centred, longest side 2.

    One mesh with per-vertex RGBA colours and, in `metadata["parts"]`, the part (legs, seat, back,
    arms; stools have no back) of each face. The same seed always makes the same chair.
    Raises:  ValueError: seed is negative.
    """
    if seed < 0:
        raise ValueError(f"make_chair: seed must be >= 0, received {seed}")
    assembly = Assembly()
    STYLES[style_of(seed)][0](assembly, np.random.default_rng([seed, _FAMILY_KEY, 1]))
    return assembly.build(f"chair-{seed:05d}")
