import math

import pytest
import roma
import torch

from keypointnet import losses


def rotation(angle_deg: float) -> torch.Tensor:
    """(1, 3, 3) about an oblique axis."""
    axis = torch.tensor([[1.0, 2.0, -2.0]], dtype=torch.float64) / 3
    return roma.rotvec_to_rotmat(math.radians(angle_deg) * axis)


@pytest.mark.parametrize(("variant", "expected"), [("paper", 0.0125), ("released", 0.025)])
def test_consistency_literal(variant, expected):
    uv0 = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    uv0_from1 = torch.tensor([[[0.1, 0.0], [1.0, 1.0]]])  # 0.1² off
    uv1 = torch.tensor([[[0.0, 0.0], [0.5, 0.5]]])
    uv1_from0 = torch.tensor([[[0.0, 0.2], [0.5, 0.5]]])  # 0.2² off
    loss = losses.consistency_loss(uv0, uv1, uv0_from1, uv1_from0, variant)
    assert loss.item() == pytest.approx(expected)
    batch = [t.repeat(3, 1, 1) for t in (uv0, uv1, uv0_from1, uv1_from0)]
    assert losses.consistency_loss(*batch, variant).item() == pytest.approx(expected)


@pytest.mark.parametrize("angle_deg", [0.0, 1e-3, 30.0, 90.0, 179.0])
def test_pose_loss_is_the_angle_in_radians(angle_deg):
    R = rotation(77.0)
    loss = losses.pose_loss(rotation(angle_deg) @ R, R)
    assert loss.item() == pytest.approx(math.radians(angle_deg), abs=1e-7)


def test_pose_loss_averages_over_the_batch():
    R_pred = torch.cat([rotation(10.0), rotation(30.0)])
    loss = losses.pose_loss(R_pred, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    assert loss.item() == pytest.approx(math.radians(20.0))


@pytest.mark.parametrize("angle_deg", [0.0, 180.0])
def test_pose_loss_has_a_finite_gradient_at_both_ends(angle_deg):
    R = rotation(angle_deg).float().requires_grad_()
    loss = losses.pose_loss(R, torch.eye(3)[None])
    loss.backward()
    assert loss.item() == pytest.approx(math.radians(angle_deg), abs=3e-3)
    assert R.grad is not None
    assert R.grad.isfinite().all()


def test_pose_loss_of_exactly_half_a_turn():
    R = torch.diag(torch.tensor([1.0, -1.0, -1.0])).unsqueeze(0).requires_grad_()
    loss = losses.pose_loss(R, torch.eye(3)[None])
    loss.backward()
    assert loss.item() == pytest.approx(math.pi, abs=3e-3)
    assert R.grad is not None
    assert R.grad.isfinite().all()


POINTS = torch.tensor([[[0.0, 0.0, 0.0], [0.03, 0.0, 0.0], [1.0, 0.0, 0.0]]])


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        # two ordered pairs: (0.05² − 0.03²) · 2 / 3²
        ("paper", 0.0032 / 9),
        # (3 · 0.05 + 2 · (0.05 − 0.03²)) / (2 · 3)
        ("released", 0.2482 / 6),
    ],
)
def test_separation_literal(variant, expected):
    loss = losses.separation_loss(POINTS, 0.05, variant)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_separation_ignores_points_far_apart_and_order():
    far = 10 * torch.eye(3)[None]
    assert losses.separation_loss(far, 0.05).item() == 0.0
    # The released formula keeps its constant, N δ / (2N).
    assert losses.separation_loss(far, 0.05, "released").item() == pytest.approx(0.025)
    permuted = POINTS[:, [2, 0, 1]]
    torch.testing.assert_close(
        losses.separation_loss(permuted, 0.05), losses.separation_loss(POINTS, 0.05)
    )


def test_separation_of_points_in_one_place_pushes_without_nan():
    X = torch.zeros(1, 4, 3, requires_grad=True)
    loss = losses.separation_loss(X, 0.05)
    loss.backward()
    assert loss.item() == pytest.approx(12 * 0.0025 / 16)
    assert X.grad is not None
    assert X.grad.isfinite().all()


def test_silhouette_literal():
    prob = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]], [[0.25, 0.25], [0.25, 0.25]]]])
    mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert losses.silhouette_loss(prob, mask).item() == pytest.approx(math.log(2.0))
    corner = torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])
    expected = (-math.log(0.4) - math.log(0.25)) / 2
    assert losses.silhouette_loss(prob, corner).item() == pytest.approx(expected)


def test_silhouette_of_an_empty_mask_is_finite():
    prob = torch.full((1, 1, 2, 2), 0.25, requires_grad=True)
    loss = losses.silhouette_loss(prob, torch.zeros(1, 2, 2))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-12), rel=1e-4)
    assert prob.grad is not None
    assert prob.grad.isfinite().all()


def test_variance_literal():
    prob = torch.tensor([[[[0.5, 0.5]], [[1.0, 0.0]]]])  # cells at u = ∓0.5
    mean = torch.tensor([[[0.0, 0.0], [-0.5, 0.0]]])
    assert losses.variance_loss(prob, mean).item() == pytest.approx((0.25 + 0.0) / 2)
    off = torch.tensor([[[0.5, 0.0], [-0.5, 2.0]]])
    assert losses.variance_loss(prob, off).item() == pytest.approx((0.5 + 4.0) / 2)


def test_orientation_literal():
    uv_gt = torch.tensor([[[0.7, 0.1], [-0.7, 0.1]]])
    uv_pred = uv_gt + torch.tensor([[[0.2, 0.0], [0.0, -0.4]]])
    assert losses.orientation_loss(uv_pred, uv_gt).item() == pytest.approx((0.04 + 0.16) / 4)


def test_anchor_literal():
    uvz_gt = torch.tensor([[[0.1, 0.2, 30.0], [0.0, 0.0, 29.0]]])
    uvz_pred = uvz_gt + torch.tensor([[[0.1, 0.0, 0.2], [0.0, 0.0, 0.0]]])
    assert losses.anchor_loss(uvz_pred, uvz_gt).item() == pytest.approx(0.05 / 2, rel=1e-4)


def test_gradients():
    double = {"dtype": torch.float64, "requires_grad": True}
    uv = [torch.randn(2, 3, 2, **double) for _ in range(4)]
    assert torch.autograd.gradcheck(losses.consistency_loss, uv)
    X = (0.03 * torch.randn(2, 4, 3, dtype=torch.float64)).requires_grad_()
    for variant in ("paper", "released"):
        assert torch.autograd.gradcheck(
            lambda X, variant=variant: losses.separation_loss(X, 0.05, variant), (X,)
        )
    R_gt = roma.random_rotmat(2, dtype=torch.float64)
    rotvec = torch.randn(2, 3, **double)
    assert torch.autograd.gradcheck(
        lambda rotvec: losses.pose_loss(roma.rotvec_to_rotmat(rotvec), R_gt), (rotvec,)
    )
    mask = (torch.rand(2, 3, 4) > 0.5).double()
    logits = torch.randn(2, 2, 3, 4, **double)
    assert torch.autograd.gradcheck(
        lambda logits: losses.silhouette_loss(
            logits.flatten(2).softmax(-1).view(logits.shape), mask
        ),
        (logits,),
    )


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match=r"one of \('paper', 'released'\), got 'papper'"):
        losses.separation_loss(POINTS, 0.05, "papper")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 'code'"):
        losses.consistency_loss(*torch.zeros(4, 1, 2, 2), "code")  # type: ignore[arg-type]
