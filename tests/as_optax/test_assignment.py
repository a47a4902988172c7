"""The dialect of optax: cheapest pairs are those that SciPy finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import gradchain.as_optax as spoken

SHAPES = [(1, 1), (3, 3), (5, 8), (8, 5), (20, 20), (0, 3), (3, 0), (1, 7)]
hungarian = jax.jit(spoken.assignment.hungarian_algorithm)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_costs_are_least(shape, dtype):
    numbers = np.random.default_rng(0)
    made = numbers.normal(size=shape) if dtype == "float32" else numbers.integers(-9, 9, shape)
    costs = np.asarray(made, dtype)
    rows, columns = map(np.asarray, hungarian(costs))
    assert len(set(rows)) == len(set(columns)) == len(rows) == min(shape)
    assert list(rows) == sorted(rows)
    due = costs[linear_sum_assignment(costs)].sum()
    np.testing.assert_allclose(costs[rows, columns].sum(), due, rtol=1e-5)


def test_batches_of_costs():
    costs = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4, 4)))
    _, columns = jax.vmap(hungarian)(costs)
    for own, found in zip(costs, columns, strict=True):
        assert list(found) == list(linear_sum_assignment(own)[1])


def test_what_is_no_matrix_is_refused():
    with pytest.raises(ValueError, match="no matrix"):
        spoken.assignment.hungarian_algorithm(jnp.ones(3))
