"""Each benchmark runs and writes its figures. What they are is measured on an idle machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def run_benchmark(name: str, out: Path, *options: str | Path) -> tuple[dict[str, Any], str]:
    """The JSON that a benchmark wrote, and what it printed; warnings are errors."""
    # Detectron2 scripts some of its functions when it is imported.
    warnings = ["-W", "error", "-W", "ignore:`torch.jit.script` is deprecated:FutureWarning"]
    result = subprocess.run(
        [sys.executable, *warnings, ROOT / "benchmarks" / name, *options, "--out", out],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(out.read_text())
    assert set(figures["machine"]) == {
        *("date", "cpu", "cores", "bf16", "gpu", "load_average", "torch", "python")
    }
    return figures, result.stdout


@pytest.mark.slow
def test_training_step(tmp_path, blob_root):
    options = ["--store", blob_root, "--pairs", "2", "--steps", "2", "--threads", "1"]
    figures, printed = run_benchmark(
        "bench_training_step.py", tmp_path / "new" / "step.json", *options, "--channels", "32"
    )
    assert (figures["channels"], figures["keypoints"], figures["threads"]) == (32, 10, 1)
    (result,) = figures["training_step"]
    assert (result["size"], result["pairs"], result["steps"]) == ([32, 32], 2, 2)
    assert result["ratio"] == pytest.approx(result["plain_s"] / result["ours_s"])
    assert result["plain_ms_per_image"] == pytest.approx(1e3 * result["plain_s"] / 4)
    terms = {*("pose", "consistency", "separation", "silhouette", "variance", "orientation")}
    assert set(result["loss_difference_worst"]) == terms | {"total"}
    assert set(result["loss_difference_median"]) == terms | {"total"}
    # No timing, but what was timed: the same mathematics.
    assert result["losses_equal"]
    assert result["gradient_cosine_worst"] > 0.9
    assert f"{result['ratio']:.2f} times faster" in printed


@pytest.mark.slow
def test_loading(tmp_path, blob_root):
    options = ["--store", blob_root, "--pairs", "2", "--batches", "4", "--steps", "2"]
    options += ["--channels", "16", "--threads", "1"]
    figures, printed = run_benchmark("bench_loading.py", tmp_path / "loading.json", *options)
    (loading,), (training,) = figures["loading"], figures["training"]
    assert (loading["size"], loading["pairs"], loading["batches"]) == ([32, 32], 2, 4)
    us = loading["us_per_view"]
    assert set(us) == {"loading", "bare decode", "to float32", "choosing", "reading"}
    assert set(loading["cpu_us_per_view"]) == set(us)
    assert loading["share_of_bare_decode"] == pytest.approx(us["bare decode"] / us["loading"])
    assert loading["views_per_second"] == pytest.approx(1e6 / us["loading"])
    # The steps in which the loading process starts are left out.
    assert (training["steps"], training["workers"], training["size"]) == (2, 1, [32, 32])
    assert 0 < training["seconds_waiting_per_step"] < training["seconds_per_step"]
    assert 0 < training["share_waiting"] <= training["worst_share_waiting"] < 1
    assert "waiting for data (aim under 5 %" in printed


@pytest.mark.slow
def test_pose2seg(tmp_path):
    options = ["--pictures", "1", "--people", "1", "--rounds", "1", "--threads", "1"]
    figures, printed = run_benchmark("bench_pose2seg.py", tmp_path / "pose2seg.json", *options)
    result = figures["pose2seg"]
    assert (result["pictures"], result["people"], figures["threads"]) == (1, 1, 1)
    for part, unit in (("whole", "s_per_picture"), ("steps", "ms_per_person")):
        times = result[f"{part}_{unit}"]
        for kind, ratio in result[f"{part}_ratio"].items():
            assert ratio == pytest.approx(times["plain"] / times[kind])
    # No timing, but what was timed: the same masks, up to OpenCV's 1/32 px.
    assert result["iou"]["fp32"]["min"] > 0.97
    assert result["iou"]["bf16"]["mean"] > 0.8
    assert f"fp32: whole inference {result['whole_ratio']['fp32']:.2f} times faster" in printed


@pytest.mark.slow
def test_loop(tmp_path):
    options = ["--pictures", "1", "--objects", "2", "--rounds", "1", "--threads", "1"]
    figures, printed = run_benchmark("bench_loop.py", tmp_path / "loop.json", *options)
    assert (figures["precision"], figures["weights"]) == ("float32", None)
    result = figures["loop"]
    assert (result["pictures"], result["objects"], result["masks_per_picture"]) == (1, 2, 2)
    stages = ["crops", "KeypointNet", "regions", "backbone", "mask head", "masks back", "rest"]
    assert list(result["share"]) == stages
    assert sum(result["share"].values()) == pytest.approx(1)
    times = result["ms_per_picture"]
    assert all(times[stage] > 0 for stage in stages)
    # One picture, one round: the stages and the rest are the whole.
    assert sum(times[stage] for stage in stages) == pytest.approx(times["whole"])
    many = result["many"]
    assert many["objects"] == 16
    ratio = many["ms"]["KeypointNet"] / many["ms"]["mask head"]
    assert many["keypointnet_to_mask_head"] == pytest.approx(ratio)
    assert f"KeypointNet takes {ratio:.2f} times as long as the mask head" in printed


def test_views_are_rendered_where_none_are_given(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from parametric_views import view_store

    with view_store(None, chairs=1, views=2, size=16) as store:
        assert (store.models, store.size) == (["chair-00000"], (16, 16))
        assert store.n_views("chair-00000") == 2
        folder = store.root
    assert not folder.exists()
