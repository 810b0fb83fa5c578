import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances, Keypoints
from PIL import Image

from kp2seg.data.loading import MappedPictures, TrainingBatches, load_pictures
from kp2seg.data.mapper import (
    PictureAugmentation,
    PoseMapper,
    annotated_instances,
    augment_picture,
    change_picture_colour,
    detected_instances,
    mirrored_order,
    read_picture,
)
from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources.poses import Pose, PoseTable

NAMES = ("top", "left_side", "right_side", "bottom")
SIZE = (6, 8)
NOTHING = PictureAugmentation(flip=0.0)


def annotation(number: int, x: float, **more) -> dict:
    """A box 2 px wide and 3 px high at (x, 1), its points at x, the last one missing."""
    return {
        "id": number,
        "bbox": [x, 1, 2, 3],
        "category_id": 0,
        "keypoints": [x + 0.5, 1.5, 2, x + 0.5, 2.5, 1, x + 1.5, 2.5, 2, 0, 0, 0],
        "segmentation": [[x, 1, x + 2, 1, x + 2, 4, x, 4]],
        **more,
    }


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def record(tmp_path):
    """A picture of 6 x 8 with a red left half, and two people."""
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[:, :4] = (200, 10, 20)
    path = tmp_path / "picture.png"
    Image.fromarray(rgb).save(path)
    return {
        "file_name": str(path),
        "height": 6,
        "width": 8,
        "image_id": 5,
        "annotations": [annotation(31, 1.0), annotation(12, 4.0)],
    }


def test_grey_pictures_of_16_bits_are_not_white(tmp_path):
    deep = np.array([[0, 300, 40000], [65535, 256, 255]], np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(deep).save(path)
    image = read_picture({"file_name": str(path)})
    assert image.dtype == np.uint8
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel], [[0, 1, 156], [255, 1, 0]])
    path = tmp_path / "float.tif"
    Image.fromarray(deep.astype(np.float32)).save(path)
    with pytest.raises(DataError, match=r"float.tif: .*\(its pixels have 32 bits; save it with 8"):
        read_picture({"file_name": str(path)})


def test_a_picture_and_its_people_in_their_order(record):
    mapped = PoseMapper(NAMES)(record)
    assert mapped.keys() == {"file_name", "height", "width", "image_id", "image", "instances"}
    assert mapped["image"].shape == (3, 6, 8)
    assert mapped["image"][:, 0, 0].tolist() == [200, 10, 20]
    people = mapped["instances"]
    assert people.annotation_ids.tolist() == [31, 12]
    first = people.gt_keypoints.tensor[0].tolist()
    # The last point is missing.
    assert first[:3] == [[1.5, 1.5, 2.0], [1.5, 2.5, 1.0], [2.5, 2.5, 2.0]]
    assert first[3][2] == 0
    assert people.gt_boxes.tensor.tolist() == [[1, 1, 3, 4], [4, 1, 6, 4]]
    expected = np.zeros(SIZE, bool)
    expected[1:4, 1:3] = True
    assert np.array_equal(people.gt_masks.tensor[0].numpy(), expected)
    assert "annotations" in record  # the input is as it was


def test_bgr(record):
    assert PoseMapper(NAMES, image_format="BGR")(record)["image"][:, 0, 0].tolist() == [20, 10, 200]
    with pytest.raises(ValueError, match="image_format: expected RGB or BGR, got 'L'"):
        PoseMapper(NAMES, image_format="L")


def test_nobody():
    people = annotated_instances([], SIZE, 4)
    assert people.gt_keypoints.tensor.shape == (0, 4, 3)
    assert people.gt_masks.tensor.shape == (0, 6, 8)
    image, changed = augment_picture(
        torch.zeros(3, 6, 8, dtype=torch.uint8),
        people,
        PictureAugmentation(1.0, 1.0, 0.5, 0.1),
        [0, 2, 1, 3],
        generator(),
    )
    assert image.shape == (3, 6, 8)
    assert len(changed) == 0


def test_poses_of_another_source(record):
    pose = Pose(np.array([[2.0, 1.0], [0, 0], [3, 2], [1, 5]]), np.array([2, 0, 1, 2]), 0.75)
    table = PoseTable({5: [pose]}, None, "")
    people = PoseMapper(NAMES, source=table)(record)["instances"]
    assert people.gt_keypoints.tensor[0, 0].tolist() == [2.5, 1.5, 2.0]
    assert people.gt_keypoints.tensor[0, :, 2].tolist() == [2, 0, 1, 2]
    assert people.pose_scores.tolist() == [0.75]
    assert people.annotation_ids.tolist() == [-1]
    assert not people.has("gt_masks")
    assert len(PoseMapper(NAMES, source=table)({**record, "image_id": 6})["instances"]) == 0
    order = mirrored_order(NAMES)
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    mirrored = augment_picture(image, people, PictureAugmentation(1.0), order, generator())[1]
    assert mirrored.gt_keypoints.tensor[0, 0].tolist() == [8 - 2.5, 1.5, 2.0]
    assert detected_instances([], SIZE, 4).gt_keypoints.tensor.shape == (0, 4, 3)


def test_mirroring_by_hand(record):
    mapped = PoseMapper(NAMES)(record)
    image, people = augment_picture(
        mapped["image"],
        mapped["instances"],
        PictureAugmentation(flip=1.0),
        mirrored_order(NAMES),
        generator(),
    )
    assert image[:, 0, 7].tolist() == [200, 10, 20]
    # Person 31: the left side was at 1.5, the right one at 2.5; each is now the other.
    points = people.gt_keypoints.tensor[0]
    assert points[:3].tolist() == [[6.5, 1.5, 2.0], [5.5, 2.5, 2.0], [6.5, 2.5, 1.0]]
    assert points[3, 2] == 0
    assert people.gt_boxes.tensor.tolist() == [[5, 1, 7, 4], [2, 1, 4, 4]]
    assert torch.equal(people.gt_masks.tensor, mapped["instances"].gt_masks.tensor.flip(-1))
    assert people.annotation_ids.tolist() == [31, 12]
    twice = augment_picture(
        image, people, PictureAugmentation(flip=1.0), mirrored_order(NAMES), generator()
    )
    assert torch.equal(twice[0], mapped["image"])
    before = mapped["instances"].gt_keypoints.tensor
    assert torch.equal(twice[1].gt_keypoints.tensor[:, :3], before[:, :3])


def test_mirrored_order():
    assert mirrored_order(NAMES) == [0, 2, 1, 3]
    assert mirrored_order(("hook", "seat")) == [0, 1]


def test_colours_change_the_picture_alone(record):
    mapped = PoseMapper(NAMES)(record)
    config = PictureAugmentation(flip=0.0, colour=1.0)
    image, people = augment_picture(
        mapped["image"], mapped["instances"], config, mirrored_order(NAMES), generator(1)
    )
    assert image.dtype == torch.uint8
    assert not torch.equal(image, mapped["image"])
    before = mapped["instances"]
    assert torch.equal(people.gt_masks.tensor, before.gt_masks.tensor)
    assert torch.equal(people.gt_keypoints.tensor, before.gt_keypoints.tensor)
    none = change_picture_colour(mapped["image"], 0.0, generator())
    assert torch.equal(none, mapped["image"])


def people_of(points: torch.Tensor) -> Instances:
    h, w = 60, 80
    masks = BitMasks(torch.zeros(len(points), h, w, dtype=torch.bool))
    boxes = Boxes(torch.zeros(len(points), 4))
    return Instances((h, w), gt_keypoints=Keypoints(points), gt_masks=masks, gt_boxes=boxes)


def test_dropped_points_are_missing_in_the_share_asked_for():
    points = torch.tensor([20.0, 30.0, 2.0]).expand(200, 17, 3)
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    config = PictureAugmentation(flip=0.0, drop_points=0.25)
    people = augment_picture(image, people_of(points), config, range(17), generator())[1]
    changed = people.gt_keypoints.tensor
    lost = changed[..., 2] == 0
    assert 0.22 < lost.float().mean() < 0.28
    assert (changed[lost] == 0).all()
    assert torch.equal(changed[~lost], points[~lost])


def test_moved_points_by_the_pose_s_extent():
    points = torch.zeros(500, 3, 3)
    points[:, 1] = torch.tensor([20.0, 10.0, 2.0])
    points[:, 0, 2] = 2
    points[:, 2] = torch.tensor([float("nan"), float("nan"), 0.0])
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    config = PictureAugmentation(flip=0.0, move_points=0.1)
    people = augment_picture(image, people_of(points), config, range(3), generator())[1]
    moved = people.gt_keypoints.tensor[:, :2, :2] - points[:, :2, :2]
    assert moved.std().item() == pytest.approx(0.1 * 20, rel=0.1)  # the missing one is no extent
    assert torch.equal(people.gt_keypoints.tensor[..., 2], points[..., 2])


# --- files


def test_grey_and_transparent_pictures(record, tmp_path):
    grey = Image.fromarray(np.full(SIZE, 77, np.uint8))
    for name, picture in (
        ("grey.png", grey),
        ("grey.jpg", grey),
        ("rgba.png", Image.new("RGBA", (8, 6), (77, 77, 77, 9))),
        ("palette.png", grey.convert("P")),
        ("la.png", grey.convert("LA")),
    ):
        picture.save(tmp_path / name)
        image = PoseMapper(NAMES)({**record, "file_name": str(tmp_path / name)})["image"]
        assert (image == 77).all(), name


def test_a_picture_is_turned_as_its_exif_tag_says(record, tmp_path):
    stored = np.zeros((8, 6, 3), np.uint8)
    stored[0] = 255  # the upper row; turned clockwise by 90 degrees it is the right column
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(stored).save(path, exif=exif)
    image = PoseMapper(NAMES)({**record, "file_name": str(path)})["image"]
    assert image.shape == (3, 6, 8)
    assert (image[:, :, -1] == 255).all()
    assert (image[:, :, :-1] == 0).all()


def test_pictures_that_cannot_be_used(record, tmp_path):
    with pytest.raises(DataError, match=r"nowhere.png: the picture cannot be read \(No such file"):
        read_picture({"file_name": str(tmp_path / "nowhere.png")})
    cut = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"cut.png: the picture cannot be read"):
        PoseMapper(NAMES)({**record, "file_name": str(cut), "height": 60, "width": 80})
    with pytest.raises(DataError, match=r"picture.png: the picture is 6 x 8, annotated as 8 x 6"):
        PoseMapper(NAMES)({**record, "height": 8, "width": 6})


# --- the order of training


STRONG = PictureAugmentation(flip=0.5, colour=1.0, drop_points=0.3, move_points=0.1)


def same(first: dict, second: dict) -> bool:
    points = [row["instances"].gt_keypoints.tensor for row in (first, second)]
    return torch.equal(first["image"], second["image"]) and torch.equal(*points)


def test_augmentation_is_a_function_of_seed_picture_and_epoch(record):
    mapper = PoseMapper(NAMES, augmentation=STRONG, seed=1)
    first = mapper({**record, "epoch": 2})
    mapper({**record, "epoch": 7})
    assert same(first, PoseMapper(NAMES, augmentation=STRONG, seed=1)({**record, "epoch": 2}))
    assert same(mapper({**record, "image_id": -4, "epoch": 2}) | {"image_id": 5}, first) is False
    assert not same(first, mapper({**record, "epoch": 3}))
    assert not same(first, PoseMapper(NAMES, augmentation=STRONG, seed=2)({**record, "epoch": 2}))


def test_without_an_epoch_every_look_is_another(record):
    mapper = PoseMapper(NAMES, augmentation=STRONG)
    assert not same(mapper(record), mapper(record))


def joined(batches) -> list:
    return [key for batch in batches for key in batch]


def take(batches, n: int) -> list:
    return [batch for batch, _ in zip(batches, range(n), strict=False)]


def test_every_epoch_has_every_picture_once():
    keys = joined(take(TrainingBatches(5, 2, seed=3), 10))
    assert len(keys) == 20
    epochs = [[index for index, of in keys if of == epoch] for epoch in range(4)]
    assert [sorted(order) for order in epochs] == [[0, 1, 2, 3, 4]] * 4
    assert len({tuple(order) for order in epochs}) > 1
    assert keys != joined(take(TrainingBatches(5, 2, seed=4), 10))


def test_a_later_first_step_goes_on():
    whole = take(TrainingBatches(5, 4, seed=3), 9)
    for step in (1, 5):
        assert take(TrainingBatches(5, 4, seed=3, first_step=step), 9 - step) == whole[step:]


def test_processes_share_a_step():
    whole = take(TrainingBatches(7, 4), 6)
    parts = [take(TrainingBatches(7, 4, rank=rank, world_size=2), 6) for rank in (0, 1)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
    with pytest.raises(ValueError, match=r"expected a multiple of the 3 processes, got 4"):
        TrainingBatches(7, 4, world_size=3)
    with pytest.raises(ValueError, match="expected at least one picture, got none"):
        TrainingBatches(0, 4)


@pytest.mark.slow
def test_a_loading_process_changes_nothing(record):
    records = [{**record, "image_id": number} for number in range(3)]
    mapper = PoseMapper(NAMES, augmentation=STRONG, seed=1)
    assert len(MappedPictures(records, mapper)) == 3
    alone, other = (
        take(load_pictures(records, mapper, TrainingBatches(3, 2), workers=workers), 3)
        for workers in (0, 1)
    )
    for first, second in zip(joined(alone), joined(other), strict=True):
        assert first["image_id"] == second["image_id"]
        assert same(first, second)
