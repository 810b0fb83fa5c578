import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances, Keypoints
from PIL import Image

from kp2seg.data import paste
from kp2seg.data.loading import PackedRecords
from kp2seg.data.mapper import PictureAugmentation, PoseMapper, annotated_instances
from kp2seg.data.paste import cut_out, paste_person, worth_pasting
from kp2seg.keypoint_sources.poses import PoseTable

NAMES = tuple("abcdef")


def annotation(x0: int, y0: int, x1: int, y1: int, number: int = 1) -> dict:
    """A person who fills a box, with keypoints down its middle."""
    xs, ys = np.full(6, (x0 + x1) / 2), np.linspace(y0 + 1.5, y1 - 1.5, 6)
    return {
        "id": number,
        "category_id": 0,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "keypoints": np.column_stack([xs, ys, np.full(6, 2)]).ravel().tolist(),
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
    }


def people(*annotations: dict, size: tuple[int, int] = (100, 120)) -> Instances:
    return annotated_instances(annotations, size, 6)


def drawn(monkeypatch, *numbers: float) -> torch.Generator:
    """What `paste_person` draws: neighbour, size, shift in x and y, behind (< 0.5) or in front."""
    monkeypatch.setattr(paste.torch, "rand", lambda *size, generator: torch.tensor(numbers))
    return torch.Generator()


SAME_SIZE = (0 - np.log(0.6)) / np.log(1.6 / 0.6)
GREY = torch.full((3, 100, 120), 90, dtype=torch.uint8)
DONOR = annotation(0, 0, 20, 40, 7)
DONOR_PICTURE = torch.zeros(3, 40, 20, dtype=torch.uint8)
DONOR_PICTURE[0] = 200


def test_in_front_by_hand(monkeypatch):
    there = people(annotation(40, 30, 60, 70))
    donor = people(DONOR, size=(40, 20))
    # The centre 0.4 of the neighbour's width to the right, and as high.
    generator = drawn(monkeypatch, 0.0, SAME_SIZE, 0.75, 0.5, 0.9)
    image, found = paste_person(GREY, there, DONOR_PICTURE, donor, generator)
    expected = np.zeros((100, 120), bool)
    expected[30:70, 48:68] = True
    first, pasted = found.gt_masks.tensor.numpy()
    assert np.array_equal(pasted, expected)
    assert first.sum() == 8 * 40
    assert not (first & pasted).any()
    assert image[:, 31:69, 49:67].flatten(1).T.unique(dim=0).tolist() == [[200, 0, 0]]
    assert torch.equal(image[:, ~torch.from_numpy(expected)], GREY[:, ~torch.from_numpy(expected)])
    assert found.gt_boxes.tensor[1].tolist() == [48, 30, 68, 70]
    assert found.annotation_ids.tolist() == [1, 7]
    points = found.gt_keypoints.tensor
    # The neighbour's keypoints, at x = 50, are behind; the pasted person's are all to be seen.
    assert points[0, :, 2].tolist() == [1] * 6
    assert points[1, :, 2].tolist() == [2] * 6
    assert torch.equal(points[1, :, 0], torch.full((6,), 58.0))
    assert torch.allclose(points[1, :, 1], donor.gt_keypoints.tensor[0, :, 1] + 30)
    # The input is unchanged.
    assert int(there.gt_masks.tensor.sum()) == 800
    assert (GREY == 90).all()


def test_behind_by_hand(monkeypatch):
    there = people(annotation(40, 30, 60, 70))
    donor = people(DONOR, size=(40, 20))
    generator = drawn(monkeypatch, 0.0, SAME_SIZE, 0.75, 0.5, 0.2)
    image, found = paste_person(GREY, there, DONOR_PICTURE, donor, generator)
    first, pasted = found.gt_masks.tensor.numpy()
    assert first.sum() == 800
    assert (pasted.sum(), pasted[:, 60:68].sum()) == (8 * 40, 8 * 40)
    assert (image[:, 30:70, 40:60] == 90).all()
    assert found.gt_keypoints.tensor[0, :, 2].tolist() == [2] * 6
    assert found.gt_keypoints.tensor[1, :, 2].tolist() == [1] * 6  # at x = 58: hidden


def test_who_is_nearly_covered_goes(monkeypatch):
    donor = people(DONOR, size=(40, 20))
    there = people(annotation(40, 30, 60, 70))
    front = drawn(monkeypatch, 0.0, SAME_SIZE, 0.5, 0.5, 0.9)
    found = paste_person(GREY, there, DONOR_PICTURE, donor, front)[1]
    assert found.annotation_ids.tolist() == [7]
    behind = drawn(monkeypatch, 0.0, SAME_SIZE, 0.5, 0.5, 0.1)
    image, found = paste_person(GREY, there, DONOR_PICTURE, donor, behind)
    assert found.annotation_ids.tolist() == [1]
    assert torch.equal(image, GREY)


def test_an_empty_picture_gets_its_first_person(monkeypatch):
    donor = people(DONOR, size=(40, 20))
    generator = drawn(monkeypatch, 0.9, SAME_SIZE, 0.5, 0.5, 0.1)
    found = paste_person(GREY, people(), DONOR_PICTURE, donor, generator)[1]
    assert found.gt_boxes.tensor.tolist() == [[45, 20, 75, 80]]  # half the picture, 60 px


def test_what_leaves_the_picture_is_no_keypoint(monkeypatch):
    there = people(annotation(100, 60, 120, 100))
    donor = people(DONOR, size=(40, 20))
    generator = drawn(monkeypatch, 0.0, SAME_SIZE, 0.5, 1.0, 0.9)  # 0.4 · 40 px down
    found = paste_person(GREY, there, DONOR_PICTURE, donor, generator)[1]
    pasted = found.gt_keypoints.tensor[-1]
    assert pasted[:, 2].tolist() == [2, 2, 2, 2, 0, 0]
    assert (pasted[4:] == 0).all()
    assert found.gt_boxes.tensor[-1].tolist() == [100, 76, 120, 100]


def test_cut_out():
    person = people(annotation(30, 20, 50, 60))
    picture = torch.arange(100 * 120).view(1, 100, 120).expand(3, -1, -1)
    part, moved = cut_out(picture, person)
    assert torch.equal(part, picture[:, 20:60, 30:50])
    assert moved.gt_masks.tensor.shape == (1, 40, 20)
    assert moved.gt_masks.tensor.all()
    shift = person.gt_keypoints.tensor - moved.gt_keypoints.tensor
    assert shift[0, 0].tolist() == [30, 20, 0]
    assert int(person.gt_masks.tensor.sum()) == 800


def test_who_is_worth_pasting():
    large, small = annotation(0, 0, 20, 60), annotation(0, 0, 20, 30)
    few = annotation(0, 0, 20, 60) | {"keypoints": [1, 1, 2] * 4 + [0, 0, 0] * 2}
    assert worth_pasting([small, large, few]) == [large]


@pytest.fixture
def records(tmp_path):
    """Three pictures of one person each."""
    rows = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((100, 120, 3), 60 * number, np.uint8)).save(path)
        rows.append(
            {
                "file_name": str(path),
                "height": 100,
                "width": 120,
                "image_id": number,
                "annotations": [annotation(40, 10, 80, 90, number)],
            }
        )
    return PackedRecords(rows)


def test_the_mapper_pastes_in_the_mean_number(records):
    config = PictureAugmentation(flip=0.0, paste=1.5)
    mapper = PoseMapper(NAMES, augmentation=config, donors=records)
    seen = [mapper({**records[0], "epoch": epoch}) for epoch in range(40)]
    # One or two more, less those who were covered.
    numbers = [len(row["instances"]) for row in seen]
    assert set(numbers) == {1, 2, 3}
    assert 1.8 < np.mean(numbers) < 2.5
    again = PoseMapper(NAMES, augmentation=config, donors=records)({**records[0], "epoch": 3})
    assert torch.equal(again["image"], seen[3]["image"])
    for row in seen:
        masks = row["instances"].gt_masks.tensor
        assert int(masks.sum(0).max()) == 1
        if len(masks) == 3:  # nobody was left out
            assert (row["image"][:, ~masks.any(0)] == 0).all()
        boxes = BitMasks(masks).get_bounding_boxes()
        assert isinstance(row["instances"].gt_boxes, Boxes)
        assert len(boxes) == len(row["instances"].gt_keypoints)
        assert isinstance(row["instances"].gt_keypoints, Keypoints)


def test_pasting_needs_donors(records):
    config = PictureAugmentation(paste=0.5)
    with pytest.raises(ValueError, match="paste: needs donors"):
        PoseMapper(NAMES, augmentation=config)
    with pytest.raises(ValueError, match="paste: needs donors"):
        PoseMapper(NAMES, augmentation=config, donors=records, source=PoseTable({}, None, ""))
