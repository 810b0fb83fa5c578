#!/usr/bin/env python3
"""Evaluates KeypointNet checkpoints by the protocol of the paper's Table 1.

    tools/eval_kp.py runs/chair/checkpoints/last.safetensors --views views/chairs --paper chair
    tools/eval_kp.py runs/seed*/checkpoints/last.safetensors …     mean ± spread over the seeds

Prints a table, and with --out writes results.json and a picture of the worst pairs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keypointnet.checkpoints import CheckpointError, load_model
from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.distributed import resolve_device
from keypointnet.drawing import save_picture
from keypointnet.evaluation import PAPER_TABLE_1
from keypointnet.files import write_json
from keypointnet.reporting import (
    evaluate_checkpoints,
    format_table,
    results_document,
    worst_pairs_sheet,
)
from keypointnet.views.pairs import ModelViews, choose_models
from keypointnet.views.stores import open_store


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser("eval_kp", __doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, help="one for each seed")
    parser.add_argument("--views", required=True, type=Path, help="store or published tfrecords")
    parser.add_argument("--subset", default="test", choices=("test", "train", "dev", "all"))
    parser.add_argument("--pairs", type=at_least_one, default=100, help="for each model (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pairs (0)")
    parser.add_argument("--device", default="auto", help="auto | cpu | cuda | cuda:<n>")
    parser.add_argument("--paper", choices=sorted(PAPER_TABLE_1), help="row of Table 1 beside ours")
    parser.add_argument(
        "--any-size", action="store_true", help="allow views of another size than trained with"
    )
    parser.add_argument("--worst", type=at_least_one, default=16, help="how many worst pairs (16)")
    parser.add_argument("--out", type=Path, help="folder for results.json and worst-pairs.png")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    with errors_in_one_line("eval_kp", CheckpointError):
        device = resolve_device(args.device)
        store = open_store(args.views)
        models = [ModelViews(store, model) for model in choose_models(store, args.subset)]
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
        results = evaluate_checkpoints(
            args.checkpoints,
            models,
            pairs_per_model=args.pairs,
            seed=args.seed,
            n_worst=args.worst,
            device=device,
            any_size=args.any_size,
            progress=True,
        )
        print(format_table(results, args.paper))
        print(f"{results[0].evaluation.pairs} pairs of {len(models)} models of {args.views}")
        if args.out is not None:
            protocol = {
                "views": str(args.views),
                "subset": args.subset,
                "size": list(store.size),
                "pairs_per_model": args.pairs,
                "seed": args.seed,
            }
            command = ["tools/eval_kp.py", *(sys.argv[1:] if arguments is None else arguments)]
            document = results_document(
                results, command=command, protocol=protocol, category=args.paper
            )
            write_json(args.out / "results.json", document)
            for number, result in enumerate(results):
                name = "worst-pairs.png" if len(results) == 1 else f"worst-pairs-{number}.png"
                model = load_model(result.path, device)
                sheet = worst_pairs_sheet(model, models, result.evaluation.worst)
                save_picture(args.out / name, sheet)
            print(f"written to {args.out}: results.json and the worst pairs as pictures")


if __name__ == "__main__":
    main()
