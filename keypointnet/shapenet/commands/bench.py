"""Measures symmetry, parts, alignment, search and training on the free models.

    tools/shapenet.py bench data/models --out bench.json
    tools/shapenet.py bench data/models --out bench.json --only alignment curve

MODELS is a folder with chairs50, seats, aeroplanes and cars, as tools/get_free_models.py makes them
(README.md has its commands). OUT keeps the figures of each measurement as soon as it is done; those
that it has are not measured again, so a run that was stopped goes on. --again forgets them first,
and what training has kept in the folder beside OUT; stopped, it goes on without --again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keypointnet.files import write_json
from keypointnet.shapenet.bench_alignment import alignment_figures, time_curve
from keypointnet.shapenet.bench_parts import parts_figures
from keypointnet.shapenet.bench_search import free_categories, search_figures
from keypointnet.shapenet.bench_symmetry import symmetry_figures
from keypointnet.shapenet.bench_training import forget_training, training_figures
from keypointnet.views.storage import read_json

MEASUREMENTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "symmetry": lambda args: symmetry_figures(),
    "parts": lambda args: parts_figures(),
    "alignment": lambda args: {
        name: alignment_figures(args.models / name, seeds=args.seeds)
        for name in ("chairs50", "aeroplanes")
    },
    "curve": lambda args: time_curve(args.models / "chairs50"),
    "search": lambda args: search_figures(
        free_categories(args.models), index=args.out.with_suffix(".index"), workers=args.workers
    ),
    "training": lambda args: training_figures(
        args.models / "chairs50", _training_folder(args), workers=args.workers
    ),
}
"""Name → what is measured."""
FORGET: dict[str, Callable[[argparse.Namespace], None]] = {
    "training": lambda args: forget_training(_training_folder(args)),
}
"""Name → removes what a measurement has kept beside OUT."""
NEEDED = {
    "alignment": ("chairs50", "aeroplanes"),
    "curve": ("chairs50",),
    "search": ("chairs50", "seats", "aeroplanes", "cars"),
    "training": ("chairs50",),
}
"""Name → the folders of models that it takes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODELS, what to measure, and where the figures go."""
    parser.add_argument("models", type=Path, help="with chairs50, seats, aeroplanes and cars")
    parser.add_argument("--out", type=Path, default=Path("runs/shapenet/bench.json"),
                        help="JSON (runs/shapenet/bench.json)")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, help="and nothing else")
    parser.add_argument("--again", action="store_true", help="what OUT has already, too: it is "
                        "forgotten first")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the alignment")
    parser.add_argument("--workers", type=int, default=1, help="that render, for search (1)")


def run(args: argparse.Namespace) -> int:
    """Measures what OUT lacks and prints all that it has then."""
    figures: Any = read_json(args.out)
    if figures is None:
        figures = {}
    elif not isinstance(figures, dict) or not set(figures) <= set(MEASUREMENTS):
        raise ValueError(f"{args.out}: has something else in it than figures; name another --out")
    chosen = args.only or list(MEASUREMENTS)
    needed = {folder for name in chosen for folder in NEEDED.get(name, ())}
    missing = sorted(folder for folder in needed if not (args.models / folder).is_dir())
    if missing:
        raise ValueError(
            f"{args.models}: has no {', '.join(missing)}; tools/get_free_models.py makes them"
        )
    if args.again:
        for name in chosen:
            FORGET.get(name, lambda args: None)(args)
        figures = {name: value for name, value in figures.items() if name not in chosen}
        write_json(args.out, figures)
    for name in chosen:
        if name not in figures:
            print(f"{name} ...", flush=True)
            figures[name] = MEASUREMENTS[name](args)
            write_json(args.out, figures)
    for name, value in figures.items():
        print(f"{name}:")
        print("\n".join(f"  {line}" for line in lines_of(value)))
    print(f"wrote {args.out}")
    return 0


def _training_folder(args: argparse.Namespace) -> Path:
    return Path(args.out.with_suffix(".training"))


def lines_of(value: Any) -> list[str]:
    """Nested figures as indented lines, numbers with four digits."""
    if isinstance(value, dict):
        lines = []
        for name, item in value.items():
            if isinstance(item, dict) or _is_table(item):
                lines += [f"{name}:", *(f"  {line}" for line in lines_of(item))]
            else:
                lines.append(f"{name}: {lines_of(item)[0]}")
        return lines
    if _is_table(value):
        return [
            ", ".join(f"{name} {lines_of(part)[0]}" for name, part in row.items()) for row in value
        ]
    if isinstance(value, list):
        return [", ".join(map(str, value)) or "none"]
    return [f"{value:.4g}" if isinstance(value, float) else str(value)]


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)
