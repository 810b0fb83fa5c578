#!/usr/bin/env python
"""Loading pairs against the bare decoding of their PNGs, and how long training waits for them.

    benchmarks/bench_loading.py
    benchmarks/bench_loading.py --store views/chairs --out loading.json

First, in one process and in turn: a batch of pairs as a loading process makes it (choosing the
views, reading and checking their bytes, decoding, the cameras, stacking), against cv2.imdecode of
the same bytes in memory and nothing else. Prints the speed of the first as a share of the second's;
the aim is at least 70 %. The files are in the operating system's cache, so no disk is measured. The
conversion to float32, which the training process does, is timed beside it.

Then tools/train_kp.py trains for some steps with one loading process; the aim is to spend less than
5 % of a step waiting for data. The first steps, in which that process starts, do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from machine import RESULTS, write_result
from omegaconf import OmegaConf
from parametric_views import view_store

from keypointnet.views.pairs import ModelViews, PairDataset, PairKey, PairSampler
from keypointnet.views.storage import ViewStore

TRAIN = Path(__file__).parents[1] / "tools" / "train_kp.py"
STARTING = 5  # steps


def compare(store: ViewStore, pairs: int, batches: int) -> dict[str, Any]:
    """Load and decode in turn; returns the figures."""
    dataset = PairDataset([ModelViews(store, model) for model in store.models], seed=0)
    stages = ("loading", "bare decode", "to float32", "choosing", "reading")
    wall: dict[str, list[float]] = {stage: [] for stage in stages}
    cpu: dict[str, list[float]] = {stage: [] for stage in stages}

    def timed(stage: str, work: Any, count: bool) -> Any:
        started = time.perf_counter(), time.thread_time()
        result = work()
        if count:
            wall[stage].append(time.perf_counter() - started[0])
            cpu[stage].append(time.thread_time() - started[1])
        return result

    def load(keys: list[PairKey]) -> Any:
        return dataset[keys]

    def read(keys: list[PairKey]) -> list[bytes]:
        chosen = [dataset.pair_at(key) for key in keys]
        return [store.png(store.models[i], view) for i, *views in chosen for view in views]

    def bare(pngs: list[bytes]) -> None:
        for png in pngs:
            cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)

    warm_up = max(3, batches // 10)
    sampler = iter(PairSampler(len(dataset), pairs, seed=0))
    for number in range(warm_up + batches):
        keys, count = next(sampler), number >= warm_up
        pngs = read(keys)
        if number % 2:
            timed("bare decode", lambda pngs=pngs: bare(pngs), count)
        batch = timed("loading", lambda keys=keys: load(keys), count)
        if not number % 2:
            timed("bare decode", lambda pngs=pngs: bare(pngs), count)
        timed("to float32", lambda batch=batch: batch.to("cpu"), count)
        timed("choosing", lambda keys=keys: [dataset.pair_at(key) for key in keys], count)
        timed("reading", lambda keys=keys: read(keys), count)
    us = {stage: 1e6 * statistics.median(times) / (2 * pairs) for stage, times in wall.items()}
    cpu_us = {stage: 1e6 * statistics.median(times) / (2 * pairs) for stage, times in cpu.items()}
    us["reading"] -= us["choosing"]
    cpu_us["reading"] -= cpu_us["choosing"]
    return {
        "size": list(store.size),
        "pairs": pairs,
        "batches": batches,
        "share_of_bare_decode": us["bare decode"] / us["loading"],
        "share_of_bare_decode_cpu_time": cpu_us["bare decode"] / cpu_us["loading"],
        "us_per_view": us,
        "cpu_us_per_view": cpu_us,
        "views_per_second": 1e6 / us["loading"],
    }


def wait_in_training(
    store: ViewStore, pairs: int, steps: int, channels: int, threads: int
) -> dict[str, Any]:
    """Train with the real command; returns how long its steps waited."""
    with tempfile.TemporaryDirectory(prefix="kp2seg-run-") as folder:
        out = Path(folder)
        config = {
            "model": {"channels": channels, "orientation_channels": channels // 2},
            "data": {
                "train": [{"path": str(store.root.absolute()), "subset": "all"}],
                "image_size": store.size[0],
                "workers": 1,
            },
            "optim": {"steps": STARTING + steps, "pairs_per_step": pairs},
            "run": {"out": str(out / "run"), "log_every": 1},
        }
        OmegaConf.save(config, out / "config.yaml")
        command = [sys.executable, str(TRAIN), "--config", str(out / "config.yaml")]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, env=environment)
        lines = (out / "run" / "metrics.jsonl").read_text().splitlines()
    logged = [row for line in lines if (row := json.loads(line))["group"] == "train"]
    waited = [row["seconds_waiting"] for row in logged[STARTING:]]
    taken = [row["seconds"] for row in logged[STARTING:]]
    return {
        "size": list(store.size),
        "pairs": pairs,
        "steps": len(taken),
        "channels": channels,
        "workers": 1,
        "threads": threads,
        "seconds_per_step": statistics.median(taken),
        "seconds_waiting_per_step": statistics.median(waited),
        "share_waiting": sum(waited) / sum(taken),
        "worst_share_waiting": max(w / t for w, t in zip(waited, taken, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--store", type=Path, help="a view store; parametric chairs are rendered without one")
    add("--size", type=int, action="append", help="pixels of rendered views; repeats (128, 64)")
    add("--chairs", type=int, default=40, help="rendered chairs (40)")
    add("--views", type=int, default=40, help="views of each (40)")
    add("--pairs", type=int, default=16, help="pairs in a batch (16)")
    add("--batches", type=int, default=100, help="timed batches (100)")
    add("--steps", type=int, default=20, help="timed steps of training; 0 leaves it out (20)")
    add("--channels", type=int, default=64, help="of the trained network (64)")
    add("--threads", type=int, default=2, help="of the training process (2)")
    add("--out", type=Path, default=RESULTS / "loading.json")
    args = parser.parse_args()
    # As in a loading process.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    results: dict[str, list[Any]] = {"loading": [], "training": []}
    for size in [0] if args.store else args.size or [128, 64]:
        with view_store(args.store, chairs=args.chairs, views=args.views, size=size) as store:
            loading = compare(store, args.pairs, args.batches)
            results["loading"].append(loading)
            print_loading(loading)
            if args.steps:
                waiting = wait_in_training(
                    store, args.pairs, args.steps, args.channels, args.threads
                )
                results["training"].append(waiting)
                print_waiting(waiting)
    write_result(args.out, results)


def print_loading(result: dict[str, Any]) -> None:
    us, size = result["us_per_view"], result["size"]
    print(
        f"{size[0]}x{size[1]}: loading {us['loading']:.0f} µs a view, bare decode "
        f"{us['bare decode']:.0f}: {result['share_of_bare_decode']:.1%} of its speed (aim 70 %; by "
        f"processor time {result['share_of_bare_decode_cpu_time']:.1%}); of it choosing "
        f"{us['choosing']:.0f}, reading {us['reading']:.0f}; to float32 in the training process "
        f"{us['to float32']:.0f}"
    )


def print_waiting(result: dict[str, Any]) -> None:
    print(
        f"training with 1 loading process: {result['seconds_per_step']:.2f} s a step, "
        f"{result['share_waiting']:.2%} of it waiting for data (aim under 5 %; worst step "
        f"{result['worst_share_waiting']:.2%})"
    )


if __name__ == "__main__":
    main()
