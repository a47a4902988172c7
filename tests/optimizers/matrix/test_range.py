"""Gradients of any size, one after the other, leave updates and states finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

often = {"where": "*", "refresh": gc.refresh.every(2)}
DIRECTIONS = [
    gc.scale_by_alice(2, 1, **often),
    gc.scale_by_conda(**often),
    gc.scale_by_psgd_lra(rank=2),
    gc.scale_by_racs(where="*"),
    # Between two renewals a factor of gradients of 1e-30 may bring one of 1e30 out of range.
    gc.scale_by_sketchy(2, where="*"),
]
SIZES = [1e-30] * 3 + [1e30] * 3 + [0.0] * 2 + [1e-30] * 3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
@pytest.mark.parametrize("tx", DIRECTIONS, ids=lambda tx: next(iter(tx.init({}))))
def test_all_stays_finite(tx, dtype):
    params = {"kernel": jnp.zeros((5, 4), dtype)}
    state, step = tx.init(params), jax.jit(tx.update)
    for i, size in enumerate(SIZES):
        g = jax.random.normal(jax.random.key(i), (5, 4), dtype)
        updates, state = step({"kernel": (size * g).astype(dtype)}, state, params)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((updates, state)))
