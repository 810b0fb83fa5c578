#!/usr/bin/env python3
"""Turns the published KeypointNet data, folders of tfrecords, into a view store.

    tools/convert_views.py chairs_with_keypoints views/published-chairs --workers 8

The models keep their ShapeNet ids (job.txt) and their sides (train.txt, dev.txt, test.txt). Every
record is checked; what is damaged is named, the rest is converted. A run that was stopped goes on
where it was when the same command is given again. Training and evaluation read the tfrecords as
they are too; a view store is smaller and faster to draw from.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.progress import progress_bar
from keypointnet.views.converting import convert_jobs, prepare_converted
from keypointnet.views.crew import Outcome, WorkerError, failure_report
from keypointnet.views.published_records import PublishedStore


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser("convert_views", __doc__)
    parser.add_argument("data", type=Path, help="the folder of tfrecords")
    parser.add_argument("out", type=Path, help="the store's folder")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=at_least_one, default=cores, help="processes (all cores)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Converts, prints what failed. Returns the exit code: 1 when nothing could be converted."""
    args = parse_arguments(arguments)
    stopped = "stopped; the same command goes on from here"
    with errors_in_one_line("convert_views", WorkerError, stopped=stopped):
        source = PublishedStore(args.data, leave_out_broken=True)
        jobs = prepare_converted(source, args.out)
        present = len(source.models) - len(jobs)
        if present:
            print(f"{present} models are there already")
        outcomes: list[Outcome] = []
        workers = min(args.workers, max(1, len(jobs)))
        with progress_bar(total=len(jobs), unit="model", disable=not jobs) as bar:
            for outcome in convert_jobs(jobs, source, args.out, workers):
                outcomes.append(outcome)
                bar.update()
        failed = [Outcome(f"{name}.tfrecord", why) for name, why in source.broken.items()]
        failed += [outcome for outcome in outcomes if outcome.error is not None]
        done = sum(outcome.error is None for outcome in outcomes)
        print("\n".join(failure_report(args.out, (0, 1), done, failed, "converted")))
    return 1 if failed and not done and not present else 0


if __name__ == "__main__":
    sys.exit(main())
