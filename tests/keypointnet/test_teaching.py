"""Networks that learn from another one's keypoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from keypointnet import evaluation, teaching
from keypointnet.config import ConfigError, TrainConfig, load_config
from keypointnet.geometry import invert_rigid, project, transform_points, unproject
from keypointnet.losses import TAUGHT_SIGMA, taught_loss
from keypointnet.model import KeypointNet, Prediction
from keypointnet.pacing import seconds_per_step
from keypointnet.teaching import POINTS_FILE, agreed_points, taught_losses, taught_points
from keypointnet.training import Trainer
from keypointnet.views.augmentation import AugmentationConfig, mirror
from keypointnet.views.pairs import PairDataset, PairSampler, open_models


@pytest.fixture
def models(blob_root: Path):
    return open_models(blob_root, "train", (32, 32))


@pytest.fixture
def config(blob_root: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(out: str, *more: str) -> TrainConfig:
        return load_config(
            None,
            [
                f"data.train=[{{path: {blob_root}, subset: train}}]",
                "data.image_size=32",
                "data.workers=0",
                "model={num_keypoints: 4, channels: 16, orientation_channels: 16}",
                "optim={steps: 3, pairs_per_step: 4}",
                f"run={{out: '{tmp_path / out}', device: cpu, log_every: 1}}",
                *more,
            ],
        )

    return make


@pytest.fixture
def teacher(config, tmp_path) -> Path:
    Trainer(config("teacher")).run()
    return tmp_path / "teacher/checkpoints/last.safetensors"


# --- the points that views agree on


def told(X_of: dict[str, torch.Tensor], wrong: int = 0):
    """A `predict_views` that sees given points (N, 3) of each model, in some views others."""

    def predict(model, views, indices, batch_size=64, *, mirrored=False, size=None):
        loaded = [views.store.view(views.model, i) for i in indices]
        T = torch.from_numpy(np.stack([view.T_world2cam for view in loaded]))
        K = torch.eye(3, dtype=torch.float64).expand(len(loaded), 3, 3)
        X = X_of[views.model].double().expand(len(loaded), -1, -1).clone()
        if mirrored:
            X = X + 1
        X[:wrong] += torch.randn(wrong, *X.shape[1:], generator=torch.Generator().manual_seed(0))
        return project(transform_points(T, X), K), T, K, None

    return predict


def test_views_agree_although_some_are_wrong(models, monkeypatch):
    X_of = {views.model: torch.rand(5, 3) - 0.5 for views in models}
    monkeypatch.setattr(evaluation, "predict_views", told(X_of, wrong=0))
    points = agreed_points(KeypointNet(5), models)
    assert points.shape == (3, 2, 5, 3)
    for found, views in zip(points, models, strict=True):
        torch.testing.assert_close(found[0], X_of[views.model], rtol=0, atol=1e-5)
        torch.testing.assert_close(found[1], X_of[views.model] + 1, rtol=0, atol=1e-5)
    monkeypatch.setattr(evaluation, "predict_views", told(X_of, wrong=4))  # of ten
    again = agreed_points(KeypointNet(5), models)
    torch.testing.assert_close(again, points, rtol=0, atol=1e-5)


def test_a_network_sees_the_mirrored_model_in_mirrored_pictures(models, teacher):
    """What is agreed on for mirrored models is what views of mirrored batches show."""
    from keypointnet.checkpoints import load_model

    network = load_model(teacher)
    points = agreed_points(network, models)
    dataset = PairDataset(models, seed=0)
    batch = dataset[next(iter(PairSampler(len(dataset), 15, seed=0)))].to("cpu")
    mirrored = mirror(batch, torch.ones(15, dtype=torch.bool))
    seen: dict[str, list[torch.Tensor]] = {}
    for view in range(2):
        with torch.inference_mode():
            uvz = network(mirrored.rgba[:, view, :3]).uvz
        X_cam = unproject(uvz, mirrored.K[:, view])
        X = transform_points(invert_rigid(mirrored.T_world2cam[:, view]), X_cam)
        for name, row in zip(batch.models, X, strict=True):
            seen.setdefault(name, []).append(row)
    for row, views in zip(points, models, strict=True):
        rows = torch.stack(seen[views.name])
        assert len(rows) == 10  # every view
        torch.testing.assert_close(rows.quantile(0.5, dim=0), row[1], rtol=0, atol=1e-3)


def test_a_teacher_sees_pictures_of_the_size_that_it_knows(models):
    sizes, network = set(), KeypointNet(3, channels=4, orientation_channels=4).eval()
    network.register_forward_pre_hook(lambda _, args: sizes.add(tuple(args[0].shape[-2:])))
    points = agreed_points(network, models, size=16)
    assert sizes == {(16, 16)}
    assert points.shape == (3, 2, 3, 3)
    agreed_points(network, models)
    assert sizes == {(16, 16), (32, 32)}


def test_the_checkpoint_tells_the_size(config, teacher, models, monkeypatch):
    seen = []

    def agreed(teacher, models, *, size, progress):
        seen.append(size)
        return torch.zeros(len(models), 2, 4, 3)

    monkeypatch.setattr("keypointnet.teaching.agreed_points", agreed)
    points = taught_points(
        config("run", f"run.teacher={teacher}", "data.image_size=64"),
        models,
        torch.device("cpu"),
    )
    assert seen == [32]
    assert points.keys() == {views.name for views in models}


# --- the loss


def test_the_loss_is_least_at_the_place():
    grid = torch.linspace(-1 + 1 / 16, 1 - 1 / 16, 16)
    place = torch.tensor([[[grid[4], grid[10], 2.0]]])

    def peak(u: float, v: float) -> torch.Tensor:
        square = (grid - u).square() + (grid - v).square()[:, None]
        return (-0.5 * square / TAUGHT_SIGMA**2).flatten().softmax(0).view(1, 1, 16, 16)

    right = taught_loss(peak(grid[4], grid[10]), place, place)
    p = peak(grid[4], grid[10])
    entropy = -(p * (p + 1e-12).log()).sum()
    torch.testing.assert_close(right, entropy)
    elsewhere = taught_loss(peak(grid[9], grid[10]), place, place)
    assert elsewhere > right + 1
    off = place + torch.tensor([0.3, 0.0, 0.4])
    torch.testing.assert_close(taught_loss(p, off, place), entropy + 5 * 0.5)


def test_the_targets_are_where_the_cameras_see_the_points(models, monkeypatch):
    dataset = PairDataset(models, seed=0)
    batch = dataset[next(iter(PairSampler(len(dataset), 4, seed=0)))].to("cpu")
    points = torch.rand(4, 2, 6, 3) - 0.5
    points[:, 0, 0] = torch.tensor([9.0, 0.0, 0.0])  # outside of every picture
    batch = batch._replace(points=points)
    targets, flags = [], []
    monkeypatch.setattr(
        teaching.losses,
        "taught_loss",
        lambda prob, uvz, wanted: targets.append(wanted) or uvz.sum(),
    )

    def network(image: torch.Tensor, **options: object) -> Prediction:
        flags.append(options["gt_share"])
        uvz = torch.zeros(len(image), 6, 3)
        return Prediction(uvz, uvz[..., 0], None, torch.ones(len(image), 6, 4, 4))

    terms = taught_losses(network, batch, load_config(None).loss, step=45_000)
    assert flags == [0.5]  # of the true orientation, as in the paper's objective
    assert terms.keys() == {"taught", "total"}
    (wanted,) = targets
    assert wanted[..., :2].abs().max() == 1
    for view in range(2):
        X_cam = transform_points(batch.T_world2cam[:, view], points[:, 0])
        uvz = project(X_cam, batch.K[:, view])
        rows = wanted[4 * view : 4 * view + 4]
        torch.testing.assert_close(rows[..., 2], uvz[..., 2])
        torch.testing.assert_close(rows[:, 1:, :2], uvz[:, 1:, :2].clamp(-1, 1))


def test_mirroring_a_batch_changes_its_points(models):
    dataset = PairDataset(models, seed=0)
    batch = dataset[next(iter(PairSampler(len(dataset), 3, seed=0)))].to("cpu")
    batch = batch._replace(points=torch.rand(3, 2, 4, 3))
    mirrored = mirror(batch, torch.tensor([True, False, True]))
    assert mirrored.points is not None
    torch.testing.assert_close(mirrored.points[[0, 2]], batch.points[[0, 2]].flip(1))
    torch.testing.assert_close(mirrored.points[1], batch.points[1])


# --- a run


def test_a_run_is_taught_and_resumes_to_the_digit(config, teacher, tmp_path):
    crowded = "data.augmentation={mirror: 0.5, background: 0.9, neighbours: 0.7, context: 1.3}"
    more = (f"run.teacher={teacher}", f"run.init={teacher}", crowded)
    whole = Trainer(config("whole", *more, "optim.steps=4"))
    whole.run()
    lines = (tmp_path / "whole/metrics.jsonl").read_text()
    assert '"taught"' in lines
    assert '"pose"' not in lines
    Trainer(config("parts", *more, "optim.steps=2", "optim.learning_rate=1e-3")).run()
    resumed = Trainer(config("parts", *more, "optim.steps=4"), resume=True)
    resumed.run()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0)


def test_a_network_learns_what_it_is_taught(config, teacher):
    fast = ("optim.steps=60", "optim.learning_rate=5e-3", "model.bn_momentum=0.1")
    trainer = Trainer(config("run", f"run.teacher={teacher}", *fast), overfit=True)
    batch = next(trainer._batches())
    generator = torch.Generator()
    first = trainer.objective(trainer.model, batch, 0, generator)["taught"].item()
    trainer.run()
    last = trainer.objective(trainer.model, batch, 0, generator)["taught"].item()
    assert last < 0.6 * first


def test_what_a_teacher_said_is_kept(config, teacher, tmp_path, monkeypatch):
    settings = config("run", f"run.teacher={teacher}", "optim.steps=1")
    trainer = Trainer(settings)
    trainer.run()
    assert (tmp_path / "run" / POINTS_FILE).exists()
    monkeypatch.setattr(teaching, "agreed_points", lambda *_, **__: pytest.fail("asked again"))
    again = Trainer(config("run", f"run.teacher={teacher}", "optim.steps=2"), resume=True)
    assert again.points.keys() == trainer.points.keys()
    for name, points in trainer.points.items():
        assert torch.equal(again.points[name], points)
    Trainer(config("other")).run()
    other = tmp_path / "other/checkpoints/last.safetensors"
    with pytest.raises(ConfigError, match=r"taught.safetensors is of another teacher, or of other"):
        Trainer(config("run", f"run.teacher={other}"), resume=True)


def test_a_teacher_leaves_the_first_weights_as_they_are(config, teacher):
    plain, taught = Trainer(config("a")), Trainer(config("b", f"run.teacher={teacher}"))
    for name, value in plain.model.state_dict().items():
        assert torch.equal(taught.model.state_dict()[name], value)


def test_the_time_of_a_step_is_that_of_its_own_objective(config, teacher, monkeypatch):
    asked = []

    def losses(predict, batch, loss, *, step, autocast):
        asked.append(batch.points.shape)
        return {"total": predict(batch.rgba[:, 0, :3]).uvz.sum()}

    monkeypatch.setattr("keypointnet.stages.taught_losses", losses)
    seconds = seconds_per_step(config("run", f"run.teacher={teacher}"), torch.device("cpu"))
    assert seconds > 0
    assert set(asked) == {(4, 2, 4, 3)}


# --- bad input


def test_a_teacher_of_another_number_of_keypoints(config, teacher):
    with pytest.raises(ConfigError, match=r"run.teacher: .* has 4 keypoints, model.num_.* is 5"):
        Trainer(config("run", f"run.teacher={teacher}", "model.num_keypoints=5"))


def test_stores_whose_models_have_one_name(config, teacher, models):
    settings = config("run", f"run.teacher={teacher}")
    with pytest.raises(ConfigError, match="two stores have a model"):
        taught_points(settings, [*models, models[0]], torch.device("cpu"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("data.augmentation.context=1.3",), "which only a run with run.teacher"),
        (("data.augmentation.context=0.5", "run.teacher=x"), "context: expected 0 or 1 to 10"),
        (("run.teacher=x", "optim.trained=orientation"), "optim.trained is 'orientation'"),
        (("data.augmentation.neighbours=2",), "neighbours: expected 0 to 1, got 2"),
    ],
)
def test_settings_that_make_no_sense(config, more, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(config("run", *more))


def test_everything_is_off_by_default():
    assert AugmentationConfig().neighbours == AugmentationConfig().context == 0
    assert load_config(None).run.teacher is None
