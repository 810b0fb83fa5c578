"""What is wrong with a collection of models, before a night of training on it.

Nothing here stops at a bad model: it is reported and the rest is looked at. Memory holds a model
or two, whatever the collection's size: what models are compared by lies in a temporary file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keypointnet.files import file_sha256
from keypointnet.listing import listed
from keypointnet.progress import progress_bar
from keypointnet.shapenet.collection_frame import MIN_MODELS, Turned, find_turned
from keypointnet.shapenet.mesh_faults import find_mesh_faults
from keypointnet.shapenet.models import (
    EmptyModelError,
    ModelError,
    ModelRef,
    folders_of,
    model_of_soup,
    read_soup,
)
from keypointnet.shapenet.near_duplicates import near_duplicates, shape_signature
from keypointnet.shapenet.selection import find_selected
from keypointnet.shapenet.signature_file import SignatureFile
from keypointnet.shapenet.surfaces import Soup, clean_faces, normalise_points

KINDS: dict[str, str] = {
    "unreadable": "the file cannot be read",
    "empty": "nothing with an area in it",
    "non-manifold": "edges of three faces or more",
    "flipped": "faces wound against their neighbours, or closed pieces wound inwards",
    "not-centred": "the bounding box is not centred at the origin",
    "duplicate": "the same file as another model's",
    "near-duplicate": "the same shape as another model's, whatever its colours and meshing",
    "not-aligned": "it lies otherwise than its class: another up axis or a quarter turn",
}
TURNED = "\0turned"
"""After an id, which has no such character: the model as the others of its class lie."""

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
    """What `check_collection` found, by model.

    models: how many there were, readable or not.
    small:  classes of so few readable models that nobody can say which of them lies right.
    """

    models: int
    findings: list[Finding]
    small: list[str] = field(default_factory=list)

    def count(self) -> dict[str, int]:
        """Models with a finding of each kind, in the order of KINDS, those without left out."""
        models = {kind: {f.model for f in self.findings if f.kind == kind} for kind in KINDS}
        return {kind: len(names) for kind, names in models.items() if names}


def check_collection(root: Path, ignored: Collection[str] = ()) -> CheckReport:
    """Look for what is wrong with the models below a folder.

    How a model lies is compared inside its class, which is its folder (`models.folders_of`); copies
    are looked for in all of them.

    Args:    root: a collection, or TREE::SELECTION of one.  ignored: kinds that are not looked for.
    Raises:  ModelError: there is no model below root.  ValueError: an unknown kind.
             OSError: no room for the temporary file, 49 kB a model.
    """
    unknown = sorted(set(ignored) - set(KINDS))
    if unknown:
        raise ValueError(
            f"check_collection: unknown kind {', '.join(unknown)}; expected {', '.join(KINDS)}"
        )
    refs = find_selected(root)
    findings: list[Finding] = []
    classes: dict[tuple[str, ...], list[str]] = defaultdict(list)
    with SignatureFile() as signatures:
        for ref in _watched(refs, "read"):
            members = classes[folders_of(ref.id)]
            try:
                soup, notes = read_soup(ref)
                model = model_of_soup(ref, soup, notes)
            except ModelError as error:
                kind = "empty" if isinstance(error, EmptyModelError) else "unreadable"
                findings.append(Finding(ref.id, kind, str(error)))
                continue
            signatures.add(ref.id, shape_signature(model))
            members.append(ref.id)
            findings += [Finding(ref.id, kind, text) for kind, text in _mesh_findings(soup)]
        for name, turn in _turned(signatures, list(classes.values())).items():
            findings.append(Finding(name, "not-aligned", str(turn)))
            # A copy is one however it lies: in its own class, or in another one.
            signatures.add(name + TURNED, signatures[name] @ turn.matrix.T.astype(np.float32))
        findings += _duplicates([ref for ref in refs if ref.id in signatures], signatures)
    order = {kind: k for k, kind in enumerate(KINDS)}
    kept = [finding for finding in findings if finding.kind not in ignored]
    return CheckReport(
        len(refs),
        sorted(kept, key=lambda f: (f.model, order[f.kind])),
        ["/".join(at) or str(root) for at, ids in sorted(classes.items()) if len(ids) < MIN_MODELS],
    )


def _watched(items: Sequence[Any], stage: str) -> Iterable[Any]:
    return progress_bar(items, desc=stage, unit="model")


def _turned(signatures: SignatureFile, classes: Sequence[list[str]]) -> dict[str, Turned]:
    """Of `find_turned`, in each class; one bar for all of them."""
    turned: dict[str, Turned] = {}
    with progress_bar(total=sum(map(len, classes)), desc="orientation", unit="model") as bar:

        def counted(items: Sequence[Any], stage: str) -> Iterable[Any]:
            for item in items:
                yield item
                bar.update()

        for ids in classes:
            turned |= find_turned(signatures, ids, counted)
    return turned


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


def _duplicates(refs: list[ModelRef], signatures: SignatureFile) -> list[Finding]:
    """Duplicates and near-duplicates: every model of a group names another one of it."""
    sha256 = {ref.id: file_sha256(ref.path) for ref in _watched(refs, "files")}
    same = defaultdict(list)
    for name, value in sha256.items():
        same[value].append(name)
    families = {name: sha256[name.removesuffix(TURNED)] for name in signatures}
    findings = []
    for together in near_duplicates(signatures, families=families, watch=_watched):
        group = [name for name in together if not name.endswith(TURNED)]
        for name in group:
            copies = [other for other in same[sha256[name]] if other != name]
            alike = [other for other in group if sha256[other] != sha256[name]]
            if copies:
                findings.append(Finding(name, "duplicate", f"the same file as {listed(copies)}"))
            if alike:
                findings.append(Finding(name, "near-duplicate", f"as good as {listed(alike)}"))
    return findings
