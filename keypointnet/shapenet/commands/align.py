"""Turns all models of a collection the same way, and says how sure it is of each.

    tools/shapenet.py align data/models/chairs aligned/chairs
    tools/shapenet.py align scans aligned/scans --rotations azimuth --fix chair7=90
    tools/shapenet.py align scans aligned/scans --fix chair7=+z,-y

OUT gets transforms.json, models/ (the turned models in ShapeNetCore's v2 layout, with what lies
beside MODELS: attribution.json, split.json, tables, taxonomy.json) and page.html, pictures of them,
the surest first. If it is stopped, nothing is left in OUT, or what the next run removes.

Similar models are turned together first, category by category: those of taxonomy.json or of tables
that tell the models' synsets, as `tree` shows them, else those of the folders.

With --fix, all models are turned to agree with the fixed ones: ID=DEGREES turns that model about up
(+Y, from +Z to +X), ID=UP,FRONT names the axes of its file that are its up and its front. Without,
they are turned to agree with the model that is most like the others, which is left as it is; with
azimuth, all are then turned so that the plane in which most of them are mirrored is x = 0, as
KeypointNet wants it (--no-frame leaves that).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from keypointnet.command_line import at_least_one
from keypointnet.progress import progress_bar
from keypointnet.shapenet.alignment import RESTARTS, align_models
from keypointnet.shapenet.alignment_files import prepare_output, write_alignment
from keypointnet.shapenet.alignment_rotations import KINDS, azimuth_matrices
from keypointnet.shapenet.catalogue import open_catalogue
from keypointnet.shapenet.category_paths import category_paths, category_source
from keypointnet.shapenet.companions import find_companions
from keypointnet.shapenet.selection import find_selected, split_selection
from keypointnet.shapenet.writing import collection_layout

AXES = {
    f"{sign}{name}": value * np.eye(3)[number]
    for number, name in enumerate("xyz")
    for sign, value in (("+", 1.0), ("-", -1.0))
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODELS OUT and the settings."""
    parser.add_argument("models", type=Path, help="a ShapeNetCore tree, or a folder of meshes")
    parser.add_argument("out", type=Path, help="a folder that does not exist yet, or is empty")
    parser.add_argument(
        "--rotations",
        choices=KINDS,
        default="cube",
        help="cube: the 24 turns of a cube (default); azimuth: about up alone, in steps of 15°",
    )
    parser.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="ID=ROTATION",
        help="a model whose orientation is known, DEGREES about up or UP,FRONT such as +z,-y; may "
        "be given again",
    )
    parser.add_argument(
        "--restarts", type=at_least_one, default=RESTARTS, help=f"default: {RESTARTS}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-frame", action="store_true", help="look for no common plane")
    parser.add_argument("--no-refine", action="store_true", help="leave it at the discrete turns")


def run(args: argparse.Namespace) -> int:
    """Aligns, writes, prints the surest and least sure."""
    if args.seed < 0:
        raise ValueError(f"--seed: expected 0 or more, got {args.seed}")
    fixed = read_fixed(args.fix)
    refs = find_selected(args.models)
    collection_layout(ref.id for ref in refs)  # what cannot be written is said before all the work
    catalogue = open_catalogue(split_selection(str(args.models))[0])
    paths, companions = category_paths(catalogue), find_companions(catalogue)
    prepare_output(args.out)
    for note in catalogue.notes:
        print(note)
    with progress_bar(total=len(refs), desc="read", unit="model") as bar:
        found = align_models(
            refs,
            args.rotations,
            fixed=fixed,
            taxonomy=paths,
            restarts=args.restarts,
            seed=args.seed,
            refined=not args.no_refine,
            framed=not args.no_frame,
            on_model=lambda _: bar.update(),
            on_stage=bar.set_postfix_str,
        )
    settings = {
        "rotations": args.rotations,
        "fix": list(args.fix),
        "restarts": args.restarts,
        "seed": args.seed,
        "refined": not args.no_refine,
        "framed": not args.no_frame,
        "categories": category_source(catalogue),
    }
    with progress_bar(total=len(found.ids), desc="write", unit="model") as bar:
        write_alignment(
            found,
            refs,
            args.out,
            settings=settings,
            companions=companions,
            on_model=lambda _: bar.update(),
        )
    confidence = found.alignment.confidence
    order = np.argsort(confidence, kind="stable")
    print(f"{args.out}: {len(found.ids)} models aligned, {len(found.left_out)} left out")
    held = ", ".join(found.ids[k] for k in found.alignment.held)
    print(f"  aligned with {held}")
    print(f"  categories: from {settings['categories']}")
    print(f"  confidence: median {np.median(confidence):.2f}; least sure:")
    for k in order[:5].tolist():
        print(f"    {confidence[k]:.2f}  {found.ids[k]}")
    for reason in found.left_out.values():
        print(f"  left out: {reason}")
    return 0


def read_fixed(words: Iterable[str]) -> dict[str, np.ndarray]:
    """ID=DEGREES and ID=UP,FRONT as rotations.

    Returns: id → (3, 3) that takes the model to +Y up, front -Z.
    Raises:  ValueError: a word is neither, its two axes are not at right angles, or an id twice.
    """
    fixed: dict[str, np.ndarray] = {}
    for word in words:
        model_id, equals, value = word.rpartition("=")
        if not equals or not model_id:
            raise ValueError(f"--fix {word}: expected ID=DEGREES or ID=UP,FRONT")
        if model_id in fixed:
            raise ValueError(f"--fix {word}: {model_id} is fixed twice")
        up, comma, front = value.lower().partition(",")
        if comma:
            if up not in AXES or front not in AXES or AXES[up] @ AXES[front] != 0:
                raise ValueError(
                    f"--fix {word}: expected two axes at right angles, each of {', '.join(AXES)}"
                )
            fixed[model_id] = np.stack([np.cross(AXES[front], AXES[up]), AXES[up], -AXES[front]])
            continue
        try:
            degrees = float(value)
        except ValueError:
            degrees = float("nan")
        if not np.isfinite(degrees):
            raise ValueError(f"--fix {word}: expected ID=DEGREES or ID=UP,FRONT, such as +z,-y")
        fixed[model_id] = azimuth_matrices(np.deg2rad([degrees]))[0]
    return fixed
