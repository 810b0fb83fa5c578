import json

import numpy as np
import pytest

from keypointnet.views.scene_files import (
    BLOCK,
    SceneJob,
    image_file,
    models_of_split,
    plan_pictures,
    point_set,
    prepare_scenes,
    read_truth,
    truth_file,
    write_scene,
)
from keypointnet.views.scene_layout import SceneLayout, SceneRange
from keypointnet.views.scenes import Scene, SceneSettings
from keypointnet.views.sources import ModelSource, find_sources
from keypointnet.views.storage import StorageError


def a_scene() -> Scene:
    rng = np.random.default_rng(0)
    nearest = np.full((24, 32), -1, np.int16)
    nearest[4:12, 6:20] = 0
    return Scene(
        picture=rng.integers(0, 256, (24, 32, 3), dtype=np.uint8),
        nearest=nearest,
        covered=(nearest == 0).astype(np.uint32),
        layout=SceneLayout(np.eye(4)[None], np.eye(4), np.eye(3)),
        models=("chair-00000",),
        boxes_px=np.array([[6.0, 4.0, 20.0, 12.0]]),
        points_obj=np.array([[[0.0, 0.0, 0.0], [np.nan] * 3]]),
        points_px=np.array([[[10.5, 6.5], [np.nan] * 2]]),
        visibility=np.array([[2, 0]], np.uint8),
    )


def test_the_truth_comes_back_as_it_was_written(tmp_path):
    scene = a_scene()
    write_scene(tmp_path, 7, scene, 90)
    first = truth_file(tmp_path, 7).read_bytes()
    write_scene(tmp_path, 7, scene, 90)
    assert truth_file(tmp_path, 7).read_bytes() == first  # no clock in it
    back = read_truth(tmp_path, 7)
    assert back.models == scene.models
    for name in ("nearest", "covered", "boxes_px", "points_obj", "points_px", "visibility"):
        there, was = getattr(back, name), getattr(scene, name)
        assert there.dtype == was.dtype
        assert np.array_equal(there, was, equal_nan=there.dtype.kind == "f")
    assert np.array_equal(back.layout.T_obj2world, scene.layout.T_obj2world)


def test_damaged_and_missing_files_are_made_again(tmp_path):
    for number in range(BLOCK + 4):
        write_scene(tmp_path, number, a_scene(), 90)
    assert plan_pictures(tmp_path, BLOCK + 4) == ([], BLOCK + 4)
    truth_file(tmp_path, 0).write_bytes(truth_file(tmp_path, 0).read_bytes()[:-100])
    whole = bytearray(truth_file(tmp_path, 1).read_bytes())
    whole[whole.index(b"boxes_px.npy") + 60] ^= 0xFF
    truth_file(tmp_path, 1).write_bytes(whole)
    image_file(tmp_path, 3).write_bytes(b"no picture")
    image_file(tmp_path, 5).unlink()
    truth_file(tmp_path, BLOCK).unlink()
    jobs, present = plan_pictures(tmp_path, BLOCK + 6)
    assert [job.numbers for job in jobs] == [(0, 1, 3, 5), (BLOCK, BLOCK + 4, BLOCK + 5)]
    assert present == BLOCK - 1
    with pytest.raises(StorageError, match=r"000003.jpg: damaged, or not the picture of"):
        read_truth(tmp_path, 3)
    with pytest.raises(StorageError, match=r"000000.npz: missing or damaged"):
        read_truth(tmp_path, 0)


def test_shards_take_every_nth_block(tmp_path):
    pictures = 5 * BLOCK + 1
    parts = [plan_pictures(tmp_path, pictures, (i, 3))[0] for i in range(3)]
    assert [len(jobs) for jobs in parts] == [2, 2, 2]
    numbers = sorted(n for jobs in parts for job in jobs for n in job.numbers)
    assert numbers == list(range(pictures))
    with pytest.raises(ValueError, match="shard 3/3: expected i/n"):
        plan_pictures(tmp_path, pictures, (3, 3))


def test_what_is_left_of_a_job():
    job = SceneJob((3, 4, 9))
    assert job.names == ["000003", "000004", "000009"]
    assert job.without(2) == SceneJob((9,))
    assert job.without(3) is None


def test_other_settings_models_and_backgrounds_are_refused(tmp_path):
    sources = find_sources("chair:4")
    prepare_scenes(tmp_path, SceneSettings(), sources, [], "chair")
    prepare_scenes(tmp_path, SceneSettings(), sources, [], "chair")
    info = json.loads((tmp_path / "scenes.json").read_text())
    assert info["class"] == "chair"
    assert len(info["points"]) == 12
    for settings, models, message in (
        (SceneSettings(seed=1), sources, "seed: 0 there, 1 asked for"),
        (SceneSettings(layout=SceneRange(objects=(1, 2))), sources, r"layout.objects: \[2, 6\]"),
        (SceneSettings(), sources[:3], "models.number: 4 there, 3 asked for"),
    ):
        with pytest.raises(StorageError, match=message):
            prepare_scenes(tmp_path, settings, models, [], "chair")
    with pytest.raises(StorageError, match=r"backgrounds.number: 0 there, 1 asked for"):
        prepare_scenes(tmp_path, SceneSettings(), sources, [tmp_path / "a.jpg"], "chair")


def test_models_of_a_side_and_their_points(tmp_path):
    sources = [ModelSource(name, path=tmp_path / name) for name in ("a", "b")]
    assert models_of_split(str(tmp_path), sources, None) == sources
    with pytest.raises(ValueError, match=r"no split.json in it, so there is no test side"):
        models_of_split(str(tmp_path), sources, "test")
    (tmp_path / "split.json").write_text('{"train": ["a"], "test": ["c"]}')
    assert models_of_split(str(tmp_path), sources, "train") == sources[:1]
    with pytest.raises(ValueError, match="none of the 1 models of test is there"):
        models_of_split(str(tmp_path), sources, "test")
    assert point_set(sources) is None
    chairs = point_set(find_sources("chair:2"))
    assert chairs is not None
    assert "left_back_top" in chairs.names
