"""Says what a collection of models holds: files, sizes, synsets, how many can be read."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from keypointnet.progress import progress_bar
from keypointnet.shapenet.catalogue import named_catalogue
from keypointnet.shapenet.models import ModelError, load_model
from keypointnet.shapenet.selection import find_selected, split_selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODELS."""
    parser.add_argument("models", type=Path, help="a ShapeNetCore tree, or a folder of meshes")


def run(args: argparse.Namespace) -> int:
    """Reads every model. Returns 1 where none can be read."""
    refs = find_selected(args.models)
    kinds = Counter(ref.path.suffix.lower() for ref in refs)
    faces, notes, broken = [], Counter[str](), []
    for ref in progress_bar(refs, desc="read", unit="model"):
        try:
            model = load_model(ref)
        except ModelError as error:
            broken.append(str(error))
            continue
        faces.append(sum(len(mesh.faces) for mesh in model.meshes))
        notes.update(bool(model.notes) * ["repaired"])
    found = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    print(f"{args.models}: {len(refs)} models ({found})")
    print(f"  can be read: {len(faces)}, of these repaired: {notes['repaired']}")
    if faces:
        faces.sort()
        print(f"  faces: {faces[0]} to {faces[-1]}, median {faces[len(faces) // 2]}")
    catalogue = named_catalogue(split_selection(str(args.models))[0])
    own = Counter(synset for entry in catalogue.entries for synset in entry.synsets[:1])
    for synset, n in own.most_common():
        print(f"  {catalogue.taxonomy.nodes[synset].title}: {n}")
    for line in [*catalogue.notes, *broken]:
        print(f"  {line}")
    return 0 if faces else 1
