"""Networks of Detectron2's model zoo, with weights from its files.

Nothing is downloaded unless `find_weights` is asked to.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from torch import Tensor, nn

from keypointnet.listing import listed
from kp2seg.data.problems import DataError

# Made anew by the model and not learnt; the zoo's files have some of them.
_NOT_LEARNT = ("cell_anchors", "pixel_mean", "pixel_std", "anchor_generator")


def zoo_config(name: str) -> CfgNode:
    """A configuration of the model zoo, such as COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml.

    Raises:  DataError: there is no such one, or it is no CfgNode.
    """
    try:
        config = model_zoo.get_config(name)
    except RuntimeError as error:
        raise DataError(f"{name}: no configuration of Detectron2's model zoo") from error
    if not isinstance(config, CfgNode):
        raise DataError(f"{name}: expected a .yaml configuration of Detectron2's model zoo")
    return config


def zoo_network(
    cfg: CfgNode, weights: Path, config: str, unused: Collection[str] = ()
) -> nn.Module:
    """A network of the zoo, ready to predict.

    Args:    cfg: its configuration, perhaps changed.  weights: of the zoo (.pkl), or a torch file
             of tensors (.pth).  config: its name in the zoo, for messages.
             unused: beginnings of the names of weights that the changed network does without.
    Raises:  DataError: the file cannot be read, or is of another network, and in what.
    """
    model: nn.Module = build_model(cfg).eval()
    tensors = read_zoo_file(weights)
    for name in list(tensors):
        if name.startswith(tuple(unused)):
            del tensors[name]
    _load(model, tensors, weights, config)
    return model


def input_picture(picture: np.ndarray, short_side: int, long_side: int) -> Tensor:
    """(3, h', w') BGR, as the zoo's networks take it, of a picture (h, w, 3) uint8 RGB.

    Args:    short_side, long_side: px that it is resized to, whichever is smaller.
    """
    h, w = picture.shape[:2]
    scale = min(short_side / min(h, w), long_side / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    flags = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    bgr = cv2.resize(picture, size, interpolation=flags)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(bgr.transpose(2, 0, 1)))


def find_weights(path: Path | None, config: str) -> Path:
    """A file of the zoo's weights: the given one, or the zoo's, downloaded if it is not there yet.

    Args:    config: the network's name in the zoo.
    Raises:  DataError: it is not there, or cannot be downloaded; where to put which file is said.
    """
    url = _url(config)
    if path is not None:
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file of weights; get it from {url}")
        return Path(path)
    try:
        return Path(PathManager.get_local_path(url))
    except Exception as error:  # iopath, urllib and the operating system each have their own
        raise DataError(
            f"the weights of {config} cannot be downloaded ({' '.join(str(error).split())}); "
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


def _load(model: nn.Module, weights: Mapping[str, Tensor], source: Path, config: str) -> None:
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
        raise DataError(f"{source}: is no {config}: {listed(problems, 3, '; ')}")
    model.load_state_dict({n: v for n, v in weights.items() if n in expected}, strict=False)


def _url(config: str) -> str:
    try:
        return str(model_zoo.get_checkpoint_url(config))
    except RuntimeError as error:
        raise DataError(f"{config}: Detectron2's model zoo has no weights of it") from error
