#!/usr/bin/env python3
"""Evaluates a mask model: predicts once into a cache, then scores the cache.

    tools/eval_seg.py runs/light/checkpoints/best.safetensors --dataset cocopersons_val
    tools/eval_seg.py --model people-light --dataset cocopersons_val
    tools/eval_seg.py WEIGHTS --dataset ochuman_val --keypoints detections.json --boundary
    tools/eval_seg.py WEIGHTS --dataset cocopersons_val --out runs/light/evaluation

A bundle of tools/bundle.py, or a detector, needs boxes and masks only, so plain COCO instance JSON:

    tools/eval_seg.py chair.safetensors --dataset instances_val2017.json@val2017 --category chair
    tools/eval_seg.py chair.safetensors --dataset … --category chair --detections results.json

The first looks for keypoints in the true boxes; the second in a detector's, and each mask's score
is multiplied by its box's.

Both score modes are printed below the published rows. A cache that was made from other weights,
annotations, keypoints, settings or code is refused; --again predicts anew. On OCHuman and made-up
crowds the moderate and hard ranges of MaxIoU are scored from the same predictions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from keypointnet.command_line import Parser, at_least_one, errors_in_one_line
from keypointnet.files import file_sha256
from keypointnet.tensor_files import CheckpointError
from kp2seg import zoo
from kp2seg.bundle import bundled_category
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.command_line import add_masks
from kp2seg.data.catalog import read_dataset, short_name
from kp2seg.data.coco_json import KeypointData
from kp2seg.data.object_boxes import read_object_boxes
from kp2seg.data.problems import DataError
from kp2seg.evaluation.cache import Cache, StaleCacheError
from kp2seg.evaluation.evaluate import Evaluation, evaluate
from kp2seg.evaluation.subsets import evaluate_ranges, restrict, with_pictures_of
from kp2seg.evaluation.tables import markdown_table, table_rows, write_evaluation
from kp2seg.keypoint_sources.boxes import BoxTable
from kp2seg.keypoint_sources.keypoint_rcnn import (
    DETECTED,
    ZOO_CONFIG,
    KeypointRCNN,
    detect_poses,
)
from kp2seg.keypoint_sources.picture_boxes import detected_boxes
from kp2seg.keypoint_sources.poses import PoseTable, keep_poses, kept_poses
from kp2seg.keypoint_sources.results import Choice, read_results
from kp2seg.keypoint_sources.zoo_networks import find_weights
from kp2seg.lazy_config import SegConfigError, choose_device, finds_keypoints, has_templates
from kp2seg.prediction_cache import cached_predictions


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("eval_seg", __doc__)
    add = parser.add_argument
    add(
        "weights",
        type=Path,
        nargs="?",
        help="checkpoint of tools/train_seg.py or tools/convert_weights.py, or --model without it",
    )
    add_masks(parser)
    add("--dataset", default="cocopersons_val", help="a registered data set, or "
        "FILE.json@FOLDER of COCO keypoint JSON and its pictures (cocopersons_val)")  # fmt: skip
    add("--category", help="of a bundle or a detector: the class, where FILE.json has several")
    add("--detections", type=Path, help="of a bundle: COCO results, whose boxes are used")
    add("--keypoints", type=Path, help="a detector's file; the annotations' points without one")
    add("--joints", help="layout of that file's joints; by their number without it")
    add("--detector", action="store_true", help="keypoints of Detectron2's Keypoint R-CNN")
    add("--detector-weights", type=Path, help="its file, where the model zoo cannot be reached")
    add("--min-score", type=float, help="of a pose (0.2 of a file's, 0.5 of --detector's) or "
        "of a detected box (0.05)")  # fmt: skip
    add("--out", type=Path, help="folder for the cache and the JSON (beside the weights; "
        "of a --model runs/NAME/evaluation)")  # fmt: skip
    add("--again", action="store_true", help="predict even if there is a cache")
    add("--boundary", action="store_true", help="boundary AP and IoU too")
    add("--strict", action="store_true", help="stop at the first bad annotation or picture")
    add("--device", default="auto")
    add("--amp", action="store_true", help="bf16 autocast")
    add("--batch", type=at_least_one, default=4, help="pictures at once (4)")
    add("--chunk", type=at_least_one, default=8, help="people through the mask head at once (8)")
    add("--workers", type=int, default=0, help="processes that read pictures (0)")
    args = parser.parse_args(words)
    if (args.weights is None) == (args.model is None):
        parser.error("choose one: WEIGHTS, or --model NAME in their place")
    if args.keypoints and args.detector:
        parser.error("--keypoints and --detector: choose one")
    if args.joints and not args.keypoints:
        parser.error("--joints: is the layout of --keypoints FILE, which is not given")
    if args.detector_weights and not args.detector:
        parser.error("--detector-weights: needs --detector")
    if args.detections and (args.keypoints or args.detector):
        parser.error("--detections has boxes, for a bundle; --keypoints and --detector give points")
    found = args.keypoints or args.detector or args.detections
    if args.min_score is not None and not found:
        parser.error("--min-score: needs --keypoints, --detector or --detections")
    return args


def read(args: argparse.Namespace, config: str) -> tuple[KeypointData, BoxTable | None]:
    """The data set as the checkpoint's model needs it, and the boxes that were detected."""
    if has_templates(config):
        for flag in ("category", "detections"):
            if getattr(args, flag):
                raise SegConfigError(
                    f"--{flag}: {args.model or args.weights} takes keypoints; expected a bundle of "
                    "tools/bundle.py, which finds them in boxes"
                )
        return read_dataset(args.dataset, strict=args.strict), None
    in_boxes = finds_keypoints(config)
    data = read_dataset(
        args.dataset,
        strict=args.strict,
        keypoints=False,
        category=args.category,
        keep_empty_images=not in_boxes or args.detections is not None,
    )
    if in_boxes and not data.coco["annotations"]:
        raise DataError(f"{args.dataset}: nothing to score; {'; '.join(data.report.reasons)}")
    warn_of_class(args, config, data.coco["categories"][0]["name"])
    if args.detections is None:
        return data, None
    if not in_boxes:
        raise SegConfigError(
            f"--detections: {args.model or args.weights} is a detector, which finds its own"
        )
    objects = read_object_boxes(
        data.files[0],
        data.image_root,
        category=data.coco["categories"][0]["name"],
        detections=args.detections,
        min_score=0.05 if args.min_score is None else args.min_score,
        strict=args.strict,
    )
    objects.report.log()
    boxes = detected_boxes(objects)
    used = {row["image_id"] for row in data.coco["annotations"]} | boxes.by_image.keys()
    images = [row for row in data.coco["images"] if row["id"] in used]
    return replace(data, coco={**data.coco, "images": images}), boxes


def warn_of_class(args: argparse.Namespace, config: str, name: str) -> None:
    """Says so where a bundle is scored on a class that it was not made for."""
    known = bundled_category(config).get("name", name)
    if known != name:
        print(f"{args.model or args.weights} was made for {known!r}, not {name!r}", file=sys.stderr)


def keypoints(args: argparse.Namespace, data: KeypointData, out: Path) -> PoseTable | None:
    if args.detector:
        return detected(args, data, out / f"{short_name(args.dataset)}.poses.json")
    if args.keypoints is None:
        return None
    return read_results(
        args.keypoints,
        data.coco["images"],
        joints=args.joints,
        target=data.keypoint_names,
        choice=chosen(Choice(), args.min_score),
        strict=args.strict,
    )


def detected(args: argparse.Namespace, data: KeypointData, file: Path) -> PoseTable:
    """The detector's poses, from a file where it has looked at the same pictures before."""
    weights = find_weights(args.detector_weights, ZOO_CONFIG)
    choice = chosen(DETECTED, args.min_score)
    about = {
        "weights": file_sha256(weights),
        "choice": asdict(choice),
        "pictures": [[row["id"], row["file_name"]] for row in data.coco["images"]],
        "joints": list(data.keypoint_names),
    }
    table = None if args.again else kept_poses(file, about)
    if table is None:
        detector = KeypointRCNN(weights, choose_device(args.device), choice=choice)
        pictures = {row["id"]: data.image_root / row["file_name"] for row in data.coco["images"]}
        table = detect_poses(detector, pictures, data.keypoint_names, progress=True)
        keep_poses(file, table, about)
    return table


def chosen(choice: Choice, min_score: float | None) -> Choice:
    return choice if min_score is None else replace(choice, min_score=min_score)


def ranges(args: argparse.Namespace, data: KeypointData, cache: Cache) -> dict[str, Evaluation]:
    """Moderate and hard people: OCHuman's, where their files exist, and those of made-up crowds."""
    scored = evaluate_ranges(data.coco, cache.predictions)
    if args.dataset in ("ochuman_val", "ochuman_test"):
        for name in ("moderate", "hard"):
            try:
                part = read_dataset(f"{args.dataset}_{name}", check_images=False)
            except DataError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            coco = with_pictures_of(part.coco, data.coco)
            gone = len(part.coco["images"]) - len(coco["images"])
            if gone:
                print(f"{name}: {gone} pictures are left out, as above", file=sys.stderr)
            rows = restrict(cache.predictions, data.coco, coco)
            scored[name] = evaluate(coco, rows)
    return scored


def results_folder(args: argparse.Namespace) -> Path:
    """Where the cache and the JSON go unless --out says it."""
    if args.model:
        return Path("runs") / args.model / "evaluation"
    folder = args.weights.parent
    return (folder.parent if folder.name == "checkpoints" else folder) / "evaluation"


def run(args: argparse.Namespace) -> None:
    weights = args.weights or zoo.path(args.model, "masks")
    out = args.out or results_folder(args)
    checkpoint = read_seg_checkpoint(weights)
    data, boxes = read(args, checkpoint.config)
    source = boxes or keypoints(args, data, out)
    name = short_name(args.dataset)
    if args.category:
        name += f"-{args.category.replace('/', '_')}"
    file = out / f"{name}.predictions.json"
    try:
        cache = cached_predictions(
            weights,
            args.dataset,
            data,
            file,
            source=source,
            device=args.device,
            amp=args.amp,
            batch=args.batch,
            chunk=args.chunk,
            workers=args.workers,
            again=args.again,
            progress=True,
        )
    except StaleCacheError as error:
        raise StaleCacheError(f"{error} (--again, --out)") from error
    result = evaluate(data.coco, cache.predictions, boundary=args.boundary)
    parts = ranges(args, data, cache)
    kind = "the file's keypoints" if ".json" in args.dataset else "true keypoints"
    if source:
        kind = "detected keypoints"
    if finds_keypoints(checkpoint.config):
        kind = f"keypoints found in {'detected' if boxes else 'the true'} boxes"
    elif not has_templates(checkpoint.config):
        kind = "a detector"
    print(markdown_table(name, table_rows(f"ours, {kind}", result, **parts)))
    about = {"dataset": args.dataset, "keypoints": kind, "weights": args.model or str(args.weights)}
    ours = {name: part.as_dict() for name, part in parts.items()}
    write_evaluation(out / f"{name}.json", result, **about, **ours)


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    with errors_in_one_line("eval_seg", CheckpointError, torch.OutOfMemoryError):
        run(args)


if __name__ == "__main__":
    main()
