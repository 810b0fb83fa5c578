from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from keypointnet.shapenet.part_correspondence import assign, correspond, part_costs
from keypointnet.shapenet.parts import Part, part_of_corners
from keypointnet.shapes.primitives import box

Box = tuple[tuple[float, float, float], tuple[float, float, float]]

SEAT: Box = ((1.0, 0.1, 1.0), (0, 0, 0))
BACK: Box = ((1.0, 1.0, 0.1), (0, 0.5, 0.45))
LEFT_LEG: Box = ((0.1, 1.0, 0.1), (-0.4, -0.5, 0))
RIGHT_LEG: Box = ((0.1, 1.0, 0.1), (0.4, -0.5, 0))


def part(name: str, shape: Box) -> Part:
    piece = box(*shape)
    return part_of_corners(name, piece.vertices[piece.faces])


def chair(names: list[str], shapes: tuple[Box, ...] = (SEAT, BACK, LEFT_LEG, RIGHT_LEG)) -> Part:
    return Part("chair", children=[part(n, s) for n, s in zip(names, shapes, strict=True)])


NUMBERS = ["component 1", "component 2", "component 3", "component 4"]


def pairs(first: Part, second: Part, **how: bool) -> list[tuple[str, str, str]]:
    found = correspond(first, second, **how).matches
    return [(match.first.name, match.second.name, match.by) for match in found]


def test_a_model_corresponds_to_itself_in_any_order() -> None:
    first = chair(NUMBERS)
    second = Part("chair", children=first.children[::-1])
    found = correspond(first, second)
    assert [(m.first.name, m.second.name) for m in found.matches] == [(n, n) for n in NUMBERS]
    np.testing.assert_allclose([match.score for match in found.matches], 1.0, atol=1e-9)
    assert (found.only_first, found.only_second) == ([], [])


def test_shapes_find_each_other_in_a_stretched_model() -> None:
    tall = [((1.0, 0.1, 1.0), (0, 0.3, 0)), ((1.0, 0.6, 0.1), (0, 0.6, 0.45))]
    tall += [((0.08, 2.0, 0.08), (x, -0.7, 0.1)) for x in (-0.4, 0.4)]
    first, second = chair(NUMBERS), chair(["a", "b", "c", "d"], tuple(tall))
    expected = [(name, other, "shape") for name, other in zip(NUMBERS, "abcd", strict=True)]
    assert pairs(first, second) == expected


def test_the_scale_of_a_model_plays_no_role() -> None:
    first = chair(NUMBERS)
    corners = [2.5 * p.vertices[p.faces] / 5 for p in first.children]
    second = Part("small", children=[part_of_corners("x", c) for c in corners])
    costs = part_costs(first.children, second.children, first, second)
    np.testing.assert_allclose(np.diag(costs), 0, atol=1e-9)


def test_left_is_never_taken_for_right() -> None:
    first = chair(NUMBERS[:2], (SEAT, LEFT_LEG))
    second = chair(NUMBERS[:2], (SEAT, RIGHT_LEG))
    # the seat keeps both models alike; but for their sides, the legs would cost 1.6
    found = correspond(first, second, max_cost=2.0)
    assert [match.first.name for match in found.matches] == ["component 1"]
    assert [p.name for p in found.only_first] == [p.name for p in found.only_second]
    both = chair(["seat", "leg 1", "leg 2"], (SEAT, RIGHT_LEG, LEFT_LEG))
    legs = {
        m.first.name: m.second.name
        for m in correspond(
            both, chair(["seat", "leg 7", "leg 8"], (SEAT, LEFT_LEG, RIGHT_LEG))
        ).matches
    }
    assert legs == {"seat": "seat", "leg 1": "leg 8", "leg 2": "leg 7"}


def test_the_side_axis_may_be_another() -> None:
    def turned(shape: Box) -> Box:
        (x, y, z), (a, b, c) = shape
        return (z, y, x), (c, b, a)

    first = chair(["a", "b"], (turned(SEAT), turned(LEFT_LEG)))
    second = chair(["c", "d"], (turned(SEAT), turned(RIGHT_LEG)))
    assert len(correspond(first, second, max_cost=2.0).matches) == 2
    assert len(correspond(first, second, max_cost=2.0, side_axis=2).matches) == 1


def test_names_come_before_shapes() -> None:
    # each name sits on the other's shape
    first, second = (
        chair(["seat", "back"], (SEAT, BACK)),
        chair(["Back.001", "Seats"], (SEAT, BACK)),
    )
    assert pairs(first, second) == [("seat", "Seats", "name"), ("back", "Back.001", "name")]
    assert pairs(first, second, names=False) == [
        ("seat", "Back.001", "shape"),
        ("back", "Seats", "shape"),
    ]


def test_parts_with_different_names_stay_apart_where_names_are_used() -> None:
    first, second = chair(["seat", "back"], (SEAT, BACK)), chair(["seat", "shelf"], (SEAT, BACK))
    found = correspond(first, second)
    assert [match.by for match in found.matches] == ["name"]
    assert ([p.name for p in found.only_first], [p.name for p in found.only_second]) == (
        ["back"],
        ["shelf"],
    )
    # a name that says less than another, or nothing, does not speak against it
    third = chair(["seat", "rear back"], (SEAT, BACK))
    assert pairs(first, third)[1] == ("back", "rear back", "shape")
    fourth = chair(["seat", "mesh 3"], (SEAT, BACK))
    assert pairs(first, fourth)[1] == ("back", "mesh 3", "shape")
    # nor does the model's own name
    fifth = chair(["chair_seat", "chair_back"], (BACK, SEAT))
    assert pairs(first, fifth) == [("seat", "chair_seat", "name"), ("back", "chair_back", "name")]
    # two vocabularies with nothing in common
    sixth = chair(["Sitz", "Lehne"], (SEAT, BACK))
    assert pairs(first, sixth) == [("seat", "Sitz", "shape"), ("back", "Lehne", "shape")]


def test_a_part_that_the_other_lacks_stays_alone() -> None:
    first, second = chair(NUMBERS), chair(NUMBERS[:3], (SEAT, LEFT_LEG, RIGHT_LEG))
    found = correspond(first, second)
    assert [p.name for p in found.only_first] == ["component 2"]
    assert found.only_second == []
    assert len(found.matches) == 3


def test_trees_are_compared_level_by_level_and_leaves_anywhere() -> None:
    def grouped() -> Part:
        seat, back, left, right = chair(["seat", "back", "leg", "leg"]).children
        return Part("chair", children=[seat, back, Part("legs", children=[left, right])])

    assert pairs(grouped(), grouped()) == [
        ("seat", "seat", "name"),
        ("back", "back", "name"),
        ("legs", "legs", "name"),
        ("leg", "leg", "name"),
        ("leg", "leg", "name"),
    ]
    based = grouped()
    based.children[2].name = "chair_base"
    legs = Part("leg", children=chair(["piece 1", "piece 2"], (LEFT_LEG, RIGHT_LEG)).children)
    other = Part("chair", children=[*chair(["seat", "back"], (SEAT, BACK)).children, legs])
    assert pairs(based, other)[2:] == [
        ("chair_base", "leg", "shape"),
        ("leg", "piece 1", "shape"),
        ("leg", "piece 2", "shape"),
    ]
    flat = chair(["seat", "back", "leg", "leg"])
    assert len(pairs(grouped(), flat)) == 3
    assert len(pairs(grouped(), flat, leaves=True)) == 4
    assert correspond(part("a", SEAT), part("b", SEAT), leaves=True).matches[0].score == 1.0
    assert correspond(part("a", SEAT), part("b", SEAT)).matches == []


def test_a_cloud_corresponds_to_a_surface() -> None:
    solid = chair(NUMBERS)
    rng = np.random.default_rng(0)
    parts = []
    for p in solid.children:
        corners = p.vertices[p.faces]
        area = np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        chosen = corners[rng.choice(len(area), int(600 * area.sum()), p=area / area.sum())]
        weights = rng.dirichlet([1, 1, 1], len(chosen))
        parts.append(Part(p.name, np.einsum("nk,nkd->nd", weights, chosen)))
    found = correspond(solid, Part("cloud", children=parts), names=False)
    assert [(m.first.name, m.second.name) for m in found.matches] == [(n, n) for n in NUMBERS]
    assert min(match.score for match in found.matches) > 0.8


def best_by_trying(costs: np.ndarray, max_cost: float) -> float:
    """The lowest total over every way to pair rows with columns, or to leave them alone."""
    n, m = costs.shape
    padded = np.concatenate([costs, np.full((n, n), np.inf)], axis=1)
    best = np.inf
    for columns in permutations(range(m + n), n):
        taken = [(k, j) for k, j in enumerate(columns) if j < m]
        alone = n + m - 2 * len(taken)
        best = min(best, sum(padded[k, j] for k, j in taken) + alone * max_cost / 2)
    return best


@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (1, 1), (3, 3)])
def test_assign_is_as_good_as_trying_everything(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        costs = rng.uniform(0, 2, shape)
        chosen = assign(costs, 1.0)
        alone = sum(shape) - 2 * len(chosen)
        total = sum(costs[k, j] for k, j in chosen) + alone * 0.5
        assert total == pytest.approx(best_by_trying(costs, 1.0))
        assert all(costs[k, j] < 1.0 for k, j in chosen)
    assert assign(np.zeros((0, 3)), 1.0) == []


def test_an_empty_part_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="'ghost' has neither faces nor points"):
        correspond(chair(NUMBERS), Part("x", children=[Part("ghost"), part("a", SEAT)]))
