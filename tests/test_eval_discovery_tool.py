import json

import cv2
import numpy as np
import pytest
import torch

from keypointnet.checkpoints import build_model, save_checkpoint
from keypointnet.config import load_config


@pytest.fixture
def tool(load_tool):
    return load_tool("eval_discovery")


@pytest.fixture
def words(tmp_path):
    """A small network, and a picture with a box and its mask."""
    torch.manual_seed(1)
    small = ["model.num_keypoints=5", "model.channels=8", "model.orientation_channels=4"]
    config = load_config(None, [*small, "data.image_size=16"])
    net = tmp_path / "net.safetensors"
    save_checkpoint(net, {"model": build_model(config).state_dict()}, step=0, config=config)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((60, 80, 3), 90, np.uint8))
    row = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 40, 30], "iscrowd": 0}
    row["segmentation"] = [[10, 10, 50, 10, 50, 40, 10, 40]]
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": 60, "width": 80}],
        "annotations": [row],
        "categories": [{"id": 3, "name": "chair"}],
    }
    (tmp_path / "data.json").write_text(json.dumps(coco))
    return [str(net), str(tmp_path / "data.json"), "--device", "cpu"]


def test_a_table_and_a_file(tool, words, tmp_path, capsys):
    out = tmp_path / "quality.json"
    tool.main([*words, "--out", str(out), "--min-confidence", "0", "--min-on-object", "0"])
    quality = json.loads(out.read_text())
    # Untrained, all points are in the middle, which is in the mask.
    assert (quality["objects"], quality["points"], quality["inside"]) == (1, 5.0, 1.0)
    assert max(quality["flip"], quality["turn"]) < 0.01
    printed = capsys.readouterr().out
    assert "of these in the true mask           100.0 %" in printed
    assert "turned by 15 degrees                0." in printed


def test_without_a_point_that_counts_the_share_in_the_masks_is_unknown(
    tool, words, tmp_path, capsys
):
    out = tmp_path / "quality.json"
    tool.main([words[0], "--min-confidence", "1", "--out", str(out), *words[1:]])
    quality = json.loads(out.read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    assert (quality["points"], quality["inside"]) == (0.0, None)
    assert "of these in the true mask           –" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^eval_discovery: \S+data.json\S*: "):
        tool.main([*words, "--out", f"{words[1]}/quality.json"])
    assert "points that count" in capsys.readouterr().out  # the figures are not lost


def test_mistakes_end_with_one_line(tool, words):
    for change, message in (
        (["--category", "car"], "has no class 'car'; there are chair"),
        (["--context", "0"], "context: expected at least 1"),
        (["--model", "chair-64"], "expected DATASET"),
    ):
        with pytest.raises(SystemExit, match=rf"^eval_discovery: [^\n]*{message}[^\n]*$"):
            tool.main([*words, *change])
    with pytest.raises(SystemExit, match=r"^eval_discovery: expected CHECKPOINT DATASET, or --mod"):
        tool.main(words[1:])
