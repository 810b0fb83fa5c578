import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Instances, Keypoints, PolygonMasks

from kp2seg.modeling.people import gather_masks, gather_people

CPU = torch.device("cpu")


def picture(size, **fields):
    return {"image": torch.zeros(3, *size), "instances": Instances(size, **fields)}


def test_people_of_several_pictures_in_order():
    first = torch.tensor([[[1.5, 2.5, 2.0], [3.5, 4.5, 1.0]], [[5.0, 6.0, 0.0], [7.0, 8.0, 2.0]]])
    second = torch.tensor([[[9.0, 10.0, 2.0], [torch.nan, torch.nan, 0.0]]])
    inputs = [
        picture((20, 30), gt_keypoints=Keypoints(first)),
        {"image": torch.zeros(3, 5, 6)},
        picture((40, 10), gt_keypoints=second),
        picture((7, 7)),
    ]
    people = gather_people(inputs, 2, CPU)
    assert len(people) == 3
    torch.testing.assert_close(people.kpts_img[:2], first[..., :2])
    assert people.kpts_img[2, 1].isnan().all()
    assert people.visibility.tolist() == [[2, 1], [0, 2], [2, 0]]
    assert people.image_index.tolist() == [0, 0, 2]
    assert people.row.tolist() == [0, 1, 0]
    assert people.image_sizes == [(20, 30), (5, 6), (40, 10), (7, 7)]
    assert people.source_sizes().tolist() == [[20, 30], [20, 30], [40, 10]]


def test_some_people():
    points = torch.arange(12.0).view(2, 2, 3).clamp(max=2)
    people = gather_people([picture((4, 6), gt_keypoints=points)] * 2, 2, CPU)
    some = people.take(torch.tensor([3, 0]))
    assert some.image_index.tolist() == [1, 0]
    assert some.row.tolist() == [1, 0]
    torch.testing.assert_close(some.kpts_img, people.kpts_img[[3, 0]])
    assert some.source_sizes().tolist() == [[4, 6], [4, 6]]
    assert len(people.take(torch.zeros(0, dtype=torch.long))) == 0


def test_a_detectors_confidence_is_no_visibility():
    points = torch.tensor([[[1.0, 2.0, 0.05], [3.0, 4.0, 0.0], [5.0, 6.0, 7.3]]])
    people = gather_people([picture((9, 9), pred_keypoints=points)], 3, CPU)
    assert people.visibility.tolist() == [[2, 0, 2]]
    # True keypoints come first where both are there.
    both = picture((9, 9), pred_keypoints=points, gt_keypoints=points.clamp(max=1))
    assert gather_people([both], 3, CPU).visibility.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("inputs", [[], [picture((4, 6))], [{"image": torch.zeros(3, 4, 6)}]])
def test_nobody(inputs):
    people = gather_people(inputs, 5, CPU)
    assert people.kpts_img.shape == (0, 5, 2)
    assert people.visibility.shape == (0, 5)
    assert people.visibility.dtype == torch.long
    assert people.source_sizes().shape == (0, 2)


def test_keypoints_without_visibility_are_refused():
    one = dict(picture((9, 9), gt_keypoints=torch.ones(1, 3, 2)), file_name="a.png")
    with pytest.raises(ValueError, match=r"a.png: expected gt_keypoints \(p, 3, 3\).*\(1, 3, 2\)"):
        gather_people([one], 3, CPU)
    nameless = dict(picture((9, 9), scores=torch.ones(1)), image_id=12)
    with pytest.raises(ValueError, match="image 12: its instances have none of the fields"):
        gather_people([nameless], 3, CPU)


def test_bit_masks_of_some_people():
    masks = torch.rand(3, 4, 6) > 0.5
    inputs = [picture((1, 1)), picture((4, 6), gt_masks=BitMasks(masks))]
    chosen = gather_masks(inputs, 1, torch.tensor([2, 0]))
    assert chosen.dtype == torch.bool
    assert torch.equal(chosen, masks[[2, 0]])


def test_polygons_are_drawn():
    polygons = PolygonMasks(
        [
            [np.array([1.0, 1, 4, 1, 4, 3, 1, 3])],
            [np.array([0.0, 0, 2, 0, 2, 2, 0, 2]), np.array([4.0, 2, 6, 2, 6, 4, 4, 4])],
        ]
    )
    inputs = [picture((4, 6), gt_masks=polygons)]
    second, first = gather_masks(inputs, 0, torch.tensor([1, 0]))
    expected = torch.zeros(2, 4, 6, dtype=torch.bool)
    expected[0, 1:3, 1:4] = True
    expected[1, :2, :2] = True
    expected[1, 2:, 4:] = True
    assert torch.equal(torch.stack([first, second]), expected)
    assert gather_masks(inputs, 0, torch.zeros(0, dtype=torch.long)).shape == (0, 4, 6)


def test_masks_of_another_kind_or_none_are_refused():
    with pytest.raises(ValueError, match="expected BitMasks or PolygonMasks, got Tensor"):
        gather_masks([picture((4, 6), gt_masks=torch.ones(1, 4, 6))], 0, torch.tensor([0]))
    with pytest.raises(ValueError, match="0: training needs the field gt_masks"):
        gather_masks([picture((4, 6))], 0, torch.tensor([0]))
