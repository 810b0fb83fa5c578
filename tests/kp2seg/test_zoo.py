"""The weights that come with the package."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from keypointnet.checkpoints import CheckpointError, read_checkpoint
from keypointnet.tensor_files import read_tensors
from kp2seg import zoo
from kp2seg.bundle import bundled_category
from kp2seg.checkpoints import read_seg_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", zoo.names("keypoints"))
def test_every_keypointnet_loads_and_predicts(name: str) -> None:
    entry = zoo.MODELS[name]
    model = zoo.get(name)
    side = read_checkpoint(zoo.path(name)).config.data.image_size
    with torch.inference_mode():
        prediction = model(torch.zeros(1, 3, side, side))
    assert prediction.uvz.shape == (1, model.num_keypoints, 3)
    assert torch.isfinite(prediction.uvz).all()
    assert (ROOT / entry.config).is_file()


@pytest.mark.parametrize("name", zoo.names("masks"))
def test_every_model_of_masks_loads(name: str) -> None:
    entry = zoo.MODELS[name]
    model = zoo.get(name)
    assert not model.training
    weights = torch.cat([weight.float().flatten() for weight in model.state_dict().values()])
    assert torch.isfinite(weights).all()
    assert weights.std() > 0
    assert (ROOT / entry.config).is_file()


@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_stored_number_is_finite(name: str) -> None:
    groups, _ = read_tensors(zoo.path(name))
    for weights in groups.values():
        for key, tensor in weights.items():
            assert torch.isfinite(tensor).all(), key


def test_a_model_that_finds_keypoints_knows_its_class() -> None:
    checkpoint = read_seg_checkpoint(zoo.path("chairs-light"))
    assert bundled_category(checkpoint.config) == {"id": 62, "name": "chair"}  # as COCO has it


RESULTS = {
    **{name: f"{name}.json" for name in zoo.names("keypoints") if name != "chair-64"},
    "person-pictures": "discovery.json",
    "people-light": "people-light-cocopersons_val.json",
    "chairs-light": "chairs-light.json",
}
"""Model → its results; those of chair-64 have three seeds."""


@pytest.mark.parametrize("name", RESULTS)
def test_metrics_are_those_of_the_results(name: str) -> None:
    document = json.loads((ROOT / "docs/results" / RESULTS[name]).read_text())
    if "summary" in document:
        found = {key: value["mean"] for key, value in document["summary"].items()}
    elif "rows" in document:
        found = document["rows"][name]
    else:
        found = {f"AP_{mode}": scores["AP"] for mode, scores in document["scores"].items()}
        found["mean_iou"] = document["mean_iou"]
    for key, published in zoo.MODELS[name].metrics.items():
        digits = 2 if key.endswith("_deg") else 3
        assert published == pytest.approx(found[key], abs=0.51 * 10**-digits)


def test_they_stay_small() -> None:
    for name in set(zoo.names("keypoints")) - {"person-pictures"}:  # its trunk has seen ImageNet
        assert zoo.path(name).stat().st_size < 2_000_000
    assert sum(zoo.path(name).stat().st_size for name in zoo.MODELS) < 40_000_000


def test_every_class_has_two_sizes() -> None:
    classes = {"chair", "car", "aeroplane", "person"}
    sides = {f"{name}-{side}" for name in classes for side in (64, 128)}
    assert set(zoo.names("keypoints")) == sides | {"person-pictures"}


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
