"""Functions on trees: selections, holes, one trace per type, random numbers by path."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

TREE = {"dense": {"bias": jnp.ones(3), "kernel": 2.0 * jnp.ones((3, 2))}, "hole": None}


@pytest.mark.parametrize(
    "where",
    [
        "*/kernel",
        re.compile("kern.l$"),
        gc.ndim_at_least(2),
        lambda path, leaf: path.endswith("kernel"),
        {"dense": {"bias": False, "kernel": True}, "hole": None},
        gc.tree.OfTree(lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    ],
    ids=["glob", "expression", "selection", "function", "tree", "function of the tree"],
)
def test_a_selection_is_written_in_six_ways(where):
    assert gc.select(where, TREE) == {"dense": {"bias": False, "kernel": True}, "hole": None}
    tx = gc.add_decayed_weights(0.5, where)
    updates, _ = tx.update(TREE, tx.init(TREE), TREE)
    np.testing.assert_allclose(updates["dense"]["bias"], 1.0)
    np.testing.assert_allclose(updates["dense"]["kernel"], 3.0)


def test_a_selection_may_be_a_prefix_and_what_does_not_fit_is_named():
    assert gc.select({"dense": True, "hole": None}, TREE)["dense"] == {"bias": True, "kernel": True}
    with pytest.raises(
        ValueError, match="select: the tree of bools does not fit the tree of parameters"
    ):
        gc.select({"dense": True, "other": False}, TREE)


def test_map_leaves_traces_once_for_each_type():
    traces = []

    def double(x, y):
        traces.append(x.shape)
        return 2 * x, x + y

    tree = {f"layer_{i}": jnp.full((2, 3), float(i)) for i in range(40)} | {
        "bias": jnp.ones(3),
        "hole": None,
    }
    twice, summed = jax.jit(lambda tree: gc.tree.map_leaves(double, tree, tree))(tree)
    assert sorted(traces) == [(2, 3), (3,)]
    np.testing.assert_allclose(twice["layer_7"], 14.0)
    np.testing.assert_allclose(summed["bias"], 2.0)
    assert twice["hole"] is None


def test_map_leaves_takes_trees_with_further_holes():
    other = {"dense": {"bias": None, "kernel": TREE["dense"]["kernel"]}, "hole": None}
    made = gc.tree.map_leaves(lambda x, y: x if y is None else x + y, TREE, other)
    np.testing.assert_allclose(made["dense"]["bias"], 1.0)
    np.testing.assert_allclose(made["dense"]["kernel"], 4.0)


def test_inner_products_and_norms_of_complex_trees_are_real():
    a, b = {"x": jnp.array([1 + 2j])}, {"x": jnp.array([3 - 1j])}
    np.testing.assert_allclose(gc.tree.dot(a, b), 1.0)
    np.testing.assert_allclose(gc.global_norm(a), 5**0.5, rtol=1e-6)
    assert gc.tree.dot({}, {}) == 0.0 == gc.global_norm({})


def test_random_numbers_depend_on_the_path_alone():
    key = jax.random.key(0)
    all_of_them = gc.tree.normal_like(key, TREE)
    some = gc.tree.normal_like(
        key, {"dense": {"kernel": TREE["dense"]["kernel"].astype(jnp.bfloat16)}}
    )
    np.testing.assert_allclose(
        some["dense"]["kernel"], all_of_them["dense"]["kernel"].astype(jnp.bfloat16)
    )
    assert all_of_them["hole"] is None
    draw = gc.tree.normal_like(key, {"x": jnp.zeros(4000, jnp.complex64)})["x"]
    np.testing.assert_allclose(jnp.mean(jnp.abs(draw) ** 2), 1.0, atol=0.1)


def test_updates_are_added_in_float32_and_rounded_once():
    params = {"w": jnp.ones(2, jnp.bfloat16)}
    updates = {"w": jnp.full(2, 2.0**-9 + 2.0**-16, jnp.float32)}
    with jax.numpy_dtype_promotion("standard"):
        np.testing.assert_array_equal(
            gc.apply_updates(params, updates)["w"], (1 + updates["w"]).astype(jnp.bfloat16)
        )


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.complex64])
def test_one_number_that_is_not_finite_is_found(value, dtype):
    tree = {
        "a": jnp.ones((3, 4), dtype),
        "none": jnp.zeros((0,), dtype),
        "scalar": jnp.ones((), dtype),
        "hole": None,
    }
    assert gc.tree.all_finite(tree)
    assert not gc.tree.all_finite(tree | {"a": tree["a"].at[1, 2].set(value)})
    assert not gc.tree.all_finite(tree | {"scalar": jnp.full((), value, dtype)})


def test_an_imaginary_part_that_is_not_finite_is_found_and_a_large_number_is_finite():
    assert not gc.tree.all_finite(jax.lax.complex(jnp.ones(2), jnp.array([0.0, jnp.nan])))
    assert gc.tree.all_finite(
        jax.lax.complex(jnp.full(2, 3e38), jnp.full(2, 3e38))
    )  # whose magnitude is not
    assert gc.tree.all_finite({}) and gc.tree.all_finite(None)
