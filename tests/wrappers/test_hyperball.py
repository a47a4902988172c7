"""Tests of steps on spheres beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

pytestmark = pytest.mark.rotated(1)  # they take long

SHAPES = {"bias": (3,), "kernel": (4, 3), "stack": (2, 3, 4)}


def params(size=1.0):
    rng = np.random.default_rng(0)
    return {k: jnp.asarray(size * rng.standard_normal(s), jnp.float32) for k, s in SHAPES.items()}


def after(tx, p, steps=50, size=1.0):
    """The parameters after some steps."""
    rng, state, step = np.random.default_rng(1), tx.init(p), jax.jit(tx.step)
    for _ in range(steps):
        draw = lambda x: jnp.asarray(size * rng.standard_normal(x.shape), x.dtype)
        p, state = step(jax.tree.map(draw, p), state, p)
    return p


def norms(p, axis=None):
    return {k: np.linalg.norm(np.asarray(x, float), axis=axis) for k, x in p.items()}


@pytest.mark.parametrize(
    "tx",
    [
        gc.hyperball(gc.scale_by_muon(where=gc.ndim_at_least(2))),
        gc.hyperball(gc.scale_by_adam()),
        gc.on_sphere(gc.scale_by_muon(where=gc.ndim_at_least(2)), 0.05),
        gc.on_sphere(gc.scale_by_adam(), 0.05),
    ],
    ids=repr,
)
def test_norms_stay_over_fifty_steps(tx):
    p = params()
    q = after(tx, p)
    for k, length in norms(p).items():
        np.testing.assert_allclose(norms(q)[k], length, rtol=1e-6)
        assert np.max(np.abs(np.asarray(q[k] - p[k]))) > 0.1


def test_each_step_has_the_length_of_the_rate():
    p = params()
    tx = gc.hyperball(gc.scale_by_adam(), 1e-3)
    u, _ = tx.update(jax.tree.map(jnp.ones_like, p), tx.init(p), p)
    for k, x in norms(u).items():
        assert x <= 1.001e-3 * norms(p)[k]


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("make", [gc.hyperball, gc.on_sphere])
def test_sizes_of_gradients_and_parameters(make, size):
    p = params()
    rate = 0.1 if make is gc.hyperball else 0.1 / size
    q = after(make(gc.identity(), rate), p, 20, size)
    np.testing.assert_allclose(norms(q)["kernel"], norms(p)["kernel"], rtol=1e-6)
    p = params(size)
    q = after(make(gc.identity(), 0.1 if make is gc.hyperball else 0.1 * size), p, 20)
    np.testing.assert_allclose(norms(q)["kernel"], norms(p)["kernel"], rtol=1e-6)


@pytest.mark.parametrize("make", [gc.hyperball, gc.on_sphere])
def test_what_starts_at_zero_moves_freely(make):
    p = jax.tree.map(jnp.zeros_like, params())
    tx, state = make(gc.identity(), 0.1), None
    state = tx.init(p)
    for _ in range(3):
        p, state = tx.step(jax.tree.map(jnp.ones_like, p), state, p)
    jax.tree.map(lambda x: np.testing.assert_allclose(x, -0.3, rtol=1e-6), p)


@pytest.mark.parametrize("make", [gc.hyperball, gc.on_sphere])
def test_points_along_axes_have_norms_of_their_own(make):
    p = {k: x for k, x in params().items() if k != "bias"}
    for axis in (-1, 0, (-2, -1)):
        q = after(make(gc.scale_by_adam(), 0.05, axis), p, 10)
        for k, length in norms(p, axis).items():
            np.testing.assert_allclose(norms(q, axis)[k], length, rtol=1e-6)
    with pytest.raises(ValueError, match=r"shape \[3\] has no such dimension"):
        make(gc.scale_by_adam(), 0.05, (-2, -1)).init(params())


def test_a_whole_optimizer_goes_downhill_too():
    p, g = params(), jax.tree.map(jnp.ones_like, params())
    for make in (gc.hyperball, gc.on_sphere):
        of_direction, of_optimizer = make(gc.identity(), 0.1), make(gc.sgd(1.0), 0.1)
        one, _ = of_direction.update(g, of_direction.init(p), p)
        other, _ = of_optimizer.update(g, of_optimizer.init(p), p)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one, other)


def test_momentum_is_tangent_and_second_moments_are_not_touched():
    tx, p = gc.on_sphere(gc.scale_by_adam(b1=0.9), 0.3), jnp.array([3.0, 4.0])
    state = tx.init(p)
    p, state = tx.step(jnp.array([1.0, 0.0]), state, p)
    before = state["on_sphere"]["inner"]["scale_by_adam"]
    _, state = tx.step(jnp.zeros(2), state, p)
    moments = state["on_sphere"]["inner"]["scale_by_adam"]
    assert abs(float(moments["mu"] @ p)) < 1e-6 < abs(float(before["mu"] @ p))
    np.testing.assert_allclose(moments["nu"], 0.999 * before["nu"], rtol=1e-6)


def test_groups_inside_keep_their_states():
    inner = gc.groups([("kernel", gc.scale_by_muon(where="*"))], default=gc.scale_by_adam())
    p = params()
    q = after(gc.on_sphere(inner, 0.05), p, 5)
    np.testing.assert_allclose(norms(q)["kernel"], norms(p)["kernel"], rtol=1e-6)
