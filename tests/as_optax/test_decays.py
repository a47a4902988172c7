"""The dialect's schedules over no steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
import gradchain.as_optax as spoken

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")

#: Calls of schedules. Most of them are refused by the library itself.
CALLS = [
    "linear_schedule(0.5, 3.0, 0)",
    "linear_schedule(0.5, 3.0, -1)",
    "linear_schedule(0.5, 3.0, 2, transition_begin=-3)",
    "polynomial_schedule(10.0, 20.0, 1, 0)",
    "polynomial_schedule(10.0, 20.0, 2, 3, -2)",
    "exponential_decay(0.5, 0, 0.5)",
    "exponential_decay(0.5, 2, 0.0, staircase=True)",
    "exponential_decay(0.5, 2, 0.5, -1, end_value=0.1)",
    "warmup_exponential_decay_schedule(0.0, 1.0, 3, 2, 0.0)",
    "warmup_exponential_decay_schedule(0.0, 1.0, 3, 0, 0.5)",
    "warmup_exponential_decay_schedule(0.0, 1.0, 3, 2, 0.5, -1)",
    "warmup_cosine_decay_schedule(0.2, 0, 5, 10, end_value=-3.0, exponent=2)",
    "warmup_cosine_decay_schedule(0.2, 1.0, 0, 10)",
]


@pytest.mark.parametrize("call", CALLS)
def test_values_are_those_of_optax(call):
    steps = jnp.arange(12)
    made, due = (jax.jit(eval(call, vars(m)))(steps) for m in (spoken, optax))
    np.testing.assert_allclose(jnp.broadcast_to(made, 12), jnp.broadcast_to(due, 12), atol=1e-6)


def test_the_library_refuses_a_decay_over_no_steps():
    with pytest.raises(ValueError, match="transition_steps must be 1 or more, not 0"):
        gc.linear_schedule(0.5, 3.0, 0)


def test_a_warm_up_is_not_negative():
    with pytest.raises(ValueError, match="warmup_steps must be 0 or more, not -1"):
        spoken.warmup_cosine_decay_schedule(0.2, 1.0, -1, 10)


def test_numbers_may_be_traced():
    make = lambda steps: spoken.linear_schedule(0.0, 1.0, steps)(1)
    np.testing.assert_allclose(jax.jit(make)(4), 0.25)
