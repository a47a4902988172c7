"""Hand-written pairs in chains, and updates that do not look at parameters."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain.as_optax as optax

PARAMS = {"b": jnp.ones(2), "w": jnp.ones(3)}
GRADS = {"b": jnp.full(2, 2.0), "w": jnp.full(3, 2.0)}
EXAMPLES = {"b": jnp.ones((4, 2)), "w": jnp.ones((4, 3))}


class MyState(NamedTuple):
    count: Any
    mu: Any


def summing() -> optax.GradientTransformation:
    def init_fn(params):
        return MyState(jnp.zeros([], jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update_fn(updates, state, params=None):
        mu = jax.tree.map(jnp.add, updates, state.mu)
        return mu, MyState(state.count + 1, mu)

    return optax.GradientTransformation(init_fn, update_fn)


def averaging() -> optax.GradientTransformation:
    """The mean over examples."""
    mean = lambda updates: jax.tree.map(lambda g: g.mean(0), updates)
    return optax.GradientTransformation(lambda p: (), lambda u, s, p=None: (mean(u), s))


def counting_in_python() -> optax.GradientTransformation:
    """Its state and its decision are no arrays."""

    def update_fn(updates, state, params):
        assert params is not None
        is_large = float(updates["w"].sum()) > 1
        return updates, {"n": state["n"] + is_large, "tag": "seen"}

    return optax.GradientTransformation(lambda p: {"n": 0, "tag": "new"}, update_fn)


def scaled_by_rate(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    make = lambda rate: optax.chain(inner, optax.scale(-rate))
    return optax.inject_hyperparams(make)(rate=0.5)


AROUND = {
    "first": lambda tx: optax.chain(tx, optax.scale(-0.5)),
    "last": lambda tx: optax.chain(optax.scale(-0.5), tx),
    "named": lambda tx: optax.named_chain(("it", tx), ("rate", optax.scale(-0.5))),
    "chain in chain": lambda tx: optax.named_chain(("it", optax.chain(tx, optax.scale(-0.5)))),
    "extra": lambda tx: optax.chain(optax.with_extra_args_support(tx), optax.scale(-0.5)),
    "injected": scaled_by_rate,
    "jit": lambda tx: optax.chain(
        optax.GradientTransformation(tx.init, jax.jit(tx.update)),
        optax.scale(-0.5),
    ),
}


def own_state(state: Any) -> Any:
    is_own = lambda x: isinstance(x, MyState) or (isinstance(x, dict) and "tag" in x)
    return next(x for x in jax.tree.leaves(state, is_leaf=is_own) if is_own(x))


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pair_in_a_chain_sees_what_was_given_to_it(around, dtype):
    params, grads = (jax.tree.map(lambda x: x.astype(dtype), t) for t in (PARAMS, GRADS))
    tx = around(summing())
    state = tx.init(params)
    for _ in range(3):
        updates, state = tx.update(grads, state, params, unknown="hi")
    assert {x.dtype for x in jax.tree.leaves((updates, own_state(state).mu))} == {
        jnp.dtype(dtype)
    }
    assert own_state(state).count == 3
    np.testing.assert_array_equal(updates["w"].astype(float), -3.0)


@pytest.mark.parametrize("name", [name for name in AROUND if name != "jit"])
def test_a_pair_in_a_chain_may_decide_in_python(name):
    tx = AROUND[name](counting_in_python())
    state = tx.init(PARAMS)
    sign = -1.0 if name == "last" else 1.0  # there it is given negative updates
    updates, state = tx.update(GRADS, state, PARAMS)
    assert own_state(state) == {"n": int(sign > 0), "tag": "seen"}
    np.testing.assert_array_equal(updates["w"], -1.0)


def test_members_beside_a_pair_keep_their_states_and_ask_for_the_gradient():
    tx = optax.chain(optax.trace(0.5), summing(), optax.scale_by_adam(), optax.scale(-1.0))
    state = tx.init(PARAMS)
    assert [type(x).__name__ for x in state] == [
        *("TraceState", "MyState", "ScaleByAdamState", "EmptyState")
    ]
    alone, apart = optax.trace(0.5), optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
    first, last, summed = alone.init(PARAMS), apart.init(PARAMS), summing()
    middle = summed.init(PARAMS)
    for _ in range(3):
        updates, state = tx.update(GRADS, state, PARAMS)
        expected, first = alone.update(GRADS, first, PARAMS)
        expected, middle = summed.update(expected, middle, PARAMS)
        expected, last = apart.update(expected, last, PARAMS)
        np.testing.assert_array_equal(updates["w"], expected["w"])
    params, _ = tx.step(GRADS, state, PARAMS)
    updates, _ = tx.update(GRADS, state, PARAMS)
    np.testing.assert_array_equal(params["w"], PARAMS["w"] + updates["w"])


def test_a_pair_may_take_the_examples_away():
    tx = optax.chain(optax.clip(0.5), averaging(), optax.adamw(0.1))
    plain = optax.adamw(0.1)
    state, other = tx.init(PARAMS), plain.init(PARAMS)
    halves = jax.tree.map(lambda p: 0.5 * p, PARAMS)
    for _ in range(2):
        updates, state = tx.update(EXAMPLES, state, PARAMS)
        expected, other = plain.update(halves, other, PARAMS)
        np.testing.assert_array_equal(updates["w"], expected["w"])


def test_updates_of_examples_pass_members_that_do_not_look_at_parameters():
    tx = optax.chain(optax.clip(0.5), optax.scale(-1.0))
    updates, _ = tx.update(EXAMPLES, tx.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["w"], np.full((4, 3), -0.5))


@pytest.mark.parametrize("make", [optax.adam, optax.adamw, optax.lars], ids=lambda f: f.__name__)
def test_updates_of_examples_are_refused_where_they_cannot_be(make):
    tx = make(0.1)
    with pytest.raises(ValueError, match="gradients of single examples are averaged first"):
        tx.update(EXAMPLES, tx.init(PARAMS), PARAMS)


def test_other_shapes_are_refused():
    tx = optax.sgd(0.1)
    wrong = {"b": jnp.ones(3), "w": jnp.ones(2)}
    with pytest.raises(ValueError, match="Nothing is broadcast"):
        tx.update(wrong, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize("make", [optax.adamw, optax.lamb, optax.lars], ids=lambda f: f.__name__)
def test_missing_parameters_raise_a_value_error(make):
    tx = make(0.1)
    with pytest.raises(ValueError, match="needs params"):
        tx.update(GRADS, tx.init(PARAMS))


def test_whole_numbers_alone_count_as_floats():
    tx = optax.chain(optax.sgd(0.5), summing())
    params = {"a": 1, "b": jnp.array([2])}
    updates, _ = tx.update(params, tx.init(params))
    np.testing.assert_array_equal(updates["b"], [-1.0])
    assert updates["a"].dtype == jnp.float32


def test_extra_arguments_reach_the_pairs_that_name_them():
    def update_fn(updates, state, params=None, *, loss):
        assert loss == 1
        return updates, state

    pair = optax.GradientTransformationExtraArgs(lambda p: (), update_fn)
    tx = optax.chain(optax.adam(1e-3), pair)
    state = tx.init(PARAMS)
    tx.update(GRADS, state, loss=1, unknown="hi")
    with pytest.raises(TypeError, match="loss"):
        tx.update(GRADS, state)


def test_states_of_a_named_chain_keep_their_order():
    tx = optax.named_chain(("z", optax.trace(0.5)), ("a", optax.scale_by_adam()))
    assert list(tx.init(PARAMS)) == ["z", "a"]
    assert [type(x).__name__ for x in tx.init(PARAMS).values()] == [
        "TraceState",
        "ScaleByAdamState",
    ]


def test_a_schedule_of_none_makes_a_state():
    tx = optax.scale_by_schedule(None)
    state = tx.init(PARAMS)
    assert isinstance(state, optax.ScaleByScheduleState)
    with pytest.raises(TypeError, match="step_size_fn is None"):
        tx.update(GRADS, state)


def test_surplus_boundaries_of_schedules_are_left_out():
    parts = [optax.constant_schedule(1.0), optax.constant_schedule(2.0)]
    schedule = optax.join_schedules(parts, [3, 5, 7])
    assert [float(schedule(t)) for t in (2, 3, 9)] == [1.0, 2.0, 2.0]


def test_parameters_of_none_take_no_update():
    assert optax.apply_updates(None, jnp.ones(2)) is None
    made = optax.apply_updates(
        {"a": None, "b": jnp.ones(2)}, {"a": jnp.ones(3), "b": jnp.ones(2)}
    )
    assert made["a"] is None
    np.testing.assert_array_equal(made["b"], 2.0)
