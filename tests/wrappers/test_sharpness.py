"""Sharpness-aware minimization asks the loss itself; optax does the same in its own way."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc


def loss(params):
    return jnp.sum(jnp.sin(params["a"])) + jnp.sum(params["a"][:2] * params["b"]) ** 2


START = {"a": jnp.array([0.3, -1.0, 2.0]), "b": jnp.array([1.5, 0.2])}


def test_sam_is_that_of_optax():
    ours = gc.sam(gc.adam(0.05), rho=0.2)
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(0.2))
    theirs = optax.contrib.sam(optax.adam(0.05), adversary, sync_period=2, opaque_mode=True)
    p = their_p = START
    state = ours.init(p)
    with jax.numpy_dtype_promotion("standard"):
        their_state = theirs.init(p)
        for _ in range(10):
            p, state = ours.step(jax.grad(loss)(p), state, p, value_fn=loss)
            grad_fn = lambda p, _: jax.grad(loss)(p)
            updates, their_state = theirs.update(
                jax.grad(loss)(their_p), their_state, their_p, grad_fn=grad_fn
            )
            their_p = optax.apply_updates(their_p, updates)
    for name, x in p.items():
        np.testing.assert_allclose(x, their_p[name], rtol=1e-5, atol=1e-5)


def test_looksam_asks_a_second_time_only_when_it_looks():
    asked = []

    def value_fn(params):
        jax.debug.callback(lambda: asked.append(1))
        return loss(params)

    tx = gc.looksam(gc.sgd(0.1), every=3)
    step = jax.jit(lambda p, state: tx.step(jax.grad(loss)(p), state, p, value_fn=value_fn))
    p, state, counts = START, tx.init(START), []
    for _ in range(7):
        p, state = step(p, state)
        jax.effects_barrier()
        counts.append(len(asked))
    assert counts == [1, 1, 1, 2, 2, 2, 3]


def test_looksam_that_always_looks_is_sam():
    g = jax.grad(loss)(START)
    update = lambda tx: tx.update(g, tx.init(START), START, value_fn=loss)[0]
    for name, x in update(gc.sam(gc.sgd(0.1), 0.2)).items():
        np.testing.assert_allclose(
            update(gc.looksam(gc.sgd(0.1), 0.2, every=1))[name], x, rtol=1e-6
        )


def test_asam_does_not_depend_on_the_scale_of_a_parameter():
    """With f(p) = h(c p) the perturbation is 1/c of that of h, so that the gradient there is c
    times that of h.
    """

    def ascent(scale):
        value_fn = lambda params: loss({"a": params["a"] * scale, "b": params["b"]})
        params = {"a": START["a"] / scale, "b": START["b"]}
        tx = gc.asam(gc.identity(), 0.3, eta=0.0)
        found, _ = tx.update(
            jax.grad(value_fn)(params), tx.init(params), params, value_fn=value_fn
        )
        return found["a"] / scale, found["b"]

    for x, y in zip(ascent(1.0), ascent(8.0), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4)


@pytest.mark.slow
def test_complex_parameters_go_downhill():
    target = jnp.array([1.0 + 2.0j, -0.5j])
    value_fn = lambda p: jnp.sum(gc.numerics.abs2(p - target))
    uphill = lambda p: jnp.conj(jax.grad(value_fn)(p))
    for tx in (
        gc.sam(gc.sgd(0.1), 0.05),
        gc.asam(gc.sgd(0.1), 0.05),
        gc.looksam(gc.sgd(0.1), 0.05, every=2),
    ):
        p = jnp.array([0.5 - 1.0j, 2.0 + 1.0j])
        state = tx.init(p)
        for _ in range(100):
            p, state = tx.step(uphill(p), state, p, value_fn=value_fn)
        assert value_fn(p) < 0.02, tx


def test_a_missing_loss_is_named():
    tx = gc.sam(gc.sgd(0.1))
    with pytest.raises(TypeError, match="'sam' needs the extra argument 'value_fn'"):
        tx.update(START, tx.init(START), START)


def test_the_loss_sees_holes_where_the_gradients_have_them():
    tx = gc.sam(gc.sgd(0.1))
    seen = lambda p: jnp.sum(p["a"] ** 2) if p["b"] is None else jnp.sum(p["b"])
    updates, _ = tx.update({"a": START["a"], "b": None}, tx.init(START), START, value_fn=seen)
    assert updates["b"] is None
    assert np.all(np.isfinite(updates["a"]))
