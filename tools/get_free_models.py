#!/usr/bin/env python3
"""Fetch free models of a class and convert them to ShapeNetCore's layout.

get_free_models.py chairs data/models/chairs
"""

from __future__ import annotations

from pathlib import Path

from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.shapenet.debian_packages import PackageError
from keypointnet.shapenet.free_models import CLASSES, fetch_free_models


def main() -> None:
    """Parse, fetch, print what was kept and what was left out."""
    parser = Parser("get_free_models", __doc__)
    parser.add_argument("name", metavar="CLASS", choices=sorted(CLASSES), help="%(choices)s")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write")
    parser.add_argument("--cache", type=Path, help="folder for the packages (default OUT/.cache)")
    parser.add_argument(
        "--deb",
        type=Path,
        action="append",
        default=[],
        help="a package fetched by hand; repeatable",
    )
    parser.add_argument(
        "--more",
        "--more-seats",
        action="store_true",
        help="also what is good for training only: sofas and other seats; further liveries",
    )
    args = parser.parse_args()
    stopped = "stopped; what was downloaded is kept"
    with errors_in_one_line("get_free_models", PackageError, stopped=stopped):
        report = fetch_free_models(args.name, args.out, args.cache, args.deb, args.more)
    counts = f"{report['train']} train, {report['test']} test"
    print(f"{report['models']} models in {args.out}: {counts}")
    for key in ("left out", "failed"):
        reasons = report[key]
        if isinstance(reasons, dict) and reasons:
            print(f"{key}:")
            for model, reason in reasons.items():
                print(f"  {model}: {reason}")
    print(f"creators and licences: {args.out / 'ATTRIBUTION.md'}")


if __name__ == "__main__":
    main()
