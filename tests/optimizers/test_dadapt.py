"""Tests of dadapt beside the laws."""

import jax
import pytest

import gradchain as gc
from tests.support.least_squares import descend


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def test_growth_is_bounded():
    _, _, free = descend(gc.dadapt_sgd(estim_lr0=0.1), 5)
    _, _, bound = descend(gc.dadapt_sgd(estim_lr0=0.1, growth_rate=1.1), 5)
    assert free["dadapt"]["distance"] > 0.1 * 1.1**5 >= bound["dadapt"]["distance"]
