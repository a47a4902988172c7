"""Tests of quasi newton beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

import gradchain as gc
from gradchain.curvature.vectors import to_vector
from tests.laws.samples import assert_close, assert_identical
from tests.support.quadratics import (
    N,
    conjugate_gradients,
    entry,
    exact_steps,
    fixed_steps,
    hessian,
    tree,
)

pytestmark = pytest.mark.rotated(3)  # they take long

ALL = [
    gc.scale_by_lbfgs(N),
    gc.scale_by_lbfgs(N, "compact"),
    gc.scale_by_bfgs(),
    gc.scale_by_dfp(),
]
each = pytest.mark.parametrize("tx", ALL, ids=["two_loop", "compact", "bfgs", "dfp"])


@each
def test_a_quadratic_takes_as_many_exact_steps_as_there_are_parameters(tx):
    with jax.enable_x64(True):
        a, x = hessian(), np.arange(1.0, N + 1)
        points, _ = exact_steps(tx, jnp.asarray(a), jnp.asarray(x), N)
        np.testing.assert_allclose(points[:-1], conjugate_gradients(a, x, N - 1), atol=1e-8)
        np.testing.assert_allclose(points[-1], 0.0, atol=1e-8)


@pytest.mark.parametrize("make", [gc.scale_by_bfgs, gc.scale_by_dfp])
def test_then_the_matrix_is_the_inverse_hessian(make):
    with jax.enable_x64(True):
        a, x = hessian(), jnp.arange(1.0, N + 1)
        _, s = exact_steps(make(), jnp.asarray(a), x, N + 1)
        np.testing.assert_allclose(s["inverse_hessian"], np.linalg.inv(a), atol=1e-8)


def rosenbrock(p):
    x = to_vector(p)[0]
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_both_forms_are_the_same_also_once_the_ring_is_full():
    with jax.enable_x64(True):
        p = tree(jnp.linspace(-1.0, 1.5, N))
        ends = [
            fixed_steps(gc.scale_by_lbfgs(4, form), rosenbrock, p, 30, 0.2)
            for form in ("two_loop", "compact")
        ]
        (points, state), (others, other) = ends
        assert entry(state)["pairs"] == entry(other)["pairs"]
        assert entry(state)["pairs"] >= 4
        assert rosenbrock(jax.tree.map(lambda x: x[-1], points)) < 0.02 * rosenbrock(p)
        assert_close(points, others, 1e-10)


def logistic(p):
    """A convex loss, on which every step makes a pair."""
    rng = np.random.default_rng(0)
    inputs, signs = (
        jnp.asarray(rng.standard_normal((40, N))),
        jnp.asarray(rng.choice([-1.0, 1.0], 40)),
    )
    x = to_vector(p)[0]
    return jnp.sum(jnp.logaddexp(0.0, -signs * (inputs @ x))) + 0.05 * x @ x


@pytest.mark.parametrize("form", ["two_loop", "compact"])
def test_the_points_are_those_of_optax(form):
    with jax.enable_x64(True):
        p = tree(jnp.linspace(-1.0, 1.0, N))
        points, state = fixed_steps(gc.scale_by_lbfgs(3, form), logistic, p, 30, 0.3)
        with jax.numpy_dtype_promotion("standard"):
            expected, _ = fixed_steps(optax.scale_by_lbfgs(3), logistic, p, 30, 0.3)
        assert entry(state)["count"] == 30
        assert_close(points, expected, 1e-10)


@pytest.mark.parametrize("form", ["two_loop", "compact"])
def test_the_product_is_that_of_scipy(form):
    with jax.enable_x64(True):
        tx, x, rng = gc.scale_by_lbfgs(5, form), np.ones(N), np.random.default_rng(1)
        a, state, last, pairs = hessian(), tx.init(jnp.ones(N)), None, []
        for _ in range(8):
            g = a @ x
            pairs += [(x - last[0], g - last[1])] if last else []
            u, state = tx.update(jnp.asarray(g), state, jnp.asarray(x))
            last = x, g
            x = x + rng.standard_normal(N)
        s, y = (np.stack(column) for column in zip(*pairs[-5:], strict=True))
        gamma = (
            s[-1] @ y[-1] / (y[-1] @ y[-1])
        )  # SciPy begins with the identity: other units of the parameters
        root = np.sqrt(gamma)
        product = scipy.optimize.LbfgsInvHessProduct(s / root, y * root)
        np.testing.assert_allclose(u, gamma * product.matvec(last[1]), rtol=1e-10)


@pytest.mark.parametrize("make", [gc.scale_by_bfgs, gc.scale_by_dfp])
def test_the_dense_matrix_is_that_of_scipy(make):
    """SciPy has DFP's formula as the other half of its own: H of one is B of the other with s and y
    exchanged.
    """
    with jax.enable_x64(True):
        is_bfgs = make is gc.scale_by_bfgs
        theirs = scipy.optimize.BFGS(init_scale=1.0)
        tx, x, rng = make(), np.ones(N), np.random.default_rng(1)
        a, state, last, scale = hessian(), tx.init(jnp.ones(N)), None, None
        for _ in range(6):
            g = a @ x
            _, state = tx.update(jnp.asarray(g), state, jnp.asarray(x))
            if last:
                s, y = x - last[0], g - last[1]
                if scale is None:
                    scale = s @ y / (y @ y)
                    theirs = scipy.optimize.BFGS(init_scale=scale)
                    theirs.initialize(N, "inv_hess" if is_bfgs else "hess")
                theirs.update(*((s, y) if is_bfgs else (y, s)))
            last = x, g
            x = x + rng.standard_normal(N)
        np.testing.assert_allclose(
            entry(state)["inverse_hessian"], theirs.get_matrix(), rtol=1e-9, atol=1e-12
        )


# ------------------------------------------------------------------------------- pairs and refusals


def start(tx, steps=3):
    """A point in the middle of a descent on a quadratic, its gradient there, and the state."""
    a, x = jnp.asarray(hessian(condition=4.0), jnp.float32), jnp.arange(1.0, N + 1)
    state = tx.init(x)
    for _ in range(steps):
        u, state = tx.update(a @ x, state, x)
        x = x - 0.5 * u
    return x, a @ x, state


def pairs_of(tx, state):
    """The slots that hold what was learnt."""
    return {k: v for k, v in entry(state).items() if k not in ("count", "params", "grad")}


@each
def test_without_a_pair_the_gradient_is_as_long_as_the_largest_parameter(tx):
    along, zero = jnp.array([0.6, -0.8]), jnp.zeros(2)
    for length in (1e-25, 1e-3, 5.0, 1e12, 1e25):
        g = length * along
        for unit in (1e-12, 1.0, 1e12):
            p = unit * jnp.array([-2.0, 1.0])
            u, _ = tx.update(g, tx.init(p), p)
            np.testing.assert_allclose(u, 2.0 * unit * along, rtol=1e-6)
        u, _ = tx.update(g, tx.init(zero), zero)
        np.testing.assert_allclose(u, along, rtol=1e-6)
        u, _ = tx.update(g, tx.init(zero), zero, value=-3.0 * length)
        np.testing.assert_allclose(u, 6.0 * along, rtol=1e-6)
        u, _ = tx.replace(scale_first=False).update(g, tx.init(g), g)
        np.testing.assert_array_equal(u, g)


@each
def test_a_step_that_did_not_move_the_parameters_makes_no_pair(tx):
    x, g, state = start(tx)
    _, before = tx.update(g, state, x)
    _, after = tx.update(2 * g, before, x)  # of another batch, say
    assert_identical(pairs_of(tx, after), pairs_of(tx, before))
    np.testing.assert_array_equal(entry(after)["grad"], 2 * g)


@each
def test_negative_curvature_makes_no_pair(tx):
    x, g, state = start(tx)
    _, before = tx.update(g, state, x)
    step = 0.1 * jnp.ones(N)
    u, after = tx.update(g - step, before, x + step)
    assert_identical(pairs_of(tx, after), pairs_of(tx, before))
    assert jnp.vdot(u, g - step) > 0


@each
def test_a_gradient_that_is_not_finite_leaves_no_trace(tx):
    x, g, state = start(tx)
    for bad in (jnp.nan, jnp.inf):
        u, after = tx.update(g.at[2].set(bad), state, x)
        assert not np.isfinite(u[2])  # for a guard to see
        np.testing.assert_array_equal(np.delete(u, 2), np.delete(g, 2))
        assert_identical(after, state)
    _, first = tx.update(jnp.full(N, jnp.nan), tx.init(x), x)
    assert_identical(first, tx.init(x))


@each
def test_parameters_that_are_not_finite_leave_no_trace(tx):
    x, g, state = start(tx)
    u, after = tx.update(g, state, x.at[0].set(jnp.inf))
    assert_identical(after, state)
    assert jnp.vdot(u, g) > 0


@each
def test_the_units_of_the_loss_do_not_matter(tx):
    """In float32 a threshold of s'y / y'y itself would refuse each pair of a loss whose Hessian is
    1e9.
    """
    ends = []
    for unit in (1.0, 1e9, 1e-9):
        a, x = jnp.asarray(hessian(condition=4.0), jnp.float32), jnp.arange(1.0, N + 1)
        state = tx.init(x)
        _, state = tx.update(unit * (a @ x), state, x)
        u, state = tx.update(unit * (a @ (x - 0.5)), state, x - 0.5)
        assert entry(state)["pairs"] == 1
        ends.append(u)
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-4)
    np.testing.assert_allclose(ends[2], ends[0], rtol=1e-4)


@pytest.mark.parametrize("form", ["two_loop", "compact"])
def test_a_direction_that_does_not_go_downhill_empties_the_memory(form):
    tx = gc.scale_by_lbfgs(4, form)
    x, g, state = start(tx)
    _, state = tx.update(g, state, x)
    state["scale_by_lbfgs"]["sy"] = -state["scale_by_lbfgs"][
        "sy"
    ]  # as rounding does it only after much bad luck
    u, after = tx.update(g, state, x)
    assert after["scale_by_lbfgs"]["pairs"] == 0
    np.testing.assert_allclose(u, g * (jnp.max(jnp.abs(x)) / jnp.linalg.norm(g)), rtol=1e-6)
    y = jnp.asarray(hessian(condition=4.0), jnp.float32) @ (x - u)
    _, after = tx.update(y, after, x - u)
    assert after["scale_by_lbfgs"]["pairs"] == 1  # it goes on from the last point


@pytest.mark.parametrize("make", [gc.scale_by_bfgs, gc.scale_by_dfp])
def test_a_matrix_that_does_not_go_downhill_is_forgotten(make):
    tx = make()
    x, g, state = start(tx)
    _, state = tx.update(g, state, x)
    entry(state)["inverse_hessian"] = -entry(state)["inverse_hessian"]
    u, after = tx.update(g, state, x)
    assert entry(after)["pairs"] == 0
    assert not np.any(entry(after)["inverse_hessian"])
    np.testing.assert_allclose(u, g * (jnp.max(jnp.abs(x)) / jnp.linalg.norm(g)), rtol=1e-6)


@each
def test_a_zero_gradient_forgets_nothing(tx):
    x, g, state = start(tx)
    _, before = tx.update(g, state, x)
    u, after = tx.update(jnp.zeros(N), before, x)
    np.testing.assert_array_equal(u, 0.0)
    assert_identical(pairs_of(tx, after), pairs_of(tx, before))


@each
def test_pairs_are_of_the_gradient_of_the_loss_whatever_stands_before(tx):
    a = jnp.asarray(hessian(condition=4.0), jnp.float32)
    x, clipped = jnp.arange(1.0, N + 1), gc.chain(gc.clip_by_global_norm(1e-3), tx)
    state, own = clipped.init(x), tx.init(x)
    for _ in range(3):
        u, state = clipped.update(a @ x, state, x)
        expected, own = tx.update(a @ x, own, x)
        assert_close(pairs_of(tx, {"": next(iter(state.values()))}), pairs_of(tx, own), 1e-6)
        x = x - 0.5 * expected
    np.testing.assert_allclose(
        u / jnp.linalg.norm(u), expected / jnp.linalg.norm(expected), rtol=1e-4
    )


def test_arguments_that_make_no_sense():
    with pytest.raises(ValueError, match="scale_by_lbfgs: memory_size must be 1 or more, not 0"):
        gc.scale_by_lbfgs(0).init(jnp.ones(2))
    with pytest.raises(
        ValueError, match="form must be one of 'two_loop', 'compact', not 'dense'"
    ):
        gc.scale_by_lbfgs(form="dense").init(jnp.ones(2))
    with pytest.raises(TypeError, match="needs params"):
        gc.scale_by_lbfgs().update(jnp.ones(2), gc.scale_by_lbfgs().init(jnp.ones(2)))


# -------------------------------------------------------------------------------------- the recipes


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (gc.lbfgs, 50),
        (gc.bfgs, 60),
        (gc.dfp, 60),
        (gc.nonlinear_cg, 120),
        (lambda: gc.lbfgs(form="compact"), 50),
    ],
    ids=["lbfgs", "bfgs", "dfp", "nonlinear_cg", "compact"],
)
def test_recipes_minimize_the_banana(make, most):
    with jax.enable_x64(True):
        tx, p = make(), {"a": jnp.array(-1.2), "b": jnp.ones(2), "hole": None}
        step = jax.jit(
            lambda p, state: tx.step(jax.grad(rosenbrock)(p), state, p, value_fn=rosenbrock)
        )
        state = tx.init(p)
        for _ in range(most):
            p, state = step(p, state)
        np.testing.assert_allclose(to_vector(p)[0], 1.0, atol=1e-6)
        assert list(state)[-1] == "strong_wolfe"


def test_a_recipe_takes_any_line_search_and_a_fixed_rate():
    assert list(gc.lbfgs(5, gc.backtracking()).members) == [
        "scale_by_lbfgs",
        "scale",
        "backtracking",
    ]
    assert list(gc.bfgs(gc.hager_zhang()).members) == ["scale_by_bfgs", "scale", "hager_zhang"]
    fixed = gc.chain(gc.lbfgs(3, gc.scale(0.5)))
    p, state = tree(jnp.linspace(-1.0, 1.0, N, dtype=jnp.float32)), None
    assert fixed == gc.chain(gc.lbfgs(3).replace(line_search=gc.scale(0.5)))
    state = fixed.init(p)
    for _ in range(30):
        p, state = fixed.step(jax.grad(quartic)(p), state, p)
    assert quartic(p) < 1e-6


def quartic(p):
    x = to_vector(p)[0]
    return jnp.sum(x**2 + 0.1 * x**4)


def test_complex_parameters_are_pairs_of_real_ones():
    rng = np.random.default_rng(0)
    m = jnp.asarray(rng.standard_normal((8, 6)), jnp.float32)
    loss = lambda x: jnp.sum(jnp.cosh(m @ x))
    z = jnp.asarray(rng.standard_normal(3) + 1j * rng.standard_normal(3), jnp.complex64)
    of_complex = lambda z: loss(jnp.concatenate([z.real, z.imag]))
    for form in ("two_loop", "compact"):
        tx, p, q = gc.lbfgs(4, gc.scale(0.3), form=form), z, jnp.concatenate([z.real, z.imag])
        state, real_state = tx.init(p), tx.init(q)
        for _ in range(10):
            p, state = tx.step(jnp.conj(jax.grad(of_complex)(p)), state, p)
            q, real_state = tx.step(jax.grad(loss)(q), real_state, q)
        np.testing.assert_allclose(jnp.concatenate([p.real, p.imag]), q, atol=1e-4)
        assert loss(q) < loss(jnp.concatenate([z.real, z.imag]))
