"""Old states that are too deep for JAX."""

import functools

import jax.numpy as jnp
import pytest

import gradchain as gc


@pytest.mark.parametrize("kind", ["dict", "list", "tuple"])
def test_a_tree_that_is_too_deep_is_refused_before_it_breaks_later_calls(kind):
    """JAX would refuse it too, and every tree after it in the same process."""
    wrap = {"dict": lambda x: {"a": x}, "list": lambda x: [x], "tuple": lambda x: (x,)}[kind]
    deep = functools.reduce(lambda x, _: wrap(x), range(3000), 1.0)
    tx, params = gc.adam(0.1), {"w": jnp.ones(2)}
    for args, message in (((deep, params), "the old state"), (({}, deep), "the tree of param")):
        for _ in range(3):
            with pytest.raises(ValueError, match=f"adopt_state: {message}.* is nested too deep"):
                gc.adopt_state(tx, *args)
    old = {"beside": functools.reduce(lambda x, _: wrap(x), range(90), jnp.ones(1))}
    state, _ = gc.adopt_state(tx, tx.init(params) | old, params)
    assert gc.eval_params(state, params)["w"].tolist() == [1.0, 1.0]
