import copy
import runpy
from pathlib import Path

import pytest
import torch
from detectron2.layers import Conv2d as WrappedConv2d
from torch import nn

from kp2seg.build import build_model, trained_model
from kp2seg.checkpoints import SegCheckpoint
from kp2seg.lazy_config import config_to_text, load_seg_config
from kp2seg.modeling.backbones import build_light_backbone, build_resnet50
from kp2seg.modeling.folding import fold_batch_norms
from kp2seg.modeling.mask_head import LightMaskHead, PublishedMaskHead

ROOT = Path(__file__).parents[3]
tiny = runpy.run_path(str(ROOT / "tests/disc_people.py"))["tiny"]


def with_statistics(network: nn.Module) -> nn.Module:
    """As after training: no norm is the identity."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in (
                (module.running_mean, -0.3),
                (module.running_var, 0.5),
                (module.weight.data, 0.5),
                (module.bias.data, -0.3),
            ):
                tensor.uniform_(low, low + 1.0, generator=generator)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (lambda: build_light_backbone("test_efficientnet", channels=8, pretrained=False), 3),
        (lambda: build_light_backbone(channels=8, pretrained=False), 3),
        (build_resnet50, 3),
        (lambda: PublishedMaskHead(5), 5),
    ],
    ids=["timm", "lite0", "resnet", "published head"],
)
def test_the_folded_network_is_the_same_function_without_norms(network, shape):
    network = with_statistics(network())
    before = copy.deepcopy(network.state_dict())
    image = torch.randn(2, shape, 64, 64, generator=torch.Generator().manual_seed(1))
    folded = fold_batch_norms(network, lambda model: model(image))
    assert norms(network) > 3
    assert norms(folded) == 0
    with torch.no_grad():
        expected, found = network(image), folded(image)
    for a, b in zip(*(_tensors(x) for x in (expected, found)), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=2e-5 * float(a.abs().max()))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def _tensors(value) -> list[torch.Tensor]:
    return list(value.values() if isinstance(value, dict) else value)


def test_norms_that_follow_no_convolution_stay():
    network = with_statistics(LightMaskHead(6, channels=8, blocks=(1, 1)))
    image = torch.randn(2, 6, 8, 8)
    folded = fold_batch_norms(network, lambda model: model(image))
    assert norms(folded) == 0
    relu_first = with_statistics(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    )
    assert norms(fold_batch_norms(relu_first, lambda model: model(torch.randn(1, 3, 4, 4)))) == 2


class _Shared(nn.Module):
    """One convolution before two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.a, self.b = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.a(self.convolution(x)) + self.b(self.convolution(x))


def test_a_shared_convolution_is_left_alone():
    network = with_statistics(_Shared())
    x = torch.randn(1, 3, 4, 4)
    folded = fold_batch_norms(network, lambda model: model(x))
    assert norms(folded) == 2
    with torch.no_grad():
        assert torch.equal(folded(x), network(x))


def test_detectron2s_convolutions_lose_their_norms():
    layer = with_statistics(
        WrappedConv2d(3, 4, 3, bias=False, norm=nn.BatchNorm2d(4), activation=nn.ReLU())
    )
    x = torch.randn(1, 3, 8, 8)
    folded = fold_batch_norms(layer, lambda model: model(x))
    assert folded.norm is None
    with torch.no_grad():
        torch.testing.assert_close(folded(x), layer(x))
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norms(layer.train(), lambda model: model(x))


def test_a_model_that_predicts_has_none(tiny):
    _, file, *overrides = tiny()
    config = load_seg_config(file, overrides)
    model = with_statistics(build_model(config))
    checkpoint = SegCheckpoint(
        Path("c"), 0, config_to_text(config), {}, {"model": model.state_dict()}
    )
    folded = trained_model(checkpoint)
    assert norms(model) > 3
    assert norms(folded) == 0
