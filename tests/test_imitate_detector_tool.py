"""tools/imitate_detector.py."""

from __future__ import annotations

import json

import pytest

from kp2seg.keypoint_sources.layouts import COCO_JOINTS
from kp2seg.keypoint_sources.results import read_results


@pytest.fixture
def annotations(tmp_path):
    keypoints = [number for k in range(17) for number in (10.0 + 5 * k, 20.0 + 3 * k, 2)]
    row = {"id": 4, "image_id": 9, "category_id": 1, "iscrowd": 0, "area": 4000.0,
           "bbox": [5, 5, 90, 80], "segmentation": [[5, 5, 95, 5, 95, 85, 5, 85]],
           "num_keypoints": 17, "keypoints": keypoints}  # fmt: skip
    coco = {
        "images": [{"id": 9, "file_name": "9.jpg", "height": 100, "width": 100}],
        "annotations": [row],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_JOINTS)}],
    }
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(coco))
    return file


def test_what_it_writes_is_read_as_a_detectors_file(load_tool, annotations, tmp_path, capsys):
    out = tmp_path / "found.json"
    load_tool("imitate_detector").main([str(annotations), str(out), "--miss", "0"])
    assert "1 of 1 people" in capsys.readouterr().out
    images = json.loads(annotations.read_text())["images"]
    (pose,) = read_results(out, images).poses(9)
    assert pose.n_points() > 10
    assert 0.4 < pose.score < 0.9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.json", "b.json", "--swap", "2"], "swap must be at least 0 and at most 1, got 2"),
        (["a.json", "a.json"], "would be replaced by the result"),
        (["gone.json", "b.json"], "gone.json"),
    ],
)
def test_mistakes_end_with_one_line(load_tool, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=rf"^imitate_detector: .*{message}"):
        load_tool("imitate_detector").main(words)
