"""Nonlinear conjugate gradients: linear ones on a quadratic, when they start again, and what leaves
no trace.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.optimizers.second_order.nonlinear_cg import METHODS
from tests.laws.samples import assert_identical
from tests.support.quadratics import N, conjugate_gradients, exact_steps, hessian

pytestmark = pytest.mark.rotated(3)  # they take long

each = pytest.mark.parametrize("method", METHODS)


@each
def test_a_quadratic_takes_as_many_exact_steps_as_there_are_parameters(method):
    with jax.enable_x64(True):
        a, x = hessian(), np.arange(1.0, N + 1)
        points, s = exact_steps(
            gc.scale_by_nonlinear_cg(method), jnp.asarray(a), jnp.asarray(x), N
        )
        np.testing.assert_allclose(points[:-1], conjugate_gradients(a, x, N - 1), atol=1e-8)
        np.testing.assert_allclose(points[-1], 0.0, atol=1e-8)
        assert s["since_start"] == N


def directions(tx, gradients):
    state, made = tx.init(gradients[0]), []
    for g in gradients:
        u, state = tx.update(g, state)
        made.append(u)
    return made, state["scale_by_nonlinear_cg"]


def test_numbers_by_hand():
    """g = (0, 2) after (1, 0): y = (-1, 2), g'y = 4, and p'y = 1 for p = (-1, 0)."""
    expected = {
        "polak_ribiere": 4.0,
        "fletcher_reeves": 4.0,
        "hestenes_stiefel": 4.0,
        "dai_yuan": 4.0,
        "hager_zhang": 4.0,  # g'p = 0
    }
    for method, beta in expected.items():
        (_, d), _ = directions(
            gc.scale_by_nonlinear_cg(method), [jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])]
        )
        np.testing.assert_allclose(d, [beta, 2.0], rtol=1e-6, err_msg=method)
    # g = (0.5, 2): y = (-0.5, 2), g'y = 3.75, p'y = 0.5, y'y = 4.25, p'g = -0.5; beta = (3.75 +
    # 8.5) / 0.5 for the last
    expected = {
        "polak_ribiere": 3.75,
        "fletcher_reeves": 4.25,
        "hestenes_stiefel": 7.5,
        "dai_yuan": 8.5,
        "hager_zhang": 24.5,
    }
    for method, beta in expected.items():
        (_, d), _ = directions(
            gc.scale_by_nonlinear_cg(method), [jnp.array([1.0, 0.0]), jnp.array([0.5, 2.0])]
        )
        np.testing.assert_allclose(d, [0.5 + beta, 2.0], rtol=1e-6, err_msg=method)


def test_polak_ribiere_is_never_below_zero_and_hager_zhang_not_far():
    first, shorter = jnp.array([1.0, 0.0]), jnp.array([0.5, 0.0])  # g'y = -0.25
    (_, d), _ = directions(gc.scale_by_nonlinear_cg(), [first, shorter])
    np.testing.assert_array_equal(d, shorter)
    # g = (-3, 100): y = (-4, 100), g'y = 10012, p'y = 4, y'y = 10016, p'g = 3; beta = (10012 -
    # 15024) / 4 = -1253, and 0.4 p'g_old / p'p = -0.4
    (_, d), _ = directions(
        gc.scale_by_nonlinear_cg("hager_zhang"), [first, jnp.array([-3.0, 100.0])]
    )
    np.testing.assert_allclose(d, [-3.4, 100.0], rtol=1e-6)


@each
def test_a_direction_that_does_not_go_downhill_is_the_gradient(method):
    state = gc.scale_by_nonlinear_cg(method).init(jnp.zeros(2))
    state["scale_by_nonlinear_cg"] |= {
        "grad": jnp.array([0.0, 1.0]),
        "direction": jnp.array([-1e6, 1.0]),
        "since_start": jnp.int32(4),
    }
    g = jnp.array([1.0, 0.9])
    u, state = gc.scale_by_nonlinear_cg(method).update(g, state)
    assert jnp.vdot(u, g) > 0
    if method in (
        "polak_ribiere",
        "fletcher_reeves",
    ):  # of the others beta is below zero: downhill, but far
        np.testing.assert_array_equal(u, g)
        assert state["scale_by_nonlinear_cg"]["since_start"] == 1


def test_it_starts_again_every_so_often():
    rng = np.random.default_rng(0)
    gradients = [
        jnp.asarray(rng.standard_normal(50), jnp.float32) for _ in range(7)
    ]  # nearly orthogonal
    tx = gc.scale_by_nonlinear_cg("fletcher_reeves", restart_every=3)
    made, state = directions(tx, gradients)
    starts = [bool(np.array_equal(u, g)) for u, g in zip(made, gradients, strict=True)]
    assert starts == [True, False, False, True, False, False, True]
    assert state["since_start"] == 1


def test_it_starts_again_where_gradients_are_far_from_orthogonal():
    first, across, along = jnp.array([1.0, 0.0]), jnp.array([0.1, 1.0]), jnp.array([0.3, 1.0])
    tx = gc.scale_by_nonlinear_cg(restart_threshold=0.2)
    (_, u), state = directions(tx, [first, across])
    assert not np.array_equal(u, across)
    assert state["since_start"] == 2
    (_, u), state = directions(tx, [first, along])
    np.testing.assert_array_equal(u, along)
    assert state["since_start"] == 1


@each
def test_a_gradient_that_is_not_finite_leaves_no_trace(method):
    tx = gc.scale_by_nonlinear_cg(method)
    _, s = directions(tx, [jnp.array([1.0, 0.5]), jnp.array([-0.4, 0.9])])
    before = {"scale_by_nonlinear_cg": s}
    u, after = tx.update(jnp.array([jnp.nan, 1.0]), before)
    assert np.isnan(u[0])  # for a guard to see
    assert u[1] == 1.0
    assert_identical(after, before)


@each
def test_zero_gradients_are_zero_directions(method):
    made, _ = directions(
        gc.scale_by_nonlinear_cg(method), [jnp.ones(2), jnp.zeros(2), jnp.zeros(2), jnp.ones(2)]
    )
    np.testing.assert_array_equal(made[1:3], 0.0)
    np.testing.assert_array_equal(made[3], 1.0)


def test_arguments_that_make_no_sense():
    with pytest.raises(
        ValueError, match=r"method must be one of 'polak_ribiere', .*, not 'newton'"
    ):
        gc.scale_by_nonlinear_cg("newton").init(jnp.ones(2))
    with pytest.raises(ValueError, match="restart_every must be 1 or more, not 0"):
        gc.scale_by_nonlinear_cg(restart_every=0).init(jnp.ones(2))
    with pytest.raises(ValueError, match="restart_threshold must be 0 or more"):
        gc.scale_by_nonlinear_cg(restart_threshold=-0.1).init(jnp.ones(2))
