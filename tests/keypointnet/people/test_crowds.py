import runpy
from pathlib import Path

import numpy as np
import pytest

from keypointnet.people.anatomy import study
from keypointnet.people.bodies import open_library
from keypointnet.people.clothes import paint, stand_off, worn
from keypointnet.people.crowd_layout import CrowdRange, level_of
from keypointnet.people.crowd_settings import CrowdSettings
from keypointnet.people.crowds import CrowdMaker
from keypointnet.people.furniture import KINDS, make_seat, make_thing
from keypointnet.people.looks import HAIRCUTS, HEADGEAR, PATTERNS, draw_look
from keypointnet.people.persons import make_person
from keypointnet.people.poses import POSES
from keypointnet.views.occlusion import boxes_of_annotated, max_ious

box_library = runpy.run_path(str(Path(__file__).parents[2] / "box_people.py"))["box_library"]


def some_look(**values):
    from dataclasses import replace

    look = draw_look(np.random.default_rng(0), gender=0.0, age=0.7)
    plain = {"headgear": "", "skirt": 0.0, "boots": 0.0, "socks": 0.0, "haircut": "short",
             "beard": 0.0, "sleeve": 0.4, "trousers": 0.96}  # fmt: skip
    return replace(look, **(plain | values))


def test_looks_are_of_all_kinds():
    rng = np.random.default_rng(0)
    looks = [draw_look(rng, gender, 0.7) for gender in (0.0, 1.0) for _ in range(150)]
    assert {look.haircut for look in looks} == set(HAIRCUTS)
    assert {look.headgear for look in looks} == set(HEADGEAR)
    assert {look.top.pattern for look in looks} == set(PATTERNS)
    assert any(look.beard for look in looks[:150])
    assert not any(look.beard for look in looks[150:])
    assert any(look.skirt for look in looks[150:])
    assert not any(draw_look(rng, 1.0, 0.7, skirts=False).skirt for _ in range(50))
    assert not any(draw_look(rng, 0.0, 0.3).beard for _ in range(50))  # children


def test_clothes_reach_as_far_as_the_look_says(box_library):
    anatomy = study(open_library())
    sites, points = anatomy.vertices, anatomy.points
    short, long = (worn(sites, some_look(sleeve=s, trousers=t), points)
                   for s, t in ((0.3, 0.2), (0.97, 0.96)))  # fmt: skip
    on_arm, on_leg = sites["arms"] > 0.5, (sites["legs"] > 0.5) & (sites["feet"] < 0.5)
    assert (sites["arm"][short.top & on_arm] < 0.3).all()
    assert long.top[on_arm].sum() > 1.5 * short.top[on_arm].sum() > 0
    assert (sites["leg"][short.bottom & on_leg] < 0.2).all()
    assert long.bottom[on_leg].sum() > 1.5 * short.bottom[on_leg].sum() > 0
    assert not (long.top & long.bottom).any()
    assert long.shoes[sites["feet"] > 0.5].any()
    assert not long.top[sites["head"] > 0.5].any()
    off = stand_off(sites, some_look(), points)
    bare = ~np.any([getattr(short, name) for name in ("top", "bottom", "shoes", "hair")], axis=0)
    assert (off >= 0).all()
    assert off.max() < 0.09
    shown = stand_off(sites, some_look(sleeve=0.3, trousers=0.2), points)
    assert (shown[bare] == 0).all()
    assert (shown[short.top] >= 0.004).all()


@pytest.mark.parametrize("headgear", ["cap", "beanie", "helmet", "scarf", "band"])
def test_headgear_covers_hair_and_not_the_feet(box_library, headgear):
    anatomy = study(open_library())
    on = worn(anatomy.vertices, some_look(headgear=headgear), anatomy.points)
    assert on.hat.any()
    assert not (on.hat & on.hair).any()
    assert (anatomy.vertices["head"] + anatomy.vertices["neck"])[on.hat].min() > 0.3


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_show_their_colours(box_library, pattern):
    from keypointnet.people.looks import Cloth

    anatomy = study(open_library())
    cloth = Cloth(((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)), pattern, period_m=0.1)
    texture = paint(anatomy, some_look(top=cloth), np.random.default_rng(0))
    rgb = texture.reshape(-1, 3)[anatomy.places].astype(int)
    top = worn(anatomy.texels, some_look(), anatomy.points).top
    red = (rgb[:, 0] > 150) & (rgb[:, 2] < 60)
    blue = (rgb[:, 2] > 150) & (rgb[:, 0] < 60)
    assert (red | blue)[top].mean() > 0.95
    assert blue[top].any() == (pattern != "plain")
    assert red[top].any()


@pytest.mark.parametrize("kind", POSES)
def test_people_stand_on_the_ground(box_library, kind):
    library = open_library()
    person = make_person(library, study(library), "a", kind, 40, np.random.default_rng(5))
    vertices = np.concatenate([mesh.vertices for mesh in person.model.meshes])
    assert person.model.meshes[0].vertices[:, 1].min() == pytest.approx(0, abs=1e-9)
    assert np.isfinite(vertices).all()
    hips = (person.joints[11] + person.joints[12]) / 2
    np.testing.assert_allclose(hips[[0, 2]], 0, atol=1e-9)
    assert (person.seat_m > 0.1) == (kind == "sitting")
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    assert ((person.joints > low - 0.01) & (person.joints < high + 0.01)).all()
    if kind == "lying":
        assert high[1] < 0.8 * (high - low).max()


@pytest.mark.parametrize("kind", KINDS)
def test_furniture_stands_on_the_ground(kind):
    thing = make_thing("a", kind, np.random.default_rng(2))
    low = min(mesh.bounds[0, 1] for mesh in thing.model.meshes)
    high = max(mesh.bounds[1, 1] for mesh in thing.model.meshes)
    assert low == pytest.approx(0, abs=1e-6)
    assert 0.3 < high < 3.1
    assert (thing.surface.points[:, 1] > -1e-6).all()
    with pytest.raises(ValueError, match="no kind 'sofa'; there are chair"):
        make_thing("a", "sofa", np.random.default_rng(2))
    assert make_seat("s", 0.4, np.random.default_rng(0)).model.meshes[0].bounds[1, 1] == 0.4


def test_a_picture_depends_on_its_number_alone_and_its_truth_agrees(box_library):
    settings = CrowdSettings(size=(60, 80), layout=CrowdRange(people=(2, 4), hard=0.1))
    with CrowdMaker(settings) as maker:
        first, last = maker.make(2), maker.make(30)
    with CrowdMaker(settings) as maker:
        again = maker.make(30)
    assert np.array_equal(last.picture, again.picture)
    assert np.array_equal(last.nearest, again.nearest)
    assert last.models == again.models
    assert not np.array_equal(first.picture, last.picture)
    for scene in (first, last):
        people = len(scene.models) - scene.occluders
        assert 1 <= people <= 4
        assert all(name.startswith("body-") for name in scene.models[:people])
        assert not any(name.startswith("body-") for name in scene.models[people:])
        assert scene.points_px.shape == (len(scene.models), 17, 2)
        assert (scene.visibility[people:] == 0).all()
        assert ((scene.nearest >= 0) == (scene.covered > 0)).all()
        for m in range(people):
            own = np.pad((scene.covered >> np.uint32(m)) & 1, 2)
            inside = [
                own[int(y) : int(y) + 5, int(x) : int(x) + 5].any()
                for (x, y), code in zip(scene.points_px[m], scene.visibility[m], strict=True)
                if code
            ]
            assert np.mean(inside) > 0.8


def test_levels_are_what_was_asked_for(box_library):
    for level, values in (("hard", {"hard": 1.0, "moderate": 0.0}), ("easy", {"hard": 0.0,
                          "moderate": 0.0})):  # fmt: skip
        layout = CrowdRange(people=(2, 2), furniture=0.0, **values)
        with CrowdMaker(CrowdSettings(size=(60, 80), layout=layout)) as maker:
            found = []
            for number in range(8):
                scene = maker.make(number)
                boxes = boxes_of_annotated(scene.nearest, scene.covered, len(scene.models))
                found.append(level_of(max(max_ious(boxes))))
        assert found.count(level) >= 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": (4, 64)}, "at least 8 x 8"),
        ({"bodies": (3, 3)}, "bodies must be START < END"),
        ({"shadow": 2}, "shadow must be 0 to 1"),
        ({"quality": 0}, "quality must be 1 to 100"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CrowdSettings(**values)
