import math

import numpy as np
import pytest
import roma
import torch
from torch import Tensor, nn

from keypointnet.evaluation import PairResult, choose_pairs, evaluate, predict_views
from keypointnet.geometry import normalise_intrinsics, project, transform_points
from keypointnet.model import KeypointNet, Prediction
from keypointnet.views.cameras import CameraRange, sample_cameras
from keypointnet.views.pairs import ModelViews, open_models
from keypointnet.views.storage import ViewStore, write_model_views

SIZE = (4, 6)  # h, w
VIEWS = 6
X_OBJECT = torch.tensor(
    [[1.0, 0.2, 0.3], [-1.0, 0.0, 0.4], [0.2, 0.9, 0.0], [0.0, -0.8, -0.4], [0.3, 0.0, 0.9]],
    dtype=torch.float64,
)


@pytest.fixture
def models(tmp_path) -> list[ModelViews]:
    """Models "a" and "b"; red and green of every pixel say which model and which view it is."""
    for number, model_id in enumerate("ab"):
        T, K = sample_cameras(VIEWS, np.random.default_rng(number), CameraRange(), SIZE)
        pictures = [np.full((*SIZE, 4), (number, view, 0, 255), np.uint8) for view in range(VIEWS)]
        write_model_views(tmp_path, model_id, pictures, T, K)
    store = ViewStore(tmp_path)
    return [ModelViews(store, "a"), ModelViews(store, "b")]


class Oracle(nn.Module):
    """Knows every camera; turns what it sees of odd views by `turn_deg`, about the object's +Y."""

    def __init__(self, models: list[ModelViews], turn_deg: tuple[float, float] = (0, 0)) -> None:
        super().__init__()
        self.device_of = nn.Parameter(torch.zeros(1))
        self.models, self.turn_deg = models, turn_deg
        self.orientation_right = True
        self.calls = 0

    def forward(self, image: Tensor) -> Prediction:
        assert not self.training
        self.calls += 1
        uvz, orientation_uv = [], []
        for number, view in (image[:, :2, 0, 0] * 255).round().int().tolist():
            entry = self.models[number]
            T, K_px = (torch.from_numpy(x[view]) for x in entry.store.cameras(entry.model))
            K = normalise_intrinsics(K_px, SIZE)
            angle = math.radians(self.turn_deg[number]) * (view % 2)
            R = roma.rotvec_to_rotmat(torch.tensor([0.0, angle, 0.0], dtype=torch.float64))
            uvz.append(project(transform_points(T, X_OBJECT @ R.T), K))
            axis = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]], dtype=torch.float64)
            uv = project(transform_points(T, axis), K)[:, :2]
            orientation_uv.append(uv if self.orientation_right or view == 0 else uv.flip(0))
        n = len(image)
        return Prediction(torch.stack(uvz), torch.ones(n, 5), torch.stack(orientation_uv), None)


def test_choose_pairs_literal():
    rng = np.random.default_rng(0)
    assert choose_pairs(6, 3, rng).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert choose_pairs(7, 2, rng).tolist() == [[0, 1], [2, 3]]
    drawn = choose_pairs(4, 100, rng).tolist()
    assert sorted(drawn) == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    some = choose_pairs(10, 20, rng)
    assert some.shape == (20, 2)
    assert (some[:, 0] < some[:, 1]).all()
    assert len({tuple(pair) for pair in some.tolist()}) == 20
    assert choose_pairs(200, 100, rng).tolist() == [[2 * k, 2 * k + 1] for k in range(100)]


def test_choose_pairs_needs_two_views():
    with pytest.raises(ValueError, match="a pair needs 2 views, got 1"):
        choose_pairs(1, 5, np.random.default_rng(0))


def test_points_glued_to_the_object_are_perfect(models):
    result = evaluate(Oracle(models), models, pairs_per_model=3)
    assert result.mean_deg < 1e-6
    assert result.median_deg < 1e-6
    assert result.flips == 0
    assert result.se_3d < 1e-9
    assert result.orientation_accuracy == result.orientation_accuracy_median == 1
    assert (result.models, result.pairs) == (2, 6)


def test_half_turns_are_flips_and_have_no_3d_error(models):
    result = evaluate(Oracle(models, (180, 180)), models, pairs_per_model=3)
    assert result.flips == 1
    assert result.mean_deg == pytest.approx(180, abs=1e-3)
    assert math.isnan(result.se_3d)


def test_known_angles(models):
    result = evaluate(Oracle(models, (10, 40)), models, pairs_per_model=3, n_worst=4)
    assert result.mean_deg == pytest.approx(25)
    assert result.median_deg == pytest.approx(25)
    a, b = (result.per_model[entry.name] for entry in models)
    assert (a["mean_deg"], b["mean_deg"]) == pytest.approx((10, 40))
    assert (a["median_deg"], b["median_deg"]) == pytest.approx((10, 40))
    # In the object frame half the views are turned: each point is half a chord off its mean.
    radius = X_OBJECT[:, [0, 2]].norm(dim=1).mean()
    for stats, angle in ((a, 10), (b, 40)):
        assert stats["se_3d"] == pytest.approx(math.sin(math.radians(angle / 2)) * float(radius))
    assert result.se_3d == pytest.approx((a["se_3d"] + b["se_3d"]) / 2)
    assert [worst.model for worst in result.worst] == [models[1].name] * 3 + [models[0].name]
    assert result.worst[0].angle_deg == pytest.approx(40)
    assert {worst.views for worst in result.worst[:3]} == {(0, 1), (2, 3), (4, 5)}
    assert isinstance(result.worst[0], PairResult)


def test_the_median_of_an_even_number_of_pairs_is_between_the_middle_ones(models):
    class Sloppy(Oracle):
        def forward(self, image: Tensor) -> Prediction:
            prediction = super().forward(image)
            views = (image[:, 1, 0, 0] * 255).round()
            turned = prediction.uvz.clone()
            turned[views == 3] = prediction.uvz[views == 3][:, [1, 0, 2, 3, 4]]
            return prediction._replace(uvz=turned)

    result = evaluate(Sloppy(models), models[:1], pairs_per_model=2)
    angles = sorted(worst.angle_deg for worst in result.worst)
    assert angles[0] < 1e-6 < angles[1]
    (stats,) = result.per_model.values()
    assert stats["median_deg"] == pytest.approx(sum(angles) / 2)
    assert result.median_deg == stats["median_deg"]


def test_flipped_pairs_do_not_enter_the_3d_error(models):
    result = evaluate(Oracle(models, (180, 10)), models, pairs_per_model=3)
    a, b = (result.per_model[entry.name] for entry in models)
    assert math.isnan(a["se_3d"])
    assert result.flips == 0.5
    assert result.se_3d == b["se_3d"]


def test_orientation_accuracy_counts_wrong_flags(models):
    oracle = Oracle(models)
    oracle.orientation_right = False  # but for view 0
    result = evaluate(oracle, models, pairs_per_model=3)
    assert result.orientation_accuracy == pytest.approx(1 / VIEWS)


def test_pairs_are_drawn_by_the_seed(models):
    def worst(seed: int) -> list[PairResult]:
        return evaluate(Oracle(models, (1, 2)), models, pairs_per_model=4, seed=seed).worst

    assert worst(0) == worst(0)
    assert {(w.model, w.views) for w in worst(0)} != {(w.model, w.views) for w in worst(1)}


def test_every_view_is_predicted_once(models):
    oracle = Oracle(models)
    evaluate(oracle, models, pairs_per_model=100)
    assert oracle.calls == 2


def test_batches_of_views_are_put_together(models):
    oracle = Oracle(models).eval()
    uvz, T_world2cam, K, flags = predict_views(oracle, models[1], [4, 0, 3], batch_size=2)
    whole = predict_views(oracle, models[1], [4, 0, 3])
    assert uvz.shape == (3, 5, 3)
    assert uvz.dtype == torch.float64
    assert torch.equal(uvz, whole[0])
    assert flags is not None
    assert torch.equal(flags, whole[3])
    T, K_px = models[1].store.cameras("b")
    torch.testing.assert_close(T_world2cam, torch.from_numpy(T[[4, 0, 3]]))
    expected = normalise_intrinsics(torch.from_numpy(K_px[[4, 0, 3]]), SIZE)
    torch.testing.assert_close(K, expected)


def test_a_network_is_evaluated_without_noise_and_given_back_as_it_was(blob_root):
    model = KeypointNet(4, channels=8, orientation_channels=0).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    models = open_models(blob_root, "test", (32, 32))
    first, second = (evaluate(model, models, pairs_per_model=5) for _ in range(2))
    assert first.summary() == second.summary()
    assert first.orientation_accuracy is None
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert "per_model" not in first.summary()
    assert first.summary()["pairs"] == 5


def test_nothing_to_evaluate_on():
    with pytest.raises(ValueError, match="expected at least one model, got none"):
        evaluate(KeypointNet(4, channels=8), [])
