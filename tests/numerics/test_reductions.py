"""Tests of reductions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.numerics.reductions import size_along

X = jnp.arange(48.0).reshape(4, 2, 6) - 20.0
WHOLE = (0, 1, 2)


@pytest.mark.parametrize("dims", [0, -1, (0, 1), (-1, -2), WHOLE])
def test_reductions_along_dimensions_keep_them(dims):
    np.testing.assert_allclose(gc.numerics.total_along(X, dims), np.sum(X, dims, keepdims=True))
    np.testing.assert_allclose(
        gc.numerics.mean_along(X, dims), np.mean(X, dims, keepdims=True), rtol=1e-6
    )
    np.testing.assert_allclose(gc.numerics.max_along(X, dims), np.max(X, dims, keepdims=True))
    assert size_along(X, dims) == X.size // np.sum(X, dims).size


@pytest.mark.parametrize("dims", [0, (0, 2), WHOLE])
def test_reductions_along_what_is_split_are_over_all_shards(dims):
    mesh = jax.make_mesh((4,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    together = lambda x: (
        gc.numerics.total_along(x, dims),
        gc.numerics.mean_along(x, dims),
        gc.numerics.max_along(x, dims),
    )
    split = jax.shard_map(together, mesh=mesh, in_specs=P("a"), out_specs=P())
    for found, expected in zip(jax.jit(split)(X), together(X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_whole_leaf_reductions_are_over_all_shards():
    mesh = jax.make_mesh((4,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    together = lambda x: (
        gc.numerics.total(x),
        gc.numerics.mean(x),
        gc.numerics.norm(x),
        jnp.asarray(gc.numerics.size(x)),
    )
    split = jax.shard_map(together, mesh=mesh, in_specs=P("a"), out_specs=P())
    for found, expected in zip(jax.jit(split)(X), together(X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nothing_has_mean_zero():
    empty = jnp.zeros((0, 2))
    assert gc.numerics.mean(empty) == 0.0
    np.testing.assert_array_equal(gc.numerics.mean_along(empty, 0), [[0.0, 0.0]])


def on_eight(function, *, check_vma):
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = {"in_specs": P("a"), "out_specs": P("a")}
    return jax.jit(jax.shard_map(function, mesh=mesh, check_vma=check_vma, **specs))


REDUCING = {
    "clip_by_global_norm": gc.clip_by_global_norm(1.0),
    "scale_by_trust_ratio": gc.scale_by_trust_ratio(),
    "add_noise": gc.add_noise(),
    "skip_nonfinite": gc.skip_nonfinite(gc.sgd(0.1)),
}


@pytest.mark.parametrize("name", REDUCING)
def test_where_types_do_not_say_what_is_split_sums_over_shards_are_refused(name):
    tx, x = REDUCING[name], jnp.ones((8, 2))
    update = lambda g: tx.update(g, tx.init(g), g)[0]
    with pytest.raises(ValueError, match=r"check_vma=False\), or pmap.*check_vma=True"):
        on_eight(update, check_vma=False)(x)
    np.testing.assert_allclose(on_eight(update, check_vma=True)(x), update(x), atol=0.3)


def test_what_sums_nothing_is_right_where_types_do_not_say_what_is_split():
    tx, x = gc.lookahead(gc.adamw(0.1), 2), jnp.arange(16.0).reshape(8, 2).astype(jnp.bfloat16)
    params = x.astype(jnp.float32)
    update = lambda g: tx.update(g, tx.init(params[: len(g)]), params[: len(g)] * 0 + 1.0)[0]
    found = on_eight(update, check_vma=False)(x)
    np.testing.assert_allclose(found, update(x), rtol=1e-2)


def test_pmap_is_refused_too():
    tx = gc.clip_by_global_norm(1.0)
    with pytest.raises(ValueError, match="or pmap"):
        jax.pmap(lambda g: tx.update(g, {})[0])(jnp.ones((8, 2)))
