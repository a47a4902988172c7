"""Schedules against their twins and against optax; selections."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests import samples
from tests.references import recipes, schedules
from tests.references.transforms import Scheduled
from tests.table_schedules import SCHEDULES, SELECTIONS

STEPS = np.arange(60)
PRECISIONS = pytest.mark.parametrize(("x64", "tolerance"), [(False, 1e-6), (True, 1e-12)], ids=["float32", "float64"])
each_schedule = pytest.mark.parametrize("row", SCHEDULES, ids=[row.name for row in SCHEDULES])


def expected_of(row):
    return np.array([row.twin(float(t), **row.arguments) for t in STEPS])


def assert_close(values, expected, tolerance):
    np.testing.assert_allclose(
        np.asarray(values, np.float64), expected, rtol=0, atol=tolerance * np.abs(expected).max()
    )


@each_schedule
@PRECISIONS
def test_schedule_is_its_twin(row, x64, tolerance):
    with jax.enable_x64(x64):
        schedule, expected = row.make(), expected_of(row)
        one_by_one = [schedule(int(t)) for t in STEPS]
        assert all(value.shape == () and value.dtype == jnp.result_type(float) for value in one_by_one)
        assert_close(jnp.stack(one_by_one), expected, tolerance)
        assert_close(schedule(STEPS), expected, tolerance)
        assert_close(jax.jit(jax.vmap(schedule))(jnp.arange(60, dtype=jnp.int32)), expected, tolerance)


@each_schedule
@PRECISIONS
def test_schedule_is_that_of_optax(row, x64, tolerance):
    if row.optax is None:
        pytest.skip("another row compares this formula")
    with jax.enable_x64(x64), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = row.optax(**row.arguments)
        assert_close(jnp.stack([jnp.asarray(theirs(t)) for t in STEPS]), np.asarray(row.make()(STEPS)), tolerance)


@each_schedule
def test_schedule_is_a_value(row):
    schedule, again = row.make(), row.make()
    assert schedule == again
    assert schedule is not again
    assert hash(schedule) == hash(again)
    assert eval(repr(schedule), vars(gc)) == schedule
    assert gc.from_config(json.loads(json.dumps(gc.to_config(schedule)))) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedule != gc.constant_schedule(-1.0)


@each_schedule
def test_schedule_adds_no_trace_and_takes_traced_numbers(row):
    traces = []

    @jax.jit
    def value(schedule, step):
        traces.append(1)
        return schedule(step)

    assert jax.tree.leaves(row.make())
    expected = expected_of(row)
    for step in (0, 11, 40):
        assert_close(value(row.make(), step), expected[step], 1e-6)
        doubled = jax.tree.map(lambda x: 2 * x, row.make())
        assert_close(value(doubled, step), doubled(step), 1e-6)
    assert len(traces) == 1


@each_schedule
def test_schedule_can_be_vmapped(row):
    sweep = [jax.tree.map(lambda x, factor=factor: factor * x, row.make()) for factor in (1.0, 0.9, 0.5)]
    stacked = jax.tree.map(lambda *xs: jnp.asarray(xs), *sweep)
    values = jax.vmap(lambda schedule: schedule(jnp.arange(60)))(stacked)
    for member, value in zip(sweep, values, strict=True):
        assert_close(value, np.asarray(member(STEPS)), 1e-6)


@each_schedule
def test_schedule_is_a_learning_rate(row):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    updates, _, _ = samples.compiled_run(gc.sgd(row.make()), p, grads)
    rate = lambda t: row.twin(t, **row.arguments)
    expected, _ = samples.run_twin(Scheduled(recipes.Sgd(0.0), learning_rate=rate), p, grads)
    samples.assert_close(updates, expected, 1e-6)


def test_a_schedule_goes_wherever_a_number_does():
    tx = gc.adamw(
        gc.join_schedules([gc.linear_schedule(0.0, 0.1, 2), gc.cosine_decay_schedule(0.1, 3)], [2]),
        b1=gc.linear_schedule(0.5, 0.9, 3),
        eps=lambda step: 1e-3 / (step + 1).astype(float),
        weight_decay=gc.constant_schedule(0.1),
    )
    twin = Scheduled(
        recipes.AdamW(0.0),
        learning_rate=lambda t: schedules.linear(t, 0.0, 0.1, 2) if t < 2 else schedules.cosine_decay(t - 2, 0.1, 3),
        b1=lambda t: schedules.linear(t, 0.5, 0.9, 3),
        eps=lambda t: 1e-3 / (t + 1),
        weight_decay=lambda t: 0.1,
    )
    with jax.enable_x64(True):
        p, grads = samples.params(jnp.float64), samples.gradients(jnp.float64)
        updates, _, _ = samples.compiled_run(tx, p, grads)
        expected, _ = samples.run_twin(twin, p, grads)
        samples.assert_close(updates, expected, 1e-12)


def test_a_schedule_takes_the_place_of_a_rate_without_a_change_of_the_state():
    constant, scheduled = gc.adam(0.1), gc.adam(gc.constant_schedule(0.1))
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    state = constant.init(p)
    samples.assert_same_type(state, scheduled.init(p))
    assert constant.update(samples.at(0, grads), state, p)[1]["scale_by_learning_rate"]["count"] == 1
    updates, _ = scheduled.update(samples.at(0, grads), state, p)
    samples.assert_close(updates, constant.update(samples.at(0, grads), state, p)[0], 1e-6)


def test_a_schedule_takes_a_schedule_for_a_number():
    schedule = gc.linear_schedule(gc.linear_schedule(0.0, 1.0, 4), lambda step: step, 4)
    expected = [schedules.linear(t, schedules.linear(t, 0.0, 1.0, 4), t, 4) for t in range(6)]
    assert_close(schedule(np.arange(6)), np.array(expected), 1e-6)


def test_a_schedule_keeps_its_digits_for_narrow_numbers():
    schedule = gc.linear_schedule(jnp.bfloat16(0.0), jnp.bfloat16(1.0), 1000)
    assert_close(schedule(1), 1e-3, 1e-6)
    assert_close(jax.jit(lambda end: gc.linear_schedule(0.0, end, 1000)(1))(jnp.bfloat16(1.0)), 1e-3, 1e-6)


def test_replace_changes_one_number():
    assert gc.linear_schedule(0.0, 1.0, 4).replace(end_value=2.0) == gc.linear_schedule(0.0, 2.0, 4)
    with pytest.raises(TypeError, match=r"linear_schedule has no argument 'end', only 'init_value', 'end_value'"):
        gc.linear_schedule(0.0, 1.0, 4).replace(end=2.0)


WRONG = [
    (lambda: gc.linear_schedule(0.0, 1.0, 0), r"transition_steps must be 1 or more, not 0"),
    (lambda: gc.polynomial_schedule(0.0, 1.0, 2.0, 5, -1), r"transition_begin must be 0 or more, not -1"),
    (lambda: gc.cosine_decay_schedule(1.0, 0), r"decay_steps must be 1 or more, not 0"),
    (lambda: gc.exponential_decay(1.0, 0, 0.5), r"transition_steps must be 1 or more, not 0"),
    (lambda: gc.warmup_cosine_decay_schedule(0.0, 1.0, -1, 10), r"warmup_steps must be 0 or more, not -1"),
    (lambda: gc.warmup_cosine_decay_schedule(0.0, 1.0, 10, 10), r"includes the warm-up: 10 must be more than warmup"),
    (
        lambda: gc.join_schedules([gc.constant_schedule(1.0)], [5]),
        r"boundaries must be one fewer than schedules: 1 for 1",
    ),
    (lambda: gc.join_schedules([gc.constant_schedule(1.0)] * 3, [5, 5]), r"boundaries must increase, not \[5, 5\]"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_wrong_numbers_of_steps_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()(0)


@pytest.mark.parametrize("row", SELECTIONS, ids=[row.name for row in SELECTIONS])
def test_selection_chooses_and_is_a_value(row):
    selection = row.make()
    chosen = samples.named(gc.select(selection, samples.params(jnp.float32)))
    assert {name for name, flag in chosen.items() if flag} == row.chosen
    assert selection == row.make()
    assert hash(selection) == hash(row.make())
    assert eval(repr(selection), vars(gc)) == selection
    assert gc.from_config(json.loads(json.dumps(gc.to_config(selection)))) == selection
    assert pickle.loads(pickle.dumps(selection)) == selection
