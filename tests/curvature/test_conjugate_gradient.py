"""Conjugate gradients on trees against dense solves and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import given, settings, strategies as st

import gradchain as gc
from gradchain.curvature import conjugate_gradient, dense, hessian_operator
from gradchain.curvature.vectors import to_vector

pytestmark = pytest.mark.rotated(1)  # they take long


def definite(n, condition=1e3, seed=0, dtype=np.float64):
    """A random symmetric positive definite matrix, and a right-hand side."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    matrix = q @ np.diag(np.geomspace(1.0, condition, n)) @ q.T
    return jnp.asarray((matrix + matrix.T) / 2, dtype), jnp.asarray(rng.standard_normal(n), dtype)


def times(matrix):
    return lambda v: jnp.matmul(matrix, v, precision="highest")


def norm(x):
    return float(np.linalg.norm(x))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-11)])
def test_solves_what_a_dense_solver_does(dtype, tolerance):
    with jax.enable_x64(True):
        matrix, b = definite(12, 100.0, dtype=dtype)
        x, info = conjugate_gradient(times(matrix), b, tol=0.0)
        expected = np.linalg.solve(np.float64(matrix), np.float64(b))
        assert x.dtype == b.dtype
        assert norm(np.float64(x) - expected) <= tolerance * norm(expected)
        assert not info.is_negative
        assert not info.on_boundary
        assert 12 <= info.steps <= 24


def test_makes_the_iterates_of_scipy():
    with jax.enable_x64(True):
        matrix, b = definite(20)
        scale = jnp.diagonal(matrix)
        preconditioner = scipy.sparse.linalg.LinearOperator(
            (20, 20), lambda r: r / np.asarray(scale)
        )
        for own, theirs in ((None, None), (lambda r: r / scale, preconditioner)):
            for steps in (1, 2, 5, 10):
                x, info = conjugate_gradient(
                    times(matrix), b, preconditioner=own, tol=0.0, max_steps=steps
                )
                expected, _ = scipy.sparse.linalg.cg(
                    np.asarray(matrix), np.asarray(b), rtol=0.0, maxiter=steps, M=theirs
                )
                np.testing.assert_allclose(x, expected, rtol=1e-9)
                assert info.steps == steps
                np.testing.assert_allclose(info.residual_norm, norm(b - matrix @ x), rtol=1e-8)
                np.testing.assert_allclose(info.decrease, b @ x - 0.5 * x @ matrix @ x, rtol=1e-9)


def test_stops_at_the_tolerance_where_scipy_does():
    with jax.enable_x64(True):
        matrix, b = definite(40, 100.0)
        counted = []
        scipy.sparse.linalg.cg(
            np.asarray(matrix), np.asarray(b), rtol=1e-3, callback=counted.append
        )
        x, info = conjugate_gradient(times(matrix), b, tol=1e-3)
        assert info.steps == len(counted)
        assert norm(b - matrix @ x) <= 1e-3 * norm(b)


def test_starts_where_it_is_told():
    with jax.enable_x64(True):
        matrix, b = definite(10)
        solution = jnp.linalg.solve(matrix, b)
        _, info = conjugate_gradient(times(matrix), b, solution, tol=1e-8)
        assert info.steps == 0
        np.testing.assert_allclose(info.decrease, 0.5 * b @ solution, rtol=1e-8)
        start = solution + 0.1 * b
        x, _ = conjugate_gradient(times(matrix), b, start, tol=0.0, max_steps=3)
        expected, _ = scipy.sparse.linalg.cg(
            np.asarray(matrix), np.asarray(b), np.asarray(start), rtol=0, maxiter=3
        )
        np.testing.assert_allclose(x, expected, rtol=1e-8)


def test_a_preconditioner_that_is_the_inverse_needs_one_step():
    with jax.enable_x64(True):
        matrix, b = definite(10)
        x, info = conjugate_gradient(
            times(matrix), b, preconditioner=lambda r: jnp.linalg.solve(matrix, r)
        )
        assert info.steps == 1
        np.testing.assert_allclose(x, np.linalg.solve(matrix, b), rtol=1e-9)


def test_trees_with_complex_leaves_are_pairs_of_real_numbers():
    with jax.enable_x64(True):
        params = {
            "a": jnp.array([1.0 + 2.0j, -0.5j]),
            "b": [jnp.array([0.3, 0.7]), None],
            "c": jnp.zeros((0, 2)),
        }

        def fun(p):
            mixed = p["a"].conj() * p["b"][0].astype(complex)
            return (
                jnp.sum(gc.numerics.abs2(p["a"]) ** 2)
                + jnp.sum(jnp.cosh(p["b"][0]))
                + 0.1 * gc.numerics.abs2(mixed.sum())
            )

        operator = hessian_operator(fun, params)
        b = jax.tree.map(lambda x: x + 1, params)
        x, info = conjugate_gradient(operator, b, tol=1e-13)
        vector, to_tree = to_vector(b)
        expected = to_tree(jnp.linalg.solve(dense(operator, params), vector))
        assert jax.tree.structure(x) == jax.tree.structure(b)
        for found, known in zip(jax.tree.leaves(x), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(found, known, rtol=1e-9)
        assert not info.is_negative


def test_a_mixed_tree_in_half_precision_is_solved_in_float32():
    b = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones((), jnp.complex64)}
    x, _ = conjugate_gradient(lambda v: jax.tree.map(lambda x: 4 * x, v), b)
    assert x["a"].dtype == jnp.float32
    np.testing.assert_allclose(x["a"], 0.25)
    np.testing.assert_allclose(x["b"], 0.25)


@pytest.mark.parametrize("size", [1e-25, 1e-6, 1.0, 1e25])
def test_the_size_of_the_right_hand_side_does_not_matter(size):
    matrix, b = definite(8, 10.0, dtype=np.float32)
    x, info = conjugate_gradient(times(matrix), size * b, tol=1e-6)
    expected, known = conjugate_gradient(times(matrix), b, tol=1e-6)
    np.testing.assert_allclose(x / size, expected, rtol=1e-4)
    assert abs(int(info.steps) - int(known.steps)) <= 1


@pytest.mark.parametrize("size", [1e-20, 1e20])
def test_a_radius_far_from_the_size_of_the_right_hand_side(size):
    scales = jnp.arange(1.0, 9.0)
    x, info = conjugate_gradient(
        lambda v: size * scales * v, size * jnp.ones(8), tol=1e-6, radius=10.0
    )
    np.testing.assert_allclose(x, 1 / scales, rtol=1e-4)
    assert not info.on_boundary


# ----------------------------------------------------------------------------- what is not definite


def test_a_first_direction_of_negative_curvature_is_taken_by_its_size():
    x, info = conjugate_gradient(lambda v: -4.0 * v, jnp.array([2.0, 0.0]))
    np.testing.assert_allclose(x, [0.5, 0.0])
    assert info.is_negative
    assert info.steps == 1


def test_a_later_one_leaves_the_iterate():
    with jax.enable_x64(True):
        matrix, b = jnp.diag(jnp.array([4.0, 2.0, -1.0])), jnp.array([1.0, 1.0, 0.5])
        x, info = conjugate_gradient(times(matrix), b, tol=0.0)
        before, _ = conjugate_gradient(times(matrix), b, tol=0.0, max_steps=int(info.steps) - 1)
        assert info.is_negative
        assert info.steps > 1
        np.testing.assert_array_equal(x, before)
        assert b @ x > 0


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_an_operator_that_says_nothing_gives_the_right_hand_side(value):
    b = jnp.array([3.0, -4.0])
    x, info = conjugate_gradient(lambda v: jnp.full_like(v, value), b)
    np.testing.assert_allclose(x, b, rtol=1e-6)
    assert info.steps == 1
    assert info.is_negative


def test_an_operator_that_breaks_later_keeps_what_was_found():
    operator = lambda v: jnp.where(
        jnp.abs(v[0]) > jnp.abs(v[1]), jnp.array([1.0, 3.0]) * v, jnp.nan
    )
    x, info = conjugate_gradient(operator, jnp.array([3.0, 2.0]), tol=0.0)
    assert info.steps == 2
    assert np.all(np.isfinite(x))
    assert x @ jnp.array([3.0, 2.0]) > 0


@pytest.mark.parametrize("b", [jnp.zeros(3), {}, None, {"a": None}, jnp.zeros((0, 2))])
def test_nothing_is_solved_by_nothing(b):
    x, info = conjugate_gradient(lambda v: v, b)
    assert jax.tree.structure(x) == jax.tree.structure(b)
    assert info.steps == 0
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(x))


# ------------------------------------------------------------------------------------ trust regions


def steihaug(matrix, b, radius, tol, steps=100):
    """Nocedal & Wright, algorithm 7.2, for the gradient -b."""
    z, r, d = np.zeros_like(b), -b, b
    if norm(r) <= tol * norm(b):
        return z
    for _ in range(steps):
        curvature = d @ matrix @ d
        to_boundary = max(np.roots([d @ d, 2 * z @ d, z @ z - radius**2]).real)
        if curvature <= 0:
            return z + to_boundary * d
        length = r @ r / curvature
        if norm(z + length * d) >= radius:
            return z + to_boundary * d
        z, new = z + length * d, r + length * matrix @ d
        if norm(new) <= tol * norm(b):
            return z
        r, d = new, -new + new @ new / (r @ r) * d
    return z


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 1.0, 100.0]), st.booleans())
def test_steihaugs_method(seed, radius, is_definite):
    with jax.enable_x64(True):
        matrix, b = definite(6, 50.0, seed)
        matrix = matrix if is_definite else matrix - 5.0 * jnp.eye(6)
        x, info = steihaug_compiled(matrix, b, radius)
        expected = steihaug(np.asarray(matrix), np.asarray(b), radius, 1e-6)
        np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-7 * radius)
        assert norm(x) <= radius * (1 + 1e-9)
        assert info.on_boundary == (norm(expected) >= radius * (1 - 1e-9))
        np.testing.assert_allclose(info.decrease, b @ x - 0.5 * x @ matrix @ x, rtol=1e-6)


@jax.jit
def steihaug_compiled(matrix, b, radius):
    return conjugate_gradient(lambda v: matrix @ v, b, tol=1e-6, radius=radius, max_steps=100)


def test_a_radius_of_zero_stays():
    x, info = conjugate_gradient(lambda v: v, jnp.ones(2), radius=0.0)
    assert not np.any(x)
    assert info.on_boundary


# ----------------------------------------------------------------------------------------- stopping


def test_stops_when_the_model_has_stopped_to_fall():
    """Martens' test, evaluated on the iterates of SciPy."""
    with jax.enable_x64(True):
        matrix, b = definite(60, 300.0)
        values, epsilon = [0.0], 1e-2
        model = lambda x: 0.5 * x @ np.asarray(matrix) @ x - np.asarray(b) @ x
        keep = lambda x: values.append(model(x))
        scipy.sparse.linalg.cg(
            np.asarray(matrix), np.asarray(b), rtol=1e-12, maxiter=100, callback=keep
        )
        is_over = lambda i, k: (
            i > k and values[i] < 0 and (values[i] - values[i - k]) / values[i] < k * epsilon
        )
        expected = next(i for i in range(len(values)) if is_over(i, max(10, i // 10)))
        _, info = conjugate_gradient(
            times(matrix), b, tol=0.0, max_steps=100, progress_tol=epsilon
        )
        assert 10 < expected < 60
        assert info.steps == expected


def test_many_at_once_stop_each_for_itself():
    with jax.enable_x64(True):
        pairs = [definite(6, condition, seed) for seed, condition in enumerate((1.5, 30.0, 1e4))]
        solve = lambda matrix, b: conjugate_gradient(lambda v: matrix @ v, b, tol=1e-4)
        xs, infos = jax.vmap(solve)(
            jnp.stack([m for m, _ in pairs]), jnp.stack([b for _, b in pairs])
        )
        for i, (matrix, b) in enumerate(pairs):
            x, info = solve(matrix, b)
            np.testing.assert_allclose(xs[i], x, rtol=1e-6)
            assert infos.steps[i] == info.steps
        assert len(set(infos.steps.tolist())) > 1


def test_is_one_loop_that_is_traced_once():
    traces = []

    def operator(v):
        traces.append(1)
        return 2.0 * v

    text = str(
        jax.make_jaxpr(lambda b: conjugate_gradient(operator, b, max_steps=1000))(jnp.ones(4))
    )
    assert text.count("while[") == 1
    assert len(traces) <= 2  # JAX may trace a loop's body again to settle its types


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_steps": -1}, "max_steps must be 0 or more"),
        ({"x0": jnp.ones(2)}, "x0"),
        ({"preconditioner": lambda r: r[:2]}, "preconditioner"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        conjugate_gradient(lambda v: v, jnp.ones(3), **arguments)
