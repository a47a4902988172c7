"""Tests of mechanic beside the laws."""

import jax
import pytest

import gradchain as gc
from tests.support.least_squares import descend


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def test_mechanic_hands_extra_arguments_on():
    values, _, _ = descend(gc.mechanize(gc.momo(1.0)), 300)
    assert values[-1] < 1e-2 * values[0]
