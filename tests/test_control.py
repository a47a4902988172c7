"""Control flow: what runs when, what is kept, what is handed over, and what is refused."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given

import gradchain as gc
from gradchain.walk import walk
from tests import samples
from tests.random_trees import few, other_like, trees
from tests.samples import assert_close, assert_identical

PARAMS = {"head": jnp.array([1.0, -2.0]), "trunk": jnp.array([[0.5], [2.0]])}
GRADS = [jax.tree.map(lambda p, k=k: p * k - 1.0, PARAMS) for k in (1.0, -2.0, 0.5, 3.0, -1.0, 2.0)]
every_third = gc.linear_schedule(1.0, 0.0, 1).repeat(3)


def steps(tx, grads=GRADS, params=PARAMS, **extra):
    """The updates of each step and the last state."""
    state, made = tx.init(params), []
    step = jax.jit(lambda g, s, p: tx.update(g, s, p, **extra))
    for g in grads:
        u, state = step(g, state, params)
        params = gc.apply_updates(params, u)
        made.append(u)
    return made, state


def conditionals(tx, params=PARAMS, **extra):
    """The conditionals of a compiled update, and how many square roots stand outside of them."""
    state = tx.init(params)
    jaxpr = jax.make_jaxpr(lambda g, s, p: tx.update(g, s, p, **extra))(params, state, params).jaxpr
    names = [eqn.primitive.name for eqn in jaxpr.eqns]
    return names.count("cond"), names.count("sqrt")


# --------------------------------------------------------------------------------------------------- at some steps


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
    assert [bool(jnp.any(u["head"] != 0)) for u in made] == [False, False, True, False, False, False]
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
    assert [bool(jnp.all(u["head"] == 0)) for u in made] == [True, False, False, True, False, False]
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
    expected, _ = gc.scale_by_polyak().update(GRADS[0], gc.scale_by_polyak().init(PARAMS), PARAMS, value=jnp.array(3.0))
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
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.apply_when(lambda step: step < 1, gc.freeze("trunk")))
    assert not tx.freezes
    (first, second), _ = steps(tx, GRADS[:2])
    assert jnp.all(first["trunk"] == 0) and jnp.any(first["head"] != 0)
    assert jnp.all(second["trunk"] != 0)
    assert_close(gc.global_norm(second), jnp.array(1.0), 1e-6)  # the clip sees it, as it is not always frozen


def test_what_both_branches_freeze_is_frozen():
    tx = gc.apply_when(every_third, gc.chain(gc.freeze("trunk"), gc.adamw(0.1)))
    assert tx.frozen(PARAMS) == {"head": False, "trunk": True}
    assert tx.init(PARAMS)["apply_when"]["inner"]["scale_by_adam"]["mu"]["trunk"] is None
    grads = {"head": jnp.array([3.0, 4.0]), "trunk": jnp.array([[100.0], [0.0]])}
    clipped = gc.chain(
        gc.clip_by_global_norm(1.0), gc.apply_when(every_third, gc.chain(gc.freeze("trunk"), gc.sgd(1.0)))
    )
    (updates,), _ = steps(clipped, [grads])
    assert_close(updates, {"head": -grads["head"] / 5, "trunk": 0 * grads["trunk"]}, 1e-6)


@pytest.mark.parametrize(
    ("condition", "error", "match"),
    [
        (True, TypeError, "condition must be a function of the step"),
        (lambda step: jnp.array([True, False]), ValueError, r"one bool at a step, not an array of shape \(2,\)"),
        (lambda step: None, ValueError, "one bool at a step, but returned nothing"),
        (lambda: True, TypeError, "a function of the step; <function .* takes none"),
        (lambda step, params: True, TypeError, "condition asks for 'params': beside the step it names extra arguments"),
        (lambda step, **extra: True, TypeError, r"condition asks for '\*\*extra'"),
        (lambda step, g: True, TypeError, "condition asks for 'g'"),
    ],
)
def test_what_is_no_condition_is_refused(condition, error, match):
    tx = gc.apply_when(condition, gc.scale(2.0))
    with pytest.raises(error, match=match):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


# ------------------------------------------------------------------------------------------------ one after another


def test_a_switch_to_the_same_with_all_slots_changes_nothing():
    carry = ("mu", "nu", "count")
    made, state = steps(gc.switch(gc.adam(0.1), at=3, then=gc.adamw(0.1, weight_decay=0.0), carry=carry))
    expected, end = steps(gc.adam(0.1))
    assert_identical(made, expected)
    then = state["switch"]["then"]
    assert_identical(then["scale_by_adam"], end["scale_by_adam"])
    assert int(then["scale_by_learning_rate"]["count"]) == 6
    assert int(state["switch"]["first"]["scale_by_adam"]["count"]) == 3


def test_without_carry_the_second_starts_anew():
    made, state = steps(gc.switch(gc.adam(0.1), at=2, then=gc.adam(0.1)))
    params = PARAMS
    for u in made[:2]:
        params = gc.apply_updates(params, u)
    expected, end = steps(gc.adam(0.1), GRADS[2:], params)
    assert_identical(made[2:], expected)
    assert_identical(state["switch"]["then"], end)


@pytest.mark.parametrize(
    "then",
    [
        gc.lookahead(gc.sgd(0.1), sync_period=2),
        gc.schedule_free(gc.sgd(0.1), 0.1),
        gc.chain(gc.clip(1.0), gc.tunable(gc.groups([("head", gc.lookahead(gc.adam(0.1), 1))], default=gc.freeze()))),
        gc.mechanize(gc.sgd(1.0)),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_what_starts_as_the_parameters_starts_as_those_of_its_first_step(then):
    tx = gc.switch(gc.sgd(0.5), at=2, then=then)
    made, _ = steps(tx)
    moved = PARAMS
    for u in made[:2]:
        moved = gc.apply_updates(moved, u)
    expected, _ = steps(then, GRADS[2:], moved)
    assert_close(made[2:], expected, 1e-6)


def test_hyperparameters_that_were_set_before_its_time_stay():
    tx = gc.switch(gc.sgd(0.5), at=1, then=gc.tunable(gc.sgd(0.1)))
    state = gc.set_hyperparams(tx.init(PARAMS), learning_rate=2.0)
    _, state = tx.update(PARAMS, state, PARAMS)
    assert_close(tx.update(PARAMS, state, PARAMS)[0], jax.tree.map(lambda p: -2.0 * p, PARAMS), 1e-6)


def test_a_slot_is_handed_over_under_another_name():
    made, state = steps(gc.switch(gc.scale_by_adam(0.8), at=2, then=gc.add_momentum(0.5), carry={"mu": "momentum"}))
    _, before = steps(gc.scale_by_adam(0.8), GRADS[:2])
    mu = before["scale_by_adam"]["mu"]
    assert_close(made[2], jax.tree.map(lambda m, g: 0.5 * m + g, mu, GRADS[2]), 1e-6)
    assert_identical(state["switch"]["first"], before)


@pytest.mark.parametrize("at", [0, 100])
def test_the_change_may_be_at_once_or_never(at):
    made, _ = steps(gc.switch(gc.adam(0.1), at=at, then=gc.sgd(0.1, 0.9), carry={"mu": "momentum"}))
    expected, _ = steps(gc.sgd(0.1, 0.9) if at == 0 else gc.adam(0.1))
    assert_identical(made, expected)


def test_slots_of_one_name_go_to_stages_of_the_same_name():
    first = gc.chain(gc.add_momentum(0.5).named("slow"), gc.add_momentum(0.9).named("fast"))
    then = gc.chain(gc.add_momentum(0.1).named("fast"), gc.add_momentum(0.1).named("slow"))
    _, state = steps(gc.switch(first, at=1, then=then, carry=("momentum",)), GRADS[:1])
    tx = gc.switch(first, at=1, then=then, carry=("momentum",))
    slow, fast = (state["switch"]["first"][k]["momentum"] for k in ("slow", "fast"))
    u, _ = tx.update(GRADS[1], state, PARAMS)
    in_fast = jax.tree.map(lambda m, g: 0.1 * m + g, fast, GRADS[1])
    assert_close(u, jax.tree.map(lambda m, g: 0.1 * m + g, slow, in_fast), 1e-6)


def test_a_slot_of_a_stage_is_asked_for_by_both_names():
    tx = gc.switch(gc.adam(0.1), at=2, then=gc.adam(0.1), carry=("scale_by_adam/count",))
    state = steps(tx)[1]["switch"]["then"]
    assert int(state["scale_by_adam"]["count"]) == 6
    assert int(state["scale_by_learning_rate"]["count"]) == 4


def test_slots_are_found_inside_wrappers_and_groups():
    whole = gc.lookahead(gc.adam(0.1), 2)
    parted = gc.groups([("head", {"b1": 0.5})], default=gc.adam(0.1))
    _, state = steps(gc.switch(whole, at=1, then=parted, carry=("mu",)), GRADS[:2])
    mu = state["switch"]["first"]["lookahead"]["inner"]["scale_by_adam"]["mu"]
    groups = state["switch"]["then"]["groups"]
    for name, leaf, b1 in (("adam_2", "head", 0.5), ("adam", "trunk", 0.9)):
        taken = groups[name]["scale_by_adam"]["mu"][leaf]
        np.testing.assert_allclose(taken, b1 * mu[leaf] + (1 - b1) * GRADS[1][leaf], rtol=1e-5)
    with pytest.raises(
        ValueError, match="which of 'groups/adam_2/scale_by_adam/mu', 'groups/adam/scale_by_adam/mu' in"
    ):
        gc.switch(parted, at=1, then=whole, carry=("mu",)).init(PARAMS)
    _, state = steps(
        gc.switch(parted, at=1, then=parted.replace(default=gc.adam(0.2)), carry=("mu", "count")), GRADS[:2]
    )
    assert int(state["switch"]["then"]["groups"]["adam_2"]["scale_by_adam"]["count"]) == 2


def test_a_leaf_that_was_frozen_starts_anew():
    tx = gc.switch(gc.chain(gc.freeze("trunk"), gc.adam(0.1)), at=2, then=gc.adam(0.1), carry=("mu", "nu", "count"))
    assert not tx.freezes
    made, state = steps(tx, GRADS[:3])
    assert all(bool(jnp.all(u["trunk"] == 0)) for u in made[:2])
    expected, _ = steps(gc.adam(0.1), [{**g, "trunk": None} for g in GRADS[:3]])
    assert_identical([u["head"] for u in made], [u["head"] for u in expected])
    np.testing.assert_allclose(
        state["switch"]["then"]["scale_by_adam"]["mu"]["trunk"], 0.1 * GRADS[2]["trunk"], rtol=1e-5
    )


def test_a_slot_keeps_the_precision_of_its_new_place():
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    grads = [jax.tree.map(lambda x: x.astype(jnp.bfloat16), g) for g in GRADS]
    _, state = steps(gc.switch(gc.scale_by_adam(), at=1, then=gc.scale_by_adam(), carry=("mu",)), grads, params)
    assert state["switch"]["then"]["scale_by_adam"]["mu"]["head"].dtype == jnp.float32


def test_a_foreign_pair_may_come_first_or_last():
    for tx in (gc.switch(optax.sgd(0.1), at=1, then=gc.sgd(0.2)), gc.switch(gc.sgd(0.1), at=1, then=optax.sgd(0.2))):
        made, _ = steps(tx, GRADS[:2])
        assert_close(
            made, [jax.tree.map(lambda g: -0.1 * g, GRADS[0]), jax.tree.map(lambda g: -0.2 * g, GRADS[1])], 1e-6
        )


@pytest.mark.parametrize(
    ("first", "then", "carry", "match"),
    [
        (
            gc.adam(0.1),
            gc.sgd(0.1),
            ("mu",),
            "'then' has no slot 'mu' to carry; its slots are 'scale_by_learning_rate/c",
        ),
        (gc.sgd(0.1), gc.adam(0.1), ("mu",), r"'first' has no slot 'mu'.* carry=\{'mu': 'momentum'\}"),
        (gc.adam(0.1), gc.sgd(0.1, 0.9), {"mu": "m"}, "'then' has no slot 'm'"),
        (gc.adam(0.1), gc.adam(0.1), ("adam/mu",), "'first' has no slot 'adam/mu'"),
        (
            gc.scale_by_adam(),
            gc.scale_by_aggmo(),
            {"mu": "momenta"},
            r"float32\[2\] for 'head' and cannot be carried to",
        ),
        (gc.scale_by_adam(), gc.scale_by_prodigy(), {"mu": "distance"}, "have no leaf in common"),
        (
            gc.chain(gc.add_momentum(0.5), gc.add_momentum(0.9)),
            gc.chain(gc.add_momentum(0.5).named("a"), gc.add_momentum(0.9)),
            ("momentum",),
            "which of 'add_momentum/momentum', 'add_momentum_2/momentum' in 'first' is for 'a/momentum'",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused_by_init(first, then, carry, match):
    with pytest.raises(ValueError, match=match):
        gc.switch(first, at=1, then=then, carry=carry).init(PARAMS)


@pytest.mark.parametrize(("at", "match"), [(-1, "0 or more, not -1"), (2.5, "a whole number, not 2.5")])
def test_the_step_of_a_switch_can_be_reached(at, match):
    with pytest.raises(ValueError, match=f"switch: at must be {match}"):
        gc.switch(gc.sgd(0.1), at=at, then=gc.sgd(0.1)).init(PARAMS)


def test_one_slot_to_carry_needs_no_tuple():
    one, same = (gc.switch(gc.scale_by_adam(), 2, gc.scale_by_adam(), carry) for carry in ("mu", ("mu",)))
    assert_identical(steps(one)[0], steps(same)[0])


# ----------------------------------------------------------------------------------------------------- side by side


def test_the_mean_of_momenta_is_aggregated_momentum():
    tx = gc.parallel(*map(gc.add_momentum, (0.0, 0.9, 0.99)), merge="mean")
    assert list(tx.init(PARAMS)["parallel"]) == ["add_momentum", "add_momentum_2", "add_momentum_3"]
    assert_close(steps(tx)[0], steps(gc.scale_by_aggmo())[0], 1e-6)


def test_a_function_merges_leaf_by_leaf():
    own = lambda m, d: gc.norm(m) / gc.norm(d) * d
    tx = gc.parallel(gc.add_momentum(0.9), gc.scale_by_adam(), merge=own)
    assert tx.locality == "leaf"
    assert_close(steps(tx)[0], steps(gc.graft(gc.add_momentum(0.9), gc.scale_by_adam()))[0], 1e-6)


def test_members_have_the_names_that_they_are_given():
    tx = gc.parallel(gc.adam(0.1).named("fast"), gc.sgd(0.1, 0.9), gc.scale(2.0))
    state = tx.init(PARAMS)["parallel"]
    assert list(state) == ["fast", "sgd"]
    assert list(state["fast"]) == ["scale_by_adam", "scale_by_learning_rate"]
    assert list(tx.replace(members=tx.members[1:]).init(PARAMS)["parallel"]) == ["sgd"]


def test_a_sum_is_rounded_once():
    params = jnp.ones(3, jnp.bfloat16)
    tx = gc.parallel(gc.scale(1.0), gc.scale(2.0**-9), gc.scale(2.0**-9))
    updates, _ = tx.update(params, tx.init(params), params)
    assert_identical(updates, jnp.full(3, 1.0 + 2.0**-8, jnp.bfloat16))  # each share alone would be lost


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
        (gc.parallel(gc.scale(1.0), merge="max"), "merge must be one of 'sum', 'mean', not 'max'"),
        (gc.parallel(gc.scale(1.0), merge=jnp.sum), r"merge made shape \(\) from updates of \(2,\)"),
    ):
        with pytest.raises(ValueError, match=match):
            tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_the_state_of_a_member_that_is_not_there_is_an_error():
    two = gc.parallel(gc.scale_by_adam(), gc.scale_by_adam())
    one = gc.parallel(gc.scale_by_adam(), gc.scale_by_sign())
    with pytest.raises(ValueError, match="state of 'parallel' has 'scale_by_adam', 'scale_by_adam_2', but its members"):
        one.update(PARAMS, two.init(PARAMS), PARAMS)


# ----------------------------------------------------------------------------------------------------------- nested


def test_they_nest_and_are_walked_through():
    tx = gc.switch(
        gc.parallel(gc.scale_by_adam(), gc.scale_by_sign()),
        at=2,
        then=gc.apply_when(every_third, gc.scale_by_adam()),
        carry=("mu",),
    )
    params, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    updates, _, state = samples.compiled_run(tx, params, grads)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((updates, state)))
    names = [part.name for part in walk(tx, state)]
    assert "switch/first/parallel/scale_by_adam/scale_by_adam" in names
    assert "switch/then/apply_when/inner/scale_by_adam" in names


# ----------------------------------------------------------------------------------------------------- random trees


def go(tx, params, seeds):
    """The updates of gradients drawn from seeds, at parameters that stay, and the last state."""
    state, made = tx.init(params), []
    for seed in seeds:
        u, state = tx.update(other_like(params, seed), state, params)
        made.append(u)
    return made, state


@few
@given(trees, st.integers(0, 3))
@jax.disable_jit()
def test_a_switch_with_all_slots_is_no_interruption(tree, at):
    tx = gc.switch(gc.scale_by_adam(), at=at, then=gc.scale_by_adam(), carry=("mu", "nu", "count"))
    assert_identical(go(tx, tree, range(3))[0], go(gc.scale_by_adam(), tree, range(3))[0])


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
        assert_identical(jax.tree.map(jnp.abs, go(tx, tree, range(2))[0]), jax.tree.map(jnp.abs, alone))
