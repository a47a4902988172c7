"""What the tests of control flow have in common."""

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.support.random_trees import other_like

PARAMS = {"head": jnp.array([1.0, -2.0]), "trunk": jnp.array([[0.5], [2.0]])}
GRADS = [
    jax.tree.map(lambda p, k=k: p * k - 1.0, PARAMS) for k in (1.0, -2.0, 0.5, 3.0, -1.0, 2.0)
]
every_third = gc.linear_schedule(1.0, 0.0, 1).repeat(3)


def steps(tx, grads=GRADS, params=PARAMS, **extra):
    """The updates of each step and the last state."""
    state, made = tx.init(params), []
    step = jax.jit(lambda g, s, p: tx.update(g, s, p, **extra))
    for g in grads:
        u, state = step(g, state, params)
        params = gc.apply_updates(params, u)
        made.append(u)
    return made, state


def go(tx, params, seeds):
    """The updates of gradients drawn from seeds, at parameters that stay, and the last state."""
    state, made = tx.init(params), []
    for seed in seeds:
        u, state = tx.update(other_like(params, seed), state, params)
        made.append(u)
    return made, state
