"""What the tests of accumulation have in common."""

import jax
import jax.numpy as jnp

from tests.laws.samples import at

NAN, INF = float("nan"), float("inf")


def train(tx, params, grads, state=None, **extra):
    """Parameters and state after one step with each of the stacked gradients; ``extra`` is stacked
    too.
    """
    state = tx.init(params) if state is None else state
    step = jax.jit(tx.step)
    for t in range(len(jax.tree.leaves(grads)[0])):
        params, state = step(at(t, grads), state, params, **at(t, extra))
    return params, state


def updates_of(tx, grads, **extra):
    """The updates of a single number, one for each gradient."""
    params, state, made = jnp.zeros(()), tx.init(jnp.zeros(())), []
    for t, g in enumerate(grads):
        u, state = tx.update(
            jnp.float32(g), state, params, **{k: jnp.float32(x[t]) for k, x in extra.items()}
        )
        made.append(float(u))
    return made, state["accumulate"]
