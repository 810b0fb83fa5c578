"""Tensors of the real sizes, but on the meta device, which holds none."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from keypointnet.tensor_files import CheckpointError
from kp2seg.modeling.backbones import build_published_backbone
from kp2seg.modeling.mask_head import PublishedMaskHead
from kp2seg.modeling.published_weights import convert_published, our_name, read_published


@pytest.fixture(scope="module")
def expected():
    with torch.device("meta"):
        model = nn.ModuleDict(
            {"backbone": build_published_backbone(), "mask_head": PublishedMaskHead(311)}
        )
    return model.state_dict()


@pytest.fixture(scope="module")
def names(published_names):
    return published_names["backbone"] + published_names["segnet"]


@pytest.fixture
def tensors(names, expected):
    return {name: torch.empty_like(expected[our_name(name)]) for name in names}


def test_every_published_tensor_has_its_own_place_and_none_is_left(names, expected):
    assert len(names) == 588
    assert len({our_name(name) for name in names}) == 588
    assert {our_name(name) for name in names} == set(expected)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("backbone.conv1.weight", "backbone.bottom_up.stem.conv1.weight"),
        ("backbone.bn1.running_var", "backbone.bottom_up.stem.conv1.norm.running_var"),
        ("backbone.layer3.5.conv2.weight", "backbone.bottom_up.res4.5.conv2.weight"),
        ("backbone.layer4.0.bn4.bias", "backbone.bottom_up.res5.0.shortcut.norm.bias"),
        ("backbone.fpn_c4p4.bias", "backbone.lateral.p5.bias"),
        ("backbone.fpn_p1.weight", "backbone.output.p2.weight"),
        ("segnet.layer1.9.bn3.weight", "mask_head.body.9.bn3.weight"),
        ("segnet.layer1.0.downsample.1.bias", "mask_head.body.0.shortcut.1.bias"),
        ("segnet.decoder1.0.conv2.bias", "mask_head.decoder.conv2.bias"),
        ("pose2seg.seg_branch.pred_small.bias", "mask_head.classes.bias"),
        ("module.segnet.conv1.weight", "mask_head.stem.weight"),
        ("fc.weight", None),
        ("segnet.decoder2.0.conv1.weight", None),
    ],
)
def test_names(published, ours):
    assert our_name(published) == ours


def test_all_are_converted_each_as_it_is(tensors, expected):
    converted = convert_published(tensors, expected, "file.pkl")
    assert set(converted) == set(expected)
    assert all(converted[our_name(name)] is value for name, value in tensors.items())


def test_old_names_and_files_without_counters(tensors, expected):
    old = {
        name.replace("segnet.", "pose2seg.seg_branch."): value
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    assert len(old) == 499
    converted = convert_published(old, expected, "file.pkl")
    assert set(converted) == set(expected)
    counter = converted["mask_head.stem_norm.num_batches_tracked"]
    assert (counter.shape, counter.dtype) == ((), torch.long)


def problems(tensors, expected):
    with pytest.raises(CheckpointError, match=r"file.pkl: is not the published Pose2Seg: ") as info:
        convert_published(tensors, expected, "file.pkl")
    return str(info.value).split("Pose2Seg: ")[1].split("; ")


def test_a_tensor_too_many(tensors, expected):
    tensors["backbone.fc.weight"] = torch.zeros(1)
    tensors["segnet.layer1.10.conv1.weight"] = torch.zeros(1)
    assert problems(tensors, expected) == [
        "backbone.fc.weight has no place here",
        "segnet.layer1.10.conv1.weight has no place here",
    ]


def test_a_tensor_too_few(tensors, expected):
    del tensors["segnet.pred_small.bias"]
    assert problems(tensors, expected) == ["nothing is given for mask_head.classes.bias"]


def test_two_tensors_for_one_place(tensors, expected):
    name = "pose2seg.seg_branch.conv1.bias"
    tensors[name] = tensors["segnet.conv1.bias"]
    both = f"{name} and segnet.conv1.bias are both mask_head.stem.bias"
    assert problems(tensors, expected) == [both]
    del tensors[name]
    tensors["module.segnet.conv1.bias"] = tensors["segnet.conv1.bias"]
    assert problems(tensors, expected)[0].startswith("module.segnet.conv1.bias and segnet.")


def test_a_tensor_of_another_shape(tensors, expected):
    tensors["segnet.conv1.weight"] = torch.zeros(256, 256, 7, 7)  # without skeleton channels
    assert problems(tensors, expected) == [
        "segnet.conv1.weight has shape (256, 256, 7, 7), expected (256, 311, 7, 7)"
    ]


def test_many_problems_are_counted(expected):
    # 4 are no weights; of the 588 expected, 89 are counters, which need not be there.
    shown = problems({f"layer.{n}": torch.zeros(1) for n in range(4)}, expected)
    assert len(shown) == 6
    assert shown[-1] == "and 498 more"


def test_a_file_is_read_with_its_own_names(tmp_path):
    tensors = {"module.segnet.conv1.bias": torch.arange(3.0), "b": torch.zeros(2)}
    for content in (tensors, {"epoch": 25, "state_dict": tensors}):
        torch.save(content, tmp_path / "file.pkl")
        read = read_published(tmp_path / "file.pkl")
        assert list(read) == list(tensors)
        torch.testing.assert_close(read["module.segnet.conv1.bias"], torch.arange(3.0))


class Surprise:
    """What a pickle could run."""

    def __reduce__(self):
        return (Path.touch, (Path("surprise"),))


def test_files_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"missing.pkl: no such file"):
        read_published("missing.pkl")
    Path("text.pkl").write_text("no weights")
    with pytest.raises(CheckpointError, match=r"text.pkl: is no torch file of plain weights \("):
        read_published("text.pkl")
    torch.save({"a": Surprise()}, "code.pkl")
    Path("plain.pkl").write_bytes(pickle.dumps(Surprise()))
    for name in ("code.pkl", "plain.pkl"):
        with pytest.raises(CheckpointError, match=f"{name}: is no torch file of plain weights"):
            read_published(name)
    assert not Path("surprise").exists()
    torch.save([torch.zeros(1)], "list.pkl")
    with pytest.raises(CheckpointError, match=r"list.pkl: expected a state dict, got list"):
        read_published("list.pkl")
    torch.save({"a": torch.zeros(1), "lr": 0.1}, "mixed.pkl")
    with pytest.raises(CheckpointError, match=r"mixed.pkl: expected tensors only, 'lr' is none"):
        read_published("mixed.pkl")
