import pytest

from keypointnet.config import OptimConfig
from keypointnet.schedules import learning_rate


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
