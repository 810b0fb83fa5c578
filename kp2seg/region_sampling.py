"""Features and pictures onto aligned regions, and masks of the regions back onto the picture.

P people, B pictures. "Index coordinates" count pixels from the first one's centre: pixel i is at i.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kp2seg.affine import Convention, invert, pixel_offset


def sample_positions(
    A_feat2align: Tensor,
    size: tuple[int, int],
    feature_size: tuple[int, int],
    convention: Convention = "centres",
) -> Tensor:
    """Where in the features each pixel of the aligned grids is read.

    With "centres", pixel i of the grid is the point i + 0.5 of the aligned frame, and its preimage
    p is read at the index p − 0.5. "published" are the positions of the reference as it was
    trained: it makes a grid as large as the features, with align_corners, and crops it. On an axis
    of n feature pixels, pixel i of the grid is then the point i · n / (n − 1) of the aligned frame,
    and its preimage p is read at the index p · (n − 1) / n.

    Args:    A_feat2align: (P, 3, 3) px of the features to px of the aligned frame.
             size: (h, w) of the grid.  feature_size: (h, w) of the features.
    Returns: (P, h, w, 2) (x, y) index coordinates, float32, or float64 for float64 maps.
    Raises:  ValueError: an unknown convention; "published" with features of one row or column.
    Source:  the reference's affine_align_gpu, align_corners=True.
    """
    offset = pixel_offset(convention)
    device, dtype = A_feat2align.device, torch.float64
    (h, w), (feature_h, feature_w) = size, feature_size
    xs = torch.arange(w, dtype=dtype, device=device) + offset
    ys = torch.arange(h, dtype=dtype, device=device) + offset
    shrink_x = shrink_y = 1.0
    if convention == "published":
        if min(feature_size) < 2:
            raise ValueError(
                "sample_positions: the published convention needs features of at least 2x2 "
                f"(h, w), got {feature_h}x{feature_w}; use convention='centres'"
            )
        shrink_x, shrink_y = (feature_w - 1) / feature_w, (feature_h - 1) / feature_h
        xs, ys = xs / shrink_x, ys / shrink_y
    A = invert(A_feat2align.double()).unsqueeze(-1)
    out_dtype = dtype if A_feat2align.dtype == dtype else torch.float32
    x, y = (
        # Only the two terms' sum is done in single precision: 1e-5 px, and twice as fast.
        ((A[:, i, 1] * ys + A[:, i, 2]) * shrink - offset).to(out_dtype).unsqueeze(-1)
        + (A[:, i, 0] * xs * shrink).to(out_dtype).unsqueeze(-2)
        for i, shrink in enumerate((shrink_x, shrink_y))
    )
    return torch.stack([x, y], dim=-1)


def sample_aligned(
    features: Tensor,
    image_index: Tensor,
    A_feat2align: Tensor,
    size: tuple[int, int],
    convention: Convention = "centres",
) -> Tensor:
    """Each person's region of the features, bilinear, zeros outside, straight onto its grid.

    Equal to torch's grid_sample at `sample_positions`, but with the features read as rows of C
    numbers, a weighted sum of four for each pixel: no copy of the features for each person, and on
    a CPU several times faster, most of all in bfloat16. Quickest from channels_last features.
    Positions are float32 even where the features are bfloat16 (float64 for float64).

    Args:    features: (B, C, h, w).  image_index: (P,) integers, the person's picture.
             A_feat2align: (P, 3, 3) px of the features to px of the aligned frame.
             size: (h, w) of the grid.  convention: see `sample_positions`.
    Returns: (P, C, h, w), dtype of the features, channels_last in memory. Differentiable in the
             features and in A_feat2align.
    Raises:  ValueError: shapes that do not belong together; as `sample_positions`.
    """
    if features.ndim != 4 or A_feat2align.shape != (image_index.shape[0], 3, 3):
        raise ValueError(
            "sample_aligned: expected features (B, C, h, w), image_index (P,) and A_feat2align "
            f"(P, 3, 3), got {tuple(features.shape)}, {tuple(image_index.shape)} and "
            f"{tuple(A_feat2align.shape)}"
        )
    P, (h, w) = image_index.shape[0], size
    C, feature_h, feature_w = features.shape[1:]
    if P == 0:
        return features.new_zeros(0, C, h, w)
    positions = sample_positions(A_feat2align, size, (feature_h, feature_w), convention)
    if features.dtype != torch.float64:
        positions = positions.float()
    x_index, x_weight = _taps(positions[..., 0], feature_w)
    y_index, y_weight = _taps(positions[..., 1], feature_h)
    first = image_index.to(y_index).view(P, 1, 1, 1) * (feature_h * feature_w)
    row_start = y_index * feature_w + first
    index = row_start.unsqueeze(-1) + x_index.unsqueeze(-2)
    weight = y_weight.unsqueeze(-1) * x_weight.unsqueeze(-2)
    rows = F.embedding_bag(
        index.view(-1, 4),
        features.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).view(-1, C),
        per_sample_weights=weight.view(-1, 4).to(features.dtype),
        mode="sum",
    )
    return rows.view(P, h, w, C).permute(0, 3, 1, 2)


def _taps(position: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The two pixels around a position on an axis of n, and their weights, 0 outside.

    Args:    position: (...), index coordinates.
    Returns: indices (..., 2), clamped into the axis, and weights (..., 2).
    """
    low = position.detach().floor()
    share = position - low
    low = low.long()  # NaN becomes some integer: clamped, and weighted NaN
    high = low + 1
    weight_low = (1 - share) * ((low >= 0) & (low < n))
    weight_high = share * ((high >= 0) & (high < n))
    index = torch.stack([low, high], dim=-1).clamp(0, n - 1)
    return index, torch.stack([weight_low, weight_high], dim=-1)


class WarpedRegion(NamedTuple):
    """One patch of a person's mask on the picture.

    Attributes:
        person: row of the probabilities.
        rows, columns: where in the picture, as slices.
        values: (rows, columns), dtype of the probabilities.
    """

    person: int
    rows: slice
    columns: slice
    values: Tensor


def warp_back_regions(
    probabilities: Tensor,
    A_img2align: Tensor,
    size: tuple[int, int],
    *,
    convention: Convention = "centres",
    chunk_pixels: int = 1 << 20,
) -> Iterator[WarpedRegion]:
    """Masks of aligned regions on their picture, patch by patch, bilinear, 0 outside a region.

    Nothing larger than a patch is held, so a mask can be encoded before the next one is made. A
    person's patches are disjoint bands of rows, from above; people without a pixel have none.

    Args:    probabilities: (P, 1, h, w) or (P, h, w).  A_img2align: (P, 3, 3) px of the picture to
             px of the aligned frame.  size: (h, w) px of the picture.
             chunk_pixels: the most pixels of a patch, but at least a row.
    Returns: patches in the order of the people. Differentiable in both tensors.
    Raises:  ValueError: shapes that do not belong together, a map without inverse (the person is
             named), an unknown convention.
    Source:  "published" is cv2.warpAffine with WARP_INVERSE_MAP, INTER_LINEAR and a border of 0
             on the reference's two channels, whose positions OpenCV rounds to 1/32 px: so does
             this (no gradient in A_img2align then). "centres" does not round.
    """
    offset = pixel_offset(convention)
    maps = probabilities.unsqueeze(1) if probabilities.ndim == 3 else probabilities
    P = len(maps)
    if maps.ndim != 4 or maps.shape[1] != 1 or A_img2align.shape != (P, 3, 3):
        raise ValueError(
            "warp_back: expected probabilities (P, 1, h, w) and A_img2align (P, 3, 3), "
            f"got {tuple(probabilities.shape)} and {tuple(A_img2align.shape)}"
        )
    h, w = maps.shape[2:]
    compute = maps.dtype if maps.dtype == torch.float64 else torch.float32
    A = A_img2align.double()
    boxes = _region_boxes(A, (h, w), size, offset)
    for person, (y0, y1, x0, x1) in enumerate(boxes):
        if y1 <= y0 or x1 <= x0:
            continue
        xs = torch.arange(x0, x1, dtype=torch.float64, device=maps.device) + offset
        step = max(1, chunk_pixels // (x1 - x0))
        for top in range(y0, y1, step):
            bottom = min(top + step, y1)
            ys = torch.arange(top, bottom, dtype=torch.float64, device=maps.device) + offset
            x, y = (
                _back_positions(row, xs, ys, n, convention, compute)
                for row, n in zip(A[person], (w, h), strict=False)
            )
            values = F.grid_sample(
                maps[person : person + 1].to(compute),
                torch.stack([x, y], dim=-1)[None],
                align_corners=False,
            )
            patch = values[0, 0].to(maps.dtype)
            yield WarpedRegion(person, slice(top, bottom), slice(x0, x1), patch)


def warp_back(
    probabilities: Tensor,
    A_img2align: Tensor,
    size: tuple[int, int],
    *,
    threshold: float | None = None,
    convention: Convention = "centres",
    chunk_pixels: int = 1 << 20,
) -> Tensor:
    """Masks of aligned regions on their picture, whole: `warp_back_regions` put together.

    Args:    as of `warp_back_regions`.  threshold: gives masks, p > threshold; none, the
             probabilities.
    Returns: (P, H, W) bool with a threshold, so that 60 people in 12 million pixels take 0.7 GB
             (their patches are made one by one); else of the probabilities' dtype, differentiable.
    Raises:  as `warp_back_regions`.
    """
    dtype = probabilities.dtype if threshold is None else torch.bool
    out = torch.zeros((len(probabilities), *size), dtype=dtype, device=probabilities.device)
    for region in warp_back_regions(
        probabilities, A_img2align, size, convention=convention, chunk_pixels=chunk_pixels
    ):
        values = region.values if threshold is None else region.values > threshold
        out[region.person, region.rows, region.columns] = values
    return out


def _back_positions(
    row: Tensor, xs: Tensor, ys: Tensor, n: int, convention: Convention, dtype: torch.dtype
) -> Tensor:
    """Where along an axis of n pixels the pixels of a patch are read, for grid_sample.

    Args:    row: (3,) of A_img2align.  xs, ys: the patch's coordinates, all float64.
    Returns: (h, w), scaled so that [-1, 1] is [-0.5, n - 0.5] in index coordinates.
    """
    along, down = row[0] * xs, row[1] * ys + row[2]
    if convention == "published":
        # OpenCV's fixed point: 10 binary places, of which 5 are left, rounded half up.
        fixed = (along * 1024).round().long() + ((down * 1024).round().long() + 16)[:, None]
        return ((fixed >> 5) * 2 + 32).to(dtype) / (32 * n) - 1
    rest = (2 * (down - pixel_offset(convention)) + 1) / n - 1
    return (along * (2 / n)).to(dtype) + rest.to(dtype)[:, None]


def _region_boxes(
    A_img2align: Tensor, frame: tuple[int, int], size: tuple[int, int], offset: float
) -> list[tuple[int, int, int, int]]:
    """(y0, y1, x0, x1) of the picture's pixels that a region reaches, ends exclusive."""
    h, w = frame
    # A pixel gets more than 0 strictly between the indices -1 and n.
    corners = torch.tensor(
        [[-1, -1], [w, -1], [-1, h], [w, h]], dtype=torch.float64, device=A_img2align.device
    )
    A = invert(A_img2align.detach())[:, None]
    x, y = (corners + offset).unbind(-1)
    indices = torch.stack(
        [A[..., i, 0] * x + A[..., i, 1] * y + A[..., i, 2] - offset for i in range(2)], dim=-1
    )
    limits = torch.cat([indices.amin(1), indices.amax(1)], dim=-1).tolist()
    boxes = []
    for person, (x_min, y_min, x_max, y_max) in enumerate(limits):
        if not all(map(math.isfinite, (x_min, y_min, x_max, y_max))):
            raise ValueError(
                f"warp_back: expected maps with an inverse, but A_img2align of person {person} "
                "flattens the picture or is not finite"
            )
        # Rounding must not lose a pixel; one too many is 0.
        x0, y0 = (max(0, math.ceil(low - 1e-6)) for low in (x_min, y_min))
        x1, y1 = (math.floor(high + 1e-6) + 1 for high in (x_max, y_max))
        boxes.append((y0, min(size[0], y1), x0, min(size[1], x1)))
    return boxes
