"""Functions to search along, and how tests run one search."""

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc


def _gamma(b):
    return np.sqrt(1 + b**2) - b


def _yanai(b1, b2):
    return lambda a: (
        _gamma(b1) * jnp.sqrt((1 - a) ** 2 + b2**2) + _gamma(b2) * jnp.sqrt(a**2 + b1**2)
    )


def _wiggly(a, b=0.01, waves=39):
    bend = jnp.where(
        a <= 1 - b, 1 - a, jnp.where(a >= 1 + b, a - 1, (a - 1) ** 2 / (2 * b) + b / 2)
    )
    return bend + 2 * (1 - b) / (waves * np.pi) * jnp.sin(waves * np.pi / 2 * a)


#: Moré & Thuente, "Line Search Algorithms with Guaranteed Sufficient Decrease", 1994, section 5:
#: functions 1 to 6, with c1, c2 and the first steps of their tables.
MORE_THUENTE = [
    lambda a: -a / (a**2 + 2),
    lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,
    _wiggly,
    _yanai(0.001, 0.001),
    _yanai(0.01, 0.001),
    _yanai(0.001, 0.01),
]
C1 = [0.001, 0.1, 0.1, 0.001, 0.001, 0.001]
C2 = [0.1, 0.1, 0.1, 0.001, 0.001, 0.001]
FIRST = [1e-3, 1e-1, 1e1, 1e3]

SEARCHES = {
    "strong_wolfe": gc.strong_wolfe,
    "hager_zhang": gc.hager_zhang,
    "armijo": lambda *args, **kwargs: gc.backtracking("armijo", *args, **kwargs),
    "goldstein": lambda *args, **kwargs: gc.backtracking("goldstein", *args, **kwargs),
}


def uphill(function, params):
    """Value and gradient, as ``update`` wants it."""
    value, grads = jax.value_and_grad(function)(params)
    return value, jax.tree.map(jnp.conj, grads)


def search(tx, function, params, direction=None):
    """One search from ``params``; along the negative gradient if not said. The update, and the
    state at the end.
    """
    value, grads = uphill(function, params)
    direction = jax.tree.map(jnp.negative, grads) if direction is None else direction
    update, state = tx.update(
        direction, tx.init(params), params, value=value, grad=grads, value_fn=function
    )
    (entry,) = state.values()
    return update, entry


def entry_of(state):
    """What the only search in a state remembers."""
    (found,) = [entry for entry in state.values() if "failed" in entry]
    return found
