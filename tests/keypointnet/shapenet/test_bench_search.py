from __future__ import annotations

import numpy as np
import pytest
import trimesh

from keypointnet.shapenet.bench_search import (
    GROUNDS,
    free_categories,
    on_ground,
    search_figures,
    turned_model,
)
from keypointnet.shapenet.models import Model, ModelError, find_models, normalise_model


def box(extents: tuple[float, float, float], at: tuple[float, float, float]) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(extents)
    mesh.apply_translation(at)
    return mesh


def seat(back: float) -> trimesh.Trimesh:
    legs = [box((0.1, 1, 0.1), (x, -0.5, z)) for x in (-0.4, 0.4) for z in (-0.4, 0.4)]
    top = [box((1, 0.1, 1), (0, 0, 0)), box((1, back, 0.1), (0, back / 2, 0.45))]
    return trimesh.util.concatenate([*legs, *top])


def plane(span: float) -> trimesh.Trimesh:
    wings = [box((span, 0.05, 0.4), (0, 0, 0)), box((0.8, 0.05, 0.2), (0, 0.1, 1.1))]
    return trimesh.util.concatenate([box((0.3, 0.3, 2.6), (0, 0, 0)), *wings])


@pytest.fixture
def categories(tmp_path):
    made = {"seats": [seat(back) for back in (0.5, 0.9, 1.3)]}
    made["planes"] = [plane(span) for span in (1.6, 2.2, 2.8, 2.8)]  # the last two are one shape
    for name, meshes in made.items():
        (tmp_path / name).mkdir()
        for number, mesh in enumerate(meshes):
            mesh.export(tmp_path / name / f"{number}.obj")
    return {name: find_models(tmp_path / name) for name in made}


def test_shapes_against_chance(categories, tmp_path):
    figures = search_figures(categories, n=2, pictures=False, index=tmp_path / "all.index")
    assert figures["models"] == {"seats": 3, "planes": 4}
    # a seat has 2 of its kind among 6 others; planes 3 of 6, the two equal ones 2 of 5
    seats, planes = 2 / 6, (3 / 6 + 3 / 6 + 2 / 5 + 2 / 5) / 4
    assert figures["chance"] == {
        "seats": round(seats, 3),
        "planes": round(planes, 3),
        "mean of categories": round((seats + planes) / 2, 3),
    }
    shape = figures["shape"]
    assert isinstance(shape, dict)
    everything = {"seats": 1.0, "planes": 1.0, "mean of categories": 1.0}
    assert shape["as it is"] == shape["turned"] == everything
    assert shape["found itself"] == 1.0
    assert shape["same answers"] == 1.0
    assert 0 < shape["distance to itself turned"] < 0.5 * shape["distance to the nearest other"]
    assert "picture" not in figures


def test_too_few_models_and_broken_ones(categories, tmp_path):
    with pytest.raises(ValueError, match="seats has 1 models, expected 2 or more"):
        search_figures({"seats": categories["seats"][:1]})
    categories["seats"][1].path.write_text("v 0 0 0\n")
    with pytest.raises(ValueError, match="1 models cannot be used; seats/1: model seats/1"):
        search_figures(categories, pictures=False)


def test_free_models_by_category(tmp_path):
    chairs = {"chairs50": ["a"], "seats": ["a", "sofa"], "aeroplanes": ["p"], "cars": ["c"]}
    for folder, names in chairs.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.obj").write_text("v 0 0 0\n")
    found = {name: [r.id for r in refs] for name, refs in free_categories(tmp_path).items()}
    expected = {"chairs": ["a"], "other seats": ["sofa"], "aeroplanes": ["p"], "cars": ["c"]}
    assert found == expected
    with pytest.raises(ModelError, match=r"found none at .*nowhere"):
        free_categories(tmp_path / "nowhere")


def test_a_turned_model_is_one_that_a_reader_would_give():
    model = normalise_model(Model("m", [box((2, 1, 1), (0, 0, 0))]))
    turned = turned_model(model, np.pi / 4)
    assert np.ptp(turned.meshes[0].vertices, axis=0) == pytest.approx([2, 2 * 2**0.5 / 3, 2])
    # +Z goes to +X after a quarter turn, as azimuths grow
    spike = Model("m", [trimesh.Trimesh([(0, 0, 0), (0, 0, 2), (0, 0.1, 0)], [(0, 1, 2)])])
    corners = turned_model(spike, np.pi / 2).meshes[0].vertices
    assert corners[:, 0] == pytest.approx([-1, 1, -1])


def test_a_view_on_every_ground():
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[10:40, 20:50] = (200, 30, 40, 255)
    inside = rgba[..., 3] > 0
    for ground in GROUNDS:
        picture = on_ground(rgba, ground, (3,))
        assert (picture.rgb[inside] == (200, 30, 40)).all()
        if ground == "room":
            assert (picture.coverage == 255).all()
        elif ground == "room, box":
            assert not picture.coverage[~inside].any()
        else:
            assert ((picture.coverage > 127) == inside).all()
    behind = {ground: on_ground(rgba, ground, (3,)).rgb[~inside] for ground in GROUNDS}
    assert (behind["white"] == 255).all()
    assert (behind["black"] == 0).all()
    assert behind["room"].std() > 3
    assert (behind["room"] == behind["room, mask"]).all()
