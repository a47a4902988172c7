"""Properties of transformations of the table, alone, in chains, groups and wrappers, for random
trees.
"""

import json

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings

import gradchain as gc
from gradchain.core.factory import FACTORIES
from tests.laws import samples
from tests.laws.laws import NAMES
from tests.laws.samples import assert_identical, assert_same_type, named
from tests.laws.table import FOR_ANY_TREE, ROWS
from tests.support.random_trees import few, other_like, own_leaves, random_mask, trees

pytestmark = pytest.mark.usefixtures("without_jit")
fewer = settings(few, max_examples=20)

is_elementwise = lambda row: row.make().locality == "element"
has_text = lambda row: "survives_json" not in row.reasons


def run(tx, params, extra, steps=2):
    """Updates and states of a few steps, each checked for its form."""
    state, made = tx.init(params), []
    for step in range(steps):
        grads = other_like(params, step)
        updates, new = tx.update(grads, state, params, **extra)
        assert_same_type(updates, grads)
        assert_same_type(new, state)
        assert all(np.all(np.isfinite(x)) for x in named((updates, new)).values())
        params, state = (
            gc.apply_updates(params, jax.tree.map(lambda u: (0.1 * u).astype(u.dtype), updates)),
            new,
        )
        made.append(updates)
    return made, state


@few
@given(st.sampled_from(FOR_ANY_TREE), trees)
def test_a_transformation_takes_any_tree(row, params):
    run(row.make(), params, row.extra)


@fewer
@given(st.lists(st.sampled_from(FOR_ANY_TREE), min_size=2, max_size=4), trees)
def test_a_chain_is_its_members_one_after_another(members, params):
    tx = gc.chain(*(row.make() for row in members))
    extra = {k: v for row in members for k, v in row.extra.items()}
    params = jax.tree.map(
        lambda x: x.astype(jnp.complex64 if jnp.iscomplexobj(x) else jnp.float32), params
    )
    made, _ = run(tx, params, extra, steps=1)
    updates = other_like(params, 0)
    for row in members:  # in float32 nothing is lost between them
        updates, _ = row.make().update(updates, row.make().init(params), params, **row.extra)
    assert_identical(made[0], updates)


@fewer
@given(
    st.lists(
        st.sampled_from([row for row in FOR_ANY_TREE if has_text(row)]), min_size=2, max_size=4
    )
)
def test_a_chain_prints_as_its_recipe_and_survives_json(members):
    tx = gc.chain(*(row.make() for row in members)).named("all")
    assert eval(repr(tx), NAMES) == tx
    assert gc.from_config(json.loads(json.dumps(gc.to_config(tx), allow_nan=False))) == tx


# ------------------------------------------------------------------------------------------- groups


@few
@given(st.sampled_from(FOR_ANY_TREE), st.sampled_from(FOR_ANY_TREE), trees, st.data())
def test_each_group_is_as_if_it_were_alone(first, second, params, data):
    mask = random_mask(data, params)
    rest = jax.tree.map(lambda chosen: not chosen, mask)
    labels = jax.tree.map(lambda chosen: "yes" if chosen else "no", mask)
    members, extra, grads = (
        {"yes": first.make(), "no": second.make()},
        first.extra | second.extra,
        other_like(params),
    )
    ways = [gc.partition(members, labels)]
    if "scale_by_learning_rate" not in members["yes"].members:
        ways.append(gc.masked(members["yes"], mask, members["no"]))
    for tx in ways:
        state = tx.init(params)
        made, new = tx.update(grads, state, params, **extra)
        assert_same_type(made, grads)
        assert_same_type(new, state)
        for row, chosen in ((first, mask), (second, rest)):
            alone, p = row.make(), own_leaves(chosen, params)
            expected, _ = alone.update(own_leaves(chosen, grads), alone.init(p), p, **row.extra)
            assert_identical(own_leaves(chosen, made), expected)


# --------------------------------------------------------------------------------------------- rows


def slots_of(state, params):
    """The parts of a state that are a tree like the parameters, leaf by leaf of the same shape."""
    structure, shapes = jax.tree.structure(params), [x.shape for x in jax.tree.leaves(params)]
    if (
        jax.tree.structure(state) == structure
        and [x.shape for x in jax.tree.leaves(state)] == shapes
    ):
        return [state]
    return (
        [slot for _, part in sorted(state.items()) for slot in slots_of(part, params)]
        if isinstance(state, dict)
        else []
    )


@few
@given(
    st.sampled_from([row for row in FOR_ANY_TREE if is_elementwise(row)]),
    trees,
    st.integers(0, 99),
)
def test_rows_without_a_gradient_rest(row, params, seed):
    assume(
        isinstance(params, dict | list | tuple)
    )  # else every slot of one number looks like the parameter
    inner, tx = row.make(), gc.lazy_rows(row.make())
    rng = np.random.default_rng(seed)
    awake = jax.tree.map(
        lambda x: rng.random((*x.shape[:1], *[1] * (x.ndim - 1))) < 0.5 if x.ndim > 1 else True,
        params,
    )
    state, alone = tx.init(params), inner.init(params)
    for step in range(2):
        full = jax.tree.map(lambda x: x + jnp.ones_like(x), other_like(params, step))
        grads = jax.tree.map(lambda x, on: jnp.where(on, x, jnp.zeros_like(x)), full, awake)
        made, new = tx.update(grads, state, params, **row.extra)
        expected, alone = inner.update(grads, alone, params, **row.extra)
        for u, e, on in zip(*map(jax.tree.leaves, (made, expected, awake)), strict=True):
            assert_identical(u, jnp.where(on, e, jnp.zeros_like(e)))
        before, after = (
            slots_of(s["lazy_rows"]["inner"], params) if s else [] for s in (state, new)
        )
        for was, now in zip(before, after, strict=True):
            for old, kept, on in zip(*map(jax.tree.leaves, (was, now, awake)), strict=True):
                assert_identical(
                    jnp.where(on, jnp.zeros_like(kept), kept),
                    jnp.where(on, jnp.zeros_like(old), old),
                )
        state = new


# ------------------------------------------------------------------------------------------ choices

has_where = lambda row: "where" in FACTORIES[row.name.split("-")[0]].signature.parameters
with_where = [
    row for row in ROWS if has_where(row) and row.name != "project-rows"
]  # not of leaves without rows


@pytest.mark.rotated(4)
@pytest.mark.parametrize("row", with_where, ids=[row.name for row in with_where])
def test_where_says_which_leaves_a_transformation_is_for(row):
    params = samples.params(jnp.float32)
    is_matrix, tx = jax.tree.map(lambda x: x.ndim > 1, params), row.make()
    decays = [
        k
        for k in ("weight_decay", "weight_decay_rate")
        if k in tx.arguments and not tx.arguments[k]
    ]
    tx = tx.replace(**dict.fromkeys(decays, 0.1))
    none, matrices, everything = (
        run(tx.replace(where=where), params, row.extra)[0]
        for where in ("nothing", is_matrix, None)
    )
    differs = jax.tree.map(lambda x, y: bool(jnp.any(x != y)), none, everything)
    if tx.locality == "tree":  # what is done to one leaf is felt by all
        assert any(jax.tree.leaves(differs))
        assert any(
            np.any(x != y)
            for x, y in zip(*map(jax.tree.leaves, (matrices, everything)), strict=True)
        )
        return
    for chosen, if_chosen in ((False, none), (True, everything)):
        mask = [jax.tree.map(lambda x, chosen=chosen: x == chosen, is_matrix)] * len(none)
        if chosen or tx.locality != "matrix":  # methods for matrices leave vectors as they are
            assert any(jax.tree.leaves(own_leaves(mask, differs)))
        assert_identical(own_leaves(mask, matrices), own_leaves(mask, if_chosen))
