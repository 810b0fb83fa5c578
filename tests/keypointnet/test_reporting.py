import math
from pathlib import Path

import numpy as np
import pytest

from keypointnet.checkpoints import CheckpointError, build_model, save_checkpoint
from keypointnet.config import RunConfig, TrainConfig, load_config
from keypointnet.drawing import BACKGROUND
from keypointnet.evaluation import Evaluation, PairResult
from keypointnet.reporting import (
    CheckpointResult,
    Spread,
    align_columns,
    check_picture_size,
    evaluate_checkpoints,
    format_table,
    results_document,
    summarise,
    worst_pairs_sheet,
)
from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.pairs import ModelViews
from keypointnet.views.storage import ViewStore, write_model_views

TINY = [
    "model.num_keypoints=3",
    "model.channels=2",
    "model.orientation_channels=2",
    "data.image_size=16",
]


@pytest.fixture
def models(tmp_path: Path) -> list[ModelViews]:
    rng = np.random.default_rng(0)
    for name in ("bench", "stool"):
        T_world2cam, K_px = sample_cameras(4, rng, CameraRange(), (16, 16))
        pictures = rng.integers(0, 256, (4, 16, 16, 4), dtype=np.uint8)
        pictures[..., :3] = np.minimum(pictures[..., :3], pictures[..., 3:])
        write_model_views(tmp_path / "views", name, pictures, T_world2cam, K_px)
    store = ViewStore(tmp_path / "views")
    return [ModelViews(store, model) for model in store.models]


def checkpoint(path: Path, *overrides: str, step: int = 7) -> Path:
    config = load_config(None, [*TINY, *overrides])
    save_checkpoint(path, {"model": build_model(config).state_dict()}, step=step, config=config)
    return path


def evaluation(mean: float, accuracy: float | None = 0.9, se_3d: float = 0.2) -> Evaluation:
    return Evaluation(
        mean_deg=mean,
        median_deg=mean / 2,
        flips=0.025,
        se_3d=se_3d,
        orientation_accuracy=accuracy,
        orientation_accuracy_median=accuracy,
        models=1,
        pairs=3,
        per_model={"s/m": {"mean_deg": mean, "se_3d": se_3d}},
        worst=[PairResult("s/m", (0, 1), 50.0)],
    )


def result(mean: float, run: str = "a", seed: int = 0, **values: float) -> CheckpointResult:
    path = Path("runs") / run / "checkpoints" / "last.safetensors"
    config = TrainConfig(run=RunConfig(seed=seed))
    return CheckpointResult(path, 5, config, evaluation(mean, **values))


def test_spread_is_the_sample_standard_deviation():
    spreads = summarise([evaluation(10.0), evaluation(13.0), evaluation(16.0)])
    assert spreads["mean_deg"] == Spread(13.0, 3.0, 3)
    assert spreads["median_deg"] == Spread(6.5, 1.5, 3)
    assert spreads["flips"].std == pytest.approx(0.0)
    assert set(spreads) == {
        "mean_deg",
        "median_deg",
        "flips",
        "se_3d",
        "orientation_accuracy",
        "orientation_accuracy_median",
    }


def test_one_seed_has_no_spread_and_a_missing_metric_is_left_out():
    spreads = summarise([evaluation(10.0, accuracy=None)])
    assert spreads["mean_deg"] == Spread(10.0, None, 1)
    assert "orientation_accuracy" not in spreads
    with pytest.raises(ValueError, match="at least one evaluation"):
        summarise([])


def test_table_has_every_seed_their_spread_and_the_papers_row():
    same = format_table([result(10.0, "one"), result(14.0, "two")])
    assert "ours, 2 checkpoints" in same  # of one seed, they are no spread over seeds
    lines = format_table([result(10.0, "one"), result(14.0, "two", 1)], "chair").splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "",
        "one/last",
        "two/last",
        "ours, 2 seeds",
        "paper, chair",
    ]
    assert "10.00°" in lines[1]
    assert "12.00° ± 2.83°" in lines[3]
    assert "6.00° ± 1.41°" in lines[3]
    assert "2.5 % ± 0.0 %" in lines[3]
    assert lines[4].split() == [
        "paper,",
        "chair",
        "14.57°",
        "5.42°",
        "–",
        "0.196",
        "97.1",
        "%",
        "99.0",
        "%",
    ]
    assert len(format_table([result(10.0)]).splitlines()) == 2


def test_table_marks_what_is_missing():
    row = format_table([result(10.0, accuracy=None, se_3d=math.nan)]).splitlines()[1]
    assert row.split() == ["a/last", "10.00°", "5.00°", "2.5", "%", "–", "–", "–"]


def test_columns_are_aligned():
    assert align_columns([["", "ab"], ["long", "c"]]) == "      ab\nlong   c"


def test_document_names_everything_and_has_no_nan():
    document = results_document(
        [result(10.0), result(14.0, se_3d=math.nan)],
        command=["eval", "x"],
        protocol={"subset": "test"},
        category="car",
    )
    assert set(document) == {
        "version",
        "command",
        "protocol",
        "summary",
        "paper",
        "checkpoints",
    }
    assert document["command"] == ["eval", "x"]
    assert document["protocol"] == {"subset": "test", "models": 1, "pairs": 3}
    assert document["summary"]["mean_deg"] == {
        "mean": 12.0,
        "std": pytest.approx(2.8284271),
        "n": 2,
    }
    assert document["paper"]["category"] == "car"
    assert document["paper"]["mean_deg"] == 11.310
    first, second = document["checkpoints"]
    assert first["per_model"] == {"s/m": {"mean_deg": 10.0, "se_3d": 0.2}}
    assert first["worst"] == [{"model": "s/m", "views": [0, 1], "angle_deg": 50.0}]
    assert first["config"]["model"]["num_keypoints"] == 10
    assert (first["step"], first["seed"]) == (5, 0)
    assert second["metrics"]["se_3d"] is None
    assert second["per_model"]["s/m"]["se_3d"] is None
    assert results_document([result(1.0)], command=[], protocol={})["paper"] is None


def test_checkpoints_see_the_same_pairs(models, tmp_path):
    paths = [checkpoint(tmp_path / f"{name}.safetensors") for name in "ab"]
    first, second = evaluate_checkpoints(paths, models, pairs_per_model=5, n_worst=10)
    assert (first.step, first.evaluation.models, first.evaluation.pairs) == (7, 2, 10)
    assert first.evaluation.mean_deg != second.evaluation.mean_deg  # not the same weights
    pairs = [{(w.model, w.views) for w in r.evaluation.worst} for r in (first, second)]
    assert pairs[0] == pairs[1]
    assert set(first.evaluation.per_model) == {"views/bench", "views/stool"}


def test_another_picture_size_is_refused_unless_allowed(models, tmp_path):
    path = checkpoint(tmp_path / "big.safetensors", "data.image_size=32")
    with pytest.raises(ValueError, match=r"big\.safetensors: trained on 32x32 .* --any-size"):
        evaluate_checkpoints([path], models)
    (allowed,) = evaluate_checkpoints([path], models, any_size=True)
    assert allowed.evaluation.pairs == 12
    check_picture_size(path, TrainConfig(), (128, 128))
    with pytest.raises(ValueError, match="these are 128x96"):
        check_picture_size(path, TrainConfig(), (128, 96))


def test_all_checkpoints_are_read_before_any_is_evaluated(models, tmp_path, monkeypatch):
    monkeypatch.setattr("keypointnet.reporting.evaluate", None)  # calling it would raise TypeError
    good = checkpoint(tmp_path / "good.safetensors")
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: no such checkpoint"):
        evaluate_checkpoints([good, tmp_path / "gone.safetensors"], models)
    with pytest.raises(ValueError, match=r"good\.safetensors: given twice"):
        evaluate_checkpoints([good, good], models)
    with pytest.raises(ValueError, match="at least one checkpoint and one model, got 1 and 0"):
        evaluate_checkpoints([good], [])


def test_worst_pairs_sheet_shows_both_views_over_a_caption(models):
    network = build_model(load_config(None, TINY)).eval()
    worst = [PairResult("views/stool", (0, 3), 170.0), PairResult("views/bench", (1, 2), 80.0)]
    sheet = worst_pairs_sheet(network, models, worst)
    side = 16 * 12  # round(200 / 16) = 12 px for each pixel of a view
    assert sheet.shape == (4 + side + 20 + 4, 3 * 4 + 2 * (2 * side), 3)
    captions = sheet[4 + side : 4 + side + 20]
    left, right = captions[:, 4 : 4 + 2 * side], captions[:, -(4 + 2 * side) : -4]
    assert left.max() > 150
    assert right.max() > 150
    assert (left != right).any()
    assert (sheet[:4] == BACKGROUND).all()
    with pytest.raises(ValueError, match="no views of views/sofa"):
        worst_pairs_sheet(network, models, [PairResult("views/sofa", (0, 1), 90.0)])
