"""Cameras, rigid motions and the orthogonal Procrustes problem.

Conventions, used everywhere inside `keypointnet`; anything else is converted where data comes in:

- World (object) frame: ShapeNet's. +Y up, front -Z, x runs left/right; longest side in [-1, 1].
- Camera frame: x right, y down, z forward; z > 0 in front of the camera (OpenCV's).
- `T_a2b` is 4x4 and maps points: X_b = T_a2b [X_a, 1]. Rotations act on columns: X_b = R X_a + t.
- Pixels are continuous, (x, y), with centres at +0.5; an image of w x h covers [0, w] x [0, h].
- Normalised image coordinates (u, v) are isotropic: the longer side of the picture is [-1, 1],
  the centre is (0, 0), v points down. Intrinsics `K` without a suffix belong to (u, v); `K_px` to
  pixels. Both are pinhole matrices without skew.

Shapes: B pairs or images, N keypoints. Leading dimensions `...` are free.
"""

from __future__ import annotations

import roma
import torch
from torch import Tensor


def normalising_matrix(size: tuple[int, int]) -> Tensor:
    """The 3x3 matrix that takes homogeneous pixels (x, y, 1) to normalised (u, v, 1).

    Args:    size: (h, w) of the picture in pixels.
    Returns: (3, 3) float64.
    """
    h, w = size
    s = max(h, w)
    return torch.tensor(
        [[2.0 / s, 0.0, -w / s], [0.0, 2.0 / s, -h / s], [0.0, 0.0, 1.0]], dtype=torch.float64
    )


def normalise_intrinsics(K_px: Tensor, size: tuple[int, int]) -> Tensor:
    """Intrinsics in pixels → intrinsics of normalised coordinates.

    Args:    K_px: (..., 3, 3) in pixels.  size: (h, w) in pixels.
    Returns: (..., 3, 3), dtype of K_px.
    """
    return normalising_matrix(size).to(K_px) @ K_px


def normalised_to_pixels(uv: Tensor, size: tuple[int, int]) -> Tensor:
    """(u, v) → continuous pixels (x, y), centres at +0.5.

    Args:    uv: (..., 2).  size: (h, w) in pixels.
    Returns: (..., 2) px.
    """
    h, w = size
    return uv * (max(h, w) / 2.0) + uv.new_tensor([w / 2.0, h / 2.0])


def pixels_to_normalised(xy_px: Tensor, size: tuple[int, int]) -> Tensor:
    """Continuous pixels (x, y) → (u, v); the inverse of `normalised_to_pixels`."""
    h, w = size
    return (xy_px - xy_px.new_tensor([w / 2.0, h / 2.0])) * (2.0 / max(h, w))


def project(X_cam: Tensor, K: Tensor) -> Tensor:
    """Perspective projection π: camera points → (u, v, z).

    π([x, y, z, 1]) = [f x / z + c_u, f y / z + c_v, z, 1].

    Args:    X_cam: (..., N, 3), z ≠ 0.  K: (..., 3, 3) without skew.
    Returns: (..., N, 3): (u, v) in the units of K, and the depth z.
    """
    z = X_cam[..., 2:]
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], dim=-1).unsqueeze(-2)
    centre = K[..., :2, 2].unsqueeze(-2)
    return torch.cat([focal * X_cam[..., :2] / z + centre, z], dim=-1)


def unproject(uvz: Tensor, K: Tensor) -> Tensor:
    """π⁻¹: (u, v, z) → camera points; the inverse of `project`.

    Args:    uvz: (..., N, 3).  K: (..., 3, 3) without skew.
    Returns: (..., N, 3).
    """
    z = uvz[..., 2:]
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], dim=-1).unsqueeze(-2)
    centre = K[..., :2, 2].unsqueeze(-2)
    return torch.cat([(uvz[..., :2] - centre) / focal * z, z], dim=-1)


def transform_points(T_a2b: Tensor, X_a: Tensor) -> Tensor:
    """Rigid motion of points: X_b = R X_a + t.

    Args:    T_a2b: (..., 4, 4).  X_a: (..., N, 3).
    Returns: (..., N, 3).
    """
    return X_a @ T_a2b[..., :3, :3].mT + T_a2b[..., :3, 3].unsqueeze(-2)


def invert_rigid(T_a2b: Tensor) -> Tensor:
    """T_b2a of a rigid T_a2b: [Rᵀ, −Rᵀt; 0, 1]; exact, no matrix inversion.

    Args:    T_a2b: (..., 4, 4) with an orthonormal rotation part.
    Returns: (..., 4, 4).
    """
    R_t = T_a2b[..., :3, :3].mT
    T_b2a = torch.zeros_like(T_a2b)
    T_b2a[..., :3, :3] = R_t
    T_b2a[..., :3, 3] = -(R_t @ T_a2b[..., :3, 3:]).squeeze(-1)
    T_b2a[..., 3, 3] = 1.0
    return T_b2a


def relative_transform(T_world2cam0: Tensor, T_world2cam1: Tensor) -> Tensor:
    """T_0to1, which moves points of camera 0 into camera 1.

    Args:    two (..., 4, 4) rigid motions.
    Returns: (..., 4, 4).
    """
    return T_world2cam1 @ invert_rigid(T_world2cam0)


def mirrored_cameras(T_world2cam: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Cameras that see the object mirrored in x = 0 as these see it, but left and right changed.

    With F = diag(−1, 1, 1, 1) that is F T F, again a rigid motion, and the principal point changes
    its side.

    Args:    T_world2cam: (..., 4, 4).  K: (..., 3, 3).
    Returns: the same shapes.
    """
    F = torch.diag(T_world2cam.new_tensor([-1.0, 1.0, 1.0, 1.0]))
    sides = K.new_tensor([[1.0, 1.0, -1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    return F @ T_world2cam @ F, K * sides


def transfer(uvz: Tensor, T_0to1: Tensor, K0: Tensor, K1: Tensor) -> Tensor:
    """π T π⁻¹: keypoints of one view as the other view should see them.

    Args:    uvz: (B, N, 3) in view 0.  T_0to1: (B, 4, 4).  K0, K1: (B, 3, 3).
    Returns: (B, N, 3): (û, v̂, ẑ) in view 1.
    Source:  Suwajanakorn et al. 2018, section 3.1.
    """
    return project(transform_points(T_0to1, unproject(uvz, K0)), K1)


def procrustes_rotation(
    X0: Tensor,
    X1: Tensor,
    *,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The rotation that best takes X0 onto X1 after both are centred (orthogonal Procrustes).

    R̂ = V diag(1, 1, det(V Uᵀ)) Uᵀ with U Σ Vᵀ = SVD(X̃0 X̃1ᵀ), points as columns. The backward
    pass is `roma.special_procrustes`': it needs 1 / (sᵢ + sⱼ) only, so equal singular values, as
    of symmetric point sets, do no harm.

    Args:    X0, X1: (..., N, 3), N ≥ 1.
             noise: standard deviation, in the units of X, of the Gaussian noise added to both sets:
             it keeps the product invertible and pushes the points apart. 0 at evaluation.
             generator: source of the noise; its device is the points'.
    Returns: (..., 3, 3) R_0to1 with determinant +1. Differentiable in X0 and X1.
    Raises:  ValueError: the shapes differ or are not (..., N, 3).
    Source:  Suwajanakorn et al. 2018, section 3.2.
    """
    if X0.shape != X1.shape or X0.ndim < 2 or X0.shape[-1] != 3:
        raise ValueError(
            "procrustes_rotation: expected two point sets of one shape (..., N, 3), "
            f"got {tuple(X0.shape)} and {tuple(X1.shape)}"
        )
    if noise > 0:
        X0 = X0 + noise * _normal_like(X0, generator)
        X1 = X1 + noise * _normal_like(X1, generator)
    X0 = X0 - X0.mean(dim=-2, keepdim=True)
    X1 = X1 - X1.mean(dim=-2, keepdim=True)
    R_0to1: Tensor = roma.special_procrustes(X1.mT @ X0)
    return R_0to1


def _normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
