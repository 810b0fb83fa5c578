#!/usr/bin/env python
"""Pose2Seg's inference against a plain one: the same published network, weights, people and masks.

    benchmarks/bench_pose2seg.py
    benchmarks/bench_pose2seg.py --pictures 8 --threads 2 --out pose2seg.json

The plain one is plain_pose2seg.py: float32 NCHW, batch norms as they are, a picture at a time, a
person at a time. Ours folds the batch norms, keeps channels_last, takes the people of several
pictures together, and runs once in float32 and once in bf16. Prints the ratio of whole inference,
aim 2, and of matching + skeletons + aligning for each person, aim 20: against the plain one, whose
loops are over people, templates, joints and limbs, and against tests/kp2seg/plain_loops.py, which
loops over pixels as well. Prints too how equal the masks are.

Pictures are noise of COCO's size. Weights are random, with small steps of the residual units and
batch statistics of such pictures, and logits of unit spread: masks of random blobs, whose outlines
are harder to repeat than a person's. --weights takes a trained checkpoint.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.structures import Instances
from machine import RESULTS, write_result
from plain_pose2seg import PlainPose2Seg
from torch import Tensor, nn

from keypointnet.tensor_files import load_weights
from kp2seg import zoo
from kp2seg.build import folded
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.data.mapper import detected_instances
from kp2seg.keypoint_sources.poses import Pose
from kp2seg.modeling.aligners import FeatureAligner
from kp2seg.modeling.backbones import build_published_backbone
from kp2seg.modeling.mask_head import PublishedMaskHead
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.modeling.people import gather_people
from kp2seg.skeleton import skeleton_maps
from kp2seg.template_files import load_templates

SIZE = (480, 640)
LOOPS = Path(__file__).parents[1] / "tests/kp2seg/plain_loops.py"


def make_model() -> Pose2Seg:
    """The published network with random weights."""
    torch.manual_seed(0)
    model = Pose2Seg(
        aligner=FeatureAligner(build_published_backbone(), convention="published"),
        mask_head=PublishedMaskHead(),
        templates=zoo.templates("person"),
    )
    return model.eval()


def make_pictures(count: int, people: int) -> list[dict[str, Any]]:
    """Pictures of smooth noise with people whose poses are the templates', moved and bent."""
    rng = np.random.default_rng(0)
    templates = load_templates(zoo.templates("person")).templates
    h, w = SIZE
    pictures = []
    for number in range(count):
        noise = rng.integers(0, 256, (h // 16, w // 16, 3), dtype=np.uint8)
        rgb = cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
        poses = []
        for _ in range(people):
            template = templates[rng.integers(len(templates))]
            side = rng.uniform(100, 400)
            corner = rng.uniform(0, 1, 2) * (np.array([w, h]) - side)
            points = corner + side * (template[:, :2] + rng.normal(0, 0.03, template[:, :2].shape))
            poses.append(Pose(points, np.where(template[:, 2] > 0, rng.integers(1, 3), 0)))
        pictures.append(
            {
                "image": torch.from_numpy(rgb.transpose(2, 0, 1).copy()),
                "instances": detected_instances(poses, SIZE, templates.shape[1]),
                "height": h,
                "width": w,
                "image_id": number,
            }
        )
    return pictures


def settle(model: Pose2Seg, pictures: list[dict[str, Any]]) -> None:
    """Gives the batch norms the statistics of the pictures, and the logits unit spread."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for name, module in model.named_modules():
        if name.endswith(("conv3.norm", "bn3")):
            module.weight.data.fill_(0.2)
    people = gather_people(pictures, len(model.templates.names), model.device)
    with torch.no_grad():
        for norm in norms:
            norm.train()
        next(iter(model.region_masks(pictures, people)))
        model.eval()
        logit = torch.cat([masks.logit for masks in model.region_masks(pictures, people)])
        classes = model.mask_head.classes
        classes.weight.div_(logit.std())
        classes.bias.div_(logit.std())
        # Two parts in five are foreground.
        classes.bias[1] -= (logit / logit.std()).flatten()[::7].quantile(0.6)


def keypoints(instances: Instances) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, K, 2) in the published convention, and visibilities (P, K)."""
    points = instances.gt_keypoints.tensor.double().numpy()
    return points[..., :2] - 0.5, points[..., 2]


def ours_steps(model: Pose2Seg, feature: Tensor, pictures: list[dict[str, Any]]) -> None:
    """Matching, skeletons and aligning of all people of all pictures at once, by ours."""
    people = gather_people(pictures, len(model.templates.names), model.device)
    regions = model.aligner.match(people, model.template_points)
    side = (model.aligner.grid_size, model.aligner.grid_size)
    for rows in torch.arange(len(people)).split(model.people_chunk):
        some = regions.take(rows)
        model.aligner.features(feature, people.take(rows), some)
        skeleton_maps(
            some.kpts_grid,
            people.visibility[rows],
            model.connections,
            side,
            sigma_px=model.skeleton_sigma,
            convention=model.aligner.convention,
        )


def time_in_turn(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median seconds of each way, taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def loops_seconds(model: Pose2Seg, feature: Tensor, picture: dict[str, Any]) -> float:
    """One person's matching, skeleton and aligning, with loops over pixels too."""
    loops = runpy.run_path(str(LOOPS))
    points, visibility = (values[0] for values in keypoints(picture["instances"]))
    side, grid = feature.shape[-1], model.aligner.grid_size
    started = time.perf_counter()
    A, _, _ = loops["best_template"](
        points * side / max(SIZE),
        visibility,
        model.template_points.numpy(),
        (side, side),
        (grid, grid),
    )
    loops["sample_aligned"](feature[0].float().numpy(), A, (grid, grid), "published")
    loops["skeleton"](points * grid / max(SIZE), visibility, model.connections, (grid, grid))
    return time.perf_counter() - started


def compare(count: int, people: int, rounds: int, weights: Path | None = None) -> dict[str, Any]:
    """All figures."""
    pictures = make_pictures(count, people)
    model = make_model()
    if weights is None:
        settle(model, pictures)
    else:
        load_weights(model, read_seg_checkpoint(weights).weights, weights)
    plain = PlainPose2Seg(model)
    ours = folded(model).to(memory_format=torch.channels_last)
    assert isinstance(ours, Pose2Seg)

    def plainly() -> list[np.ndarray]:
        return [plain.masks(row["image"], *keypoints(row["instances"])) for row in pictures]

    def ours_in(bf16: bool) -> list[np.ndarray]:
        context = torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()
        with context:
            return [row["instances"].pred_masks.numpy() for row in ours(pictures)]

    with torch.inference_mode():
        truth, fp32, bf16 = plainly(), ours_in(False), ours_in(True)  # and all are warm
        whole = time_in_turn(
            {"plain": plainly, "fp32": lambda: ours_in(False), "bf16": lambda: ours_in(True)},
            rounds,
        )
        features = [plain.feature_map(row["image"]) for row in pictures]
        joined = torch.cat(features).contiguous(memory_format=torch.channels_last)
        half = joined.bfloat16()

        def plain_steps() -> None:
            for row, feature in zip(pictures, features, strict=True):
                plain.regions(feature, row["image"], *keypoints(row["instances"]))

        steps = time_in_turn(
            {
                "plain": plain_steps,
                "fp32": lambda: ours_steps(ours, joined, pictures),
                "bf16": lambda: ours_steps(ours, half, pictures),
            },
            3 * rounds,
        )
        steps["loops"] = loops_seconds(model, features[0], pictures[0]) * count * people
    n = count * people
    return {
        "pictures": count,
        "people": n,
        "whole_s_per_picture": {name: seconds / count for name, seconds in whole.items()},
        "whole_ratio": {name: whole["plain"] / whole[name] for name in ("fp32", "bf16")},
        "steps_ms_per_person": {name: 1e3 * seconds / n for name, seconds in steps.items()},
        "steps_ratio": {name: steps["plain"] / steps[name] for name in ("fp32", "bf16")},
        "steps_ratio_to_loops": {name: steps["loops"] / steps[name] for name in ("fp32", "bf16")},
        "iou": {"fp32": ious(truth, fp32), "bf16": ious(truth, bf16)},
    }


def ious(truth: list[np.ndarray], found: list[np.ndarray]) -> dict[str, float]:
    """Mean and least IoU of masks."""
    values = [
        float((a & b).sum() / max((a | b).sum(), 1))
        for one, other in zip(truth, found, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    return {"mean": statistics.fmean(values), "min": min(values)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--pictures", type=int, default=4, help="taken together by ours (4)")
    add("--people", type=int, default=2, help="in each picture (2, as in COCOPersons)")
    add("--rounds", type=int, default=5, help="timed rounds (5)")
    add("--threads", type=int, default=2, help="of the processor (2)")
    add("--weights", type=Path, help="a checkpoint of the published network")
    add("--out", type=Path, default=RESULTS / "pose2seg.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    result = compare(args.pictures, args.people, args.rounds, args.weights)
    for kind in ("fp32", "bf16"):
        print(
            f"{kind}: whole inference {result['whole_ratio'][kind]:.2f} times faster (aim 2), "
            f"matching + skeletons + aligning {result['steps_ratio'][kind]:.1f} times (aim 20), "
            f"{result['steps_ratio_to_loops'][kind]:.0f} times faster than loops over pixels; "
            f"IoU with the plain masks {result['iou'][kind]['mean']:.4f}, at least "
            f"{result['iou'][kind]['min']:.4f}"
        )
    write_result(args.out, {"threads": args.threads, "pose2seg": result})


if __name__ == "__main__":
    main()
