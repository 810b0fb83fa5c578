import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kp2seg.alignment import best_templates, template_scores, transform_points

F64 = torch.float64

plain_loops = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("plain_loops.py"))))
SQUARE = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]], dtype=F64)


def with_v(xy, v):
    return torch.cat([xy, torch.tensor(v, dtype=F64)[:, None]], dim=1)


def random_people(P, K, T):
    """Poses much like the templates but shifted, scaled, turned; points missing in both."""
    templates = torch.rand(T, K, 3, dtype=F64)
    templates[torch.rand(T, K) < 0.2] = 0
    template = templates[torch.randint(T, (P,)), :, :2] + 0.1 * torch.randn(P, K, 2)
    kpts = 20 + 60 * torch.rand(P, 1, 1, dtype=F64) * template + 30 * torch.rand(P, 1, 2)
    visibility = torch.randint(0, 3, (P, K))
    visibility[torch.rand(P) < 0.3] = 0
    missing = torch.rand(P, K) < 0.5
    visibility[missing] = 0
    return kpts, visibility, templates


def test_score_literal():
    # Three points fit exactly up to a shift; the template has a fourth: 1 · 3 / 4. With the fourth
    # visible and off by (0, e) alone, the fit is not exact; see the plain loop for that.
    templates = with_v(SQUARE, [1.0, 1.0, 1.0, 1.0])[None]
    kpts = (SQUARE * 100 + 7)[None]
    _, score = template_scores(kpts, torch.tensor([[2, 1, 2, 0]]), templates)
    assert score.item() == pytest.approx(0.75)
    _, score = template_scores(kpts, torch.tensor([[2, 1, 2, 2]]), templates)
    assert score.item() == pytest.approx(1.0)


def test_error_is_measured_in_the_unit_square():
    # A square onto a square whose diagonals are pulled apart by d each way: the best similarity
    # shrinks or grows nothing, so each corner is off by |d|·√2 / 2, whatever the pose's unit.
    d = 0.2
    pulled = SQUARE + d * torch.tensor([[-1.0, -1], [1, 1], [1, 1], [-1, -1]], dtype=F64) / 2
    templates = with_v(pulled, [1.0] * 4)[None]
    for unit in (1.0, 300.0):
        _, score = template_scores(SQUARE[None] * unit, torch.full((1, 4), 2), templates)
        assert score.item() == pytest.approx(math.exp(-(d**2) / 4), abs=1e-12)


def test_hard_rule_and_shared_points():
    templates = torch.stack([with_v(SQUARE, [1.0, 1.0, 1.0, 0.0]), with_v(SQUARE, [1.0] * 4)])
    kpts = SQUARE[None].expand(3, 4, 2)
    visibility = torch.tensor([[2, 2, 2, 2], [2, 2, 2, 0], [2, 2, 0, 0]])
    _, score = template_scores(kpts, visibility, templates)
    expected = torch.tensor([[0.0, 1.0], [1.0, 0.75], [0.0, 0.0]], dtype=F64)
    torch.testing.assert_close(score, expected)
    _, score = template_scores(kpts, visibility, templates, hard=False)
    expected[0, 0] = 0.75  # three shared of four
    torch.testing.assert_close(score, expected)


def test_best_template_literal():
    # The unit square's quarter (0.25 to 0.75) becomes 16 to 48 of 64; the pose covers 10 to 14.
    templates = with_v(SQUARE, [1.0] * 4)[None]
    kpts = ((SQUARE - 0.25) * 8 + 10)[None]
    found = best_templates(
        kpts, torch.full((1, 4), 2), templates, source_size=(128, 128), align_size=(64, 64)
    )
    expected = torch.tensor([[[8.0, 0, -64], [0, 8, -64], [0, 0, 1]]], dtype=F64)
    torch.testing.assert_close(found.A_src2align, expected)
    torch.testing.assert_close(
        transform_points(found.A_src2align, kpts)[0, 0], torch.tensor([16.0, 16], dtype=F64)
    )
    assert found.score.item() == pytest.approx(1.0)
    assert found.template.tolist() == [0]


@pytest.mark.parametrize(("extent", "expected"), [(63.9, 0), (64.1, -1)])
def test_a_scale_not_above_the_whole_pictures_falls_back(extent, expected):
    # Whole picture: scale 1/2. A pose of that extent in half the unit square: 32 / extent.
    templates = with_v(SQUARE, [1.0] * 4)[None]
    kpts = ((SQUARE - 0.25) * 2 * extent)[None]
    found = best_templates(
        kpts, torch.full((1, 4), 2), templates, source_size=(128, 96), align_size=(64, 64)
    )
    assert found.template.tolist() == [expected]
    if expected < 0:
        whole = torch.tensor([[[0.5, 0, 8], [0, 0.5, 0], [0, 0, 1]]], dtype=F64)
        torch.testing.assert_close(found.A_src2align, whole)
        assert found.score.tolist() == [0.0]


def test_the_first_of_equal_templates_wins():
    one = with_v(SQUARE, [1.0] * 4)
    turned = one[[1, 3, 0, 2]]
    templates = torch.stack([0 * one, one, turned, one])
    found = best_templates(
        SQUARE[None] * 20, torch.full((1, 4), 2), templates, source_size=(128, 128),
        align_size=(64, 64),
    )  # fmt: skip
    assert found.template.tolist() == [1]


@pytest.mark.parametrize("transform", ["similarity", "affine"])
@pytest.mark.parametrize("hard", [True, False])
def test_equals_the_plain_loop(transform, hard):
    fit = plain_loops.similarity if transform == "similarity" else plain_loops.affine
    kpts, visibility, templates = random_people(60, 12, 5)
    sizes, align = (90, 120), (48, 64)
    found = best_templates(
        kpts, visibility, templates, source_size=sizes, align_size=align, transform=transform,
        hard=hard,
    )  # fmt: skip
    A_all, score_all = template_scores(kpts, visibility, templates, transform=transform, hard=hard)
    chosen = set()
    for p in range(60):
        person = kpts[p].numpy(), visibility[p].numpy()
        for t, template in enumerate(templates.numpy()):
            A, score = plain_loops.template_score(*person, template, fit, hard)
            assert score_all[p, t].item() == pytest.approx(score, abs=1e-9)
            if A is not None:
                np.testing.assert_allclose(A_all[p, t].numpy(), A, atol=1e-8)
        if transform == "affine":
            continue  # the plain loop knows the published scale only
        A, score, index = plain_loops.best_template(
            *person, templates.numpy(), sizes, align, fit, hard
        )
        assert found.template[p].item() == index
        assert found.score[p].item() == pytest.approx(score, abs=1e-9)
        np.testing.assert_allclose(found.A_src2align[p].numpy(), A, atol=1e-8)
        chosen.add(index)
    if transform == "similarity":
        assert {-1, 0, 1, 2, 3, 4} <= chosen


def test_a_chosen_similarity_rounded_as_the_references():
    kpts, visibility, templates = random_people(30, 12, 5)
    given = {"source_size": (90, 120), "align_size": (48, 64)}
    found = best_templates(kpts, visibility, templates, single=True, **given)
    exact = best_templates(kpts, visibility, templates, **given)
    assert found.template.tolist() == exact.template.tolist()
    matched = found.template >= 0
    assert 0 < matched.sum() < 30
    torch.testing.assert_close(found.A_src2align[~matched], exact.A_src2align[~matched])
    for p in matched.nonzero()[:, 0].tolist():
        A, _, _ = plain_loops.best_template(
            kpts[p].numpy(), visibility[p].numpy(), templates.numpy(), *given.values(),
            plain_loops.similarity_single,
        )  # fmt: skip
        np.testing.assert_array_equal(found.A_src2align[p].numpy(), A)
    with pytest.raises(ValueError, match="single is of similarities without weight"):
        best_templates(kpts, visibility, templates, single=True, transform="affine", **given)


def test_affine_scale_is_the_area_s():
    # Twice as wide as high: the row's length would pass the test, the area does not.
    templates = with_v(SQUARE, [1.0] * 4)[None]
    for squeeze, expected in ((0.2, 0), (0.3, -1)):
        kpts = (SQUARE * torch.tensor([100.0, 100.0 * squeeze], dtype=F64))[None]
        # scale = sqrt(64/100 · 64/(100 squeeze)) against the whole source's 64/48.
        found = best_templates(
            kpts, torch.full((1, 4), 2), templates, source_size=(48, 48), align_size=(64, 64),
            transform="affine",
        )  # fmt: skip
        assert found.template.tolist() == [expected]


def test_each_person_s_own_picture_size():
    kpts, visibility, templates = random_people(8, 9, 3)
    sizes = torch.tensor([[40.0, 60.0], [300.0, 200.0]]).repeat(4, 1)
    found = best_templates(kpts, visibility, templates, source_size=sizes, align_size=(64, 64))
    for p in range(8):
        alone = best_templates(
            kpts[p : p + 1], visibility[p : p + 1], templates,
            source_size=tuple(sizes[p].tolist()), align_size=(64, 64),
        )  # fmt: skip
        torch.testing.assert_close(found.A_src2align[p], alone.A_src2align[0])
        assert found.template[p] == alone.template[0]


def test_missing_points_are_ignored_even_nan():
    kpts, visibility, templates = random_people(10, 9, 3)
    sizes = {"source_size": (128, 128), "align_size": (64, 64)}
    clean = best_templates(kpts, visibility, templates, **sizes)
    dirty = kpts.clone()
    dirty[visibility == 0] = math.nan
    dirty.requires_grad_()
    found = best_templates(dirty, visibility, templates, **sizes)
    for value, expected in zip(found, clean, strict=True):
        torch.testing.assert_close(value, expected)
    (found.A_src2align.square().sum() + found.score.sum()).backward()
    assert dirty.grad.isfinite().all()
    assert (dirty.grad[visibility == 0] == 0).all()
    assert (dirty.grad[found.template >= 0].abs().sum((1, 2)) > 0).all()


def test_weights():
    kpts, templates = 90 * torch.rand(6, 9, 2, dtype=F64), torch.rand(3, 9, 3, dtype=F64)
    visibility = torch.full((6, 9), 2)
    weight = torch.rand(6, 9, dtype=F64) + 0.1
    weight[:, 4] = 0
    without = visibility.clone()
    without[:, 4] = 0
    _, score = template_scores(kpts, visibility, templates, weight=weight)
    _, same_points = template_scores(kpts, without, templates)
    assert (score > 0).all()
    _, even = template_scores(kpts, visibility, templates, weight=(weight > 0).to(F64))
    torch.testing.assert_close(even, same_points)
    assert not torch.allclose(score, same_points)


@pytest.mark.parametrize("transform", ["similarity", "affine"])
def test_gradients(transform):
    templates = with_v(SQUARE, [1.0] * 4)[None]
    kpts = (SQUARE * 20 + torch.randn(2, 4, 2, dtype=F64)).requires_grad_()
    visibility = torch.tensor([[2, 2, 1, 2], [2, 2, 2, 1]])

    def run(kpts):
        found = best_templates(
            kpts, visibility, templates, source_size=(128, 128), align_size=(64, 64),
            transform=transform,
        )  # fmt: skip
        assert found.template.tolist() == [0, 0]
        return found.A_src2align, found.score

    assert torch.autograd.gradcheck(run, kpts)


def test_nobody_and_no_templates():
    nobody = best_templates(
        torch.zeros(0, 5, 2), torch.zeros(0, 5), torch.rand(3, 5, 3), source_size=(9, 9),
        align_size=(4, 4),
    )  # fmt: skip
    assert [value.shape for value in nobody] == [(0, 3, 3), (0,), (0,)]
    assert nobody.template.dtype == torch.int64
    found = best_templates(
        torch.rand(2, 5, 2), torch.ones(2, 5), torch.zeros(0, 5, 3), source_size=(8, 8),
        align_size=(4, 4),
    )  # fmt: skip
    assert found.template.tolist() == [-1, -1]
    assert found.A_src2align.dtype == torch.float32
    torch.testing.assert_close(found.A_src2align[1], torch.diag(torch.tensor([0.5, 0.5, 1.0])))


def test_errors():
    with pytest.raises(ValueError, match=r"expected templates \(T, 5, 3\) .* got \(2, 4, 3\)"):
        template_scores(torch.zeros(1, 5, 2), torch.zeros(1, 5), torch.zeros(2, 4, 3))
    with pytest.raises(ValueError, match=r"visibility \(P, K\), got \(1, 5, 2\) and \(1, 4\)"):
        template_scores(torch.zeros(1, 5, 2), torch.zeros(1, 4), torch.zeros(2, 5, 3))
    with pytest.raises(ValueError, match=r"expected weight \(1, 5\), got \(5,\)"):
        template_scores(
            torch.zeros(1, 5, 2), torch.zeros(1, 5), torch.zeros(2, 5, 3), weight=torch.ones(5)
        )
