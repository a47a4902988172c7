"""Micro-batches that are not finite are left out and counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

import gradchain as gc
from tests.laws import samples
from tests.laws.samples import assert_close, assert_identical
from tests.support.accumulation import INF, NAN, train, updates_of


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_micro_batch_that_is_not_finite_is_dropped_and_counted(bad):
    made, state = updates_of(
        gc.accumulate(gc.scale(1.0), 4), [1.0, bad, 2.0, 6.0, 1.0, 2.0, 3.0, 4.0]
    )
    assert made == [0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 2.5]
    assert (int(state["dropped"]), int(state["count"])) == (1, 2)
    assert np.all([np.isfinite(x) for x in jax.tree.leaves(state)])


def test_one_bad_number_drops_the_micro_batch_of_all_leaves():
    params = {"a": jnp.zeros(3), "b": jnp.zeros(2)}
    bad = {"a": jnp.ones(3), "b": jnp.array([1.0, NAN])}
    good = {"a": jnp.full(3, 5.0), "b": jnp.full(2, 7.0)}
    tx = gc.accumulate(gc.sgd(1.0), 2)
    params, state = tx.step(bad, tx.init(params), params)
    assert_identical(params, {"a": jnp.zeros(3), "b": jnp.zeros(2)})
    params, state = tx.step(good, state, params)
    assert_identical(params, {"a": jnp.full(3, -5.0), "b": jnp.full(2, -7.0)})
    assert int(state["accumulate"]["dropped"]) == 1


def test_where_all_are_dropped_no_step_is_made():
    params, tx = (
        samples.params(jnp.float32),
        gc.accumulate(gc.adamw(gc.linear_schedule(0.1, 0.2, 9)), 3),
    )
    good = samples.gradients(jnp.float32, 3)
    params, state = train(tx, params, good)
    bad = jax.tree.map(lambda g: g * NAN, good)
    same, after = train(tx, params, bad, state)
    assert_identical(same, params)
    assert_identical(after["accumulate"]["inner"], state["accumulate"]["inner"])
    assert {
        k: int(after["accumulate"][k]) for k in ("count", "micro_step", "taken", "dropped")
    } == {
        "count": 1,
        "micro_step": 0,
        "taken": 0,
        "dropped": 3,
    }
    assert_identical(train(tx, same, good, after)[0], train(tx, params, good, state)[0])


def test_a_value_that_is_not_finite_drops_its_micro_batch():
    made, state = updates_of(gc.accumulate(gc.scale(1.0), 2), [1.0, 3.0], value=[NAN, 1.0])
    assert made == [0.0, 3.0]
    assert int(state["dropped"]) == 1


def test_a_complex_micro_batch_is_dropped_for_either_part():
    tx, params = gc.accumulate(gc.scale(1.0), 2), jnp.zeros(1, jnp.complex64)
    for bad in (complex(NAN, 1.0), complex(1.0, INF)):
        _, state = tx.update(jnp.array([bad], jnp.complex64), tx.init(params), params)
        update, _ = tx.update(jnp.array([1 + 2j], jnp.complex64), state, params)
        np.testing.assert_array_equal(update, np.array([1 + 2j], np.complex64))


def test_a_frozen_leaf_drops_nothing():
    params = {"head": jnp.zeros(2), "trunk": jnp.zeros(2)}
    tx = gc.accumulate(gc.groups([("trunk", gc.freeze())], default=gc.sgd(1.0)), 2)
    grads = {"head": jnp.ones(2), "trunk": jnp.full(2, NAN)}
    state = tx.init(params)
    for _ in range(2):
        params, state = tx.step(grads, state, params)
    assert_identical(params, {"head": jnp.full(2, -1.0), "trunk": jnp.zeros(2)})
    assert int(state["accumulate"]["dropped"]) == 0


@pytest.mark.parametrize("guard", [gc.skip_nonfinite, lambda tx: tx], ids=["guard", "none"])
def test_a_run_of_bad_micro_batches_is_counted_and_its_leaf_is_named(guard):
    params = {"a": jnp.zeros(3), "b": jnp.zeros(2), "hole": None}
    good = {"a": jnp.ones(3), "b": jnp.ones(2), "hole": None}
    in_b, in_a = good | {"b": jnp.array([1.0, INF])}, good | {"a": jnp.full(3, NAN)}
    tx = gc.accumulate(guard(gc.adam(0.1)), 2)
    update, state, seen = jax.jit(tx.update), tx.init(params), []
    for g in (good, in_b, in_b, in_a, good, in_a):
        _, state = update(g, state, params)
        in_a_row = int(gc.metrics(state)["dropped_in_a_row"])
        seen.append((in_a_row, gc.bad_leaf(state, params)))
    assert seen == [(0, None), (1, "b"), (2, "b"), (3, "a"), (0, "a"), (1, "a")]
    _, state = tx.update(good, state, params, value=NAN)
    assert gc.bad_leaf(state, params) == "value"


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.bfloat16, jnp.complex64])
def test_the_bad_leaf_is_named_in_every_dtype_and_beside_holes(dtype):
    with jax.enable_x64(dtype == jnp.float64):
        params = {"a": jnp.zeros(2, dtype), "hole": None, "z": jnp.zeros(2, jnp.float32)}
        tx = gc.accumulate(gc.sgd(1.0), 2)
        for leaf in ("a", "z"):
            grads = params | {leaf: jnp.full_like(params[leaf], NAN)}
            _, state = jax.jit(tx.update)(grads, tx.init(params), params)
            assert gc.bad_leaf(state, params) == leaf


def test_the_guard_that_skips_now_names_the_leaf():
    params, good = {"a": jnp.zeros(2), "b": jnp.zeros(2)}, {"a": jnp.ones(2), "b": jnp.ones(2)}
    tx = gc.accumulate(gc.skip_nonfinite(gc.adam(0.1)), 1)
    state = tx.init(params)
    for g, leaf in (
        (good | {"b": jnp.full(2, NAN)}, "b"),  # dropped before the guard sees it
        (good | {"a": jnp.full(2, 1e30)}, "scale_by_adam/nu/a"),  # skipped by the guard
        (good, "b"),
    ):
        _, state = tx.update(g, state, params)
        assert gc.bad_leaf(state, params) == leaf


def test_what_was_dropped_is_counted_up_to_the_largest_number():
    largest = jnp.iinfo(jnp.int32).max
    tx, params = gc.accumulate(gc.sgd(0.1), every=2), jnp.ones(2)
    state = tx.init(params)
    state["accumulate"]["dropped"] = jnp.int32(largest - 1)
    seen = []
    for _ in range(3):
        _, state = tx.update(jnp.full(2, jnp.nan), state, params)
        seen.append(int(state["accumulate"]["dropped"]))
    assert seen == [largest] * 3


def test_members_of_a_population_step_and_drop_on_their_own():
    tx = gc.accumulate(gc.scale(1.0), 2)
    grads = jnp.array([[1.0, 3.0, 5.0, 7.0], [NAN, 3.0, NAN, NAN]])

    def run(every, grads):
        member = tx.replace(every=every)
        step = lambda state, g: tuple(reversed(member.update(g, state, jnp.zeros(()))))
        return jax.lax.scan(step, member.init(jnp.zeros(())), grads)

    state, updates = jax.vmap(run)(jnp.array([1.0, 2.0]), grads)
    np.testing.assert_array_equal(updates, [[1.0, 3.0, 5.0, 7.0], [0.0, 3.0, 0.0, 0.0]])
    np.testing.assert_array_equal(state["accumulate"]["dropped"], [0, 3])
    np.testing.assert_array_equal(state["accumulate"]["count"], [4, 1])


@pytest.mark.parametrize("way", ["jit", "shard_map"])
def test_a_bad_number_on_one_device_drops_the_micro_batch_on_all(way):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    put = lambda x: jax.device_put(x, NamedSharding(mesh, P("data")))
    tx, params = gc.accumulate(gc.adam(0.1), 2), jnp.ones(16)
    grads = jnp.stack([jnp.ones(16).at[11].set(NAN), jnp.linspace(-1.0, 1.0, 16)])
    expected = train(tx, params, grads)
    state = jax.tree.map(lambda x: put(x) if x.ndim else x, tx.init(params))
    params, step = put(params), tx.step
    if way == "shard_map":
        split = jax.tree.map(lambda x: P("data") if x.ndim else P(), state)
        step = jax.shard_map(
            step, mesh=mesh, in_specs=(P("data"), split, P("data")), out_specs=(P("data"), split)
        )
    for g in grads:
        params, state = jax.jit(step)(put(g), state, params)
        assert params.sharding.spec == P("data")
    assert_close((params, state), expected, 1e-6)
    assert int(state["accumulate"]["dropped"]) == 1
