import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from keypointnet.views.cameras import CameraRange
from keypointnet.views.generate import (
    RenderSettings,
    model_rng,
    plan_jobs,
    prepare_store,
    variant_id,
)
from keypointnet.views.sources import ModelSource, find_sources
from keypointnet.views.storage import StorageError, ViewStore, view_file, write_model_views
from keypointnet.views.workers import over_background, render_jobs

SETTINGS = RenderSettings(size=(24, 32), views=3, seed=5)

# Models whose making goes wrong in ways that no exception tells of. In a file of its own because
# a spawned process has to be able to import it.
MISBEHAVING = """
import os, signal, time
from dataclasses import dataclass
from keypointnet.views.sources import ModelSource

@dataclass(frozen=True)
class Misbehaving(ModelSource):
    how: str = ""
    def make(self):
        if self.how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "hang":
            time.sleep(60)
        raise MemoryError
"""


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    folder = tmp_path / "meshes"
    folder.mkdir()
    for number in range(4):
        box = trimesh.creation.box((1.0, 0.5 + 0.2 * number, 0.7))
        box.export(folder / f"box{number}.obj")
    return folder


def run(
    sources: list[ModelSource], out: Path, variants: int = 0, **arguments: object
) -> dict[str, str | None]:
    prepare_store(out, SETTINGS)
    jobs, _ = plan_jobs(sources, out, variants)
    return {outcome.id: outcome.error for outcome in render_jobs(jobs, out, SETTINGS, **arguments)}


def test_views_are_rendered_stored_and_not_rendered_again(meshes, tmp_path):
    out = tmp_path / "out"
    sources = find_sources(str(meshes))
    assert run(sources, out) == {f"box{i}": None for i in range(4)}
    store = ViewStore(out)
    assert store.models == ["box0", "box1", "box2", "box3"]
    assert store.size == (24, 32)
    assert store.info["cameras"]["distance"] == 30.0
    view = store.view("box1", 2)
    assert 20 < (view.rgba[..., 3] > 0).sum() < 24 * 32
    assert (view.rgba[..., :3] <= view.rgba[..., 3:]).all()  # premultiplied

    view_file(out, "box2").unlink()
    jobs, present = plan_jobs(sources, out)
    assert [job.source.id for job in jobs] == ["box2"]
    assert present == 3


def test_workers_shards_and_order_do_not_change_a_byte(meshes, tmp_path):
    sources = find_sources(str(meshes))
    run(sources, tmp_path / "one", workers=1)
    run(list(reversed(sources)), tmp_path / "two", workers=2)
    for source in sources:
        one, two = (view_file(tmp_path / name, source.id).read_bytes() for name in ("one", "two"))
        assert one == two
    first, second = (view_file(tmp_path / "one", f"box{i}").read_bytes() for i in (0, 1))
    assert first != second


def test_crashes_hangs_and_odd_errors_are_told_by_model(meshes, tmp_path, monkeypatch):
    helper = tmp_path / "helper"
    helper.mkdir()
    (helper / "misbehaving_models.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(str(helper))  # spawned processes get this path as well
    misbehaving = importlib.import_module("misbehaving_models").Misbehaving
    sources = [misbehaving(how, how=how) for how in ("crash", "hang", "raise")]
    outcomes = run([*sources, *find_sources(str(meshes))], tmp_path / "out", workers=2, timeout_s=5)
    assert outcomes == {
        "crash": "its worker died (signal 11)",
        "hang": "no view file within 5 s",
        "raise": "MemoryError",
        **{f"box{i}": None for i in range(4)},
    }
    # A variant that ends its worker does not take the model's other variants with it.
    assert run(sources[:1], tmp_path / "out", variants=1) == {
        "crash": "its worker died (signal 11)",
        "crash@1": "its worker died (signal 11)",
    }


def test_shards_partition_the_models():
    sources = [ModelSource(f"m{i:02d}") for i in range(11)]
    shards = [plan_jobs(sources, Path("nowhere"), shard=(i, 3))[0] for i in range(3)]
    ids = [[job.source.id for job in jobs] for jobs in shards]
    assert sorted(one for part in ids for one in part) == [source.id for source in sources]
    assert [len(part) for part in ids] == [4, 4, 3]
    limited, _ = plan_jobs(sources, Path("nowhere"), shard=(1, 3), limit=5)
    assert [job.source.id for job in limited] == ["m01", "m04"]


def test_variants_are_planned_beside_their_model(tmp_path):
    picture = np.zeros((1, 4, 4, 4), np.uint8)
    write_model_views(tmp_path, "m@1", picture, np.eye(4)[None], np.eye(3))
    view_file(tmp_path, "m@2").touch()  # cut short: not there
    jobs, present = plan_jobs([ModelSource("m")], tmp_path, variants=2)
    assert jobs[0].variants == (0, 2)
    assert present == 1
    assert [variant_id("m", k) for k in range(3)] == ["m", "m@1", "m@2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shard": (3, 3)}, "shard 3/3: expected i/n with i from 0 to n - 1"),
        ({"variants": -1}, "must be >= 0"),
        ({"limit": -1}, "must be >= 0"),
    ],
)
def test_impossible_plans_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_jobs([ModelSource("m")], Path("nowhere"), **arguments)


def test_a_store_keeps_its_settings(tmp_path):
    prepare_store(tmp_path, SETTINGS)
    before = (tmp_path / "store.json").read_text()
    prepare_store(tmp_path, SETTINGS)
    assert (tmp_path / "store.json").read_text() == before
    assert json.loads(before)["size"] == [24, 32]
    other = RenderSettings(size=(24, 32), views=4, seed=5, cameras=CameraRange(fov_deg=9.0))
    with pytest.raises(
        StorageError, match=r"views: 3 there, 4 asked for; cameras.fov_deg: 5.0 there, 9.0 asked"
    ):
        prepare_store(tmp_path, other)


def test_seeds_depend_on_seed_model_and_purpose():
    def draw(*arguments: object) -> float:
        return float(model_rng(*arguments).random())

    assert draw(0, "a", "cameras") == draw(0, "a", "cameras")
    assert len({draw(0, "a", "cameras"), draw(1, "a", "cameras"), draw(0, "b", "cameras")}) == 3
    assert draw(0, "a", "cameras") != draw(0, "a", "lights")
    # The same on every machine: literals made with sha256("cameras:0:a") and PCG64.
    assert model_rng(0, "a", "cameras").integers(1000, size=3).tolist() == [390, 268, 842]


def test_over_background_by_hand():
    rgba = np.array([[[100, 50, 0, 128], [0, 0, 0, 0], [9, 8, 7, 255]]], np.uint8)
    # 1 - 128/255 = 0.498: 100 + 0.498 * 200, 50 + 0.498 * 100, 0.498 * 255
    np.testing.assert_array_equal(
        over_background(rgba, (200, 100, 255)),
        [[[200, 100, 127, 255], [200, 100, 255, 255], [9, 8, 7, 255]]],
    )


def test_parametric_families_are_named_with_a_range():
    assert [s.id for s in find_sources("chair:3")] == ["chair-00000", "chair-00001", "chair-00002"]
    (source,) = find_sources("chair:7-8")
    assert source.make().id == source.id == "chair-00007"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("no/such/folder", "no/such/folder: no such folder"),
        ("teapot:3", "teapot:3: no family 'teapot'; there are .*chair"),
        ("chair:9-9", "an empty range"),
        ("chair:0", "an empty range"),
    ],
)
def test_models_that_do_not_exist_are_named(models, message):
    with pytest.raises(ValueError, match=message):
        find_sources(models)
