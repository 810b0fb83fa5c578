import runpy
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from detectron2.modeling import GeneralizedRCNN
from omegaconf import OmegaConf
from torch import nn

from kp2seg import zoo
from kp2seg.build import build_model
from kp2seg.data.catalog import _SOURCES
from kp2seg.lazy_config import (
    SegConfigError,
    choose_device,
    config_to_text,
    load_seg_config,
    model_from_text,
)
from kp2seg.modeling.meta_arch import Pose2Seg
from kp2seg.template_files import load_templates

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs/kp2seg").glob("*.py"))
TINY = runpy.run_path(str(ROOT / "tests/disc_people.py"))["CONFIG"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(TINY)
    return path


# --- the configurations of this project


def test_there_are_configs():
    assert {"light", "pose2seg_r50"} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_instantiates_and_its_data_sets_exist(path):
    config = load_seg_config(path, ["train.device=cpu"])
    model = build_model(config)
    assert isinstance(model, Pose2Seg | GeneralizedRCNN)
    assert {*config.data.train, *config.data.test} <= _SOURCES.keys()
    optimizer = instantiate({**config.optimizer, "params": model.parameters()})
    assert optimizer.param_groups[0]["lr"] == config.optimizer.lr
    schedule = instantiate(config.schedule)
    assert schedule(0.5) > schedule(1 - 1e-6) > 0
    assert instantiate(config.data.augmentation).flip in (0.0, 0.5)
    text = config_to_text(config)
    again = model_from_text(text, "text").state_dict()
    expected = model.state_dict()
    assert {n: t.shape for n, t in again.items()} == {n: t.shape for n, t in expected.items()}


def test_configs_have_runs_of_their_own():
    outs = [load_seg_config(path).train.out for path in CONFIGS]
    assert len(set(outs)) == len(outs)


def test_the_published_schedule():
    schedule = instantiate(load_seg_config(ROOT / "configs/kp2seg/pose2seg_r50.py").schedule)
    rates = [schedule(epoch / 25) for epoch in (1, 14.9, 15.1, 19.9, 20.1, 24.9)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert schedule(0) == pytest.approx(1 / 3)


# --- overrides


def test_overrides_change_what_they_name(file):
    overrides = [
        "train.steps=11",
        "optimizer.lr=2e-4",
        "train.amp=true",
        "data.test=[]",
        "data.train=ochuman_val",
        "data.augmentation={flip: 0, colour: 0.25}",
        "model.aligner.jitter=null",
        "model.people_chunk=3",
        "model.aligner.matching=box",
        "model.quality_head=null",
        "model.score_mode=constant",
        "train.ema_decay=0",
    ]
    config = load_seg_config(file, overrides)
    assert (config.train.steps, config.optimizer.lr, config.train.amp) == (11, 2e-4, True)
    assert (list(config.data.test), list(config.data.train)) == ([], ["ochuman_val"])
    assert (config.data.augmentation.flip, config.data.augmentation.colour) == (0, 0.25)
    assert config.data.augmentation.drop_points == 0.1
    model = build_model(config)
    assert (model.people_chunk, model.quality_head, model.aligner.jitter) == (3, None, None)
    assert model.aligner.matching["matching"] == "box"


def test_whole_numbers_may_be_written_as_floats(file):
    config = load_seg_config(file, ["train.steps=1e4", "data.workers=2.0", "train.clip_norm=1"])
    assert (config.train.steps, config.data.workers) == (10_000, 2)
    assert type(config.train.steps) is int


@pytest.mark.parametrize(("overrides", "channels"), [([], 63), (["model.skeleton=false"], 8)])
def test_channels_that_are_not_given_are_counted(file, overrides, channels):
    config = load_seg_config(file, ["model.mask_head.in_channels=null", *overrides])
    assert build_model(config).mask_head.in_channels == channels
    assert config.model.mask_head.in_channels == channels  # so that a checkpoint has them


def test_a_guide_of_the_backbone_is_counted():
    changes = ["guide_channels=null", "pretrained=false"]
    overrides = [f"model.aligner.backbone.{change}" for change in changes]
    config = load_seg_config(ROOT / "configs/kp2seg/light.py", overrides)
    assert build_model(config).aligner.backbone.guide_channels == 55
    assert config.model.aligner.backbone.guide_channels == 55


def test_a_head_for_other_channels_is_named(file):
    config = load_seg_config(file, ["model.skeleton=false"])
    with pytest.raises(
        SegConfigError, match=r"model: .*takes 63 channels; 8 features are 8: .*in_channels=8"
    ):
        build_model(config)
    config = load_seg_config(file, ["model.mask_head.in_channels=5"])
    with pytest.raises(
        SegConfigError, match="takes 5 channels; 8 features and 55 skeleton channels are 63"
    ):
        build_model(config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.max_iterr=5", "unknown key 'train.max_iterr'"),
        ("train.step=5", "unknown key 'train.step'; did you mean 'train.steps'"),
        ("model.people_chunks=5", "did you mean 'model.people_chunk'"),
        ("model.aligner.region_scal=1", "did you mean 'model.aligner.region_scale'"),
        ("data.augmentation={flp: 1}", "unknown key 'data.augmentation.flp'; did you mean 'data.a"),
        ("train.steps", "expected key=value, as train.steps=1000"),
        ("=5", "expected key=value"),
        ("train.steps=[", "override 'train.steps=\\['"),
        ("train.steps=1.5", "expected a whole number, got 1.5"),
        ("train.steps=true", "expected a whole number, got True"),
        ("train.amp=1", "expected true or false, got 1"),
        ("train.clip_norm=hard", "expected a number, got 'hard'"),
        ("train.out=3", "expected a text, got 3"),
        ("data.test=3", "expected a list, got 3"),
        ("model.aligner=3", "expected a mapping, got 3"),
    ],
)
def test_overrides_that_make_no_sense(file, override, message):
    with pytest.raises(SegConfigError, match=message):
        load_seg_config(file, [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = (", r"SyntaxError"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_foun"),
        ("model = dict()\ntrain = dict()", "lacks data, optimizer, schedule; a configuration has"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(SegConfigError, match=rf"broken.py: .*{message}"):
        load_seg_config(path)


def test_no_file(tmp_path):
    with pytest.raises(SegConfigError, match=r"nowhere.py: no such configuration file"):
        load_seg_config(tmp_path / "nowhere.py")


def test_arguments_that_do_not_fit_are_named(file):
    file.write_text(TINY + "\nmodel.aligner.region_scales = 3\n")
    with pytest.raises(SegConfigError, match=r"model: .*'region_scales'"):
        build_model(load_seg_config(file))


# --- the text in a checkpoint


def test_the_text_makes_the_same_model_without_a_templates_file(file, tmp_path):
    copy = tmp_path / "templates.json"
    copy.write_text(zoo.templates("person").read_text())
    text = config_to_text(load_seg_config(file, [f"model.templates={copy}"]))
    copy.unlink()
    model = model_from_text(text, "text", people_chunk=5)
    expected = load_templates(zoo.templates("person"))
    assert (model.templates.templates == expected.templates).all()
    assert model.templates.connections == expected.connections
    assert model.people_chunk == 5


def test_a_stored_model_looks_for_no_imagenet_weights(monkeypatch):
    text = config_to_text(load_seg_config(ROOT / "configs/kp2seg/light.py"))
    monkeypatch.setattr("kp2seg.modeling.backbones.load_lite0", None)
    assert isinstance(model_from_text(text, "text"), Pose2Seg)


FOREIGN = [
    "os.system",
    "builtins.eval",
    "torch.nn.Linear",
    "kp2seg.lazy_config.LazyConfig.load",
    "keypointnet.imagenet.torch.load",
    "kp2seg.modeling.published_weights.read_published",
    "kp2seg.modeling.nowhere.Net",
    "detectron2.modeling.build_model",
    "detectron2.layers.torch.hub.load",
    ["os.system"],
]


@pytest.mark.parametrize("target", FOREIGN, ids=str)
@pytest.mark.parametrize("place", ["here", "argument", "list", "interpolated"])
def test_a_stored_model_cannot_name_what_is_not_ours(file, target, place, tmp_path):
    config = OmegaConf.create(config_to_text(load_seg_config(file)))
    foreign = {"_target_": target, "command": f"touch {tmp_path}/harm"}
    if place == "here":
        config.model._target_ = target
    elif place == "argument":
        config.model.mask_head = foreign
    elif place == "list":
        config.model.mask_head.blocks = [1, [foreign]]
    else:
        config.harm = target
        config.model.mask_head._target_ = "${harm}"
    with pytest.raises(SegConfigError, match=r"its configuration names .*, which is not ours"):
        model_from_text(OmegaConf.to_yaml(config), "stored")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "text", ["", "model: 3", "train: {}", "model: {templates: 3}", "a: [", "model: ${x}"]
)
def test_texts_without_a_model(text):
    with pytest.raises(SegConfigError, match=r"stored: its configuration has no model"):
        model_from_text(text, "stored")


def test_a_network_that_is_none_of_ours_to_predict_with(file):
    config = OmegaConf.create(config_to_text(load_seg_config(file)))
    config.model.aligner.backbone.name = "no_such_network"
    with pytest.raises(SegConfigError, match=r"stored: model: .*no network 'no_such_network'"):
        model_from_text(OmegaConf.to_yaml(config), "stored")


# --- devices


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(SegConfigError, match=r"device 'cuda': there are 0 CUDA devices; use auto"):
        choose_device("cuda")
    for name in ("gpu", "meta", ""):
        with pytest.raises(SegConfigError, match=rf"device '{name}': expected auto, cpu, cuda"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SegConfigError, match="there are 2 CUDA devices"):
        choose_device("cuda:2")


def test_a_model_is_a_module(file):
    assert isinstance(build_model(load_seg_config(file)), nn.Module)
