"""Tests of stable adamw beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.support.runs import after_quiet_steps


def test_a_spike_moves_stable_adam_much_less_than_adam():
    spike = jnp.full(4, 1000.0)
    stable, plain = (
        after_quiet_steps(tx(b2=0.99), spike)[0]
        for tx in (gc.scale_by_stable_adam, gc.scale_by_adam)
    )
    assert np.all(stable < 0.25 * plain)
