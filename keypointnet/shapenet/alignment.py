"""Rigid alignment of a collection: one rotation for each shape, with a confidence.

The lecture's algorithm: the orientation of each shape is a random variable over a discretised set
of rotations; all of them are a Markov random field whose energy says how far the shapes, so turned,
differ; it is solved bottom-up, from the leaves of a taxonomy to its root. A person may fix a few
shapes, and what they say spreads to the others.

Convention: R turns a model as `load_model` gives it, X_aligned = R X. The frame that all share is
that of the fixed shapes; with none, that of the anchor, the shape most like its neighbours, which
is left as it is. For "azimuth" all models must stand upright (+Y up) already.

Source: Savva, Yu, Su et al., "ShapeNet: An Information-Rich 3D Model Repository" (2015), section on
rigid alignment. Differs from it in: energies are cosines of grids of normals, not of rendered
views; the tree below a category comes from the shapes themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keypointnet.shapenet.alignment_frame import turn_to_mirror
from keypointnet.shapenet.alignment_graph import Pairs, join_shapes, taxonomy_levels
from keypointnet.shapenet.alignment_inference import (
    MarkovField,
    descend,
    make_field,
    merge_bottom_up,
    pass_messages,
)
from keypointnet.shapenet.alignment_refine import refine
from keypointnet.shapenet.alignment_rotations import RotationSet, angle_deg, rotation_set
from keypointnet.shapenet.alignment_shapes import SurfaceSample, place, sample_surface
from keypointnet.shapenet.models import ModelError, ModelRef, folders_of, load_model

RESTARTS = 8
NEAR_DEG = 16.0
"""Labels this near to the chosen one count for its confidence: the next step of azimuth does."""


@dataclass(frozen=True)
class Alignment:
    """How each of n shapes is to be turned.

    R:          (n, 3, 3), X_aligned = R X.
    confidence: (n,) in [0, 1], the marginal probability of the label and those within NEAR_DEG; 1
                for shapes that are held. Low where a shape looks alike from several sides.
    held:       the shapes that the others were aligned with: those fixed, else the anchor.
    energy:     of the labels; energies: of each restart, in order.
    n_pairs:    how many pairs of shapes were compared in the end.
    """

    R: np.ndarray
    confidence: np.ndarray
    held: tuple[int, ...]
    energy: float
    energies: tuple[float, ...]
    n_pairs: int


@dataclass(frozen=True)
class CollectionAlignment:
    """The alignment of models on disk: ids and samples of those read, left_out says why not."""

    ids: tuple[str, ...]
    alignment: Alignment
    left_out: Mapping[str, str]
    samples: tuple[SurfaceSample, ...]


def align_samples(
    samples: Sequence[SurfaceSample],
    kind: str = "cube",
    *,
    fixed: Mapping[int, np.ndarray] | None = None,
    paths: Sequence[Sequence[str]] | None = None,
    restarts: int = RESTARTS,
    seed: int = 0,
    refined: bool = True,
    on_stage: Callable[[str], object] = lambda text: None,
) -> Alignment:
    """Aligns shapes, given as points on their surfaces.

    Args:    kind: "azimuth" or "cube", see `rotation_set`.
             fixed: shape → its rotation (3, 3), for "azimuth" one about up.
             paths: of each shape, its categories from the taxonomy's root down; None: one category.
             restarts: orders of merging that are tried; the labels of least energy are kept.
             refined: turn a little about the labels in the end.  on_stage: told what begins.
    Raises:  ValueError: no shape, no restart, or a fixed rotation that is none or not in the set.
    """
    fixed = dict(fixed or {})
    n = len(samples)
    if n == 0 or restarts < 1:
        raise ValueError(
            f"align_samples: expected shapes and restarts, got {n} shapes, {restarts} restarts"
        )
    if paths is not None and len(paths) != n:
        raise ValueError(f"align_samples: expected {n} paths, one for each shape, got {len(paths)}")
    rotations = rotation_set(kind)
    labels_held = {shape: _label_of(R, shape, n, rotations) for shape, R in fixed.items()}
    placed = [place(sample, kind)[0] for sample in samples]
    levels = taxonomy_levels(paths if paths is not None else [()] * n)
    pairs = join_shapes(placed, rotations, levels, on_stage=on_stage)
    if not labels_held:
        labels_held = {_anchor(pairs, n): 0}
    on_stage(f"infer {n} orientations from {len(pairs.pairs)} pairs")
    field = make_field(pairs, n, rotations, labels_held)
    labels, energies = infer_labels(field, levels, restarts, seed)
    marginals = pass_messages(field, labels)
    R = rotations.matrices[labels].copy()
    near = angle_deg(R[:, None].transpose(0, 1, 3, 2) @ rotations.matrices[None]) <= NEAR_DEG
    for shape, given in fixed.items():
        R[shape] = given
    if refined:
        on_stage("refine")
        R = refine(placed, R, pairs.pairs, pairs.likeness, kind, frozenset(labels_held))
    return Alignment(
        R,
        (marginals * near).sum(axis=1),
        tuple(sorted(labels_held)),
        min(energies),
        tuple(energies),
        len(pairs.pairs),
    )


def infer_labels(
    field: MarkovField, levels: np.ndarray, restarts: int, seed: int
) -> tuple[np.ndarray, list[float]]:
    """The labelling of least energy over several restarts, and the energy of each.

    A restart merges the shapes bottom-up, in another order each time, then passes max-product
    messages from there, and ends where no single shape can be improved. Messages may lead away
    from a good labelling where the graph has loops: the better of before and after is kept.
    """
    found: list[tuple[float, np.ndarray]] = []
    for restart in range(restarts):
        rng = np.random.default_rng((seed, restart)) if restart else None
        merged = merge_bottom_up(field, levels, rng)
        peaks = pass_messages(field, merged, largest=True, steps=20).argmax(axis=1)
        ends = [descend(field, merged), descend(field, peaks)]
        found.append(min(((field.energy(end), end) for end in ends), key=lambda pair: pair[0]))
    best = min(range(restarts), key=lambda k: found[k][0])
    return found[best][1], [energy for energy, _ in found]


def align_models(
    refs: Sequence[ModelRef],
    kind: str = "cube",
    *,
    fixed: Mapping[str, np.ndarray] | None = None,
    taxonomy: Mapping[str, Sequence[str]] | None = None,
    restarts: int = RESTARTS,
    seed: int = 0,
    refined: bool = True,
    framed: bool = True,
    on_model: Callable[[str], object] = lambda model_id: None,
    on_stage: Callable[[str], object] = lambda text: None,
) -> CollectionAlignment:
    """Reads and aligns models; one that cannot be read is left out, with the reason.

    Args:    fixed: id → rotation.  taxonomy: id → its categories from the root down, see
             `category_paths`; None: the folders in the id.
             framed: of "azimuth" without fixed models: turn all so that the plane in which most are
             mirrored is x = 0, see `alignment_frame`.
             on_model: told the id of each model about to be read.  The rest: `align_samples`.
    Raises:  ValueError: a fixed id is none of the models; or ModelError: none, or a fixed one,
             cannot be read.
    """
    fixed = dict(fixed or {})
    known = {ref.id for ref in refs}
    for model_id in fixed:
        if model_id not in known:
            raise ValueError(
                f"align_models: fixed: {model_id} is not among the {len(refs)} models; "
                f"ids look like {', '.join(sorted(known)[:3])}"
            )
    ids, samples, left_out = [], [], {}
    for ref in refs:
        on_model(ref.id)
        try:
            samples.append(sample_surface(load_model(ref), seed))
        except ModelError as error:
            if ref.id in fixed:
                raise
            left_out[ref.id] = str(error)
            continue
        ids.append(ref.id)
    if not ids:
        reasons = "; ".join(list(left_out.values())[:3])
        raise ModelError(f"align_models: none of {len(refs)} models can be read: {reasons}")
    paths = [taxonomy.get(i, ()) if taxonomy is not None else folders_of(i) for i in ids]
    place_of = {model_id: k for k, model_id in enumerate(ids)}
    alignment = align_samples(
        samples,
        kind,
        fixed={place_of[model_id]: R for model_id, R in fixed.items()},
        paths=paths,
        restarts=restarts,
        seed=seed,
        refined=refined,
        on_stage=on_stage,
    )
    if framed and not fixed and kind == "azimuth":
        turn = turn_to_mirror(samples, alignment.R)
        alignment = replace(alignment, R=turn @ alignment.R)
    return CollectionAlignment(tuple(ids), alignment, left_out, tuple(samples))


def _label_of(R: np.ndarray, shape: int, n: int, rotations: RotationSet) -> int:
    """The label nearest to a fixed rotation."""
    R = np.asarray(R, dtype=np.float64)
    if not 0 <= shape < n:
        raise ValueError(f"align_samples: fixed: expected a shape below {n}, got {shape}")
    if R.shape != (3, 3) or not np.allclose(R @ R.T, np.eye(3), atol=1e-5) or np.linalg.det(R) < 0:
        raise ValueError(f"align_samples: fixed: shape {shape}: expected a 3x3 rotation, got {R}")
    angles = angle_deg(rotations.matrices.transpose(0, 2, 1) @ R)
    if angles.min() > NEAR_DEG:
        raise ValueError(
            f"align_samples: fixed: shape {shape}: its rotation is {angles.min():.0f} degrees from "
            f'the nearest of "{rotations.kind}"; fix it to one of that set, or take another'
        )
    return int(angles.argmin())


def _anchor(pairs: Pairs, n: int) -> int:
    """The shape whose pairs are the most alike in sum."""
    weights = np.repeat(pairs.likeness, 2)
    return int(np.bincount(pairs.pairs.reshape(-1), weights=weights, minlength=n).argmax())
