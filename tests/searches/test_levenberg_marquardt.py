"""Levenberg and Marquardt's method: its numbers, what it does with a bad step, and where it may be
used.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.sharding import Mesh, PartitionSpec as P

import gradchain as gc
from tests.searches.levenberg_marquardt import VectorRadius, textbook_run

pytestmark = pytest.mark.rotated(3)  # they take long

T = np.linspace(0.0, 4.0, 9)
Y = 2.0 * np.exp(-0.7 * T) + 0.3 + 0.05 * np.cos(9.0 * T)


def decay(p):
    """Residuals of an exponential decay"""
    return p[0] * jnp.exp(-p[1] * jnp.asarray(T, p.dtype)) + p[2] - jnp.asarray(Y, p.dtype)


def decay_numpy(p):
    return p[0] * np.exp(-p[1] * T) + p[2] - Y


def decay_jacobian(p):
    e = np.exp(-p[1] * T)
    return np.stack([e, -p[0] * T * e, np.ones_like(T)], 1)


def rosenbrock(p):
    return jnp.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]])


def functions(residuals):
    half = lambda p: (
        0.5 * sum(jnp.sum(gc.numerics.abs2(r)) for r in jax.tree.leaves(residuals(p)))
    )
    return {"model_fn": residuals, "value_fn": half}


def go(tx, p, residuals, steps):
    """The points and states of a loop written by hand."""
    extra = functions(residuals)

    def step(carry, _):
        p, state = carry
        value, grads = jax.value_and_grad(extra["value_fn"])(p)
        new = tx.step(jax.tree.map(jnp.conj, grads), state, p, value=value, **extra)
        return new, new

    return jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), length=steps)[1])(p)


def entry(state):
    return state["levenberg_marquardt"]


@pytest.mark.parametrize("start", [[1.0, 1.0, 0.0], [5.0, 3.0, -2.0]])
def test_its_points_are_those_of_the_textbook(start):
    with jax.enable_x64(True):
        points, states = go(gc.levenberg_marquardt(), jnp.asarray(start), decay, 8)
        expected = textbook_run(decay_numpy, decay_jacobian, np.asarray(start), 8)
        np.testing.assert_allclose(points, [p for p, _ in expected], rtol=1e-9)
        np.testing.assert_allclose(
            entry(states)["damping"][:6], [d for _, d in expected][:6], rtol=1e-6
        )


@pytest.mark.parametrize("start", [[1.0, 1.0, 0.0], [5.0, 3.0, -2.0]])
def test_its_points_within_a_radius_are_those_of_moré(start):
    with jax.enable_x64(True):
        points, states = go(gc.levenberg_marquardt(None), jnp.asarray(start), decay, 8)
        twin, p = VectorRadius(), np.asarray(start)
        for point, radius in zip(points, entry(states)["radius"], strict=True):
            p = p + twin.step(p, decay_numpy, decay_jacobian)
            np.testing.assert_allclose(point, p, rtol=1e-7)
            if np.linalg.norm(decay_jacobian(p).T @ decay_numpy(p)) > 1e-9:
                np.testing.assert_allclose(radius, twin.radius, rtol=1e-5)


def test_a_parameter_that_has_an_effect_later_is_scaled_by_that():
    with jax.enable_x64(True):
        late = lambda p: jnp.stack([p[0] - 1.0, p[0] * (1e9 * p[1] - 1.0)])
        for make in (gc.levenberg_marquardt, lambda: gc.levenberg_marquardt(None)):
            found = gc.least_squares(late, jnp.array([0.0, 0.0]), make())
            assert found.status.is_success
            np.testing.assert_allclose(found.params, [1.0, 1e-9], rtol=1e-6)


def test_it_finds_the_minimum_of_minpack():
    with jax.enable_x64(True):
        found = gc.least_squares(decay, jnp.array([5.0, 3.0, -2.0]), tol=1e-10)
        expected = scipy.optimize.least_squares(
            decay_numpy, [5.0, 3.0, -2.0], method="lm", xtol=1e-14, ftol=1e-14
        )
        assert found.status.is_success
        np.testing.assert_allclose(found.params, expected.x, rtol=1e-7)
        np.testing.assert_allclose(found.value, expected.cost, rtol=1e-12)


def test_a_rejected_step_leaves_the_parameters_and_raises_the_damping_faster_each_time():
    with jax.enable_x64(True):
        start = jnp.array([-1.2, 1.0])  # the full step leads to (1, -3.84), which is far higher
        points, states = go(gc.levenberg_marquardt(1e-6), start, rosenbrock, 3)
        np.testing.assert_array_equal(points, [start] * 3)
        np.testing.assert_allclose(entry(states)["damping"], [2e-6, 8e-6, 64e-6])
        np.testing.assert_array_equal(entry(states)["growth"], [4, 8, 16])
        np.testing.assert_array_equal(entry(states)["failed"], [1, 2, 3])
        assert gc.least_squares(rosenbrock, start, gc.levenberg_marquardt(0.0)).value < 1e-12


def test_a_good_step_lowers_the_damping_to_a_third():
    _, states = go(gc.levenberg_marquardt(0.1), jnp.ones(2), lambda p: 3 * p - 1, 2)
    np.testing.assert_allclose(entry(states)["damping"], [0.1 / 3, 0.1 / 9], rtol=1e-6)


def test_a_trial_that_is_no_number_is_rejected():
    wall = lambda p: jnp.log(p) + 3.0  # a full step from 2 leads below zero
    result = gc.least_squares(wall, jnp.array([2.0]))
    assert result.status.is_success
    np.testing.assert_allclose(result.params, np.exp(-3.0), rtol=1e-5)


def test_a_start_that_is_no_number_does_not_enter_the_state():
    tx, p = gc.levenberg_marquardt(), jnp.array([-1.0])
    wall = lambda p: jnp.log(p) + 3.0
    points, states = go(tx, p, wall, 2)
    np.testing.assert_array_equal(points, [[-1.0]] * 2)
    for name in ("damping", "growth", "scales"):
        np.testing.assert_array_equal(entry(states)[name][-1], entry(tx.init(p))[name])
    assert gc.least_squares(wall, p).status is gc.minimization.Status.NON_FINITE


def test_a_stationary_point_is_left_as_it_is():
    hill = lambda p: jnp.stack([p[0] ** 2 + 1.0, p[1]])
    points, states = go(gc.levenberg_marquardt(), jnp.zeros(2), hill, 2)
    np.testing.assert_array_equal(points, np.zeros((2, 2)))
    chex.assert_tree_all_finite(states)
    result = gc.least_squares(hill, jnp.zeros(2))
    assert (result.status, int(result.steps)) == (gc.minimization.Status.CONVERGED_GRADIENT, 0)


@pytest.mark.parametrize("scaling", ["jacobian", "none"])
@pytest.mark.parametrize(
    "residuals",
    [
        # Of rank 2.
        lambda p: jnp.stack([p[0] + p[1] - 3.0, 2 * (p[0] + p[1]) - 6.0, p[2] - 1.0]),
        lambda p: jnp.stack([p[0] + p[1] * p[2] - 3.0]),  # fewer than parameters
        lambda p: jnp.stack([p[0] - 1.0, p[1] - 2.0]),  # without the third
        lambda p: jnp.zeros(0, p.dtype),  # none at all
    ],
    ids=["rank", "few", "unused", "none"],
)
def test_a_singular_jacobian(residuals, scaling):
    with jax.enable_x64(True):
        result = gc.least_squares(
            residuals, jnp.array([0.5, 0.25, -1.0]), gc.levenberg_marquardt(1e-3, scaling)
        )
        assert result.status.is_success
        assert result.value < 1e-12
        assert np.all(np.abs(result.params) < 10)


def test_units_of_the_parameters_do_not_matter():
    with jax.enable_x64(True):
        units, start = jnp.array([1e-6, 1e3, 1.0]), jnp.array([5.0, 3.0, -2.0])
        points, _ = go(gc.levenberg_marquardt(), start, decay, 10)
        scaled, _ = go(gc.levenberg_marquardt(), start / units, lambda p: decay(p * units), 10)
        np.testing.assert_allclose(scaled * units[None], points, rtol=1e-6)
        other, _ = go(
            gc.levenberg_marquardt(scaling="none"), start / units, lambda p: decay(p * units), 10
        )
        assert np.max(np.abs(other * units[None] - points)) > 1e-3


def test_complex_parameters_solve_a_complex_system():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        numbers = rng.standard_normal((5, 4)) + 1j * rng.standard_normal((5, 4))
        a, b = numbers[:, :3], numbers[:, 3]
        start = {
            "x": jnp.zeros(2, complex),
            "y": [None, jnp.zeros((), complex)],
            "none": jnp.zeros((0, 2)),
        }
        vector = lambda p: jnp.concatenate([p["x"], p["y"][1][None]])
        found = gc.least_squares(lambda p: jnp.asarray(a) @ vector(p) - b, start, tol=1e-10)
        np.testing.assert_allclose(vector(found.params), np.linalg.lstsq(a, b)[0], rtol=1e-8)
        assert found.params["y"][0] is None


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_parameters_of_little_precision_go_as_far_as_it_lets_them(dtype):
    found = gc.least_squares(decay, jnp.array([1.5, 1.0, 0.0], dtype), max_steps=50)
    assert found.params.dtype == dtype
    expected = scipy.optimize.least_squares(decay_numpy, [1.0, 1.0, 0.0], method="lm").x
    np.testing.assert_allclose(
        np.asarray(found.params, float), expected, atol=4 * float(jnp.finfo(dtype).eps)
    )


def test_many_starts_at_once():
    with jax.enable_x64(True):
        starts = jnp.asarray([[1.0, 1.0, 0.0], [5.0, 3.0, -2.0], [jnp.nan, 1.0, 1.0]])
        together = jax.vmap(lambda x: gc.least_squares(decay, x))(starts)
        assert [s.is_success for s in together.status] == [True, True, False]
        alone = gc.least_squares(decay, starts[1])
        np.testing.assert_allclose(together.params[1], alone.params, rtol=1e-9)
        assert together.steps[1] == alone.steps


def test_the_loss_is_evaluated_once_an_update():
    seen = []
    extra = functions(decay)

    def value_fn(p):
        jax.debug.callback(lambda: seen.append(1))
        return extra["value_fn"](p)

    tx, p = gc.levenberg_marquardt(), jnp.array([5.0, 3.0, -2.0])
    state = tx.init(p)
    for steps in range(1, 6):
        value, grads = jax.value_and_grad(extra["value_fn"])(p)
        p, state = tx.step(grads, state, p, value=value, model_fn=decay, value_fn=value_fn)
        jax.effects_barrier()
        assert len(seen) == entry(state)["evals"] == steps


def test_the_caller_may_evaluate():
    with jax.enable_x64(True):
        p = start = jnp.array([-1.2, 1.0])
        points, _ = go(gc.levenberg_marquardt(), start, rosenbrock, 12)
        tx = gc.reverse_communication(gc.levenberg_marquardt())
        state, value_and_grad = (
            tx.init(p),
            jax.jit(jax.value_and_grad(functions(rosenbrock)["value_fn"])),
        )
        step, kept = (
            jax.jit(lambda *args, value: tx.step(*args, value=value, model_fn=rosenbrock)),
            [],
        )
        for _ in range(13):
            value, grads = value_and_grad(p)
            p, state = step(grads, state, p, value=value)
            kept.append(state["reverse_communication"]["kept"])
        np.testing.assert_allclose(kept[0], start)
        np.testing.assert_allclose(kept[1:], points, rtol=1e-9)


def test_inside_groups_the_others_stay():
    with jax.enable_x64(True):
        tx = gc.groups([("fixed", gc.freeze())], default=gc.levenberg_marquardt())
        p = {"fixed": jnp.array(0.3), "free": jnp.array([1.0, 1.0])}
        residuals = lambda p: decay(jnp.concatenate([p["free"], p["fixed"][None]]))
        points, _ = go(tx, p, residuals, 15)
        small = lambda q: decay_numpy(np.array([*q, 0.3]))
        expected = scipy.optimize.least_squares(
            small, [1.0, 1.0], method="lm", xtol=1e-14, ftol=1e-14
        ).x
        np.testing.assert_array_equal(points["fixed"], np.full(15, 0.3))
        np.testing.assert_allclose(points["free"][-1], expected, rtol=1e-7)


def test_shards_are_refused():
    mesh = Mesh(np.array(jax.devices()[:2]), "x")
    tx = gc.levenberg_marquardt()

    def step(p):
        extra = functions(lambda p: p - 1.0)
        total = lambda p: gc.numerics.total(extra["value_fn"](p))
        return tx.step(p, tx.init(p), p, value_fn=total, model_fn=extra["model_fn"])[0]

    with pytest.raises(ValueError, match="it is given shards"):
        jax.shard_map(step, mesh=mesh, in_specs=P("x"), out_specs=P("x"))(jnp.ones(4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaling": "rows"}, r"scaling must be one of 'jacobian', 'none', not 'rows'"),
        ({"initial_damping": -1.0}, "initial_damping must be 0 or more, not -1.0"),
        ({"eta": 1.0}, r"eta must be in \[0, 1\), not 1\.0"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        gc.levenberg_marquardt(**arguments).init(jnp.ones(2))


@pytest.mark.parametrize("missing", ["model_fn", "value_fn"])
def test_the_error_names_the_function_that_is_missing(missing):
    extra = {k: f for k, f in functions(decay).items() if k != missing}
    tx, p = gc.levenberg_marquardt(), jnp.ones(3)
    with pytest.raises(TypeError, match=missing):
        tx.update(p, tx.init(p), p, **extra)
