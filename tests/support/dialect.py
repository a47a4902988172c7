"""What the tests of the dialect of optax have in common."""

import jax
import jax.numpy as jnp
import numpy as np

import gradchain.as_optax as spoken

PARAMS = {
    "dense": {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.1, -0.2])}
}
GRADS = [jax.tree.map(lambda p, k=k: jnp.cos(k * p + 1.0), PARAMS) for k in (1.0, 2.0, 3.0)]
GRADS.append(jax.tree.map(lambda g: 50.0 * g, GRADS[0]))
MASK = {"dense": {"kernel": True, "bias": False}}
is_matrix = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)
LABELS = {"dense": {"kernel": "a", "bias": "b"}}


def evaluate(call, module):
    """What a call gives, in which ``optax`` is a module of either library."""
    return eval(call, globals() | {"optax": module})


def steps(tx, fresh=PARAMS):
    state, params, made = tx.init(fresh), fresh, []
    for grads in GRADS:
        updates, state = tx.update(grads, state, params)
        params = spoken.apply_updates(params, updates)
        made.append(updates)
    return made


def assert_close(made, expected, **tolerances):
    made, expected = (
        jax.tree.map(lambda x: np.asarray(x, np.float64), t) for t in (made, expected)
    )
    assert jax.tree.structure(made) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerances), made, expected)
