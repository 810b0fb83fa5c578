"""The weights that come with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from keypointnet.checkpoints import CheckpointError
from kp2seg import zoo

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", zoo.names("keypoints"))
def test_every_keypointnet_loads_and_predicts(name: str) -> None:
    entry = zoo.MODELS[name]
    model = zoo.get(name)
    side = int(name.split("-")[1])
    with torch.inference_mode():
        prediction = model(torch.zeros(1, 3, side, side))
    assert prediction.uvz.shape == (1, model.num_keypoints, 3)
    assert torch.isfinite(prediction.uvz).all()
    assert (ROOT / entry.config).is_file()
    assert zoo.path(name).stat().st_size < 2_000_000


@pytest.mark.parametrize("name", zoo.names("masks"))
def test_every_model_of_masks_loads(name: str) -> None:
    entry = zoo.MODELS[name]
    model = zoo.get(name)
    assert not model.training
    weights = torch.cat([weight.float().flatten() for weight in model.state_dict().values()])
    assert torch.isfinite(weights).all()
    assert weights.std() > 0
    assert (ROOT / entry.config).is_file()


def test_all_together_stay_small() -> None:
    assert sum(zoo.path(name).stat().st_size for name in zoo.MODELS) < 40_000_000


def test_every_class_has_two_sizes() -> None:
    classes = {"chair", "car", "aeroplane", "person"}
    assert set(zoo.names("keypoints")) == {
        f"{name}-{side}" for name in classes for side in (64, 128)
    }


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no model 'sofa'; there are .*chair-64"):
        zoo.path("sofa")


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = replace(zoo.MODELS["chair-64"], sha256="0" * 64)
    monkeypatch.setitem(zoo.MODELS, "chair-64", changed)
    with pytest.raises(CheckpointError, match="cut short or was changed"):
        zoo.get("chair-64")


def test_a_missing_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(zoo.MODELS["chair-64"], file="gone.safetensors")
    monkeypatch.setitem(zoo.MODELS, "chair-64", gone)
    with pytest.raises(CheckpointError, match="is missing"):
        zoo.path("chair-64")
