"""The released network and losses against the numbers that the released code gave.

released_parity.npz was computed once with the public TensorFlow graph, evaluating without noise,
from the variables and records that released_case.py makes: "predicted_…" with the orientation
network's flags, "true_…" with the true ones. Nothing else of it is here; u, v, z are in its
convention.
"""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from keypointnet.checkpoints import build_model
from keypointnet.geometry import normalise_intrinsics
from keypointnet.objective import pair_losses
from keypointnet.released_weights import convert_released, released_config
from keypointnet.views.pairs import PairBatch
from keypointnet.views.published_records import PublishedStore

case = runpy.run_path(str(Path(__file__).with_name("released_case.py")))
OURS_TO_RELEASED = {
    "pose": "angular",
    "consistency": "closs",
    "separation": "seploss",
    "silhouette": "sill",
    "orientation": "lrloss",
    "variance": "vloss",
    "total": "total",
}


@pytest.fixture(scope="module")
def released():
    with np.load(Path(__file__).with_name("released_parity.npz")) as numbers:
        return dict(numbers)


@pytest.fixture(scope="module")
def config():
    return released_config(case["released_variables"](), "released")


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """The two pairs, read from a published folder."""
    folder = tmp_path_factory.mktemp("published")
    case["write_published"](folder, {"0000": case["pairs"](2, seed=4)})
    store = PublishedStore(folder)
    views = [store.view("0000", i) for i in range(4)]
    rgba = torch.from_numpy(np.stack([view.rgba for view in views])).permute(0, 3, 1, 2)
    T_world2cam = torch.from_numpy(np.stack([view.T_world2cam for view in views]))
    K = normalise_intrinsics(torch.from_numpy(store.K_px), store.size).expand(4, 3, 3)
    pairs = (tensor.unflatten(0, (2, 2)) for tensor in (rgba, T_world2cam.float(), K.float()))
    return PairBatch(*pairs, models=["0000", "0000"]).to("cpu")


@pytest.fixture(scope="module")
def model(config):
    """The same variables in our network."""
    groups, _ = convert_released(case["released_variables"](), config, "released")
    model = build_model(config).eval()
    model.load_state_dict(groups["model"])
    return model


def view_major(values):
    """(pair, view, …) → our batch: the first views, then the second ones."""
    return np.concatenate([values[:, 0], values[:, 1]])


def assert_uvz_agree(uvz, released):
    difference = np.abs(uvz.numpy() - released * [1, -1, -1]).max(axis=(0, 1))
    assert difference.max() < 1e-4, difference
    # The numbers are worth comparing: spread over the pictures, and in depth.
    assert np.ptp(released, axis=(0, 1)).min() > 0.2


def test_predictions_agree(released, model, batch):
    with torch.inference_mode():
        prediction = model(batch.rgba[:, 0, :3])
    assert_uvz_agree(prediction.uvz, released["predicted_uvz"][:, 0])
    expected = released["orient"][:, 0] * [1, -1]
    np.testing.assert_allclose(prediction.orientation_uv.numpy(), expected, atol=1e-4)


def test_training_with_true_flags_agrees(released, model, batch, config):
    seen = []

    def predict(image, **options):
        seen.append((options["gt_flag"], model(image, **options)))
        return seen[-1][1]

    with torch.no_grad():
        terms = pair_losses(predict, batch, replace(config.loss, pose_noise=0.0))
    flags, prediction = seen[0]
    assert sorted(flags.tolist()) == [0, 0, 1, 1]
    assert_uvz_agree(prediction.uvz, view_major(released["true_uvz"]))
    assert set(terms) == set(OURS_TO_RELEASED)
    for ours, name in OURS_TO_RELEASED.items():
        expected = float(released[f"true_{name}"])
        assert float(terms[ours]) == pytest.approx(expected, rel=1e-4, abs=1e-5), ours
