#!/usr/bin/env python3
"""Cuts people out of pictures, a video or a camera's pictures, along their keypoints.

    tools/demo.py photo.jpg --detector                       Keypoint R-CNN finds the keypoints
    tools/demo.py a.jpg b.jpg --keypoints alphapose.json     or a file has them: COCO results,
    tools/demo.py walk.mp4 --keypoints openpose_out/         AlphaPose, OpenPose, annotations
    tools/demo.py --webcam --detector                        Ctrl-C ends

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

from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.drawing import save_picture
from keypointnet.files import write_whole
from keypointnet.progress import progress_bar
from keypointnet.tensor_files import CheckpointError
from kp2seg.build import connections, takes_keypoints, trained_model
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.data.mapper import detected_instances, read_picture
from kp2seg.data.problems import DataError
from kp2seg.drawing import draw_people
from kp2seg.keypoint_sources.keypoint_rcnn import DETECTED, KeypointRCNN, find_weights
from kp2seg.keypoint_sources.picture_poses import read_picture_poses
from kp2seg.keypoint_sources.poses import Pose, PoseTable
from kp2seg.keypoint_sources.results import Choice
from kp2seg.lazy_config import SegConfigError, choose_device
from kp2seg.prediction import results_json

WEIGHTS = Path("runs/light/checkpoints/best.safetensors")
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("demo", __doc__)
    add = parser.add_argument
    add("inputs", nargs="*", type=Path, help="pictures or videos")
    add("--webcam", nargs="?", type=int, const=0, metavar="N", help="camera N (0)")
    add("--weights", type=Path, default=WEIGHTS, help=f"of tools/train_seg.py ({WEIGHTS})")
    add("--keypoints", type=Path, help="file of keypoints, or OpenPose's folder")
    add("--joints", help="layout of that file's joints; by their number without it")
    add("--detector", action="store_true", help="keypoints of Detectron2's Keypoint R-CNN")
    add("--detector-weights", type=Path, help="its file, where the model zoo cannot be reached")
    add("--min-score", type=float, help="of a detected pose (file: 0.2, detector: 0.5)")
    add("--out", type=Path, default=Path("demo_out"), help="folder (demo_out)")
    add("--device", default="auto")
    args = parser.parse_args(words)
    if (args.webcam is None) == (not args.inputs):
        parser.error("expected pictures, a video, or --webcam")
    if (args.keypoints is None) == (not args.detector):
        parser.error("where are the keypoints? give --keypoints FILE, or --detector")
    if args.webcam is not None and not args.detector:
        parser.error("--webcam needs --detector")
    return args


class Cutter:
    """Picture and poses → drawn picture and results."""

    def __init__(self, args: argparse.Namespace) -> None:
        if not args.weights.exists():
            raise CheckpointError(
                f"{args.weights}: no such weights; train some with "
                "tools/train_seg.py --config-file configs/kp2seg/light.py, or turn the published "
                "file into them with tools/convert_weights.py pose2seg pose2seg_release.pkl "
                "weights/pose2seg.safetensors --templates templates.json, and give them with "
                "--weights"
            )
        self.args, self.people = args, 0
        device = choose_device(args.device)
        self.model = trained_model(read_seg_checkpoint(args.weights), device)
        if not takes_keypoints(self.model):
            raise SegConfigError(
                f"{args.weights}: a detector, which takes no keypoints; expected a Pose2Seg"
            )
        self.names = self.model.templates.names
        self.detector = None
        if args.detector:
            choice = DETECTED if args.min_score is None else Choice(args.min_score, 0.05)
            file = find_weights(args.detector_weights)
            self.detector = KeypointRCNN(file, device, choice=choice)

    def poses_of(self, images: Sequence[dict[str, Any]]) -> PoseTable | None:
        """The poses of a file, None where the detector looks at each picture."""
        if self.detector is not None:
            return None
        choice = Choice() if self.args.min_score is None else Choice(self.args.min_score)
        return read_picture_poses(
            self.args.keypoints, images, joints=self.args.joints, target=self.names, choice=choice
        )

    def cut(
        self, rgb: np.ndarray, image_id: int, table: PoseTable | None
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """A picture (h, w, 3) RGB with its masks drawn, and the results as JSON has them."""
        poses: list[Pose] = []
        if table is not None:
            poses = table.poses(image_id)
        elif self.detector is not None:
            poses = self.detector.detect(rgb, self.names)
        h, w = rgb.shape[:2]
        given = detected_instances(poses, (h, w), len(self.names))
        image = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        picture = {"image": image, "instances": given, "height": h, "width": w}
        with torch.inference_mode():
            found = self.model([picture])[0]["instances"].to("cpu")
        drawn = draw_people(
            rgb, found.pred_masks.numpy(), found.pred_keypoints.numpy(), connections(self.model)
        )
        self.people += len(found)
        return drawn, results_json(found, image_id)


def cut_pictures(cutter: Cutter, paths: Sequence[Path], out: Path) -> None:
    images = [{"id": image_id, "file_name": path.name} for image_id, path in numbered(paths)]
    table = cutter.poses_of(images)
    for row, path in zip(progress_bar(images, desc="cut out", unit="picture"), paths, strict=True):
        rgb = read_picture({"file_name": str(path)})
        drawn, results = cutter.cut(rgb, row["id"], table)
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


def cut_video(cutter: Cutter, source: Path | int, out: Path) -> None:
    name = f"camera{source}" if isinstance(source, int) else source.stem
    video = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    if not video.isOpened():
        what = f"camera {source}" if isinstance(source, int) else source
        raise DataError(f"{what}: cannot be opened as a video")
    frames = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
    table = None
    if not isinstance(source, int):
        table = cutter.poses_of(
            [
                {"id": number, "file_name": file}
                for number in range(frames)
                for file in (f"{number}.jpg", f"{name}_{number:012d}.jpg")
            ]
        )
    window = isinstance(source, int) and bool(os.environ.get("DISPLAY"))
    writer, results = None, []
    try:
        with progress_bar(total=frames or None, desc=name, unit="frame") as bar:
            while True:
                found, bgr = video.read()
                if not found:
                    break
                drawn, rows = cutter.cut(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), bar.n, table)
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
        print("stopped; what was done so far is kept", file=sys.stderr)
    finally:
        video.release()
        if writer is not None:
            writer.release()
    if writer is None:
        raise DataError(f"{source}: no frame of it can be read")
    write_json(out / f"{name}.mp4.json", results)


def open_writer(path: Path, video: cv2.VideoCapture, size: tuple[int, int]) -> cv2.VideoWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = video.get(cv2.CAP_PROP_FPS)
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, rate if 0 < rate < 1000 else 25.0, size[::-1])
    if not writer.isOpened():
        raise OSError(f"{path}: the video cannot be written")
    return writer


def run(args: argparse.Namespace) -> None:
    check_outputs(args.inputs, args.out)
    missing = [str(path) for path in args.inputs if not path.is_file()]
    if missing:
        raise DataError(f"{', '.join(missing)}: no such file")
    cutter = Cutter(args)
    videos = [path for path in args.inputs if path.suffix.lower() in VIDEOS]
    pictures = [path for path in args.inputs if path not in videos]
    if pictures:
        cut_pictures(cutter, pictures, args.out)
    for source in videos if args.webcam is None else [args.webcam]:
        cut_video(cutter, source, args.out)
    print(f"{cutter.people or 'no'} people cut out; results in {args.out}")


def write_json(path: Path, results: list[dict[str, Any]]) -> None:
    write_whole(path, (json.dumps(results) + "\n").encode())


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    with errors_in_one_line("demo", CheckpointError, torch.OutOfMemoryError):
        run(args)


if __name__ == "__main__":
    main()
