import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from keypointnet.config import OptimConfig
from keypointnet.schedules import learning_rate, moving_average


def test_a_constant_learning_rate():
    config = OptimConfig(steps=100, learning_rate=2e-3)
    assert {learning_rate(step, config) for step in (0, 50, 99)} == {2e-3}


def test_one_cycle_literal():
    config = OptimConfig(steps=110, learning_rate=1.0, schedule="one_cycle", warmup=10 / 110)
    rates = [learning_rate(step, config) for step in (0, 4, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5, 0.0])


def test_one_cycle_of_one_step_learns():
    config = OptimConfig(steps=1, learning_rate=1.0, schedule="one_cycle")
    assert learning_rate(0, config) == 1.0


def test_moving_average_by_hand():
    network, steps = torch.nn.Linear(1, 1, bias=False), (1.0, 3.0, 6.0)
    averaged = AveragedModel(network, multi_avg_fn=moving_average(0.15))
    for value in steps:
        torch.nn.init.constant_(network.weight, value)
        averaged.update_parameters(network)
    # The first value itself; then decays of 2/11, at most 0.15, and 0.15.
    second = 0.15 * 1 + 0.85 * 3
    assert averaged.module.weight.item() == pytest.approx(0.15 * second + 0.85 * 6)
    averaged = AveragedModel(network, multi_avg_fn=moving_average(0.99))
    for value in steps:
        torch.nn.init.constant_(network.weight, value)
        averaged.update_parameters(network)
    second = 2 / 11 * 1 + 9 / 11 * 3
    assert averaged.module.weight.item() == pytest.approx(3 / 12 * second + 9 / 12 * 6)
