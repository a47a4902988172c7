"""Tests of trust ratio beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.support.runs import once


def test_a_parameter_at_zero_can_leave_it():
    g = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(once(gc.scale_by_trust_ratio(), g, jnp.zeros(2)), g)
    np.testing.assert_array_equal(once(gc.scale_by_trust_ratio(), jnp.zeros(2), g), np.zeros(2))
