"""The TensorFlow checkpoints of the released KeypointNet code in this package's names.

What differs: TensorFlow lays convolutions out as H x W x in x out; the released network looks down
−z and adds its depth maps to −30, where ours looks along z and adds them to +30, so the depth
head's weights change their sign. (u, v) needs nothing: it is read off the maps' cells, whose v
points up there and down here.

Source: names read from the released code of Suwajanakorn et al. 2018.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from keypointnet.checkpoints import build_model
from keypointnet.config import LossConfig, ModelConfig, TrainConfig
from keypointnet.listing import listed
from keypointnet.tensor_files import CheckpointError

_SCOPE = re.compile(r"KeypointNetwork/(?P<orientation>OrientationNetwork/)?(?P<rest>.+)")
_LAYER = re.compile(r"dconv(?P<number>\d+)/(?P<part>.+)")
_TRUNK_PARTS = {
    "weights": (0, "weight"),
    "BatchNorm/beta": (1, "bias"),
    "BatchNorm/moving_mean": (1, "running_mean"),
    "BatchNorm/moving_variance": (1, "running_var"),
}
_HEADS = {
    False: {"conv_xy": "head_prob", "conv_z": "head_depth"},
    True: {"Conv": "orientation.head"},
}
_HEAD_PARTS = {"weights": "weight", "biases": "bias"}
_ADAM = {"/Adam": "exp_avg", "/Adam_1": "exp_avg_sq"}
_STEP = {"global_step", "beta1_power", "beta2_power"}
"""The step, and the decays to its power, which say it once more."""
_BATCHES = "num_batches_tracked"


def our_name(released: str) -> str | None:
    """The name of a released variable here; None if there is no such variable.

    >>> our_name("KeypointNetwork/OrientationNetwork/dconv2/BatchNorm/beta")
    'orientation.trunk.7.bias'
    """
    scope = _SCOPE.fullmatch(released)
    if scope is None:
        return None
    orientation = scope["orientation"] is not None
    layer = _LAYER.fullmatch(scope["rest"])
    if layer is not None and layer["part"] in _TRUNK_PARTS:
        # A layer is convolution, batch norm and leaky ReLU.
        offset, part = _TRUNK_PARTS[layer["part"]]
        prefix = "orientation." if orientation else ""
        return f"{prefix}trunk.{3 * int(layer['number']) + offset}.{part}"
    head, _, part = scope["rest"].partition("/")
    if head in _HEADS[orientation] and part in _HEAD_PARTS:
        return f"{_HEADS[orientation][head]}.{_HEAD_PARTS[part]}"
    return None


def find_released(path: Path) -> Path:
    """The checkpoint of a folder, as the stem that its files share.

    Args:    path: the folder that training wrote into, where its file `checkpoint` names the last
             one; or a checkpoint's stem, or its .index file.
    Raises:  CheckpointError: there is none, or several and nothing says which.
    """
    if path.is_dir():
        there = sorted(file.with_suffix("") for file in path.glob("*.index"))
        listed = path / "checkpoint"
        if listed.is_file():
            match = re.search(r'^model_checkpoint_path: "(.+)"', listed.read_text(), re.MULTILINE)
            # It may be the path on the machine that trained.
            named = path / Path(match[1]).name if match else None
            if named in there:
                return named
        if len(there) != 1:
            raise CheckpointError(
                f"{path}: expected one TensorFlow checkpoint (.index and .data files), got "
                f"{len(there)}" + (f"; name one, such as {there[-1]}" if there else "")
            )
        return there[0]
    stem = path.with_suffix("") if path.suffix == ".index" else path
    if not Path(f"{stem}.index").is_file():
        raise CheckpointError(f"{path}: no such folder or TensorFlow checkpoint")
    return stem


def read_released(stem: Path) -> dict[str, np.ndarray]:
    """The variables of a TensorFlow checkpoint, by name. Nothing in it is executed.

    Raises:  CheckpointError: TensorFlow is not installed, or the checkpoint cannot be read.
    """
    try:
        tensorflow = importlib.import_module("tensorflow")
    except ImportError as error:
        raise CheckpointError(
            f"{stem}: TensorFlow reads it, and cannot be imported ({error}); install it with "
            "pip install 'tensorflow-cpu>=2.20' (the extra 'released'), here or in an environment "
            "of its own"
        ) from error
    try:
        reader = tensorflow.train.load_checkpoint(str(stem))
        names = sorted(reader.get_variable_to_shape_map())
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tensorflow.errors.OpError, ValueError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{stem}: cannot be read as a checkpoint: {reason}") from error


def released_config(variables: Mapping[str, np.ndarray], source: str) -> TrainConfig:
    """The configuration of a released network: its sizes, and the released code's losses.

    Raises:  CheckpointError: a variable that tells a size is missing.
    """
    sizes: dict[str, Any] = {}
    for key, name in (
        ("num_keypoints", "KeypointNetwork/conv_xy/weights"),
        ("channels", "KeypointNetwork/dconv0/weights"),
        ("orientation_channels", "KeypointNetwork/OrientationNetwork/dconv0/weights"),
    ):
        if name not in variables or variables[name].ndim != 4:
            raise CheckpointError(f"{source}: is no released KeypointNet: it has no {name}")
        sizes[key] = int(variables[name].shape[-1])
    return TrainConfig(model=ModelConfig(**sizes), loss=LossConfig(variant="released"))


def convert_released(
    variables: Mapping[str, np.ndarray], config: TrainConfig, source: str
) -> tuple[dict[str, dict[str, Tensor]], int]:
    """Released variables as the groups of a checkpoint: every one used once, none missing.

    Args:    variables: of `read_released`.  config: of `released_config`.  source: for messages.
    Returns: groups "model" and, where Adam's averages are there, "optimizer"; and the step.
    Raises:  CheckpointError: a variable without a place, a place without a variable, another
             shape, or a number that is not finite; all are named.
    """
    expected = build_model(config).state_dict()
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
    problems: list[str] = []
    learnt = [name for name in expected if name.endswith((".weight", ".bias"))]
    given = set()
    for released, value in variables.items():
        if released.rsplit("/", 1)[-1] in _STEP:
            continue
        slot = next((end for end in sorted(_ADAM, reverse=True) if released.endswith(end)), "")
        name = our_name(released.removesuffix(slot))
        if name is None or name not in (learnt if slot else expected):
            problems.append(f"{released} has no place here")
            continue
        given.add(f"{name}/{_ADAM[slot]}" if slot else name)
        tensor = _as_ours(value, name, squared=slot == "/Adam_1")
        if tensor.shape != expected[name].shape:
            shape = tuple(expected[name].shape)
            problems.append(f"{released} is {tuple(tensor.shape)} in our order, expected {shape}")
        elif not torch.isfinite(tensor).all():
            problems.append(f"{released} has numbers that are not finite")
        elif slot:
            groups["optimizer"][f"{name}/{_ADAM[slot]}"] = tensor
        else:
            groups["model"][name] = tensor
    step = int(variables.get("global_step", np.int64(0)))
    wanted = [name for name in expected if not name.endswith(_BATCHES)]
    if any("/" in name for name in given):
        wanted += [f"{name}/{part}" for name in learnt for part in _ADAM.values()]
        groups["optimizer"] |= {f"{name}/step": torch.tensor(float(step)) for name in learnt}
    problems += [f"nothing is given for {name}" for name in wanted if name not in given]
    for name, like in expected.items():
        if name.endswith(_BATCHES):
            groups["model"][name] = torch.full_like(like, step)
    if problems:
        raise CheckpointError(f"{source}: is no released KeypointNet: {listed(problems, 5, '; ')}")
    return {name: group for name, group in groups.items() if group}, step


def _as_ours(value: Any, name: str, *, squared: bool) -> Tensor:
    """A variable in our layout and, of the depth head, with our sign."""
    array = np.asarray(value, np.float32)
    array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    if name.startswith("head_depth.") and not squared:
        array = -array
    return torch.from_numpy(np.ascontiguousarray(array))
