"""Eigenvalues and their density against NumPy's."""

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.sharding import AxisType, PartitionSpec as P

from gradchain import curvature
from gradchain.curvature.vectors import to_vector
from tests.support.known_hessians import (
    digits,
    fewer,
    matrix,
    of_tree,
    of_vector,
    small_trees,
    wide,
)

pytestmark = pytest.mark.rotated(3)  # they take long

KEY = jax.random.key(0)


def multiply(a):
    """The operator of a matrix."""
    return lambda v: jnp.matmul(a, v, precision="highest")


def lanczos_twin(a, start, steps):
    """The textbook recurrence in float64, orthogonal to all before."""
    q, alphas, betas = [start / np.linalg.norm(start)], [], []
    for _ in range(steps):
        w = a @ q[-1]
        alphas.append(q[-1] @ w)
        for _ in range(2):
            w = w - sum((p @ w) * p for p in q)
        betas.append(np.linalg.norm(w))
        q.append(w / betas[-1])
    return np.array(alphas), np.array(betas), np.array(q[:-1])


def test_lanczos_is_its_twin():
    with jax.enable_x64(True):
        a = matrix(0, 30, jnp.float64)
        start = jnp.asarray(np.random.default_rng(1).standard_normal(30))
        alphas, betas, basis = lanczos_twin(np.asarray(a), np.asarray(start), 12)
        found = jax.jit(lambda v: curvature.lanczos(multiply(a), v, 12))(start)
        np.testing.assert_allclose(found.alphas, alphas, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.betas, betas[:-1], rtol=1e-10)
        np.testing.assert_allclose(found.residual, betas[-1], rtol=1e-10)
        np.testing.assert_allclose(found.basis, basis, rtol=1e-9, atol=1e-9)


@given(small_trees)
@fewer
def test_the_ends_of_the_spectrum_of_a_tree(tree):
    with jax.enable_x64(True):
        tree = wide(tree)
        vector, _ = to_vector(tree)
        expected = (
            np.linalg.eigvalsh(jax.hessian(of_vector)(vector)) if vector.size else np.zeros(1)
        )
        operator = curvature.hessian_operator(of_tree, tree)
        found = curvature.extreme_eigenvalues(operator, tree, key=KEY, steps=vector.size + 3)
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(found[:2], [expected[0], expected[-1]], atol=1e-8 * scale)


def test_the_largest_eigenvalue_of_a_network():
    model, loss_of_outputs, params = digits(128)
    loss = lambda p: loss_of_outputs(model(p))

    @jax.jit
    def look(p):
        operator = curvature.hessian_operator(loss, p)
        ends = curvature.extreme_eigenvalues(operator, p, key=KEY, steps=100)
        powered = curvature.power_iteration(operator, p, key=KEY, steps=500)
        whole = curvature.dense(operator, p, chunk=128)
        return whole, curvature.sharpness(loss, p, key=KEY), ends, powered.value

    whole, sharpness, ends, powered = look(params)
    values = np.linalg.eigvalsh(np.asarray(whole))
    assert values[-1] > 0.1
    np.testing.assert_allclose(sharpness, values[-1], rtol=1e-3)
    np.testing.assert_allclose([ends.smallest, ends.largest], values[[0, -1]], rtol=1e-3)
    np.testing.assert_allclose(powered, values[-1], rtol=1e-3)


def test_ritz_pairs_are_nearly_eigenpairs_and_say_how_nearly():
    a = matrix(3, 40)
    values = np.linalg.eigvalsh(a)
    pairs = curvature.ritz_pairs(curvature.lanczos(multiply(a), jnp.ones(40), 25))
    for value, vector, error in zip(*pairs, strict=True):
        np.testing.assert_allclose(np.linalg.norm(a @ vector - value * vector), error, atol=1e-4)
        assert np.abs(values - value).min() <= error + 1e-4
    assert pairs.errors[-1] < 1e-2 < pairs.errors.max()
    np.testing.assert_allclose(pairs.vectors @ pairs.vectors.T, np.eye(25), atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
def test_a_space_that_is_exhausted_adds_no_eigenvalue(scale):
    with jax.enable_x64(scale != 1.0):
        values = jnp.array([2.0, 2.0, 3.0, 5.0, 5.0, 5.0]) * scale  # three spaces, and ten steps
        found = curvature.lanczos(lambda v: values * v, jnp.arange(1.0, 7.0), 10)
        ritz, weights = found.eigh()
        assert ritz[0] > 1.999 * scale and ritz[-1] < 5.001 * scale
        assert not np.asarray(found.betas[3:]).any()
        # and what was added counts for nothing in a quadrature
        v = np.arange(1.0, 7.0)
        mean = np.sum(values * v**2) / np.sum(v**2)
        np.testing.assert_allclose(
            np.sum(np.square(weights[0]) * np.asarray(ritz)), mean, rtol=1e-5
        )
        assert all(np.isfinite(x).all() for x in found)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_squares_of_eigenvalues_may_be_too_large_or_small_for_their_dtype(scale):
    operator = lambda v: scale * jnp.arange(1.0, 11.0) * v
    ends = curvature.extreme_eigenvalues(operator, jnp.zeros(10), key=KEY)
    np.testing.assert_allclose(ends[:2], [scale, 10 * scale], rtol=1e-4)
    powered = curvature.power_iteration(operator, jnp.zeros(10), key=KEY)
    np.testing.assert_allclose(powered.value, 10 * scale, rtol=1e-3)


def test_what_stands_in_for_eigenvalues_of_an_exhausted_space_says_so():
    pairs = curvature.ritz_pairs(
        curvature.lanczos(lambda v: jnp.array([1.0, 2.0, 4.0]) * v, jnp.ones(3), 5)
    )
    is_one = np.isfinite(pairs.errors)
    np.testing.assert_allclose(pairs.values[is_one], [1.0, 2.0, 4.0], rtol=1e-5)
    assert not np.asarray(pairs.vectors)[~is_one].round(5).any()


def test_a_density_of_no_width_is_refused():
    with pytest.raises(ValueError, match="width must be greater than 0, not 0"):
        curvature.spectral_density(lambda v: v, jnp.zeros(3), key=KEY, width=0.0)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
def test_a_multiple_of_the_identity(value):
    operator, like = (
        lambda v: jax.tree.map(lambda x: value * x, v),
        {"a": jnp.zeros(4), "b": None},
    )
    ends = curvature.extreme_eigenvalues(operator, like, key=KEY, steps=6)
    np.testing.assert_allclose(ends, [value, value, 0, 0], atol=1e-6)
    powered = curvature.power_iteration(operator, like, key=KEY)
    np.testing.assert_allclose(powered.value, value, atol=1e-6)
    found = curvature.spectral_density(operator, like, key=KEY, steps=6, probes=2)
    np.testing.assert_allclose(found.grid[jnp.argmax(found.density)], value, atol=1e-3)
    np.testing.assert_allclose(jnp.trapezoid(found.density, found.grid), 1.0, rtol=1e-4)


def test_a_start_of_zero_and_no_numbers_at_all():
    assert not any(np.asarray(x).any() for x in curvature.lanczos(lambda v: v, jnp.zeros(3), 2))
    for empty in ({}, {"a": None}, {"a": jnp.zeros((0, 3))}):
        assert curvature.extreme_eigenvalues(lambda v: v, empty, key=KEY, steps=3) == (0, 0, 0, 0)


def test_numbers_that_are_not_finite_are_shown():
    found = curvature.extreme_eigenvalues(lambda v: v * jnp.nan, jnp.zeros(3), key=KEY, steps=3)
    assert np.isnan(found).all()
    powered = curvature.power_iteration(lambda v: v * jnp.nan, jnp.zeros(3), key=KEY, steps=9)
    assert np.isnan(powered.value)
    assert powered.steps == 9


def test_power_iteration_finds_the_largest_magnitude_and_stops():
    values = jnp.array([3.0, -4.0, 1.0])
    found = jax.jit(
        lambda: curvature.power_iteration(lambda v: values * v, jnp.zeros(3), key=KEY, tol=1e-3)
    )()
    assert abs(found.value + 4) <= found.error <= 4e-3
    assert 10 < found.steps < 60
    np.testing.assert_allclose(np.abs(found.vector), [0, 1, 0], atol=1e-2)
    short = curvature.power_iteration(lambda v: values * v, jnp.zeros(3), key=KEY, steps=5)
    assert short.steps == 5
    assert short.error > 4e-3


def test_a_quadrature_has_the_moments_of_its_probe():
    a = matrix(4, 25)
    found = curvature.spectral_density(multiply(a), jnp.zeros(25), key=KEY, steps=5, probes=300)
    moments = lambda k: np.sum(np.asarray(found.weights) * np.asarray(found.nodes) ** k, 1)
    np.testing.assert_allclose(moments(0), 1.0, rtol=1e-5)
    power = np.eye(25)
    for k in (1, 2, 3):
        power = power @ np.asarray(a)
        error = moments(k).std() / np.sqrt(300)
        assert abs(moments(k).mean() - np.trace(power) / 25) < 4 * error


def test_the_density_of_a_known_spectrum():
    values = jnp.concatenate([jnp.full(300, 0.0), jnp.full(90, 1.0), jnp.full(10, 4.0)])
    density = jax.jit(
        lambda: curvature.spectral_density(
            lambda v: values * v, jnp.zeros(400), key=KEY, steps=10, probes=30
        )
    )
    found = density()
    step = found.grid[1] - found.grid[0]
    share = lambda low, high: found.density[(found.grid > low) & (found.grid < high)].sum() * step
    np.testing.assert_allclose(
        [share(-1, 0.5), share(0.5, 2), share(2, 5)], [0.75, 0.225, 0.025], atol=0.02
    )
    assert found.nodes.shape == found.weights.shape == (30, 10)
    assert found.grid.shape == (512,)


def test_over_shards():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    values = jnp.linspace(-1.0, 3.0, 64)
    start = jnp.ones(64)

    def ends(values, start):
        found = curvature.lanczos(lambda v: values * v, start, 20)
        return found.alphas, found.betas

    split = jax.shard_map(ends, mesh=mesh, in_specs=(P("x"), P("x")), out_specs=P())
    for x, y in zip(jax.jit(split)(values, start), ends(values, start), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_sharpness_under_vmap_and_with_a_model_of_nnx():
    graph, params = nnx.split(nnx.Linear(3, 1, use_bias=False, rngs=nnx.Rngs(0)))
    x = jnp.arange(12.0).reshape(4, 3) / 10
    loss = lambda p, scale: 0.5 * scale * jnp.sum(nnx.merge(graph, p)(x) ** 2)
    scales = jnp.array([1.0, 2.0, 4.0])
    found = jax.vmap(lambda scale: curvature.sharpness(loss, params, scale, key=KEY, steps=5))(
        scales
    )
    np.testing.assert_allclose(found, scales * np.linalg.eigvalsh(x.T @ x)[-1], rtol=1e-5)


def test_steps_that_are_none_are_refused():
    for call in (
        lambda: curvature.lanczos(lambda v: v, jnp.ones(2), 0),
        lambda: curvature.power_iteration(lambda v: v, jnp.ones(2), key=KEY, steps=0),
    ):
        with pytest.raises(ValueError, match="steps must be 1 or more, not 0"):
            call()
    with pytest.raises(ValueError, match="spectral_density: probes must be 1 or more, not 0"):
        curvature.spectral_density(lambda v: v, jnp.ones(2), key=KEY, probes=0)
