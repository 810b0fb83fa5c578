from dataclasses import replace
from pathlib import Path

import pytest

from keypointnet.config import (
    ConfigError,
    DataConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    StoreConfig,
    TrainConfig,
    load_config,
    load_config_text,
    to_yaml,
)
from keypointnet.config_checks import check_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "keypointnet").rglob("*.yaml"))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_defaults_are_the_papers():
    config = load_config(None)
    assert config == TrainConfig()
    assert (config.model.num_keypoints, config.model.channels) == (10, 64)
    loss = config.loss
    assert loss.variant == "paper"
    weights = (loss.pose, loss.consistency, loss.separation, loss.silhouette, loss.orientation)
    assert (*weights, loss.variance, loss.anchor) == (0.2, 1, 1, 1, 1, 0.5, 0)
    assert (loss.separation_delta, loss.pose_noise) == (0.05, 0.1)
    assert (loss.flag_anneal_start, loss.flag_anneal_end) == (30_000, 60_000)
    optim = config.optim
    assert (optim.steps, optim.pairs_per_step, optim.learning_rate) == (200_000, 256, 1e-3)
    assert (optim.schedule, optim.gradient_norm) == ("constant", 5.0)
    assert config.data.image_size == 128


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_is_legal(path):
    config = load_config(path)
    if config.data.train:
        check_config(config)


def test_the_projects_configs_are_found():
    assert "chair" in {path.stem for path in CONFIGS}


def test_overrides_win_over_the_file_and_the_file_over_its_base(tmp_path):
    write(tmp_path / "base.yaml", "optim: {steps: 1, learning_rate: 0.5}\nmodel: {channels: 16}")
    write(tmp_path / "class" / "car.yaml", "base: ../base.yaml\noptim: {steps: 2, warmup: 0.2}")
    last = write(tmp_path / "mine.yaml", "base: class/car.yaml\noptim:\n  steps: 3\n")
    config = load_config(last, ["optim.steps=4", "data.train=[{path: x}]", "run.out=a=b"])
    assert config.optim == OptimConfig(steps=4, learning_rate=0.5, warmup=0.2)
    assert config.model.channels == 16
    assert config.data.train == [StoreConfig(path="x", subset="train")]
    assert config.run.out == "a=b"


def test_of_several_bases_the_last_counts_most(tmp_path):
    write(tmp_path / "class.yaml", "optim: {steps: 1, learning_rate: 0.5}\nrun: {out: there}")
    write(tmp_path / "how.yaml", "optim: {steps: 2, warmup: 0.2}\nrun: {seed: 3}")
    last = write(tmp_path / "mine.yaml", "base: [class.yaml, how.yaml]\nrun: {seed: 4}")
    config = load_config(last)
    assert config.optim == OptimConfig(steps=2, learning_rate=0.5, warmup=0.2)
    assert (config.run.out, config.run.seed) == ("there", 4)


def test_an_empty_file_changes_nothing(tmp_path):
    assert load_config(write(tmp_path / "empty.yaml", "# nothing\n")) == TrainConfig()


@pytest.mark.parametrize(
    ("override", "wrong", "right"),
    [
        ("optm.steps=1", "optm", "optim"),
        ("optim.step=1", "optim.step", "optim.steps"),
        ("model.num_keypoint=1", "model.num_keypoint", "model.num_keypoints"),
        ("data.augmentation.miror=1", "data.augmentation.miror", "data.augmentation.mirror"),
        ("steps=1", "steps", "optim.steps"),
        ("loss.learning_rate=1", "loss.learning_rate", "optim.learning_rate"),
        ("data.train=[{pth: x}]", r"data.train\[0\].pth", r"data.train\[0\].path"),
    ],
)
def test_a_mistyped_key_names_the_right_one(tmp_path, override, wrong, right):
    message = rf"unknown key '{wrong}'; did you mean '{right}'\? \(legal here: "
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


def test_a_mistyped_key_in_a_file_or_its_base_names_the_file(tmp_path):
    base = write(tmp_path / "base.yaml", "optim: {stps: 1}")
    path = write(tmp_path / "mine.yaml", "base: base.yaml")
    with pytest.raises(ConfigError, match=rf"^{base}: unknown key 'optim.stps'; .*'optim.steps'"):
        load_config(path)


def test_a_key_like_no_other_lists_the_legal_ones():
    with pytest.raises(ConfigError, match=r"'zzz' \(legal here: model, loss, data, optim, run\)"):
        load_config(None, ["zzz=1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.steps=many", "optim.steps: Value 'many' of type 'str' could not be converted"),
        ("optim.steps=2.5", "optim.steps: .*could not be converted to Integer"),
        ("optim.steps=", "optim.steps: Incompatible value 'None'"),
        ("run.channels_last=perhaps", "run.channels_last: .*not a valid bool"),
        ("optim=5", "Merge error: int is not a subclass of OptimConfig"),
        ("data.train=x", "data.train: Invalid value"),
        ("data.train=[{subset: all}]", r"data.train\[0\].path: .*missing mandatory value: path"),
        ("run.out=[", "its value is no YAML"),
        ("run.out=${home}", "run.out: Interpolation key 'home' not found"),
        ("steps", "expected key=value, as in optim.steps=1000"),
        ("=3", "expected key=value"),
    ],
)
def test_a_wrong_value_names_its_override_and_key(override, message):
    with pytest.raises(ConfigError, match=f"^override .*{message}"):
        load_config(None, [override])


def test_a_wrong_value_in_a_file_names_file_and_key(tmp_path):
    path = write(tmp_path / "a.yaml", "loss:\n  pose: heavy\n")
    with pytest.raises(ConfigError, match=rf"^{path}: loss.pose: Value 'heavy'"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "expected a YAML mapping at the top, got a list"),
        ("optim: {steps: [", "is no YAML"),
        ("7", "is no YAML"),
    ],
)
def test_a_file_that_is_no_mapping(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"a.yaml: {message}"):
        load_config(write(tmp_path / "a.yaml", text))


def test_a_missing_file_and_a_missing_base(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such configuration file"):
        load_config(tmp_path / "nowhere.yaml")
    path = write(tmp_path / "a.yaml", "base: gone.yaml")
    with pytest.raises(ConfigError, match=r"gone.yaml: no such configuration file"):
        load_config(path)


def test_a_circle_of_bases(tmp_path):
    write(tmp_path / "a.yaml", "base: b.yaml")
    write(tmp_path / "b.yaml", "base: a.yaml")
    with pytest.raises(ConfigError, match=r"[ab].yaml: is its own base"):
        load_config(tmp_path / "a.yaml")


def test_yaml_round_trip(tmp_path):
    config = load_config(None, ["data.train=[{path: x}]", "optim.steps=7", "loss.variant=released"])
    assert load_config_text(to_yaml(config), "text") == config
    assert load_config(write(tmp_path / "config.yaml", to_yaml(config))) == config
    with pytest.raises(ConfigError, match=r"old.safetensors: unknown key 'model.gamma'"):
        load_config_text("model: {gamma: 1}", "old.safetensors")


GOOD = TrainConfig(data=DataConfig(train=[StoreConfig(path="x")]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": ModelConfig(num_keypoints=0)}, "model.num_keypoints: .*positive.*got 0"),
        ({"model": ModelConfig(downsample=0)}, "model.downsample: .*positive.*got 0"),
        (
            {"model": ModelConfig(downsample=4, orientation_downsample=3)},
            "model.downsample: expected a multiple of model.orientation_downsample = 3, got 4",
        ),
        ({"model": ModelConfig(downsample=3)}, "data.image_size: .*multiple of .* = 3, got 128"),
        ({"optim": OptimConfig(steps=-1)}, "optim.steps: .*positive.*got -1"),
        ({"optim": OptimConfig(trained="head")}, "all or orientation or keypoints, got 'head'"),
        ({"optim": OptimConfig(gradient_norm=0)}, "optim.gradient_norm: .*at least 1e-09, got 0"),
        ({"optim": OptimConfig(ema_decay=-1)}, "optim.ema_decay: expected 0 to 1, got -1"),
        ({"run": RunConfig(seed=-1)}, "run.seed: expected at least 0, got -1"),
        ({"optim": OptimConfig(schedule="step")}, "constant or one_cycle, got 'step'"),
        ({"run": RunConfig(log_every=0)}, "run.log_every: .*positive"),
        ({"run": RunConfig(checkpoint_every=0)}, "run.checkpoint_every: .*positive"),
        ({"data": DataConfig()}, "data.train: expected at least one view store"),
    ],
)
def test_values_that_make_no_sense_are_named(wrong, message):
    check_config(GOOD)
    with pytest.raises(ConfigError, match=message):
        check_config(replace(GOOD, **wrong))
