"""Finds the models nearest to a model, or to what a picture shows.

    tools/shapenet.py similar data/models/chairs scopia-plastic_chair --picture similar.png
    tools/shapenet.py similar data/models/chairs photo.jpg --box 40,10,300,420 --index chairs.index

Shapes are compared whatever way they are turned about the vertical. A picture is compared with
rendered views; where its ground is not of one colour, a box or a mask says what is meant.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from keypointnet.command_line import at_least_one, output_file, output_picture
from keypointnet.shapenet.query_pictures import Box
from keypointnet.shapenet.search import find_query, search
from keypointnet.shapenet.selection import find_selected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODELS, QUERY and what goes with them."""
    parser.add_argument("models", type=Path, help="a ShapeNetCore tree, or a folder of meshes")
    parser.add_argument("query", help="a model's id, a mesh file, or a picture")
    parser.add_argument("--n", type=at_least_one, default=5, help="answers (5)")
    parser.add_argument(
        "--picture", type=output_picture, metavar="PNG", help="draw query and answers here"
    )
    parser.add_argument(
        "--index",
        type=output_file,
        metavar="FILE",
        help="keep what is computed here; it grows with MODELS",
    )
    parser.add_argument("--box", type=_box, metavar="X0,Y0,X1,Y1", help="px, round the object")
    parser.add_argument("--mask", type=Path, metavar="PNG", help="not black where the object is")
    parser.add_argument("--workers", type=at_least_one, default=1, help="that render (1)")


def run(args: argparse.Namespace) -> int:
    """Prints rank, distance and id of the answers. Returns 1 where there are none."""
    refs = find_selected(args.models)
    query = find_query(refs, args.query, args.box, args.mask)
    answers = search(refs, query, args.n, args.index, args.workers)
    for rank, answer in enumerate(answers.nearest, start=1):
        print(f"{rank:3}  {answer.distance:.4f}  {answer.id}")
    for model_id, reason in sorted(answers.left_out.items()):
        print(f"left out: {model_id}: {reason}")
    if args.picture is not None:
        from keypointnet.drawing import save_picture  # loads torch, which comparing shapes does not
        from keypointnet.shapenet.search_sheet import answer_sheet

        save_picture(args.picture, answer_sheet(refs, query, answers))
        print(f"drawn: {args.picture}")
    return 0 if answers.nearest else 1


def _box(text: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise argparse.ArgumentTypeError(f"expected X0,Y0,X1,Y1 in pixels, got {text!r}")
    return x0, y0, x1, y1
