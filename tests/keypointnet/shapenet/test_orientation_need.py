from __future__ import annotations

import pytest
from trimesh.creation import box

from keypointnet.shapenet.models import Model
from keypointnet.shapenet.orientation_need import Looks, looks_of, needs_orientation_network
from keypointnet.shapes import make_model


def block(name: str, *offsets: tuple[float, float, float]) -> Model:
    knobs = [box((0.3, 0.3, 0.3)).apply_translation(offset) for offset in offsets]
    return Model(name, [box((1.4, 0.8, 1.0)), *knobs])


def test_chairs_need_it_and_may_be_mirrored() -> None:
    need = needs_orientation_network([make_model("chair", seed) for seed in (0, 2, 3)])
    assert (need.needed, need.may_mirror, need.models) == (True, True, 3)
    assert (need.mirrored, need.front_is_back) == (1.0, 0.0)
    assert "only front and back tell" in need.reason


def test_blocks_that_look_the_same_from_behind_do_not() -> None:
    need = needs_orientation_network([block("a")])
    assert (need.needed, need.front_is_back) == (False, 1.0)
    assert "front and back look the same" in need.reason


def test_classes_with_another_left_than_right_do_not() -> None:
    arms = [(0.8, 0.2, 0.3), (0.9, 0.4, 0.3), (1.1, 0.4, 0.3)]
    need = needs_orientation_network([block("left-handed", *arms)])
    assert (need.needed, need.may_mirror, need.mirrored) == (False, False, 0.0)
    assert "left and right look different" in need.reason


def test_a_half_turn_that_puts_it_upside_down_does_not_count() -> None:
    # Mirrored in x and in y: a half-turn about z exchanges left and right, but also up and down.
    front = needs_orientation_network([block("with a front", (0.0, 0.0, 0.6))])
    assert (front.needed, front.front_is_back) == (True, 0.0)


def test_a_small_part_on_one_side_leaves_it_looking_symmetric() -> None:
    lever = block("with a lever", (0.0, 0.3, 0.6))
    lever.meshes.append(box((0.2, 0.05, 0.05)).apply_translation((0.75, -0.3, 0)))
    looks = looks_of(lever.meshes)
    assert 0.95 < looks.left_right < 1.0
    assert needs_orientation_network([looks]).needed


def test_most_models_decide_and_no_models_are_refused() -> None:
    alike, other = Looks(0.97, False), Looks(0.5, False)
    need = needs_orientation_network([alike, alike, other])
    assert (need.needed, need.may_mirror) == (True, False)
    assert need.mirrored == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="expected the models of a class, got none"):
        needs_orientation_network([])
