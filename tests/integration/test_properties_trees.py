"""Properties of plain functions on trees, for random trees: maps, products, choices, noise, weights
to evaluate.
"""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import gradchain as gc
from gradchain.tree.selecting import keep_leaves, merge
from tests.laws.samples import assert_identical, assert_same_type, named
from tests.support.random_trees import few, flat, full_trees, other_like, trees

pytestmark = pytest.mark.usefixtures("without_jit")


def traced(function, *args):
    """``function`` as inside ``jit``: traced, and what comes out of that evaluated one operation
    after another.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    out = jax.core.eval_jaxpr(closed.jaxpr, closed.consts, *jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(shape), out)


# -------------------------------------------------------------------------------- maps and products


@few
@given(trees, st.sampled_from([lambda f, *args: f(*args), traced]))
def test_map_leaves_is_the_map_of_jax(tree, run):
    factor = jnp.float32(3.0)
    fun = lambda x, y: x * factor.astype(x.dtype) - y
    other = other_like(tree)
    assert_identical(
        run(lambda a, b: gc.tree.map_leaves(fun, a, b), tree, other),
        jax.tree.map(fun, tree, other),
    )


@few
@given(trees, st.sampled_from([lambda f, *args: f(*args), traced]))
def test_map_leaves_of_a_function_with_two_results_gives_two_trees(tree, run):
    made = run(lambda a: gc.tree.map_leaves(lambda x: (x + x, jnp.sum(x.real)), a), tree)
    if jax.tree.leaves(tree):
        doubled, sums = made
        assert_identical(doubled, jax.tree.map(lambda x: x + x, tree))
        assert_identical(sums, jax.tree.map(lambda x: jnp.sum(x.real), tree))


@few
@given(trees, st.data())
def test_map_leaves_gives_none_for_holes_of_the_others(tree, data):
    mask = jax.tree.map(lambda x: data.draw(st.booleans()), tree)
    fun = lambda x, y: x if y is None else y - x
    holes = jax.tree.map(lambda keep, x: x + x if keep else None, mask, tree)
    expected = jax.tree.map(lambda keep, x: fun(x, x + x if keep else None), mask, tree)
    assert_identical(gc.tree.map_leaves(fun, tree, holes), expected)


@few
@given(full_trees)
def test_dot_is_that_of_numpy(tree):
    other = other_like(tree)
    a, b = flat(tree), flat(other)
    product = gc.tree.dot(tree, other)
    assert product.shape == ()
    assert product.dtype == jnp.float32
    np.testing.assert_allclose(
        product, np.vdot(a, b).real, rtol=1e-5, atol=1e-6 * np.sum(np.abs(a * b))
    )
    np.testing.assert_allclose(
        gc.tree.dot(other, tree), product, rtol=1e-6, atol=1e-6 * np.sum(np.abs(a * b))
    )
    np.testing.assert_allclose(gc.tree.dot(tree, tree), gc.global_norm(tree) ** 2, rtol=1e-6)


# ------------------------------------------------------------------------------------------ choices


@few
@given(trees, st.data())
def test_a_tree_is_put_together_again_from_what_is_chosen_and_the_rest(tree, data):
    mask = jax.tree.map(lambda x: data.draw(st.booleans()), tree)
    rest = jax.tree.map(lambda chosen: not chosen, mask)
    assert gc.select(mask, tree) == mask
    chosen, others = keep_leaves(mask, tree), keep_leaves(rest, tree)
    assert len(jax.tree.leaves(chosen)) == sum(jax.tree.leaves(mask))
    assert_identical(merge(mask, chosen, others), tree)
    assert_identical(merge(mask, others, chosen), jax.tree.map(lambda _: None, tree))


@few
@given(trees, st.data())
def test_a_mask_may_be_a_prefix(tree, data):
    """A bool for a whole branch stands for all its leaves."""
    branches = lambda x: x is not tree and x is not None
    prefix = jax.tree.map(lambda x: data.draw(st.booleans()), tree, is_leaf=branches)
    expected = jax.tree.map(lambda top, branch: jax.tree.map(lambda _: top, branch), prefix, tree)
    assert gc.select(prefix, tree) == expected


# -------------------------------------------------------------------------------------------- noise


@few
@given(trees, st.integers(0, 9))
def test_noise_has_the_form_of_its_tree_and_depends_on_paths_alone(tree, seed):
    key = jax.random.key(seed)
    noise = gc.tree.normal_like(key, tree)
    assert_same_type(noise, tree)
    assert all(np.all(np.isfinite(x)) for x in named(noise).values())
    assert_identical(gc.tree.normal_like(key, jax.tree.map(jnp.zeros_like, tree)), noise)
    # The same paths without the containers, in another order, and some leaves missing.
    leaves = dict(zip(named(tree), jax.tree.leaves(tree), strict=True))
    few_leaves = {path: leaves[path] for path in sorted(leaves)[::2]}
    if "" not in leaves:
        some = gc.tree.normal_like(key, few_leaves)
        assert_identical(
            some, {k: x for k, x in zip(leaves, jax.tree.leaves(noise), strict=True) if k in some}
        )
    numbers = flat(noise)
    assert len(np.unique(numbers)) == len(numbers) or any(
        x.dtype.itemsize == 2 for x in leaves.values()
    )


def test_noise_has_variance_one_in_each_dtype():
    shapes = {
        "a": jnp.zeros(4000),
        "b": jnp.zeros(4000, jnp.complex64),
        "c": jnp.zeros((40, 100), jnp.bfloat16),
    }
    for x in named(gc.tree.normal_like(jax.random.key(0), shapes)).values():
        np.testing.assert_allclose(np.mean(np.abs(x) ** 2), 1.0, atol=0.07)
        np.testing.assert_allclose(np.mean(x), 0.0, atol=0.07)
        if np.iscomplexobj(x):
            np.testing.assert_allclose([np.var(x.real), np.var(x.imag)], 0.5, atol=0.04)


# ------------------------------------------------------------------------------ weights to evaluate

AVERAGES = {
    "equal": lambda inner: gc.average_weights(inner),
    "moving": lambda inner: gc.average_weights(inner, 0.9),
    "late": lambda inner: gc.average_weights(inner, start=2, every=2),
    "lookahead": lambda inner: gc.lookahead(inner, sync_period=2),
    "schedule_free": lambda inner: gc.schedule_free(inner, 0.1),
}


def within(name, averaged, others, mask):
    """``averaged`` on the leaves of ``mask``, in one of the ways to say so, and ``others`` on the
    rest.
    """
    labels = jax.tree.map(lambda chosen: "yes" if chosen else "no", mask)
    return {
        "chain": lambda: gc.chain(gc.clip(1.0), averaged),
        "masked": lambda: gc.masked(averaged, mask, others),
        "partition": lambda: gc.partition({"yes": averaged, "no": others}, labels),
    }[name]()


@few
@given(
    trees,
    st.sampled_from(sorted(AVERAGES)),
    st.sampled_from(["chain", "masked", "partition"]),
    st.data(),
)
def test_weights_to_evaluate_have_the_form_of_the_parameters(params, name, where, data):
    mask = jax.tree.map(lambda x: where == "chain" or data.draw(st.booleans()), params)
    tx = within(where, AVERAGES[name](gc.sgd(0.1)), gc.sgd(0.1), mask)
    start, state = params, tx.init(params)
    for step in range(3):
        params, state = tx.step(other_like(start, step), state, params)
        found = gc.eval_params(state, params)
        assert_same_type(found, start)
        for own, x, y in zip(*map(jax.tree.leaves, (mask, found, params)), strict=True):
            eps = float(jnp.finfo(x.dtype).eps)
            if not own:
                assert_identical(x, y)
            elif step == 0 and name in ("equal", "moving", "schedule_free"):  # an average of one
                np.testing.assert_allclose(
                    named(x)[""], named(y)[""], rtol=2 * eps, atol=1e-4 * eps
                )
