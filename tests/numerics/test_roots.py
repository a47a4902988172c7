"""Tests of roots and powers: values bit for bit, slopes 0 at 0, in every way to differentiate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain.numerics.roots import cube_root, power, root

pytestmark = pytest.mark.rotated(1)  # they take long

#: Each with the plain function that it stands for, and its slope at 4.
ROOTS = {
    "root": (root, jnp.sqrt, 0.25),
    "cube_root": (cube_root, jnp.cbrt, 4 ** (-2 / 3) / 3),
    "power": (lambda x: power(x, 0.25), lambda x: x**0.25, 0.25 * 4**-0.75),
    "falling power": (lambda x: power(x, -0.5), lambda x: x**-0.5, -0.0625),
}
each_root = pytest.mark.parametrize(("ours", "plain", "slope"), ROOTS.values(), ids=ROOTS)
WAYS = {
    "forwards": jax.jacfwd,
    "backwards": jax.jacrev,
    "compiled": lambda f: jax.jit(jax.jacrev(f)),
    "in a batch": lambda f: jax.vmap(jax.grad(lambda x: f(x[None])[0])),
    "linear": lambda f: lambda x: jax.linearize(f, x)[1](jnp.ones_like(x)),
}


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
@each_root
def test_values_are_those_of_the_plain_root_bit_for_bit(ours, plain, slope, dtype):
    sizes = jnp.asarray([0.0, 1e-7, 0.3, 1.0, 7.0, 3e4, jnp.inf, jnp.nan], dtype)
    found = ours(sizes)
    assert found.dtype == dtype
    assert np.asarray(found).tobytes() == np.asarray(plain(sizes)).tobytes()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@each_root
def test_the_slope_at_zero_is_zero(ours, plain, slope, way):
    made = np.asarray(way(ours)(jnp.array([0.0, 4.0])))
    at_each = np.diag(made) if made.ndim == 2 else made
    np.testing.assert_allclose(at_each, [0.0, slope], rtol=1e-6)


@pytest.mark.rotated(3)
@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("inner", [jax.jacfwd, jax.jacrev])
@each_root
def test_second_slopes_are_numbers_too(ours, plain, slope, inner, outer):
    second = outer(inner(lambda x: jnp.sum(ours(x))))(jnp.array([0.0, 4.0]))
    expected = jax.grad(jax.grad(lambda x: plain(x)))(jnp.float32(4.0))
    np.testing.assert_allclose(second, [[0.0, 0.0], [0.0, expected]], rtol=1e-5)


def test_a_complex_root_has_a_slope():
    slope = jax.grad(root, holomorphic=True)
    np.testing.assert_allclose(slope(jnp.complex64(4.0j)), 0.5 / np.sqrt(4.0j), rtol=1e-6)
    assert slope(jnp.complex64(0.0)) == 0.0


def test_an_exponent_has_a_slope():
    slope = jax.grad(power, argnums=1)
    np.testing.assert_allclose(slope(4.0, 0.5), 2 * np.log(4.0), rtol=1e-6)
    assert slope(0.0, 0.5) == 0.0 == slope(0.0, -0.5)


def test_what_is_no_root_stays_so():
    assert np.isnan(root(jnp.float32(-1.0))) and np.isnan(root(-1.0))
    assert root(4.0) == 2.0 and isinstance(root(4.0), float)
    assert power(jnp.float32(0.0), 0.0) == 1.0
