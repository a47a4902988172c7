"""Damped steps: of least length, within a radius, and the same in whatever units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain.numerics.arithmetic import power_of_two
from gradchain.searches.damping import column_norms, damped_step, step_within, triangle

pytestmark = pytest.mark.rotated(1)  # they take long

RNG = np.random.default_rng(0)
UNITS = 2.0 ** np.array([-40, 0, 33, 7])


def problem(rows, rank=4):
    jacobian = RNG.standard_normal((rows, rank)) @ RNG.standard_normal((rank, 4))
    return jacobian, RNG.standard_normal(rows)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("rows", [9, 4, 2])
def test_a_step_within_a_radius_is_the_best_one(rows):
    jacobian, residuals = problem(rows)
    scales = np.linalg.norm(jacobian, axis=0)
    whole = np.linalg.pinv(jacobian / scales) @ residuals
    length = np.linalg.norm(whole)
    far = step_within(jacobian, residuals, jnp.asarray(scales), 2.0 * length, 0.0)
    np.testing.assert_allclose(far.step * scales, -whole, rtol=1e-9)
    assert far.damping == 0
    for share in (0.5, 0.01, 1e-6):
        found = step_within(jacobian, residuals, jnp.asarray(scales), share * length, 0.0)
        assert abs(found.length - share * length) <= 0.1 * share * length
        matrix = jacobian.T @ jacobian + float(found.damping) * np.diag(scales**2)
        expected = -np.linalg.solve(matrix, jacobian.T @ residuals)
        np.testing.assert_allclose(found.step, expected, rtol=1e-6)
        same = damped_step(jacobian, residuals, jnp.asarray(scales), found.damping)
        np.testing.assert_allclose(found.step, same, rtol=1e-6)


def test_what_can_be_removed_is_the_part_along_the_columns():
    jacobian, residuals = problem(9, rank=2)
    found = step_within(jacobian, residuals, column_norms(jnp.asarray(jacobian)), 1e-3, 0.0)
    along = jacobian @ np.linalg.pinv(jacobian) @ residuals
    np.testing.assert_allclose(found.reducible, np.linalg.norm(along), rtol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("damping", [0.0, 1e-3])
def test_units_change_no_digit(dtype, damping):
    jacobian, residuals = (jnp.asarray(x, dtype) for x in problem(9))
    units = jnp.asarray(UNITS, dtype)
    scales = column_norms(jacobian)
    np.testing.assert_array_equal(column_norms(jacobian * units[None]), scales * units)
    one = damped_step(jacobian, residuals, scales, dtype(damping))
    other = damped_step(jacobian * units[None], residuals, scales * units, dtype(damping))
    np.testing.assert_array_equal(other * units, one)
    for radius in (1e3, 0.1):
        one = step_within(jacobian, residuals, scales, dtype(radius), dtype(damping))
        other = step_within(
            jacobian * units[None], residuals, scales * units, dtype(radius), dtype(damping)
        )
        np.testing.assert_array_equal(other.step * units, one.step)
        np.testing.assert_array_equal(other.length, one.length)


@pytest.mark.parametrize("shape", [(9, 4), (4, 4), (2, 4), (1, 1)])
def test_the_triangle_of_a_matrix_and_the_right_side(shape):
    matrix = RNG.standard_normal(shape) * 10.0 ** np.arange(-2 * shape[1], 0, 2)
    right = 1e5 * RNG.standard_normal(shape[0])
    q, r = np.linalg.qr(matrix)
    found, target = map(np.asarray, triangle(jnp.asarray(matrix), jnp.asarray(right)))
    signs = np.sign(np.diag(r)) * np.sign(np.diag(found))
    units = np.linalg.norm(matrix, axis=0)
    np.testing.assert_allclose(found / units, signs[:, None] * r / units, rtol=0, atol=1e-14)
    unit = np.linalg.norm(right)
    np.testing.assert_allclose(target / unit, signs * (q.T @ right) / unit, rtol=0, atol=1e-14)


def test_a_step_to_residuals_of_zero_has_a_derivative():
    jacobian = RNG.standard_normal((3, 3)) + 4 * np.eye(3)
    step = lambda right: damped_step(jnp.asarray(jacobian), right, jnp.ones(3), 0.0)
    slope = jax.jacfwd(step)(jacobian @ np.ones(3))
    np.testing.assert_allclose(slope, -np.linalg.inv(jacobian), rtol=1e-9)


def test_powers_of_two():
    x = jnp.array([0.0, 1.0, 3.0, 1e-300, 1e300])
    expected = 2.0 ** np.floor(np.log2([1.0, 1.0, 3.0, 1e-300, 1e300]))
    np.testing.assert_array_equal(power_of_two(x), expected)


def test_columns_of_any_size():
    with jax.enable_x64(False):
        sizes = np.array([1e-30, 1.0, 1e30], np.float32)
        jacobian = jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32)
        expected = np.linalg.norm(np.asarray(jacobian, float), axis=0) * sizes
        np.testing.assert_allclose(column_norms(jacobian * sizes[None]), expected, rtol=1e-6)
