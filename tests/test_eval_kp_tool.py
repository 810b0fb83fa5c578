import json
import statistics
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from keypointnet.checkpoints import build_model, load_model, save_checkpoint
from keypointnet.config import load_config
from keypointnet.files import write_json
from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.storage import write_model_views

TINY = [
    "model.num_keypoints=3",
    "model.channels=2",
    "model.orientation_channels=2",
    "data.image_size=16",
]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("eval_kp")


@pytest.fixture
def views(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "views"
    for name in ("03001627/bench", "03001627/sofa", "03001627/stool"):
        T_world2cam, K_px = sample_cameras(6, rng, CameraRange(), (16, 16))
        pictures = np.zeros((6, 16, 16, 4), dtype=np.uint8)
        pictures[:, 4:12, 4:12] = rng.integers(0, 256, (6, 8, 8, 4))
        pictures[..., 3] = np.where(pictures[..., 3] > 0, 255, 0)
        write_model_views(root, name, pictures, T_world2cam, K_px)
    write_json(
        root / "split.json",
        {"train": ["03001627/sofa"], "test": ["03001627/bench", "03001627/stool"]},
    )
    return root


def checkpoint(path: Path, *overrides: str) -> Path:
    config = load_config(None, [*TINY, *overrides])
    save_checkpoint(path, {"model": build_model(config).state_dict()}, step=7, config=config)
    return path


def test_two_checkpoints_give_a_table_a_json_and_pictures(tool, views, tmp_path, capsys):
    paths = [
        checkpoint(tmp_path / f"seed{seed}/checkpoints/last.safetensors", f"run.seed={seed}")
        for seed in (0, 1)
    ]
    out = tmp_path / "deep" / "out"
    words = [str(p) for p in paths] + ["--views", str(views), "--paper", "chair", "--pairs", "12"]
    tool.main([*words, "--out", str(out), "--worst", "3", "--device", "cpu"])

    printed = capsys.readouterr().out
    for label in ("seed0/last", "seed1/last", "ours, 2 seeds", "paper, chair", "14.57°", "0.196"):
        assert label in printed
    assert "24 pairs of 2 models" in printed

    document = json.loads((out / "results.json").read_text())
    assert document["protocol"] == {
        "views": str(views),
        "subset": "test",
        "size": [16, 16],
        "pairs_per_model": 12,
        "seed": 0,
        "models": 2,
        "pairs": 24,
    }
    assert document["command"][:2] == ["tools/eval_kp.py", str(paths[0])]
    assert document["paper"]["median_deg"] == 5.420
    checkpoints = document["checkpoints"]
    assert [c["path"] for c in checkpoints] == [str(p) for p in paths]
    assert [c["seed"] for c in checkpoints] == [0, 1]
    assert set(checkpoints[0]) == {
        "path",
        "step",
        "seed",
        "metrics",
        "per_model",
        "worst",
        "config",
    }
    assert set(checkpoints[0]["per_model"]) == {"views/03001627/bench", "views/03001627/stool"}
    assert set(checkpoints[0]["per_model"]["views/03001627/bench"]) == {
        "mean_deg",
        "median_deg",
        "flips",
        "se_3d",
        "orientation_accuracy",
    }
    assert [len(c["worst"]) for c in checkpoints] == [3, 3]
    means = [c["metrics"]["mean_deg"] for c in checkpoints]
    assert means[0] != means[1]
    assert document["summary"]["mean_deg"]["mean"] == pytest.approx(statistics.mean(means))
    assert document["summary"]["mean_deg"]["std"] == pytest.approx(statistics.stdev(means))
    assert f"{statistics.mean(means):.2f}° ± {statistics.stdev(means):.2f}°" in printed
    for name in ("worst-pairs-0.png", "worst-pairs-1.png"):
        assert cv2.imread(str(out / name)).shape[2] == 3
    assert not (out / "worst-pairs.png").exists()


def test_one_checkpoint_on_every_model(tool, views, tmp_path, capsys):
    path = checkpoint(tmp_path / "last.safetensors")
    out = tmp_path / "out"
    tool.main(
        [str(path), "--views", str(views), "--subset", "all", "--worst", "1", "--out", str(out)]
    )
    # 6 views make 15 pairs, fewer than the 100 asked for
    assert "45 pairs of 3 models" in capsys.readouterr().out
    document = json.loads((out / "results.json").read_text())
    assert document["summary"]["mean_deg"]["std"] is None
    assert document["paper"] is None
    assert (out / "worst-pairs.png").exists()


def test_without_out_nothing_is_written(tool, views, tmp_path, capsys):
    path = checkpoint(tmp_path / "last.safetensors")
    before = sorted(tmp_path.rglob("*"))
    tool.main([str(path), "--views", str(views), "--pairs", "2"])
    assert "4 pairs of 2 models" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_missing_is_named(tool, views, tmp_path):
    path = checkpoint(tmp_path / "last.safetensors")
    with pytest.raises(SystemExit, match=r"^eval_kp: .*gone\.safetensors: no such checkpoint"):
        tool.main([str(tmp_path / "gone.safetensors"), "--views", str(views)])
    with pytest.raises(SystemExit, match=r"nowhere: no such folder; tools/render_views\.py"):
        tool.main([str(path), "--views", str(tmp_path / "nowhere")])
    (views / "split.json").unlink()
    with pytest.raises(SystemExit, match=r"has no split\.json, so there is no 'test' side"):
        tool.main([str(path), "--views", str(views)])


def test_what_does_not_fit_is_named(tool, views, tmp_path, capsys):
    big = checkpoint(tmp_path / "big.safetensors", "data.image_size=32")
    with pytest.raises(SystemExit, match=r"trained on 32x32 views, these are 16x16.*--any-size"):
        tool.main([str(big), "--views", str(views)])
    tool.main([str(big), "--views", str(views), "--any-size", "--pairs", "1"])
    assert "2 pairs" in capsys.readouterr().out

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(big.read_bytes()[:1000])
    with pytest.raises(SystemExit, match=r"cut\.safetensors: is no whole safetensors file"):
        tool.main([str(cut), "--views", str(views)])
    with pytest.raises(SystemExit, match="expected auto, cpu, cuda"):
        tool.main([str(big), "--views", str(views), "--device", "toaster"])


def test_a_folder_that_cannot_be_made_is_named(tool, views, tmp_path):
    path = checkpoint(tmp_path / "last.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^eval_kp: .*file/out"):
        tool.main([str(path), "--views", str(views), "--out", str(tmp_path / "file" / "out")])


@pytest.mark.parametrize("number", ["0", "-3", "1.5"])
def test_counts_start_at_one(tool, number, capsys):
    with pytest.raises(
        SystemExit, match=rf"^eval_kp: .*--pairs: expected at least 1, got {number}"
    ):
        tool.parse_arguments(["x", "--views", "y", f"--pairs={number}"])


def test_export_drops_the_optimiser_and_halves(load_tool, tmp_path, capsys):
    tool = load_tool("export_kp")
    config = load_config(None, TINY)
    network = build_model(config)
    groups = {"model": network.state_dict(), "optimizer": {"x/exp_avg": torch.ones(50)}}
    source = tmp_path / "last.safetensors"
    save_checkpoint(source, groups, step=12, config=config)
    tool.main([str(source), str(tmp_path / "full.safetensors")])
    tool.main([str(source), str(tmp_path / "half.safetensors"), "--half"])
    assert capsys.readouterr().out.count("step 12") == 2
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("last", "full", "half")]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    full = load_model(tmp_path / "full.safetensors").state_dict()
    half = load_model(tmp_path / "half.safetensors").state_dict()
    for name, tensor in network.state_dict().items():
        assert (full[name] == tensor).all()
        assert abs(half[name] - tensor).max() <= 1e-3 * abs(tensor).max()


def test_export_refuses_to_replace_its_source(load_tool, tmp_path):
    tool = load_tool("export_kp")
    source = checkpoint(tmp_path / "last.safetensors")
    before = source.read_bytes()
    with pytest.raises(SystemExit, match="would replace the checkpoint itself"):
        tool.main([str(source), str(tmp_path / "." / "last.safetensors")])
    assert source.read_bytes() == before
    with pytest.raises(SystemExit, match="no such checkpoint"):
        tool.main([str(tmp_path / "gone"), str(tmp_path / "out")])
