"""tools/demo.py with a bundle: boxes in, from a file, by hand or of a detector."""

import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2seg.data.masks import decode
from kp2seg.keypoint_sources.boxes import Box

DISCS = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))
tiny = DISCS["tiny"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("demo")


@pytest.fixture
def bundle(tiny, tmp_path):
    return DISCS["save_bundle"](tiny(), tmp_path / "chair.safetensors")


@pytest.fixture
def pictures(bundle, tmp_path):
    """The discs' pictures: two discs, one, two, one."""
    return sorted((tmp_path / "data/coco/train2017").iterdir())


@pytest.fixture
def run(tool, bundle, tmp_path):
    """Runs the tool; gives the folder of its results."""

    def demo(*words, weights=bundle):
        out = tmp_path / "out"
        tool.main(
            [*map(str, words), "--weights", str(weights), "--device", "cpu", "--out", f"{out}"]
        )
        return out

    return demo


def test_a_file_of_boxes(run, pictures, tmp_path, capsys):
    rows = [
        {"image_id": 1, "category_id": 62, "bbox": [6, 11, 38, 38], "score": 0.75},
        {"image_id": 1, "category_id": 62, "bbox": [37, 9, 38, 38], "score": 1.0},
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1.0},
        {"image_id": 1, "category_id": 62, "bbox": [200, 9, 38, 38], "score": 1.0},
        {"image_id": 1, "category_id": 62, "bbox": [0, 0, 9, 9], "score": 0.3},
    ]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(rows))
    out = run(*pictures[:2], "--boxes", boxes, "--category", "chair")
    printed = capsys.readouterr()
    assert printed.out == f"2 objects cut out; results in {out}\n"
    assert "outside of their pictures, left out: 1" in printed.err
    found = json.loads((out / "000000000001.png.json").read_text())
    assert [(row["image_id"], row["category_id"]) for row in found] == [(1, 62), (1, 62)]
    assert decode(found[0]["segmentation"]).shape == (60, 80)
    assert len(found[0]["keypoints"]) == 3 * 17
    # The keypoints are in the square around the box.
    points = np.reshape(found[0]["keypoints"], (17, 3))
    assert points[:, 2].tolist() == [2] * 17
    assert np.abs(points[:, :2] - [25, 30]).max() < 1.3 * 38 / 2 + 1
    assert found[0]["score"] == pytest.approx(0.75 * found[0]["mask_quality"])
    before, drawn = cv2.imread(str(pictures[0])), cv2.imread(str(out / pictures[0].name))
    assert not np.array_equal(before, drawn)
    # No box is of this picture.
    assert json.loads((out / "000000000002.png.json").read_text()) == []
    with pytest.raises(SystemExit, match=r"^demo: \S*boxes.json: has boxes of several classes, 1,"):
        run(pictures[0], "--boxes", boxes)


def test_annotated_boxes(run, pictures, tmp_path):
    file = tmp_path / "data/coco/annotations/person_keypoints_train2017.json"
    out = run(pictures[2], "--boxes", file)
    found = json.loads((out / "000000000003.png.json").read_text())
    assert [row["category_id"] for row in found] == [1, 1]


def test_the_class_of_the_bundle_is_taken_of_several(run, pictures, tiny, tmp_path):
    file = tmp_path / "data/coco/annotations/person_keypoints_train2017.json"
    coco = json.loads(file.read_text())
    coco["categories"].append({"id": 9, "name": "ball"})
    coco["annotations"][0]["category_id"] = 9
    file.write_text(json.dumps(coco))
    ball = DISCS["save_bundle"](tiny(), tmp_path / "ball.safetensors", {"id": 5, "name": "ball"})
    out = run(pictures[0], "--boxes", file, weights=ball)
    (row,) = json.loads((out / "000000000001.png.json").read_text())
    assert row["category_id"] == 9  # in that file
    out = run(pictures[0], "--boxes", file, pictures[1], "--category", "person", weights=ball)
    assert len(json.loads((out / "000000000001.png.json").read_text())) == 1
    assert len(json.loads((out / "000000000002.png.json").read_text())) == 1


def test_boxes_by_hand(run, pictures, tiny, tmp_path, capsys):
    out = run(pictures[0], "--box", "6,11,38,38", "--box", "37,9,38,38", "--category", "chair")
    found = json.loads((out / "000000000001.png.json").read_text())
    assert [row["category_id"] for row in found] == [62, 62]
    assert [row["score"] for row in found] == [row["mask_quality"] for row in found]
    # A bundle that knows its class needs no name.
    mine = DISCS["save_bundle"](tiny(), tmp_path / "mine.safetensors", {"id": 5, "name": "mine"})
    out = run(pictures[0], "--box", "6,11,38,38", weights=mine)
    assert json.loads((out / "000000000001.png.json").read_text())[0]["category_id"] == 5
    capsys.readouterr()
    out = run(pictures[0], "--box", "90,0,9,9")
    assert capsys.readouterr().out == f"no objects cut out; results in {out}\n"
    with pytest.raises(SystemExit, match=r"^demo: COCO has no class 'sofa'; there are person"):
        run(pictures[0], "--box", "6,11,38,38", "--category", "sofa")


def write_video(path, pictures):
    """The pictures, 80x60, as frames. Returns: path."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for picture in pictures:
        writer.write(cv2.imread(str(picture)))
    writer.release()
    return path


def test_a_video_with_boxes_of_its_frames(run, pictures, tmp_path):
    video = write_video(tmp_path / "walk.avi", pictures[:2])
    boxes = tmp_path / "boxes.json"
    row = {"category_id": 62, "bbox": [6, 11, 38, 38], "score": 1.0}
    boxes.write_text(json.dumps([{"image_id": 0, **row}, {"image_id": "1.jpg", **row}]))
    out = run(video, "--boxes", boxes)
    found = json.loads((out / "walk.mp4.json").read_text())
    assert [row["image_id"] for row in found] == [0, 1]


def test_ctrl_c_stops_all_videos(run, tool, pictures, tmp_path, monkeypatch, capsys):
    videos = [write_video(tmp_path / name, pictures[:3]) for name in ("one.avi", "two.avi")]
    boxes = tmp_path / "boxes.json"
    row = {"category_id": 62, "bbox": [6, 11, 38, 38], "score": 1.0}
    boxes.write_text(json.dumps([{"image_id": k, **row} for k in range(3)]))
    cut = tool.Source.cut

    def stopped(source, rgb, image_id, table):
        if image_id == 2:
            raise KeyboardInterrupt
        return cut(source, rgb, image_id, table)

    monkeypatch.setattr(tool.Source, "cut", stopped)
    out = run(*videos, "--boxes", boxes)
    assert capsys.readouterr().err.count("stopped; what was done so far is kept") == 1
    assert sorted(path.name for path in out.iterdir()) == ["one.mp4", "one.mp4.json"]
    assert len(json.loads((out / "one.mp4.json").read_text())) == 2


def test_a_detector_of_boxes(run, tool, tiny, pictures, tmp_path, monkeypatch):
    asked = []

    class Detector:
        category_id = 62

        def __init__(self, file, category, device, *, min_score, config):
            asked.append((file, category, min_score, config))

        def detect(self, rgb):
            asked.append(rgb.shape)
            return [Box(np.array([6.0, 11, 38, 38]), 0.5)]

    monkeypatch.setattr(tool, "BoxDetector", Detector)
    monkeypatch.setattr(tool, "find_weights", lambda path, config: path)
    monkeypatch.setattr(tool, "zoo_class", lambda config, category: (56, 62))
    out = run(pictures[0], "--detector", "--detector-weights", "zoo.pkl", "--category", "chair")
    mask_rcnn = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    assert asked == [(Path("zoo.pkl"), "chair", 0.5, mask_rcnn), (60, 80, 3)]
    (row,) = json.loads((out / "000000000001.png.json").read_text())
    assert row["category_id"] == 62
    assert row["score"] == pytest.approx(0.5 * row["mask_quality"])
    asked.clear()
    named = {"id": 1, "name": "car"}
    car = DISCS["save_bundle"](tiny(), tmp_path / "car.safetensors", named)
    other = ["--detector-config", "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"]
    run(pictures[0], "--detector", *other, "--min-score", "0.25", weights=car)
    assert asked[0] == (None, "car", 0.25, other[1])


def test_mistakes_end_with_one_line(run, pictures, tmp_path):
    for words, message in (
        ([], "where are the boxes\\? give --boxes FILE, --box X,Y,W,H, or --detector; --help"),
        (
            ["--keypoints", "x"],
            "--keypoints: \\S*chair.safetensors is a bundle, which finds the key",
        ),
        (["--boxes", "x", "--detector"], "where are the boxes\\? give --boxes FILE"),
        (
            ["--boxes", "/nowhere.json"],
            "/nowhere.json: .*No such file .*expected boxes: COCO resul",
        ),
        (["--detector"], "--detector: which class\\? name it with --category"),
        (
            ["--detector", "--category", "sofa"],
            "mask_rcnn\\S*: has no class 'sofa'; there are pers",
        ),
        (
            ["--box", "1,2,3,4", "--detector-config", "x"],
            "--detector-config: is of a bundle's --de",
        ),
        (
            ["--detector", "--category", "chair", "--detector-config", "x.yaml"],
            "x.yaml: no configuration of Detectron2's model zoo",
        ),
        (
            ["--detector", "--category", "chair", "--detector-weights", "/no.pkl"],
            "/no.pkl: no such file of weights; get it from https://\\S*mask_rcnn_R_50",
        ),
    ):
        with pytest.raises(SystemExit, match=rf"^demo: [^\n]*{message}[^\n]*$"):
            run(pictures[0], *words)
    assert not (tmp_path / "out").exists()
