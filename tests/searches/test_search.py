"""Searches as members of chains: evaluations are counted and used again, by the stage itself or by
the caller.
"""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.support.line_functions import SEARCHES, entry_of, uphill

pytestmark = pytest.mark.rotated(3)  # they take long

each_search = pytest.mark.parametrize("name", SEARCHES)
START = np.array([-1.2, 1.0])


def rosenbrock(p):
    return 100.0 * (p[1] - p[0] ** 2) ** 2 + (1.0 - p[0]) ** 2


def newton_like(search):
    return gc.chain(gc.scale_by_bfgs(), gc.scale(-1.0), search)


def counted(function):
    """A function that says on the host when it runs, and the list of what it was at."""
    points = []

    def told(p, *args, **kwargs):
        jax.debug.callback(lambda p: points.append(jax.tree.map(np.asarray, p)), p, ordered=True)
        return function(p, *args, **kwargs)

    return told, points


# -------------------------------------------------------------------------- evaluations are counted


@each_search
def test_evaluations_are_counted_and_used_again(name):
    """With the value and gradient from the state there is one evaluation at the start, and else
    those of the stage.
    """
    with jax.enable_x64(True):
        loss, points = counted(rosenbrock)
        tx, p = newton_like(SEARCHES[name]()), jnp.asarray(START)
        value_and_grad = gc.value_and_grad_from_state(loss)

        @jax.jit
        def step(p, state):
            value, grads = value_and_grad(p, state=state)
            return tx.step(grads, state, p, value=value, value_fn=loss)

        state = tx.init(p)
        for _ in range(12):
            p, state = step(p, state)
            entry = entry_of(state)
            np.testing.assert_allclose(entry["value"], rosenbrock(p), rtol=1e-13)
            np.testing.assert_allclose(entry["grad"], jax.grad(rosenbrock)(p), rtol=1e-10)
            jax.effects_barrier()
            assert len(points) == 1 + entry["evals"]
        assert entry["failed"] == 0
        assert any(np.array_equal(p, point) for point in points)


def test_a_value_that_is_not_given_is_an_evaluation_more():
    loss, points = counted(lambda p: jnp.sum(p**2))
    tx, p = gc.chain(gc.scale(-0.1), gc.strong_wolfe()), jnp.ones(2)
    step = jax.jit(lambda p, state: tx.step(2 * p, state, p, value_fn=loss))
    p, state = step(p, tx.init(p))
    jax.effects_barrier()
    assert len(points) == entry_of(state)["evals"] == 2


@each_search
def test_the_caller_may_evaluate_instead(name):
    """The same points with as many evaluations; the first is the start, and an update has one."""
    with jax.enable_x64(True):
        tx, p = newton_like(SEARCHES[name]()), jnp.asarray(START)
        nested = jax.jit(
            lambda p, state, value: tx.step(
                uphill(rosenbrock, p)[1], state, p, value=value, value_fn=rosenbrock
            )
        )
        state, value, accepted = tx.init(p), rosenbrock(p), []
        for _ in range(12):
            p, state = nested(p, state, value)
            value = entry_of(state)["value"]
            accepted.append((int(entry_of(state)["evals"]), p, float(value)))

        tx, p = gc.reverse_communication(tx), jnp.asarray(START)

        @jax.jit
        def reverse(p, state):
            value, grads = uphill(rosenbrock, p)
            return tx.step(grads, state, p, value=value)

        state, found, asked = tx.init(p), [], []
        for _ in range(1 + accepted[-1][0]):
            asked.append(np.asarray(p))
            p, state = reverse(p, state)
            entry = state["reverse_communication"]
            np.testing.assert_allclose(p, entry["trial"], rtol=1e-14)
            if entry["steps"] > len(found):
                found.append((int(entry["evals"]) - 1, entry["kept"], float(entry["value"])))
        np.testing.assert_array_equal(asked[0], START)
        assert len(found) == len(accepted)
        for (evals, point, value), (evals_here, point_here, value_here) in zip(
            accepted, found, strict=True
        ):
            assert evals == evals_here
            np.testing.assert_allclose(point_here, point, rtol=1e-6)
            np.testing.assert_allclose(value_here, value, rtol=1e-5)
        assert entry["failed"] == 0


def test_the_caller_learns_of_searches_that_fail():
    """A gradient that points away from where the loss falls, so that no step is found, nor by the
    gradient itself.
    """
    tx, p = (
        gc.reverse_communication(gc.chain(gc.scale(-1.0), gc.strong_wolfe(max_evals=3))),
        jnp.ones(2),
    )
    step = jax.jit(lambda p, state: tx.step(-2 * p, state, p, value=jnp.sum(p**2)))
    state, failed = tx.init(p), []
    for _ in range(9):
        p, state = step(p, state)
        entry = state["reverse_communication"]
        failed.append(int(entry["failed"]))
        np.testing.assert_array_equal(entry["kept"], 1.0)
    assert failed == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert entry["steps"] == 0
    assert entry["evals"] == 9


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_caller_waits_for_a_finite_start(bad):
    tx, p = gc.reverse_communication(newton_like(gc.strong_wolfe())), jnp.ones(2)
    step = jax.jit(lambda p, state, value, g: tx.step(g, state, p, value=value))
    start = state = tx.init(p)
    for value, g in ((bad, jnp.ones(2)), (1.0, jnp.array([bad, 1.0]))):
        new_p, state = step(p, state, jnp.float32(value), g)
        np.testing.assert_array_equal(new_p, p)
    entry, old = state["reverse_communication"], start["reverse_communication"]
    assert (entry["failed"], entry["evals"]) == (2, 2)
    same = lambda e: {k: v for k, v in e.items() if k not in ("failed", "evals")}
    jax.tree.map(np.testing.assert_array_equal, same(entry), same(old))
    p, state = step(p, state, jnp.float32(1.0), jnp.ones(2))
    entry = state["reverse_communication"]
    assert entry["failed"] == 0
    assert np.any(p != 1.0)
    p, state = step(
        p, state, jnp.float32(bad), jnp.ones(2)
    )  # of a trial it is as good as any that is too high
    np.testing.assert_array_equal(state["reverse_communication"]["kept"], 1.0)
    chex.assert_tree_all_finite((p, state))


def test_the_caller_is_asked_for_no_other_point_where_the_gradient_is_zero():
    tx, p = gc.reverse_communication(gc.chain(gc.scale(-1.0), gc.strong_wolfe())), jnp.ones(2)
    state = tx.init(p)
    for count in range(3):
        p, state = tx.step(jnp.zeros(2), state, p, value=1.0)
        np.testing.assert_array_equal(p, 1.0)
        assert state["reverse_communication"]["failed"] == count


# ----------------------------------------------------------------------- from the state of a search


def test_what_the_state_cannot_have_is_computed():
    loss = lambda p: jnp.sum(p["a"] ** 2) + jnp.sum(p["b"] ** 4)
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    search = gc.chain(gc.scale(-0.1), gc.strong_wolfe())
    value_and_grad = gc.value_and_grad_from_state(loss)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    in_groups = gc.groups([("a", search), ("b", search)])
    for tx, p in [
        (gc.sgd(0.1), params),  # no search
        (gc.groups([("a", search)], default=gc.sgd(0.1)), params),  # of some parameters
        (in_groups, params),  # two
        (gc.reverse_communication(search), params),  # which is at another point than its state
        (search, half),  # rounded after the search
    ]:
        value, grads = uphill(loss, p)
        extra = {"value": value} | ({} if tx.extras == {"value"} else {"value_fn": loss})
        p, state = jax.jit(lambda g, p, tx=tx, extra=extra: tx.step(g, tx.init(p), p, **extra))(
            grads, p
        )
        (value, grads), expected = value_and_grad(p, state=state), uphill(loss, p)
        np.testing.assert_array_equal(value, expected[0])
        jax.tree.map(np.testing.assert_array_equal, grads, expected[1])


def test_the_state_is_read_however_deep_it_lies_and_not_after_a_failure():
    loss, points = counted(lambda p, c: c * jnp.sum(p**2))
    tx, p = gc.chain(gc.scale(-0.1), gc.strong_wolfe()).named("mine"), jnp.ones(2)
    tx = gc.skip_nonfinite(gc.chain(gc.clip_by_global_norm(10.0), tx))
    value_and_grad = jax.jit(gc.value_and_grad_from_state(loss))
    own = lambda p: 2.0 * jnp.sum(p**2)
    p, state = tx.step(4 * p, tx.init(p), p, value_fn=own)
    value, grads = value_and_grad(p, 2.0, state=state)
    jax.effects_barrier()
    assert points == []
    np.testing.assert_allclose(value, own(p), rtol=1e-6)
    np.testing.assert_allclose(grads, 4 * p, rtol=1e-6, atol=1e-6)
    flat = gc.strong_wolfe()
    _, state = flat.update(jnp.zeros(2), flat.init(p), p, value=1.0, value_fn=own)
    value, _ = value_and_grad(jnp.ones(2), c=3.0, state=state)
    jax.effects_barrier()
    assert len(points) == 1
    assert value == 6.0


# ---------------------------------------------------------------------- of every form, in any place


def sums(p):
    """A bowl around 1 for trees of any kind."""
    return sum(
        (
            jnp.sum(gc.numerics.abs2(x - jnp.ones((), x.dtype))).astype(jnp.float32)
            for x in jax.tree.leaves(p)
        ),
        jnp.float32(0),
    )


@each_search
def test_parameters_of_every_dtype_and_form(name):
    tx = gc.chain(gc.scale(-0.3), SEARCHES[name]())

    @jax.jit
    def go(p):
        def body(carry, _):
            p, state = carry
            return tx.step(uphill(sums, p)[1], state, p, value_fn=sums), None

        return jax.lax.scan(body, (p, tx.init(p)), length=6)[0]

    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.complex64):
        start = {
            "a": jnp.full((2, 3), 3.0, dtype),
            "hole": None,
            "none": jnp.zeros((0, 2), dtype),
            "s": jnp.zeros((), dtype),
        }
        p, state = go(start)
        assert p["hole"] is None
        assert p["a"].dtype == dtype
        assert sums(p) < 1e-3
        assert np.isfinite(entry_of(state)["value"])
    for empty in ({}, {"hole": None}, {"none": jnp.zeros((0,))}):
        p, state = go(empty)
        assert jax.tree.structure(p) == jax.tree.structure(empty)
        assert entry_of(state)["failed"] == 6


def test_complex_parameters_find_their_minimum():
    target = jnp.array([1.0 + 2.0j, -0.5j])
    loss = lambda p: jnp.sum(gc.numerics.abs2(p - target) ** 2)
    of_parts = lambda p: loss(jax.lax.complex(p[:2], p[2:]))
    tx = newton_like(gc.strong_wolfe())

    @partial(jax.jit, static_argnums=2)
    def step(p, state, loss):
        value, grads = gc.value_and_grad_from_state(loss)(p, state=state)
        return tx.step(grads, state, p, value=value, value_fn=loss)

    p, parts = jnp.array([0.5 - 1.0j, 2.0 + 1.0j]), jnp.array([0.5, 2.0, -1.0, 1.0])
    state, state_of_parts = tx.init(p), tx.init(parts)
    for i in range(30):
        p, state = step(p, state, loss)
        parts, state_of_parts = step(parts, state_of_parts, of_parts)
        if i < 10:  # as the real and imaginary parts do, until rounding grows
            np.testing.assert_allclose(loss(p), of_parts(parts), rtol=1e-3)
    assert loss(p) < 1e-8


@pytest.mark.parametrize("way", ["value_fn", "reverse"])
def test_many_starts_at_once_are_those_one_by_one(way):
    tx = newton_like(gc.strong_wolfe())
    tx = tx if way == "value_fn" else gc.reverse_communication(tx)

    def go(p):
        def body(carry, _):
            p, state = carry
            value, grads = uphill(rosenbrock, p)
            extra = {"value_fn": rosenbrock} if way == "value_fn" else {}
            return tx.step(grads, state, p, value=value, **extra), None

        (p, state), _ = jax.lax.scan(body, (p, tx.init(p)), length=5)
        (entry,) = [e for e in state.values() if "failed" in e]
        return p, {k: entry[k] for k in ("value", "evals", "failed", "step")}

    with jax.enable_x64(True):
        starts = jnp.asarray(np.random.default_rng(0).uniform(-2, 2, (5, 2)))
        together, alone = jax.jit(jax.vmap(go))(starts), jax.jit(go)
        for i, start in enumerate(starts):
            jax.tree.map(
                lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-6),
                together,
                alone(start),
            )


def test_a_search_in_a_group_sees_the_loss_of_all_parameters():
    loss = lambda p: jnp.sum((p["a"] - p["b"]) ** 2) + jnp.sum(p["b"] ** 2)
    params = {"a": jnp.ones(2), "b": jnp.full(2, 3.0)}
    search = gc.chain(gc.scale(-0.1), gc.strong_wolfe(c2=0.1))
    for tx in (
        gc.groups([("a", search)], default=gc.freeze()),
        gc.masked(search, "a"),
        gc.chain(gc.freeze("b"), search),
    ):
        value, grads = uphill(loss, params)
        grads = grads if tx.factory.name != "masked" else grads | {"b": jnp.zeros(2)}
        p, _ = tx.step(grads, tx.init(params), params, value=value, value_fn=loss)
        np.testing.assert_allclose(p["a"], 3.0, rtol=1e-4)
        np.testing.assert_array_equal(p["b"], 3.0)


def test_a_step_of_a_loop_traces_the_loss_a_few_times_and_the_loop_once():
    traces = []

    def loss(p):
        traces.append(p)
        return rosenbrock(p)

    tx, p = newton_like(gc.strong_wolfe()), jnp.asarray(START, jnp.float32)
    value_and_grad = gc.value_and_grad_from_state(loss)

    @jax.jit
    def step(p, state):
        value, grads = value_and_grad(p, state=state)
        return tx.step(grads, state, p, value=value, value_fn=loss)

    state = tx.init(p)
    p, state = step(p, state)
    first = len(traces)
    for _ in range(3):
        p, state = step(p, state)
    assert len(traces) == first <= 4


# ----------------------------------------------------------------------------------------- mistakes


def test_mistakes_are_named():
    tx, p = gc.chain(gc.scale(-1.0), gc.strong_wolfe()), jnp.ones(2)
    state, reverse = tx.init(p), gc.reverse_communication(tx)
    with pytest.raises(TypeError, match="'strong_wolfe' needs the extra argument 'value_fn'"):
        tx.update(p, state, p)
    with pytest.raises(TypeError, match="'strong_wolfe' needs params"):
        tx.update(p, state, value_fn=jnp.sum)
    with pytest.raises(TypeError, match="one number, the loss, but here of shape"):
        tx.update(p, state, p, value_fn=lambda p: p**2)
    with pytest.raises(TypeError, match="one number, the loss, but here of shape"):
        tx.update(p, state, p, value_fn=lambda p: (jnp.sum(p**2), p))
    with pytest.raises(
        TypeError, match="'reverse_communication' needs the extra argument 'value'"
    ):
        reverse.update(p, reverse.init(p), p)
    with pytest.raises(ValueError, match="does not end in a search"):
        gc.reverse_communication(gc.adam(0.1)).init(p)
    with pytest.raises(ValueError, match="does not end in a search"):
        gc.reverse_communication(gc.chain()).init(p)
    with pytest.raises(ValueError, match="has a schedule"):
        gc.reverse_communication(
            gc.strong_wolfe(initial_step=gc.linear_schedule(1.0, 0.5, 10))
        ).init(p)
