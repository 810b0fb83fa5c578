import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from keypointnet import losses
from keypointnet.config import LossConfig
from keypointnet.geometry import (
    invert_rigid,
    normalise_intrinsics,
    procrustes_rotation,
    project,
    transfer,
    transform_points,
    unproject,
)
from keypointnet.heatmaps import cell_centres
from keypointnet.model import KeypointNet, Prediction, orientation_flag
from keypointnet.objective import anchor_points, anchor_share, gt_flag_share, pair_losses
from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.pairs import PairBatch

SIZE = (24, 32)  # h, w
ALWAYS = {"pose", "consistency", "separation", "silhouette", "variance", "total"}


@pytest.fixture
def batch() -> PairBatch:
    """Three pairs; the object fills an ellipse."""
    T, K_px = sample_cameras(6, np.random.default_rng(0), CameraRange(), SIZE)
    grid = cell_centres(SIZE)
    alpha = ((grid**2).sum(-1) < 0.5).float().expand(3, 2, 1, *SIZE)
    return PairBatch(
        rgba=torch.cat([torch.rand(3, 2, 3, *SIZE) * alpha, alpha], dim=2),
        T_world2cam=torch.from_numpy(T).float().view(3, 2, 4, 4),
        K=normalise_intrinsics(torch.from_numpy(K_px), SIZE).float().view(3, 2, 3, 3),
        models=["a", "b", "c"],
    )


class Fake:
    """Predicts what it is told, view-major as `pair_losses` asks, and remembers what it got."""

    def __init__(self, uvz: Tensor, prob: Tensor, orientation_uv: Tensor | None = None) -> None:
        self.uvz, self.prob, self.orientation_uv = uvz, prob, orientation_uv
        self.image = torch.empty(0)
        self.arguments: dict[str, Any] = {}

    def __call__(self, image: Tensor, **arguments: Any) -> Prediction:
        self.image, self.arguments = image, arguments
        return Prediction(self.uvz, torch.ones(self.uvz.shape[:2]), self.orientation_uv, self.prob)


def view_major(x: Tensor) -> Tensor:
    return torch.cat([x[:, 0], x[:, 1]])


def exact(batch: PairBatch) -> Fake:
    """Keypoints glued to the object, maps uniform."""
    X_world = 0.5 * torch.randn(10, 3)
    X_cam = transform_points(view_major(batch.T_world2cam), X_world.expand(6, -1, -1))
    uvz = project(X_cam, view_major(batch.K))
    return Fake(uvz, torch.full((6, 10, *SIZE), 1 / (SIZE[0] * SIZE[1])))


def test_gt_flag_share_literal():
    config = LossConfig()
    steps = [0, 30_000, 37_500, 45_000, 60_000, 200_000]
    assert [gt_flag_share(step, config) for step in steps] == [1, 1, 0.75, 0.5, 0, 0]
    sudden = LossConfig(flag_anneal_start=10, flag_anneal_end=10)
    assert [gt_flag_share(step, sudden) for step in (9, 10)] == [1, 0]


def test_anchor_share_literal():
    config = LossConfig(anchor=1.0, anchor_steps=100)
    assert [anchor_share(step, config) for step in (0, 25, 100, 500)] == [1, 0.75, 0, 0]
    assert anchor_share(0, LossConfig()) == 0


def test_anchor_points_are_on_a_sphere_apart():
    X = anchor_points(10)
    torch.testing.assert_close(X.norm(dim=-1), torch.full((10,), 0.4))
    assert torch.pdist(X).min() > 0.2


def test_the_terms_there_are(batch):
    fake = exact(batch)
    assert set(pair_losses(fake, batch, LossConfig())) == ALWAYS
    fake.orientation_uv = torch.zeros(6, 2, 2)
    assert set(pair_losses(fake, batch, LossConfig())) == ALWAYS | {"orientation"}
    anchored = LossConfig(anchor=1.0, anchor_steps=10)
    assert set(pair_losses(fake, batch, anchored, step=9)) == ALWAYS | {"orientation", "anchor"}
    assert set(pair_losses(fake, batch, anchored, step=10)) == ALWAYS | {"orientation"}


def test_points_glued_to_the_object_have_no_pose_or_consistency_loss(batch):
    terms = pair_losses(exact(batch), batch, LossConfig(pose_noise=0.0))
    assert terms["pose"].item() < 1e-3  # radians, float32
    assert terms["consistency"].item() < 1e-9
    assert terms["separation"].item() == 0.0
    inside = float((batch.rgba[0, 0, 3] > 0).float().mean())
    assert terms["silhouette"].item() == pytest.approx(-2 * math.log(inside), rel=1e-4)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_terms_agree_with_a_plain_loop_over_pairs(batch, variant):
    generator = torch.Generator().manual_seed(5)
    prob = torch.rand(6, 7, *SIZE, generator=generator).flatten(2)
    prob = (prob / prob.sum(-1, keepdim=True)).view(6, 7, *SIZE)
    uvz = torch.randn(6, 7, 3, generator=generator) * 0.3 + torch.tensor([0.0, 0.0, 30.0])
    orientation_uv = torch.rand(6, 2, 2, generator=generator)
    config = LossConfig(variant=variant, pose_noise=0.0, separation_delta=0.6)
    terms = pair_losses(Fake(uvz, prob, orientation_uv), batch, config)

    expected = dict.fromkeys(ALWAYS - {"total"} | {"orientation"}, 0.0)
    axis = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    for b in range(3):
        views = (b, b + 3)
        T0, T1 = batch.T_world2cam[b]
        K = batch.K[b]
        T_0to1 = T1 @ torch.linalg.inv(T0)
        X = [unproject(uvz[i], K[v]) for v, i in enumerate(views)]
        expected["pose"] += losses.pose_loss(
            procrustes_rotation(X[0], X[1])[None], T_0to1[None, :3, :3]
        )
        expected["consistency"] += losses.consistency_loss(
            uvz[None, b, :, :2],
            uvz[None, b + 3, :, :2],
            transfer(uvz[b + 3], invert_rigid(T_0to1), K[1], K[0])[None, :, :2],
            transfer(uvz[b], T_0to1, K[0], K[1])[None, :, :2],
            variant,
        )
        for v, i in enumerate(views):
            mask = (batch.rgba[b, v, 3] > 0).float()
            axis_uv = project(transform_points(batch.T_world2cam[b, v], axis), K[v])[:, :2]
            expected["separation"] += losses.separation_loss(X[v][None], 0.6, variant)
            expected["silhouette"] += losses.silhouette_loss(prob[i, None], mask[None])
            expected["variance"] += losses.variance_loss(prob[i, None], uvz[i, None, :, :2])
            expected["orientation"] += losses.orientation_loss(orientation_uv[i, None], axis_uv)
    assert terms.keys() == expected.keys() | {"total"}
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value / 3, rtol=1e-3, atol=1e-5)
    weights = {"pose": 0.2, "variance": 0.5}
    total = sum(weights.get(name, 1.0) * terms[name] for name in expected)
    torch.testing.assert_close(terms["total"], total)


def test_the_mask_enters_the_losses_only(batch):
    model = KeypointNet(4, channels=8, orientation_channels=4).eval()
    config = LossConfig(pose_noise=0.0)
    other = batch.rgba.clone()
    other[:, :, 3, :12] = 1.0
    with torch.no_grad():
        before = pair_losses(model, batch, config)
        after = pair_losses(model, batch._replace(rgba=other), config)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"silhouette", "total"}


def test_a_barely_covered_pixel_is_inside(batch):
    fake = exact(batch)
    full = pair_losses(fake, batch, LossConfig())["silhouette"]
    faint = batch.rgba.clone()
    faint[:, :, 3] *= 1 / 255
    torch.testing.assert_close(
        pair_losses(fake, batch._replace(rgba=faint), LossConfig())["silhouette"], full
    )


def test_coarse_maps_meet_the_mask_in_their_own_cells(batch):
    fake = exact(batch)
    fake.prob = torch.zeros(6, 10, SIZE[0] // 4, SIZE[1] // 4)
    fake.prob[..., 3, 4] = 1.0  # its 4x4 pixels are inside the ellipse
    terms = pair_losses(fake, batch, LossConfig())
    assert terms["silhouette"].item() == pytest.approx(0.0, abs=1e-6)


def test_the_network_is_told_the_true_flag_of_each_view(batch):
    fake = exact(batch)
    config = LossConfig(variant="released", flag_anneal_start=10, flag_anneal_end=30)
    pair_losses(fake, batch, config, step=15)
    # +x projects to the right where the camera's x axis has a positive part along the world's.
    expected = (view_major(batch.T_world2cam)[:, 0, 0] > 0).float()
    assert 0 < expected.sum() < 6
    assert torch.equal(fake.arguments["gt_flag"], expected)
    assert fake.arguments["gt_share"] == 0.75
    assert fake.arguments["round_flag"] is True
    assert torch.equal(fake.image, view_major(batch.rgba)[:, :3])
    pair_losses(fake, batch, LossConfig())
    assert fake.arguments["round_flag"] is False
    assert orientation_flag(torch.tensor([[[1.0, 0], [0, 0]]])).item() == 1


def test_noise_is_seeded(batch):
    fake = exact(batch)

    def pose(seed: int, noise: float) -> float:
        generator = torch.Generator().manual_seed(seed)
        config = LossConfig(pose_noise=noise)
        return pair_losses(fake, batch, config, generator=generator)["pose"].item()

    assert pose(1, 0.1) == pose(1, 0.1) != pose(2, 0.1)
    assert pose(1, 0.0) == pose(2, 0.0) < pose(1, 0.1)


def test_every_weight_gets_a_finite_gradient(batch):
    model = KeypointNet(4, channels=8, orientation_channels=4)
    pair_losses(model, batch, LossConfig())["total"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or name.endswith("bias"), name


def test_bf16_networks_have_float32_losses(batch):
    model = KeypointNet(4, channels=16, orientation_channels=16)
    autocast = torch.autocast("cpu", torch.bfloat16)
    rounded = pair_losses(model, batch, LossConfig(pose_noise=0.0), autocast=autocast)
    exactly = pair_losses(model, batch, LossConfig(pose_noise=0.0))
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    for name in ("silhouette", "variance", "orientation"):
        torch.testing.assert_close(rounded[name], exactly[name], rtol=0.05, atol=0.02)


def test_an_unknown_variant_is_named(batch):
    with pytest.raises(ValueError, match="got 'published'"):
        pair_losses(exact(batch), batch, LossConfig(variant="published"))
