"""Constraints and penalties of a user's own."""

import jax.numpy as jnp
import pytest

import gradchain as gc


@gc.constraints.constraint(whole=True)
def orthonormal_columns(x, over):
    return jnp.linalg.qr(x)[0]


@gc.constraints.constraint
def mean_of_zero(x, over):
    return x - over.sum(x) / over.sum(jnp.ones_like(x))


@gc.penalties.penalty(whole=True)
def squared_spectrum(x, step, over, strength: gc.Hyper):
    u, s, v = jnp.linalg.svd(x, full_matrices=False)
    return (u * (s / (1 + step * strength))) @ v


@pytest.mark.parametrize(
    ("tx", "locality"),
    [
        (gc.project(orthonormal_columns()), "matrix"),
        (gc.project(mean_of_zero()), "leaf"),
        (gc.project(mean_of_zero(), axis=-1), "matrix"),
        (gc.prox(squared_spectrum(0.1), 0.1), "matrix"),
        (gc.project(gc.constraints.spectral_ball()), "matrix"),
        (gc.prox(gc.penalties.nuclear_norm(0.1), 0.1), "matrix"),
        (gc.prox(gc.penalties.l1(0.1), 0.1), "leaf"),
    ],
    ids=repr,
)
def test_what_mixes_an_array_is_not_split(tx, locality):
    assert tx.locality == locality


def test_a_constraint_of_a_users_own_is_kept():
    tx = gc.chain(gc.sgd(0.1), gc.project(orthonormal_columns()))
    params = jnp.linalg.qr(jnp.arange(6.0).reshape(3, 2) ** 2)[0]
    params, _ = tx.step(jnp.ones((3, 2)), tx.init(params), params)
    assert jnp.allclose(params.T @ params, jnp.eye(2), atol=1e-6)
    assert orthonormal_columns() == orthonormal_columns()
