"""Products with Hessians, Gauss-Newton matrices and Jacobians, against whole matrices."""

import flax.nnx as nnx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import gradchain as gc
from gradchain import curvature
from gradchain.curvature.vectors import to_vector
from tests.support.known_hessians import (
    digits,
    fewer,
    flat,
    of_tree,
    of_vector,
    small_trees,
    wide,
)
from tests.support.random_trees import other_like

pytestmark = pytest.mark.rotated(3)  # they take long


@pytest.mark.slow
@given(small_trees)
@fewer
def test_the_hessian_of_a_tree_is_that_of_its_numbers(tree):
    with jax.enable_x64(True):
        tree = wide(tree)
        expected = jax.hessian(of_vector)(to_vector(tree)[0])
        found = curvature.dense(curvature.hessian_operator(of_tree, tree), tree)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
        vector = other_like(tree)
        product = curvature.hessian_vector_product(of_tree, tree, vector)
        assert jax.tree.structure(product) == jax.tree.structure(tree)
        np.testing.assert_allclose(flat(product), expected @ flat(vector), rtol=1e-10, atol=1e-10)


def model(tree):
    """A tree of outputs, one of them complex, in which every number meets some others."""
    v = to_vector(tree)[0]
    return {
        "a": jnp.sin(v) * jnp.roll(v, 1),
        "b": [jax.lax.complex(jnp.cos(v), v**2), None, jnp.sum(v)],
    }


@pytest.mark.slow
@given(small_trees, st.integers(0, 9))
@fewer
def test_jacobians_and_gauss_newton(tree, seed):
    with jax.enable_x64(True):
        tree = wide(tree)
        start, to_tree = to_vector(tree)
        jacobian = np.asarray(jax.jacobian(lambda v: to_vector(model(to_tree(v)))[0])(start))
        vector, change = other_like(tree, seed), other_like(model(tree), seed + 1)
        at = curvature.linearization(model, tree)
        close = lambda x, y: np.testing.assert_allclose(flat(x), y, rtol=1e-9, atol=1e-9)
        close(at.outputs, flat(model(tree)))
        close(at.forward(vector), jacobian @ flat(vector))
        close(at.adjoint(change), jacobian.T @ flat(change))
        close(curvature.jacobian_vector_product(model, tree, vector), jacobian @ flat(vector))
        close(curvature.vector_jacobian_product(model, tree, change), jacobian.T @ flat(change))
        hessian = np.asarray(jax.hessian(of_vector)(to_vector(model(tree))[0]))
        gauss_newton = jacobian.T @ hessian @ jacobian
        close(
            curvature.gauss_newton_vector_product(model, of_tree, tree, vector),
            gauss_newton @ flat(vector),
        )


def test_what_else_a_function_takes():
    fun = lambda p, x, y: jnp.sum(jnp.sin(p * x) * y)
    p, v, x, y = (
        jnp.asarray(np.random.default_rng(i).standard_normal(3), jnp.float32) for i in range(4)
    )
    expected = jax.hessian(fun)(p, x, y) @ v
    np.testing.assert_allclose(
        curvature.hessian_vector_product(fun, p, v, x, y), expected, rtol=1e-5
    )
    np.testing.assert_allclose(curvature.hessian_operator(fun, p, x, y)(v), expected, rtol=1e-5)
    model = lambda p, x: p * x
    np.testing.assert_allclose(
        curvature.jacobian_vector_product(model, p, v, x), v * x, rtol=1e-5
    )
    np.testing.assert_allclose(
        curvature.vector_jacobian_product(model, p, v, x), v * x, rtol=1e-5
    )


def flops(fun, *args):
    return jax.jit(fun).lower(*args).compile().cost_analysis()["flops"]


def test_a_product_costs_at_most_two_and_a_half_gradients():
    model, loss_of_outputs, params = digits()
    loss = lambda p: loss_of_outputs(model(p))
    gradient = flops(jax.grad(loss), params)
    assert (
        gradient > 2 * 2 * 256 * 2368
    )  # both matrices are counted, forwards and for their gradients
    assert (
        flops(lambda p, v: curvature.hessian_vector_product(loss, p, v), params, params)
        <= 2.5 * gradient
    )
    many = lambda p, vs: jax.lax.map(curvature.hessian_operator(loss, p), vs)
    assert flops(many, params, jax.tree.map(lambda x: x[None], params)) <= 2.5 * gradient


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_an_operator_goes_through_the_network_once(kind):
    model, loss_of_outputs, params = digits()
    if kind == "hessian":
        operator = curvature.hessian_operator(lambda p: loss_of_outputs(model(p)), params)
    else:
        operator = curvature.gauss_newton_operator(model, loss_of_outputs, params)
    assert "tanh" in str(jax.make_jaxpr(model)(params))
    assert "tanh" not in str(jax.make_jaxpr(operator)(params))


def test_lower_precision_is_computed_in_float32():
    params = {"w": jnp.array([1.0, 2.0], jnp.bfloat16)}
    product = curvature.hessian_vector_product(lambda p: jnp.sum(jnp.exp(p["w"])), params, params)
    assert product["w"].dtype == jnp.float32
    np.testing.assert_allclose(product["w"], np.exp([1.0, 2.0]) * [1, 2], rtol=1e-6)


def test_outputs_of_lower_precision():
    x = jnp.ones((3, 2))
    model = lambda w: (x @ w).astype(jnp.bfloat16)
    found = curvature.gauss_newton_diagonal(model, lambda y: jnp.sum(y**2), jnp.ones(2))
    np.testing.assert_allclose(found.value, 6.0)
    drawn = curvature.fisher_operator(model, jnp.ones(2), "normal", key=jax.random.key(0))(
        jnp.ones(2)
    )
    assert drawn.dtype == jnp.float32


def test_a_chunk_of_none_is_refused():
    with pytest.raises(ValueError, match="chunk must be 1 or more"):
        curvature.dense(lambda v: v, jnp.zeros(2), chunk=0)


@pytest.mark.parametrize("empty", [{}, {"a": None}, {"a": jnp.zeros((0, 2))}], ids=str)
def test_nothing_has_a_matrix_of_no_rows(empty):
    operator = curvature.hessian_operator(lambda p: jnp.float32(1.0), empty)
    assert jax.tree.structure(operator(empty)) == jax.tree.structure(empty)
    assert curvature.dense(operator, empty).shape == (0, 0)


def test_a_vector_of_another_form_is_refused_by_its_path():
    params = {"a": jnp.ones(2), "b": None}
    fun = lambda p: jnp.sum(p["a"] ** 2)
    refused = lambda message: pytest.raises(ValueError, match=message)
    with refused(r"hessian_vector_product: .* Missing: 'a'; not expected: none"):
        curvature.hessian_vector_product(fun, params, {"b": None})
    with refused("not expected: 'b'"):
        curvature.hessian_operator(fun, params)({"a": jnp.ones(2), "b": jnp.ones(2)})
    with refused(r"float32\[1\] at 'a', where float32\[2\] is needed"):
        curvature.jacobian_vector_product(fun, params, {"a": jnp.ones(1), "b": None})
    with refused(r"complex64\[2\] at 'a', where float32\[2\] is needed"):
        curvature.hessian_vector_product(fun, params, {"a": jnp.full(2, 1j), "b": None})


def test_under_jit_and_vmap():
    params = {"a": jnp.arange(6.0).reshape(3, 2)}
    product = jax.jit(lambda p, v: curvature.hessian_operator(of_tree, p)(v))
    found = jax.vmap(product)(params, params)
    for i in range(3):
        one = {"a": params["a"][i]}
        np.testing.assert_allclose(
            found["a"][i],
            curvature.hessian_vector_product(of_tree, one, one)["a"],
            rtol=1e-5,
            atol=1e-5,
        )


def test_with_a_model_of_nnx():
    graph, params = nnx.split(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    x = jnp.arange(12.0).reshape(4, 3)
    model_fn = lambda p: nnx.merge(graph, p)(x)
    square = lambda y: 0.5 * jnp.sum(y**2)
    found = curvature.hessian_vector_product(lambda p: square(model_fn(p)), params, params)
    linear = curvature.gauss_newton_vector_product(model_fn, square, params, params)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    gc.tree.map_leaves(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, linear)
    kernel = nnx.to_pure_dict(params)["kernel"]
    np.testing.assert_allclose(nnx.to_pure_dict(found)["kernel"], x.T @ x @ kernel, rtol=1e-5)
