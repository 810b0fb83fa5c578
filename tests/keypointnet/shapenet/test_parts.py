from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from keypointnet.shapenet.parts import (
    Part,
    name_words,
    part_of_corners,
    singular,
    tree_json,
    tree_lines,
)
from keypointnet.shapes.primitives import box


def block(size: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
    """Corners (12, 3, 3) of a box."""
    piece = box(size, centre)
    return piece.vertices[piece.faces]


def table() -> Part:
    top = part_of_corners("top", block((2.0, 0.2, 1.0), (0, 0.9, 0)), material="oak")
    legs = [
        part_of_corners(f"leg {k}", block((0.2, 1.8, 0.2), (x, -0.1, 0)))
        for k, x in enumerate((-0.8, 0.8))
    ]
    return Part("table", children=[top, Part("legs", children=legs)])


def test_a_box_has_the_measures_of_a_box() -> None:
    part = part_of_corners("block", block((2.0, 0.2, 1.0), (0, 0.5, -0.3)))
    assert (part.vertices.shape, part.faces.shape) == ((10, 3), (16, 3))
    np.testing.assert_allclose(part.extents, [2.0, 0.2, 1.0])
    np.testing.assert_allclose(part.centroid, [0, 0.5, -0.3], atol=1e-12)
    assert part.area == pytest.approx(2 * (2.0 * 0.2 + 0.2 * 1.0 + 2.0 * 1.0))
    assert part.volume == pytest.approx(0.4)


def test_moments_of_a_surface_are_those_of_many_points_on_it() -> None:
    corners = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 0.5], [0.2, 0.9, 1]]])
    part = part_of_corners("two triangles", corners.astype(float))
    u, v = np.meshgrid((np.arange(400) + 0.5) / 400, (np.arange(400) + 0.5) / 400)
    inside = (u + v) < 1
    weights = np.stack([1 - u - v, u, v], axis=-1)[inside]
    points = [weights @ triangle for triangle in corners]
    share = np.array([0.5, np.linalg.norm(np.cross(corners[1, 1], corners[1, 2])) / 2])
    mean = sum(s * p.mean(axis=0) for s, p in zip(share, points, strict=True)) / share.sum()
    spread = sum(s * (p - mean).T @ (p - mean) / len(p) for s, p in zip(share, points, strict=True))
    mass, centroid, covariance = part.moments
    assert mass == pytest.approx(share.sum())
    np.testing.assert_allclose(centroid, mean, atol=2e-3)
    np.testing.assert_allclose(covariance, spread / share.sum(), atol=2e-3)


def test_a_parent_is_measured_with_its_children() -> None:
    root = table()
    np.testing.assert_allclose(root.bounds, [[-1, -1, -0.5], [1, 1, 0.5]])
    assert root.surface[1].shape == (48, 3)
    assert root.area == pytest.approx(sum(leaf.area or 0 for leaf in root.leaves()))
    assert root.volume == pytest.approx(0.4 + 2 * 0.072)
    assert [(depth, part.name) for depth, part in root.walk()] == [
        (0, "table"),
        (1, "top"),
        (1, "legs"),
        (2, "leg 0"),
        (2, "leg 1"),
    ]


def test_an_open_surface_and_a_cloud_have_no_volume() -> None:
    assert part_of_corners("open", block((1, 1, 1), (0, 0, 0))[:-1]).volume is None
    cloud = Part("cloud", np.array([[0.0, 0, 0], [2, 0, 0]]))
    assert (cloud.volume, cloud.area) == (None, None)
    np.testing.assert_allclose(cloud.moments[2], np.diag([1.0, 0, 0]))


def test_a_part_with_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="'ghost' has neither faces nor points"):
        _ = Part("ghost").bounds
    with pytest.raises(ValueError, match="neither faces nor points"):
        _ = Part("ghost").moments
    assert tree_lines(Part("ghost")) == ["ghost: empty"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Chair_Legs.012", ["chair", "leg"]),
        ("leftFrontLeg", ["left", "front", "leg"]),
        ("Mesh12 Group3 Model", []),
        ("component 7", []),
        ("", []),
        ("a_b_1", []),
        ("Stuhlbeine ä", ["stuhlbeine"]),
    ],
)
def test_name_words(name: str, words: list[str]) -> None:
    assert name_words(name) == words
    assert Part(name).named == bool(words)


def test_singular() -> None:
    nouns = ["legs", "glasses", "bodies", "bus", "glass", "boxes", "back", "bases", "arms", "buses"]
    expected = ["leg", "glass", "body", "bus", "glass", "box", "back", "base", "arm", "bus"]
    assert [singular(noun) for noun in nouns] == expected


def test_tree_lines_show_the_tree_and_what_is_known() -> None:
    root = table()
    root.mass_kg = 12.5
    for _, part in root.walk():
        part.cm_per_unit = 50.0
    assert tree_lines(root) == [
        "table: 2.000 x 2.000 x 1.000 (100.0 x 100.0 x 50.0 cm) 12.5 kg",
        "├─ top: 2.000 x 0.200 x 1.000 (100.0 x 10.0 x 50.0 cm) oak",
        "└─ legs: 1.800 x 1.800 x 0.200 (90.0 x 90.0 x 10.0 cm)",
        "   ├─ leg 0: 0.200 x 1.800 x 0.200 (10.0 x 90.0 x 10.0 cm)",
        "   └─ leg 1: 0.200 x 1.800 x 0.200 (10.0 x 90.0 x 10.0 cm)",
    ]
    assert tree_lines(root, most=1)[1:] == [
        "├─ top: 2.000 x 0.200 x 1.000 (100.0 x 10.0 x 50.0 cm) oak",
        "└─ and 1 more",
    ]


def test_tree_json_can_be_written_and_counts_everything(tmp_path: Path) -> None:
    root = table()
    root.mass_kg = 12.5
    (tmp_path / "tree.json").write_text(json.dumps(tree_json(root)))
    value = json.loads((tmp_path / "tree.json").read_text())
    assert (value["name"], value["mass_kg"], value["n_faces"]) == ("table", 12.5, 48)
    assert value["bounds"] == [[-1, -1, -0.5], [1, 1, 0.5]]
    assert [child["name"] for child in value["children"]] == ["top", "legs"]
    assert value["children"][0]["material"] == "oak"
    assert "mass_kg" not in value["children"][0]
