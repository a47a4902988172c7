"""Gradients that shards do not have in common yet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.core.around import around

X = jnp.arange(16.0).reshape(8, 2)
PARAMS = {"w": jnp.ones(2)}


@gc.transform
def averaged_first(inner: gc.GradientTransformation):
    """Average over the axis, then the member."""

    def rule(g, s, inner, p=None):
        u, new = inner(jax.tree.map(lambda x: lax.pmean(x, "a"), g), s["inner"], p)
        return u, {"inner": new}

    body = around(rule, inner=inner)
    body.reduces_shards = True
    return body


def per_device(tx):
    """Updates from the gradients of each device."""
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))

    def update(params, x):
        local = jax.tree.map(lambda p: lax.pcast(p, "a", to="varying"), params)
        grads = jax.grad(lambda p: jnp.sum(p["w"] * x[0]))(local)
        return tx.update(grads, tx.init(params), params)[0]

    return jax.jit(jax.shard_map(update, mesh=mesh, in_specs=(P(), P("a")), out_specs=P()))


INNER = gc.chain(gc.clip_by_global_norm(1.0), gc.scale(2.0))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: tx,
        lambda tx: gc.chain(tx, gc.zero_nans()),
        lambda tx: gc.chain(tx).named("mine"),
        lambda tx: gc.storage(tx, "bfloat16"),
        gc.watch,
        gc.tunable,
    ],
    ids=["plain", "chain", "named", "storage", "watch", "tunable"],
)
def test_a_member_that_reduces_takes_gradients_of_each_device(wrap):
    found = per_device(wrap(averaged_first(INNER)))(PARAMS, X)["w"]
    mean = np.mean(np.asarray(X), 0)
    np.testing.assert_allclose(found, 2 * mean / np.linalg.norm(mean), rtol=1e-6)


@pytest.mark.parametrize(
    "tx",
    [gc.chain(gc.clip(1.0), averaged_first(INNER)), gc.sgd(0.1), gc.adam(0.1)],
    ids=["behind", "sgd", "adam"],
)
def test_others_refuse_them(tx):
    with pytest.raises(ValueError, match=r"'w'.*different mesh axes.*pmean\(grads, 'a'\)"):
        per_device(tx)(PARAMS, X)


@gc.transform
def forgets_to_reduce():
    body = gc.treewise(lambda g: g)
    body.reduces_shards = True
    return body


def test_a_member_that_says_it_reduces_has_to():
    with pytest.raises(ValueError, match=r"'w'.*pmean\(grads, 'a'\)"):
        per_device(gc.chain(forgets_to_reduce(), gc.adam(0.1)))(PARAMS, X)
