"""Tests of adam mini beside the laws."""

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc
from tests.laws import samples

SHAPES = {"bias": (3,), "kernel": (3, 2), "stack": (2, 4, 3)}


def test_adam_mini_keeps_one_number_for_each_block():
    p = {"bias": jnp.zeros(4), "kernel": jnp.zeros((3, 4)), "attention": jnp.zeros((3, 2, 5))}
    nu = lambda block: jax.tree.map(
        jnp.shape, gc.scale_by_adam_mini(block=block).init(p)["scale_by_adam_mini"]["nu"]
    )
    assert nu("output") == {"bias": (), "kernel": (4,), "attention": (3, 5)}
    assert nu("row") == {"bias": (), "kernel": (3,), "attention": (3, 2)}
    assert nu("leaf") == {"bias": (), "kernel": (), "attention": ()}
    assert nu(lambda shape: (0, -1) if len(shape) > 2 else ()) == {
        "bias": (4,),
        "kernel": (3, 4),
        "attention": (2,),
    }
    with pytest.raises(
        ValueError, match="block must be one of 'output', 'row', 'leaf', not 'head'"
    ):
        gc.scale_by_adam_mini(block="head").init(p)


def test_adam_mini_with_a_block_for_each_element_is_adam():
    mini, adam = gc.scale_by_adam_mini(block=no_dims), gc.scale_by_adam()
    p, grads = samples.params(jnp.float32, SHAPES), samples.gradients(jnp.float32, shapes=SHAPES)
    samples.assert_close(
        samples.compiled_run(mini, p, grads)[0], samples.compiled_run(adam, p, grads)[0], 1e-6
    )


def no_dims(shape):
    return ()
