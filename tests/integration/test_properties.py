"""Properties of functions on trees, for random trees with holes, scalars and leaves of size
zero.
"""

import fnmatch

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import gradchain as gc
from tests.laws.samples import assert_identical, assert_same_type, named
from tests.support.random_trees import few, other_like, trees

pytestmark = pytest.mark.usefixtures("without_jit")


transformations = st.sampled_from(
    [
        gc.adamw(0.1, where="*kernel*"),
        gc.chain(
            gc.clip_by_global_norm(1.0),
            gc.sgd(gc.linear_schedule(0.0, 1.0, 3), 0.9, nesterov=True),
        ),
        gc.masked(gc.scale_by_rms(), gc.ndim_at_least(2), gc.scale_by_rss()),
        gc.partition(
            {"0": gc.adam(0.1), "1": gc.scale_by_adam(), "2": gc.clip(1.0)},
            lambda path, x: str(min(x.ndim, 2)),
        ),
    ]
)


# A random tree has not always the names that are chosen by.
@pytest.mark.filterwarnings("ignore::gradchain.core.idle.IdlePatternWarning")
@few
@given(transformations, trees)
def test_structure_shapes_and_dtypes_are_kept(tx, params):
    state = tx.init(params)
    grads = params
    for _ in range(2):
        updates, new_state = tx.update(grads, state, params)
        assert_same_type(updates, grads)
        assert_same_type(new_state, state)
        params, state = gc.apply_updates(params, updates), new_state
        assert_same_type(params, grads)
        assert all(np.all(np.isfinite(x)) for x in named((params, state)).values())


@few
@given(trees)
def test_updates_are_added_and_rounded_once(params):
    rng = np.random.default_rng(0)
    updates = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), p.dtype), params)
    expected = jax.tree.map(
        lambda p, u: (named(p)[""] + named(u)[""]).astype(p.dtype), params, updates
    )
    new = gc.apply_updates(params, updates)
    assert_same_type(new, params)
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(expected), strict=True):
        # The sum of two numbers of 24 bits may be rounded to float32 before it is rounded to its
        # dtype.
        np.testing.assert_allclose(
            named(a)[""], named(b)[""], rtol=float(jnp.finfo(a.dtype).eps), atol=0
        )


@few
@given(trees)
def test_updates_that_are_wider_than_parameters_are_not_rounded_before(params):
    rng, wide = (
        np.random.default_rng(0),
        lambda p: jnp.complex64 if jnp.iscomplexobj(p) else jnp.float32,
    )
    params = other_like(params)
    updates = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), wide(p)), params)
    expected = jax.tree.map(lambda p, u: (p.astype(u.dtype) + u).astype(p.dtype), params, updates)
    assert_identical(gc.apply_updates(params, updates), expected)


@few
@given(trees)
def test_global_norm_is_that_of_numpy(tree):
    everything = np.concatenate([np.zeros(0), *(x.ravel() for x in named(tree).values())])
    result = gc.global_norm(tree)
    assert result.shape == ()
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, np.linalg.norm(everything), rtol=1e-6)


@few
@given(trees, st.floats(0.01, 100))
def test_clip_by_global_norm_bounds_the_norm_and_keeps_the_direction(tree, max_norm):
    tx = gc.clip_by_global_norm(max_norm)
    clipped, _ = tx.update(tree, tx.init(tree))
    before, after = named(tree), named(clipped)
    length = np.linalg.norm(np.concatenate([np.zeros(0), *(x.ravel() for x in before.values())]))
    factor = min(1.0, max_norm / length) if length else 1.0
    for (name, x), leaf in zip(after.items(), jax.tree.leaves(clipped), strict=True):
        info = jnp.finfo(leaf.dtype)
        tolerance = dict(rtol=float(info.eps) + 1e-6, atol=float(info.smallest_subnormal))
        np.testing.assert_allclose(x, factor * before[name], **tolerance)


@few
@given(trees, st.sampled_from(["*kernel", "*/0*", "a*", "*", "nothing"]))
def test_select_by_glob_matches_paths(tree, glob):
    chosen = gc.select(glob, tree)
    assert jax.tree.structure(chosen) == jax.tree.structure(tree)
    assert {k: bool(v) for k, v in named(chosen).items()} == {
        k: fnmatch.fnmatchcase(k, glob) for k in named(tree)
    }


@few
@given(trees)
def test_select_by_function_by_tree_and_of_all(tree):
    is_matrix = jax.tree.map(lambda x: x.ndim >= 2, tree)
    assert gc.select(gc.ndim_at_least(2), tree) == is_matrix
    assert gc.select(lambda path, x: x.ndim >= 2, tree) == is_matrix
    assert gc.select(is_matrix, tree) == is_matrix
    everything = jax.tree.map(lambda x: True, tree)
    assert gc.select(None, tree) == gc.select(True, tree) == everything


@few
@given(trees, st.sampled_from([None, gc.identity(), gc.freeze()]))
def test_masked_applies_to_the_selected_leaves_only(tree, others):
    tx = gc.masked(gc.scale(-2.0), gc.ndim_at_least(2), others)
    state = tx.init(tree)
    updates, new_state = tx.update(tree, state)
    assert_same_type(new_state, state)
    rest = 0.0 if others == gc.freeze() else 1.0
    expected = jax.tree.map(lambda x: x * (-2.0 if x.ndim >= 2 else rest), tree)
    assert_same_type(updates, tree)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True)
    )


@few
@given(trees)
def test_masked_keeps_slots_of_the_selected_leaves_only(tree):
    state = gc.masked(gc.add_momentum(), gc.ndim_at_least(2)).init(tree)
    slots = jax.tree.leaves(state)
    assert [x.shape for x in slots] == [x.shape for x in jax.tree.leaves(tree) if x.ndim >= 2]


@few
@given(trees)
def test_partition_gives_each_leaf_to_its_group(tree):
    factors = {"scalars": 2.0, "vectors": -1.0, "rest": 0.5}
    label = lambda path, x: {0: "scalars", 1: "vectors"}.get(x.ndim, "rest")
    labels = jax.tree.map(lambda x: label("", x), tree)
    expected = jax.tree.map(lambda x, name: x * factors[name], tree, labels)
    for param_labels in (label, labels):
        tx = gc.partition(
            {name: gc.scale(factor) for name, factor in factors.items()}, param_labels
        )
        updates, _ = tx.update(tree, tx.init(tree), tree)
        assert_same_type(updates, tree)
        assert all(
            np.array_equal(a, b)
            for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True)
        )
