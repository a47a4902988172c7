"""A switch: what is kept, what is handed over, and what is refused."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given

import gradchain as gc
from tests.laws.samples import assert_close, assert_identical
from tests.support.control_flow import GRADS, PARAMS, go, steps
from tests.support.random_trees import few, trees


def test_a_switch_to_the_same_with_all_slots_changes_nothing():
    carry = ("mu", "nu", "count")
    made, state = steps(
        gc.switch(gc.adam(0.1), at=3, then=gc.adamw(0.1, weight_decay=0.0), carry=carry)
    )
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
        gc.chain(
            gc.clip(1.0),
            gc.tunable(gc.groups([("head", gc.lookahead(gc.adam(0.1), 1))], default=gc.freeze())),
        ),
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
    assert_close(
        tx.update(PARAMS, state, PARAMS)[0], jax.tree.map(lambda p: -2.0 * p, PARAMS), 1e-6
    )


def test_a_slot_is_handed_over_under_another_name():
    made, state = steps(
        gc.switch(
            gc.scale_by_adam(0.8), at=2, then=gc.add_momentum(0.5), carry={"mu": "momentum"}
        )
    )
    _, before = steps(gc.scale_by_adam(0.8), GRADS[:2])
    mu = before["scale_by_adam"]["mu"]
    assert_close(made[2], jax.tree.map(lambda m, g: 0.5 * m + g, mu, GRADS[2]), 1e-6)
    assert_identical(state["switch"]["first"], before)


@pytest.mark.parametrize("at", [0, 100])
def test_the_change_may_be_at_once_or_never(at):
    made, _ = steps(
        gc.switch(gc.adam(0.1), at=at, then=gc.sgd(0.1, 0.9), carry={"mu": "momentum"})
    )
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
        ValueError,
        match="which of 'groups/adam_2/scale_by_adam/mu', 'groups/adam/scale_by_adam/mu' in",
    ):
        gc.switch(parted, at=1, then=whole, carry=("mu",)).init(PARAMS)
    _, state = steps(
        gc.switch(parted, at=1, then=parted.replace(default=gc.adam(0.2)), carry=("mu", "count")),
        GRADS[:2],
    )
    assert int(state["switch"]["then"]["groups"]["adam_2"]["scale_by_adam"]["count"]) == 2


def test_a_leaf_that_was_frozen_starts_anew():
    tx = gc.switch(
        gc.chain(gc.freeze("trunk"), gc.adam(0.1)),
        at=2,
        then=gc.adam(0.1),
        carry=("mu", "nu", "count"),
    )
    assert not tx.freezes
    made, state = steps(tx, GRADS[:3])
    assert all(bool(jnp.all(u["trunk"] == 0)) for u in made[:2])
    expected, _ = steps(gc.adam(0.1), [{**g, "trunk": None} for g in GRADS[:3]])
    assert_identical([u["head"] for u in made], [u["head"] for u in expected])
    np.testing.assert_allclose(
        state["switch"]["then"]["scale_by_adam"]["mu"]["trunk"],
        0.1 * GRADS[2]["trunk"],
        rtol=1e-5,
    )


def test_a_slot_keeps_the_precision_of_its_new_place():
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    grads = [jax.tree.map(lambda x: x.astype(jnp.bfloat16), g) for g in GRADS]
    _, state = steps(
        gc.switch(gc.scale_by_adam(), at=1, then=gc.scale_by_adam(), carry=("mu",)), grads, params
    )
    assert state["switch"]["then"]["scale_by_adam"]["mu"]["head"].dtype == jnp.float32


def test_a_foreign_pair_may_come_first_or_last():
    for tx in (
        gc.switch(optax.sgd(0.1), at=1, then=gc.sgd(0.2)),
        gc.switch(gc.sgd(0.1), at=1, then=optax.sgd(0.2)),
    ):
        made, _ = steps(tx, GRADS[:2])
        assert_close(
            made,
            [
                jax.tree.map(lambda g: -0.1 * g, GRADS[0]),
                jax.tree.map(lambda g: -0.2 * g, GRADS[1]),
            ],
            1e-6,
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
        (
            gc.sgd(0.1),
            gc.adam(0.1),
            ("mu",),
            r"'first' has no slot 'mu'.* carry=\{'mu': 'momentum'\}",
        ),
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
            (
                "which of 'add_momentum/momentum', 'add_momentum_2/momentum' in 'first' is for "
                "'a/momentum'"
            ),
        ),
    ],
)
def test_what_cannot_be_carried_is_refused_by_init(first, then, carry, match):
    with pytest.raises(ValueError, match=match):
        gc.switch(first, at=1, then=then, carry=carry).init(PARAMS)


@pytest.mark.parametrize(
    ("at", "kind", "match"),
    [(-1, ValueError, "0 or more, not -1"), (2.5, TypeError, "an integer, not 2.5")],
)
def test_the_step_of_a_switch_can_be_reached(at, kind, match):
    with pytest.raises(kind, match=f"switch: at must be {match}"):
        gc.switch(gc.sgd(0.1), at=at, then=gc.sgd(0.1)).init(PARAMS)


def test_one_slot_to_carry_needs_no_tuple():
    one, same = (
        gc.switch(gc.scale_by_adam(), 2, gc.scale_by_adam(), carry) for carry in ("mu", ("mu",))
    )
    assert_identical(steps(one)[0], steps(same)[0])


@few
@given(trees, st.integers(0, 3))
@jax.disable_jit()
def test_a_switch_with_all_slots_is_no_interruption(tree, at):
    tx = gc.switch(
        gc.scale_by_adam(), at=at, then=gc.scale_by_adam(), carry=("mu", "nu", "count")
    )
    assert_identical(go(tx, tree, range(3))[0], go(gc.scale_by_adam(), tree, range(3))[0])
