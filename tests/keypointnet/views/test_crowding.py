import numpy as np
import pytest
import torch

from keypointnet.geometry import normalise_intrinsics, project, transform_points
from keypointnet.heatmaps import cell_centres
from keypointnet.views.augmentation import AugmentationConfig, augment
from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.crowding import MIN_SEEN, around, blobs, moved, neighbours, over
from keypointnet.views.pairs import PairBatch

SIZE = (32, 32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def box_of(alpha: torch.Tensor) -> torch.Tensor:
    """(low u, low v, high u, high v) of a mask (h, w)."""
    h, w = alpha.shape
    ys, xs = torch.nonzero(alpha > 0.5, as_tuple=True)
    edges = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    return (2 * torch.stack(edges).float() - torch.tensor([w, h, w, h])) / max(h, w)


@pytest.fixture
def batch() -> PairBatch:
    """Eight pairs of plain discs, each pair of another colour."""
    T, K_px = sample_cameras(16, np.random.default_rng(0), CameraRange(), SIZE)
    alpha = (cell_centres(SIZE).norm(dim=-1) < 0.6).float().expand(8, 2, 1, *SIZE)
    colour = 0.1 * torch.arange(1, 9).view(8, 1, 1, 1, 1)
    return PairBatch(
        rgba=torch.cat([(alpha * colour).expand(-1, -1, 3, -1, -1), alpha], dim=2),
        T_world2cam=torch.from_numpy(T).float().view(8, 2, 4, 4),
        K=normalise_intrinsics(torch.from_numpy(K_px), SIZE).float().view(8, 2, 3, 3),
        models=list("abcdefgh"),
    )


def test_neighbours_are_of_another_pair_and_to_the_side(batch):
    rgba = neighbours(batch.rgba, generator())
    for pair in range(8):
        for view in range(2):
            colours = rgba[pair, view, 0][rgba[pair, view, 3] > 0.99].unique()
            assert len(colours) > 0
            others = 0.1 * torch.arange(1, 9)
            nearest = (colours[:, None] - others).abs().argmin(1).unique()
            assert len(nearest) == 1
            assert int(nearest) != pair
    weight = rgba[:, :, 3]
    middle = (weight[..., None] * cell_centres(SIZE)).sum((2, 3)) / weight.sum((2, 3))[..., None]
    assert middle.norm(dim=-1).min() > 0.2
    assert (middle[..., 0] > 0).any()
    assert (middle[..., 0] < 0).any()
    assert neighbours(batch.rgba[:1], generator()).shape == (1, 2, 4, *SIZE)


def test_neighbours_stand_before_some_objects_and_behind_others(batch):
    config = AugmentationConfig(neighbours=1.0)
    shown = augment(batch, config, generator()).rgba
    assert torch.equal(shown[:, :, 3:], batch.rgba[:, :, 3:])  # the mask is the whole object's
    inside = batch.rgba[:, :, 3:].bool().expand(-1, -1, 3, -1, -1)
    hidden = ((shown[:, :, :3] != batch.rgba[:, :, :3]) & inside).flatten(2).any(-1)
    assert 0 < hidden.sum() < 16
    beside = ((shown[:, :, :3] > 0) & ~inside).flatten(2).any(-1)
    assert beside.sum() >= 14  # the others' would hide too much


def test_an_object_is_never_hidden_as_good_as_whole(batch, monkeypatch):
    everything = torch.cat([torch.full((8, 2, 3, *SIZE), 0.05), torch.ones(8, 2, 1, *SIZE)], dim=2)
    monkeypatch.setattr("keypointnet.views.crowding.blobs", lambda rgba, generator: everything)
    whole = augment(batch, AugmentationConfig(occluder=1.0), generator()).rgba
    assert torch.equal(whole, batch.rgba)
    everything[..., : SIZE[1] // 2] = 0  # now half of it
    hidden = augment(batch, AugmentationConfig(occluder=1.0), generator()).rgba
    right = batch.rgba[:, :, 3:, :, SIZE[1] // 2 :].bool().expand(-1, -1, 3, -1, -1)
    assert (hidden[:, :, :3, :, SIZE[1] // 2 :][right] == 0.05).all()
    assert 0 < MIN_SEEN < 0.5


def test_blobs_are_at_most_a_third_of_a_picture(batch):
    share = blobs(batch.rgba, generator())[:, :, 3].mean((2, 3))
    assert 0.2 < share.max() <= 0.36
    assert share.min() < 0.1


def test_layers():
    front = torch.tensor([0.5, 0.0, 0.0, 0.5]).view(4, 1, 1)
    back = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1)
    torch.testing.assert_close(over(front, back).flatten(), torch.tensor([0.5, 0.5, 0.0, 1.0]))
    torch.testing.assert_close(over(back, front), back)


@pytest.mark.parametrize("size", [(32, 32), (20, 32), (32, 20)])
def test_what_is_seen_comes_into_the_middle(size):
    seen = torch.zeros(1, 2, 1, *size)
    seen[0, 0, 0, 3:9, 5:17] = 1
    s, t = around(seen, 1.5)
    low_u, low_v, high_u, high_v = box_of(seen[0, 0, 0])
    corners = torch.tensor([[low_u, low_v], [high_u, high_v]])
    after = s[0, 0] * corners + t[0, 0]
    torch.testing.assert_close(after.mean(0), torch.zeros(2), rtol=0, atol=1e-6)
    # The longer side, 12 px, is 1 / 1.5 of the longer side of the picture, which is 2.
    assert (after[1] - after[0]).max().item() == pytest.approx(2 / 1.5)
    assert (s[0, 1].item(), t[0, 1].tolist()) == (1, [0, 0])  # nothing is seen there
    there = box_of(moved(seen, s, t)[0, 0, 0])
    torch.testing.assert_close(there, after.flatten(), rtol=0, atol=2.1 / min(size))


def test_a_view_cut_around_what_is_seen_is_one_of_another_camera(batch):
    config = AugmentationConfig(neighbours=1.0, occluder=1.0, context=1.3)
    cut = augment(batch, config, generator())
    X_world = torch.randn(8, 1, 5, 3).expand(8, 2, 5, 3)
    before, after = (
        project(transform_points(each.T_world2cam, X_world), each.K) for each in (batch, cut)
    )
    scale = cut.K[..., 0, 0] / batch.K[..., 0, 0]
    shift = cut.K[..., :2, 2] - scale[..., None] * batch.K[..., :2, 2]
    expected = scale[..., None, None] * before[..., :2] + shift[..., None, :]
    torch.testing.assert_close(after[..., :2], expected, rtol=1e-4, atol=1e-4)
    assert len({round(value, 3) for value in scale.flatten().tolist()}) > 1
    assert scale.max() > 1.2  # half of it is hidden, the rest is shown larger


def test_the_object_is_where_the_intrinsics_of_a_cut_view_say(batch):
    cut = augment(batch, AugmentationConfig(context=1.3, crop=0.3), generator())
    scale = cut.K[..., 0, 0] / batch.K[..., 0, 0]
    shift = cut.K[..., :2, 2] - scale[..., None] * batch.K[..., :2, 2]
    disc = torch.tensor([-0.6, -0.6, 0.6, 0.6]).view(2, 2)
    there = (scale[..., None, None] * disc + shift[..., None, :]).flatten(2).flatten(0, 1)
    whole = there.abs().amax(-1) < 1
    assert whole.sum() > 4
    found = torch.stack([box_of(alpha) for alpha in cut.rgba[:, :, 3].flatten(0, 1)[whole]])
    torch.testing.assert_close(found, there[whole], rtol=0, atol=2.1 / SIZE[0])


def test_the_background_fills_a_cut_picture(batch):
    config = AugmentationConfig(background=1.0, crop=0.5)
    rgb = augment(batch, config, generator()).rgba[:, :, :3]
    border = torch.cat([rgb[..., 0, :], rgb[..., -1, :], rgb[..., 0], rgb[..., -1]], dim=-1)
    assert (border.amax(2) > 0).float().mean() > 0.95
