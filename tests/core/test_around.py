"""The lift around other transformations: what a rule sees, where the states stand, which extra
arguments pass.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws import user_transforms

P = {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3), "hole": None}
G = {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, -1.0), "hole": None}


@gc.transform
def sum_of_two(first: gc.GradientTransformation, second: gc.GradientTransformation):
    """The sum of what two transformations make of the same gradient."""

    def rule(g, s, first, second, p=None):
        a, first_state = first(g, s["first"], p)
        b, second_state = second(g, s["second"], p)
        return gc.tree.map_leaves(jnp.add, a, b), {"first": first_state, "second": second_state}

    return gc.around(rule, locality="element", first=first, second=second)


@gc.transform
def with_value(inner: gc.GradientTransformation, factor: gc.Hyper):
    """Hand on another value than was given."""

    def rule(g, s, inner, value):
        u, new = inner(g, s["inner"], None, value=factor * value)
        return u, {"inner": new}

    return gc.around(rule, inner=inner)


@gc.transform
def scale_by_value():
    return gc.treewise(lambda g, value: gc.tree.scale_tree(g, value))


def test_the_states_of_the_members_stand_beside_the_slots():
    tx = user_transforms.momentum_of_update(gc.adam(0.1), 0.9)
    state = tx.init(P)
    assert state.keys() == {"momentum_of_update"}
    assert state["momentum_of_update"].keys() == {"inner", "momentum"}
    assert state["momentum_of_update"]["inner"].keys() == {
        "scale_by_adam",
        "scale_by_learning_rate",
    }


def test_a_member_without_a_state_has_no_entry():
    tx = user_transforms.momentum_of_update(gc.clip(1.0), 0.9)
    updates, state = tx.update(G, tx.init(P), P)
    assert state["momentum_of_update"].keys() == {"momentum"}
    np.testing.assert_allclose(updates["kernel"], 1.0)
    assert updates["hole"] is None


def test_members_of_several_names_and_of_foreign_make():
    tx = sum_of_two(gc.scale(2.0), optax.trace(0.5))
    state = tx.init(P)
    for factor in (3.0, 3.5):
        updates, state = tx.update(G, state, P)
        np.testing.assert_allclose(updates["bias"], -factor)
    assert state["sum_of_two"].keys() == {"second"}


def test_extra_arguments_reach_the_members_and_can_be_replaced():
    tx = with_value(gc.chain(scale_by_value(), gc.scale(1.0)), 10.0)
    assert tx.extras == {"value"}
    np.testing.assert_allclose(tx.update(G, tx.init(P), value=0.5)[0]["bias"], -5.0)
    with pytest.raises(TypeError, match="'with_value' needs the extra argument 'value'"):
        tx.update(G, tx.init(P))
    with pytest.raises(TypeError, match="Did you mean 'value'"):
        tx.update(G, tx.init(P), valeu=0.5)


def test_an_extra_argument_that_only_a_member_takes_is_known_outside():
    tx = user_transforms.momentum_of_update(scale_by_value(), 0.9)
    assert tx.extras == {"value"}
    np.testing.assert_allclose(tx.update(G, tx.init(P), P, value=3.0)[0]["bias"], -3.0)


def test_the_locality_is_the_widest():
    assert sum_of_two(gc.scale(1.0), gc.scale(1.0)).locality == "element"
    assert sum_of_two(gc.scale(1.0), gc.clip_by_global_norm(1.0)).locality == "tree"
    assert user_transforms.momentum_of_update(gc.scale(1.0), 0.9).locality == "tree"


def test_the_state_of_another_wrapper_is_refused():
    tx = user_transforms.momentum_of_update(gc.adam(0.1), 0.9)
    state = tx.init(P)
    state["momentum_of_update"]["strange"] = state["momentum_of_update"].pop("momentum")
    with pytest.raises(
        ValueError, match="'momentum_of_update' has 'strange' but needs 'momentum'"
    ):
        tx.update(G, state, P)


def test_it_runs_under_a_condition():
    """The call of a member is pure: it can stand in a branch."""
    tx = user_transforms.every_other(gc.sgd(1.0, momentum=0.5))
    state, seen = tx.init(P), []
    for _ in range(4):
        updates, state = jax.jit(tx.update)(G, state, P)
        seen.append(float(updates["bias"][0]))
    assert seen == [0.0, 1.0, 0.0, 1.5]


@gc.transform
def every_second_call(inner: gc.GradientTransformation, factor: gc.Hyper = 1.0):
    """Run ``inner`` at every other call; its own clock counts these."""

    def rule(g, s, p, inner):
        runs = s["calls"] % 2 == 1
        scaled = lambda: gc.tree.map_leaves(lambda x: factor * x, g)
        u, new = gc.run_if(runs, lambda: inner(scaled(), s["inner"], p), g, s["inner"])
        return u, {
            "count": s["count"] + runs.astype(jnp.int32),
            "calls": s["calls"] + 1,
            "inner": new,
        }

    return gc.around(rule, inner=inner, count=gc.slots.counter, calls=gc.slots.counter)


def test_a_slot_called_count_is_a_clock_that_the_rule_keeps():
    tx = every_second_call(gc.scale_by_adam(), factor=gc.linear_schedule(1.0, 3.0, 2))
    state, sizes = tx.init(P), []
    adam = gc.scale_by_adam()
    expected = adam.init(P)
    for call in range(6):
        updates, state = tx.update(G, state, P)
        sizes.append(float(jnp.max(jnp.abs(updates["kernel"]))))
        if call % 2:
            right, expected = adam.update(
                gc.tree.map_leaves(lambda x, k=call // 2: (k + 1.0) * x, G), expected, P
            )
            np.testing.assert_allclose(updates["kernel"], right["kernel"], rtol=1e-6)
    assert sizes[0::2] == [0, 0, 0] and min(sizes[1::2]) > 0.9
    assert state["every_second_call"]["count"] == 3 and state["every_second_call"]["calls"] == 6
    assert state["every_second_call"]["inner"]["scale_by_adam"]["count"] == 3
    assert state["every_second_call"]["count"].dtype == jnp.int32


def test_what_is_not_run_stands_inside_a_conditional():
    tx = every_second_call(gc.scale_by_adam())
    jaxpr = jax.make_jaxpr(lambda g, s, p: tx.update(g, s, p))(G, tx.init(P), P)
    outside = [eqn.primitive.name for eqn in jaxpr.jaxpr.eqns]
    assert outside.count("cond") == 1 and "sqrt" not in outside
