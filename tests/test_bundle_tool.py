import hashlib
import json
import runpy
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from keypointnet.checkpoints import build_model as build_finder
from keypointnet.checkpoints import save_checkpoint
from keypointnet.config import load_config
from keypointnet.files import file_sha256
from kp2seg.build import build_model
from kp2seg.bundle import bundled_category
from kp2seg.checkpoints import read_seg_checkpoint, save_seg_checkpoint
from kp2seg.keypoint_sources.discovered import Finding
from kp2seg.lazy_config import config_to_text, finds_keypoints, load_seg_config

DISCS = runpy.run_path(str(Path(__file__).with_name("disc_people.py")))
tiny = DISCS["tiny"]


@pytest.fixture
def tool(load_tool):
    return load_tool("bundle")


@pytest.fixture
def parts(tiny, tmp_path):
    """A KeypointNet of as many points as the masks' model takes, and that."""
    _, file, *defaults = tiny()
    config = load_seg_config(file, defaults)
    model = build_model(config)
    masks = tmp_path / "masks.safetensors"
    save_seg_checkpoint(masks, {"model": model.state_dict()}, step=5, config=config_to_text(config))
    small = ["model.channels=8", "model.orientation_channels=4", "data.image_size=16"]
    n = len(model.templates.names)
    settings = load_config(None, [*small, f"model.num_keypoints={n}"])
    finder = tmp_path / "finder.safetensors"
    weights = build_finder(settings).state_dict()
    save_checkpoint(finder, {"model": weights}, step=1, config=settings)
    return finder, masks


def test_two_checkpoints_become_one_that_can_be_evaluated(tool, parts, load_tool, tmp_path, capsys):
    out = tmp_path / "both.safetensors"
    tool.main([*map(str, parts), str(out), "--context", "1.4"])
    assert capsys.readouterr().out == f"{out}: {parts[0]} and {parts[1]}\n"
    checkpoint = read_seg_checkpoint(out)
    assert checkpoint.step == 5
    assert finds_keypoints(checkpoint.config)
    assert not finds_keypoints(read_seg_checkpoint(parts[1]).config)
    load_tool("eval_seg").main([str(out), "--device", "cpu"])
    assert "ours, keypoints found in the true boxes, constant" in capsys.readouterr().out


def test_settings_come_from_the_points(tool, parts, tmp_path):
    finder, masks = parts
    points, out = tmp_path / "points.json", tmp_path / "both.safetensors"
    made = {"context": 1.7, "min_confidence": 0.25, "min_on_object": 0.75}
    made["sha256"] = hashlib.sha256(finder.read_bytes()).hexdigest()
    lists = {"images": [], "annotations": [], "categories": [{"keypoints": []}]}
    points.write_text(json.dumps({**lists, "discovery": made}))
    words = [str(finder), str(masks), str(out), "--points", str(points)]
    tool.main(words)
    model = OmegaConf.create(read_seg_checkpoint(out).config).model
    assert (model.context, model.min_confidence, model.min_on_object) == (1.7, 0.25, 0.75)
    for change, message in (
        (
            {**lists, "discovery": {**made, "sha256": "0"}},
            "points.json: was made with other weights than",
        ),
        ({"images": []}, "points.json: is no result of tools/discover.py"),
    ):
        points.write_text(json.dumps(change))
        with pytest.raises(SystemExit, match=message):
            tool.main(words)


def test_other_settings_than_in_training_are_said(tool, parts, tmp_path, capsys):
    finder, masks = parts
    out = tmp_path / "both.safetensors"
    checkpoint = read_seg_checkpoint(masks)
    made = {"context": 1.5, "min_confidence": 0.3, "min_on_object": 0.5, "weights": "a.safetensors"}
    for discovery, flags, expected in (
        ({"sha256": file_sha256(finder)}, ["--context", "1.5"], ""),
        ({"sha256": file_sha256(finder)}, [], "context 1.5, here 1.3"),
        (
            {"sha256": "0"},
            ["--min-confidence", "0.2"],
            "context 1.5, here 1.3; min_confidence 0.3, here 0.2; other KeypointNet weights "
            "(a.safetensors)",
        ),
    ):
        config = OmegaConf.create(checkpoint.config)
        config.discovery = {**made, **discovery}
        text = OmegaConf.to_yaml(config)
        save_seg_checkpoint(masks, {"model": checkpoint.weights}, step=5, config=text)
        tool.main([*map(str, parts), str(out), *flags])
        warning = f"bundle: warning: {masks} was trained on points of {expected}: its masks may be "
        said = capsys.readouterr().err
        assert said.startswith(warning) if expected else said == ""


def test_the_class_of_the_points_is_kept(tool, parts, tmp_path):
    finder, masks = parts
    points, out = tmp_path / "points.json", tmp_path / "both.safetensors"
    made = {**vars(Finding()), "sha256": file_sha256(finder)}
    category = {"id": 62, "name": "chair", "keypoints": []}
    lists = {"images": [], "annotations": [], "categories": [category]}
    points.write_text(json.dumps({**lists, "discovery": made}))
    tool.main([str(finder), str(masks), str(out), "--points", str(points)])
    assert bundled_category(read_seg_checkpoint(out).config) == {"id": 62, "name": "chair"}
    tool.main([str(finder), str(masks), str(out)])
    assert bundled_category(read_seg_checkpoint(out).config) == {}


def test_another_number_of_keypoints_is_said(tool, parts, tmp_path):
    _, masks = parts
    settings = load_config(None, ["model.channels=8", "model.orientation_channels=4"])
    finder = tmp_path / "ten.safetensors"
    weights = build_finder(settings).state_dict()
    save_checkpoint(finder, {"model": weights}, step=1, config=settings)
    message = r"^bundle: \S*masks.safetensors: takes 17 keypoints, \S*ten.safetensors finds 10$"
    with pytest.raises(SystemExit, match=message):
        tool.main([str(finder), str(masks), str(tmp_path / "both.safetensors")])


def test_what_it_is_made_of_is_not_replaced(tool, parts):
    finder, masks = parts
    before = finder.read_bytes(), masks.read_bytes()
    for out in parts:
        with pytest.raises(SystemExit, match="would be replaced by the result"):
            tool.main([str(finder), str(masks), str(out)])
    assert (finder.read_bytes(), masks.read_bytes()) == before


def test_mistakes_end_with_one_line(tool, parts, tmp_path):
    finder, masks = map(str, parts)
    out = str(tmp_path / "both.safetensors")
    for words, message in (
        (
            [masks, finder, out],
            "masks.safetensors: expected a checkpoint of format 'keypointn",
        ),
        ([finder, finder, out], "it is a KeypointNet, which finds keypoints and makes no masks"),
        ([finder, masks, "both.pth"], "both.pth: expected a name that ends in .safetensors"),
        ([finder, masks, out, "--context", "0"], "context: expected at least 1"),
        (
            [finder, masks, out, "--points", "x", "--corners"],
            "--points: has the settings; leave ou",
        ),
        ([finder, "/nowhere", out], "/nowhere: no such checkpoint"),
    ):
        with pytest.raises(SystemExit, match=rf"^bundle: [^\n]*{message}[^\n]*$"):
            tool.main(words)
