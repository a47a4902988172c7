"""Tests of radam beside the laws."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.optimizers.radam import averaged_length
from tests.support.runs import scalar_updates


@pytest.mark.parametrize("b2", [0.5, 0.9, 0.999, 0.9999])
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 3e-7), (jnp.float64, 1e-15)])
def test_the_averaged_length_has_all_digits(b2, dtype, tolerance):
    with jax.enable_x64(dtype == jnp.float64):
        for t in (1, 2, 5, 6, 30, 1000, 4000):
            power = Fraction(b2) ** t
            exact = float(2 / (1 - Fraction(b2)) - 1 - 2 * t * power / (1 - power))
            np.testing.assert_allclose(
                averaged_length(b2, jnp.asarray(t, dtype)), exact, rtol=tolerance
            )


def test_radam_rectifies_from_the_sixth_step_on():
    grads = [2.0] * 7
    updates = scalar_updates(gc.scale_by_radam(), grads)
    np.testing.assert_allclose(updates[:5], 2.0, rtol=1e-6)
    assert np.all(updates[5:] < 0.1)


def test_radam_without_memory_is_never_rectified():
    np.testing.assert_allclose(
        scalar_updates(gc.scale_by_radam(b2=0.0), [2.0] * 20), 2.0, rtol=1e-6
    )
