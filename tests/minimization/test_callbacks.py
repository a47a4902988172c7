"""Callbacks of ``minimize``: when they are called, with what, and how they end it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.laws.samples import assert_close

pytestmark = pytest.mark.rotated(1)  # they take long

START = jnp.array([2.0, -1.0])


def bowl(p):
    return jnp.sum((p - 1.0) ** 2)


def rosenbrock(p):
    return 100.0 * (p[1] - p[0] ** 2) ** 2 + (1.0 - p[0]) ** 2


def test_a_callback_sees_each_step_once_and_in_order():
    seen = []
    result = gc.minimize(rosenbrock, START, callback=seen.append, history="params", max_steps=50)
    steps = int(result.steps)
    assert [told["step"] for told in seen] == list(range(steps + 1))
    for name in ("value", "grad_norm", "evals"):
        np.testing.assert_array_equal(
            [told[name] for told in seen], result.history[name][: steps + 1]
        )
    assert_close(
        np.stack([told["params"] for told in seen]), result.history["params"][: steps + 1], 0.0
    )


def test_a_callback_stops():
    result = gc.minimize(rosenbrock, START, callback=lambda told: told["step"] >= 3)
    assert (result.status, result.steps) == (gc.minimization.Status.STOPPED, 3)


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt])
def test_what_a_callback_raises_reaches_the_caller(kind):
    def fail(told):
        raise kind("of my own")

    with pytest.raises(kind, match="of my own"):
        gc.minimize(rosenbrock, START, callback=fail)


@pytest.mark.parametrize("within", [jax.jit, jax.vmap])
def test_a_callback_of_a_traced_loop(within):
    seen, starts = [], jnp.stack([START, jnp.zeros(2), jnp.ones(2)])
    one = lambda x: gc.minimize(
        rosenbrock, x, callback=lambda told: seen.append((*told["params"], told["step"])) or False
    )
    result = within(one)(starts if within is jax.vmap else START)
    jax.block_until_ready(result)
    assert len(seen) == len(set(seen)) == int(jnp.sum(result.steps + 1))


@pytest.mark.parametrize("within", [jax.jit, jax.vmap])
def test_a_callback_where_all_that_is_traced_is_closed_over(within):
    seen = []
    one = lambda center: gc.minimize(
        lambda p: jnp.sum((p - center) ** 2), START, callback=seen.append
    )
    result = jax.block_until_ready(
        within(one)(jnp.ones(3) if within is jax.vmap else jnp.array(1.0))
    )
    assert len(seen) == int(jnp.sum(result.steps + 1))


def test_what_a_callback_raises_under_vmap_reaches_the_caller():
    def fail(told):
        raise KeyError("of my own")

    with pytest.raises((KeyError, jax.errors.JaxRuntimeError), match="of my own"):
        jax.block_until_ready(
            jax.vmap(lambda x: gc.minimize(bowl, x, callback=fail))(jnp.ones((3, 2)))
        )


def test_a_callback_of_a_plain_chain():
    seen = []
    gc.minimize(bowl, START, gc.sgd(0.1), max_steps=3, callback=seen.append)
    assert [told["evals"] for told in seen] == [1, 2, 3, 4]
