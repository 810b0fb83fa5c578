"""Evaluates KeypointNet checkpoints by the protocol of the paper's Table 1.

    tools/eval_kp.py runs/chair/checkpoints/last.safetensors --views views/chairs --paper chair
    tools/eval_kp.py runs/seed*/checkpoints/last.safetensors …     mean ± spread over the seeds

Prints a table, and with --out writes results.json and a picture of the worst pairs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from keypointnet.checkpoints import CheckpointError, load_model
from keypointnet.evaluation import PAPER_TABLE_1, evaluate
from keypointnet.reporting import format_table, summarise, worst_pairs_sheet
from keypointnet.views.pairs import choose_models, ModelViews
from keypointnet.views.storage import ViewStore


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, help="one for each seed")
    parser.add_argument("--views", required=True, type=Path, help="view store")
    parser.add_argument("--subset", default="test", choices=("test", "train", "all"))
    parser.add_argument("--pairs", type=int, default=100, help="for each model (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pairs (0)")
    parser.add_argument("--device", default="auto", help="auto | cpu | cuda | cuda:<n>")
    parser.add_argument("--paper", choices=sorted(PAPER_TABLE_1), help="row of Table 1 beside ours")
    parser.add_argument("--out", type=Path, help="folder for results.json and worst-pairs.png")
    arguments = parser.parse_args()
