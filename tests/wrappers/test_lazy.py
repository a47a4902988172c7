"""Rows without a gradient rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.laws import user_transforms

P = {"bias": jnp.ones(3), "table": jnp.ones((4, 2)), "deep": jnp.ones((3, 2, 2))}
G = {
    "bias": jnp.array([1.0, 0.0, 2.0]),
    "table": jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 3.0], [0.0, 0.0]]),
    "deep": jnp.zeros((3, 2, 2)).at[1, 1, 0].set(1.0),
}
RESTS = {"table": np.array([1, 3]), "deep": np.array([0, 2])}


@pytest.mark.parametrize(
    "inner",
    [
        gc.adamw(0.1),
        gc.sgd(0.1, 0.9),
        user_transforms.average_recent(0.5, 0.1),
        gc.chain(gc.clip(1.0), gc.adagrad(0.1, 0.0)),
    ],
)
def test_resting_rows_keep_their_slots_and_have_no_update(inner):
    tx = gc.lazy_rows(inner)
    everywhere = jax.tree.map(jnp.ones_like, G)
    _, before = tx.update(everywhere, tx.init(P), P)
    updates, after = tx.update(G, before, P)
    expected, expected_state = inner.update(G, before["lazy_rows"]["inner"], P)
    for name, rows in RESTS.items():
        others = np.setdiff1d(np.arange(len(P[name])), rows)
        np.testing.assert_array_equal(updates[name][rows], 0.0)
        np.testing.assert_allclose(updates[name][others], expected[name][others], rtol=1e-6)
        is_its = lambda path, name=name: any(getattr(key, "key", None) == name for key in path)
        leaves = lambda state, is_its=is_its: [
            x for path, x in jax.tree_util.tree_leaves_with_path(state) if is_its(path)
        ]
        states = (leaves(before), leaves(after), leaves({"lazy_rows": {"inner": expected_state}}))
        for old, new, eager in zip(*states, strict=True):
            rows_of = lambda x, which, name=name: np.take(
                np.asarray(x), which, axis=x.ndim - P[name].ndim
            )
            np.testing.assert_array_equal(rows_of(new, rows), rows_of(old, rows))
            np.testing.assert_allclose(rows_of(new, others), rows_of(eager, others), rtol=1e-6)
    np.testing.assert_allclose(updates["bias"], expected["bias"], rtol=1e-6)


def test_the_step_counts_all_updates():
    tx = gc.lazy_rows(gc.scale_by_adam())
    state = tx.init(P)
    for _ in range(3):
        _, state = tx.update(jax.tree.map(jnp.zeros_like, G), state, P)
    assert state["lazy_rows"]["inner"]["scale_by_adam"]["count"] == 3


def test_a_bare_array_and_tuples_have_rows_too():
    tx = gc.lazy_rows(gc.add_momentum(0.5))
    table, rest = G["table"], P["table"]
    for tree in (table, (table, G["bias"]), [table, {"deep": G["deep"]}]):
        _, state = tx.update(jax.tree.map(jnp.ones_like, tree), tx.init(tree))
        updates, state = tx.update(tree, state)
        first, kept = jax.tree.leaves(updates)[0], jax.tree.leaves(state)[0]
        np.testing.assert_array_equal(first[1], 0.0)
        np.testing.assert_array_equal(kept[1], rest[1])


def test_a_row_whose_gradient_is_not_a_number_does_not_rest():
    tx, g = gc.lazy_rows(gc.scale(1.0)), jnp.array([[0.0, jnp.nan], [0.0, 0.0]])
    np.testing.assert_array_equal(
        tx.update(g, tx.init(g))[0], np.array([[0.0, np.nan], [0.0, 0.0]])
    )


def test_what_looks_at_more_than_one_element_is_refused():
    with pytest.raises(ValueError, match=r"lazy_rows: .* \(its locality is 'tree'\)"):
        gc.lazy_rows(gc.chain(gc.clip_by_global_norm(1.0), gc.adam(0.1))).init(P)
