"""A loop stops at the first number that is not finite, and says where it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.training import StopOnNaN

PARAMS = {"first": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, "last": jnp.ones(3)}


def test_finite_numbers_pass():
    stop = StopOnNaN()
    assert not stop.check(1, loss=0.5, params=PARAMS, count=jnp.int32(3), key=jax.random.key(0))
    assert not stop.check(2)
    assert not stop.check(3, hole={"a": None}, model=(abs, "relu", 1 + 2j))
    assert stop.found is None


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "complex64"])
def test_the_leaf_is_named(dtype, bad):
    kernel = jnp.ones((2, 3), dtype).at[1, 2].set(bad)
    grads = PARAMS | {"first": {"kernel": kernel, "bias": jnp.zeros(3)}}
    stop = StopOnNaN(raises=False)
    assert stop.check(37, loss=jnp.float32(1.0), grads=grads)
    assert stop.found.step == 37
    assert list(stop.found.leaves) == ["grads/first/kernel"]
    assert stop.found.leaves["grads/first/kernel"][:2] == (1, 6)


def test_it_raises_with_all_that_is_to_be_known():
    bad = jax.tree.map(lambda x: x * np.float32(np.nan), PARAMS)
    with pytest.raises(FloatingPointError) as error:
        StopOnNaN().check(5, loss=float("-inf"), params=bad)
    told = str(error.value)
    assert told.startswith("step 5: not finite: loss (-inf), params/first/bias (3 of 3 numbers")
    assert "and 1 more. gc.skip_nonfinite(tx)" in told


def test_a_metric_is_named():
    stop = StopOnNaN(raises=False)
    assert stop.check(8, metrics={"loss": 1.0, "adam/norm_in": jnp.float32(jnp.nan)})
    assert str(stop.found) == "step 8: not finite: metrics/adam/norm_in (nan)"


def test_it_stops_a_loop_that_diverges():
    tx, params = gc.sgd(1e20), {"w": jnp.ones(2)}
    state, stop = tx.init(params), StopOnNaN(raises=False)
    for step in range(1, 20):
        params, state = tx.step(jax.grad(lambda p: jnp.sum(p["w"] ** 4))(params), state, params)
        if stop.check(step, params=params):
            break
    assert step < 5
    assert list(stop.found.leaves) == ["params/w"]


def test_a_traced_array_is_refused():
    with pytest.raises(TypeError, match=r"is traced.*outside jit"):
        jax.jit(lambda x: StopOnNaN().check(1, loss=x))(1.0)
