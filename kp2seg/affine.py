"""Affine maps of the plane, many at once: apply, compose, invert, fit to points.

Convention: a matrix A_src2dst is (..., 3, 3), its last row is (0, 0, 1), and it maps column vectors
(x, y, 1) of src to dst. Everything is computed element by element in float64: automatic mixed
precision would do a matrix product of coordinates in bfloat16, which is pixels off.
Leading dimensions `...` are free and broadcast.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

Transform = Literal["similarity", "affine"]
"""What may be fitted: 4 numbers (turn, scale, shift; no reflection) or all 6."""

Convention = Literal["published", "centres"]
"""Where the pixels of a grid lie: "centres" is Detectron2's, continuous with pixel i's centre at
i + 0.5; "published" is the reference's, with pixel i at the integer i."""

_MIN_POINTS = {"similarity": 2, "affine": 3}


def pixel_offset(convention: Convention) -> float:
    """Coordinate of the first pixel's centre: 0.5 for "centres", 0 for "published".

    Raises:  ValueError: another convention.
    """
    if convention not in ("published", "centres"):
        raise ValueError(
            f"convention: expected 'published' (pixel i at i) or 'centres' (at i + 0.5), "
            f"got {convention!r}"
        )
    return 0.5 if convention == "centres" else 0.0


def transform_points(A_src2dst: Tensor, points_src: Tensor) -> Tensor:
    """Points moved by an affine map.

    Args:    A_src2dst: (..., 3, 3).  points_src: (..., K, 2).
    Returns: (..., K, 2), dtype of the points. Differentiable in both.
    """
    A = A_src2dst.double().unsqueeze(-3)
    x, y = points_src.double().unbind(-1)
    moved = torch.stack(
        [A[..., i, 0] * x + A[..., i, 1] * y + A[..., i, 2] for i in range(2)], dim=-1
    )
    return moved.to(points_src.dtype)


def compose(A_1to2: Tensor, A_0to1: Tensor) -> Tensor:
    """A_0to2: first A_0to1, then A_1to2.

    Args:    two (..., 3, 3).
    Returns: (..., 3, 3), dtype of the first. Differentiable in both.
    """
    product = (A_1to2.double().unsqueeze(-1) * A_0to1.double().unsqueeze(-3)).sum(-2)
    return product.to(A_1to2.dtype)


def invert(A_src2dst: Tensor) -> Tensor:
    """A_dst2src, in closed form.

    A map that flattens the plane has no inverse: its entries come out as inf or NaN, as of a
    division by zero. (Looking for one would make an accelerator wait.)

    Args:    A_src2dst: (..., 3, 3).
    Returns: (..., 3, 3), same dtype. Differentiable.
    """
    A = A_src2dst.double()
    a, b, tx = A[..., 0, :].unbind(-1)
    c, d, ty = A[..., 1, :].unbind(-1)
    det = a * d - b * c
    ia, ib, ic, id_ = d / det, -b / det, -c / det, a / det
    rows = (ia, ib, -(ia * tx + ib * ty), ic, id_, -(ic * tx + id_ * ty))
    return _affine_matrix(*rows).to(A_src2dst.dtype)


def fit_transform(
    src: Tensor,
    dst: Tensor,
    weight: Tensor | None = None,
    transform: Transform = "similarity",
) -> tuple[Tensor, Tensor]:
    """Weighted least squares: the map that best takes src onto dst, one for each point set.

    Minimises Σ w |A src − dst|². A similarity is [a b tx; −b a ty].

    Args:    src, dst: (..., K, 2).  weight: (..., K) >= 0 or bool, all 1 without; 0 ignores a
             point, even a NaN one, in value and gradient.
    Returns: A_src2dst (..., 3, 3), dtype of src, differentiable in src, dst and weight; and
             defined (...) bool: False where the points leave the map open (for a similarity fewer
             than 2 distinct weighted points, for an affine map fewer than 3 off a line). The
             matrix is the identity there.
    Raises:  ValueError: the shapes do not broadcast, or an unknown transform.
    Source:  Zhang et al. 2019, section 3.2. The reference solves the same equations as
             `fit_similarity_single`; where they leave the map open it takes the shortest solution.
    """
    if transform not in _MIN_POINTS:
        raise ValueError(
            f"fit_transform: expected transform 'similarity' or 'affine', got {transform!r}"
        )
    if src.ndim < 2 or dst.ndim < 2 or src.shape[-1] != 2 or src.shape[-2:] != dst.shape[-2:]:
        raise ValueError(
            "fit_transform: expected src and dst (..., K, 2) of one K, "
            f"got {tuple(src.shape)} and {tuple(dst.shape)}"
        )
    shape = torch.broadcast_shapes(src.shape, dst.shape)[:-1]
    if weight is not None:
        shape = torch.broadcast_shapes(shape, weight.shape)
    w = src.new_ones(shape).double() if weight is None else weight.double().expand(shape)
    used = w > 0
    s, s_mean = _centred(src.double(), w, used)
    d, d_mean = _centred(dst.double(), w, used)
    (sx, sy), (dx, dy) = s.unbind(-1), d.unbind(-1)
    sxx, sxy, syy = (w * sx * sx).sum(-1), (w * sx * sy).sum(-1), (w * sy * sy).sum(-1)
    # Spread too small beside the coordinates' own rounding is no spread.
    size2 = (sxx + syy).detach() + (w.sum(-1) * s_mean.square().sum(-1)).detach()
    enough = used.sum(-1) >= _MIN_POINTS[transform]
    if transform == "similarity":
        defined = enough & (sxx + syy > 1e-18 * size2)
        var = torch.where(defined, sxx + syy, 1.0)
        a = (w * (sx * dx + sy * dy)).sum(-1) / var
        b = (w * (sy * dx - sx * dy)).sum(-1) / var
        linear = (a, b, -b, a)
    else:
        det = sxx * syy - sxy * sxy
        defined = enough & (sxx + syy > 1e-18 * size2) & (det > 1e-12 * (sxx + syy).square() / 4)
        det = torch.where(defined, det, 1.0)
        xx, xy = (w * dx * sx).sum(-1), (w * dx * sy).sum(-1)
        yx, yy = (w * dy * sx).sum(-1), (w * dy * sy).sum(-1)
        linear = (
            (xx * syy - xy * sxy) / det,
            (xy * sxx - xx * sxy) / det,
            (yx * syy - yy * sxy) / det,
            (yy * sxx - yx * sxy) / det,
        )
    m00, m01, m10, m11 = linear
    tx = d_mean[..., 0] - m00 * s_mean[..., 0] - m01 * s_mean[..., 1]
    ty = d_mean[..., 1] - m10 * s_mean[..., 0] - m11 * s_mean[..., 1]
    A = _affine_matrix(m00, m01, tx, m10, m11, ty)
    identity = torch.eye(3, dtype=A.dtype, device=A.device)
    return torch.where(defined[..., None, None], A, identity).to(src.dtype), defined


def fit_similarity_single(src: Tensor, dst: Tensor, used: Tensor) -> Tensor:
    """`fit_transform`'s similarities with the reference's rounding, which is not small.

    Solving for uncentred points in float32 puts a 64 px frame some 1e-3 px off. Where that takes a
    limb past a pixel of its map, the published network's logits change in the second digit, so a
    faithful repetition needs the same arithmetic: OpenCV's SVD of the same equations in the same
    order, one point set at a time.

    Args:    src, dst: (P, K, 2) on any device.  used: (P, K) bool, at least 2 in each row.
    Returns: A_src2dst (P, 3, 3) float64 on that device, without gradient.
    Source:  the reference's solve_affinematrix.
    """
    A = np.tile(np.eye(3), (len(src), 1, 1))
    numbers = (values.detach().cpu().numpy() for values in (src, dst, used))
    for row, points, targets, kept in zip(A, *numbers, strict=True):
        x, y = points[kept].T
        equations = np.zeros((len(x), 2, 4), dtype=np.float32)
        equations[:, 0, :3] = np.stack([x, y, np.ones_like(x)], axis=1)
        equations[:, 1, (0, 1, 3)] = np.stack([y, -x, np.ones_like(x)], axis=1)
        right = targets[kept].astype(np.float32).reshape(-1, 1)
        _, solution = cv2.solve(equations.reshape(-1, 4), right, flags=cv2.DECOMP_SVD)
        a, b, tx, ty = solution[:, 0]
        row[:2] = [[a, b, tx], [-b, a, ty]]
    return torch.from_numpy(A).to(src.device)


def letterbox(
    source_size: tuple[float, float] | Tensor,
    size: tuple[int, int],
    device: torch.device,
    *,
    single: bool = False,
) -> Tensor:
    """The map that takes a whole picture, its shape kept, centred into a frame.

    Args:    source_size: (h, w) of the picture, or (P, 2), of P pictures.
             size: (h, w) of the frame.
             single: rounded as the reference's, which is made in float32; by that a few pixels in
             a thousand of its letterboxed pictures are a grey level off.
    Returns: (3, 3) or (P, 3, 3) float64 A_source2frame.
    """
    h, w = torch.as_tensor(source_size, dtype=torch.float64, device=device).unbind(-1)
    scale = torch.minimum(size[0] / h, size[1] / w)
    zero = torch.zeros_like(scale)
    if single:
        scale = scale.float()
        w, h = w.float(), h.float()
    tx, ty = size[1] / 2 - w / 2 * scale, size[0] / 2 - h / 2 * scale
    return _affine_matrix(*(entry.double() for entry in (scale, zero, tx, zero, scale, ty)))


def _centred(points: Tensor, w: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted mean of the used points, and the points less that mean; 0 where unused."""
    points = torch.where(used.unsqueeze(-1), points, 0.0)
    total = w.sum(-1)
    total = torch.where(total > 0, total, 1.0)
    mean = (w.unsqueeze(-1) * points).sum(-2) / total.unsqueeze(-1)
    return torch.where(used.unsqueeze(-1), points - mean.unsqueeze(-2), 0.0), mean


def _affine_matrix(
    m00: Tensor, m01: Tensor, tx: Tensor, m10: Tensor, m11: Tensor, ty: Tensor
) -> Tensor:
    zero, one = torch.zeros_like(m00), torch.ones_like(m00)
    entries = torch.stack([m00, m01, tx, m10, m11, ty, zero, zero, one], dim=-1)
    return entries.reshape(*entries.shape[:-1], 3, 3)


def scaled_single(A_src2dst: Tensor, points_src: Tensor) -> Tensor:
    """`transform_points` of maps that scale and shift, each step rounded to float32."""
    A, points = A_src2dst.float().unsqueeze(-3), points_src.float()
    moved = [A[..., i, i] * points[..., i] + A[..., i, 2] for i in range(2)]
    return torch.stack(moved, dim=-1).double()


def shifted(A_src2dst: Tensor, shift: float) -> Tensor:
    """The same map where every coordinate, of source and destination, is larger by a shift."""
    T = torch.eye(3, dtype=A_src2dst.dtype, device=A_src2dst.device)
    T[:2, 2] = shift
    return compose(T, compose(A_src2dst, invert(T)))
