"""How tests run a few steps."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.laws import samples


def scalar_updates(tx, grads, params=0.0):
    """The updates of a scalar parameter, one by one."""
    p, updates = jnp.asarray(params), []
    state = tx.init(p)
    for g in grads:
        u, state = tx.update(jnp.asarray(g), state, p)
        updates.append(float(u))
    return np.asarray(updates)


SHAPES = {"bias": (3,), "kernel": (3, 2), "stack": (2, 4, 3)}


def ours_and_theirs(ours, theirs, dtype=jnp.float64, steps=20):
    """The parameters after some steps of ours and of optax's."""
    with jax.enable_x64(dtype == jnp.float64):
        p, grads = samples.params(dtype, SHAPES), samples.gradients(dtype, steps, SHAPES)
        _, expected_p, _ = samples.compiled_run(ours, p, grads, 1.0)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            _, p, _ = jax.jit(samples.run, static_argnums=(0, 3))(theirs, p, grads, 1.0)
    return expected_p, p


def once(tx, g, params=None):
    return tx.update(g, tx.init(g if params is None else params), params)[0]


def after_quiet_steps(tx, spike, steps=30):
    """What a spike does after ordinary gradients."""
    p = jnp.ones(4)
    state = tx.init(p)
    for t in range(steps):
        _, state = tx.update(jnp.full(4, 1.0 if t % 2 else 1.1), state, p)
    return tx.update(spike, state, p)


def run(tx, params, grads):
    state = tx.init(params)
    for t in range(samples.STEPS):
        params, state = tx.step(samples.at(t, grads), state, params)
    return params, state
