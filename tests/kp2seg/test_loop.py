"""The whole loop in small: keypoints, crowds, discovery, templates, masks, report."""

import json
import re

import pytest

from kp2seg.build import trained_model
from kp2seg.bundle import bundled_category
from kp2seg.checkpoints import read_seg_checkpoint
from kp2seg.keypoint_sources.layouts import CORNERS
from kp2seg.loop.study import TITLES, ratio_lines, ratios
from kp2seg.modeling.discovering import DiscoveringPose2Seg

CROWDED = [
    word
    for override in (
        *("optim.steps=2", "optim.pairs_per_step=2", "model.channels=4"),
        *("run.log_every=1", "run.checkpoint_every=1"),
    )
    for word in ("--crowded-override", override)
]
TINY = [
    *("optim.steps=3", "optim.pairs_per_step=2", "model.num_keypoints=5", "model.channels=4"),
    *("model.orientation_channels=4", "data.image_size=16", "run.checkpoint_every=1"),
    *("run.device=cpu", "run.log_every=1"),
]
FEW = [
    *("--train", "chair:0-2", "--test", "chair:100-102", "--views", "4", "--workers", "1"),
    *("--crowd-train", "chair:0-3", "--crowd-test", "chair:100-102"),
    *("--pictures", "4", "2", "--templates", "2", "--min-confidence", "0"),
    *("--min-on-object", "0"),
]
MASKS = [
    word
    for override in (
        *("train.steps=2", "train.checkpoint_every=1", "train.log_every=1", "train.device=cpu"),
        *("model.aligner.region_size=32", "model.max_people=3", "data.pictures_per_step=2"),
    )
    for word in ("--mask-override", override)
]


@pytest.mark.slow
def test_from_nothing_to_a_report_and_on_where_it_was(load_tool, tmp_path, capsys):
    tool, out = load_tool("quickstart"), tmp_path / "demo"
    command = ["--out", str(out), *FEW, *CROWDED, *MASKS, *TINY]
    tool.main(command)
    said = capsys.readouterr().out
    for stage in range(1, 9):
        assert f"{stage}/8  " in said
    assert re.search(r"AP, discovered keypoints +\d\.\d{3}", said)

    for kind in ("discovered", "true", "none"):
        (category,) = json.loads((out / f"points/{kind}-test.json").read_text())["categories"]
        assert category["keypoints"][-4:] == list(CORNERS)
    train, test = (
        json.loads((out / f"points/discovered-{side}.json").read_text())
        for side in ("train", "test")
    )
    assert train["categories"] == test["categories"]
    none = json.loads((out / "points/none-test.json").read_text())
    assert [row["id"] for row in none["annotations"]] == [row["id"] for row in test["annotations"]]
    bundle = read_seg_checkpoint(out / "chair.safetensors")
    assert isinstance(trained_model(bundle), DiscoveringPose2Seg)
    assert bundled_category(bundle.config) == {"id": 1, "name": "chair"}

    rows = json.loads((out / "loop.json").read_text())["rows"]
    assert list(rows) == ["none", "discovered", "true"]
    page = (out / "report.html").read_text()
    titles = re.findall(r"<h2 id=\"[\w-]+\">(.*?)</h2>", page)
    assert titles == [
        "Results",
        "Training of the keypoints",
        "Held-out views",
        "One object in 3-D",
        "Probability maps",
        "Keypoints found in pictures",
        "Training of the masks",
        "Templates",
        "From pose to mask",
        "Best and worst masks",
        "Exceptional cases",
    ]
    assert all(TITLES[name] in page for name in rows)

    # a run stopped half-way: what was done is not done again
    trained = (out / "masks/true/checkpoints/last.safetensors").stat().st_mtime_ns
    (out / "report.html").unlink()
    (out / "masks/discovered/test.predictions.json").unlink()
    tool.main(command)
    assert "an earlier run had done a part" in capsys.readouterr().out
    assert (out / "report.html").exists()
    assert (out / "masks/true/checkpoints/last.safetensors").stat().st_mtime_ns == trained
    assert (
        json.loads((out / "loop.json").read_text())["rows"]["true"]["AP_quality"]
        == (rows["true"]["AP_quality"])
    )
    with pytest.raises(SystemExit, match=r"loop\.templates: 2 there, 3 asked for"):
        tool.main([*command, "--templates", "3"])
    tool.main([*command[:2], *FEW, *CROWDED, *MASKS, *TINY, "--fresh", "--templates", "1"])
    assert json.loads((out / "demo.json").read_text())["asked"]["loop"]["templates"] == 1


def test_ratios_are_of_discovered_keypoints():
    rows = {
        "none": {"AP_quality": 0.2, "AP50_quality": 0.4, "AP_constant": 0.1, "mean_iou": 0.5},
        "discovered": {"AP_quality": 0.3, "AP_constant": 0.2, "mean_iou": 0.6},
        "true": {"AP_quality": 0.4, "AP_constant": 0.0, "mean_iou": 0.7},
    }
    assert ratios(rows) == pytest.approx({"none": 1.5, "true": 0.75})
    assert (
        ratio_lines([rows])[-1] == "AP of discovered keypoints is 0.75 times that of true keypoints"
    )
    twice = ratio_lines([rows, {**rows, "true": {**rows["true"], "AP_quality": 0.6}}])
    assert twice[-1].endswith("is 0.62 ± 0.18 times that of true keypoints")
    constant = {name: {"AP_constant": row["AP_constant"]} for name, row in rows.items()}
    assert ratios(constant) == pytest.approx({"none": 2.0})  # nothing is a multiple of 0
