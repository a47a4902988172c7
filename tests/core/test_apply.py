"""Tests of apply."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def test_updates_are_added_in_float32_and_rounded_once():
    params = {"w": jnp.ones(2, jnp.bfloat16)}
    updates = {"w": jnp.full(2, 2.0**-9 + 2.0**-16, jnp.float32)}
    with jax.numpy_dtype_promotion("standard"):
        np.testing.assert_array_equal(
            gc.apply_updates(params, updates)["w"], (1 + updates["w"]).astype(jnp.bfloat16)
        )


def test_errors_name_the_function_that_was_called():
    one = jnp.ones(2)
    for params, updates in (("a", "a"), (one, abs), (one, "a"), ("a", one)):
        with pytest.raises(TypeError, match=r"^apply_updates: 'w' is a (str|builtin)"):
            gc.apply_updates({"w": params}, {"w": updates})
