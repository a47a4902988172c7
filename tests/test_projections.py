"""Projections and proximal operators: in the set, nothing nearer, the same twice; the same as optax
and SciPy.
"""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

import gradchain as gc
from gradchain import projections
from gradchain.projections import Along
from tests.transforms.constraints import CONSTRAINTS
from tests.transforms.penalties import PENALTIES

pytestmark = pytest.mark.rotated(3)  # they take long

each_set = pytest.mark.parametrize("row", CONSTRAINTS, ids=[row.name for row in CONSTRAINTS])
each_penalty = pytest.mark.parametrize("row", PENALTIES, ids=[row.name for row in PENALTIES])
numbers = st.floats(-4, 4, allow_subnormal=False, width=32)
points = arrays(np.float64, (3, 2), elements=numbers)
few = settings(max_examples=40, deadline=None)
TREE = {"a": np.array([[0.5, -2.0], [1.5, 0.25]]), "b": np.array([3.0, -0.5, 0.0])}


@pytest.fixture(autouse=True)
def in_float64_as_users_have_it():
    with (
        jax.enable_x64(True),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
    ):
        yield


@pytest.mark.rotated(3)
@each_set
@few
@given(x=points, other=points)
def test_a_projection_is_the_nearest_point_of_the_set(row, x, other):
    onto = lambda x: np.asarray(row.make()(jnp.asarray(x)))
    y = onto(x)
    # No point of a sphere is the nearest to its centre.
    assert row.holds(y, 1e-9) or not np.any(x)
    np.testing.assert_allclose(onto(y), y, atol=1e-9)
    z = onto(other)
    assert np.linalg.norm(x - y) <= np.linalg.norm(x - z) + 1e-9 or not np.any(other)


@each_penalty
@few
@given(x=points, other=points)
def test_a_proximal_operator_is_where_step_and_penalty_balance(row, x, other):
    y = np.asarray(row.make()(jnp.asarray(x), 0.7))
    cost = lambda y: 0.5 * np.sum((x - y) ** 2) + 0.7 * row.value(y)
    for z in (other, x, 0 * x, y + 0.01 * other, y * 0.99):
        assert cost(y) <= cost(z) + 1e-9


def test_scipy_finds_the_same_points():
    x = np.array([0.3, -0.8, 1.7, 0.1, 0.9])
    solve = lambda cost, start, kind, slack: (
        scipy.optimize.minimize(
            cost,
            start,
            bounds=[(0, None)] * start.size,
            constraints=[{"type": kind, "fun": slack}],
            method="SLSQP",
            tol=1e-14,
        ).x
    )
    on_simplex = solve(
        lambda y: np.sum((x - y) ** 2), np.full(5, 0.3), "eq", lambda y: np.sum(y) - 1.5
    )
    np.testing.assert_allclose(
        projections.projection_simplex(jnp.asarray(x), 1.5), on_simplex, atol=1e-6
    )
    # With y = a - b, a >= 0 and b >= 0, the ball has no corners.
    ab = solve(
        lambda ab: np.sum((x - ab[:5] + ab[5:]) ** 2),
        np.full(10, 0.1),
        "ineq",
        lambda ab: 1.5 - np.sum(ab),
    )
    np.testing.assert_allclose(
        projections.projection_l1_ball(jnp.asarray(x), 1.5), ab[:5] - ab[5:], atol=1e-6
    )


@pytest.mark.parametrize(
    "name", ["simplex", "l1_sphere", "l1_ball", "l2_sphere", "l2_ball", "linf_ball"]
)
@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0])
def test_optax_projects_a_tree_to_the_same_place(name, scale):
    tree = jax.tree.map(jnp.asarray, TREE)
    ours, theirs = (
        getattr(m, f"projection_{name}")(tree, scale) for m in (projections, optax.projections)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), ours, theirs)


def test_optax_projects_on_sides_and_planes_to_the_same_place():
    tree = jax.tree.map(jnp.asarray, TREE)
    normal = jax.tree.map(lambda x: jnp.cos(x) + 0.5, tree)
    low, high = jax.tree.map(lambda x: x - 0.1, normal), jax.tree.map(lambda x: x + 0.1, normal)
    for name, rest in {
        "non_negative": (),
        "box": (low, high),
        "vector": (normal,),
        "hyperplane": (normal, 0.3),
        "halfspace": (normal, 0.3),
    }.items():
        ours, theirs = (
            getattr(m, f"projection_{name}")(tree, *rest)
            for m in (projections, optax.projections)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), ours, theirs)
    cube = projections.projection_hypercube(tree, 0.5)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(y, np.clip(x, 0, 0.5)), TREE, cube)


def test_the_slopes_of_a_simplex_are_those_of_optax():
    x, weights = jnp.array([0.3, 0.7, -0.2, 0.5]), jnp.array([1.0, 2.0, 3.0, 4.0])
    slopes = [
        jax.jacobian(m.projection_simplex)(x) @ weights for m in (projections, optax.projections)
    ]
    np.testing.assert_allclose(*slopes, atol=1e-12)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12, 1e18])
def test_a_simplex_is_reached_from_afar(size):
    x = jnp.asarray(np.random.default_rng(0).standard_normal(100) * size, jnp.float32)
    y = np.asarray(projections.projection_simplex(x))
    assert np.all(y >= 0)
    assert np.sum(y) == pytest.approx(1.0, rel=1e-5)


def test_slices_are_points_on_their_own():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4, 2)))
    by_slice = projections.projection_simplex(x, 2.0, over=Along((0, 2)))
    for j in range(4):
        np.testing.assert_allclose(
            by_slice[:, j], projections.projection_simplex(x[:, j], 2.0), atol=1e-12
        )


def test_a_complex_point_is_a_real_one_of_twice_the_size():
    z = jnp.array([1.0 + 2.0j, -0.5 + 0.25j])
    parts = jnp.array([1.0, 2.0, -0.5, 0.25])
    for onto in (
        gc.constraints.simplex(),
        gc.constraints.l2_ball(),
        gc.constraints.box(-0.1, 0.3),
        gc.constraints.non_negative(),
    ):
        y = onto(z)
        np.testing.assert_allclose(
            np.stack([y.real, y.imag], axis=1).ravel(), onto(parts), atol=1e-12
        )


def test_a_stage_keeps_the_parameters_in_the_set():
    params = {"mix": jnp.full((2, 3), 1 / 3), "free": jnp.zeros(2)}
    tx = gc.chain(gc.adam(0.3), gc.project(gc.constraints.simplex(), "mix", axis=-1))
    state = tx.init(params)
    for t in range(20):
        grads = jax.tree.map(
            lambda x, t=t: jnp.cos(t + jnp.arange(x.size)).reshape(x.shape), params
        )
        params, state = tx.step(grads, state, params)
        np.testing.assert_allclose(np.sum(params["mix"], axis=-1), 1.0, atol=1e-12)
        assert np.all(np.asarray(params["mix"]) >= 0)
    assert np.any(np.asarray(params["free"]) < 0)


def test_the_lasso_has_exact_zeros():
    """Proximal gradient finds the solution whose slopes say that it is one."""
    rng = np.random.default_rng(0)
    a, b, strength = (
        jnp.asarray(rng.standard_normal((20, 8))),
        jnp.asarray(rng.standard_normal(20)),
        3.0,
    )
    slope = lambda x: a.T @ (a @ x - b)
    rate = float(1 / np.linalg.norm(a, 2) ** 2)
    tx, x = gc.chain(gc.sgd(rate), gc.prox(gc.penalties.l1(strength), rate)), jnp.zeros(8)
    state = tx.init(x)
    step = jax.jit(tx.step)
    for _ in range(2000):
        x, state = step(slope(x), state, x)
    zero, g = np.asarray(x) == 0, np.asarray(slope(x))
    assert 0 < np.sum(zero) < 8
    np.testing.assert_allclose(g[~zero], -strength * np.sign(np.asarray(x)[~zero]), atol=1e-8)
    assert np.all(np.abs(g[zero]) <= strength)


def test_numbers_of_a_constraint_may_be_schedules():
    tx = gc.project(gc.constraints.box(-1.0, gc.linear_schedule(1.0, 0.0, 2)))
    p, state = jnp.array([5.0]), tx.init(jnp.array([5.0]))
    tops = []
    for _ in range(4):
        u, state = tx.update(jnp.zeros(1), state, p)
        tops.append(float(p[0] + u[0]))
    assert tops == [1.0, 0.5, 0.0, 0.0]
    assert gc.from_config(gc.to_config(tx)) == tx


def test_a_plain_function_is_a_constraint():
    tx = gc.project(jnp.round)
    p = jnp.array([0.3, 1.6])
    np.testing.assert_allclose(p + tx.update(jnp.zeros(2), tx.init(p), p)[0], [0.0, 2.0])


def test_a_penalty_is_not_a_constraint_and_the_other_way_round():
    p = jnp.ones(2)
    with pytest.raises(TypeError, match="penalty must be one"):
        gc.prox(gc.constraints.simplex(), 0.1).init(p)
    with pytest.raises(TypeError, match="a constraint is not a penalty"):
        gc.project(gc.penalties.l1(0.1)).init(p)


@each_set
def test_constraints_print_and_have_a_config(row):
    tx = gc.project(row.make(), "*/kernel", axis=0)
    assert eval(repr(tx), vars(gc) | vars(gc.constraints)) == tx
    assert gc.from_config(gc.to_config(tx)) == tx


@each_penalty
def test_penalties_print_and_have_a_config(row):
    tx = gc.prox(row.make(), 0.1)
    assert eval(repr(tx), vars(gc) | vars(gc.penalties)) == tx
    assert gc.from_config(gc.to_config(tx)) == tx


def test_a_normal_vector_may_be_a_tuple():
    tx = gc.project(gc.constraints.hyperplane((1.0, -1.0), 0.5))
    p = jnp.array([1.0, 2.0])
    y = p + tx.update(jnp.zeros(2), tx.init(p), p)[0]
    np.testing.assert_allclose(y, [1.75, 1.25])
    assert gc.from_config(gc.to_config(tx)) == tx


def test_non_negative_is_what_optax_keeps():
    p, u = jnp.array([0.3, 0.1, 2.0]), jnp.array([-0.4, 0.2, -2.0])
    theirs, _ = optax.keep_params_nonnegative().update(u, optax.EmptyState(), p)
    tx = gc.project(gc.constraints.non_negative())
    np.testing.assert_array_equal(tx.update(u, tx.init(p), p)[0], theirs)


@pytest.mark.parametrize(
    "onto", [projections.projection_l2_ball, projections.projection_l2_sphere]
)
def test_slopes_at_the_centre_are_numbers(onto):
    assert np.all(np.isfinite(jax.grad(lambda x: jnp.sum(onto(x)))(jnp.zeros(2))))
