"""What the tests of hyperparameters have in common."""

import jax
import jax.numpy as jnp

import gradchain as gc

PARAMS = {
    "dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)},
    "head": {"kernel": jnp.ones((2, 1))},
}
ONES = jax.tree.map(jnp.ones_like, PARAMS)
RATE = gc.linear_schedule(1.0, 0.0, 10)


def run(tx, state, steps, params=PARAMS, grads=ONES):
    """Parameters and state after some steps with the same gradients."""
    for _ in range(steps):
        params, state = tx.step(grads, state, params)
    return params, state


def values(state):
    """The hyperparameters in the state of a ``tunable``."""
    return state["tunable"]["hyperparams"]
