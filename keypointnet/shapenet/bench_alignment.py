"""How well and how fast collections are aligned: shares of shapes turned rightly, and a time curve.

Models that are aligned already are each turned by a random rotation, either one of a cube's 24 or
any about up; then the shares within 15° of the truth are compared: ours, iterative closest points
to a medoid, and principal axes. What the truth is up to: see `alignment_scoring`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.shapenet.alignment import align_samples
from keypointnet.shapenet.alignment_rotations import KINDS, azimuth_matrices, rotation_set
from keypointnet.shapenet.alignment_scoring import (
    align_by_axes,
    align_to_medoid,
    rightly_turned,
    symmetries,
)
from keypointnet.shapenet.alignment_shapes import SurfaceSample, sample_surface
from keypointnet.shapenet.models import find_models, load_model
from keypointnet.shapes import make_model

CURVE = (62, 125, 250, 500)


def random_turns(kind: str, n: int, seed: int) -> np.ndarray:
    """(n, 3, 3): of the cube's 24, or by any angle about up."""
    rng = np.random.default_rng(seed)
    if kind == "azimuth":
        return azimuth_matrices(rng.uniform(0, 2 * np.pi, n))
    matrices = rotation_set(kind).matrices
    return np.asarray(matrices[rng.integers(0, len(matrices), n)])


def alignment_figures(
    models_dir: Path,
    kinds: Sequence[str] = KINDS,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    baselines: bool = True,
    limit: int | None = None,
) -> dict[str, Any]:
    """Shares of the models below a folder that are turned rightly.

    Args:    models_dir: models in one orientation.  seeds: of the random turns, and of the aligner.
             baselines: run them too.  limit: take only so many models, spread over all.
    Returns: {"models": n, kind: {"symmetric": n, "ours" | "labels" | "medoid" | "axes":
             {seed: share}, "seconds": {seed: CPU time of ours}, "wrong": {seed: ids}}};
             "labels" is ours without refinement.
    """
    refs = find_models(models_dir)
    if limit is not None:
        refs = refs[:: -(-len(refs) // limit)]
    samples = [sample_surface(load_model(ref), seed=0) for ref in refs]
    figures: dict[str, Any] = {"models": len(samples)}
    for kind in kinds:
        figures[kind] = figures_of(samples, [ref.id for ref in refs], kind, seeds, baselines)
    return figures


def figures_of(
    samples: Sequence[SurfaceSample],
    ids: Sequence[str],
    kind: str,
    seeds: Sequence[int],
    baselines: bool = True,
) -> dict[str, Any]:
    """`alignment_figures` of shapes in memory and one set of rotations."""
    rotations = rotation_set(kind)
    symmetric = [rotations.matrices[symmetries(sample, rotations)] for sample in samples]
    found: dict[str, Any] = {
        name: {} for name in ("ours", "labels", "medoid", "axes", "seconds", "wrong")
    }
    found["symmetric"] = sum(len(turns) > 1 for turns in symmetric)
    for seed in seeds:
        true_R = random_turns(kind, len(samples), seed)
        turned = [sample.turned(R) for sample, R in zip(samples, true_R, strict=True)]
        start_s = time.process_time()
        results = {"ours": align_samples(turned, kind, seed=seed).R}
        found["seconds"][seed] = round(time.process_time() - start_s, 2)
        results["labels"] = align_samples(turned, kind, seed=seed, refined=False).R
        if baselines:
            results["medoid"] = align_to_medoid(turned, rotations)
            results["axes"] = align_by_axes(turned, kind)
        for name, R in results.items():
            right = rightly_turned(R, true_R, symmetric)
            found[name][seed] = round(float(right.mean()), 4)
            if name == "ours":
                found["wrong"][seed] = [ids[k] for k in np.flatnonzero(~right).tolist()]
    return found


def time_curve(
    models_dir: Path, kind: str = "cube", sizes: Sequence[int] = CURVE
) -> list[dict[str, float]]:
    """CPU time against the number of models: those below a folder, then parametric chairs.

    Returns: for each size, the seconds of aligning, those over n log₂ n, and of reading a file.
    """
    start_s = time.process_time()
    refs = find_models(models_dir)[: max(sizes)]
    samples = [sample_surface(load_model(ref), seed=0) for ref in refs]
    reading_s = time.process_time() - start_s
    for seed in range(max(sizes) - len(samples)):
        samples.append(sample_surface(make_model("chair", seed), seed=0))
    true_R = random_turns(kind, len(samples), seed=0)
    turned = [sample.turned(R) for sample, R in zip(samples, true_R, strict=True)]
    rows = []
    for n in sizes:
        start_s = time.process_time()
        align_samples(turned[:n], kind)
        seconds = time.process_time() - start_s
        rows.append(
            {
                "models": n,
                "seconds": round(seconds, 2),
                "seconds_over_n_log2_n": seconds / (n * np.log2(n)),
                "reading_seconds_per_file": round(reading_s / len(refs), 3),
            }
        )
    return rows
