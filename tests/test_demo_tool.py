import json
import pickle
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kp2seg.build import build_model
from kp2seg.checkpoints import save_seg_checkpoint
from kp2seg.data.masks import decode
from kp2seg.data.problems import DataError
from kp2seg.keypoint_sources import zoo_networks
from kp2seg.keypoint_sources.keypoint_rcnn import ZOO_CONFIG, KeypointRCNN, detect_poses
from kp2seg.keypoint_sources.picture_poses import read_picture_poses
from kp2seg.keypoint_sources.poses import Pose
from kp2seg.keypoint_sources.results import Choice
from kp2seg.keypoint_sources.zoo_networks import find_weights, read_zoo_file
from kp2seg.lazy_config import config_to_text, load_seg_config

ROOT = Path(__file__).parents[1]
DISCS = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))
tiny = DISCS["tiny"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("demo")


@pytest.fixture
def weights(tiny, tmp_path):
    _, file, *defaults = tiny()
    config = load_seg_config(file, defaults)
    path = tmp_path / "tiny.safetensors"
    state = build_model(config).state_dict()
    save_seg_checkpoint(path, {"model": state}, step=0, config=config_to_text(config))
    return path


@pytest.fixture
def annotations(weights, tmp_path):
    """The annotation file of the discs' pictures, and these."""
    folder = tmp_path / "data/coco"
    pictures = sorted((folder / "train2017").iterdir())
    return folder / "annotations/person_keypoints_train2017.json", pictures


def pose_rows(annotations: Path, **more) -> list[dict]:
    """A results file of annotations."""
    rows = json.loads(annotations.read_text())["annotations"]
    return [
        {"image_id": row["image_id"], "keypoints": row["keypoints"], "score": 0.9, **more}
        for row in rows
    ]


def test_pictures_with_annotations(tool, weights, annotations, tmp_path, capsys):
    file, pictures = annotations
    out = tmp_path / "out"
    words = [*map(str, pictures[:2]), "--weights", str(weights), "--device", "cpu"]
    tool.main([*words, "--keypoints", str(file), "--out", str(out)])
    printed = capsys.readouterr()
    assert printed.out == f"3 people cut out; results in {out}\n"
    assert "cut out: 100%" in printed.err
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"00000000000{n}.png{end}" for n in (1, 2) for end in ("", ".json")]
    before, drawn = cv2.imread(str(pictures[0])), cv2.imread(str(out / pictures[0].name))
    assert before.shape == drawn.shape
    assert not np.array_equal(before, drawn)
    rows = json.loads((out / "000000000001.png.json").read_text())
    assert [row["image_id"] for row in rows] == [1, 1]
    assert decode(rows[0]["segmentation"]).shape == (60, 80)
    expected = json.loads(file.read_text())["annotations"][0]["keypoints"]
    assert rows[0]["keypoints"] == pytest.approx(expected, abs=1e-4)
    assert {"score", "mask_quality", "bbox", "category_id"} <= rows[0].keys()


def test_pictures_with_a_detectors_file(tool, weights, annotations, tmp_path, capsys):
    file, pictures = annotations
    results = tmp_path / "alphapose.json"
    rows = pose_rows(file)
    for row in rows:
        row["image_id"] = f"{row['image_id']:012d}.png"
    rows[0]["score"] = 0.3
    outside = [5000.0, 5000.0, 2.0] * (len(rows[0]["keypoints"]) // 3)
    rows.append({**rows[0], "keypoints": outside, "score": 0.9})
    results.write_text(json.dumps(rows))
    jpeg = tmp_path / "photo.tiff"
    cv2.imwrite(str(jpeg), cv2.imread(str(pictures[1])))
    out = tmp_path / "out"
    words = [str(pictures[0]), str(jpeg), "--weights", str(weights), "--out", str(out)]
    tool.main([*words, "--keypoints", str(results), "--min-score", "0.5", "--device", "cpu"])
    assert len(json.loads((out / "000000000001.png.json").read_text())) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("1 person cut out; ")
    assert "outside of their pictures, left out: 1" in printed.err
    # Nobody in that file is in this picture.
    assert json.loads((out / "photo.tiff.json").read_text()) == []
    assert np.array_equal(cv2.imread(str(out / "photo.tiff.png")), cv2.imread(str(jpeg)))


@pytest.mark.parametrize("form", ["openpose", "alphapose", "coco"])
def test_a_video(tool, weights, annotations, tmp_path, capsys, form):
    file, pictures = annotations
    video = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for picture in pictures[:3]:
        writer.write(cv2.imread(str(picture)))
    writer.release()
    rows = [row for row in pose_rows(file) if row["image_id"] <= 3]
    for row in rows:
        row["image_id"] -= 1  # frames count from 0
    keypoints = tmp_path / "keypoints"
    if form == "openpose":
        keypoints.mkdir()
        for frame in range(3):
            people = [
                {"pose_keypoints_2d": [*row["keypoints"], *[0] * 3]}
                for row in rows
                if row["image_id"] == frame
            ]
            path = keypoints / f"walk_{frame:012d}_keypoints.json"
            path.write_text(json.dumps({"people": people}))
    elif form == "alphapose":
        rows = [row | {"image_id": f"{row['image_id']}.jpg"} for row in rows]
        keypoints.write_text(json.dumps(rows))
    else:
        keypoints.write_text(json.dumps(rows))
    out = tmp_path / "out"
    words = [str(video), "--weights", str(weights), "--out", str(out), "--device", "cpu"]
    tool.main([*words, "--keypoints", str(keypoints)])
    assert "walk: 100%" in capsys.readouterr().err
    made = cv2.VideoCapture(str(out / "walk.mp4"))
    assert (made.get(cv2.CAP_PROP_FRAME_COUNT), made.get(cv2.CAP_PROP_FPS)) == (3, 10)
    assert made.read()[1].shape == (60, 80, 3)
    found = json.loads((out / "walk.mp4.json").read_text())
    assert [row["image_id"] for row in found] == [0, 0, 1, 2, 2]


def test_a_detector_is_asked_for_each_picture(tool, weights, annotations, tmp_path, monkeypatch):
    _, pictures = annotations
    asked = []

    class Detector:
        def __init__(self, file, device, choice):
            asked.append((file, choice.min_score))

        def detect(self, rgb, target):
            asked.append(rgb.shape)
            points = np.array([40.0, 33.0]) + 30 * (DISCS["STANDING"] - 0.5)
            return [Pose(points, np.full(17, 2), 0.9)]

    monkeypatch.setattr(tool, "KeypointRCNN", Detector)
    monkeypatch.setattr(tool, "find_weights", lambda path, config: path)
    out = tmp_path / "out"
    words = [str(pictures[1]), "--weights", str(weights), "--out", str(out), "--device", "cpu"]
    tool.main([*words, "--detector", "--detector-weights", "zoo.pkl"])
    assert asked == [(Path("zoo.pkl"), 0.5), (60, 80, 3)]
    assert len(json.loads((out / "000000000002.png.json").read_text())) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected pictures, a video, or --webcam; --help lists the flags"),
        (["a.jpg"], "where are the keypoints\\? give --keypoints FILE, or --detector"),
        (["a.jpg", "--detector", "--keypoints", "x"], "where are the keypoints\\?"),
        (["--webcam", "--keypoints", "x"], "--webcam needs --detector"),
        (
            ["a.jpg", "--boxes", "x"],
            "--boxes: people-light.safetensors is no bundle .*where are the keypoints",
        ),
        (["a.jpg", "--detector", "--category", "chair"], "--category: is of a bundle's boxes"),
        (["a.jpg", "b.jpg", "--box", "1,2,3,4"], "--box: is for a single picture; several need"),
        (
            ["a.jpg", "--box", "1,2,3"],
            "'1,2,3': box that is not four fin.*; expected X,Y,W,H in px",
        ),
        (["a.jpg", "--box", "1,2,0,4"], "argument --box: '1,2,0,4': zero-size box"),
        (["--webcm"], "unrecognized arguments: --webcm"),
        (["/nowhere.jpg", "--detector"], "/nowhere.jpg: no such file"),
        (
            ["setup.cfg", "a/setup.cfg", "--detector"],
            "the results of several inputs would be one file, setup.cfg.png",
        ),
        (["a.mp4", "b/a.avi", "--detector"], "several inputs would be one file, a.mp4"),
        (["b/a.jpg", "--detector", "--out", "b"], "b/a.jpg: would be replaced by the results"),
        (["b/a.mp4", "--detector", "--out", "b"], "b/a.mp4: would be replaced by the results"),
        (
            [str(ROOT / "setup.cfg"), "--detector", "--weights", "/nowhere"],
            "/nowhere: no such weights; train some with tools/train_seg.py --config-file configs/.*"
            "tools/convert_weights.py pose2seg",
        ),
    ],
)
def test_mistakes_end_with_one_line(tool, words, message):
    with pytest.raises(SystemExit, match=rf"^demo: [^\n]*{message}[^\n]*$"):
        tool.main(words)


def test_numeric_names_are_ids_once(tool):
    paths = [Path("7.jpg"), Path("x/07.jpg"), Path("a.jpg"), Path("8.png")]
    assert [image_id for image_id, _ in tool.numbered(paths)] == [7, -2, -3, 8]


def test_inputs_that_cannot_be_read(tool, weights, annotations, tmp_path):
    file, _ = annotations
    words = ["--weights", str(weights), "--keypoints", str(file), "--device", "cpu"]
    text = tmp_path / "000000000001.png"
    text.write_text("no picture")
    with pytest.raises(SystemExit, match=r"^demo: \S*/000000000001.png: the picture cannot b"):
        tool.main([str(text), *words])
    video = tmp_path / "broken.mp4"
    video.write_text("no video")
    with pytest.raises(SystemExit, match=r"^demo: \S*broken.mp4: cannot be opened as a video"):
        tool.main([str(video), *words])
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(SystemExit, match=r"^demo: \S*train2017.json: has none of the pictures oth"):
        tool.main([str(other), *words])


# --- annotation files that belong to no data set


def test_annotations_without_masks_are_read_by_name(tmp_path):
    path = tmp_path / "labels.json"
    coco = {
        "images": [{"id": 7, "file_name": "train/a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "categories": [{"id": 3, "keypoints": ["b", "a"]}, {"id": 4}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "keypoints": [1, 2, 2, 3, 4, 1]},
            {"id": 2, "image_id": 7, "category_id": 3, "keypoints": [1, 2, 2]},
            {"id": 3, "image_id": 7, "category_id": 3, "keypoints": [0] * 6},
            {"id": 4, "image_id": 7, "category_id": 4, "keypoints": []},
            {"id": 5, "image_id": 8, "category_id": 3, "keypoints": [1, 2, 2, 3, 4, 1]},
            {"id": 6, "image_id": 7, "category_id": 3, "keypoints": [None, 2, 2, 3, 4, 1]},
        ],
    }
    path.write_text(json.dumps(coco))
    images = [{"id": -1, "file_name": "a.jpg"}]
    table = read_picture_poses(path, images, target=("a", "b", "c"))
    (pose,) = table.poses(-1)
    assert pose.keypoints.tolist() == [[3, 4], [1, 2], [0, 0]]
    assert pose.visibility.tolist() == [1, 2, 0]
    assert pose.annotation_id == 1
    assert (table.report.read, table.report.kept) == (5, 1)
    assert table.report.counts == {
        "keypoints of the wrong length": 1,
        "no keypoints": 2,
        "keypoints with NaN or infinity": 1,
    }
    path.write_text(json.dumps({"annotations": [], "images": [3], "categories": []}))
    with pytest.raises(DataError, match=r"labels.json: is no annotation JSON of keypoints"):
        read_picture_poses(path, images)


# --- Keypoint R-CNN


@pytest.fixture(scope="module")
def zoo_file(tmp_path_factory) -> Path:
    """Random weights as the model zoo stores them."""
    torch.manual_seed(0)
    cfg = zoo_networks.model_zoo.get_config(ZOO_CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    state = zoo_networks.build_model(cfg).state_dict()
    # Untrained, its features would overflow; without a stem they are 0, and every anchor a person.
    state["backbone.bottom_up.stem.conv1.weight"].zero_()
    arrays = {name: value.numpy() for name, value in state.items() if "pixel" not in name}
    arrays["proposal_generator.anchor_generator.cell_anchors.0"] = np.zeros((3, 4), np.float32)
    path = tmp_path_factory.mktemp("zoo") / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    return path


@pytest.mark.slow
def test_the_network_gives_poses_in_the_pictures_pixels(zoo_file, tmp_path):
    choice = Choice(min_score=0.0, min_confidence=0.0, double_oks=1.1)
    detector = KeypointRCNN(zoo_file, choice=choice, short_side=64, long_side=128)
    assert not detector.model.training
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    poses = detector.detect(picture)
    assert len(poses) > 0
    points = np.stack([pose.keypoints for pose in poses])
    assert points.shape[1:] == (17, 2)
    assert points.min() >= -0.5
    assert (points <= [79.5, 59.5]).all()
    scores = [pose.score for pose in poses]
    assert scores == sorted(scores, reverse=True)
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), picture[..., ::-1])
    table = detect_poses(detector, {3: file}, ("left_hip", "tail"))
    assert [len(table.poses(3)), len(table.poses(4))] == [0, 0]  # under three points
    assert table.report.counts == {"nobody found": 1}
    loaded = detector.model.state_dict()
    arrays = read_zoo_file(zoo_file)
    name = "backbone.fpn_lateral2.weight"
    assert torch.equal(loaded[name], arrays[name])

    wrong = {key: value.numpy() for key, value in arrays.items() if key != name}
    wrong["x"] = np.zeros(1)
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(pickle.dumps(wrong))
    message = r"bad.pkl: is no COCO-Keypoints.*: it lacks backbone.fpn_lateral2.weight; it has x$"
    with pytest.raises(DataError, match=message):
        KeypointRCNN(bad)


class Harmful:
    def __reduce__(self):
        return (exec, ("raise RuntimeError('executed')",))


def test_files_that_are_no_weights(tmp_path):
    bad = tmp_path / "bad.pkl"
    for content, message in (
        (b"no pickle", "is no file of weights"),
        (pickle.dumps({"model": {"x": Harmful()}}), r"names builtins.exec; only arrays are read"),
        (pickle.dumps([1]), "expected a state dict, got list"),
        (pickle.dumps({}), "expected a state dict, got dict"),
    ):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=rf"bad.pkl: .*{message}"):
            read_zoo_file(bad)
    with pytest.raises(DataError, match=r"nowhere.pkl: No such file"):
        read_zoo_file(tmp_path / "nowhere.pkl")
    torch.save({"model": {"x": torch.ones(2)}}, tmp_path / "good.pth")
    assert read_zoo_file(tmp_path / "good.pth")["x"].tolist() == [1, 1]


def test_weights_that_cannot_be_downloaded(tmp_path, monkeypatch):
    def offline(url):
        raise OSError("no route")

    monkeypatch.setattr(zoo_networks.PathManager, "get_local_path", offline)
    message = r"cannot be downloaded \(no route\); get https://\S*a6e10b.pkl .*--detector-weights F"
    with pytest.raises(DataError, match=message):
        find_weights(None, ZOO_CONFIG)
    with pytest.raises(DataError, match=r"x.pkl: no such file of weights; get it from https://"):
        find_weights(tmp_path / "x.pkl", ZOO_CONFIG)
    (tmp_path / "x.pkl").touch()
    assert find_weights(tmp_path / "x.pkl", ZOO_CONFIG) == tmp_path / "x.pkl"
