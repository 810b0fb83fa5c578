import math

import numpy as np
import pytest
import roma
import torch

from keypointnet.geometry import (
    invert_rigid,
    normalise_intrinsics,
    normalised_to_pixels,
    normalising_matrix,
    pixels_to_normalised,
    procrustes_rotation,
    project,
    relative_transform,
    transfer,
    transform_points,
    unproject,
)

SIZE = (20, 40)  # h, w: not square
DOUBLE = torch.float64


def rigid(*shape: int) -> torch.Tensor:
    """Random motions that put points near the origin well in front of the camera."""
    T = torch.eye(4, dtype=DOUBLE).repeat(*shape, 1, 1)
    T[..., :3, :3] = roma.random_rotmat(shape, dtype=DOUBLE)
    T[..., :3, 3] = 0.3 * torch.randn(*shape, 3, dtype=DOUBLE)
    T[..., 2, 3] += 10
    return T


def intrinsics(*shape: int) -> torch.Tensor:
    """fx, fy and the principal point all different."""
    K = torch.eye(3, dtype=DOUBLE).repeat(*shape, 1, 1)
    K[..., 0, 0] = 5 + torch.rand(shape, dtype=DOUBLE)
    K[..., 1, 1] = 7 + torch.rand(shape, dtype=DOUBLE)
    K[..., :2, 2] = 0.2 * torch.randn(*shape, 2, dtype=DOUBLE)
    return K


def procrustes_loop(X0: np.ndarray, X1: np.ndarray) -> np.ndarray:
    """R̂ = V diag(1, 1, det(V Uᵀ)) Uᵀ by numpy, one pair of sets (N, 3)."""
    U, _, Vt = np.linalg.svd((X0 - X0.mean(0)).T @ (X1 - X1.mean(0)))
    return Vt.T @ np.diag([1, 1, np.linalg.det(Vt.T @ U.T)]) @ U.T


def centred(X: torch.Tensor) -> np.ndarray:
    return (X - X.mean(dim=-2, keepdim=True)).numpy()


# --- coordinates


def test_the_longer_side_of_a_picture_spans_minus_one_to_one():
    xy_px = torch.tensor([[0.0, 10.0], [20.0, 10.0], [40.0, 10.0], [20.0, 20.0], [0.0, 0.0]])
    uv = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.5], [-1.0, -0.5]])
    torch.testing.assert_close(pixels_to_normalised(xy_px, SIZE), uv)
    torch.testing.assert_close(normalised_to_pixels(uv, SIZE), xy_px)


def test_the_normalising_matrix_does_what_the_function_does():
    xy_px = 40 * torch.rand(7, 2, dtype=DOUBLE)
    homogeneous = torch.cat([xy_px, torch.ones(7, 1, dtype=DOUBLE)], dim=1)
    uv1 = homogeneous @ normalising_matrix(SIZE).T
    torch.testing.assert_close(uv1[:, :2], pixels_to_normalised(xy_px, SIZE))
    torch.testing.assert_close(uv1[:, 2], torch.ones(7, dtype=DOUBLE))


def test_normalised_intrinsics_project_to_the_normalised_pixel():
    K_px = intrinsics(3)
    X_cam = transform_points(rigid(3), torch.randn(3, 5, 3, dtype=DOUBLE))
    xy_px = project(X_cam, K_px)[..., :2]
    uv = project(X_cam, normalise_intrinsics(K_px, SIZE))[..., :2]
    torch.testing.assert_close(uv, pixels_to_normalised(xy_px, SIZE))


# --- projection


def test_project_literal():
    K = torch.tensor([[2.0, 0.0, 0.1], [0.0, 3.0, -0.2], [0.0, 0.0, 1.0]])
    X_cam = torch.tensor([[1.0, 2.0, 4.0], [-1.0, 0.0, 0.5]])
    expected = torch.tensor([[0.6, 1.3, 4.0], [-3.9, -0.2, 0.5]])
    torch.testing.assert_close(project(X_cam, K), expected)


def test_unproject_is_the_inverse_of_project():
    K = intrinsics(4)
    X_cam = transform_points(rigid(4), torch.randn(4, 6, 3, dtype=DOUBLE))
    uvz = project(X_cam, K)
    torch.testing.assert_close(unproject(uvz, K), X_cam)
    torch.testing.assert_close(project(unproject(uvz, K), K), uvz)
    assert project(X_cam[:0], K[:0]).shape == (0, 6, 3)


def test_transfer_agrees_with_a_plain_loop():
    T_0to1, K0, K1 = rigid(2), intrinsics(2), intrinsics(2)
    T_0to1[:, 2, 3] = 1.0
    uvz = torch.cat([torch.randn(2, 5, 2), 8 + torch.rand(2, 5, 1)], dim=-1).double()
    expected = np.empty((2, 5, 3))
    for b in range(2):
        for i in range(5):
            u, v, z = uvz[b, i].tolist()
            X0 = z * np.linalg.inv(K0[b].numpy()) @ [u, v, 1.0]
            X1 = (T_0to1[b].numpy() @ [*X0, 1.0])[:3]
            x = K1[b].numpy() @ X1
            expected[b, i] = x[0] / x[2], x[1] / x[2], X1[2]
    np.testing.assert_allclose(transfer(uvz, T_0to1, K0, K1).numpy(), expected, rtol=1e-10)


def test_transfer_takes_a_world_point_from_view_to_view():
    T_world2cam0, T_world2cam1, K0, K1 = rigid(3), rigid(3), intrinsics(3), intrinsics(3)
    X_world = torch.randn(3, 4, 3, dtype=DOUBLE)
    uvz0 = project(transform_points(T_world2cam0, X_world), K0)
    uvz1 = project(transform_points(T_world2cam1, X_world), K1)
    T_0to1 = relative_transform(T_world2cam0, T_world2cam1)
    torch.testing.assert_close(transfer(uvz0, T_0to1, K0, K1), uvz1)
    torch.testing.assert_close(transfer(uvz1, invert_rigid(T_0to1), K1, K0), uvz0)


# --- rigid motions


def test_transform_points_literal():
    # 90° about z takes x to y; then shifted.
    T = torch.tensor([[0.0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]])
    X = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 3.0]])
    expected = torch.tensor([[10.0, 21.0, 30.0], [8.0, 20.0, 33.0]])
    torch.testing.assert_close(transform_points(T, X), expected)


def test_invert_rigid_is_the_matrix_inverse():
    T = rigid(2, 3)
    torch.testing.assert_close(invert_rigid(T), torch.linalg.inv(T))
    assert invert_rigid(T[:0]).shape == (0, 3, 4, 4)


# --- Procrustes


def test_procrustes_recovers_known_rotations_whatever_the_translation():
    R = roma.random_rotmat(50, dtype=DOUBLE)
    half_turns = roma.rotvec_to_rotmat(math.pi * torch.eye(3, dtype=DOUBLE))
    R = torch.cat([R, torch.eye(3, dtype=DOUBLE)[None], half_turns])
    X0 = torch.randn(len(R), 10, 3, dtype=DOUBLE)
    X1 = X0 @ R.mT + 5 * torch.randn(len(R), 1, 3, dtype=DOUBLE)
    torch.testing.assert_close(procrustes_rotation(X0, X1), R, rtol=0, atol=1e-9)


def test_procrustes_recovers_rotations_in_float32():
    R = roma.random_rotmat(50)
    X0 = torch.randn(50, 10, 3)
    X1 = X0 @ R.mT + torch.tensor([0.0, 0.0, 30.0])
    torch.testing.assert_close(procrustes_rotation(X0, X1), R, rtol=0, atol=2e-5)


def test_procrustes_agrees_with_the_papers_formula():
    X0, X1 = torch.randn(2, 40, 6, 3, dtype=DOUBLE)  # unrelated sets: half want a reflection
    R_pred = procrustes_rotation(X0, X1).numpy()
    R_loop = np.stack([procrustes_loop(a, b) for a, b in zip(X0.numpy(), X1.numpy(), strict=True)])
    M = np.stack([a.T @ b for a, b in zip(centred(X0), centred(X1), strict=True)])
    reflected = np.linalg.det(M) < 0
    assert 5 < reflected.sum() < 35
    np.testing.assert_allclose(R_pred, R_loop, atol=1e-7)


def test_procrustes_never_reflects():
    X0 = torch.randn(20, 8, 3, dtype=DOUBLE)
    X1 = X0 * torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE)
    R = procrustes_rotation(X0, X1)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(20, dtype=DOUBLE))
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=DOUBLE).expand_as(R))


def test_procrustes_is_equivariant():
    X0, X1 = torch.randn(2, 5, 10, 3, dtype=DOUBLE)
    Q0, Q1 = roma.random_rotmat((2, 5), dtype=DOUBLE)
    R = procrustes_rotation(X0, X1)
    torch.testing.assert_close(procrustes_rotation(X0 @ Q0.mT, X1 @ Q1.mT), Q1 @ R @ Q0.mT)
    torch.testing.assert_close(procrustes_rotation(X1, X0), R.mT)


def test_procrustes_gradcheck():
    X0, X1 = torch.randn(2, 2, 5, 3, dtype=DOUBLE)
    assert torch.autograd.gradcheck(procrustes_rotation, (X0.requires_grad_(), X1.requires_grad_()))


OCTAHEDRON = torch.cat([torch.eye(3), -torch.eye(3)]).double()
PLANAR = torch.tensor([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0], [2, 0, 0.0]], dtype=DOUBLE)
LINE = torch.linspace(-1, 1, 7, dtype=DOUBLE)
COLLINEAR = torch.stack([LINE, 0.05 * torch.cos(5 * LINE), 0.05 * torch.sin(3 * LINE)], dim=-1)


@pytest.mark.parametrize(
    "X0",
    [
        pytest.param(OCTAHEDRON, id="three equal singular values"),
        pytest.param(OCTAHEDRON * OCTAHEDRON.new_tensor([2, 1, 1]), id="two equal"),
        pytest.param(PLANAR, id="planar"),
        pytest.param(COLLINEAR, id="nearly collinear"),
    ],
)
@pytest.mark.parametrize("perturbation", [0.0, 1e-9, 1e-4])
def test_procrustes_gradient_near_degenerate_sets(X0, perturbation):
    weight = torch.randn(3, 3, dtype=DOUBLE)
    R = roma.random_rotmat(dtype=DOUBLE)
    X1 = X0 @ R.T + perturbation * torch.randn_like(X0)

    def objective(X0: torch.Tensor) -> torch.Tensor:
        return (weight * procrustes_rotation(X0, X1)).sum()

    X0 = X0.clone().requires_grad_()
    objective(X0).backward()
    assert X0.grad is not None
    numeric = torch.empty_like(X0)
    h = 1e-6
    with torch.no_grad():
        for index in np.ndindex(*X0.shape):
            step = torch.zeros_like(X0)
            step[index] = h
            numeric[index] = (objective(X0 + step) - objective(X0 - step)) / (2 * h)
    scale = float(numeric.abs().max())
    torch.testing.assert_close(X0.grad, numeric, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("X", [torch.zeros(1, 6, 3), torch.ones(1, 6, 3), torch.randn(1, 1, 3)])
def test_procrustes_of_points_in_one_place_is_finite(X):
    X0, X1 = X.clone().requires_grad_(), X.clone().requires_grad_()
    R = procrustes_rotation(X0, X1)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(1))
    (R * torch.randn(3, 3)).sum().backward()
    assert X0.grad is not None
    assert X0.grad.isfinite().all()


def test_procrustes_noise_is_seeded_and_off_by_default():
    X0 = torch.randn(4, 10, 3)
    X1 = torch.randn(4, 10, 3)
    torch.testing.assert_close(
        procrustes_rotation(X0, X1), procrustes_rotation(X0, X1), atol=0, rtol=0
    )

    def noisy(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return procrustes_rotation(X0, X1, noise=0.1, generator=generator)

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.allclose(noisy(1), noisy(2), atol=1e-3)
    assert not torch.allclose(noisy(1), procrustes_rotation(X0, X1), atol=1e-3)


def test_procrustes_of_an_empty_batch():
    assert procrustes_rotation(torch.zeros(0, 10, 3), torch.zeros(0, 10, 3)).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("a", "b"), [((5, 10, 3), (5, 9, 3)), ((5, 10, 2), (5, 10, 2)), ((3,), (3,))]
)
def test_procrustes_names_the_shapes_it_got(a, b):
    with pytest.raises(ValueError, match=r"expected two point sets .*got \(.*\) and \("):
        procrustes_rotation(torch.zeros(a), torch.zeros(b))
