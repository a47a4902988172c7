"""Properties of projections of whole trees, for random trees."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from gradchain import projections
from tests.laws.samples import assert_same_type
from tests.support.random_trees import few, flat, full_trees, other_like

pytestmark = pytest.mark.usefixtures("without_jit", "as_users_have_it")


@pytest.fixture(scope="module")
def as_users_have_it():
    with jax.numpy_dtype_promotion("standard"):
        yield


PROJECTIONS = {
    "non_negative": projections.projection_non_negative,
    "box": lambda x: projections.projection_box(x, -0.5, 0.25),
    "hypercube": lambda x: projections.projection_hypercube(x, 2.0),
    "simplex": lambda x: projections.projection_simplex(x, 1.5),
    "l1_sphere": lambda x: projections.projection_l1_sphere(x, 1.5),
    "l1_ball": lambda x: projections.projection_l1_ball(x, 1.5),
    "l2_sphere": lambda x: projections.projection_l2_sphere(x, 0.7),
    "l2_ball": lambda x: projections.projection_l2_ball(x, 0.7),
    "linf_ball": lambda x: projections.projection_linf_ball(x, 0.7),
    "vector": lambda x: projections.projection_vector(x, other_like(x)),
    "hyperplane": lambda x: projections.projection_hyperplane(x, other_like(x), 1.0),
    "halfspace": lambda x: projections.projection_halfspace(x, other_like(x), 0.5),
}


@few
@given(full_trees, st.sampled_from(sorted(PROJECTIONS)))
def test_a_projection_keeps_the_form_of_a_tree_and_stands_where_it_is(tree, name):
    onto = PROJECTIONS[name]
    there = onto(tree)
    assert_same_type(there, tree)
    # A distance to a plane is a difference of numbers as large as those of the tree.
    tolerance = 1e-5 * (1 + np.max(np.abs(flat(tree)), initial=0.0))
    np.testing.assert_allclose(flat(onto(there)), flat(there), atol=tolerance)


@few
@given(full_trees, st.sampled_from(["simplex", "l1_sphere", "l1_ball", "l2_sphere", "l2_ball"]))
def test_a_projection_of_a_tree_is_that_of_one_long_vector(tree, name):
    numbers = flat(tree)
    if not numbers.size:
        return
    if name == "simplex" and np.iscomplexobj(numbers):  # where they count as their two parts
        tree = jax.tree.map(lambda x: (x.real, jnp.imag(x)), tree)
        numbers = flat(tree)
    whole = PROJECTIONS[name](
        jnp.asarray(numbers, jnp.complex64 if np.iscomplexobj(numbers) else jnp.float32)
    )
    np.testing.assert_allclose(flat(PROJECTIONS[name](tree)), whole, rtol=1e-5, atol=1e-4)


@few
@given(full_trees)
def test_a_projection_on_the_spectral_ball_bounds_every_matrix(tree):
    there = projections.projection_spectral_ball(tree, 0.7)
    assert_same_type(there, tree)
    for x in jax.tree.leaves(there):
        matrices = np.asarray(x).reshape(-1, 1) if x.ndim < 2 else np.asarray(x)
        if x.size:
            assert np.max(np.linalg.svd(matrices, compute_uv=False)) <= 0.7 * (1 + 1e-5)
