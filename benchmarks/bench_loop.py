#!/usr/bin/env python
"""Inference of both networks by stage: boxes in, keypoints found, masks out, and where time goes.

    benchmarks/bench_loop.py
    benchmarks/bench_loop.py --objects 8 --weights chair.safetensors --out loop.json

The model is what tools/bundle.py makes, taken as tools/demo.py takes it: a picture at a time, its
batch norms folded, channels_last. A clock stands around each stage of its own forward pass, and a
stage that calls another does not count it, so the stages and the rest are the whole. Figures are
medians over pictures and rounds; a share is of their sum.

    crops          each box's square, cut from the picture
    KeypointNet    keypoints in the crops
    regions        matching to the templates, cutting the regions
    backbone       of the masks
    mask head      skeletons, masks in the regions, their predicted IoU
    masks back     into the picture

Then one picture with 16 objects: what KeypointNet costs against the mask head on as many crops,
aim below 1, with the head's backbone and without.

Pictures are noise of COCO's size. Without --weights the networks are untrained, of the sizes that
configs/keypointnet/chair.yaml and configs/kp2seg/light.py have; all points count then.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from machine import RESULTS, write_result
from torch import nn

from keypointnet.checkpoints import build_model as build_finder
from keypointnet.config import load_config
from keypointnet.progress import progress_bar
from kp2seg.build import build_model, folded, trained_model
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.data.mapper import boxed_instances
from kp2seg.keypoint_sources.boxes import Box
from kp2seg.lazy_config import load_seg_config
from kp2seg.modeling import discovering
from kp2seg.modeling.discovering import DiscoveringPose2Seg
from kp2seg.template_files import PoseTemplates, save_templates

SIZE = (480, 640)
MANY = 16
STAGES = ("crops", "KeypointNet", "regions", "backbone", "mask head", "masks back")
CONFIGS = Path(__file__).parents[1] / "configs"


class Clock:
    """Seconds of each stage; a stage inside another one counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.running: list[str] = []
        self.since = 0.0

    def begin(self, stage: str) -> None:
        """The stage starts; the one around it stands still."""
        now = time.perf_counter()
        if self.running:
            self.seconds[self.running[-1]] += now - self.since
        self.running.append(stage)
        self.since = now

    def end(self) -> None:
        """The stage ends; the one around it goes on."""
        now = time.perf_counter()
        self.seconds[self.running.pop()] += now - self.since
        self.since = now

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its time noted."""

        def timed(*args: Any, **more: Any) -> Any:
            self.begin(stage)
            try:
                return function(*args, **more)
            finally:
                self.end()

        return timed


@contextmanager
def clocked(model: DiscoveringPose2Seg) -> Iterator[Clock]:
    """The clock of a model's stages, while it lasts."""
    clock, segmenter = Clock(), model.segmenter
    places: list[tuple[Any, str, str]] = [
        (discovering, "to_bytes", "crops"),
        (discovering, "cut_objects", "crops"),
        (discovering, "find_keypoints", "KeypointNet"),
        (discovering, "object_poses", "KeypointNet"),
        (segmenter.aligner, "match", "regions"),
        (segmenter.aligner, "look", "regions"),
        (segmenter.aligner, "features", "regions"),
        (segmenter.aligner.backbone, "forward", "backbone"),
        (segmenter, "skeleton_of", "backbone"),
        (segmenter, "predict", "mask head"),
        (segmenter, "_instances", "masks back"),
    ]
    if segmenter.quality_head is not None:
        places.append((segmenter.quality_head, "forward", "mask head"))
    with ExitStack() as stack:
        for owner, name, stage in places:
            timed = clock.around(stage, getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield clock


def untrained(keypointnet: Path, masks: Path) -> DiscoveringPose2Seg:
    """Both networks with random weights, of the sizes of two configurations."""
    torch.manual_seed(0)
    settings = load_config(keypointnet, [])
    n = settings.model.num_keypoints
    rng = np.random.default_rng(0)
    templates = PoseTemplates(
        names=tuple(f"point_{i}" for i in range(n)),
        connections=tuple((i, i + 1) for i in range(n - 1)),
        flip_map={},
        vis_threshold=0.4,
        min_points=3,
        templates=np.concatenate([rng.random((3, n, 2)), np.full((3, n, 1), 2.0)], axis=-1),
    )
    with tempfile.TemporaryDirectory(prefix="kp2seg-bench-") as folder:
        file = Path(folder) / "templates.json"
        save_templates(file, templates)
        fitting = [f"model.templates={file}", "model.mask_head.in_channels=null"]
        segmenter = build_model(load_seg_config(masks, [*fitting, "train.device=cpu"]))
    model = DiscoveringPose2Seg(
        keypointnet=build_finder(settings),
        crop_size=settings.data.image_size,
        segmenter=segmenter,
        min_confidence=0.0,
        min_on_object=0.0,
    )
    return as_predicted(folded(model.eval()))


def as_predicted(model: nn.Module) -> DiscoveringPose2Seg:
    """As `trained_model` gives it. Raises: SystemExit: it is no bundle."""
    if not isinstance(model, DiscoveringPose2Seg):
        raise SystemExit("bench_loop: --weights: expected a bundle of tools/bundle.py")
    return model.to(memory_format=torch.channels_last)


def make_pictures(count: int, objects: int) -> list[dict[str, Any]]:
    """Pictures of smooth noise with boxes of 64 to 256 px."""
    rng = np.random.default_rng(0)
    h, w = SIZE
    pictures = []
    for _ in range(count):
        noise = rng.integers(0, 256, (h // 16, w // 16, 3), dtype=np.uint8)
        rgb = cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
        sides = rng.uniform(64, 256, (objects, 2))
        corners = rng.uniform(0, 1, (objects, 2)) * (np.array([w, h]) - sides)
        boxes = [Box(xywh) for xywh in np.hstack([corners, sides])]
        image = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
        instances = boxed_instances(boxes, SIZE)
        pictures.append({"image": image, "instances": instances, "height": h, "width": w})
    return pictures


def stage_seconds(
    model: DiscoveringPose2Seg, pictures: list[dict[str, Any]], rounds: int, desc: str
) -> tuple[dict[str, float], float]:
    """Median seconds of a picture in each stage and in the rest, and in all; and masks in each."""
    spent: dict[str, list[float]] = defaultdict(list)
    masks = 0
    model(pictures[:1])  # warm
    with clocked(model) as clock:
        for _ in progress_bar(range(rounds), desc=desc, unit="round"):
            for picture in pictures:
                clock.seconds.clear()
                started = time.perf_counter()
                masks += len(model([picture])[0]["instances"])
                whole = time.perf_counter() - started
                for stage in STAGES:
                    spent[stage].append(clock.seconds[stage])
                spent["rest"].append(whole - sum(clock.seconds.values()))
                spent["whole"].append(whole)
    medians = {stage: statistics.median(times) for stage, times in spent.items()}
    return medians, masks / (rounds * len(pictures))


def figures(model: DiscoveringPose2Seg, count: int, objects: int, rounds: int) -> dict[str, Any]:
    """All of them."""
    loop, masks = stage_seconds(model, make_pictures(count, objects), rounds, "loop")
    many, _ = stage_seconds(model, make_pictures(1, MANY), rounds, f"{MANY} objects")
    parts = sum(loop[stage] for stage in (*STAGES, "rest"))
    with_backbone = many["backbone"] + many["mask head"]
    return {
        "pictures": count,
        "objects": objects,
        "masks_per_picture": masks,
        "crop_size": model.crop_size,
        "ms_per_picture": {stage: 1e3 * seconds for stage, seconds in loop.items()},
        "share": {stage: loop[stage] / parts for stage in (*STAGES, "rest")},
        "many": {
            "objects": MANY,
            "ms": {stage: 1e3 * seconds for stage, seconds in many.items()},
            "keypointnet_to_mask_head": many["KeypointNet"] / many["mask head"],
            "keypointnet_to_backbone_and_head": many["KeypointNet"] / with_backbone,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--weights", type=Path, help="a bundle; untrained networks without one")
    add("--keypointnet", type=Path, default=CONFIGS / "keypointnet/chair.yaml", help="sizes of it")
    add("--masks", type=Path, default=CONFIGS / "kp2seg/light.py", help="sizes of the masks' model")
    add("--pictures", type=int, default=4, help="different ones (4)")
    add("--objects", type=int, default=4, help="in each (4)")
    add("--rounds", type=int, default=5, help="times that each is timed (5)")
    add("--threads", type=int, default=2, help="of the processor (2)")
    add("--bf16", action="store_true", help="autocast; float32 without")
    add("--out", type=Path, default=RESULTS / "loop.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    if args.weights is None:
        model = untrained(args.keypointnet, args.masks)
    else:
        model = as_predicted(trained_model(read_seg_checkpoint(args.weights)))
    context = torch.autocast("cpu", torch.bfloat16) if args.bf16 else nullcontext()
    with context, torch.inference_mode():
        result = figures(model, args.pictures, args.objects, args.rounds)
    kind = "bf16" if args.bf16 else "float32"
    print(f"{kind}, {args.objects} objects: {result['ms_per_picture']['whole']:.0f} ms a picture")
    for stage, share in result["share"].items():
        print(f"  {stage:12} {result['ms_per_picture'][stage]:7.1f} ms  {share:6.1%}")
    many = result["many"]
    print(
        f"{MANY} crops: KeypointNet takes {many['keypointnet_to_mask_head']:.2f} times as long as "
        f"the mask head, {many['keypointnet_to_backbone_and_head']:.2f} times as long as the head "
        "with its backbone (aim below 1)"
    )
    weights = None if args.weights is None else args.weights.name
    write_result(
        args.out, {"threads": args.threads, "precision": kind, "weights": weights, "loop": result}
    )


if __name__ == "__main__":
    main()
