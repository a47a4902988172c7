"""Stale gradients: what they do to a quadratic."""

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc


def distance(rate, steps, updates=600):
    """How far from the minimum of half a square it ends."""
    tx = gc.sgd(rate) if steps == 0 else gc.distributed.delayed(gc.sgd(rate), steps)
    params, state = jnp.ones(1), tx.init(jnp.ones(1))
    step = lambda carry, _: (tx.step(carry[0], carry[1], carry[0]), None)
    (params, _), _ = jax.lax.scan(step, (params, state), None, updates)
    return abs(float(params[0]))


@pytest.mark.parametrize(("steps", "limit"), [(0, 2.0), (1, 1.0), (3, 0.4450), (9, 0.1652)])
def test_the_largest_rate_falls_with_the_delay(steps, limit):
    """Delayed descent on a quadratic converges below a rate of 2 sin(pi / (4k + 2))."""
    assert distance(0.9 * limit, steps) < 0.5
    assert not distance(1.1 * limit, steps) < 1.5  # perhaps no number any more
