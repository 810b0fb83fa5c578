import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from keypointnet import quickstart
from keypointnet.checkpoints import read_checkpoint
from keypointnet.config import ConfigError, load_config
from keypointnet.demo_state import begin, discard
from keypointnet.evaluation import Evaluation
from keypointnet.pacing import affordable_steps, scale_schedule
from keypointnet.quickstart import (
    EXPECTED,
    DemoModels,
    DemoResult,
    format_demo_table,
    place,
    render,
)
from keypointnet.reporting import METRICS
from kp2seg.loop.demo import EXPECTED as LOOP_EXPECTED
from kp2seg.loop.study import TITLES

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "configs/keypointnet/demo.yaml"
TINY = [
    "optim.steps=3",
    "optim.pairs_per_step=2",
    "model.num_keypoints=4",
    "model.channels=4",
    "model.orientation_channels=4",
    "data.image_size=16",
    "run.checkpoint_every=1",
    "run.device=cpu",
]
FEW = ["--train", "chair:0-2", "--test", "chair:100-102", "--views", "4", "--workers", "1"]
FEW += ["--keypoints-only"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("quickstart")


@pytest.mark.slow
def test_demo_goes_on_where_it_was_and_starts_anew_when_told(tool, tmp_path, capsys):
    out = tmp_path / "demo"
    command = ["--out", str(out), *FEW, *TINY]
    tool.main(command)
    first = capsys.readouterr().out
    assert "1/3  views: chair:0-2 to train on, chair:100-102 held out, 16x16 px" in first
    assert "2/3  training: 3 steps of 2 pairs" in first
    assert "3/3  evaluation: 2 held-out models" in first
    assert "earlier run" not in first
    assert str(out / "keypoints.png") in first

    last = out / "checkpoints/last.safetensors"
    assert read_checkpoint(last).step == 3
    # two held-out models of 4 views, each 3 · 16 px with gaps of 4; rows of eight
    assert cv2.imread(str(out / "keypoints.png")).shape == (4 + 2 * 52, 4 + 8 * 52, 3)
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"]["models"] == 2
    assert set(results["seconds"]) == {"views", "training", "evaluation"}
    rendered = {p: p.stat().st_mtime_ns for p in (out / "views").rglob("*.zip")}
    assert len(rendered) == 4
    trained = last.stat().st_mtime_ns

    # a run stopped half-way: one model's views and the picture are not there
    missing = out / "views/chair-00001.zip"
    missing.unlink()
    (out / "keypoints.png").unlink()
    tool.main(command)
    second = capsys.readouterr().out
    assert "an earlier run had done a part" in second
    assert last.stat().st_mtime_ns == trained
    assert (out / "keypoints.png").exists()
    again = {p: p.stat().st_mtime_ns for p in (out / "views").rglob("*.zip")}
    assert {p for p in again if again[p] != rendered[p]} == {missing}

    with pytest.raises(SystemExit, match=r"config\.optim\.steps: 3 there, 5 asked .* --fresh"):
        tool.main([*command, "optim.steps=5"])
    assert last.stat().st_mtime_ns == trained
    (out / "mine.txt").write_text("kept")
    tool.main([*command, "--fresh", "optim.steps=2"])
    assert read_checkpoint(last).step == 2
    assert "an earlier run" not in capsys.readouterr().out
    assert (out / "mine.txt").read_text() == "kept"


def test_errors_name_the_program_and_the_reason(tool, tmp_path):
    with pytest.raises(SystemExit, match=r"^quickstart: .*did you mean 'optim\.steps'"):
        tool.main(["--out", str(tmp_path / "a"), "optim.stepz=3"])
    with pytest.raises(SystemExit, match=r"no family 'sofa'; there are .*chair"):
        tool.main(["--out", str(tmp_path / "b"), "--train", "sofa:3", *TINY])
    with pytest.raises(SystemExit, match=r"gone\.yaml: no such configuration"):
        tool.main(["--out", str(tmp_path / "c"), "--config", "gone.yaml"])


def test_a_stopped_loop_says_how_to_go_on(tool, tmp_path, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kp2seg.loop.demo.run_loop_demo", stop)
    with pytest.raises(SystemExit) as stopped:
        tool.main(["--out", str(tmp_path / "demo")])
    assert stopped.value.code == 130
    assert "the same command goes on from here" in capsys.readouterr().err


def test_masks_may_follow_a_demo_of_keypoints_only(tmp_path):
    keypoints = {"models": {"views": 4}}
    begin(tmp_path, keypoints)
    whole = {**keypoints, "loop": {"templates": 3}}
    assert begin(tmp_path, whole)["asked"] == whole
    assert begin(tmp_path, keypoints)["asked"] == whole
    with pytest.raises(ConfigError, match=r"loop\.templates: 3 there, 4 asked for"):
        begin(tmp_path, {**keypoints, "loop": {"templates": 4}})


def test_another_runs_folder_is_left_alone(tmp_path):
    kept = tmp_path / "checkpoints" / "last.safetensors"
    kept.parent.mkdir()
    kept.write_text("weeks of work")
    with pytest.raises(ConfigError, match="holds checkpoints, but not of a demo; choose another"):
        begin(tmp_path, {"a": 1})
    with pytest.raises(ConfigError, match=r"holds checkpoints, .* nothing is removed"):
        discard(tmp_path)
    assert kept.read_text() == "weeks of work"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]
    discard(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_demo_is_gone_on_with_only_if_asked_for_the_same(tmp_path):
    asked = {"models": {"views": 4}, "config": {"optim": {"steps": 3}}}
    assert begin(tmp_path / "d", asked) == {"asked": asked}
    assert begin(tmp_path / "d", asked) == {"asked": asked}
    other = {"models": {"views": 9}, "config": {"optim": {"steps": 3, "new": None}}}
    with pytest.raises(ConfigError, match=r"\(models\.views: 4 there, 9 asked for\)"):
        begin(tmp_path / "d", other)


def test_held_out_models_are_not_trained_on(tmp_path):
    models = DemoModels("chair:0-5", "chair:4-6", views=2)
    with pytest.raises(ValueError, match="share chair-00004"):
        render(models, tmp_path / "views", (16, 16), 1)
    assert not (tmp_path / "views").exists()


def test_steps_that_fit_into_the_time_left():
    assert affordable_steps(1500, 0.2, 1000.0) == 1500
    assert affordable_steps(1500, 0.5, 330.0) == 600  # 330 / (1.1 · 0.5)
    assert affordable_steps(1500, 5.0, 60.0) == 100
    assert affordable_steps(1500, 0.2, -20.0) == 100
    assert affordable_steps(3, 5.0, 0.0) == 3


def test_fewer_steps_keep_the_shape_of_the_schedule():
    overrides = ["loss.anchor_steps=400", "loss.flag_anneal_start=500", "loss.flag_anneal_end=1000"]
    config = load_config(None, [*overrides, "optim.steps=2000"])
    scaled = scale_schedule(config, 500)
    assert scaled.optim.steps == 500
    assert scaled.loss.anchor_steps == 100
    assert (scaled.loss.flag_anneal_start, scaled.loss.flag_anneal_end) == (125, 250)
    assert scale_schedule(config, 2000) == config
    assert config.optim.steps == 2000
    back = replace(scaled.optim, steps=2000)
    assert back == config.optim


def test_a_slow_machine_trains_for_fewer_steps(tmp_path, monkeypatch):
    seen: list[int] = []

    class Trained(Exception):
        pass

    class Recorder:
        def __init__(self, config, *, resume):
            seen.append(config.optim.steps)

        def run(self):
            raise Trained(f"run {len(seen)}")

    monkeypatch.setattr(quickstart, "render", lambda *_: 0)
    monkeypatch.setattr(quickstart, "seconds_per_step", lambda *_: 1.0)
    monkeypatch.setattr(quickstart, "Trainer", Recorder)
    config, said = load_config(DEMO), []
    for run in (1, 2):
        with pytest.raises(Trained, match=rf"^run {run}$"):
            quickstart.run_demo(
                config, DemoModels(), tmp_path / "demo", limit_s=45 + 330.9, say=said.append
            )
        monkeypatch.setattr(quickstart, "seconds_per_step", None)  # measured once, then remembered
    assert seen == [300, 300]
    assert json.loads((tmp_path / "demo/demo.json").read_text())["steps"] == 300
    expected = f"300 of {config.optim.steps} steps fit into the time"
    assert sum(expected in line for line in said) == 1


def test_config_of_the_demo_is_placed_in_its_folder(tmp_path):
    config = load_config(DEMO)
    assert place(config, Path("runs/demo")) == config
    moved = place(config, tmp_path)
    assert moved.run.out == str(tmp_path)
    assert [(s.path, s.subset) for s in moved.data.train] == [(str(tmp_path / "views"), "train")]
    assert [(s.path, s.subset) for s in moved.data.test] == [(str(tmp_path / "views"), "test")]


def test_table_puts_this_run_beside_the_readme(monkeypatch):
    monkeypatch.setitem(EXPECTED, "mean_deg", 20.5)
    monkeypatch.setitem(EXPECTED, "views", 61.2)
    monkeypatch.setitem(EXPECTED, "training", None)
    evaluation = Evaluation(21.25, 14.0, 0.015, 0.3, None, None, 12, 1200, {}, [])
    seconds = {"views": 58.4, "training": 250.0}
    lines = format_demo_table(DemoResult(evaluation, 9, Path("p"), False, seconds)).splitlines()
    assert lines[1].split() == ["mean", "21.25°", "20.50°"]
    assert re.fullmatch(r"O-Net mean +– +\S+( %)?", lines[5])
    assert lines[7].split() == ["views,", "seconds", "58", "61"]
    assert lines[8].split() == ["training,", "seconds", "250", "–"]


def test_readme_states_the_numbers_that_the_demo_compares_with():
    readme = (ROOT / "README.md").read_text()
    assert set(EXPECTED) == {*METRICS, "views", "training", "evaluation"}
    block = re.search(r"```\n(held-out chairs .*?)```", readme, re.DOTALL)
    assert block is not None
    rows = dict(re.findall(r"^(\S.*?) {2,}(\S.*)$", block[1], re.MULTILINE))
    wanted = {heading: (EXPECTED[name], write) for name, (heading, write) in METRICS.items()}
    for stage in ("views", "training", "evaluation"):
        wanted[f"{stage}, seconds"] = (EXPECTED[stage], "{:.0f}".format)
    for name, value in LOOP_EXPECTED.items():
        if name in TITLES:
            wanted[f"AP, {TITLES[name]}"] = (value, "{:.3f}".format)
        else:
            wanted[f"{name}, seconds"] = (value, "{:.0f}".format)
    assert {row: text for row, text in rows.items() if row != "held-out chairs"} == {
        row: write(value) for row, (value, write) in wanted.items()
    }
