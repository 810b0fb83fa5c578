"""Networks that are told the true points of a parametric family."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from keypointnet.checkpoints import load_model, read_checkpoint
from keypointnet.config import ConfigError, TrainConfig, load_config
from keypointnet.evaluation import evaluate
from keypointnet.losses import taught_loss
from keypointnet.shapes import FAMILY_POINTS, make_model
from keypointnet.shapes.chair_points import CHAIR_POINTS
from keypointnet.shapes.object_points import PointSet
from keypointnet.teaching import POINTS_FILE, taught_points
from keypointnet.training import Trainer
from keypointnet.true_points import true_points
from keypointnet.views.generate import RenderSettings, model_rng, plan_jobs, prepare_store
from keypointnet.views.pairs import open_models
from keypointnet.views.sources import find_sources
from keypointnet.views.variation import vary_model
from keypointnet.views.workers import render_jobs

SETTINGS = RenderSettings(size=(32, 32), views=4, seed=5, variation=0.5)


@pytest.fixture(scope="module")
def chairs(tmp_path_factory) -> Path:
    """Three chairs and a variant of each."""
    out = tmp_path_factory.mktemp("views") / "chairs"
    prepare_store(out, SETTINGS)
    jobs, _ = plan_jobs(find_sources("chair:3"), out, variants=1)
    assert all(outcome.error is None for outcome in render_jobs(jobs, out, SETTINGS))
    return out


@pytest.fixture
def config(chairs: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(*more: str) -> TrainConfig:
        return load_config(
            None,
            [
                f"data.train=[{{path: '{chairs}', subset: all}}]",
                "data.image_size=32",
                "data.workers=0",
                "data.augmentation={mirror: 0.5, context: 1.3}",
                "model={num_keypoints: 12, channels: 8, orientation_channels: 0}",
                "optim={steps: 2, pairs_per_step: 4}",
                f"run={{out: '{tmp_path / 'run'}', device: cpu, log_every: 1, points: chair}}",
                *more,
            ],
        )

    return make


def test_points_are_those_of_each_model_and_of_each_variant(chairs):
    models = open_models(chairs, "all", (32, 32))
    assert [views.model for views in models][:2] == ["chair-00000", "chair-00000@1"]
    points = true_points("chair", models)
    assert points.shape == (6, 2, 12, 3)
    where = FAMILY_POINTS["chair"][1]
    chair = make_model("chair", 2)
    np.testing.assert_allclose(points[4, 0], where(chair), atol=1e-6)
    varied = vary_model(chair, model_rng(5, "chair-00002@1", "variation"), 0.5)
    np.testing.assert_allclose(points[5, 0], where(varied), atol=1e-6)
    assert not np.allclose(points[4, 0], points[5, 0], atol=1e-3, equal_nan=True)


def test_a_mirrored_model_calls_its_left_left(chairs):
    points = true_points("chair", open_models(chairs, "all", (32, 32)))
    left = [k for k, name in enumerate(CHAIR_POINTS.names) if name.startswith("left_")]
    for mirrored in (0, 1):
        x = points[:, mirrored, left, 0]
        assert (x[x.isfinite()] <= 0).all()
    few = PointSet(("nose", "left_ear", "right_ear"), ())
    given = np.array([[0.1, 1, 2], [-3, 4, 5], [6, 7, 8.0]])
    np.testing.assert_array_equal(few.mirrored(given), [[-0.1, 1, 2], [-6, 7, 8], [3, 4, 5.0]])
    np.testing.assert_array_equal(few.mirrored(few.mirrored(given)), given)


def test_a_lacking_point_is_not_in_the_loss():
    prob = torch.rand(2, 3, 8, 8).flatten(2).softmax(-1).view(2, 3, 8, 8).requires_grad_()
    uvz, wanted = torch.rand(2, 3, 3, requires_grad=True), torch.rand(2, 3, 3)
    lacking = wanted.clone()
    lacking[0, 1] = torch.nan
    loss = taught_loss(prob, uvz, lacking)
    loss.backward()
    assert prob.grad.isfinite().all()
    assert (uvz.grad[0, 1] == 0).all()
    assert (uvz.grad[1] != 0).any(dim=-1).all()
    parts = [
        taught_loss(
            prob[i : i + 1, k : k + 1], uvz[i : i + 1, k : k + 1], wanted[i : i + 1, k : k + 1]
        )
        for i in range(2)
        for k in range(3)
        if (i, k) != (0, 1)
    ]
    torch.testing.assert_close(loss, torch.stack(parts).mean())
    assert taught_loss(prob, uvz, torch.full_like(wanted, torch.nan)) == 0


def test_a_run_with_points_that_models_lack_trains_resumes_and_is_evaluated(
    config, chairs, tmp_path
):
    trainer = Trainer(config())
    assert any(points.isnan().any() for points in trainer.points.values())
    trainer.run()
    assert (tmp_path / "run" / POINTS_FILE).exists()
    again = Trainer(config("optim.steps=3"), resume=True)
    for name, points in trainer.points.items():
        torch.testing.assert_close(again.points[name], points, rtol=0, atol=0, equal_nan=True)
    again.run()
    last = tmp_path / "run/checkpoints/last.safetensors"
    assert read_checkpoint(last).config.run.points == "chair"
    result = evaluate(load_model(last), open_models(chairs, "all", (32, 32)), pairs_per_model=2)
    assert np.isfinite(result.mean_deg)
    fewer = open_models(chairs, "all", (32, 32))[:2]
    with pytest.raises(ConfigError, match=r"run.points: .*taught.safetensors is of another"):
        taught_points(config(), fewer, torch.device("cpu"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("model.num_keypoints=10",), "chair has 12 points, model.num_keypoints is 10"),
        (("run.points=table",), "no family 'table' with true points; there are chair, person"),
        (("run.points=person", "model.num_keypoints=17"), "chair-00000 is no model of the family"),
        (("run.teacher=x",), "there is run.teacher, too"),
        (("model.orientation_channels=8", "optim.trained=orientation"), "run.points: teaches"),
    ],
)
def test_settings_that_make_no_sense(config, more, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(config(*more))
