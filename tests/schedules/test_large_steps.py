"""Schedules at steps that a float32 does not hold: phases and boundaries stay where they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain import schedules as made
from tests.schedules.row import ScheduleRow
from tests.schedules.table import SCHEDULES

TOP = 2**31 - 1
NEAR = [2**24 + k for k in range(-1, 9)]
FAR = [*range(2**30, 2**30 + 30), 10**8 + 1, 10**9 + 7, TOP - 2, TOP - 1, TOP]
#: Arguments that are numbers of steps. Of some they are the size of an array.
STEPS = {
    *("steps", "transition_steps", "transition_begin", "decay_steps", "warmup_steps"),
    *("stable_steps", "first_decay_steps", "rise_steps", "fall_steps", "half_period"),
    *("boundaries", "timescale"),
}
OF_ARRAYS = {"chebyshev_schedule", "multiplicative_schedule"}
SCALE = 2**24 + 43  # the tokens of a batch, for example
each_schedule = pytest.mark.parametrize("row", SCHEDULES, ids=[row.name for row in SCHEDULES])


def assert_close(values, expected, tolerance, size):
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance * size)


def size_of(row: ScheduleRow) -> float:
    return max(abs(row.twin(t, **row.arguments)) for t in range(60))


@pytest.mark.rotated(3)
@each_schedule
def test_schedule_is_its_twin_at_steps_beyond_the_floats(row):
    """Of arrays of steps, of traced ones and of Python integers."""
    steps, schedule = [*NEAR, *FAR], row.make()
    expected = [row.twin(t, **row.arguments) for t in steps]
    tolerance, size = 2e-6 * row.tolerance, size_of(row)
    assert_close(jax.jit(schedule)(jnp.asarray(steps, jnp.int32)), expected, tolerance, size)
    for step in (2**24 + 1, TOP):
        assert_close(schedule(step), row.twin(step, **row.arguments), tolerance, size)


@pytest.mark.rotated(3)
@each_schedule
def test_known_steps_may_be_beyond_the_clock(row):
    """Of Python and NumPy; and none of an array spoils the others."""
    steps, schedule = [5, 2**24 + 1, TOP, 2**31 + 1, 2**32 - 1, 2**40 + 3], row.make()
    expected = [row.twin(t, **row.arguments) for t in steps]
    tolerance, size = 2e-6 * row.tolerance, max(np.max(np.abs(expected)), size_of(row))
    assert_close(schedule(np.array(steps)), expected, tolerance, size)
    assert_close(schedule(np.array(steps, object)), expected, tolerance, size)
    assert_close(schedule(jnp.asarray(steps[:5], jnp.uint32)), expected[:5], tolerance, size)
    assert_close(schedule(2**31 + 1), expected[3], tolerance, size)
    assert schedule(2**31 + 1).dtype == jnp.float32


def test_a_fraction_of_a_step_does_not_spoil_the_others():
    wave = made.cyclic_schedule(0.0, 1.0, 4)
    np.testing.assert_array_equal(
        wave(np.array([0.5, 2**24 + 1, 2**31 + 3])), [0.125, 0.25, 0.75]
    )
    np.testing.assert_array_equal(jax.jit(lambda x: x * wave(2**31 + 1))(2.0), 0.5)


def scaled(config, factor: int):
    """A config in which all numbers of steps are so many times larger."""
    if isinstance(config, list):
        return [scaled(x, factor) for x in config]
    if not isinstance(config, dict):
        return config
    if config.get("@schedule") in OF_ARRAYS:
        return config
    if "@dict" in config:  # from boundaries to factors
        return {"@dict": [[k * factor, v] for k, v in config["@dict"]]}
    longer = {k: _times(factor, v) for k, v in config.items() if k in STEPS}
    return {k: scaled(v, factor) for k, v in config.items()} | longer


def _times(factor: int, steps):
    if isinstance(steps, dict):  # a tuple of boundaries
        return {tag: _times(factor, own) for tag, own in steps.items()}
    if isinstance(steps, list):
        return [factor * k for k in steps]
    return None if steps is None else factor * steps


def of_scale(row: ScheduleRow, factor: int) -> gc.Schedule:
    return gc.from_config(scaled(gc.to_config(row.make()), factor))


@pytest.mark.rotated(2)
@each_schedule
def test_schedule_over_billions_of_steps_is_the_one_in_float64(row):
    """Around each of its boundaries; in float64 a float holds all of these steps."""
    schedule = of_scale(row, SCALE)
    steps = np.array([k * SCALE + d for k in range(60) for d in (-1, 0, 1, 5 * 10**6 + 1)][1:])
    values = schedule(jnp.asarray(steps, jnp.int32))
    with jax.enable_x64(True):
        as_floats = jnp.asarray(steps, jnp.float64)
        expected = np.asarray(of_scale(row, SCALE)(as_floats))
    assert_close(values, expected, 2e-6 * row.tolerance, np.abs(expected).max())


@each_schedule
def test_schedule_may_be_longer_than_any_run(row):
    """Numbers of steps beyond the integers of a clock are no error."""
    schedule = of_scale(row, 10**11)
    first = schedule(0)
    if row.make().factory.name not in OF_ARRAYS | {"shifted_schedule"}:
        assert_close(schedule(3), first, 1e-6, abs(first) + 1)
    assert np.isfinite(schedule(TOP))
    assert np.isfinite(schedule(10**12))


LINE = dict(init_value=1.0, end_value=0.25, transition_steps=8)
WAYS = {10: 0.5, 14: 0.25}
#: From a boundary to a schedule that begins, or goes on, there, and the one that begins at 0.
BEGINNINGS = {
    "linear": (lambda b: gc.linear_schedule(**LINE, transition_begin=b), lambda: _line()),
    "polynomial": (
        lambda b: gc.polynomial_schedule(1.0, 0.5, 2.0, 8, b),
        lambda: gc.polynomial_schedule(1.0, 0.5, 2.0, 8),
    ),
    "polynomial-cycle": (
        lambda b: gc.polynomial_schedule(1.0, 0.5, 2.0, 3, b, cycle=True),
        lambda: gc.polynomial_schedule(1.0, 0.5, 2.0, 3, cycle=True),
    ),
    "exponential": (
        lambda b: gc.exponential_decay(1.0, 8, 0.5, b),
        lambda: gc.exponential_decay(1.0, 8, 0.5),
    ),
    "staircase": (
        lambda b: gc.exponential_decay(1.0, 3, 0.5, b, staircase=True),
        lambda: gc.exponential_decay(1.0, 3, 0.5, staircase=True),
    ),
    "inverse_time": (
        lambda b: made.inverse_time_decay_schedule(1.0, 3, 0.5, b, staircase=True),
        lambda: made.inverse_time_decay_schedule(1.0, 3, 0.5, staircase=True),
    ),
    "sigmoid": (
        lambda b: made.sigmoid_schedule(1.0, 0.0, 8, b),
        lambda: made.sigmoid_schedule(1.0, 0.0, 8),
    ),
    "join": (
        lambda b: gc.join_schedules([gc.constant_schedule(1.0), _line()], [b]),
        lambda: _line(),
    ),
    "join-plain": (
        lambda b: gc.join_schedules([lambda step: 1.0, lambda step: 1.0 / (1.0 + step)], [b]),
        lambda: gc.constant_schedule(1.0) * (lambda step: 1.0 / (1.0 + step)),
    ),
    "until": (lambda b: gc.constant_schedule(1.0).until(b) | _line(), lambda: _line()),
    "shift": (lambda b: _line().shift(b), lambda: _line()),
    "warmup": (lambda b: made.warmup_schedule(_line(), b, 1.0), lambda: _line()),
    "warmup_cosine": (
        lambda b: gc.warmup_cosine_decay_schedule(1.0, 1.0, b, b + 8, 0.1),
        lambda: gc.warmup_cosine_decay_schedule(1.0, 1.0, 0, 8, 0.1),
    ),
    "warmup_exponential": (
        lambda b: gc.warmup_exponential_decay_schedule(1.0, 1.0, b, 3, 0.5, staircase=True),
        lambda: gc.warmup_exponential_decay_schedule(1.0, 1.0, 0, 3, 0.5, staircase=True),
    ),
    "warmup_stable_decay": (
        lambda b: made.warmup_stable_decay_schedule(1.0, 1.0, 4, b - 4, 8),
        lambda: made.warmup_stable_decay_schedule(1.0, 1.0, 0, 0, 8),
    ),
    "inverse_sqrt": (
        lambda b: made.inverse_sqrt_schedule(1.0, 1.0, b, 5.0),
        lambda: made.inverse_sqrt_schedule(1.0, 1.0, 0, 5.0),
    ),
    "piecewise_constant": (
        lambda b: gc.piecewise_constant_schedule(1.0, {b + k: v for k, v in WAYS.items()}),
        lambda: gc.piecewise_constant_schedule(1.0, WAYS),
    ),
    "piecewise_interpolate": (
        lambda b: gc.piecewise_interpolate_schedule("cosine", 1.0, {b: 1.0, b + 8: 0.5}),
        lambda: gc.piecewise_interpolate_schedule("cosine", 1.0, {8: 0.5}),
    ),
    "sgdr": (
        lambda b: gc.sgdr_schedule([ONE | dict(warmup_steps=b - 1, decay_steps=b), ONE]),
        lambda: gc.sgdr_schedule([ONE]),
    ),
}
ONE = dict(init_value=1.0, peak_value=1.0, warmup_steps=0, decay_steps=8)


def _line() -> gc.Schedule:
    return gc.linear_schedule(**LINE)


@pytest.mark.rotated(2)
@pytest.mark.parametrize("boundary", [2**24 + 1, 10**8 + 1, 2**30 + 1, TOP - 30])
@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_boundary_is_met_to_the_step(name, boundary):
    """From there on the values are those of a schedule that begins at 0, bit for bit."""
    make, make_at_zero = BEGINNINGS[name]
    begun, at_zero = make(boundary), make_at_zero()
    steps = np.arange(-1, 20)
    values = begun(jnp.asarray(boundary + steps, jnp.int32))
    np.testing.assert_array_equal(values[1:], at_zero(steps[1:]))
    np.testing.assert_array_equal(values[0], at_zero(0))
    traced = jax.jit(lambda step: begun(step))(jnp.int32(boundary + 4))
    np.testing.assert_allclose(traced, at_zero(4), rtol=1e-6)


def test_a_traced_boundary_is_met_to_the_step():
    begun = lambda b: gc.linear_schedule(**LINE, transition_begin=b)(jnp.arange(b + 1, b + 4))
    steps = jax.jit(
        lambda b: gc.linear_schedule(**LINE, transition_begin=b)(b + jnp.arange(1, 4))
    )
    np.testing.assert_allclose(steps(10**8 + 1), begun(10**8 + 1), rtol=1e-6)
    np.testing.assert_allclose(steps(10**8 + 1), _line()(np.arange(1, 4)), rtol=1e-6)


def test_a_schedule_of_a_user_is_given_a_float_unless_it_asks_for_a_step():
    seen = []

    @gc.schedule
    def of_floats(step):
        seen.append(step.dtype)
        return step

    @gc.schedule
    def of_steps(step: made.Step, period: int):
        seen.append(type(step))
        return (step % period).value

    wave = of_floats() + of_steps(8)
    assert wave(2**24 + 3) == 2.0**24 + 4 + 3
    assert set(seen) == {jnp.dtype(jnp.float32), made.Step}
    assert of_steps(8).repeat(5)(10**8 + 3) == 3.0
    assert of_steps(8)(2.5) == 2.5


def test_the_clock_of_a_chain_reaches_its_schedules_as_an_integer():
    rate = made.cyclic_schedule(0.0, 1.0, 4)
    plain = lambda step: jnp.where(step % 8 == 3, 1.0, 0.5)
    for schedule, expected in ((rate, 0.75), (lambda step: rate(step), 0.75), (plain, 1.0)):
        tx = gc.scale_by_learning_rate(schedule)
        state = {"scale_by_learning_rate": {"count": jnp.int32(10**8 + 3)}}
        assert tx.update(jnp.ones(()), state)[0] == -expected


def test_a_penalty_is_scheduled_by_whole_steps():
    rate = made.cyclic_schedule(0.0, 1.0, 4)
    tx = gc.project(gc.constraints.box(0.0, rate))
    state = {"project": {"count": jnp.int32(10**8 + 3)}}
    assert tx.update(jnp.ones(()), state, jnp.ones(()))[0] == -0.25
