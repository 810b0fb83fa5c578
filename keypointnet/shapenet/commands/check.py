"""Says what is wrong with a collection before a night of training on it.

    tools/shapenet.py check data/models/chairs --out check.json

Looks for models that are unreadable, empty, non-manifold, wound the wrong way, not centred, there
twice, nearly twice, or not aligned with the others of their folder, which is taken for their class.
Exit code 1 where it finds any. Takes 49 kB a model in the folder for temporary files (TMPDIR).
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from keypointnet.files import write_json
from keypointnet.listing import listed
from keypointnet.shapenet.checking import KINDS, check_collection
from keypointnet.shapenet.collection_frame import MIN_MODELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODELS [--ignore KIND] [--out JSON]."""
    parser.add_argument("models", type=Path, help="a ShapeNetCore tree, or a folder of meshes")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        choices=list(KINDS),
        metavar="KIND",
        help=f"what not to report, as often as there are such kinds: {', '.join(KINDS)}",
    )
    parser.add_argument("--out", type=Path, metavar="JSON", help="write the findings")


def run(args: argparse.Namespace) -> int:
    """Prints the findings. Returns 1 where there are any."""
    report = check_collection(args.models, args.ignore)
    for finding in report.findings:
        print(f"{finding.model}: {finding.kind}: {finding.text}")
    wrong = len({finding.model for finding in report.findings})
    print(f"{args.models}: {report.models} models, {wrong} with something wrong")
    for kind, count in report.count().items():
        print(f"  {count:5d} {kind}: {KINDS[kind]}")
    if report.small:
        print(
            f"  how models lie was not compared in folders of fewer than {MIN_MODELS}: "
            f"{listed(report.small)}"
        )
    if args.out:
        write_json(
            args.out,
            {
                "models": report.models,
                "kinds": report.count(),
                "not compared": report.small,
                "findings": [asdict(finding) for finding in report.findings],
            },
        )
        print(f"written: {args.out}")
    return 1 if report.findings else 0
