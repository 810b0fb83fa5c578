import numpy as np
import pytest
import torch

from keypointnet.geometry import normalise_intrinsics, project, transform_points
from keypointnet.heatmaps import cell_centres
from keypointnet.model import orientation_flag
from keypointnet.objective import AXIS_POINTS
from keypointnet.views.augmentation import AugmentationConfig, augment, change_colour, mirror
from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.pairs import PairBatch

SIZE = (20, 32)  # h, w
MIRROR_X = torch.tensor([-1.0, 1.0, 1.0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> PairBatch:
    """Three pairs with soft borders, and principal points off the middle."""
    T, K_px = sample_cameras(6, np.random.default_rng(0), CameraRange(roll_deg=(-30, 30)), SIZE)
    K_px[:, 0, 2] += np.arange(6)
    K_px[:, 1, 2] -= np.arange(6)
    alpha = (1.5 - 3 * cell_centres(SIZE).norm(dim=-1)).clamp(0, 1).expand(3, 2, 1, *SIZE)
    return PairBatch(
        rgba=torch.cat([torch.rand(3, 2, 3, *SIZE) * alpha, alpha], dim=2),
        T_world2cam=torch.from_numpy(T).float().view(3, 2, 4, 4),
        K=normalise_intrinsics(torch.from_numpy(K_px), SIZE).float().view(3, 2, 3, 3),
        models=["a", "b", "c"],
    )


# --- mirroring


def test_a_mirrored_camera_sees_the_mirrored_world(batch):
    mirrored = mirror(batch, torch.ones(3, dtype=torch.bool))
    X_world = torch.randn(3, 2, 7, 3)
    uvz = project(transform_points(batch.T_world2cam, X_world), batch.K)
    X_mirrored = transform_points(mirrored.T_world2cam, X_world * MIRROR_X)
    uvz_mirrored = project(X_mirrored, mirrored.K)
    torch.testing.assert_close(uvz_mirrored, uvz * MIRROR_X, rtol=1e-4, atol=1e-4)
    R = mirrored.T_world2cam[..., :3, :3]
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(3, 2))


def test_the_picture_is_mirrored_as_its_points_are(batch):
    grid = cell_centres(SIZE)
    rgba = mirror(batch, torch.ones(3, dtype=torch.bool)).rgba
    y, x = 4, 9
    xm = SIZE[1] - 1 - x
    torch.testing.assert_close(grid[y, xm], grid[y, x] * torch.tensor([-1.0, 1.0]))
    assert torch.equal(rgba[..., y, xm], batch.rgba[..., y, x])


def test_mirroring_turns_the_orientation_round(batch):
    def flags(batch: PairBatch) -> torch.Tensor:
        X_cam = transform_points(batch.T_world2cam, torch.tensor(AXIS_POINTS).expand(3, 2, 2, 3))
        return orientation_flag(project(X_cam, batch.K)[..., :2].flatten(0, 1))

    # The mirrored object's +x is where its −x was, in a picture that is mirrored too.
    assert torch.equal(flags(mirror(batch, torch.ones(3, dtype=torch.bool))), flags(batch))


def test_only_the_chosen_pairs_are_mirrored_and_twice_is_not_at_all(batch):
    chosen = torch.tensor([True, False, True])
    once = mirror(batch, chosen)
    for name in ("rgba", "T_world2cam", "K"):
        before, after = getattr(batch, name), getattr(once, name)
        assert torch.equal(after[1], before[1])
        assert not torch.equal(after[0], before[0])
        torch.testing.assert_close(getattr(mirror(once, chosen), name), before)


def test_mirror_probability(batch):
    assert torch.equal(augment(batch, AugmentationConfig(mirror=0.0)).rgba, batch.rgba)
    everything = augment(batch, AugmentationConfig(mirror=1.0), generator())
    assert torch.equal(everything.rgba, batch.rgba.flip(-1))


# --- colours


ALL = AugmentationConfig(
    mirror=0.5, colour=1.0, view_colour=1.0, grey=0.5, noise=0.1, crop=0.2, occluder=0.5,
    background=0.5,
)  # fmt: skip
EACH = {
    "colour": AugmentationConfig(colour=1.0),
    "view_colour": AugmentationConfig(view_colour=1.0),
    "grey": AugmentationConfig(grey=1.0),
    "noise": AugmentationConfig(noise=0.1),
}


@pytest.mark.parametrize("config", EACH.values(), ids=EACH.keys())
def test_colours_change_inside_the_object_only(batch, config):
    before = batch.rgba.clone()
    rgba = augment(batch, config, generator()).rgba
    assert torch.equal(batch.rgba, before)  # the input is unchanged
    rgb, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    assert torch.equal(alpha, batch.rgba[:, :, 3:])
    background = (alpha == 0).expand_as(rgb)
    assert background.any()
    assert (rgb[background] == 0).all()
    assert (rgb >= 0).all()
    assert (rgb <= alpha + 1e-6).all()  # premultiplied still
    assert (rgb - batch.rgba[:, :, :3]).abs().max() > 0.05


def test_nothing_is_changed_by_default(batch):
    unchanged = augment(batch, AugmentationConfig(), generator())
    assert all(torch.equal(a, b) for a, b in zip(unchanged[:3], batch[:3], strict=True))
    for shared in (True, False):
        rgba = change_colour(batch.rgba, 0.0, generator(), shared=shared)
        torch.testing.assert_close(rgba, batch.rgba)


def test_augmentation_is_seeded(batch):
    a, b, c = (augment(batch, ALL, generator(seed)).rgba for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_change_is_one_for_both_views(shared):
    rgba = torch.rand(3, 1, 4, *SIZE).expand(3, 2, 4, *SIZE).clone()
    rgba[:, :, 3] = 1
    changed = change_colour(rgba, 0.5, generator(), shared=shared)
    assert torch.allclose(changed[:, 0], changed[:, 1]) == shared
    assert not torch.allclose(changed[0], changed[1])


def test_which_changes_the_two_views_share(batch):
    flat = torch.ones(3, 2, 4, *SIZE)
    flat[:, :, :3] = torch.tensor([0.6, 0.3, 0.2]).view(3, 1, 1)
    batch = batch._replace(rgba=flat)
    for name, shared in (("colour", True), ("grey", True), ("view_colour", False)):
        rgba = augment(batch, EACH[name], generator()).rgba
        assert torch.equal(rgba[:, 0], rgba[:, 1]) == shared, name


@pytest.mark.parametrize("shared", [True, False])
def test_a_half_covered_pixel_changes_half_as_much(shared):
    rgba = torch.ones(4, 2, 4, 1, 2)
    rgba[:, :, :3] = torch.rand(4, 2, 3, 1, 1).expand(4, 2, 3, 1, 2)
    rgba[..., 1] *= 0.5
    changed = change_colour(rgba, 0.7, generator(), shared=shared)
    torch.testing.assert_close(changed[..., 1], 0.5 * changed[..., 0])


def test_a_change_is_the_same_for_a_colour_wherever_it_is(batch):
    """A red seat stays one colour: the change is of colours, not of pixels."""
    rgba = torch.ones(1, 2, 4, *SIZE)
    rgba[:, :, :3] = torch.tensor([0.6, 0.3, 0.2]).view(3, 1, 1)
    changed = change_colour(rgba, 1.0, generator(), shared=True)
    torch.testing.assert_close(changed, changed[..., :1, :1].expand_as(changed))


def test_grey_has_no_colour(batch):
    rgb = augment(batch, AugmentationConfig(grey=1.0), generator()).rgba[:, :, :3]
    torch.testing.assert_close(rgb, batch.rgba[:, :, :3].mean(2, keepdim=True).expand_as(rgb))


# --- what photographs have


def test_a_cropped_view_is_one_of_another_camera(batch):
    cropped = augment(batch, AugmentationConfig(crop=0.3), generator())
    X_world = torch.randn(3, 2, 1, 3)
    before, after = (
        project(transform_points(each.T_world2cam, X_world), each.K) for each in (batch, cropped)
    )
    torch.testing.assert_close(before[..., 2], after[..., 2])
    assert (before - after)[..., :2].abs().amax((2, 3)).min() > 1e-4  # every view, another way
    # A soft disc moves and grows as the points do.
    grid, at = cell_centres(SIZE), torch.tensor([0.2, -0.1])
    rgba = torch.exp(-20 * (grid - at).square().sum(-1)).expand(3, 2, 4, *SIZE)
    K = torch.eye(3).expand(3, 2, 3, 3)
    moved = augment(batch._replace(rgba=rgba, K=K), AugmentationConfig(crop=0.3), generator())
    weight = moved.rgba[:, :, 0]
    area = weight.sum((2, 3))
    middle = (weight[..., None] * grid).sum((2, 3)) / area[..., None]
    expected = (moved.K @ torch.cat([at, torch.ones(1)]))[..., :2]
    torch.testing.assert_close(middle, expected, rtol=0, atol=0.02)
    grown = area / rgba[:, :, 0].sum((2, 3))
    torch.testing.assert_close(grown, moved.K[..., 0, 0] ** 2, rtol=0.05, atol=0)


def test_backgrounds_are_behind_the_object(batch):
    painted = augment(batch, AugmentationConfig(background=1.0), generator()).rgba
    rgb, alpha = painted[:, :, :3], painted[:, :, 3:]
    assert torch.equal(alpha, batch.rgba[:, :, 3:])
    inside = (alpha == 1).expand_as(rgb)
    assert inside.any()
    assert torch.equal(rgb[inside], batch.rgba[:, :, :3][inside])
    assert (rgb >= 0).all()
    assert (rgb <= 1 + 1e-6).all()
    outside = rgb[(alpha == 0).expand_as(rgb)]
    assert outside.std() > 0.2
    assert (outside > 0.02).float().mean() > 0.8
    # Each view has its own.
    assert (rgb[:, 0] - rgb[:, 1]).abs().amax((1, 2, 3)).min() > 0.2
    half = augment(batch, AugmentationConfig(background=0.5), generator()).rgba
    black = (half[:, :, :3] * (alpha == 0)).amax((2, 3, 4)) == 0
    assert 0 < black.sum() < 6


def test_occluders_hide_a_part_and_leave_the_mask(batch):
    hidden = augment(batch, AugmentationConfig(occluder=1.0), generator()).rgba
    assert torch.equal(hidden[:, :, 3:], batch.rgba[:, :, 3:])
    changed = (hidden != batch.rgba).any(2).float().mean((2, 3))
    assert changed.max() < 0.36
    assert changed.min() < changed.max()
    assert (changed > 0).sum() >= 5


def test_an_empty_batch(batch):
    empty = PairBatch(batch.rgba[:0], batch.T_world2cam[:0], batch.K[:0], [])
    assert augment(empty, ALL, generator()).rgba.shape == (0, 2, 4, *SIZE)
