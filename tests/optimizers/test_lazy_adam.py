"""Tests of lazy adam beside the laws."""

import jax.numpy as jnp

import gradchain as gc
from tests.laws import samples


def test_lazy_adagrad_is_adagrad():
    """A zero gradient adds nothing to a sum of squares and moves nothing."""
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    lazy, eager = (
        samples.compiled_run(tx, p, grads) for tx in (gc.lazy_adagrad(0.1), gc.adagrad(0.1))
    )
    samples.assert_close(lazy[:2], eager[:2], 1e-6)
