"""Control flow: what runs when, what is merged, and what is refused."""

import chex
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest
from hypothesis import given

import gradchain as gc
from gradchain.core.walk import walk
from tests.laws import samples
from tests.laws.samples import assert_close, assert_identical
from tests.support.control_flow import GRADS, PARAMS, every_third, go, steps
from tests.support.jaxprs import named_primitives
from tests.support.random_trees import few, trees


def conditionals(tx, params=PARAMS, **extra):
    """The conditionals of a compiled update, and how many square roots stand outside of them."""
    state = tx.init(params)
    jaxpr = jax.make_jaxpr(lambda g, s, p: tx.update(g, s, p, **extra))(params, state, params)
    outside = [name for name, inside in named_primitives(jaxpr.jaxpr) if not inside]
    return outside.count("cond"), outside.count("sqrt")


# ------------------------------------------------------------------------------------ at some steps


def test_where_the_condition_fails_the_inner_clock_stands_still():
    tx = gc.apply_when(lambda step: step % 2 == 1, gc.scale_by_adam())
    made, state = steps(tx)
    assert int(state["apply_when"]["count"]) == 6
    assert int(state["apply_when"]["inner"]["scale_by_adam"]["count"]) == 3
    expected, _ = steps(gc.scale_by_adam(), GRADS[1::2])
    assert_close(made[1::2], expected, 1e-6)
    assert_identical(made[::2], GRADS[::2])


def test_around_a_whole_optimizer_the_parameters_stay():
    made, state = steps(gc.apply_when(lambda step: step == 2, gc.adamw(0.1)))
    bad = jax.tree.map(lambda g: g * jnp.nan, GRADS[0])
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    assert [bool(jnp.any(u["head"] != 0)) for u in made] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    tx = gc.apply_when(lambda step: step > 0, gc.adamw(0.1))
    updates, _ = tx.update(bad, tx.init(PARAMS), PARAMS)
    assert_identical(updates, zero)  # and not NaN times zero
    assert set(state["apply_when"]) == {"count", "inner"}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: gc.lookahead(tx),
        lambda tx: tx.named("mine"),
        lambda tx: gc.groups([("head", gc.freeze())], default=tx),
        lambda tx: gc.tunable(gc.accumulate(tx, 2)),
        lambda tx: gc.chain(gc.clip(1.0), gc.parallel(tx, gc.madgrad(0.1))),
        lambda tx: gc.madgrad(0.1),
    ],
    ids=["wrapped", "named", "in a group", "twice", "side by side", "without a rate of its own"],
)
def test_an_optimizer_is_known_however_deep(wrap):
    """What it leaves out would be moved uphill by raw gradients."""
    tx = wrap(gc.adam(0.1))
    conditional = gc.apply_when(lambda step: step < 0, tx)
    updates, _ = conditional.update(GRADS[0], conditional.init(PARAMS), PARAMS)
    assert_identical(updates, jax.tree.map(jnp.zeros_like, PARAMS))
    with pytest.raises(ValueError, match=r"masked: .* is a whole optimizer"):
        gc.masked(tx, "head").init(PARAMS)
    gc.masked(gc.lookahead(gc.scale_by_adam()), "head").init(PARAMS)  # a direction alone is none


def test_a_condition_may_be_a_schedule_and_names_extra_arguments():
    made, _ = steps(gc.apply_when(every_third, gc.scale(0.0)))
    assert [bool(jnp.all(u["head"] == 0)) for u in made] == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    tx = gc.apply_when(lambda step, value, limit=1.0: (step > 0) & (value < limit), gc.scale(0.0))
    assert {"value", "limit"} <= tx.extras
    state, seen = tx.init(PARAMS), []
    for extra in ({"value": 0.5}, {"value": 0.5}, {"value": 1.5}, {"value": 1.5, "limit": 2.0}):
        u, state = tx.update(PARAMS, state, PARAMS, **{k: jnp.array(x) for k, x in extra.items()})
        seen.append(bool(jnp.all(u["head"] == 0)))
    assert seen == [False, True, False, True]
    with pytest.raises(TypeError, match="'apply_when' needs the extra argument 'value'"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_members_still_see_the_extra_arguments():
    tx = gc.apply_when(lambda step: step < 1, gc.scale_by_polyak(), others=gc.scale(0.0))
    state = tx.init(PARAMS)
    u, state = tx.update(GRADS[0], state, PARAMS, value=jnp.array(3.0))
    expected, _ = gc.scale_by_polyak().update(
        GRADS[0], gc.scale_by_polyak().init(PARAMS), PARAMS, value=jnp.array(3.0)
    )
    assert_close(u, expected, 1e-6)


def test_the_state_of_each_branch_moves_with_it_alone():
    tx = gc.apply_when(lambda step: step < 2, gc.add_momentum(0.5), others=gc.scale_by_adam())
    _, state = steps(tx)
    entry = state["apply_when"]
    assert int(entry["others"]["scale_by_adam"]["count"]) == 4
    _, early = steps(tx, GRADS[:2])
    assert_identical(entry["inner"], early["apply_when"]["inner"])


def test_only_one_branch_is_computed():
    for tx in (
        gc.apply_when(lambda step: step > 1, gc.scale_by_adam()),
        gc.switch(gc.scale_by_adam(), at=2, then=gc.scale_by_rms(), carry=("nu",)),
    ):
        assert conditionals(tx) == (1, 0)
    assert conditionals(gc.scale_by_adam())[1] > 0  # the count can fail


def test_freezing_holds_only_while_the_condition_does():
    tx = gc.chain(
        gc.clip_by_global_norm(1.0), gc.apply_when(lambda step: step < 1, gc.freeze("trunk"))
    )
    assert not tx.freezes
    (first, second), _ = steps(tx, GRADS[:2])
    assert jnp.all(first["trunk"] == 0) and jnp.any(first["head"] != 0)
    assert jnp.all(second["trunk"] != 0)
    assert_close(
        gc.global_norm(second), jnp.array(1.0), 1e-6
    )  # the clip sees it, as it is not always frozen


def test_what_both_branches_freeze_is_frozen():
    tx = gc.apply_when(every_third, gc.chain(gc.freeze("trunk"), gc.adamw(0.1)))
    assert tx.frozen(PARAMS) == {"head": False, "trunk": True}
    assert tx.init(PARAMS)["apply_when"]["inner"]["scale_by_adam"]["mu"]["trunk"] is None
    grads = {"head": jnp.array([3.0, 4.0]), "trunk": jnp.array([[100.0], [0.0]])}
    clipped = gc.chain(
        gc.clip_by_global_norm(1.0),
        gc.apply_when(every_third, gc.chain(gc.freeze("trunk"), gc.sgd(1.0))),
    )
    (updates,), _ = steps(clipped, [grads])
    assert_close(updates, {"head": -grads["head"] / 5, "trunk": 0 * grads["trunk"]}, 1e-6)


@pytest.mark.parametrize(
    ("condition", "error", "match"),
    [
        (True, TypeError, "condition must be a function of the step"),
        (
            lambda step: jnp.array([True, False]),
            ValueError,
            r"one bool at a step, not an array of shape \(2,\)",
        ),
        (lambda step: None, ValueError, "one bool at a step, but returned nothing"),
        (lambda: True, TypeError, "a function of the step; <function .* takes none"),
        (
            lambda step, params: True,
            TypeError,
            "condition asks for 'params': beside the step it names extra arguments",
        ),
        (lambda step, **extra: True, TypeError, r"condition asks for '\*\*extra'"),
        (lambda step, g: True, TypeError, "condition asks for 'g'"),
    ],
)
def test_what_is_no_condition_is_refused(condition, error, match):
    tx = gc.apply_when(condition, gc.scale(2.0))
    with pytest.raises(error, match=match):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


# ------------------------------------------------------------------------------------- side by side


def test_the_mean_of_momenta_is_aggregated_momentum():
    tx = gc.parallel(*map(gc.add_momentum, (0.0, 0.9, 0.99)), merge="mean")
    assert list(tx.init(PARAMS)["parallel"]) == [
        "add_momentum",
        "add_momentum_2",
        "add_momentum_3",
    ]
    assert_close(steps(tx)[0], steps(gc.scale_by_aggmo())[0], 1e-6)


def test_a_function_merges_leaf_by_leaf():
    own = lambda m, d: gc.numerics.norm(m) / gc.numerics.norm(d) * d
    tx = gc.parallel(gc.add_momentum(0.9), gc.scale_by_adam(), merge=own)
    assert tx.locality == "leaf"
    assert_close(steps(tx)[0], steps(gc.graft(gc.add_momentum(0.9), gc.scale_by_adam()))[0], 1e-6)


def test_members_have_the_names_that_they_are_given():
    tx = gc.parallel(gc.adam(0.1).named("fast"), gc.sgd(0.1, 0.9), gc.scale(2.0))
    state = tx.init(PARAMS)["parallel"]
    assert list(state) == ["fast", "sgd"]
    assert list(state["fast"]) == ["scale_by_adam", "scale_by_learning_rate"]
    assert list(tx.replace(members=tx.inner[1:]).init(PARAMS)["parallel"]) == ["sgd"]


def test_a_sum_is_rounded_once():
    params = jnp.ones(3, jnp.bfloat16)
    tx = gc.parallel(gc.scale(1.0), gc.scale(2.0**-9), gc.scale(2.0**-9))
    updates, _ = tx.update(params, tx.init(params), params)
    assert_identical(
        updates, jnp.full(3, 1.0 + 2.0**-8, jnp.bfloat16)
    )  # each share alone would be lost


def test_only_what_all_members_freeze_is_frozen():
    one = gc.parallel(gc.freeze("trunk"), gc.scale(2.0))
    assert not one.freezes
    u, _ = one.update(PARAMS, one.init(PARAMS), PARAMS)
    assert_close(u, {"head": 3 * PARAMS["head"], "trunk": 2 * PARAMS["trunk"]}, 1e-6)
    both = gc.parallel(gc.chain(gc.freeze("trunk"), gc.scale(0.5)), gc.freeze())
    assert both.frozen(PARAMS) == {"head": False, "trunk": True}


def test_what_cannot_be_merged_is_refused():
    for tx, match in (
        (gc.parallel(), "one transformation or more"),
        (
            gc.parallel(gc.scale(1.0), merge="max"),
            "merge must be one of 'sum', 'mean', not 'max'",
        ),
        (
            gc.parallel(gc.scale(1.0), merge=jnp.sum),
            r"merge made shape \(\) from updates of \(2,\)",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_the_state_of_a_member_that_is_not_there_is_an_error():
    two = gc.parallel(gc.scale_by_adam(), gc.scale_by_adam())
    one = gc.parallel(gc.scale_by_adam(), gc.scale_by_sign())
    with pytest.raises(
        ValueError,
        match="state of 'parallel' has 'scale_by_adam', 'scale_by_adam_2', but its members",
    ):
        one.update(PARAMS, two.init(PARAMS), PARAMS)


# ------------------------------------------------------------------------------------------- nested


def test_they_nest_and_are_walked_through():
    tx = gc.switch(
        gc.parallel(gc.scale_by_adam(), gc.scale_by_sign()),
        at=2,
        then=gc.apply_when(every_third, gc.scale_by_adam()),
        carry=("mu",),
    )
    params, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    updates, _, state = samples.compiled_run(tx, params, grads)
    chex.assert_tree_all_finite((updates, state))
    names = [part.name for part in walk(tx, state)]
    assert "switch/first/parallel/scale_by_adam/scale_by_adam" in names
    assert "switch/then/apply_when/inner/scale_by_adam" in names


# ------------------------------------------------------------------------------------- random trees


@few
@given(trees, st.lists(st.booleans(), min_size=1, max_size=4))
@jax.disable_jit()
def test_each_branch_sees_its_own_steps(tree, holds):
    flags = jnp.array(holds)
    tx = gc.apply_when(lambda step: flags[step], gc.scale_by_adam(), others=gc.add_momentum(0.5))
    made, _ = go(tx, tree, range(len(holds)))
    for branch, inner in ((True, gc.scale_by_adam()), (False, gc.add_momentum(0.5))):
        own = [i for i, flag in enumerate(holds) if flag == branch]
        assert_identical([made[i] for i in own], go(inner, tree, own)[0])


@few
@given(trees)
@jax.disable_jit()
def test_one_member_side_by_side_with_nothing_is_itself(tree):
    alone = go(gc.scale_by_adam(), tree, range(2))[0]
    for tx in (gc.parallel(gc.scale_by_adam()), gc.parallel(gc.scale_by_adam(), gc.scale(0.0))):
        assert_identical(
            jax.tree.map(jnp.abs, go(tx, tree, range(2))[0]), jax.tree.map(jnp.abs, alone)
        )
