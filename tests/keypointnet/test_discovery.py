import math

import pytest
import torch

from keypointnet.discovery import (
    MAX_PAIR_DISTANCE,
    Discovered,
    connect,
    discover,
    join,
    keypoint_names,
    left_right_pairs,
    points_in_camera,
    right_shares,
    split,
)
from keypointnet.geometry import project
from keypointnet.model import KeypointNet

PARTNERS = [3, 4, 2, 0, 1]


def symmetric_finds(n=31, noise=0.01):
    """Five points, 0 and 3, 1 and 4 of which are pairs, of objects that are turned at random."""
    uv = torch.rand(n, 5, 2) - 0.5
    mirrored = uv[:, PARTNERS] + noise * torch.randn(n, 5, 2)
    axis = torch.zeros(n, 2, 2)
    axis[:, 0, 0] = torch.where(torch.rand(n) > 0.5, 0.5, -0.5)
    axis[:, 1, 0] = -axis[:, 0, 0]
    # 3 and 1 are on the side of (+1, 0, 0), their own objects' right.
    for right, left in ((3, 0), (1, 4)):
        uv[:, right, 0], uv[:, left, 0] = axis[:, 0, 0] * 0.6, axis[:, 1, 0] * 0.6
        mirrored[:, left, 0], mirrored[:, right, 0] = uv[:, right, 0], uv[:, left, 0]
    uvz = torch.cat([uv, torch.full((n, 5, 1), 30.0)], dim=-1)
    return Discovered(uvz, torch.ones(n, 5), torch.ones(n, 5), mirrored, axis)


def test_pairs_are_found_and_their_sides():
    found = symmetric_finds()
    assert left_right_pairs(found) == [(0, 3), (4, 1)]
    # A third of the views being wrong changes nothing.
    wrong = found.mirrored_uv.clone()
    wrong[::3] = torch.rand(len(wrong[::3]), 5, 2)
    assert left_right_pairs(found._replace(mirrored_uv=wrong)) == [(0, 3), (4, 1)]
    # Nobody says which side is which: the first pair's lower number is called left, and the other
    # pair's left is on the same side.
    assert left_right_pairs(found._replace(axis_uv=None)) == [(0, 3), (4, 1)]


def test_what_is_far_apart_is_no_pair_and_sides_have_a_share():
    found = symmetric_finds()
    pairs = left_right_pairs(found)
    assert right_shares(found, pairs) == [1.0, 1.0]
    assert right_shares(found, [(right, left) for left, right in pairs]) == [0.0, 0.0]
    far = found.mirrored_uv.clone()
    far[:, [1, 4], 1] += 2 * MAX_PAIR_DISTANCE
    assert left_right_pairs(found._replace(mirrored_uv=far)) == [(0, 3)]


def test_pairs_need_the_mirrored_crops():
    with pytest.raises(ValueError, match="needs mirrored_uv"):
        left_right_pairs(symmetric_finds()._replace(mirrored_uv=None))


def test_an_object_without_sides_has_no_pairs():
    found = symmetric_finds()
    assert left_right_pairs(found._replace(mirrored_uv=found.uvz[..., :2])) == []


def test_names_tell_the_pairs():
    names = keypoint_names(5, [(0, 3), (4, 1)])
    assert names == ["left_1", "right_2", "middle_1", "right_1", "left_2"]
    assert keypoint_names(2, []) == ["middle_1", "middle_2"]


def test_the_shortest_tree_and_the_pairs_connect():
    X = torch.tensor([[0.0, 0, 0], [3, 0, 0], [1, 0, 0], [2, 0, 0]]).repeat(4, 1, 1)
    X[0] *= 100  # one object gone wrong
    assert connect(X, []) == [(0, 2), (1, 3), (2, 3)]
    assert connect(X, [(1, 0)]) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert connect(X[:, :1], []) == []
    assert connect(torch.zeros(2, 3, 3), []) != []  # points that coincide are connected, too


@pytest.fixture
def model():
    return KeypointNet(4, channels=8, orientation_channels=4, downsample=2).eval()


def test_what_is_found(model):
    crops = torch.rand(3, 3, 16, 16)
    objects = torch.ones(3, 16, 16)
    objects[1], objects[2, :, 8:] = 0, 0
    found = discover(model, crops, objects, mirrored=True)
    plain = model(crops, return_prob=True)
    torch.testing.assert_close(found.uvz, plain.uvz)
    torch.testing.assert_close(found.confidence, plain.confidence)
    torch.testing.assert_close(found.on_object[0], torch.ones(4))
    assert found.on_object[1].tolist() == [0] * 4
    torch.testing.assert_close(found.on_object[2], plain.prob[2, ..., :4].sum((-2, -1)))
    torch.testing.assert_close(found.axis_uv, plain.orientation_uv)
    other = discover(model, crops.flip(-1), objects, mirrored=True)
    torch.testing.assert_close(other.mirrored_uv * torch.tensor([-1.0, 1]), found.uvz[..., :2])
    with pytest.raises(ValueError, match=r"expected objects \(3, 16, 16\).*got \(3, 8, 8\)"):
        discover(model, crops, objects[:, :8, :8])


@pytest.mark.parametrize(("orientation_channels", "mirrored"), [(0, True), (4, True), (4, False)])
def test_results_are_split_and_joined(orientation_channels, mirrored):
    model = KeypointNet(4, channels=8, orientation_channels=orientation_channels).eval()
    crops, objects = torch.rand(3, 3, 8, 8), torch.ones(3, 8, 8)
    found = discover(model, crops, objects, mirrored=mirrored)
    again = join(split(found))
    assert (found.axis_uv is None) == (orientation_channels == 0)
    assert (found.mirrored_uv is None) == (not mirrored)
    assert [len(one.uvz) for one in split(found)] == [1, 1, 1]
    for one, other in zip(found, again, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


def test_points_before_the_camera():
    X = torch.tensor([[[0.5, -0.2, 29.0], [-1.0, 1.0, 31.0]]])
    focal = 1 / math.tan(math.radians(2.5))
    uvz = project(X, torch.diag(torch.tensor([focal, focal, 1.0])))
    torch.testing.assert_close(points_in_camera(uvz, 5.0), X)
