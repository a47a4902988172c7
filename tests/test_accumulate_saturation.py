"""What ``accumulate`` counts stays where its integers end."""

import jax.numpy as jnp

import gradchain as gc

LARGEST = jnp.iinfo(jnp.int32).max


def test_what_was_dropped_is_counted_up_to_the_largest_number():
    tx, params = gc.accumulate(gc.sgd(0.1), every=2), jnp.ones(2)
    state = tx.init(params)
    state["accumulate"]["dropped"] = jnp.int32(LARGEST - 1)
    seen = []
    for _ in range(3):
        _, state = tx.update(jnp.full(2, jnp.nan), state, params)
        seen.append(int(state["accumulate"]["dropped"]))
    assert seen == [LARGEST] * 3
