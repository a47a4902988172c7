"""Accumulation is the large batch, runs the inner transformation once in a cycle, and loses nothing
to a bad batch.
"""

import functools

import chex
import flax.serialization
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given

import gradchain as gc
from tests.laws import samples
from tests.laws.samples import assert_close, assert_identical, at
from tests.support import hlo
from tests.support.accumulation import NAN, train, updates_of
from tests.support.random_trees import few, full_trees, other_like


@functools.cache
def program(k=8):
    """A compiled step of adamw every ``k`` micro-steps, which is given its buffers, beside the
    plain one.
    """
    params = {"kernel": jnp.ones((512, 256)), "bias": jnp.ones(256)}
    # Donated buffers and results of the same type are paired in order: parameters and state go in
    # as they come out.
    step = lambda tx: jax.jit(
        lambda params, state, grads: tx.step(grads, state, params), donate_argnums=(0, 1)
    )
    transformations = gc.accumulate(gc.adamw(1e-3), k), gc.adamw(1e-3)
    return [step(tx).lower(params, tx.init(params), params).compile() for tx in transformations]


# --------------------------------------------------------------------------------- one inner update


def test_the_inner_update_stands_once_in_the_program_and_only_in_a_branch():
    (text, plain) = (compiled.as_text() for compiled in program())
    assert len(hlo.places(plain, "sqrt")) == 2  # one root for each leaf
    assert len(hlo.places(text, "sqrt")) == 2
    assert set(hlo.places(text, "sqrt")) <= hlo.below(text, "conditional")
    assert not hlo.below(plain, "conditional")
    assert "ENTRY" not in hlo.below(text, "conditional")
    assert len(hlo.places(text, "conditional")) == 1


@pytest.mark.parametrize("way", ["eager", "jit", "scan"])
def test_the_inner_transformation_runs_at_every_fourth_micro_step_alone(way):
    runs = []

    def counted(updates, state, params=None):
        jax.debug.callback(lambda: runs.append(1))
        return updates, state

    tx, g = gc.accumulate(gc.GradientTransformation(lambda params: {}, counted), 4), jnp.ones(3)
    params, state = jnp.zeros(3), tx.init(jnp.zeros(3))
    if way == "scan":
        jax.lax.scan(lambda s, g: (tx.update(g, s, params)[1], None), state, jnp.ones((12, 3)))
    else:
        update = jax.jit(tx.update) if way == "jit" else tx.update
        for _ in range(12):
            _, state = update(g, state, params)
    jax.effects_barrier()
    assert len(runs) == 3


def test_a_micro_step_that_is_given_its_buffers_copies_nothing_and_makes_none():
    compiled, _ = program()
    tree = (512 * 256 + 256) * 4
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes < tree / 100
    assert (
        memory.argument_size_in_bytes - memory.alias_size_in_bytes < tree + 100
    )  # all but the gradient
    copied = [line for lines in hlo.computations(compiled.as_text()).values() for line in lines]
    assert not [line for line in copied if hlo.is_a(line, "copy") and "[]" not in line]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64])
def test_there_is_one_accumulator_in_float32(dtype):
    params = samples.params(dtype)
    state, inner = (
        gc.accumulate(gc.adamw(0.1), 4).init(params)["accumulate"],
        gc.adamw(0.1).init(params),
    )
    assert {k: x.dtype.name for k, x in state.items() if k not in ("gradient_sum", "inner")} == {
        "count": "int32",
        "micro_step": "int32",
        "taken": "int32",
        "dropped": "int32",
        "dropped_in_a_row": "int32",
        "bad_leaf": "int32",
        "value_sum": "float32",
    }
    samples.assert_same_type(state["inner"], inner)
    wide = jnp.complex64 if dtype == jnp.complex64 else jnp.float32
    samples.assert_same_type(
        state["gradient_sum"], jax.tree.map(lambda x: x.astype(wide), params)
    )


def test_small_gradients_in_bfloat16_are_added_up_in_float32():
    grads = jnp.concatenate([jnp.ones((1, 2)), jnp.full((255, 2), 2.0**-9)]).astype(
        jnp.bfloat16
    )  # 1 + 2^-9 is 1 there
    tx = gc.accumulate(gc.scale(256.0), 256)
    _, state = train(tx, jnp.zeros(2, jnp.bfloat16), grads[:-1])
    update, _ = tx.update(grads[-1], state, jnp.zeros(2, jnp.bfloat16))
    assert update.dtype == jnp.bfloat16
    np.testing.assert_array_equal(update, jnp.bfloat16(1 + 255 * 2.0**-9))


# ---------------------------------------------------------------------------------- the large batch


@pytest.mark.parametrize(
    "inner",
    [
        gc.adamw(0.01),
        gc.sgd(0.1, momentum=0.9),
        gc.chain(gc.clip_by_global_norm(0.1), gc.lion(0.01)),
        gc.adafactor(0.01),
        gc.lookahead(gc.adam(0.01), 2),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_it_is_the_large_batch(inner):
    keys = jax.random.split(jax.random.key(0), 4)
    x, y = jax.random.normal(keys[0], (5, 64, 6)), jax.random.normal(keys[1], (5, 64, 2))
    params = {"w": jax.random.normal(keys[2], (6, 8)), "v": jax.random.normal(keys[3], (8, 2))}
    grad = jax.grad(lambda p, x, y: jnp.mean((jnp.tanh(x @ p["w"]) @ p["v"] - y) ** 2))
    tx = gc.accumulate(inner, 8)
    large, small, state, inner_state = params, params, tx.init(params), inner.init(params)
    for t in range(5):
        large, inner_state = inner.step(grad(large, x[t], y[t]), inner_state, large)
        for i in range(8):
            before = small
            small, state = tx.step(
                grad(small, x[t, 8 * i : 8 * i + 8], y[t, 8 * i : 8 * i + 8]), state, small
            )
            if i < 7:
                assert_identical(small, before)
    assert_close(small, large, 1e-6)
    assert_close(state["accumulate"]["inner"], inner_state, 1e-6)
    assert int(state["accumulate"]["count"]) == 5


@few
@given(full_trees, st.lists(st.booleans(), min_size=1, max_size=4), st.integers(0, 99))
@jax.disable_jit()
def test_it_is_the_mean_of_the_micro_batches_that_are_finite(params, finite, seed):
    inner = gc.chain(gc.clip_by_global_norm(1.0), gc.add_momentum(0.9))
    tx = gc.accumulate(inner, len(finite))
    grads = [other_like(params, seed + i) for i in range(len(finite))]
    state, start = tx.init(params), inner.init(params)
    has_numbers = any(x.size for x in jax.tree.leaves(params))
    for g, flag in zip(grads, finite, strict=True):
        bad = jax.tree.map(lambda x, flag=flag: x if flag else x * NAN, g)
        updates, state = tx.update(bad, state, params)
    kept = [g for g, flag in zip(grads, finite, strict=True) if flag or not has_numbers]
    if kept:
        mean = jax.tree.map(lambda *xs: sum(xs) / len(xs), *kept)
        expected, expected_state = inner.update(mean, start, params)
    else:
        expected, expected_state = jax.tree.map(jnp.zeros_like, params), start
    assert_close(updates, expected, 1e-6)
    assert_close(state["accumulate"]["inner"], expected_state, 1e-6)
    assert int(state["accumulate"]["dropped"]) == len(finite) - len(kept)


def test_an_inner_pair_of_optax_takes_part():
    params, grads = samples.params(jnp.float32), samples.gradients(jnp.float32, 6)
    with jax.numpy_dtype_promotion("standard"):
        theirs, _ = train(gc.accumulate(optax.adamw(0.1), 3), params, grads)
    ours, _ = train(gc.accumulate(gc.adamw(0.1), 3), params, grads)
    assert_close(theirs, ours, 1e-5)  # optax takes 1 - b^t in float32


# ------------------------------------------------------------------------------------------- clocks


def test_the_value_reaches_the_inner_transformation_as_a_mean():
    tx = gc.accumulate(gc.reduce_on_plateau(0.5, patience=1), 4)
    made, state = updates_of(tx, [1.0] * 8, value=[1.0, 2.0, 3.0, 4.0, 2.6, 2.6, 2.6, 2.6])
    assert float(state["inner"]["reduce_on_plateau"]["best"]) == 2.5
    assert made == [
        0.0,
        0.0,
        0.0,
        1.0,
        0.0,
        0.0,
        0.0,
        0.5,
    ]  # 2.6 is no improvement, 4.0 before it would make it one
    _, state = updates_of(tx, [1.0, NAN, 1.0, 1.0], value=[1.0, 100.0, 2.0, 3.0])
    assert float(state["inner"]["reduce_on_plateau"]["best"]) == 2.0


def test_other_extra_arguments_pass():
    params, tx = jnp.full(3, 2.0), gc.accumulate(gc.sam(gc.sgd(0.1), rho=0.1), 2)
    value_fn = lambda p: jnp.sum(p**2)
    state = tx.init(params)
    for _ in range(2):
        params, state = tx.step(jax.grad(value_fn)(params), state, params, value_fn=value_fn)
    inner, start = tx.arguments["inner"], jnp.full(3, 2.0)
    expected, _ = inner.step(
        jax.grad(value_fn)(start), inner.init(start), start, value_fn=value_fn
    )
    assert_close(params, expected, 1e-6)
    with pytest.raises(TypeError, match="valeu"):
        tx.update(params, state, params, valeu=1.0, value_fn=value_fn)


def test_schedules_inside_see_the_steps_made_and_outside_the_micro_steps():
    rate = lambda step: 10.0 ** -step.astype(jnp.float32)
    made, state = updates_of(gc.accumulate(gc.scale(rate), 2), [1.0] * 6)
    np.testing.assert_allclose(made, [0.0, 1.0, 0.0, 0.1, 0.0, 0.01], rtol=1e-6)
    assert int(state["inner"]["scale"]["count"]) == int(state["count"]) == 3
    made, _ = updates_of(gc.chain(gc.accumulate(gc.scale(1.0), 2), gc.scale(rate)), [1.0] * 4)
    np.testing.assert_allclose(made, [0.0, 0.1, 0.0, 1e-3], rtol=1e-6)


def test_a_step_without_a_finite_micro_batch_does_not_move_the_clock():
    tx = gc.accumulate(gc.scale(lambda step: 10.0 ** -step.astype(jnp.float32)), 2)
    made, _ = updates_of(tx, [1.0, 1.0, NAN, NAN, 1.0, 1.0])
    np.testing.assert_allclose(made, [0.0, 1.0, 0.0, 0.0, 0.0, 0.1], rtol=1e-6)


def test_the_number_of_micro_steps_may_depend_on_the_steps_made():
    every = lambda step: jnp.where(step < 2, 1 + step, 3).astype(jnp.float32)
    made, state = updates_of(gc.accumulate(gc.scale(1.0), every), range(1, 10))
    assert made == [1.0, 0.0, 2.5, 0.0, 0.0, 5.0, 0.0, 0.0, 8.0]
    assert int(state["count"]) == 4
    growing = gc.piecewise_constant_schedule(1.0, {2: 3.0})
    made, _ = updates_of(gc.accumulate(gc.scale(1.0), growing), [1.0] * 8)
    assert [t for t, u in enumerate(made, start=1) if u] == [1, 2, 5, 8]


@pytest.mark.parametrize(
    ("every", "expected"), [(1, 1), (1.4, 1), (1.5, 2), (2.4, 2), (2.5, 3), (3, 3)]
)
def test_the_number_of_micro_steps_of_a_schedule_is_rounded(every, expected):
    made, _ = updates_of(gc.accumulate(gc.scale(1.0), lambda step: every), [1.0] * 12)
    assert [t for t, u in enumerate(made, start=1) if u] == list(range(expected, 13, expected))


@pytest.mark.parametrize("every", [1, 2, 3, 2.0])
def test_a_whole_float_is_a_number_of_micro_steps(every):
    made, _ = updates_of(gc.accumulate(gc.scale(1.0), every), [1.0] * 12)
    steps = [t for t, u in enumerate(made, start=1) if u]
    assert steps == list(range(int(every), 13, int(every)))


@pytest.mark.parametrize("every", [0, -1, -2.0])
def test_a_number_below_one_is_refused(every):
    with pytest.raises(ValueError, match="accumulate: every must be 1 or more, not"):
        gc.accumulate(gc.sgd(0.1), every)


@pytest.mark.parametrize("every", [0.5, 1.4, 1.5, NAN, True])
def test_a_number_that_is_not_whole_is_refused(every):
    with pytest.raises(TypeError, match="accumulate: every must be an integer, not"):
        gc.accumulate(gc.sgd(0.1), every)


def test_another_number_of_micro_steps_is_no_other_program():
    params = jnp.ones(3)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(tx, g, state):
        return tx.update(g, state, params)

    state = gc.accumulate(gc.adam(0.1), 2).init(params)
    for every in (2, 3, 4.0):
        update(gc.accumulate(gc.adam(0.1), every), params, state)


# ------------------------------------------------------------------------------------ other company


def test_groups_accumulate_on_their_own():
    params = {"kernel": jnp.zeros(2), "bias": jnp.zeros(2)}
    tx = gc.groups(
        [("kernel", gc.accumulate(gc.sgd(1.0), 3))], default=gc.accumulate(gc.sgd(1.0), 2)
    )
    grads = {"kernel": jnp.array([1.0, NAN, 3.0, 0.0]), "bias": jnp.array([1.0, 3.0, 5.0, NAN])}
    params, state = train(tx, params, jax.tree.map(lambda g: jnp.stack([g, g], axis=1), grads))
    assert_identical(params, {"kernel": jnp.full(2, -2.0), "bias": jnp.full(2, -2.0 - 5.0)})
    dropped = [
        x for path, x in jax.tree_util.tree_leaves_with_path(state) if path[-1].key == "dropped"
    ]
    assert [int(x) for x in dropped] == [1, 1]


def test_one_in_another():
    made, _ = updates_of(
        gc.accumulate(gc.accumulate(gc.scale(1.0), 2), 2),
        [1.0, 3.0, 5.0, 7.0, NAN, NAN, 1.0, 1.0],
    )
    assert made == [0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0]


def test_a_leaf_without_a_gradient_keeps_its_state():
    params = {"a": jnp.zeros(2), "b": jnp.zeros(2)}
    tx = gc.accumulate(gc.sgd(1.0, 0.9), 2)
    state = tx.init(params)
    for g in (1.0, 3.0):
        params, state = tx.step({"a": jnp.full(2, g), "b": None}, state, params)
    assert_identical(params, {"a": jnp.full(2, -2.0), "b": jnp.zeros(2)})
    for g in (1.0, 3.0):
        params, state = tx.step({"a": None, "b": jnp.full(2, g)}, state, params)
    assert_identical(params, {"a": jnp.full(2, -2.0), "b": jnp.full(2, -2.0)})


def test_a_scan_is_the_loop():
    params, grads = samples.params(jnp.float32), samples.gradients(jnp.float32, 9)
    tx = gc.accumulate(gc.adamw(0.1), 4)
    loop = train(tx, params, grads)
    body = lambda carry, g: (tx.step(g, carry[1], carry[0]), None)
    scanned, _ = jax.jit(lambda p, s: jax.lax.scan(body, (p, s), grads))(params, tx.init(params))
    assert_close(scanned, loop, 1e-6)
    assert int(scanned[1]["accumulate"]["micro_step"]) == 1


def test_buffers_that_are_given_away_are_used_again():
    params, grads = samples.params(jnp.float32), samples.gradients(jnp.float32, 6)
    tx = gc.accumulate(gc.adamw(0.1), 3)
    expected = train(tx, params, grads)
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    state, p = tx.init(params), jax.tree.map(jnp.copy, params)
    for t in range(6):
        old = jax.tree.leaves((state, p))
        p, state = step(at(t, grads), state, p)
        assert all(x.is_deleted() for x in old if x.size)
    assert_close((p, state), expected, 1e-6)


def test_it_goes_on_from_a_checkpoint_in_the_middle_bit_for_bit():
    shapes = {"dense": {"bias": (3,), "kernel": (3, 2)}}
    params, grads = (
        samples.params(jnp.float32, shapes),
        samples.gradients(jnp.float32, 12, shapes),
    )
    grads["dense"]["bias"] = grads["dense"]["bias"].at[4].set(NAN)
    tx = gc.accumulate(gc.adamw(gc.linear_schedule(0.1, 0.2, 9)), 4)
    first, rest = (
        jax.tree.map(lambda x, part=part: x[part], grads) for part in (slice(6), slice(6, None))
    )
    middle, state = train(tx, params, first)
    assert int(state["accumulate"]["micro_step"]) == 2
    restored = flax.serialization.msgpack_restore(flax.serialization.to_bytes(state))
    assert_identical(train(tx, middle, rest, restored), train(tx, params, grads))
