"""What whitens gradients of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


@pytest.mark.parametrize("form", ["triangular", "quad", "procrustes"])
def test_tiny_gradients_then_huge_ones_leave_all_finite(form):
    tx = gc.scale_by_psgd_kron(form=form, where="*")
    params = {"kernel": jnp.zeros((4, 3))}
    state, step = tx.init(params), jax.jit(tx.update)
    for i, size in enumerate([1e-30] * 5 + [1e30] * 5):
        g = {"kernel": size * jax.random.normal(jax.random.key(i), (4, 3))}
        updates, state = step(g, state, params)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((updates, state)))
        assert np.any(updates["kernel"])
