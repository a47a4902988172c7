"""Tests of constraints on singular values beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc


def trained(tx, p, steps=20):
    rng, state, step = np.random.default_rng(1), tx.init(p), jax.jit(tx.step)
    for _ in range(steps):
        draw = lambda x: jnp.asarray(rng.standard_normal(x.shape), x.dtype)
        p, state = step(jax.tree.map(draw, p), state, p)
    return p


def test_singular_values_stay_those_of_the_start():
    rng = np.random.default_rng(0)
    shapes = {"tall": (6, 3), "wide": (3, 6), "stack": (2, 4, 4)}
    p = {k: jnp.asarray(rng.standard_normal(s), jnp.float32) for k, s in shapes.items()}
    q = trained(gc.chain(gc.adam(0.1), gc.isospectral("*")), p)
    for k, x in p.items():
        values = np.linalg.svd(np.asarray(x), compute_uv=False)
        np.testing.assert_allclose(np.linalg.svd(q[k], compute_uv=False), values, rtol=1e-4)
        assert np.max(np.abs(q[k] - x)) > 0.1


def test_columns_stay_orthonormal_on_the_stiefel_manifold():
    p = {"w": jnp.eye(5, 3)}
    tx = gc.chain(
        gc.scale_by_muon(where="*"), gc.scale(-0.1), gc.project(gc.constraints.stiefel())
    )
    q = trained(tx, p)["w"]
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-5)
    assert np.max(np.abs(q - p["w"])) > 0.1


def test_columns_keep_their_norms_on_the_oblique_manifold():
    p = {"w": jnp.eye(5, 3)}
    q = trained(gc.chain(gc.sgd(0.1), gc.project(gc.constraints.l2_sphere(), axis=0)), p)["w"]
    np.testing.assert_allclose(np.linalg.norm(q, axis=0), 1.0, rtol=1e-6)
