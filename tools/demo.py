#!/usr/bin/env python3
"""Cuts people, or objects, out of pictures, a video or a camera's pictures, along keypoints.

    tools/demo.py photo.jpg --detector                       Keypoint R-CNN finds the keypoints
    tools/demo.py a.jpg b.jpg --keypoints alphapose.json     or a file has them: COCO results,
    tools/demo.py walk.mp4 --keypoints openpose_out/         AlphaPose, OpenPose, annotations
    tools/demo.py --webcam --detector                        Ctrl-C ends

The weights are those of people that come with kp2seg; --weights and --model name others. A bundle
of tools/bundle.py finds the keypoints itself, in boxes:

    tools/demo.py photo.jpg --weights chair.safetensors --boxes boxes.json    COCO results or
    tools/demo.py photo.jpg --weights chair.safetensors --box 12,40,200,310   annotations; by hand;
    tools/demo.py a.mp4 --weights chair.safetensors --detector --category chair    Mask R-CNN's

OUT/ gets the pictures (or MP4) with masks and skeletons, and beside each a JSON of COCO results
with RLE masks. In a video, image_id counts frames from 0; frame 12 is OpenPose's
NAME_000000000012_keypoints.json and AlphaPose's 12.jpg.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.structures import Instances

from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.drawing import save_picture
from keypointnet.files import write_whole
from keypointnet.progress import progress_bar
from keypointnet.tensor_files import CheckpointError
from kp2seg import zoo
from kp2seg.checkpoints import SegCheckpoint, read_seg_checkpoint
from kp2seg.command_line import add_masks
from kp2seg.cutter import Cutter
from kp2seg.data.mapper import boxed_instances, detected_instances, read_picture
from kp2seg.data.object_boxes import MIN_SIDE
from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.box_detector import BOX_CONFIG, BoxDetector, zoo_class
from kp2seg.keypoint_sources.boxes import Box, BoxTable, box_table
from kp2seg.keypoint_sources.keypoint_rcnn import DETECTED, ZOO_CONFIG, KeypointRCNN
from kp2seg.keypoint_sources.picture_boxes import (
    box_problem,
    coco_category_id,
    read_picture_boxes,
)
from kp2seg.keypoint_sources.picture_poses import read_picture_poses
from kp2seg.keypoint_sources.poses import PoseTable
from kp2seg.keypoint_sources.results import Choice
from kp2seg.keypoint_sources.zoo_networks import find_weights
from kp2seg.lazy_config import SegConfigError, choose_device, finds_keypoints

MODEL = "people-light"
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("demo", __doc__)
    add = parser.add_argument
    add("inputs", nargs="*", type=Path, help="pictures or videos")
    add("--webcam", nargs="?", type=int, const=0, metavar="N", help="camera N (0)")
    add("--weights", type=Path, help="of tools/train_seg.py, or of tools/bundle.py")
    add_masks(parser)
    add("--keypoints", type=Path, help="file of keypoints, or OpenPose's folder")
    add("--joints", help="layout of that file's joints; by their number without it")
    add("--detector", action="store_true", help="keypoints of Detectron2's Keypoint R-CNN")
    add("--detector-weights", type=Path, help="its file, where the model zoo cannot be reached")
    add("--boxes", type=Path, help="file of boxes, for a bundle: COCO results or annotations")
    add("--box", type=box, action="append", metavar="X,Y,W,H", help="px; repeats; --box=… if X < 0")
    add("--category", help="class of the boxes, by COCO's name or the file's (the bundle's)")
    add("--detector-config", help=f"of the model zoo, for a bundle ({BOX_CONFIG})")
    add("--min-score", type=float, help="of a detected pose (file: 0.2, detector: .5) or box (.5)")
    add("--out", type=Path, default=Path("demo_out"), help="folder (demo_out)")
    add("--device", default="auto")
    args = parser.parse_intermixed_args(words)
    if args.weights and args.model:
        parser.error("--weights and --model: choose one")
    if (args.webcam is None) == (not args.inputs):
        parser.error("expected pictures, a video, or --webcam")
    if args.webcam is not None and not args.detector:
        parser.error("--webcam needs --detector")
    if args.box and (len(args.inputs) != 1 or args.inputs[0].suffix.lower() in VIDEOS):
        parser.error("--box: is for a single picture; several need --boxes FILE")
    return args


def box(text: str) -> Box:
    """A flag's box. Raises: argparse.ArgumentTypeError: it is none."""
    try:
        xywh = [float(part) for part in text.split(",")]
    except ValueError:
        xywh = []
    if problem := box_problem(xywh):
        raise argparse.ArgumentTypeError(f"{text!r}: {problem}; expected X,Y,W,H in px")
    return Box(np.array(xywh))


def check_source(args: argparse.Namespace, bundle: bool) -> None:
    """Raises SegConfigError unless the flags name one source of what the model takes."""
    flags = ("keypoints", "boxes", "box", "detector")
    given = [f"--{name}" for name in flags if getattr(args, name)]
    boxes = [flag for flag in given if flag in ("--boxes", "--box")]
    if bundle and "--keypoints" in given:
        raise SegConfigError(
            f"--keypoints: {args.weights.name} is a bundle, which finds the keypoints itself, in "
            "boxes; give --boxes FILE, --box X,Y,W,H or --detector in its place"
        )
    if not bundle and boxes:
        raise SegConfigError(
            f"{boxes[0]}: {args.weights.name} is no bundle of tools/bundle.py; where are the "
            "keypoints? give --keypoints FILE, or --detector"
        )
    if len(given) != 1:
        what = "keypoints? give --keypoints FILE,"
        if bundle:
            what = "boxes? give --boxes FILE, --box X,Y,W,H,"
        raise SegConfigError(f"where are the {what} or --detector; --help lists the flags")
    if args.detector_config and not (bundle and args.detector):
        raise SegConfigError("--detector-config: is of a bundle's --detector")
    if args.category and not bundle:
        raise SegConfigError("--category: is of a bundle's boxes")


def open_cutter(args: argparse.Namespace, checkpoint: SegCheckpoint | None) -> Cutter:
    if checkpoint is None:
        raise CheckpointError(
            f"{args.weights}: no such weights; train some with "
            "tools/train_seg.py --config-file configs/kp2seg/light.py, or turn the published "
            "file into them with tools/convert_weights.py pose2seg pose2seg_release.pkl "
            "weights/pose2seg.safetensors --templates templates.json, and give them with "
            "--weights"
        )
    return Cutter(checkpoint, choose_device(args.device))


class Source:
    """What the flags say of where people or objects are. Sets the cutter's category_id."""

    def __init__(self, args: argparse.Namespace, cutter: Cutter) -> None:
        self.args, self.cutter, self.outside = args, cutter, 0
        self.poses: KeypointRCNN | None = None
        self.boxes: BoxDetector | None = None
        score, device = args.min_score, choose_device(args.device)
        if args.detector and not cutter.in_boxes:
            choice = DETECTED if score is None else Choice(score, 0.05)
            file = find_weights(args.detector_weights, ZOO_CONFIG)
            self.poses = KeypointRCNN(file, device, choice=choice)
        elif args.detector:
            config, category = args.detector_config or BOX_CONFIG, self.category()
            _, cutter.category_id = zoo_class(config, category)
            file = find_weights(args.detector_weights, config)
            least = 0.5 if score is None else score
            self.boxes = BoxDetector(file, category, device, min_score=least, config=config)
        elif args.box and args.category:
            cutter.category_id = coco_category_id(args.category)

    def category(self) -> str:
        """The class that a detector is to find."""
        name: str | None = self.args.category or self.cutter.category.get("name")
        if name is None:
            raise SegConfigError("--detector: which class? name it with --category")
        return name

    def table(self, images: Sequence[dict[str, Any]]) -> PoseTable | BoxTable | None:
        """What a file or --box says, None where a detector looks at each picture."""
        args, score = self.args, self.args.min_score
        if args.detector:
            return None
        if not self.cutter.in_boxes:
            choice = Choice() if score is None else Choice(score)
            return read_picture_poses(
                args.keypoints, images, joints=args.joints, target=self.cutter.names, choice=choice
            )
        if args.box:
            return box_table({images[0]["id"]: args.box}, self.cutter.category_id, Report("--box"))
        least = 0.5 if score is None else score
        usual, category = self.cutter.category.get("name"), args.category
        table = read_picture_boxes(
            args.boxes, images, category=category, usual=usual, min_score=least
        )
        self.cutter.category_id = table.category_id
        return table

    def find(self, rgb: np.ndarray, image_id: int, table: PoseTable | BoxTable | None) -> Instances:
        """The people or objects of a picture (h, w, 3) RGB, as the cutter takes them."""
        size, names = (rgb.shape[0], rgb.shape[1]), self.cutter.names
        poses = table.poses(image_id) if isinstance(table, PoseTable) else None
        if self.poses is not None:
            poses = self.poses.detect(rgb, names)
        if poses is not None:
            there = [pose for pose in poses if pose.is_inside(size)]
            self.outside += len(poses) - len(there)
            return detected_instances(there, size, len(names))
        boxes = table.boxes(image_id) if self.boxes is None else self.boxes.detect(rgb)
        inside = [one for one in boxes if min(one.inside(size)) >= MIN_SIDE]
        self.outside += len(boxes) - len(inside)
        return boxed_instances(inside, size)

    def cut(
        self, rgb: np.ndarray, image_id: int, table: PoseTable | BoxTable | None
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The picture with what was found in it, see `Cutter.cut`."""
        return self.cutter.cut(rgb, image_id, self.find(rgb, image_id, table))


def cut_pictures(source: Source, paths: Sequence[Path], out: Path) -> None:
    images = [{"id": image_id, "file_name": path.name} for image_id, path in numbered(paths)]
    table = source.table(images)
    for row, path in zip(progress_bar(images, desc="cut out", unit="picture"), paths, strict=True):
        rgb = read_picture({"file_name": str(path)})
        drawn, results = source.cut(rgb, row["id"], table)
        picture, table_file = outputs(path)
        save_picture(out / picture, drawn)
        write_json(out / table_file, results)


def outputs(path: Path) -> tuple[str, str]:
    """Names of an input's results: what is drawn, and the JSON."""
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        return f"{path.stem}.mp4", f"{path.stem}.mp4.json"
    drawn = path.name if suffix in (".png", ".jpg", ".jpeg") else f"{path.name}.png"
    return drawn, f"{path.name}.json"


def check_outputs(paths: Sequence[Path], out: Path) -> None:
    """Raises DataError if results would replace an input or each other."""
    inputs = {path.resolve() for path in paths}
    names = [name for path in paths for name in outputs(path)]
    for name in names:
        if (out / name).resolve() in inputs:
            raise DataError(f"{out / name}: would be replaced by the results; choose another --out")
        if names.count(name) > 1:
            raise DataError(f"the results of several inputs would be one file, {name}")


def numbered(paths: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    """Image ids: COCO's where the names are such numbers, each once, else -1, -2, …."""
    seen: set[int] = set()
    for number, path in enumerate(paths):
        image_id = int(path.stem) if path.stem.isdecimal() else -1 - number
        if image_id in seen:  # 7.jpg and 07.jpg
            image_id = -1 - number
        seen.add(image_id)
        yield image_id, path


def cut_video(source: Source, path: Path | int, out: Path) -> bool:
    """Returns: whether it came to its end; Ctrl-C stops it, and what was done so far is kept."""
    name = f"camera{path}" if isinstance(path, int) else path.stem
    video = cv2.VideoCapture(path if isinstance(path, int) else str(path))
    if not video.isOpened():
        what = f"camera {path}" if isinstance(path, int) else path
        raise DataError(f"{what}: cannot be opened as a video")
    frames = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
    table = None
    if not isinstance(path, int):
        table = source.table(
            [
                {"id": number, "file_name": file}
                for number in range(frames)
                for file in (f"{number}.jpg", f"{name}_{number:012d}.jpg")
            ]
        )
    window = isinstance(path, int) and bool(os.environ.get("DISPLAY"))
    writer, results, ended = None, [], True
    try:
        with progress_bar(total=frames or None, desc=name, unit="frame") as bar:
            while True:
                found, bgr = video.read()
                if not found:
                    break
                drawn, rows = source.cut(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), bar.n, table)
                results += rows
                if writer is None:
                    writer = open_writer(out / f"{name}.mp4", video, bgr.shape[:2])
                bgr = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
                writer.write(bgr)
                bar.update()
                if window:
                    cv2.imshow("kp2seg: q ends", bgr)
                    if cv2.waitKey(1) == ord("q"):
                        break
    except KeyboardInterrupt:
        ended = False
        print("stopped; what was done so far is kept", file=sys.stderr)
    finally:
        video.release()
        if writer is not None:
            writer.release()
    if writer is None:
        raise DataError(f"{path}: no frame of it can be read")
    write_json(out / f"{name}.mp4.json", results)
    return ended


def open_writer(path: Path, video: cv2.VideoCapture, size: tuple[int, int]) -> cv2.VideoWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = video.get(cv2.CAP_PROP_FPS)
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, rate if 0 < rate < 1000 else 25.0, size[::-1])
    if not writer.isOpened():
        raise OSError(f"{path}: the video cannot be written")
    return writer


def run(args: argparse.Namespace) -> None:
    args.weights = args.weights or zoo.path(args.model or MODEL, "masks")
    checkpoint = read_seg_checkpoint(args.weights) if args.weights.exists() else None
    check_source(args, checkpoint is not None and finds_keypoints(checkpoint.config))
    check_outputs(args.inputs, args.out)
    missing = [str(path) for path in args.inputs if not path.is_file()]
    if missing:
        raise DataError(f"{', '.join(missing)}: no such file, or a folder")
    cutter = open_cutter(args, checkpoint)
    source = Source(args, cutter)
    videos = [path for path in args.inputs if path.suffix.lower() in VIDEOS]
    pictures = [path for path in args.inputs if path not in videos]
    if pictures:
        cut_pictures(source, pictures, args.out)
    for path in videos if args.webcam is None else [args.webcam]:
        if not cut_video(source, path, args.out):
            break
    if source.outside:
        print(f"outside of their pictures, left out: {source.outside}", file=sys.stderr)
    what = ("objects", "object") if cutter.in_boxes else ("people", "person")
    print(f"{cutter.count or 'no'} {what[cutter.count == 1]} cut out; results in {args.out}")


def write_json(path: Path, results: list[dict[str, Any]]) -> None:
    write_whole(path, (json.dumps(results) + "\n").encode())


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    with errors_in_one_line("demo", CheckpointError, torch.OutOfMemoryError):
        run(args)


if __name__ == "__main__":
    main()
