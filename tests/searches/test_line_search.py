"""Line searches along recorded functions and along what goes wrong; their conditions hold where
they end.
"""

import functools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.searches.along import drive
from tests.searches.backtracking import Backtracking
from tests.searches.hager_zhang import HagerZhang
from tests.searches.strong_wolfe import StrongWolfe
from tests.support.line_functions import (
    C1,
    C2,
    FIRST,
    MORE_THUENTE,
    SEARCHES,
    entry_of,
    search,
    uphill,
)

pytestmark = pytest.mark.rotated(3)  # they take long

each_search = pytest.mark.parametrize("name", SEARCHES)

# ------------------------------------------------------------------ the functions of Moré & Thuente

#: Evaluations from the first steps 1e-3, 1e-1, 1e1 and 1e3. Theirs, by their own search for the
#: strong conditions, are 6 3 1 4, 12 8 8 11, 12 12 10 13, 4 1 3 4, 6 3 7 8 and 13 11 8 11.
EVALS = {
    "strong_wolfe": [
        [5, 3, 1, 4],
        [13, 12, 14, 14],
        [11, 11, 2, 4],
        [3, 1, 3, 5],
        [5, 3, 7, 9],
        [9, 6, 7, 9],
    ],
    "hager_zhang": [
        [6, 3, 1, 1],
        [8, 7, 10, 19],
        [8, 4, 6, 6],
        [3, 1, 4, 8],
        [4, 1, 4, 8],
        [12, 13, 8, 10],
    ],
    "armijo": [
        [1, 1, 1, 6],
        [1, 1, 2, 4],
        [1, 1, 2, 4],
        [1, 1, 3, 5],
        [1, 1, 3, 5],
        [1, 1, 3, 5],
    ],
    "goldstein": [
        [7, 1, 1, 6],
        [37, 31, 27, 29],
        [16, 12, 8, 10],
        [1, 1, 3, 5],
        [1, 1, 3, 5],
        [1, 1, 3, 5],
    ],
}
MAKE = {  # by c1, c2 and the first step
    "strong_wolfe": lambda c1, c2, first: gc.strong_wolfe(c1, c2, initial_step=first),
    "hager_zhang": lambda c1, c2, first: gc.hager_zhang(c1, c2, initial_step=first),
    "armijo": lambda c1, c2, first: gc.backtracking(
        "armijo", c1, max_evals=40, initial_step=first
    ),
    "goldstein": lambda c1, c2, first: gc.backtracking(
        "goldstein", c1, max_evals=40, initial_step=first
    ),
}
TWINS = {
    "strong_wolfe": lambda c1, c2: StrongWolfe(c1, c2=c2),
    "hager_zhang": lambda c1, c2: HagerZhang(c1, c2=c2),
    "armijo": lambda c1, c2: Backtracking(c1, 40),
    "goldstein": lambda c1, c2: Backtracking(c1, 40, condition="goldstein"),
}


@functools.cache
def along_all(name):
    """Per function and first step: the step, evaluations, failures, values and slopes at the start
    and the end.
    """
    grid = [
        (i, c1, c2, first)
        for i, (c1, c2) in enumerate(zip(C1, C2, strict=True))
        for first in FIRST
    ]

    def one(i, c1, c2, first):
        function = lambda p: jax.lax.switch(i, MORE_THUENTE, p)
        update, entry = search(MAKE[name](c1, c2, first), function, jnp.zeros(()), jnp.ones(()))
        return {"update": update, **entry, "start": jax.value_and_grad(function)(jnp.zeros(()))}

    with jax.enable_x64(True):
        columns = [jnp.asarray(column) for column in zip(*grid, strict=True)]
        return jax.tree.map(
            lambda x: np.asarray(x).reshape(6, 4, *x.shape[1:]), jax.jit(jax.vmap(one))(*columns)
        )


def meets(name, c1, c2, step, value, slope, value_there, slope_there):
    """Whether a step meets the conditions of a search, as its docstring has them."""
    falls = value_there <= value + c1 * step * slope
    if name == "armijo":
        return falls
    if name == "goldstein":
        return falls & (value_there >= value + (1 - c1) * step * slope)
    if name == "strong_wolfe":
        return falls & (abs(slope_there) <= c2 * abs(slope))
    is_flat = (value_there <= value + 1e-6 * abs(value)) & (slope_there <= (2 * c1 - 1) * slope)
    return (falls | is_flat) & (slope_there >= c2 * slope)


@each_search
def test_searches_end_where_their_conditions_hold(name):
    found = along_all(name)
    np.testing.assert_array_equal(found["evals"], EVALS[name])
    np.testing.assert_array_equal(found["failed"], 0)
    np.testing.assert_array_equal(found["step"], found["update"])
    for i in range(6):
        value, slope = (x[i] for x in found["start"])
        ends = (found[k][i] for k in ("value", "grad"))
        assert np.all(meets(name, C1[i], C2[i], found["step"][i], value, slope, *ends)), (
            f"function {i + 1}"
        )


@each_search
def test_searches_try_the_steps_of_their_twins(name):
    found = along_all(name)
    with jax.enable_x64(True):
        for i, function in enumerate(MORE_THUENTE):
            at = jax.jit(jax.value_and_grad(function))
            value, slope = map(float, at(0.0))
            for j, first in enumerate(FIRST):
                steps = TWINS[name](C1[i], C2[i]).steps(value, slope, first, value)
                step, evals = drive(steps, lambda a, at=at: tuple(map(float, at(a))))
                assert evals == found["evals"][i, j], (i + 1, first)
                np.testing.assert_allclose(found["step"][i, j], step, rtol=1e-7)


def test_value_and_gradient_that_are_handed_on_are_those_at_the_end():
    found = along_all("strong_wolfe")
    with jax.enable_x64(True):
        for i, function in enumerate(MORE_THUENTE):
            value, slope = jax.vmap(jax.value_and_grad(function))(jnp.asarray(found["step"][i]))
            np.testing.assert_allclose(found["value"][i], value, rtol=1e-13)
            np.testing.assert_allclose(found["grad"][i], slope, rtol=1e-12, atol=1e-15)


# ---------------------------------------------------------------------------------- what goes wrong


def compiled(tx, function):
    return jax.jit(lambda p, *direction: search(tx, function, p, *direction))


@each_search
def test_steps_come_back_from_where_the_loss_is_no_number(name):
    barrier = lambda p: p - jnp.log(p)  # no number left of 0, where the first steps go
    update, entry = compiled(SEARCHES[name](initial_step=100.0), barrier)(jnp.float32(3.0))
    assert np.isfinite(entry["value"])
    assert entry["value"] < barrier(3.0)
    assert entry["failed"] == 0
    overflow = lambda p: jnp.exp(p**2)  # infinite, as its slope, from 10 on
    update, entry = compiled(SEARCHES[name](initial_step=1000.0), overflow)(
        jnp.float32(1.0), jnp.float32(-1.0)
    )
    assert entry["value"] < math.e
    assert abs(1 + update) < 1


@each_search
def test_a_flat_function_costs_nothing_and_moves_nothing(name):
    update, entry = compiled(SEARCHES[name](), lambda p: 1.0 + 0.0 * jnp.sum(p))(jnp.ones(3))
    np.testing.assert_array_equal(update, 0.0)
    assert (entry["evals"], entry["failed"], entry["value"], entry["step"]) == (0, 1, 1.0, 0.0)


@each_search
def test_a_step_uphill_is_replaced_by_the_negative_gradient(name):
    bowl, start = lambda p: jnp.sum(p**2), jnp.array([0.3, -0.1])
    for direction in (start, jnp.array([jnp.nan, 1.0]), jnp.array([-jnp.inf, 1.0])):
        update, entry = compiled(SEARCHES[name](), bowl)(start, direction)
        assert entry["value"] < bowl(start)
        np.testing.assert_allclose(update[1] / update[0], start[1] / start[0], rtol=1e-5)


@each_search
def test_an_unbounded_line_is_gone_along_to_the_end_and_no_further(name):
    line, evals = lambda p: -2.0 * jnp.sum(p), 12
    own = {"max_step": 1e3} if name == "strong_wolfe" else {}
    _, entry = compiled(SEARCHES[name](max_evals=evals, **own), line)(jnp.zeros(2))
    last = {"strong_wolfe": 1e3, "hager_zhang": 5.0**11, "armijo": 1.0, "goldstein": 2.0**11}[
        name
    ]
    np.testing.assert_allclose(entry["step"], last)
    assert entry["evals"] == {"strong_wolfe": 5, "armijo": 1}.get(name, evals)
    assert entry["failed"] == 0
    for start in (jnp.float32(-1e30), jnp.float32(-3e38)):  # and where it overflows
        _, entry = compiled(SEARCHES[name](initial_step=1e30), lambda p: p)(start)
        assert np.isfinite(entry["value"])


@each_search
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nothing_enters_the_state_from_a_start_that_is_not_finite(name, bad):
    tx, p = SEARCHES[name](), {"a": jnp.ones(2), "b": jnp.float32(1.0)}
    loss = lambda p: jnp.sum(p["a"] ** 2) + p["b"] ** 2
    update = jax.jit(
        lambda g, state, p, value: tx.update(g, state, p, value=value, value_fn=loss)
    )
    value, g = uphill(loss, p)
    _, known = update(g, tx.init(p), p, value)
    for state in (tx.init(p), known):
        for gradients, v in ((g, jnp.float32(bad)), (g | {"b": jnp.float32(bad)}, value)):
            updates, new = update(gradients, state, p, v)
            (old_entry,), (entry,) = state.values(), new.values()
            assert entry["failed"] == old_entry["failed"] + 1
            assert entry["evals"] == old_entry["evals"]
            for x in jax.tree.leaves(updates):
                np.testing.assert_array_equal(x, 0.0)
            same = lambda e: {k: v for k, v in e.items() if k != "failed"}
            jax.tree.map(np.testing.assert_array_equal, same(entry), same(old_entry))


@each_search
def test_one_evaluation_is_one_trial(name):
    parabola, start = lambda p: p**2, jnp.float32(1.0)
    good, entry = compiled(SEARCHES[name](max_evals=1, initial_step=0.5), parabola)(start)
    assert (good, entry["evals"], entry["failed"]) == (-1.0, 1, 0)
    bad, entry = compiled(SEARCHES[name](max_evals=1, initial_step=5.0), parabola)(start)
    assert (bad, entry["evals"], entry["failed"], entry["value"]) == (0.0, 1, 1, 1.0)


@each_search
def test_a_search_after_one_that_failed_goes_along_the_gradient(name):
    """On the edge of a cliff, with a direction that goes up it."""
    cliff = lambda p: jnp.where(p["x"] > 0, 1.0, 0.0) - 1e-3 * p["x"] + 3 * p["y"] ** 2
    tx, p = SEARCHES[name](max_evals=3), {"x": jnp.float32(0.0), "y": jnp.float32(1.0)}
    direction, state = {"x": jnp.float32(1.0), "y": jnp.float32(0.0)}, tx.init(p)
    step = jax.jit(
        lambda state, p: tx.step(direction, state, p, grad=uphill(cliff, p)[1], value_fn=cliff)
    )
    first, state = step(state, p)
    assert first == p
    assert entry_of(state)["failed"] == 1
    assert entry_of(state)["step"] == 0
    second, state = step(state, first)
    assert second["y"] < 1.0
    assert entry_of(state)["failed"] == 0


@each_search
def test_scales_do_not_matter_while_their_squares_are_numbers(name):
    """The parabola b (p / a - 1)^2 along the direction a: the steps are those of (p - 1)^2 along
    1.
    """
    tx = SEARCHES[name](initial_step=7.0)

    def steps(dtype, sizes):
        def one(a, b):
            parabola = lambda p: b * (p / a - 1) ** 2
            update, entry = search(tx, parabola, jnp.zeros((), dtype), a)
            return update / a, entry["failed"], entry["value"]

        a, b = (jnp.asarray(x.ravel(), dtype) for x in np.meshgrid(sizes, sizes))
        return jax.jit(jax.vmap(one))(a, b)

    update, failed, _ = steps(jnp.float32, [1e-18, 1.0, 1e18])
    np.testing.assert_array_equal(failed, 0)
    np.testing.assert_allclose(update, update[4], rtol=1e-4)
    update, failed, value = steps(jnp.float32, [1e-30, 1e30])
    assert np.all(np.isfinite(update) & ~np.isnan(value))
    with jax.enable_x64(True):
        update, failed, _ = steps(jnp.float64, [1e-30, 1.0, 1e30])
        np.testing.assert_array_equal(failed, 0)
        np.testing.assert_allclose(update, update[4], rtol=1e-9)


def test_arguments_out_of_range_are_refused():
    for make, message in [
        (lambda: gc.strong_wolfe(c1=0.4, c2=0.3), "c1 <= c2"),
        (lambda: gc.strong_wolfe(max_evals=0), "max_evals must be 1 or more"),
        (lambda: gc.strong_wolfe(guess="last"), "guess must be one of 'unit', 'previous'"),
        (lambda: gc.hager_zhang(c1=0.6), r"c1 must be in \(0, 0\.5\), not 0\.6"),
        (lambda: gc.backtracking("wolfe"), "condition must be one of 'armijo', 'goldstein'"),
        (lambda: gc.backtracking(shrink=1.0), r"shrink must be in \(0, 1\), not 1\.0"),
        (lambda: gc.backtracking(window=0), "window must be 1 or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            make().init(jnp.ones(1))


# -------------------------------------------------------------------------------- what they are for


def test_a_window_lets_the_loss_rise():
    """From the floor of a valley with a step that is too long: up to 4, less than the 9 of two
    steps before.
    """
    tx, p = gc.backtracking(window=3, interpolate=False), jnp.float32(3.0)
    parabola, values = lambda p: p**2, []
    state = tx.init(p)
    for direction in (-2.9, -2.1, 2.0):
        update = jax.jit(lambda state, p, u: tx.step(u, state, p, grad=2 * p, value_fn=parabola))
        p, state = update(state, p, jnp.float32(direction))
        values.append(float(parabola(p)))
    np.testing.assert_allclose(values, [0.01, 4.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(entry_of(state)["values"], [4.0, 0.01, 9.0], rtol=1e-5)


def test_a_guess_from_the_last_step_saves_evaluations():
    """Steepest descent, whose steps are far from 1."""
    loss = lambda p: jnp.sum(jnp.array([10.0, 30.0, 100.0, 300.0]) * p**2)

    @functools.partial(jax.jit, static_argnums=0)
    def evals(tx):
        def body(carry, _):
            p, state = carry
            return tx.step(jax.grad(loss)(p), state, p, value_fn=loss), None

        (p, state), _ = jax.lax.scan(body, (jnp.ones(4), tx.init(jnp.ones(4))), length=30)
        (entry,) = state.values()
        return entry["evals"], loss(p)

    unit, previous = (
        evals(gc.chain(gc.scale(-1.0), gc.strong_wolfe(guess=guess)))
        for guess in ("unit", "previous")
    )
    assert int(previous[0]) < 0.75 * int(unit[0])
    assert max(previous[1], unit[1]) < 0.44  # a thousandth of the start


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
    name=st.sampled_from(sorted(SEARCHES)),
    waves=st.lists(
        st.tuples(st.floats(-2, 2), st.floats(0.1, 3), st.floats(-3, 3)), min_size=3, max_size=3
    ),
    curvature=st.floats(0.1, 10),
    first=st.floats(-3, 3),
)
def test_random_functions(name, waves, curvature, first):
    """A bowl with waves: where a search says that it found something its conditions hold."""
    evals = 40
    step, value, slope, entry = _searched(
        name, jnp.asarray(waves), jnp.asarray(curvature), jnp.asarray(10.0**first)
    )
    if abs(slope) < 1e-6:
        return
    assert entry["failed"] == 0
    assert 1 <= entry["evals"] <= evals
    c1, c2 = {"strong_wolfe": (1e-4, 0.9), "hager_zhang": (0.1, 0.9)}.get(name, (1e-4, 0.9))
    ends = entry["value"], entry["grad"] * np.sign(-slope)
    is_met = meets(name, c1, c2, step, value, -abs(slope), *ends)
    assert is_met or entry["evals"] == evals
    assert entry["value"] <= value + 1e-6 * abs(value)


def _searched(*arguments):
    with jax.enable_x64(True):
        arguments = (arguments[0], *(jnp.asarray(x, jnp.float64) for x in arguments[1:]))
        return jax.tree.map(np.asarray, _search_waves(*arguments))


@functools.partial(jax.jit, static_argnums=0)
def _search_waves(name, waves, curvature, first):
    function = lambda p: (
        curvature * p**2 / 2 + jnp.sum(waves[:, 0] * jnp.sin(waves[:, 1] * p + waves[:, 2]))
    )
    start = jnp.ones((), curvature.dtype)
    value, slope = jax.value_and_grad(function)(start)
    _, entry = search(
        SEARCHES[name](max_evals=40, initial_step=first), function, start, -jnp.sign(slope)
    )
    return entry["step"], value, slope, entry
