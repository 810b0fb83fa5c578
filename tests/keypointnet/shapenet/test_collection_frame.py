from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from keypointnet.shapenet import collection_frame
from keypointnet.shapenet.collection_frame import AXIS_TURNS, find_turned
from keypointnet.shapenet.near_duplicates import shape_signature
from keypointnet.shapes import make_model

UP_Z = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
HALF = np.diag([-1.0, 1.0, -1.0])


@pytest.fixture(scope="module")
def chairs() -> dict[str, np.ndarray]:
    return {f"chair-{k}": shape_signature(make_model("chair", k)) for k in range(14)}


def test_there_are_24_turns_and_the_first_is_none() -> None:
    assert AXIS_TURNS.shape == (24, 3, 3)
    np.testing.assert_array_equal(AXIS_TURNS[0], np.eye(3))
    np.testing.assert_allclose(np.linalg.det(AXIS_TURNS), 1.0)
    assert len(np.unique(AXIS_TURNS.reshape(24, 9), axis=0)) == 24


def test_chairs_as_they_are_made_are_aligned(chairs: dict[str, np.ndarray]) -> None:
    assert find_turned(chairs) == {}


@pytest.mark.parametrize("turn", [UP_Z, HALF], ids=["up is z", "backwards"])
def test_the_turn_that_lays_it_right_is_named(
    chairs: dict[str, np.ndarray], turn: np.ndarray
) -> None:
    wrong = {**chairs, "chair-2": chairs["chair-2"] @ turn.T.astype(np.float32)}
    found = find_turned(wrong)
    assert set(found) == {"chair-2"}
    np.testing.assert_array_equal(found["chair-2"].matrix, turn.T)
    assert found["chair-2"].turned_distance < found["chair-2"].distance
    assert "turned by" in str(found["chair-2"])


def test_of_a_few_models_nobody_can_say(chairs: dict[str, np.ndarray]) -> None:
    few = {name: chairs[name] for name in ("chair-0", "chair-1", "chair-2", "chair-3")}
    few["chair-3"] = few["chair-3"] @ UP_Z.astype(np.float32)
    assert find_turned(few) == {}
    assert find_turned({}) == {}


def test_of_many_only_references_are_held(
    chairs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    plain = collection_frame._Shape

    def counting(points: np.ndarray) -> object:
        nonlocal made
        made += 1
        return plain(points)

    monkeypatch.setattr(collection_frame, "_Shape", counting)
    monkeypatch.setattr(collection_frame, "REFERENCES", 7)
    stages = []

    def watch(items: Sequence[str], stage: str) -> Sequence[str]:
        stages.append((stage, len(items), made))
        return items

    for name in ("chair-1", "chair-2"):  # one is no reference, the other is
        wrong = {**chairs, name: chairs[name] @ UP_Z.T.astype(np.float32)}
        made = 0
        assert set(find_turned(wrong, watch=watch)) == {name}
        assert made == 14
    assert stages == [("orientation", 14, 7)] * 2


def test_only_the_named_ones_are_looked_at(chairs: dict[str, np.ndarray]) -> None:
    wrong = {
        name: points @ UP_Z.T.astype(np.float32) if name > "chair-5" else points
        for name, points in chairs.items()
    }
    assert find_turned(wrong, [name for name in wrong if name > "chair-5"]) == {}
    assert find_turned(wrong, ["chair-0", "chair-1", "chair-8"]) == {}
