"""PSGD fitted to products with the Hessian, of low rank and with Kronecker factors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

pytestmark = pytest.mark.rotated(1)  # they take long

RULES = {
    "lra": lambda **options: gc.scale_by_psgd_lra(rank=2, fit_to="hessian", **options),
    "kron": lambda **options: gc.scale_by_psgd_kron(fit_to="hessian", where="*", **options),
}
each_rule = pytest.mark.parametrize("make", RULES.values(), ids=list(RULES))
PARAMS = {"a": jnp.ones((3, 2)), "b": jnp.full((2, 3), 0.5), "c": jnp.ones((3, 2))}


def run(tx, loss, steps):
    """The states after each step, where parameters and gradients stay."""
    state, states = tx.init(PARAMS), []
    step = jax.jit(lambda state: tx.update(PARAMS, state, PARAMS, value_fn=loss)[1])
    for _ in range(steps):
        state = step(state)
        states.append(state[next(iter(state))])
    return states


@each_rule
@pytest.mark.parametrize("staggered", [False, True])
def test_products_are_made_in_the_steps_of_the_policy_alone(make, staggered):
    calls = []

    def loss(p):
        jax.debug.callback(lambda: calls.append(1))
        return sum(jnp.sum(x**4) for x in p.values())

    tx, made = make(refresh=gc.refresh.every(4, staggered)), []
    state = tx.init(PARAMS)
    step = jax.jit(lambda state: tx.update(PARAMS, state, PARAMS, value_fn=loss)[1])
    for _ in range(9):
        state = step(state)
        jax.effects_barrier()
        made.append(bool(calls))
        calls.clear()
    # Of three matrices in turns one waits in one step of four; all parameters have one turn.
    has_turns = staggered and "scale_by_psgd_kron" in state
    due = (0, 2, 3) if has_turns else (0,)
    assert made == [i == 0 or i % 4 in due for i in range(9)]


@each_rule
def test_a_product_that_is_not_finite_changes_no_factor(make):
    loss = lambda scale: lambda p: sum(jnp.sum(scale * x**4) for x in p.values())
    tx = make()
    state = tx.init(PARAMS)
    _, state = tx.update(PARAMS, state, PARAMS, value_fn=loss(1.0))
    updates, after = tx.update(PARAMS, state, PARAMS, value_fn=loss(jnp.inf))
    name = next(iter(state))
    for slot in state[name].keys() - {"mu", "count"}:
        jax.tree.map(np.testing.assert_array_equal, after[name][slot], state[name][slot])
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(updates))


@each_rule
def test_a_key_draws_other_vectors(make):
    loss = lambda p: sum(jnp.sum(x**4) for x in p.values())
    tx = make()
    state = tx.init(PARAMS)
    update = lambda **extra: tx.update(PARAMS, state, PARAMS, value_fn=loss, **extra)[0]["a"]
    assert np.any(update(key=jax.random.key(1)) != update())


def test_the_preconditioner_comes_near_the_inverse_of_the_hessian():
    u = jax.random.normal(jax.random.key(0), (8, 1))
    matrix = jnp.eye(8) + 2 * u @ u.T  # of which the inverse has the low rank
    loss = lambda p: 0.5 * jnp.vdot(p, matrix @ p)
    often = {"refresh": gc.refresh.every(1), "max_rms": jnp.inf, "damping": 0.0}
    tx = gc.scale_by_psgd_lra(b1=0.0, rank=1, fit_to="hessian", **often)

    def step(carry, _):
        p, state = carry
        updates, state = tx.update(jax.grad(loss)(p), state, p, value_fn=loss)
        return (p, state), jnp.linalg.norm(updates - p)

    p = jnp.linspace(-1.0, 1.0, 8)
    errors = jax.lax.scan(step, (p, tx.init(p)), length=1000)[1]
    assert errors[-50:].mean() < 0.2 < 10 < jnp.linalg.norm(matrix @ p - p)


def test_a_leaf_that_is_not_for_the_rule_has_no_part_in_the_probe():
    """The other leaves are constants, also inside a wrapper of the rule."""
    params = {"w": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    loss = lambda p: jnp.sum(p["w"] ** 4) * jnp.sum(p["bias"]) / 2
    alone = lambda p: jnp.sum(p["w"] ** 4)
    tx = gc.scale_by_psgd_kron(fit_to="hessian", where="w")
    updates, _ = tx.update(params, tx.init(params), params, value_fn=loss)
    one, grads = {"w": params["w"]}, {"w": params["w"]}
    expected, _ = tx.update(grads, tx.init(one), one, value_fn=alone)
    np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-6)
