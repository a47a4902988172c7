"""Tests of asgd beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def test_asgd_averages_the_iterates_after_t0():
    tx, params, iterates = gc.asgd(0.1, lambd=0.1, t0=3.0), jnp.array([1.0, -2.0]), []
    state = tx.init(params)
    for t in range(1, 9):
        params, state = tx.step(jnp.sin(params + t), state, params)
        iterates.append(params)
        since = (
            [params] if t <= 5 else iterates[4:]
        )  # torch's t0: step t0 + 3 is the first that averages two
        np.testing.assert_allclose(
            state["scale_by_asgd"]["average_params"], np.mean(since, axis=0), rtol=1e-6
        )


def test_the_average_of_asgd_is_that_of_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = torch.optim.ASGD([theirs], lr=0.1, lambd=0.1, t0=3.0)
    with jax.enable_x64(True):
        tx, params = gc.asgd(0.1, lambd=0.1, t0=3.0), jnp.array([1.0, -2.0])
        state = tx.init(params)
        for t in range(1, 9):
            g = np.sin(np.array([1.0, 2.0]) * t)
            theirs.grad = torch.tensor(g)
            optimizer.step()
            params, state = tx.step(jnp.asarray(g), state, params)
            # torch keeps the rate in its default dtype
            np.testing.assert_allclose(
                state["scale_by_asgd"]["average_params"],
                optimizer.state[theirs]["ax"].numpy(),
                rtol=1e-6,
            )
