"""Detectron2's Keypoint R-CNN as the source: people's 17 COCO joints in any picture.

Its weights are a file of Detectron2's model zoo. Nothing is downloaded unless `find_weights` is
asked to.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from torch import Tensor, nn

from keypointnet.progress import progress_bar
from kp2seg.data.mapper import read_picture
from kp2seg.data.problems import DataError, Report
from kp2seg.keypoint_sources.layouts import COCO_JOINTS, map_joints
from kp2seg.keypoint_sources.oks import suppress_doubles
from kp2seg.keypoint_sources.poses import Pose, PoseTable, fingerprint
from kp2seg.keypoint_sources.results import Choice

ZOO_CONFIG = "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml"
"""65.5 keypoint AP on COCO val2017 by the model zoo's table."""

DETECTED = Choice(min_score=0.5, min_confidence=0.05)
"""What is used of its poses; a joint's confidence is that of its heatmap, 0.05 is Detectron2's."""

# Made anew by the model and not learnt; the zoo's files have some of them.
_NOT_LEARNT = ("cell_anchors", "pixel_mean", "pixel_std", "anchor_generator")


class KeypointRCNN:
    """Finds people and their keypoints in pictures.

    Args:    weights: of the zoo (.pkl), or a torch file of tensors (.pth).  device: to run on.
             choice: of its poses.  short_side, long_side: px that pictures are resized to.
             config: of the model zoo, the one that the weights were trained with.
    Raises:  DataError: the file cannot be read, or is of another model, and in what.
    """

    def __init__(
        self,
        weights: Path,
        device: str | torch.device = "cpu",
        *,
        choice: Choice = DETECTED,
        short_side: int = 800,
        long_side: int = 1333,
        config: str = ZOO_CONFIG,
    ) -> None:
        cfg = model_zoo.get_config(config)
        cfg.MODEL.DEVICE = str(device)
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = choice.min_score
        self.model = build_model(cfg).eval()
        self.choice = choice
        self.sides = short_side, long_side
        _load(self.model, read_zoo_file(weights), weights)

    @torch.inference_mode()
    def detect(self, picture: np.ndarray, target: Sequence[str] = COCO_JOINTS) -> list[Pose]:
        """The poses of a picture (h, w, 3) uint8 RGB, best first. Args: target: wanted joints."""
        h, w = picture.shape[:2]
        scale = min(self.sides[0] / min(h, w), self.sides[1] / max(h, w))
        size = (max(1, round(w * scale)), max(1, round(h * scale)))
        flags = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
        bgr = cv2.resize(picture, size, interpolation=flags)[..., ::-1]
        image = torch.from_numpy(np.ascontiguousarray(bgr.transpose(2, 0, 1)))
        found = self.model([{"image": image, "height": h, "width": w}])[0]["instances"].to("cpu")
        scores = found.scores.double().numpy()
        points = found.pred_keypoints.double().numpy().reshape(-1, len(COCO_JOINTS), 3)
        # Detectron2 has pixel centres at + 0.5, poses are COCO's raw numbers.
        kpts = points[..., :2] - 0.5
        visibility = np.where(points[..., 2] >= self.choice.min_confidence, 2, 0)
        kpts, visibility = map_joints(kpts, visibility, COCO_JOINTS, target)
        enough = np.flatnonzero((visibility > 0).sum(1) >= self.choice.min_points)
        kpts, visibility, scores = kpts[enough], visibility[enough], scores[enough]
        order = suppress_doubles(kpts, visibility, scores, self.choice.double_oks)
        return [Pose(kpts[i], visibility[i].astype(np.int64), float(scores[i])) for i in order]


def detect_poses(
    detector: KeypointRCNN,
    pictures: Mapping[int, Path],
    target: Sequence[str] = COCO_JOINTS,
    *,
    progress: bool = False,
) -> PoseTable:
    """The poses of many pictures.

    Args:    pictures: image id → file.  target: the joints wanted.
    Raises:  DataError: a picture that cannot be read.
    """
    report = Report(f"Keypoint R-CNN ({ZOO_CONFIG})")
    by_image: dict[int, list[Pose]] = {}
    bar = progress_bar(pictures.items(), desc="detect", unit="picture", disable=not progress)
    for image_id, path in bar:
        poses = detector.detect(read_picture({"file_name": str(path)}), target)
        report.read += len(poses)
        if poses:
            by_image[image_id] = poses
        else:
            report.note("nobody found", str(path))
    report.kept = report.read
    return PoseTable(by_image, report, fingerprint(by_image))


def find_weights(path: Path | None = None, *, config: str = ZOO_CONFIG) -> Path:
    """A file of the zoo's weights: the given one, or the zoo's, downloaded if it is not there yet.

    Raises:  DataError: it is not there, or cannot be downloaded; where to put which file is said.
    """
    if path is not None:
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file of weights; get it from {_url(config)}")
        return Path(path)
    url = _url(config)
    try:
        return Path(PathManager.get_local_path(url))
    except Exception as error:  # iopath, urllib and the operating system each have their own
        raise DataError(
            f"the weights of Keypoint R-CNN cannot be downloaded ({' '.join(str(error).split())}); "
            f"get {url} on another machine and give the file with --detector-weights FILE"
        ) from error


def read_zoo_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of the model zoo (a pickle of arrays) or of a torch file.

    Raises:  DataError: no such file, or anything else than tensors in it; nothing is executed.
    """
    try:
        with open(path, "rb") as file:
            if Path(path).suffix == ".pkl":
                loaded: Any = _ArraysOnly(file, encoding="latin1").load()
            else:
                loaded = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: is no file of weights ({reason})") from error
    if isinstance(loaded, dict) and isinstance(loaded.get("model"), dict):
        loaded = loaded["model"]
    if not isinstance(loaded, dict) or not loaded:
        raise DataError(f"{path}: expected a state dict, got {type(loaded).__name__}")
    return {str(name): torch.as_tensor(value) for name, value in loaded.items()}


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled NumPy arrays and refuses everything that could run code."""

    _ALLOWED = {  # noqa: RUF012
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        *(
            (f"numpy.{core}.multiarray", name)
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
        *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
        ("collections", "OrderedDict"),
    }

    def find_class(self, module: str, name: str) -> Any:
        """The few names that an array needs."""
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}; only arrays are read")
        # The old name of the module still works in NumPy 2, with a warning.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _load(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    expected = model.state_dict()
    problems = [
        f"{name} has shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    for verb, first, second in (("lacks", expected, weights), ("has", weights, expected)):
        problems += [
            f"it {verb} {name}"
            for name in first
            if name not in second and not any(part in name for part in _NOT_LEARNT)
        ]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(f"{source}: is no {ZOO_CONFIG}: {'; '.join(problems[:3])}{more}")
    model.load_state_dict({n: v for n, v in weights.items() if n in expected}, strict=False)


def _url(config: str) -> str:
    return str(model_zoo.get_checkpoint_url(config))
