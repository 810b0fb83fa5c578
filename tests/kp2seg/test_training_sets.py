"""Several data sets in one training run."""

import runpy
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch

from kp2seg.build import build_trainer, training_batches, training_sets
from kp2seg.data.catalog import read_dataset
from kp2seg.data.problems import DataError
from kp2seg.lazy_config import SegConfigError, load_seg_config

DISCS = runpy.run_path(str(Path(__file__).parents[1] / "disc_people.py"))
tiny = DISCS["tiny"]  # four pictures to train on, two others
BOTH = "data.train=[cocopersons_train,cocopersons_val]"


@pytest.fixture
def config(tiny):
    """Overrides → the configuration of a tiny run."""

    def make(*more):
        _, file, *overrides = tiny(*more)
        return load_seg_config(file, overrides)

    return make


def epoch(config, pictures: int):
    """The pictures of the first epoch, in batches of one."""
    config.data.pictures_per_step = 1
    sets = {name: read_dataset(name) for name in training_sets(config)}
    return [row for (row,) in islice(training_batches(config, sets)(0), pictures)]


def folders(rows) -> Counter:
    return Counter(Path(row["file_name"]).parent.name for row in rows)


def test_an_epoch_has_every_picture_of_each_set(config):
    rows = epoch(config(BOTH), 6)
    assert folders(rows) == {"train2017": 4, "val2017": 2}
    assert len({row["file_name"] for row in rows}) == 6


def test_pictures_of_a_small_set_are_shown_more_often_and_never_alike(config):
    rows = epoch(config(BOTH, "data.repeat=[1,3]"), 10)
    assert folders(rows) == {"train2017": 4, "val2017": 6}
    shown: dict[str, list[torch.Tensor]] = {}
    for row in rows:
        shown.setdefault(row["file_name"], []).append(row["image"])
    for copies in shown.values():
        assert len({picture.numpy().tobytes() for picture in copies}) == len(copies)
    assert sorted(map(len, shown.values())) == [1, 1, 1, 1, 3, 3]


def test_a_number_will_do_for_one_set(config):
    assert folders(epoch(config("data.repeat=2"), 8)) == {"train2017": 8}


def test_repeating_leaves_the_first_copy_as_it_was(config):
    one = {row["file_name"]: row["image"] for row in epoch(config(BOTH), 6)}
    more = epoch(config(BOTH, "data.repeat=[2,1]"), 10)
    for name, picture in one.items():
        assert any(torch.equal(row["image"], picture) for row in more if row["file_name"] == name)


def test_a_run_on_both_trains(config, tmp_path):
    trainer = build_trainer(config(BOTH, "data.repeat=[1,2]", "train.steps=2"))
    trainer.fit()
    assert (tmp_path / "run/checkpoints/last.safetensors").exists()


def test_one_name_is_a_list_of_one(config):
    assert training_sets(config("data.train=cocopersons_val")) == ["cocopersons_val"]
    plain = config()
    plain.data.train = "cocopersons_val"  # as a file may have it
    assert training_sets(plain) == ["cocopersons_val"]


@pytest.mark.parametrize("repeat", ["[1]", "[1,0]", "[1,2,3]", "[1,1.5]", "0", "3", "[true,1]"])
def test_as_many_repeats_as_sets(config, repeat):
    with pytest.raises(SegConfigError, match=r"data.repeat: .* each of the 2 sets of data.train"):
        build_trainer(config(BOTH, f"data.repeat={repeat}"))


@pytest.mark.parametrize("train", ["[]", "[cocopersons_val,cocopersons_val]"])
def test_different_sets_at_least_one(config, train):
    with pytest.raises(SegConfigError, match=r"data.train: expected different data sets"):
        build_trainer(config(f"data.train={train}"))


def test_a_set_without_pictures_is_named(config, tmp_path):
    settings = config(BOTH)
    sets = {name: read_dataset(name) for name in training_sets(settings)}
    sets["cocopersons_val"].coco["images"].clear()
    with pytest.raises(DataError, match="cocopersons_val: no picture is left to train on"):
        training_batches(settings, sets)
