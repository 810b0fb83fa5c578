"""What a trained KeypointNet finds in pictures of objects, and what is left and right of it.

P objects, N keypoints, crops of S x S px, maps of h x w cells. Nobody has named the points, so
pairs, names and connections come from statistics over many objects.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from keypointnet.geometry import unproject
from keypointnet.model import KeypointNet


class Discovered(NamedTuple):
    """The keypoints of P objects, on the CPU.

    uvz:         (P, N, 3) normalised (u, v) of the crop and camera depth z.
    confidence:  (P, N) in [0, 1], see `heatmaps.concentration`.
    on_object:   (P, N) share of each point's probability mass that is on the object.
    mirrored_uv: (P, N, 2) where the points of the mirrored crop lie, mirrored back; None unless
                 asked for.
    axis_uv:     (P, 2, 2) where the object's (+1, 0, 0) and (−1, 0, 0) are seen; None from a
                 network without an orientation network.
    """

    uvz: Tensor
    confidence: Tensor
    on_object: Tensor
    mirrored_uv: Tensor | None
    axis_uv: Tensor | None


@torch.inference_mode()
def discover(
    model: KeypointNet, crops: Tensor, objects: Tensor, *, mirrored: bool = False
) -> Discovered:
    """The keypoints of a batch of crops.

    Args:    model: in evaluation mode.  crops: (P, 3, S, S) RGB in [0, 1].
             objects: (P, S, S) in [0, 1], where the object is, or may be (its box).
             mirrored: look at the mirrored crops too, for `left_right_pairs`.
    Raises:  ValueError: S is no multiple of the network's `downsample`, or the shapes differ.
    """
    if objects.shape != (len(crops), *crops.shape[2:]):
        raise ValueError(
            f"discover: expected objects {(len(crops), *crops.shape[2:])} for crops "
            f"{tuple(crops.shape)}, got {tuple(objects.shape)}"
        )
    device = model.head_prob.weight.device
    crops = crops.to(device).contiguous(memory_format=torch.channels_last)
    found = model(crops, return_prob=True)
    mirrored_uv = None
    if mirrored:
        mirrored_uv = model(crops.flip(-1)).uvz[..., :2] * crops.new_tensor([-1.0, 1.0])
    # A cell counts by the part of it that is on the object.
    cells = F.adaptive_avg_pool2d(objects.to(found.prob).unsqueeze(1), found.prob.shape[-2:])
    axis_uv = found.orientation_uv
    return Discovered(
        uvz=found.uvz.cpu(),
        confidence=found.confidence.cpu(),
        on_object=(found.prob * cells).sum((-2, -1)).cpu(),
        mirrored_uv=None if mirrored_uv is None else mirrored_uv.cpu(),
        axis_uv=None if axis_uv is None else axis_uv.float().cpu(),
    )


def join(parts: Sequence[Discovered]) -> Discovered:
    """One result of several batches."""
    columns: list[Any] = list(zip(*parts, strict=True))
    joined: list[Any] = [None if column[0] is None else torch.cat(column) for column in columns]
    return Discovered(*joined)


def split(found: Discovered) -> list[Discovered]:
    """One result for each object, P = 1."""
    columns: list[Any] = [
        itertools.repeat(None) if column is None else column.split(1) for column in found
    ]
    return [Discovered(*values) for values in zip(*columns, strict=False)]


MAX_PAIR_DISTANCE = 0.3
"""Of a pair, in normalised units: whose partner is usually farther from its place has none."""


def left_right_pairs(found: Discovered) -> list[tuple[int, int]]:
    """Which keypoints are each other's mirror image: (left, right), sorted by the left one.

    A mirrored picture of an object that is symmetric shows such an object again. If point j of the
    mirrored crop lies where point i of the crop does, object after object, they are a pair, and
    where i = j the point is in the plane of symmetry. Distances are medians over the objects, so a
    few wrong views do no harm, and the assignment with the least sum is taken; what is farther
    apart than `MAX_PAIR_DISTANCE` is no pair.

    The one that is further along the object's (+1, 0, 0) is the right one: an object that faces −z
    with +y up has its own right there. Without an orientation network, the one with the lower
    number is called left.

    Args:    found: of at least one object.
    Raises:  ValueError: the mirrored crops were not looked at.
    """
    if found.mirrored_uv is None:
        raise ValueError("left_right_pairs: needs mirrored_uv; see discover(mirrored=True)")
    uv = found.uvz[..., :2]
    distance = torch.cdist(uv, found.mirrored_uv).median(dim=0).values
    # i where the mirrored j is, and j where the mirrored i is, are the same statement.
    rows, columns = linear_sum_assignment((distance + distance.T).numpy())
    partner = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    pairs = [
        (i, j)
        for i, j in partner.items()
        if i < j and partner[j] == i and max(distance[i, j], distance[j, i]) <= MAX_PAIR_DISTANCE
    ]
    if found.axis_uv is not None:
        shares = right_shares(found, pairs)
        pairs = [(i, j) if r >= 0.5 else (j, i) for (i, j), r in zip(pairs, shares, strict=True)]
    elif pairs:
        # What is parallel in space is so in a picture, nearly: from left to right everywhere.
        across = torch.stack([uv[:, j] - uv[:, i] for i, j in pairs])
        agree = (across * across[0]).sum(-1).median(dim=1).values
        pairs = [(i, j) if a >= 0 else (j, i) for (i, j), a in zip(pairs, agree, strict=True)]
    return sorted(pairs)


def right_shares(found: Discovered, pairs: Sequence[tuple[int, int]]) -> list[float]:
    """Of each pair (left, right), the share of objects in which the second is further right.

    A half is no knowledge at all; 1 is agreement. Args: found: of a network with `axis_uv`.
    """
    assert found.axis_uv is not None
    axis = found.axis_uv[:, 0] - found.axis_uv[:, 1]
    along = (found.uvz[..., :2] * axis.unsqueeze(1)).sum(-1)
    return [(along[:, j] > along[:, i]).float().mean().item() for i, j in pairs]


def keypoint_names(num_keypoints: int, pairs: Sequence[tuple[int, int]]) -> list[str]:
    """left_1, right_1, left_2, … for pairs, and middle_1, … for the others, in their order.

    Every reader of COCO keypoints that mirrors pictures finds the pairs by such names.
    """
    names = [""] * num_keypoints
    for number, (left, right) in enumerate(pairs, start=1):
        names[left], names[right] = f"left_{number}", f"right_{number}"
    middle = 0
    for i, name in enumerate(names):
        if not name:
            middle += 1
            names[i] = f"middle_{middle}"
    return names


def connect(X: Tensor, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Limbs for points that nobody has connected: the shortest tree through all, and the pairs.

    Args:    X: (P, N, 3) points in any frames of one scale.
    Returns: pairs of keypoints, lower number first, sorted. Lengths are medians over the objects.
    """
    # Close to 0 would be no edge to scipy.
    length = torch.cdist(X, X).median(dim=0).values.double().clamp(min=1e-6).numpy()
    tree = minimum_spanning_tree(np.triu(length, 1)).tocoo()
    edges = [*zip(tree.row.tolist(), tree.col.tolist(), strict=True), *pairs]
    return sorted({(min(edge), max(edge)) for edge in edges})


def points_in_camera(uvz: Tensor, fov_deg: float) -> Tensor:
    """Keypoints as (x, y, z) before a camera like those of the training views.

    Args:    uvz: (P, N, 3).  fov_deg: the views' horizontal field of view.
    Returns: (P, N, 3) in the camera's frame, units of the views (an object's longest side is 2).
    """
    focal = 1 / np.tan(np.radians(fov_deg) / 2)
    K = torch.diag(uvz.new_tensor([focal, focal, 1.0]))
    return unproject(uvz, K)
