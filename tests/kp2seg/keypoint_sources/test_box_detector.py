import pickle

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import nn

from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources import box_detector, zoo_networks
from kp2seg.keypoint_sources.box_detector import BOX_CONFIG, BoxDetector, zoo_class


class Found(nn.Module):
    """Finds the same in every picture: a person and two chairs."""

    def forward(self, pictures):
        (picture,) = pictures
        self.seen = picture
        found = Instances((picture["height"], picture["width"]))
        found.pred_boxes = Boxes(torch.tensor([[1.0, 2, 5, 9], [3, 4, 10, 20], [0, 0, 2, 2]]))
        found.scores = torch.tensor([0.9, 0.6, 0.75])
        found.pred_classes = torch.tensor([0, 56, 56])
        return [{"instances": found}]


def test_boxes_of_its_class_best_first(monkeypatch, tmp_path):
    made = []

    def network(cfg, weights, config, unused):
        made.append((cfg, weights, config))
        return Found()

    monkeypatch.setattr(box_detector, "zoo_network", network)
    detector = BoxDetector(tmp_path, "chair", min_score=0.4, short_side=30, long_side=100)
    cfg, weights, config = made[0]
    assert (weights, config) == (tmp_path, BOX_CONFIG)
    assert (cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST, cfg.MODEL.MASK_ON) == (0.4, False)
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[..., 0] = 200  # red
    boxes = detector.detect(picture)
    assert [box.xywh.tolist() for box in boxes] == [[0, 0, 2, 2], [3, 4, 7, 16]]
    assert [box.score for box in boxes] == pytest.approx([0.75, 0.6])
    assert detector.category_id == 62
    seen = detector.model.seen
    assert (seen["image"].shape, seen["height"], seen["width"]) == ((3, 30, 40), 60, 80)
    assert seen["image"][:, 0, 0].tolist() == [0, 0, 200]  # BGR


def test_classes_of_the_zoo():
    assert zoo_class(BOX_CONFIG, "chair") == (56, 62)
    assert zoo_class("COCO-Detection/retinanet_R_50_FPN_3x.yaml", "person") == (0, 1)
    for config, category, message in (
        (BOX_CONFIG, "Chair", r"3x.yaml: has no class 'Chair'; there are person, bicycle"),
        ("mask_rcnn", "chair", "mask_rcnn: no configuration of Detectron2's model zoo"),
    ):
        with pytest.raises(DataError, match=message):
            zoo_class(config, category)


@pytest.mark.slow
def test_a_file_of_the_zoo_is_read_without_its_mask_head(tmp_path):
    torch.manual_seed(0)
    cfg = zoo_networks.zoo_config(BOX_CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    state = zoo_networks.build_model(cfg).state_dict()
    # Untrained, its features would overflow; without a stem they are 0.
    state["backbone.bottom_up.stem.conv1.weight"].zero_()
    arrays = {name: value.numpy() for name, value in state.items() if "pixel" not in name}
    assert any(name.startswith("roi_heads.mask_head.") for name in arrays)
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays}))
    detector = BoxDetector(path, "chair", min_score=0.0, short_side=64, long_side=128)
    assert not detector.model.training
    assert not hasattr(detector.model.roi_heads, "mask_head")
    boxes = detector.detect(np.zeros((60, 80, 3), np.uint8))
    corners = np.array([[*box.xywh[:2], *(box.xywh[:2] + box.xywh[2:])] for box in boxes])
    assert len(boxes) > 0
    assert corners.min() >= 0
    assert (corners <= [80, 60, 80, 60]).all()
    # A Faster R-CNN's file has no such head, and is another network by name only.
    faster = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"
    assert BoxDetector(path, "car", config=faster).category_id == 3
    retina = "COCO-Detection/retinanet_R_50_FPN_3x.yaml"
    with pytest.raises(
        DataError, match=r"model_final.pkl: is no COCO-Detection/retinanet\S*: it la"
    ):
        BoxDetector(path, "chair", config=retina)
