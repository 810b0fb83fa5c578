import math

import pytest
import torch
from torch.nn import functional as F

from kp2seg.modeling.losses import mask_iou, mask_loss, quality_loss

# Probabilities 1/2 and 3/4 where the truth is 1 and 0.
LOGIT = torch.tensor([0.0, math.log(3)]).view(1, 1, 1, 2)
TRUTH = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)


def test_cross_entropy_by_hand():
    assert mask_loss(LOGIT, TRUTH).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_dice_by_hand():
    # 1 − (2 · 1/2 + 1) / (1/4 + 9/16 + 1 + 1)
    share = mask_loss(LOGIT, TRUTH, dice=2.0) - mask_loss(LOGIT, TRUTH)
    assert share.item() == pytest.approx(2 * (1 - 2 / 2.8125))
    surely = torch.where(TRUTH > 0, 50.0, -50.0)
    assert mask_loss(surely, TRUTH, dice=1.0).item() == pytest.approx(0, abs=1e-6)


def test_dice_is_a_mean_over_people():
    right = torch.where(TRUTH > 0, 50.0, -50.0)
    both = mask_loss(torch.cat([LOGIT, right]), torch.cat([TRUTH, TRUTH]), dice=1.0)
    assert both.item() == pytest.approx(mask_loss(LOGIT, TRUTH, dice=1.0).item() / 2, rel=1e-5)


def test_it_is_the_two_class_cross_entropy_of_the_difference():
    classes = torch.randn(3, 2, 5, 4)
    truth = torch.randint(0, 2, (3, 1, 5, 4))
    expected = F.cross_entropy(classes, truth[:, 0])
    torch.testing.assert_close(mask_loss(classes[:, 1:] - classes[:, :1], truth), expected)


def test_the_gradient_is_probability_less_truth():
    logit = torch.randn(2, 1, 3, 4, requires_grad=True)
    truth = torch.randint(0, 2, (2, 1, 3, 4)).float()
    mask_loss(logit, truth).backward()
    torch.testing.assert_close(logit.grad, (logit.detach().sigmoid() - truth) / 24)


def test_half_precision_is_summed_in_single():
    loss = mask_loss(LOGIT.bfloat16(), TRUTH.bfloat16(), dice=1.0)
    assert loss.dtype == torch.float32


def test_iou_by_hand():
    logit = torch.tensor([[1.0, 1, -1, -1], [-1, -1, -1, -1], [1, 0, 1, 1]]).view(3, 1, 2, 2)
    truth = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 1]]).view(3, 1, 2, 2)
    iou = mask_iou(logit.requires_grad_(), truth)
    torch.testing.assert_close(iou, torch.tensor([1 / 3, 0.0, 1.0]))
    assert not iou.requires_grad


def test_quality_by_hand():
    loss = quality_loss(torch.tensor([0.5, 0.75]), torch.tensor([0.7, 0.6]))
    second = -0.6 * math.log(0.75) - 0.4 * math.log(0.25)
    assert loss.item() == pytest.approx((math.log(2) + second) / 2)


def test_a_quality_that_is_far_off_still_learns():
    logit = torch.tensor([-9.0, 9.0], requires_grad=True)
    quality_loss(logit.sigmoid(), torch.tensor([0.6, 0.1])).backward()
    torch.testing.assert_close(logit.grad, torch.tensor([-0.6, 0.9]) / 2, rtol=1e-2, atol=0)
    assert quality_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])).isfinite()


def test_nobody():
    logit = torch.zeros(0, 1, 4, 4, requires_grad=True)
    quality = torch.zeros(0, requires_grad=True)
    iou = mask_iou(logit, torch.zeros(0, 1, 4, 4))
    assert iou.shape == (0,)
    total = mask_loss(logit, torch.zeros(0, 1, 4, 4), dice=1.0) + quality_loss(quality, iou)
    assert total.item() == 0
    total.backward()
    assert logit.grad.shape == (0, 1, 4, 4)
