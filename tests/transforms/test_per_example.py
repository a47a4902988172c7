"""Gradients of single examples and of several losses: clipped, hidden in noise, freed from each
other.
"""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc

PARAMS = {"bias": jnp.zeros(2), "kernel": jnp.zeros((4, 2)), "scale": jnp.zeros(())}
RNG = np.random.default_rng(0)
GRADS = jax.tree.map(
    lambda p: jnp.asarray(RNG.standard_normal((6, *p.shape)), jnp.float32), PARAMS
)


assert_close = partial(chex.assert_trees_all_close, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("limit", [0.0, 0.5, 2.0, 3.5, 1e38])
def test_clipping_is_that_of_optax(limit):
    ours = gc.per_example_global_norm_clip(GRADS, limit)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = optax.per_example_global_norm_clip(GRADS, limit)
    assert_close(ours[0], theirs[0])
    assert ours[1] == theirs[1]


@pytest.mark.parametrize("uniform", [True, False])
def test_clipping_by_layer_is_that_of_optax(uniform):
    ours = gc.per_example_layer_norm_clip(GRADS, 2.0, uniform)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = optax.per_example_layer_norm_clip(GRADS, 2.0, uniform)
    assert_close(ours, theirs)


def test_without_a_bound_and_noise_it_is_the_mean():
    tx = gc.differentially_private_aggregate(float("inf"), 0.0)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert_close(updates, jax.tree.map(lambda g: jnp.mean(g, axis=0), GRADS))


def test_the_aggregate_without_noise_is_that_of_optax():
    tx = gc.differentially_private_aggregate(1.5, 0.0)
    theirs = optax.contrib.differentially_private_aggregate(1.5, 0.0, key=0)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected, _ = theirs.update(GRADS, theirs.init(PARAMS))
    assert_close(tx.update(GRADS, tx.init(PARAMS), PARAMS)[0], expected)
    assert_close(tx.update(GRADS, tx.init(PARAMS))[0], expected)


def test_noise_has_the_deviation_that_is_asked_for_and_differs_from_step_to_step():
    params = jnp.zeros((100, 100))
    tx = gc.differentially_private_aggregate(2.0, 3.0)
    state, seen = tx.init(params), []
    for _ in range(2):
        u, state = tx.update(jnp.zeros((5, 100, 100)), state, params)
        assert float(jnp.std(u)) == pytest.approx(2.0 * 3.0 / 5, rel=0.03)
        seen.append(u)
    assert float(jnp.mean(seen[0] * seen[1])) == pytest.approx(0.0, abs=0.1)
    other = tx.replace(seed=1).update(jnp.zeros((5, 100, 100)), tx.init(params), params)[0]
    assert not np.allclose(other, seen[0])
    keyed = [
        tx.update(jnp.zeros((5, 100, 100)), state, params, key=jax.random.key(7))[0]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*keyed)


def test_a_chain_with_a_name_of_its_own_takes_them_too():
    tx = gc.chain(gc.differentially_private_aggregate(1.0, 0.0), gc.sgd(1.0))
    for named in (
        tx.named("private"),
        gc.chain(tx.named("private"), gc.scale(1.0)),
        gc.tunable(tx.named("private")),
    ):
        updates, _ = named.update(GRADS, named.init(PARAMS), PARAMS)
        assert_close(updates, tx.update(GRADS, tx.init(PARAMS), PARAMS)[0])


def test_ordinary_gradients_are_refused_by_name():
    ordinary = jax.tree.map(lambda g: g[0], GRADS)
    for tx in (gc.dpsgd(0.1, 1.0, 1.0), gc.pcgrad()):
        with pytest.raises(ValueError, match="'bias' has a gradient of shape"):
            tx.update(ordinary, tx.init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match="'kernel'"):
        gc.per_example_global_norm_clip(
            {"bias": GRADS["bias"], "kernel": GRADS["kernel"][1:]}, 1.0
        )
    tx = gc.chain(gc.clip(1.0), gc.dpsgd(0.1, 1.0, 1.0))
    with pytest.raises(ValueError, match="'bias': the update is"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)


def test_it_trains_compiled_and_stepwise_alike():
    tx = gc.dpsgd(0.1, 1.0, 0.5, momentum=0.9)

    def loss(params, x):
        return jnp.sum((x @ params["kernel"] + params["bias"] - 1.0) ** 2) * (1 + params["scale"])

    x = jnp.asarray(RNG.standard_normal((6, 4)), jnp.float32)
    per_example = jax.vmap(jax.grad(loss), (None, 0))

    def run(step):
        params, state = PARAMS, tx.init(PARAMS)
        for _ in range(3):
            params, state = step(per_example(params, x), state, params)
        return params

    assert_close(run(tx.step), run(jax.jit(tx.step)))


@pytest.mark.parametrize(
    "tx",
    [gc.dpsgd(0.1, 1.5, 0.0), gc.differentially_private_aggregate(1.5, 0.5, layerwise=True)],
    ids=["plain", "noise"],
)
def test_examples_may_be_split_over_devices(tx):
    grads = jax.tree.map(lambda g: jnp.concatenate([g, g + 1.0])[:8], GRADS)
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4], axis_types=auto)
    update = lambda g: tx.update(g, tx.init(PARAMS), PARAMS)[0]
    split = jax.jit(jax.shard_map(update, mesh=mesh, in_specs=P("data"), out_specs=P()))
    assert_close(split(grads), update(grads))
