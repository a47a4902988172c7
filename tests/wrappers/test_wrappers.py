"""Tests of wrappers beside the laws."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradchain as gc
from tests.laws import samples, user_transforms
from tests.support.runs import run

WRAPPERS = {
    "cautious": gc.cautious,
    "grams": gc.grams,
    "mars": gc.mars,
    "grokfast": lambda inner: gc.grokfast(inner, 0.5, 1.0),
    "grokfast_window": lambda inner: gc.grokfast_window(inner, 2),
    "lookahead": lambda inner: gc.lookahead(inner, 2),
    "schedule_free": lambda inner: gc.schedule_free(inner, 0.1),
    "average_weights": gc.average_weights,
    "sam": gc.sam,
    "asam": gc.asam,
    "looksam": lambda inner: gc.looksam(inner, every=2),
}


def bowl(params):
    return sum(jnp.sum((x - 1.0) ** 2) for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "inner", [gc.sgd(0.05), gc.adamw(0.05), gc.lion(0.02)], ids=lambda tx: tx.factory.name
)
@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_trains_with_any_optimizer(name, inner):
    tx = WRAPPERS[name](inner)
    params = {"a": jnp.zeros(3), "b": 3.0 * jnp.ones((2, 2))}

    @jax.jit
    def train(params, state):
        def step(carry, _):
            params, state = carry
            return tx.step(jax.grad(bowl)(params), state, params, value_fn=bowl), None

        return jax.lax.scan(step, (params, state), length=200)[0]

    trained, state = train(params, tx.init(params))
    assert bowl(gc.eval_params(state, trained)) < 0.1 * bowl(params)
    assert list(state) == [name]
    assert state[name]["inner"].keys() == inner.init(params).keys()


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize(
    "name", ["cautious", "mars", "lookahead", "schedule_free", "average_weights", "sam"]
)
def test_wrappers_go_around_each_other(name, outer):
    tx = WRAPPERS[outer](WRAPPERS[name](gc.adamw(0.1)))
    params = {"a": jnp.zeros(3), "b": 3.0 * jnp.ones((2, 2))}
    state = jax.eval_shape(tx.init, params)
    new, new_state = jax.eval_shape(lambda p, s: tx.step(p, s, p, value_fn=bowl), params, state)
    assert new == jax.eval_shape(lambda: params)
    assert new_state == state
    assert list(state[outer]["inner"]) == [name]


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_takes_a_pair_of_optax(name):
    params = {"a": jnp.zeros(3), "b": 3.0 * jnp.ones((2, 2))}
    grads = jax.grad(bowl)(params)
    arguments = {"downhill": True} if name in ("cautious", "grams") else {}
    with jax.numpy_dtype_promotion("standard"):
        theirs = WRAPPERS[name](optax.sgd(0.1)).replace(**arguments)
        updates, _ = theirs.update(grads, theirs.init(params), params, value_fn=bowl)
    ours = WRAPPERS[name](gc.sgd(0.1))
    expected, _ = ours.update(grads, ours.init(params), params, value_fn=bowl)
    samples.assert_close(updates, expected, 1e-6)


def test_wrappers_work_in_groups():
    tx = gc.partition(
        {"matrices": gc.lookahead(gc.adamw(0.1), 2), "rest": gc.cautious(gc.sgd(0.1))},
        user_transforms.group_of,
    )
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    _, state = run(tx, p, grads)
    assert set(state["partition"]) == {"matrices", "rest"}
    assert state["partition"]["matrices"]["lookahead"]["slow_params"]["dense"]["bias"] is None
