import json

import cv2
import numpy as np
import pytest

NAMES = ["nose", "left_ear", "right_ear"]


@pytest.fixture
def tool(load_tool):
    return load_tool("regress_landmarks")


@pytest.fixture
def files(tmp_path):
    """Train and test: three found points, from which three joints follow, in pictures of noise."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for k in (1, 2):
        noise = rng.integers(0, 99, (60, 80, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"images/{k}.png"), noise)
    for side, count in (("train", 30), ("test", 10)):
        for kind, names in (("found", ["left_1", "right_1", "middle_1"]), ("true", NAMES)):
            rng = np.random.default_rng(count)  # the same for found and true
            rows = []
            for i in range(count):
                points = rng.uniform(10, 50, (3, 2))
                xy = points if kind == "found" else points[::-1]
                flat = np.column_stack([xy, np.full(3, 2)]).ravel().tolist()
                rows.append({"id": i + 1, "image_id": 1 + i % 2, "category_id": 1, "iscrowd": 0,
                             "bbox": [10, 10, 40, 40], "keypoints": flat})  # fmt: skip
            coco = {
                "images": [{"id": k, "file_name": f"{k}.png"} for k in (1, 2)],
                "annotations": rows,
                "categories": [
                    {"id": 1, "name": "person", "keypoints": names, "skeleton": [[1, 2]]}
                ],
            }
            (tmp_path / f"{kind}_{side}.json").write_text(json.dumps(coco))
    return [str(tmp_path / f"{kind}_{side}.json") for side in ("train", "test")
            for kind in ("found", "true")]  # fmt: skip


def test_the_map_is_scored_written_and_drawn(tool, files, tmp_path, capsys):
    out, sheets = tmp_path / "results.json", tmp_path / "sheets"
    tool.main([*files, "--out", str(out), "--pictures", str(sheets)])
    printed = capsys.readouterr().out
    assert "10 test objects (0 were not found); fitted to 30 objects" in printed
    assert [line.split()[0] for line in printed.splitlines()[2:6]] == [*NAMES, "all"]
    result = json.loads(out.read_text())
    assert result["scores"]["all"]["pck"] == 1
    assert result["scores"]["all"]["error"] < 1e-4
    assert result["trivial"]["all"]["error"] > 0.2
    picture = cv2.imread(str(sheets / "joints.png"))
    assert picture.shape[1] > 8 * 192


def test_points_of_the_same_names_need_no_map(tool, files, tmp_path, capsys):
    out = tmp_path / "results.json"
    tool.main(["--direct", files[3], files[3], "--out", str(out)])
    assert "mean: PCK" not in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["scores"]["all"] == {"objects": 30, "found": 1.0, "pck": 1.0, "error": 0.0}
    assert result["trivial"] is None


def test_mistakes_end_with_one_line(tool, files, tmp_path):
    for words, message in (
        (files[:3], "expected FOUND_TRAIN TRUE_TRAIN FOUND_TEST TRUE_TEST; got"),
        (["--direct", *files], "expected FOUND_TEST TRUE_TEST; got"),
        (["--direct", *files[2:]], "has no point nose"),
        ([files[0], files[1], files[1], files[3]], "--like FOUND_TRAIN"),
        ([files[0], files[0], files[2], files[3]], "both are to be annotated alike"),
        ([*files[:3], str(tmp_path / "gone.json")], "gone.json"),
        ([*files, "--out", files[0]], "would be replaced by the result"),
        ([*files, "--pictures", str(tmp_path / "p"), "--images", str(tmp_path)], "1.png"),
    ):
        with pytest.raises(SystemExit) as stop:
            tool.main(words)
        assert str(stop.value).startswith("regress_landmarks: ")
        assert message in str(stop.value), words
        assert "\n" not in str(stop.value)
