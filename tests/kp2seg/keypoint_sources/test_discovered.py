import numpy as np
import pytest
import torch

from keypointnet.checkpoints import build_model
from keypointnet.config import load_config
from keypointnet.discovery import Discovered
from keypointnet.geometry import pixels_to_normalised
from kp2seg.keypoint_sources.discovered import (
    Crops,
    Finding,
    crop_matrices,
    cut_objects,
    find_keypoints,
    join_crops,
    poses_in_picture,
)


def test_many_objects_are_seen_a_few_at_once():
    small = ["model.num_keypoints=3", "model.channels=4", "model.orientation_channels=4"]
    model = build_model(load_config(None, [*small, "data.image_size=16"])).eval()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (7, 16, 16, 3)).astype(np.uint8)
    crops = Crops(pictures, np.ones((7, 16, 16), np.float32))
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    whole = find_keypoints(model, crops, mirrored=True)
    assert seen == [7, 7]
    parts = find_keypoints(model, crops, mirrored=True, batch=3)
    assert seen[2:] == [3, 3, 3, 3, 1, 1]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    nothing = Crops(pictures[:0], crops.objects[:0])
    assert find_keypoints(model, nothing).uvz.shape == (0, 3, 3)


def test_a_square_around_the_box_by_hand():
    # A box of 20x10 with its middle at (30, 25): a square of 30 px, its corner at (15, 10).
    (A,) = crop_matrices(np.array([[20.0, 20, 20, 10]]), 60, 1.5)
    np.testing.assert_allclose(A, [[2, 0, -30], [0, 2, -20], [0, 0, 1]])


def test_crops_show_the_objects_and_where_their_boxes_are():
    picture = np.full((40, 60, 3), 50, np.uint8)
    picture[10:20, 30:50] = (200, 100, 0)
    boxes = np.array([[30.0, 10, 20, 10], [-4, 30, 8, 8]])
    crops = cut_objects(picture, boxes, 40, 2.0)
    assert crops.pictures.shape == (2, 40, 40, 3)
    # One px of the crop for one of the picture: the box is in the middle, 20x10.
    expected = np.zeros((40, 40))
    expected[15:25, 10:30] = 1
    np.testing.assert_array_equal(crops.objects[0], expected)
    np.testing.assert_array_equal(crops.pictures[0][15:25, 10:30], picture[10:20, 30:50])
    assert (crops.pictures[0][:5] == 0).all()  # above the picture
    # 2.5 px of the second for one: its left part is outside of the picture.
    assert (crops.pictures[1][:, :19] == 0).all()
    assert (crops.pictures[1][:20, 22:] == 50).all()


def test_a_box_covers_parts_of_pixels():
    crops = cut_objects(np.zeros((9, 9, 3), np.uint8), np.array([[1.0, 1, 3, 1]]), 8, 2.0)
    # 8 px for 6: the box is 4 px wide, 4/3 high, around the middle.
    rows = crops.objects[0].sum(1)
    np.testing.assert_allclose(rows[rows > 0], [4 * 2 / 3] * 2, rtol=1e-6)


def test_nothing_outside_of_the_picture_is_on_an_object():
    # The box's right half is beyond the picture's edge.
    crops = cut_objects(np.zeros((40, 60, 3), np.uint8), np.array([[50.0, 10, 20, 20]]), 40, 2.0)
    expected = np.zeros((40, 40))
    expected[10:30, 10:20] = 1
    np.testing.assert_array_equal(crops.objects[0], expected)


def test_masks_in_place_of_boxes():
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:40] = True
    picture = np.zeros((40, 60, 3), np.uint8)
    (shown,) = cut_objects(picture, np.array([[30.0, 10, 20, 10]]), 40, 2.0, [mask]).objects
    assert (shown[15:25, 10:20] == 1).all()
    assert shown.sum() == 100


def test_points_come_back_to_their_places():
    boxes = np.array([[30.0, 10, 20, 10], [5, 5, 50, 90]])
    A = crop_matrices(boxes, 64, 1.3)
    xy = torch.tensor([[[35.0, 12], [48, 19], [31, 11]], [[10, 20], [30, 90], [50, 6]]]).double()
    in_crop = (torch.from_numpy(A)[:, None, :2, :2] @ xy[..., None])[..., 0]
    in_crop += torch.from_numpy(A)[:, None, :2, 2]
    uv = pixels_to_normalised(in_crop, (64, 64)).float()
    found = Discovered(
        uvz=torch.cat([uv, torch.full((2, 3, 1), 30.0)], dim=-1),
        confidence=torch.tensor([[0.9, 0.2, 0.4], [0.3, 1, 1]]),
        on_object=torch.tensor([[0.9, 0.9, 0.1], [0.5, 1, 0.49]]),
        mirrored_uv=uv,
        axis_uv=None,
    )
    kpts, visibility = poses_in_picture(found, A, 64, Finding(1.3, 0.3, 0.5))
    np.testing.assert_allclose(kpts, xy.numpy() - 0.5, atol=1e-4)
    assert visibility.tolist() == [[2, 0, 0], [2, 2, 0]]


def test_crops_of_several_pictures():
    one = cut_objects(np.zeros((9, 9, 3), np.uint8), np.array([[1.0, 1, 3, 1]]), 8, 2.0)
    both = join_crops([one, one])
    assert both.pictures.shape == (2, 8, 8, 3)
    assert both.objects.shape == (2, 8, 8)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"context": 0.9}, "context: expected at least 1"),
        ({"context": float("nan")}, "context: expected at least 1"),
        ({"min_confidence": 2}, "min_confidence: expected 0 to 1, got 2"),
        ({"min_on_object": -0.1}, "min_on_object: expected 0 to 1"),
    ],
)
def test_settings_that_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        Finding(**values)
