"""Least squares with a known solution, and a descent that keeps each step."""

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc

RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((50, 6))
SOLUTION = {"bias": RNG.standard_normal(2), "kernel": RNG.standard_normal((2, 2))}


def joined(tree):
    return jnp.concatenate([tree["bias"], tree["kernel"].ravel()])


def loss(params, factor):
    """Least squares, 0 at the solution."""
    return factor * jnp.mean(jnp.square(FEATURES @ (joined(params) - joined(SOLUTION)))) / 2


def descend(tx, steps, factor=1.0):
    """The losses on the way from zero, the parameters at each step, and the state at the end."""
    start = jax.tree.map(lambda x: jnp.zeros(x.shape), SOLUTION)

    def body(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, factor)
        extra = {"value": value} if "value" in tx.extras else {}
        params, state = tx.step(grads, state, params, **extra)
        return (params, state), (value, params)

    (_, state), (values, path) = jax.jit(
        lambda: jax.lax.scan(body, (start, tx.init(start)), length=steps)
    )()
    return values, path, state


def downhill(direction):
    return gc.chain(direction, gc.scale(-1.0))


like_adam = {"distance": "largest", "decay": 0.999**0.5}
