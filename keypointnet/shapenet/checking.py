"""What is wrong with a collection of models, before a night of training on it.

Nothing here stops at a bad model: it is reported and the rest is looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keypointnet.files import file_sha256
from keypointnet.progress import progress_bar
from keypointnet.shapenet.collection_frame import find_turned
from keypointnet.shapenet.mesh_faults import find_mesh_faults
from keypointnet.shapenet.models import (
    ModelError,
    ModelRef,
    model_of_soup,
    read_soup,
)
from keypointnet.shapenet.selection import find_selected
from keypointnet.shapenet.splits import near_duplicates, shape_signature
from keypointnet.shapenet.surfaces import Soup, clean_faces, normalise_points

KINDS: dict[str, str] = {
    "unreadable": "the file cannot be read",
    "empty": "nothing with an area in it",
    "non-manifold": "edges of three faces or more",
    "flipped": "faces wound against their neighbours, or closed pieces wound inwards",
    "not-centred": "the bounding box is not centred at the origin",
    "duplicate": "the same file as another model's",
    "near-duplicate": "the same shape as another model's, whatever its colours and meshing",
    "not-aligned": "it lies otherwise than the others: another up axis or a quarter turn",
}
EMPTY = ("the file is empty", "no faces", "no area", "no extent")

MAX_NON_MANIFOLD = 0.05
MAX_INCONSISTENT = 0.05
MAX_INSIDE_OUT = 0.05
MAX_OFF_CENTRE = 0.02
"""Shares of edges, of edges, of the area, of the longest side above which a fault is reported:
a few such edges or faces are in most models that people made, and harm no picture."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a model. kind: of KINDS; text: a clause that says what."""

    model: str
    kind: str
    text: str


@dataclass(frozen=True)
class CheckReport:
    """What `check_collection` found, by model; models: how many there were, readable or not."""

    models: int
    findings: list[Finding]

    def count(self) -> dict[str, int]:
        """Models with a finding of each kind, in the order of KINDS, those without left out."""
        models = {kind: {f.model for f in self.findings if f.kind == kind} for kind in KINDS}
        return {kind: len(names) for kind, names in models.items() if names}


def check_collection(root: Path, ignored: Collection[str] = ()) -> CheckReport:
    """Look for what is wrong with the models below a folder.

    Args:    root: a collection, or TREE::SELECTION of one.  ignored: kinds that are not looked for.
    Raises:  ModelError: there is no model below root.  ValueError: an unknown kind.
    """
    unknown = sorted(set(ignored) - set(KINDS))
    if unknown:
        raise ValueError(
            f"check_collection: unknown kind {', '.join(unknown)}; expected {', '.join(KINDS)}"
        )
    refs = find_selected(root)
    findings: list[Finding] = []
    signatures: dict[str, np.ndarray] = {}
    for ref in progress_bar(refs, desc="check", unit="model"):
        try:
            soup, notes = read_soup(ref)
            model = model_of_soup(ref, soup, notes)
        except ModelError as error:
            kind = "empty" if any(words in str(error) for words in EMPTY) else "unreadable"
            findings.append(Finding(ref.id, kind, str(error)))
            continue
        signatures[ref.id] = shape_signature(model)
        findings += [Finding(ref.id, kind, text) for kind, text in _mesh_findings(soup)]
    turned = find_turned(signatures)
    findings += [Finding(name, "not-aligned", str(turn)) for name, turn in turned.items()]
    # A copy is one however it lies.
    laid = {
        name: points @ turned[name].matrix.T.astype(np.float32) if name in turned else points
        for name, points in signatures.items()
    }
    findings += _duplicates([ref for ref in refs if ref.id in signatures], laid)
    order = {kind: k for k, kind in enumerate(KINDS)}
    kept = [finding for finding in findings if finding.kind not in ignored]
    return CheckReport(len(refs), sorted(kept, key=lambda f: (f.model, order[f.kind])))


def _mesh_findings(soup: Soup) -> Iterable[tuple[str, str]]:
    low, high = soup.corners.min(axis=(0, 1)), soup.corners.max(axis=(0, 1))
    side = (high - low).max()
    off = (low + high) / 2
    if np.abs(off).max() > MAX_OFF_CENTRE * side:
        at = " ".join(f"{value:.3g}" for value in off)
        yield (
            "not-centred",
            f"the bounding box is centred at ({at}), its longest side is {side:.3g}; "
            "the reader centres it, other programs may not",
        )
    clean = clean_faces(soup.moved(normalise_points(soup.corners)))
    faults = find_mesh_faults(clean.corners)
    if faults.non_manifold > MAX_NON_MANIFOLD:
        yield "non-manifold", f"{faults.non_manifold:.1%} of the edges have three faces or more"
    if faults.inconsistent > MAX_INCONSISTENT:
        yield (
            "flipped",
            f"at {faults.inconsistent:.1%} of the edges between two faces, these are wound "
            "against each other",
        )
    if faults.inside_out > MAX_INSIDE_OUT:
        yield "flipped", f"closed pieces with {faults.inside_out:.0%} of the area are inside out"


def _duplicates(refs: list[ModelRef], signatures: dict[str, np.ndarray]) -> list[Finding]:
    """Duplicates and near-duplicates: every model of a group names another one of it."""
    by_hash = defaultdict(list)
    for ref in refs:
        by_hash[file_sha256(ref.path)].append(ref.id)
    same = {name: group for group in by_hash.values() for name in group}
    findings = []
    for group in near_duplicates(signatures):
        for name in group:
            copies = [other for other in same[name] if other != name]
            alike = [other for other in group if other not in same[name]]
            if copies:
                findings.append(Finding(name, "duplicate", f"the same file as {_some(copies)}"))
            if alike:
                findings.append(Finding(name, "near-duplicate", f"as good as {_some(alike)}"))
    return findings


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
