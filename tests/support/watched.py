"""A small tree under watch, and what was measured of it."""

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc

PARAMS = {
    "a": {"kernel": jnp.array([[3.0, 0.0], [0.0, 4.0]]), "bias": jnp.array([2.0, 2.0])},
    "b": jnp.array([6.0]),
}
GRADS = {
    "a": {"kernel": jnp.array([[1.0, 2.0], [2.0, 0.0]]), "bias": jnp.array([0.5, -0.5])},
    "b": jnp.array([4.0]),
}


def after(tx, steps=1, grads=GRADS, params=PARAMS, **extra):
    """The state after some steps at the same parameters."""
    update, state = jax.jit(lambda g, s, p: tx.update(g, s, p, **extra)[1]), tx.init(params)
    for _ in range(steps):
        state = update(grads, state, params)
    return state


def measured(tx, steps=1, **kwargs):
    return {k: np.asarray(v) for k, v in gc.metrics(after(tx, steps, **kwargs)).items()}
