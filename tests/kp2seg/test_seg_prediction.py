import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances, Keypoints
from torch import nn

from kp2seg.data.catalog import dataset_dicts, read_dataset
from kp2seg.data.mapper import PoseMapper
from kp2seg.data.masks import decode
from kp2seg.data.problems import DataError
from kp2seg.drawing import draw_people, mask_sheet
from kp2seg.evaluation.evaluate import evaluate
from kp2seg.prediction import predict_dataset, results_json, to_predictions

tiny = runpy.run_path(str(Path(__file__).parents[1] / "disc_people.py"))["tiny"]


class Oracle(nn.Module):
    """Gives the true masks back, with a quality that falls from person to person."""

    def __init__(self, quality: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.quality = quality
        self.batches: list[int] = []

    def forward(self, batch):
        assert torch.is_inference_mode_enabled()
        self.batches.append(len(batch))
        return [{"instances": self.masks(row["instances"])} for row in batch]

    def masks(self, given: Instances) -> Instances:
        n = len(given)
        found = Instances(given.image_size)
        found.pred_masks = given.gt_masks.tensor
        found.pred_keypoints = given.gt_keypoints.tensor
        found.pred_classes = torch.zeros(n, dtype=torch.long)
        found.pred_boxes = given.gt_boxes
        found.scores = torch.ones(n)
        if self.quality:
            found.mask_quality = 1 - 0.1 * torch.arange(n)
        return found


@pytest.fixture
def data(tiny):
    return read_dataset("cocopersons_train")


@pytest.mark.parametrize("amp", [False, True])
def test_true_masks_score_one(data, amp, capsys):
    model = Oracle()
    rows = predict_dataset(
        model,
        dataset_dicts(data),
        PoseMapper(data.keypoint_names),
        pictures_per_batch=3,
        amp=amp,
        progress=True,
    )
    assert model.batches == [3, 1]
    assert "4/4" in capsys.readouterr().err
    assert [row.image_id for row in rows] == [1, 1, 2, 3, 3, 4]
    assert [row.annotation_id for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.quality for row in rows] == pytest.approx([1, 0.9, 1, 1, 0.9, 1])
    result = evaluate(data.coco, rows)
    assert result.scores["constant"].AP == result.scores["quality"].AP == pytest.approx(1)
    assert (result.iou.mean, result.iou.missing) == (1, 0)


def test_a_data_set_without_pictures():
    assert predict_dataset(Oracle(), [], PoseMapper(["a"])) == []


def test_a_picture_that_vanished_is_named(data, tmp_path):
    (tmp_path / "data/coco/train2017/000000000002.png").unlink()
    with pytest.raises(DataError, match=r"000000000002.png: the picture cannot be read"):
        predict_dataset(Oracle(), dataset_dicts(data), PoseMapper(data.keypoint_names))


def people(n: int = 2) -> Instances:
    given = Instances((4, 6))
    given.pred_masks = torch.zeros(n, 4, 6, dtype=torch.bool)
    given.pred_masks[:, 1:3, 2] = True
    given.pred_classes = torch.zeros(n, dtype=torch.long)
    given.pred_boxes = Boxes(torch.tensor([[2.0, 1.0, 3.0, 3.0]]).expand(n, 4))
    given.pred_keypoints = torch.tensor([[2.5, 1.5, 2.0], [0.0, 0.0, 0.0]]).expand(n, 2, 3)
    given.scores = torch.tensor([0.5, 0.25])[:n]
    return given


def test_classes_are_those_of_the_input():
    given = Instances((4, 6), gt_classes=torch.tensor([1, 0]))
    rows = list(to_predictions(people(), {"image_id": 9, "instances": given}, category_ids=(3, 8)))
    assert [row.category_id for row in rows] == [8, 3]
    assert [row.annotation_id for row in rows] == [None, None]
    assert rows[0].quality is None
    alone = list(to_predictions(people(), {"image_id": 9}, category_ids=(3, 8)))
    assert [row.category_id for row in alone] == [3, 3]
    assert list(to_predictions(people(0), {"image_id": 9})) == []


def test_unknown_annotations_have_no_id():
    given = Instances((4, 6), annotation_ids=torch.tensor([-1, 12]))
    rows = to_predictions(people(), {"image_id": 9, "instances": given})
    assert [row.annotation_id for row in rows] == [None, 12]


def test_results_as_coco_has_them():
    found = people()
    found.mask_quality = torch.tensor([0.75, 0.5])
    first = results_json(found, 9)[0]
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 2] = 1
    assert np.array_equal(decode(first.pop("segmentation")), mask)
    assert first == {
        "image_id": 9,
        "category_id": 1,
        "bbox": [2.0, 1.0, 1.0, 2.0],
        "keypoints": [2.0, 1.0, 2.0, 0.0, 0.0, 0.0],
        "score": 0.5,
        "mask_quality": 0.75,
    }
    assert results_json(people(0), 9) == []


# --- pictures of masks


def test_masks_and_skeletons_are_drawn_where_they_are():
    grey = np.full((40, 60, 3), 100, np.uint8)
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 5:15, 5:15] = masks[1, 20:30, 40:55] = True
    points = np.array([[[30.5, 35.5, 2], [50.5, 35.5, 1], [np.nan, np.nan, 0]]] * 2)
    points[1, :, 2] = 0
    before = grey.copy()
    drawn = draw_people(grey, masks, points, [(0, 1), (1, 2)])
    assert np.array_equal(grey, before)
    # colour 0 is (191, 19, 19): 0.55 · 100 + 0.45 · colour
    assert drawn[10, 10].tolist() == [141, 64, 64]
    assert len({tuple(drawn[10, 10]), tuple(drawn[25, 45]), tuple(drawn[0, 0])}) == 3
    assert (drawn[0, 0] == 100).all()
    assert (drawn[35, 40] != 100).any()  # the limb
    assert (drawn[35, 20] == 100).all()
    assert np.array_equal(draw_people(grey, masks[:0], points[:0], []), grey)


def test_points_far_outside_do_no_harm():
    points = np.array([[[1e30, -1e30, 2.0], [5, 5, 2]]])
    grey = np.full((40, 60, 3), 100, np.uint8)
    assert draw_people(grey, np.zeros((1, 40, 60), bool), points, [(0, 1)]).shape == (40, 60, 3)


def test_what_does_not_belong_together_is_refused():
    grey = np.zeros((40, 60, 3), np.uint8)
    with pytest.raises(ValueError, match=r"draw_people: masks \(1, 60, 40\) and keypoints"):
        draw_people(grey, np.zeros((1, 60, 40), bool), np.zeros((1, 3, 3)), [])
    with pytest.raises(ValueError, match=r"expected \(P, h, w\), \(P, K, 3\) and \(h, w, 3\)"):
        draw_people(grey, np.zeros((1, 40, 60), bool), np.zeros((2, 3, 3)), [])


def test_a_contact_sheet_of_people(data):
    mapper = PoseMapper(data.keypoint_names)
    pictures = [mapper(record) for record in dataset_dicts(data)]
    sheet = mask_sheet(Oracle(), pictures, [(5, 6)], people=5)
    assert sheet.shape == (2 * 196 + 4, 4 * 196 + 4, 3)
    # The first tile: the ground in its corner, left of its middle the disc, (250, 80, 60), with
    # 0.45 of colour 0, (191, 19, 19), over it.
    assert sheet[4 + 5, 4 + 5].tolist() == [90, 90, 90]
    assert sheet[4 + 96, 4 + 20].tolist() == pytest.approx([223, 53, 42], abs=1)
    nobody = pictures[0] | {"instances": pictures[0]["instances"][:0]}
    assert mask_sheet(Oracle(), [nobody], []).shape == (200, 200, 3)
    assert mask_sheet(Oracle(), [], []).shape == (200, 200, 3)
    pointless = pictures[1]["instances"]
    pointless.gt_keypoints = Keypoints(torch.zeros(1, 17, 3))
    assert mask_sheet(Oracle(), [pictures[1]], []).shape == (200, 200, 3)


def test_sheets_are_pictures_that_can_be_written(data, tmp_path):
    sheet = mask_sheet(Oracle(), [], [])
    assert cv2.imwrite(str(tmp_path / "sheet.png"), sheet)
