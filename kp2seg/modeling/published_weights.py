"""The published Pose2Seg checkpoint (`pose2seg_release.pkl`) in this package's names.

Source: names read from the released code of Zhang et al. 2019.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from keypointnet.listing import listed
from keypointnet.tensor_files import CheckpointError

_OLD_SEGNET = "pose2seg.seg_branch."
_RULES: tuple[tuple[str, str], ...] = (
    # backbone: convN and bnN of a bottleneck stand side by side; number 4 is the shortcut
    (r"backbone\.conv1\.", "backbone.bottom_up.stem.conv1."),
    (r"backbone\.bn1\.", "backbone.bottom_up.stem.conv1.norm."),
    (r"backbone\.layer(\d)\.(\d+)\.conv4\.", "backbone.bottom_up.res{1+1}.{2}.shortcut."),
    (r"backbone\.layer(\d)\.(\d+)\.bn4\.", "backbone.bottom_up.res{1+1}.{2}.shortcut.norm."),
    (r"backbone\.layer(\d)\.(\d+)\.conv(\d)\.", "backbone.bottom_up.res{1+1}.{2}.conv{3}."),
    (r"backbone\.layer(\d)\.(\d+)\.bn(\d)\.", "backbone.bottom_up.res{1+1}.{2}.conv{3}.norm."),
    # pyramid: its levels 1 to 4 have strides 4 to 32, levels 2 to 5 in the usual count
    (r"backbone\.fpn_c(\d)p\d\.", "backbone.lateral.p{1+1}."),
    (r"backbone\.fpn_p(\d)\.", "backbone.output.p{1+1}."),
    # mask head
    (r"segnet\.conv1\.", "mask_head.stem."),
    (r"segnet\.bn1\.", "mask_head.stem_norm."),
    (r"segnet\.layer1\.(\d+)\.downsample\.", "mask_head.body.{1}.shortcut."),
    (r"segnet\.layer1\.(\d+)\.", "mask_head.body.{1}."),
    (r"segnet\.decoder1\.0\.downsample\.", "mask_head.decoder.shortcut."),
    (r"segnet\.decoder1\.0\.", "mask_head.decoder."),
    (r"segnet\.pred_small\.", "mask_head.classes."),
)


def our_name(published: str) -> str | None:
    """The name of a published tensor here; None if there is no such tensor.

    >>> our_name("backbone.layer1.0.bn4.weight")
    'backbone.bottom_up.res2.0.shortcut.norm.weight'
    """
    name = published.removeprefix("module.")
    if name.startswith(_OLD_SEGNET):
        name = "segnet." + name.removeprefix(_OLD_SEGNET)
    for pattern, replacement in _RULES:
        match = re.match(pattern, name)
        if match:
            start = re.sub(
                r"\{(\d)(\+1)?\}",
                lambda slot, match=match: str(  # type: ignore[misc]
                    int(match[int(slot[1])]) + (1 if slot[2] else 0)
                ),
                replacement,
            )
            return start + name[match.end() :]
    return None


def read_published(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint, with their published names.

    Raises: CheckpointError: missing, no torch file, more than tensors in it, or no state dict.
    """
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except Exception as error:
        # torch raises many kinds, and some advise to execute what is in the file
        raise CheckpointError(
            f"{path}: is no torch file of plain weights ({type(error).__name__}); it is cut short, "
            "of another kind, or holds more than tensors, which is not loaded"
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(f"{path}: expected a state dict, got {type(loaded).__name__}")
    odd = [str(name) for name, value in loaded.items() if not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(f"{path}: expected tensors only, {odd[0]!r} is none")
    return {str(name): value for name, value in loaded.items()}


def convert_published(
    tensors: dict[str, Tensor], expected: dict[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Published tensors in this package's names: every one used once, none left, none missing.

    Args:    tensors: of `read_published`.  expected: the tensors of a `pose2seg_r50` model, their
             names as `our_name` gives them (the model has "aligner." before "backbone.");
             counters of batches are filled with 0, the published file may lack them.
             source: for messages.
    Raises:  CheckpointError: a tensor without a place, two for one place, a place without a
             tensor, another shape; all are named.
    """
    converted: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    missing = set(expected)
    problems: list[str] = []
    for published, value in tensors.items():
        name = our_name(published)
        if name is None or name not in expected:
            problems.append(f"{published} has no place here")
            continue
        missing.discard(name)
        if name in origin:
            problems.append(f"{published} and {origin[name]} are both {name}")
        elif value.shape != expected[name].shape:
            problems.append(
                f"{published} has shape {tuple(value.shape)}, expected "
                f"{tuple(expected[name].shape)}"
            )
        else:
            converted[name] = value
        origin.setdefault(name, published)
    for name in expected:
        if name in missing and name.endswith("num_batches_tracked"):
            converted[name] = torch.zeros_like(expected[name])
        elif name in missing:
            problems.append(f"nothing is given for {name}")
    if problems:
        shown = listed(problems, 5, "; ")
        raise CheckpointError(f"{source}: is not the published Pose2Seg: {shown}")
    return converted
