import pytest
import torch
from torch import Tensor, nn

from keypointnet.model import (
    KeypointNet,
    Prediction,
    build_orientation_net,
    mirrored_axis,
    orientation_flag,
)
from keypointnet.objective import axis_in_views
from keypointnet.views.augmentation import mirror
from keypointnet.views.pairs import PairBatch


def small(**settings) -> KeypointNet:
    return KeypointNet(
        **({"num_keypoints": 4, "channels": 8, "orientation_channels": 4} | settings)
    )


@torch.no_grad()
def peaked(model: KeypointNet, image: Tensor) -> KeypointNet:
    """In evaluation mode, each map with nearly all its mass on the object, as after training."""
    model.eval()
    heads = [(model, model.head_prob)]
    if model.orientation is not None:
        heads.insert(0, (model.orientation, model.orientation.head))
    for network, head in heads:
        logits: list[Tensor] = []
        handle = head.register_forward_hook(lambda *args, logits=logits: logits.append(args[2]))
        network(image)
        handle.remove()
        head.weight.mul_(60 / logits[0].amax((0, 2, 3)).view(-1, 1, 1, 1))
    return model


def test_published_number_of_weights():
    model = KeypointNet()
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 523_318


def test_layers_are_the_published_ones():
    model = KeypointNet()
    for trunk in (model.trunk, model.orientation.trunk):
        convolutions = [layer for layer in trunk if isinstance(layer, nn.Conv2d)]
        dilations = [conv.dilation[0] for conv in convolutions]
        assert dilations == [1, 1, 2, 4, 8, 16, 1, 2, 4, 8, 16, 1]
        assert all(conv.kernel_size == (3, 3) and conv.bias is None for conv in convolutions)
        norms = [layer for layer in trunk if isinstance(layer, nn.BatchNorm2d)]
        assert len(norms) == 12
        assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.001)}
        assert {name for norm in norms for name, _ in norm.named_parameters()} == {"bias"}
        slopes = {layer.negative_slope for layer in trunk if isinstance(layer, nn.LeakyReLU)}
        assert slopes == {0.1}
    biased = {name for name, _ in model.named_parameters() if name.endswith("bias")}
    assert {name for name in biased if "trunk" not in name} == {
        "head_prob.bias",
        "head_depth.bias",
        "orientation.head.bias",
    }
    assert not any(name.endswith("trunk.1.weight") for name in model.state_dict())


@pytest.mark.parametrize("n", [1, 3, 17])
@pytest.mark.parametrize(("size", "downsample"), [((32, 32), 1), ((24, 40), 1), ((24, 40), 2)])
def test_any_number_of_points_and_any_size(n, size, downsample):
    model = small(num_keypoints=n, downsample=downsample).eval()
    h, w = size
    prediction = model(torch.rand(2, 3, h, w), return_prob=True)
    assert prediction.uvz.shape == (2, n, 3)
    assert prediction.confidence.shape == (2, n)
    assert prediction.orientation_uv.shape == (2, 2, 2)
    assert prediction.prob.shape == (2, n, h // downsample, w // downsample)
    torch.testing.assert_close(prediction.prob.sum((-2, -1)), torch.ones(2, n))
    assert prediction.uvz[..., 0].abs().max() < 1
    assert prediction.uvz[..., 1].abs().max() < h / w if h < w else 1
    assert ((prediction.confidence >= 0) & (prediction.confidence <= 1 + 1e-6)).all()
    assert not prediction.confidence.requires_grad
    assert model(torch.rand(2, 3, h, w)).prob is None


def test_depth_starts_near_the_offset():
    z = small(depth_offset=12.0).eval()(torch.rand(2, 3, 32, 32)).uvz[..., 2]
    assert (z - 12).abs().max() < 2


def test_pictures_of_a_batch_do_not_meet_at_evaluation():
    image = torch.rand(3, 3, 24, 40)
    model = peaked(small(), image)
    together = model(image).uvz
    alone = torch.cat([model(picture[None]).uvz for picture in image])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model(image).uvz, together, rtol=0, atol=0)


@pytest.mark.parametrize("downsample", [1, 2])
@pytest.mark.parametrize("shift", [(6, 0), (0, -4), (-8, 2)])
def test_keypoints_move_with_the_picture(downsample, shift):
    """The object is further from every border than the layers see (65 cells)."""
    side = 160 * downsample
    image = torch.zeros(1, 3, side, side)
    middle = slice(side // 2 - 6, side // 2 + 6)
    image[..., middle, middle] = torch.rand(1, 3, 12, 12)
    model = peaked(small(orientation_channels=0, downsample=downsample), image)
    shifted = image.roll((shift[1], shift[0]), dims=(-2, -1))
    before, after = model(image), model(shifted)
    assert before.uvz[..., :2].abs().max() > 0.02  # the points are not just in the middle
    moved = torch.tensor([*shift, 0.0]) * 2 / side
    torch.testing.assert_close(after.uvz - before.uvz, moved.expand(1, 4, 3), rtol=0, atol=2e-5)
    torch.testing.assert_close(after.confidence, before.confidence, rtol=0, atol=1e-4)


def test_orientation_flag_is_one_where_plus_x_is_to_the_right():
    uv = torch.tensor([[[0.5, 0.0], [-0.5, 0.0]], [[-0.1, 9.0], [0.1, 0.0]], [[0.0, 1], [0.0, 0]]])
    uv.requires_grad_()
    flag = orientation_flag(uv)
    assert flag.tolist() == [1.0, 0.0, 0.0]
    assert not flag.requires_grad


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (17, 9)])
def test_the_residual_orientation_net_takes_any_size(size):
    model = small(orientation_network="residual", orientation_channels=8).eval()
    with torch.autocast("cpu", torch.bfloat16):
        uv = model(torch.rand(2, 3, *size)).orientation_uv
    assert uv.shape == (2, 2, 2)
    assert uv.dtype == torch.float32


def test_the_residual_orientation_net_tells_left_from_right():
    """A bright half on the left or the right, over noise it has not seen in training."""
    torch.manual_seed(0)
    net = build_orientation_net("residual", 8, downsample=1, bn_momentum=0.1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)

    def pictures(n: int) -> tuple[Tensor, Tensor]:
        image = 0.8 * torch.rand(n, 3, 16, 16)
        right = torch.rand(n) < 0.5
        image[right, :, :, 8:] += 0.2
        image[~right, :, :, :8] += 0.2
        u = torch.where(right, 0.5, -0.5)
        plus = torch.stack([u, torch.zeros(n)], dim=-1)
        return image, torch.stack([plus, -plus], dim=1)

    for _ in range(60):
        image, target = pictures(16)
        loss = (net(image) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    image, target = pictures(100)
    flag = orientation_flag(net.eval()(image))
    assert (flag == orientation_flag(target)).float().mean() > 0.95


@pytest.mark.parametrize("kind", ["dilated", "residual"])
def test_the_mirrored_picture_is_asked_too(kind):
    torch.manual_seed(0)
    model = small(orientation_network=kind, orientation_mirrored=True, orientation_channels=8)
    plain = small(orientation_network=kind, orientation_channels=8)
    plain.load_state_dict(model.state_dict())
    image = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        trained, expected = model(image).orientation_uv, plain(image).orientation_uv
        torch.testing.assert_close(trained, expected)  # in training it is as without
        uv, turned = (model.eval()(x).orientation_uv for x in (image, image.flip(-1)))
        alone = plain.eval()(image).orientation_uv
    torch.testing.assert_close(uv, mirrored_axis(turned))
    assert not torch.equal(uv, alone)


def test_mirrored_axis_points_are_those_of_the_mirrored_pair():
    torch.manual_seed(0)
    T = torch.eye(4).repeat(1, 2, 1, 1)
    T[..., :3, :3] = torch.linalg.qr(torch.randn(1, 2, 3, 3))[0]
    T[..., :3, 3] = torch.tensor([0.1, -0.2, 5.0])
    K = torch.eye(3).repeat(1, 2, 1, 1)
    K[..., 0, 2] = 0.3
    batch = PairBatch(torch.rand(1, 2, 4, 8, 8), T, K, ["a"])
    mirrored = mirror(batch, torch.tensor([True]))
    uv, expected = (
        axis_in_views(b.T_world2cam.transpose(0, 1), b.K.transpose(0, 1)) for b in (batch, mirrored)
    )
    torch.testing.assert_close(mirrored_axis(uv), expected)


def test_an_unknown_orientation_network():
    with pytest.raises(ValueError, match="expected 'dilated' or 'residual', got 'resnet'"):
        small(orientation_network="resnet")


class FixedOrientation(nn.Module):
    """Predicts flags 1, 0, 1, 0 …"""

    def forward(self, image: Tensor) -> Tensor:
        u = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).repeat(len(image), 1)[: len(image)]
        return torch.stack([u, torch.zeros_like(u)], dim=-1)


def seen_flags(model: KeypointNet, **arguments) -> list[float]:
    """Values of the constant plane beside the colours, one for each of four pictures."""
    seen: list[Tensor] = []
    handle = model.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.rand(4, 3, 16, 16), **arguments)
    handle.remove()
    plane = seen[0][:, 3]
    assert seen[0].shape[1] == 4
    assert (plane == plane[:, :1, :1]).all()
    return plane[:, 0, 0].tolist()


def test_the_flag_plane_goes_from_true_to_predicted():
    model = small().eval()
    model.orientation = FixedOrientation()
    gt_flag = torch.tensor([1, 1, 0, 0])
    assert seen_flags(model) == [1, 0, 1, 0]
    assert seen_flags(model, gt_flag=gt_flag, gt_share=1.0) == [1, 1, 0, 0]
    assert seen_flags(model, gt_flag=gt_flag, gt_share=0.0) == [1, 0, 1, 0]
    assert seen_flags(model, gt_flag=gt_flag, gt_share=0.75) == [1, 0.75, 0.25, 0]
    assert seen_flags(model, gt_flag=gt_flag, gt_share=0.75, round_flag=True) == [1, 1, 0, 0]


def test_the_flag_changes_the_keypoints():
    image = torch.rand(1, 3, 32, 32)
    model = peaked(small(), image)
    on, off = (model(image, gt_flag=torch.tensor([f]), gt_share=1.0).uvz for f in (1, 0))
    assert (on - off).abs().max() > 1e-3


def test_without_an_orientation_net_there_is_no_flag():
    model = small(orientation_channels=0)
    assert model.trunk[0].in_channels == 3
    assert model(torch.rand(2, 3, 16, 16)).orientation_uv is None


def test_no_gradient_flows_through_the_flag():
    model = small()
    prediction: Prediction = model(torch.rand(2, 3, 16, 16))
    prediction.uvz.sum().backward()
    assert all(p.grad is None for p in model.orientation.parameters())
    assert all(p.grad is not None for p in model.trunk.parameters())


def test_bf16_autocast_moves_no_point_far():
    image = torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    model = peaked(small(channels=16, orientation_channels=16), image)
    exact = model(image)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(image)
    assert rounded.uvz.dtype == torch.float32
    assert (rounded.uvz - exact.uvz).abs().max() < 0.1


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 4, 32, 32), (2, 3, 33, 32), (2, 3, 32, 30)])
def test_a_wrong_picture_is_named(shape):
    with pytest.raises(ValueError, match=rf"multiples of 4, got \({', '.join(map(str, shape))}\)"):
        small(downsample=4)(torch.rand(shape))


@pytest.mark.parametrize("wrong", [{"num_keypoints": 0}, {"channels": 0}, {"downsample": 0}])
def test_impossible_settings_are_named(wrong):
    with pytest.raises(ValueError, match="KeypointNet: expected num_keypoints, channels"):
        small(**wrong)
