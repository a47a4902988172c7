"""Normal numbers by their logarithms of scales, beside optax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax._src.utils import multi_normal as of_optax

import gradchain.as_optax as spoken

CASES = {
    "vectors": ((np.array([0.0, 1.0, -2.0]), np.array([0.0, 0.5, -1.0])), True),
    "one scale": ((np.array([0.0, 1.0]), np.array(0.3)), True),
    "integers": ((np.array([1, 2]), np.array([0, 1])), False),
}


@pytest.mark.parametrize("name", CASES)
def test_samples_and_densities_are_those_of_optax(name):
    given, is_float = CASES[name]
    numbers = [jnp.asarray(x, jnp.float32 if is_float else jnp.int32) for x in given]
    key = jax.random.key(1)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        theirs = of_optax(*numbers)
        expected = theirs.sample((4,), key)
        densities = theirs.log_prob(expected)
    ours = spoken.multi_normal(*numbers)
    found = ours.sample((4,), key)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(ours.log_prob(found), densities, rtol=2e-6)
    assert [x.shape for x in ours.params] == [x.shape for x in given]


def test_slopes_pass_through_samples():
    at = lambda s: spoken.multi_normal(jnp.zeros(2), s).sample((3,), jax.random.key(0))
    drawn = at(jnp.zeros(2))
    slopes = jax.jacobian(at)(jnp.zeros(2))
    np.testing.assert_allclose(slopes.sum(-1), drawn, rtol=1e-6)


def test_numbers_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match="broadcast"):
        spoken.multi_normal(jnp.zeros(2), jnp.zeros(3))
