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


ALL = AugmentationConfig(mirror=0.5, colour=1.0, view_colour=1.0, grey=0.5, noise=0.1)
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


def test_an_empty_batch(batch):
    empty = PairBatch(batch.rgba[:0], batch.T_world2cam[:0], batch.K[:0], [])
    assert augment(empty, ALL, generator()).rgba.shape == (0, 2, 4, *SIZE)
