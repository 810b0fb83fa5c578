import pytest
import torch

from kp2seg.modeling.losses import quality_loss
from kp2seg.modeling.mask_head import (
    LightMaskHead,
    MaskPrediction,
    MaskQualityHead,
    PublishedMaskHead,
)


def test_the_published_head_has_the_published_number_of_weights():
    with torch.device("meta"):
        head = PublishedMaskHead(311)
    assert sum(weight.numel() for weight in head.parameters()) == 16_030_978
    assert len(head.body) == 10


@pytest.fixture(scope="module")
def published():
    return PublishedMaskHead(6).eval()


def test_the_published_head_tells_foreground_from_background(published):
    aligned = torch.randn(2, 6, 8, 12)
    with torch.no_grad():
        prediction = published(aligned)
        assert prediction.logit.shape == (2, 1, 8, 12)
        assert prediction.features.shape == (2, 512, 8, 12)
        weight = published.classes.weight[1] - published.classes.weight[0]
        by_hand = (prediction.features * weight).sum(1) + torch.diff(published.classes.bias)
        torch.testing.assert_close(prediction.logit[:, 0], by_hand, rtol=1e-4, atol=1e-4)


def test_the_light_head_gives_twice_the_size():
    head = LightMaskHead(6, channels=8, blocks=(1, 2))
    prediction = head(torch.randn(2, 6, 8, 12))
    assert prediction.logit.shape == (2, 1, 16, 24)
    assert prediction.features.shape == (2, 8, 8, 12)
    assert (len(head.fine), len(head.coarse)) == (1, 2)
    prediction.logit.square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in head.parameters() if weight.ndim == 4)


@pytest.mark.parametrize("make", [PublishedMaskHead, LightMaskHead])
def test_people_do_not_change_each_other_and_nobody_is_fine(make):
    head = make(6).eval()
    aligned = torch.randn(2, 6, 4, 8)
    with torch.no_grad():
        together = head(aligned).logit
        alone = torch.cat([head(one).logit for one in aligned.split(1)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        assert len(head(aligned[:0]).logit) == 0


def test_grids_that_would_be_stretched_are_refused(published):
    with pytest.raises(ValueError, match=r"PublishedMaskHead: .*multiples of 2, got .*7, 8"):
        published(torch.zeros(1, 6, 7, 8))
    with pytest.raises(ValueError, match=r"LightMaskHead: .*multiples of 4, got .*8, 10"):
        LightMaskHead(6)(torch.zeros(1, 6, 8, 10))


def test_an_untrained_quality_is_the_same_for_all():
    quality = MaskQualityHead(5, channels=4)
    prediction = MaskPrediction(torch.randn(3, 1, 32, 24), torch.randn(3, 5, 16, 12))
    torch.testing.assert_close(quality(prediction), torch.full((3,), 0.7310586))  # sigmoid(1)
    nobody = MaskPrediction(prediction.logit[:0], prediction.features[:0])
    assert quality(nobody).shape == (0,)


def test_the_quality_sees_the_mask():
    quality = MaskQualityHead(5, channels=4)
    torch.nn.init.normal_(quality.iou.weight)
    features = torch.randn(1, 5, 16, 16)
    full, empty = (
        quality(MaskPrediction(torch.full((1, 1, 32, 32), value), features))
        for value in (5.0, -5.0)
    )
    assert (full - empty).abs().item() > 1e-4


def test_the_quality_loss_does_not_reach_the_mask_head():
    head, quality = LightMaskHead(6, channels=8, blocks=(1, 1)), MaskQualityHead(8, channels=4)
    torch.nn.init.normal_(quality.iou.weight)
    aligned = torch.randn(2, 6, 8, 8, requires_grad=True)
    quality_loss(quality(head(aligned)), torch.tensor([0.2, 0.4])).backward()
    assert aligned.grad is None
    assert all(weight.grad is None for weight in head.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in quality.parameters() if weight.ndim > 1)
