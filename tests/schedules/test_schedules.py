"""Schedules against their twins and against optax; selections."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.golden import schedules as golden
from tests.laws import samples
from tests.laws.twins import Scheduled
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd
from tests.schedules import twins as schedules
from tests.schedules.table import SCHEDULES, SELECTIONS

pytestmark = pytest.mark.rotated(1)  # they take long

STEPS = np.arange(60)
PRECISIONS = pytest.mark.parametrize(
    ("x64", "tolerance"), [(False, 1e-6), (True, 1e-12)], ids=["float32", "float64"]
)
RECORDED = json.loads(golden.FILE.read_text())
PAIRED = [row for row in SCHEDULES if row.optax]
each_schedule = pytest.mark.parametrize("row", SCHEDULES, ids=[row.name for row in SCHEDULES])


def expected_of(row):
    return np.array([row.twin(float(t), **row.arguments) for t in STEPS])


def assert_close(values, expected, tolerance, size=None):
    size = np.abs(expected).max() if size is None else size
    np.testing.assert_allclose(
        np.asarray(values, np.float64), expected, rtol=0, atol=tolerance * size
    )


@pytest.mark.rotated(3)
@each_schedule
@PRECISIONS
def test_schedule_is_its_twin(row, x64, tolerance):
    with jax.enable_x64(x64):
        schedule, expected, size = row.make(), expected_of(row), np.abs(expected_of(row)).max()
        tolerance *= row.tolerance
        assert_close(schedule(STEPS), expected, tolerance)
        assert_close(
            jax.jit(jax.vmap(lambda t: schedule(t)))(jnp.arange(60, dtype=jnp.int32)),
            expected,
            tolerance,
        )
        for step in (0, 11, np.int32(29), 30.0, jnp.int32(59)):
            value = schedule(step)
            assert value.shape == () and value.dtype == jnp.result_type(float)
            assert_close(value, expected[int(step)], tolerance, size)


@pytest.mark.rotated(3)
@pytest.mark.parametrize("row", PAIRED, ids=[row.name for row in PAIRED])
@PRECISIONS
def test_schedule_is_that_of_optax(row, x64, tolerance):
    with (
        jax.enable_x64(x64),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        theirs = row.optax(**row.arguments)
        values = jnp.stack([jnp.asarray(theirs(t)) for t in STEPS])
        assert_close(values, np.asarray(row.make()(STEPS)), tolerance * row.tolerance)


@pytest.mark.parametrize("case", golden.CASES, ids=[case.name for case in golden.CASES])
def test_schedule_is_the_recorded_one(case):
    with jax.enable_x64(True):
        assert_close(
            case.ours()(np.arange(golden.STEPS)), RECORDED[case.name]["values"], case.tolerance
        )


def test_nothing_is_recorded_in_vain():
    assert RECORDED.keys() == {case.name for case in (*golden.CASES, *golden.PLATEAUS)}


@each_schedule
def test_schedule_is_a_value(row):
    schedule, again = row.make(), row.make()
    assert schedule == again
    assert schedule is not again
    assert hash(schedule) == hash(again)
    assert eval(repr(schedule), vars(gc) | vars(gc.schedules)) == schedule
    assert gc.from_config(json.loads(json.dumps(gc.to_config(schedule)))) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedule != gc.constant_schedule(-1.0)


@pytest.mark.rotated(3)
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
        tolerance = 1e-6 * row.tolerance
        assert_close(value(row.make(), step), expected[step], tolerance, np.abs(expected).max())
        doubled = jax.tree.map(lambda x: 2 * x, row.make())
        assert_close(value(doubled, step), doubled(step), tolerance, np.abs(doubled(STEPS)).max())
    assert len(traces) == 1


@pytest.mark.rotated(3)
@each_schedule
def test_schedule_can_be_vmapped(row):
    sweep = [
        jax.tree.map(lambda x, factor=factor: factor * x, row.make())
        for factor in (1.0, 0.9, 0.5)
    ]
    stacked = jax.tree.map(lambda *xs: jnp.asarray(xs), *sweep)
    values = jax.vmap(lambda schedule: schedule(jnp.arange(60)))(stacked)
    for member, value in zip(sweep, values, strict=True):
        assert_close(value, np.asarray(member(STEPS)), 1e-6 * row.tolerance)


@pytest.mark.rotated(4)
@each_schedule
def test_schedule_can_be_differentiated(row):
    """The slope with respect to each number, at every step, is what differences say."""
    with jax.enable_x64(True):
        schedule = row.make()
        slopes = jax.jacrev(lambda schedule: schedule(STEPS))(schedule)
        values = jax.jit(
            lambda leaves: jax.tree.unflatten(jax.tree.structure(schedule), leaves)(STEPS)
        )
        leaves = jax.tree.leaves(schedule)
        for i, slope in enumerate(jax.tree.leaves(slopes)):
            h = 1e-6 * max(abs(leaves[i]), 1.0)
            up, down = (
                values([x + d if k == i else x for k, x in enumerate(leaves)]) for d in (h, -h)
            )
            differences = (np.asarray(up) - np.asarray(down)) / (2 * h)
            np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-7)


@each_schedule
def test_schedule_is_held_or_goes_on_at_large_steps(row):
    """In float32, up to the largest step that it holds exactly."""
    for step in (2**14, 2**20 + 1, 2**24 - 1):
        expected, size = row.twin(step, **row.arguments), np.abs(expected_of(row)).max()
        assert_close(row.make()(step), expected, 2e-6 * row.tolerance, size)
    assert np.isfinite(row.make()(2**31 - 1))


@pytest.mark.rotated(4)
@each_schedule
def test_schedule_is_a_learning_rate(row):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    updates, _, _ = samples.compiled_run(gc.sgd(row.make()), p, grads)
    rate = lambda t: row.twin(t, **row.arguments)
    expected, _ = samples.run_twin(Scheduled(Sgd(0.0), learning_rate=rate), p, grads)
    samples.assert_close(updates, expected, 1e-6 * row.tolerance)


def test_a_schedule_goes_wherever_a_number_does():
    tx = gc.adamw(
        gc.join_schedules(
            [gc.linear_schedule(0.0, 0.1, 2), gc.cosine_decay_schedule(0.1, 3)], [2]
        ),
        b1=gc.linear_schedule(0.5, 0.9, 3),
        eps=lambda step: 1e-3 / (step + 1).astype(float),
        weight_decay=gc.constant_schedule(0.1),
    )
    twin = Scheduled(
        AdamW(0.0),
        learning_rate=lambda t: (
            schedules.linear(t, 0.0, 0.1, 2) if t < 2 else schedules.cosine_decay(t - 2, 0.1, 3)
        ),
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
    assert (
        constant.update(samples.at(0, grads), state, p)[1]["scale_by_learning_rate"]["count"] == 1
    )
    updates, _ = scheduled.update(samples.at(0, grads), state, p)
    samples.assert_close(updates, constant.update(samples.at(0, grads), state, p)[0], 1e-6)


def test_a_schedule_takes_a_schedule_for_a_number():
    schedule = gc.linear_schedule(gc.linear_schedule(0.0, 1.0, 4), lambda step: step, 4)
    expected = [schedules.linear(t, schedules.linear(t, 0.0, 1.0, 4), t, 4) for t in range(6)]
    assert_close(schedule(np.arange(6)), np.array(expected), 1e-6)


def test_a_schedule_keeps_its_digits_for_narrow_numbers():
    schedule = gc.linear_schedule(jnp.bfloat16(0.0), jnp.bfloat16(1.0), 1000)
    assert_close(schedule(1), 1e-3, 1e-6)
    assert_close(
        jax.jit(lambda end: gc.linear_schedule(0.0, end, 1000)(1))(jnp.bfloat16(1.0)), 1e-3, 1e-6
    )


def test_replace_changes_one_number():
    assert gc.linear_schedule(0.0, 1.0, 4).replace(end_value=2.0) == gc.linear_schedule(
        0.0, 2.0, 4
    )
    with pytest.raises(
        TypeError, match=r"linear_schedule has no argument 'end', only 'init_value', 'end_value'"
    ):
        gc.linear_schedule(0.0, 1.0, 4).replace(end=2.0)


ONE = gc.constant_schedule(1.0)
COSINE = dict(init_value=0.0, peak_value=1.0, warmup_steps=2, decay_steps=10)
WRONG = [
    (
        lambda: gc.linear_schedule(0.0, 1.0, 0),
        r"^linear_schedule: transition_steps must be 1 or more, not 0",
    ),
    (
        lambda: gc.polynomial_schedule(0.0, 1.0, 2.0, 5, -1),
        r"transition_begin must be 0 or more, not -1",
    ),
    (lambda: gc.cosine_decay_schedule(1.0, 0), r"decay_steps must be 1 or more, not 0"),
    (lambda: gc.exponential_decay(1.0, 0, 0.5), r"transition_steps must be 1 or more, not 0"),
    (lambda: gc.exponential_decay(1.0, 5, 0.0), r"decay_rate must be greater than 0, not 0\.0"),
    (
        lambda: gc.warmup_cosine_decay_schedule(0.0, 1.0, -1, 10),
        r"warmup_steps must be 0 or more, not -1",
    ),
    (
        lambda: gc.warmup_cosine_decay_schedule(0.0, 1.0, 10, 10),
        r"includes the warm-up: 10 must be more than warmup",
    ),
    (lambda: gc.schedules.warmup_schedule(ONE, -1), r"warmup_steps must be 0 or more"),
    (
        lambda: gc.schedules.warmup_schedule(ONE, 5, shape="cubic"),
        r"shape must be one of 'linear', 'cosine', .*, not 'cubic'",
    ),
    (
        lambda: gc.schedules.warmup_stable_decay_schedule(0.0, 1.0, 5, -1, 5),
        r"stable_steps must be 0 or more",
    ),
    (
        lambda: gc.schedules.warmup_stable_decay_schedule(0.0, 1.0, 5, 5, 0),
        r"decay_steps must be 1 or more",
    ),
    (
        lambda: gc.schedules.inverse_sqrt_schedule(0.0, 1.0, 5, 0.0),
        r"timescale must be greater than 0",
    ),
    (
        lambda: gc.schedules.inverse_time_decay_schedule(1.0, 5, -0.5),
        r"decay_rate must be 0 or more",
    ),
    (lambda: gc.schedules.rex_schedule(1.0, 0), r"decay_steps must be 1 or more"),
    (
        lambda: gc.schedules.sigmoid_schedule(1.0, 0.0, 5, steepness=0.0),
        r"steepness must be greater than 0",
    ),
    (
        lambda: gc.schedules.chebyshev_schedule(1.0, 8, 2.0),
        r"high must be 2.0 or more, as low is, not 1.0",
    ),
    (lambda: gc.schedules.multiplicative_schedule(1.0, ONE, 0), r"steps must be 1 or more"),
    (
        lambda: gc.piecewise_constant_schedule(1.0, {5: -0.1}),
        r"boundaries_and_scales\[5\] must be 0 or more, not -0\.1",
    ),
    (
        lambda: gc.piecewise_interpolate_schedule("cubic", 1.0),
        r"interpolate_type must be one of 'linear'",
    ),
    (lambda: gc.linear_onecycle_schedule(0, 1.0), r"transition_steps must be 1 or more"),
    (
        lambda: gc.linear_onecycle_schedule(10, 1.0, pct_final=1.5),
        r"pct_final must be in \[0, 1\], not 1\.5",
    ),
    (
        lambda: gc.cosine_onecycle_schedule(10, 1.0, -0.1),
        r"pct_start must be in \[0, 1\], not -0\.1",
    ),
    (
        lambda: gc.cosine_onecycle_schedule(10, 1.0, div_factor=0.0),
        r"div_factor must be greater than 0",
    ),
    (
        lambda: gc.linear_onecycle_schedule(10, 1.0, 0.9, 0.5),
        r"pct_final must be 0.9 or more, not 0.5",
    ),
    (
        lambda: gc.linear_onecycle_schedule(10, 1.0, 0.0, inclusive=True),
        r"pct_start must be positive",
    ),
    (
        lambda: gc.schedules.sum_schedule(lambda step: jnp.ones(3), 1.0),
        r"the schedule .*<lambda> \(.*\) must give one number at a step, not an array",
    ),
    (lambda: gc.schedules.cosine_annealing_schedule(1.0, 0), r"half_period must be 1 or more"),
    (
        lambda: gc.schedules.cosine_restarts_schedule(1.0, 5, warmup_steps=5),
        r"first_decay_steps includes the warm-up: 5 for",
    ),
    (lambda: gc.sgdr_schedule([]), r"cosine_kwargs is empty"),
    (
        lambda: gc.sgdr_schedule([COSINE | {"decay_steps": 1}]),
        r"decay_steps includes the warm-up",
    ),
    (lambda: gc.schedules.cyclic_schedule(0.0, 1.0, 0), r"rise_steps must be 1 or more"),
    (
        lambda: gc.schedules.cyclic_schedule(0.0, 1.0, 5, mode="round"),
        r"mode must be one of 'triangular', 'triangular2', 'exp",
    ),
    (lambda: gc.schedules.repeated_schedule(ONE, 0), r"steps must be 1 or more"),
    (lambda: gc.schedules.until_schedule(ONE, -1), r"steps must be 0 or more"),
    (
        lambda: gc.join_schedules([ONE], [5]),
        r"boundaries must be one fewer than schedules: 1 for 1",
    ),
    (lambda: gc.join_schedules([ONE] * 3, [5, 5]), r"boundaries must increase, not \[5, 5\]"),
    (
        lambda: gc.linear_schedule(0.0, 1.0, 5).replace(transition_steps=0),
        r"transition_steps must be 1 or more",
    ),
    (
        lambda: gc.from_config(
            {"@schedule": "rex_schedule", "init_value": 1.0, "decay_steps": 0}
        ),
        r"rex_schedule: decay",
    ),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_a_wrong_argument_is_named_where_it_is_written(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("key", [5, 5.0, "5", np.int64(5)], ids=repr)
def test_boundaries_are_whole_however_they_are_written(key):
    """A config in JSON has no keys but text, one in YAML may have floats."""
    schedule = gc.piecewise_constant_schedule(1.0, {key: 0.5})
    assert schedule == gc.piecewise_constant_schedule(1.0, {5: 0.5})
    for wrong in (5.5, "5.5", True, None):
        with pytest.raises(TypeError, match="each key must be an integer, not"):
            gc.piecewise_constant_schedule(1.0, {wrong: 0.5})


def test_what_python_makes_of_a_traced_step_is_an_error_that_names_the_schedule():
    with pytest.raises(
        TypeError, match=r"shifted_schedule: the schedule .*<lambda> \(.*\) looks at the step"
    ):
        gc.schedules.shifted_schedule(lambda step: 1.0 if step < 5 else 0.5, 2)
    with pytest.raises(
        TypeError,
        match=r"linear_schedule: argument 'transition_steps' must be an integer, not None",
    ):
        gc.linear_schedule(0.0, 1.0, None)


def test_an_equal_schedule_is_not_examined_again():
    seen = []

    @gc.schedule
    def watched(step, value: gc.Hyper):
        seen.append(value)
        return value * step

    first = watched(1.0)
    assert [watched(1.0), watched(1)] == [first, first]
    assert seen == [1.0]
    watched(2.0)
    assert seen == [1.0, 2.0]


def test_a_schedule_gives_one_number():
    @gc.schedule
    def two_numbers(step):
        return jnp.stack([step, step])

    with pytest.raises(ValueError, match=r"two_numbers: a schedule gives one number at a step"):
        two_numbers()


def test_a_traced_argument_is_not_examined():
    value = jax.jit(lambda steps: gc.linear_schedule(0.0, 1.0, steps)(2))
    assert value(4) == 0.5


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
