"""Which point of a surface each texel of its texture is."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

TEXELS = 384
"""Along each side of a body's texture."""


_MARGIN = 4  # texels


def rasterised(
    uv: np.ndarray, faces: np.ndarray, texels: int = TEXELS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The triangle under each texel that is used, and where in it the texel's centre lies.

    Convention: first row at v = 1, texels counted row by row. Those a few texels outside belong to
    the nearest triangle, so that nothing bleeds in at the seams; their shares are of its nearest
    point, nearly.
    Args:    uv: (W, 2), v up.  faces: (F, 3).
    Returns: n texels (n,), triangles (n,) and shares (n, 3) float32 >= 0 that add up to 1.
    """
    corners = uv[faces] * [texels, -texels] + [0, texels]  # (F, 3, 2) px, centres at +0.5
    canvas = np.full((texels, texels), -1.0, np.float32)
    for face, points in enumerate(np.rint((corners - 0.5) * 16).astype(np.int32)):
        cv2.fillConvexPoly(canvas, points, float(face), lineType=cv2.LINE_8, shift=4)
    far, (rows, columns) = ndimage.distance_transform_edt(canvas < 0, return_indices=True)
    used = np.flatnonzero(far <= _MARGIN)
    owners = canvas[rows, columns].ravel()[used].astype(np.int32)
    y, x = np.divmod(used, texels)
    a, b, c = (corners[owners, k] for k in range(3))
    point = np.stack([x, y], axis=-1) + 0.5
    whole = _cross(b - a, c - a)
    whole = np.where(np.abs(whole) < 1e-9, 1e-9, whole)
    shares = np.stack([_cross(b - point, c - point), _cross(c - point, a - point)], axis=-1)
    shares = shares / whole[..., None]
    shares = np.concatenate([shares, 1.0 - shares.sum(axis=-1, keepdims=True)], axis=-1)
    shares = np.clip(shares, 0.0, 1.0)
    return used, owners, (shares / shares.sum(axis=-1, keepdims=True)).astype(np.float32)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
