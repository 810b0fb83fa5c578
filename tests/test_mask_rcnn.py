"""Detectron2's Mask R-CNN through the same tools as our masks, to be compared with them."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.modeling.mask_rcnn import build_mask_rcnn

tiny = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))["tiny"]
DETECTOR = """
from kp2seg.modeling.mask_rcnn import build_mask_rcnn

model = L(build_mask_rcnn)(
    name="test_efficientnet", channels=8, fc_dim=8, rois=16, proposals=20, pretrained=False
)
"""


@pytest.fixture
def detector(tiny):
    words = tiny("train.steps=2", "train.eval_every=2")
    file = Path(words[1])
    file.write_text(file.read_text() + DETECTOR)
    return words


def test_it_is_trained_and_scored_as_our_masks_are(load_tool, detector, tmp_path, capsys):
    load_tool("train_seg").main(detector)
    assert "cocopersons_val/quality/AP " in capsys.readouterr().out
    weights = tmp_path / "run/checkpoints/last.safetensors"
    assert read_seg_checkpoint(weights).step == 2
    assert not (tmp_path / "run/pictures").exists()
    tool = load_tool("eval_seg")
    tool.main([str(weights), "--device", "cpu"])
    assert "| ours, a detector, quality score |" in capsys.readouterr().out
    document = json.loads((tmp_path / "run/evaluation/cocopersons_val.json").read_text())
    assert (document["keypoints"], document["matched"]) == ("a detector", 0)
    demo = load_tool("demo")
    picture = next((tmp_path / "data/coco/val2017").iterdir())
    with pytest.raises(SystemExit, match=r"^demo: .*: a detector, which takes no keypoints"):
        demo.main([str(picture), "--weights", str(weights), "--keypoints", "k.json"])


def test_it_learns_a_class_of_plain_annotations(load_tool, detector, tmp_path, capsys):
    folder = tmp_path / "data/coco"
    for split in ("train", "val"):
        coco = json.loads((folder / f"annotations/person_keypoints_{split}2017.json").read_text())
        for row in coco["annotations"]:
            row.pop("keypoints")
            row["category_id"] = 62
        coco["categories"] = [{"id": 62, "name": "chair"}, {"id": 67, "name": "table"}]
        coco["annotations"].append({**coco["annotations"][0], "id": 99, "category_id": 67})
        (tmp_path / f"{split}.json").write_text(json.dumps(coco))
    file = Path(detector[1])
    file.write_text(file.read_text() + 'data["category"] = "chair"\n')
    sets = [f"data.train={tmp_path}/train.json@{folder}/train2017"]
    sets += [f"data.test=[{tmp_path}/val.json@{folder}/val2017]"]
    load_tool("train_seg").main([*detector, *sets])
    assert "val/quality/AP " in capsys.readouterr().out
    weights = tmp_path / "run/checkpoints/last.safetensors"
    words = [str(weights), "--dataset", f"{tmp_path}/val.json@{folder}/val2017", "--device", "cpu"]
    tool = load_tool("eval_seg")
    tool.main([*words, "--category", "chair"])
    assert "| ours, a detector, quality score |" in capsys.readouterr().out
    document = json.loads((tmp_path / "run/evaluation/val-chair.json").read_text())
    assert document["missing"] == 3
    with pytest.raises(SystemExit, match=r"^eval_seg: --detections: \S* is a detector, which fin"):
        tool.main([*words, "--category", "chair", "--detections", "x"])


def test_its_pyramid_stands_on_the_named_network():
    model = build_mask_rcnn("test_efficientnet", channels=8, fc_dim=8, pretrained=False).eval()
    shapes = model.backbone.output_shape()
    assert [(name, shape.stride) for name, shape in shapes.items()] == [
        (f"p{level}", 2**level) for level in range(2, 7)
    ]
    assert {shape.channels for shape in shapes.values()} == {8}
    assert model.roi_heads.mask_head(torch.zeros(0, 8, 14, 14), []) == []
    assert model.roi_heads.num_classes == 1
    with pytest.raises(ValueError, match="timm has no network 'lite0'"):
        build_mask_rcnn("lite0")
