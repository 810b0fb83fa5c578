import math

import pytest
import torch

from kp2seg.affine import letterbox, transform_points
from kp2seg.modeling.region_matching import box_regions, match_regions, random_jitter

F64 = torch.float64
UPRIGHT = torch.tensor([[[10.0, 20], [30, 60], [15, 30]]], dtype=F64)
SIZE = torch.tensor([[100.0, 200.0]], dtype=F64)
DIAMOND = torch.tensor([[[0.5, 0.1, 2], [0.2, 0.5, 2], [0.8, 0.5, 2], [0.5, 0.9, 2]]], dtype=F64)


def boxes(kpts, visibility=None, frame=(64, 64), **settings):
    seen = torch.full(kpts.shape[:2], 2) if visibility is None else torch.tensor(visibility)
    size = SIZE.expand(len(kpts), 2)
    return box_regions(kpts, seen, source_size=size, align_size=frame, **settings)


def matrix(scale, tx, ty):
    return torch.tensor([[scale, 0, tx], [0, scale, ty], [0, 0, 1]], dtype=F64)


@pytest.mark.parametrize(
    ("frame", "scale"), [((64, 64), 64 / 68), ((48, 64), 48 / 68), ((90, 30), 30 / 34)]
)
def test_a_box_by_hand(frame, scale):
    # The points' box is 20 x 40 about (20, 40), with 1.7 it is 34 x 68.
    h, w = frame
    expected = matrix(scale, w / 2 - 20 * scale, h / 2 - 40 * scale)
    torch.testing.assert_close(boxes(UPRIGHT, frame=frame)[0], expected)


@pytest.mark.parametrize("found", [{"matching": "box"}, {"fallback": "box"}])
def test_how_much_larger_than_the_box_a_region_is(found):
    args = {"source_size": SIZE, "align_size": (64, 64)}
    nothing_fits = torch.zeros(0, 3, 3, dtype=F64)
    seen = torch.full((1, 3), 2)
    regions = match_regions(UPRIGHT, seen, nothing_fits, box_expand=1.25, **found, **args)
    torch.testing.assert_close(regions.A_src2align, boxes(UPRIGHT, expand=1.25))


def test_a_line_is_given_some_width():
    line = torch.tensor([[[10.0, 10], [10, 70]]], dtype=F64)
    # 0 x 60 grows to 34 x 102; a frame 10 px wide holds a third of it.
    assert boxes(line, frame=(60, 10))[0, 0, 0].item() == pytest.approx(10 / 34)


def test_missing_points_do_not_count_even_nan():
    kpts = torch.cat([UPRIGHT, torch.full((1, 2, 2), torch.nan, dtype=F64)], 1)
    A = boxes(kpts, [[2, 1, 2, 0, 0]])
    torch.testing.assert_close(A, boxes(UPRIGHT))


@pytest.mark.parametrize("visibility", [[0, 0, 0], [2, 0, 0]])
def test_without_a_box_it_is_the_whole_source(visibility):
    whole = letterbox((100, 200), (64, 64), torch.device("cpu"))
    torch.testing.assert_close(boxes(UPRIGHT, [visibility])[0], whole)
    torch.testing.assert_close(boxes(UPRIGHT[:, :1].expand(1, 3, 2))[0], whole)
    nan = torch.full_like(UPRIGHT, torch.nan)
    torch.testing.assert_close(boxes(nan, [[0, 0, 0]])[0], whole)


def test_nobody_has_no_region():
    assert boxes(UPRIGHT[:0]).shape == (0, 3, 3)
    none = match_regions(
        torch.zeros(0, 4, 2),
        torch.zeros(0, 4, dtype=torch.long),
        DIAMOND,
        source_size=torch.zeros(0, 2),
        align_size=(64, 64),
        fallback="box",
    )
    assert none.A_src2align.shape == (0, 3, 3)


def match(**settings):
    """Two diamonds, the second with two points only, in a source of 100x200."""
    kpts = (DIAMOND[..., :2] * 50 + torch.tensor([30.0, 20.0], dtype=F64)).repeat(2, 1, 1)
    visibility = torch.tensor([[2, 2, 2, 2], [2, 0, 0, 2]])
    frame = settings.pop("align_size", (64, 64))
    return match_regions(
        kpts, visibility, DIAMOND, source_size=SIZE.expand(2, 2), align_size=frame, **settings
    )


def test_a_template_and_the_whole_source():
    found = match()
    assert found.template.tolist() == [0, -1]
    torch.testing.assert_close(found.A_src2align[0], matrix(1.28, -30 * 1.28, -20 * 1.28))
    torch.testing.assert_close(found.A_src2align[1], matrix(0.32, 0, 16))
    assert found.score.tolist() == pytest.approx([1.0, 0.0])


def test_the_fallback_to_the_box():
    found = match(fallback="box")
    assert found.template.tolist() == [0, -1]
    torch.testing.assert_close(found.A_src2align[0], match().A_src2align[0])
    # Points (55, 25) and (55, 65): 0 x 40 becomes 22.67 x 68.
    scale = 64 / 68
    expected = matrix(scale, 32 - 55 * scale, 32 - 45 * scale)
    torch.testing.assert_close(found.A_src2align[1], expected)


def test_boxes_instead_of_templates():
    found = match(matching="box")
    assert found.template.tolist() == [-1, -1]
    # 30 x 40 about (55, 45).
    assert found.A_src2align[0, 0, 0].item() == pytest.approx(64 / 68)


@pytest.mark.parametrize("transform", ["similarity", "affine"])
def test_a_smaller_region_scale_shows_more_about_the_same_middle(transform):
    found = match(region_scale=0.5, align_size=(40, 80), transform=transform)
    corners = torch.tensor([[30.0, 20.0], [80.0, 70.0]], dtype=F64)  # the template's unit square
    moved = transform_points(found.A_src2align[0], corners)
    torch.testing.assert_close(moved, torch.tensor([[20.0, 10.0], [60.0, 30.0]], dtype=F64))
    torch.testing.assert_close(found.A_src2align[1], matrix(0.4, 0, 0))


@pytest.mark.parametrize(
    ("setting", "legal"),
    [
        ("matching", "'templates' or 'box'"),
        ("transform", "'similarity' or 'affine'"),
        ("fallback", "'whole' or 'box'"),
    ],
)
def test_unknown_choices_are_refused(setting, legal):
    with pytest.raises(ValueError, match=f"expected {setting} {legal}, got 'boxes'"):
        match(**{setting: "boxes"})


def jitter(n=400, size=(40, 80), seed=0, **ranges):
    return random_jitter(n, size, torch.Generator().manual_seed(seed), **ranges)


def test_jitter_is_seeded():
    torch.testing.assert_close(jitter(5), jitter(5), rtol=0, atol=0)
    assert not torch.allclose(jitter(5), jitter(5, seed=1))
    assert jitter(0).shape == (0, 3, 3)


def test_jitter_is_a_similarity_within_its_ranges_and_uses_them():
    A = jitter(angle_deg=20.0, scale=(0.5, 1.5), shift=0.25)
    assert A.dtype == F64
    torch.testing.assert_close(A[:, 0, 0], A[:, 1, 1])
    torch.testing.assert_close(A[:, 0, 1], -A[:, 1, 0])
    angle = torch.atan2(A[:, 1, 0], A[:, 0, 0]).rad2deg()
    scale = A[:, :2, 0].norm(dim=1)
    middle = torch.tensor([[40.0, 20.0]], dtype=F64)
    moved = (transform_points(A, middle.expand(len(A), 1, 2)) - middle)[:, 0]
    for values, low, high in (
        (angle, -20, 20),
        (scale, 0.5, 1.5),
        (moved[:, 0], -20, 20),
        (moved[:, 1], -10, 10),
    ):
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high


def test_no_ranges_change_nothing():
    A = jitter(3, angle_deg=0.0, scale=(1.0, 1.0), shift=0.0)
    torch.testing.assert_close(A, torch.eye(3, dtype=F64).expand(3, 3, 3))


def test_jitter_turns_about_the_middle_by_hand():
    # One draw of 0.5 each but for the angle: the seed's own numbers, one by one.
    draw = torch.rand(1, 4, generator=torch.Generator().manual_seed(3), dtype=F64)[0]
    A = jitter(1, (40, 80), seed=3, angle_deg=90.0, scale=(2.0, 2.0), shift=0.0)[0]
    angle = math.radians(90 * (2 * draw[0].item() - 1))
    point = transform_points(A, torch.tensor([[50.0, 20.0]], dtype=F64))[0]
    expected = [40 + 20 * math.cos(angle), 20 + 20 * math.sin(angle)]
    torch.testing.assert_close(point, torch.tensor(expected, dtype=F64))


def test_heavy_points_decide_where_a_region_lies():
    """Three points of four lie as in the template; the fourth, moved, pulls the more it weighs."""
    kpts = 100 * DIAMOND[..., :2].clone()
    kpts[0, 3, 1] += 40
    seen = torch.full((1, 4), 2)
    args = {"source_size": SIZE, "align_size": (64, 64)}
    errors = []
    for weight in (None, torch.ones(4, dtype=F64), torch.tensor([1, 1, 1, 50.0], dtype=F64)):
        found = match_regions(kpts, seen, DIAMOND, weight=weight, **args)
        assert found.template.tolist() == [0]
        moved = transform_points(found.A_src2align, kpts)[0, 3]
        errors.append(float((moved - 64 * DIAMOND[0, 3, :2]).norm()))
    assert errors[0] == pytest.approx(errors[1])
    assert errors[2] < 0.2 * errors[0]
