"""Powers of Shampoo's factors: each way has those that it can find."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.numerics import matrix_roots

G = jnp.diag(jnp.array([3.0, 1.0, 0.5])) + 0.1


def update(**options):
    tx = gc.scale_by_shampoo(ridge=1e-5, **options)
    return tx.update(G, tx.init(G), G)[0]


@pytest.mark.parametrize("roots", [*matrix_roots.ROOTS, "qr"])
@pytest.mark.parametrize("exponent", [-0.25, -0.5, -1.0])
def test_each_way_takes_the_powers_that_it_can_find(roots, exponent):
    expected = update(exponent=exponent)
    np.testing.assert_allclose(update(exponent=exponent, roots=roots), expected, atol=5e-3)
    in_a_program = jax.jit(lambda x: update(exponent=x, roots=roots))(exponent)
    np.testing.assert_allclose(in_a_program, expected, atol=5e-3)


def test_the_usual_power_may_be_written():
    for roots in matrix_roots.ROOTS:
        np.testing.assert_allclose(
            update(roots=roots, exponent=-0.25), update(roots=roots), rtol=1e-5
        )


@pytest.mark.parametrize("roots", ["newton", "higher_order"])
def test_a_power_that_an_iteration_has_not_is_refused(roots):
    with pytest.raises(ValueError, match=r"no root of order 3\.33333; use method='eigh'"):
        update(roots=roots, exponent=-0.3)


def test_a_third_root_is_no_square_root():
    with pytest.raises(ValueError, match="'denman_beavers' has no root of order 3, only"):
        update(roots="denman_beavers", exponent=-1 / 3)
    assert np.all(np.isfinite(update(roots="newton", exponent=-1 / 3)))


@pytest.mark.parametrize("exponent", [0.25, 0.0])
def test_a_power_that_multiplies_is_refused(exponent):
    with pytest.raises(ValueError, match="exponent must be less than 0"):
        gc.scale_by_shampoo(exponent=exponent)
