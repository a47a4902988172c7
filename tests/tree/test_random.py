"""Tests of random."""

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc


def test_noise_of_a_leaf_depends_on_its_path_alone():
    key = jax.random.key(0)
    both = gc.tree.normal_like(
        key, {"a": jnp.zeros(3), "b": jnp.zeros(3), "c": jnp.zeros(1000, jnp.complex64)}
    )
    alone = gc.tree.normal_like(
        key, {"b": jnp.zeros(3, jnp.float64 if jax.config.jax_enable_x64 else jnp.float32)}
    )
    np.testing.assert_array_equal(both["b"], alone["b"])
    assert not np.any(np.asarray(both["a"]) == both["b"])
    np.testing.assert_allclose(np.mean(np.abs(both["c"]) ** 2), 1.0, rtol=0.1)


TREE = {"dense": {"bias": jnp.ones(3), "kernel": 2.0 * jnp.ones((3, 2))}, "hole": None}


def test_random_numbers_depend_on_the_path_alone():
    key = jax.random.key(0)
    all_of_them = gc.tree.normal_like(key, TREE)
    some = gc.tree.normal_like(
        key, {"dense": {"kernel": TREE["dense"]["kernel"].astype(jnp.bfloat16)}}
    )
    np.testing.assert_allclose(
        some["dense"]["kernel"], all_of_them["dense"]["kernel"].astype(jnp.bfloat16)
    )
    assert all_of_them["hole"] is None
    draw = gc.tree.normal_like(key, {"x": jnp.zeros(4000, jnp.complex64)})["x"]
    np.testing.assert_allclose(jnp.mean(jnp.abs(draw) ** 2), 1.0, atol=0.1)
