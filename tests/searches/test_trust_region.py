"""Trust regions: the steps solve their subproblem, bad ones shrink the radius, and rounding does
not mislead them.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gradchain as gc
from tests.laws import samples
from tests.laws.known_losses import bowl as loss_of_twins, uphill
from tests.laws.twins import norm
from tests.searches.trust_region import Dogleg, TrustRegion, plus

pytestmark = pytest.mark.rotated(3)  # they take long

each = pytest.mark.parametrize("subproblem", ["steihaug", "dogleg"])
RADII = [0.01, 0.3, 1.0, 3.0, 100.0]


def symmetric(seed, eigenvalues):
    """A random matrix with these eigenvalues"""
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))[0]
    return q @ np.diag(eigenvalues) @ q.T


def first_steps(subproblem, matrix, g, radii):
    """The first step for the loss g'x + x'Hx / 2 from zero, whatever it is worth, for each
    radius.
    """
    more: dict[str, Any] = {"tol": 0.0} if subproblem == "steihaug" else {}
    loss = lambda p: jnp.asarray(g) @ p + 0.5 * p @ jnp.asarray(matrix) @ p

    @jax.jit
    def step(radius):
        tx = gc.trust_region(subproblem, radius, 1e10, 0.0, **more)
        p = jnp.zeros(len(g))
        return tx.update(jnp.asarray(g), tx.init(p), p, value_fn=loss)[0]

    return [np.asarray(step(radius)) for radius in radii]


def exact(matrix, g, radius):
    """The best point within the radius, by bisection of the secular equation (Moré & Sorensen,
    1983)
    """
    values, vectors = np.linalg.eigh(matrix)
    along = vectors.T @ g
    point = lambda shift: -along / (values + shift)
    if values[0] > 0 and np.linalg.norm(point(0.0)) <= radius:
        return vectors @ point(0.0)
    low, high = (
        max(0.0, -values[0]),
        max(0.0, -values[0]) + np.linalg.norm(g) / radius + np.abs(values).max(),
    )
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(point(middle)) > radius else (low, middle)
    return vectors @ point(high)


def model(matrix, g, x):
    return g @ x + 0.5 * x @ matrix @ x


def go(tx, p, loss, steps):
    """The points and states of a loop written by hand."""

    def step(carry, _):
        p, state = carry
        value, grads = jax.value_and_grad(loss)(p)
        new = tx.step(jax.tree.map(jnp.conj, grads), state, p, value=value, value_fn=loss)
        return new, new

    return jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), length=steps)[1])(p)


def entry(state):
    return state["trust_region"]


def rosenbrock(p):
    return 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2


def bowl(p):
    """Convex, with its minimum at 1"""
    sums = [jnp.sum(jnp.sqrt(1 + gc.numerics.abs2(x - 1.0))) for x in jax.tree.leaves(p)]
    return sum(sums[1:], sums[0]) if sums else jnp.zeros(())


@pytest.mark.parametrize(
    ("wide", "tolerance"), [(False, 1e-5), (True, 1e-12)], ids=["float32", "float64"]
)
@each
def test_its_points_are_those_of_its_twin(subproblem, wide, tolerance):
    with jax.enable_x64(wide):
        p = {
            "real": samples.params(float),
            "complex": samples.params(complex, {"kernel": (2, 2)}),
        }
        more: dict[str, Any] = {"tol": 0.0, "max_steps": 4} if subproblem == "steihaug" else {}
        points, states = go(gc.trust_region(subproblem, 0.2, 2.0, **more), p, loss_of_twins, 8)
        twin = {"steihaug": TrustRegion, "dogleg": Dogleg}[subproblem](0.2, 2.0)
        q, radii = samples.named(p), []
        for t in range(8):
            q = plus(q, 1.0, twin.update(uphill(q), q))
            radii.append(twin.radius)
            for name, x in samples.named(samples.at(t, points)).items():
                np.testing.assert_allclose(x, q[name], rtol=0, atol=tolerance)
        np.testing.assert_allclose(entry(states)["radius"], radii, rtol=1e-5)
        assert radii[0] == 0.4  # both ends of the radius took part
        assert norm(q) < 1e-2


@pytest.mark.parametrize("seed", range(3))
@each
def test_the_step_of_a_convex_model_is_newtons_within_the_radius_and_on_the_boundary_beyond(
    subproblem, seed
):
    with jax.enable_x64(True):
        matrix, g = (
            symmetric(seed, np.geomspace(0.5, 20, 6)),
            np.random.default_rng(seed + 9).standard_normal(6),
        )
        newton = -np.linalg.solve(matrix, g)
        for radius, x in zip(RADII, first_steps(subproblem, matrix, g, RADII), strict=True):
            if np.linalg.norm(newton) <= radius:
                np.testing.assert_allclose(x, newton, rtol=1e-9)
            else:
                np.testing.assert_allclose(np.linalg.norm(x), radius, rtol=1e-12)
            best, cauchy = (
                exact(matrix, g, radius),
                -g * min(radius / np.linalg.norm(g), g @ g / (g @ matrix @ g)),
            )
            decrease = -model(matrix, g, x)
            assert decrease >= -model(matrix, g, cauchy) - 1e-12
            # Yuan, "On the truncated conjugate gradient method", 2000: at least half of what is
            # possible
            assert (
                -model(matrix, g, best) + 1e-12
                >= decrease
                >= -0.5 * model(matrix, g, best) - 1e-12
            )


def test_the_dogleg_is_the_best_point_of_its_path():
    with jax.enable_x64(True):
        matrix, g = symmetric(4, np.geomspace(0.2, 20, 6)), np.linspace(-1.0, 1.5, 6)
        newton, cauchy = -np.linalg.solve(matrix, g), -g * (g @ g) / (g @ matrix @ g)
        shares = np.linspace(0.0, 1.0, 20_001)[:, None]
        path = np.concatenate([shares * cauchy, cauchy + shares * (newton - cauchy)])
        radii = [0.05, 0.5 * np.linalg.norm(newton), 0.9 * np.linalg.norm(newton)]
        for radius, x in zip(radii, first_steps("dogleg", matrix, g, radii), strict=True):
            values = [model(matrix, g, p) for p in path if np.linalg.norm(p) <= radius]
            np.testing.assert_allclose(model(matrix, g, x), min(values), rtol=1e-3)
            assert np.min(np.linalg.norm(path - x, axis=1)) < 1e-3


def test_where_the_model_curves_down_conjugate_gradients_go_to_the_boundary():
    with jax.enable_x64(True):
        matrix, g = (
            symmetric(1, [-3.0, -0.1, 0.5, 2.0, 7.0]),
            np.random.default_rng(5).standard_normal(5),
        )
        for radius, x in zip(RADII, first_steps("steihaug", matrix, g, RADII), strict=True):
            np.testing.assert_allclose(np.linalg.norm(x), radius, rtol=1e-12)
            assert (
                model(matrix, g, x) <= model(matrix, g, -radius * g / np.linalg.norm(g)) + 1e-12
            )


def test_where_the_model_curves_down_the_dogleg_takes_the_sizes_of_the_curvatures():
    with jax.enable_x64(True):
        values, g = (
            np.array([-3.0, -0.1, 0.5, 2.0, 7.0]),
            np.random.default_rng(5).standard_normal(5),
        )
        indefinite, positive = symmetric(1, values), symmetric(1, np.abs(values))
        for a, b in zip(
            *(first_steps("dogleg", m, g, RADII) for m in (indefinite, positive)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-9)


@each
def test_a_loss_without_curvature_is_followed_to_the_boundary(subproblem):
    with jax.enable_x64(True):
        g = np.array([3.0, -4.0])
        for radius, x in zip(
            RADII, first_steps(subproblem, np.zeros((2, 2)), g, RADII), strict=True
        ):
            np.testing.assert_allclose(x, -radius * g / 5, rtol=1e-12)


@each
@pytest.mark.parametrize("method", ["trust-ncg", "trust-exact"])
def test_it_finds_the_minimum_of_scipy(subproblem, method):
    with jax.enable_x64(True):
        start = np.array([-1.2, 1.0, -0.5, 2.0])
        both = jax.jit(lambda p: rosenbrock(p[:2]) + rosenbrock(p[2:]) + 0.1 * jnp.sum(p) ** 2)
        found = gc.minimize(both, start, gc.trust_region(subproblem), tol=1e-9)
        derivatives = {"jac": jax.jit(jax.grad(both)), "hess": jax.jit(jax.hessian(both))}
        expected = scipy.optimize.minimize(both, start, method=method, tol=1e-9, **derivatives)
        assert found.status.is_success
        np.testing.assert_allclose(found.params, expected.x, rtol=1e-7)
        assert found.steps <= 2 * expected.nit


@each
def test_a_rejected_step_leaves_the_parameters_and_shrinks_the_radius_to_a_quarter_of_it(
    subproblem,
):
    with jax.enable_x64(True):
        cliff = lambda p: jnp.sum(jnp.where(p < -0.02, 1e3, p**2 - 2 * p + 3.0 * p * (1 + p)))
        points, states = go(gc.trust_region(subproblem), jnp.array([0.0]), cliff, 3)
        np.testing.assert_array_equal(points[:2], np.zeros((2, 1)))
        lengths = np.array([1.0, 1.0, 1.0]) / 8  # Newton's step
        np.testing.assert_allclose(
            entry(states)["radius"][:2], [lengths[0] / 4, lengths[0] / 16], rtol=1e-9
        )
        np.testing.assert_array_equal(entry(states)["failed"], [1, 2, 0])
        np.testing.assert_allclose(points[2], [-lengths[0] / 16], rtol=1e-9)


def test_the_radius_doubles_on_the_boundary_up_to_the_largest():
    tx = gc.trust_region(initial_radius=1.0, max_radius=3.0)
    _, states = go(tx, jnp.full(2, 50.0), lambda p: jnp.sum(p**2), 3)
    np.testing.assert_allclose(entry(states)["radius"], [2.0, 4.0, 6.0])
    points, _ = go(tx, jnp.full(2, 50.0), lambda p: jnp.sum(p**2), 4)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(points, axis=0), axis=1), [2.0, 3.0, 3.0], rtol=1e-5
    )


@each
def test_rounding_of_the_value_does_not_hide_the_minimum(subproblem):
    with jax.enable_x64(True):
        # Whose rounding alone leaves 1e-5 of the parameters open.
        shifted = lambda p: 1e6 + bowl(p)
        points, _ = go(gc.trust_region(subproblem), jnp.array([3.0, -2.0]), shifted, 25)
        np.testing.assert_allclose(points[-1], 1.0, atol=1e-13)


@each
def test_a_trial_that_is_no_number_is_rejected(subproblem):
    # Its minimum is near the wall, where it is NaN.
    wall = lambda p: jnp.sum(p - 0.01 * jnp.log(p))
    result = gc.minimize(wall, jnp.array([2.0]), gc.trust_region(subproblem))
    assert result.status.is_success
    np.testing.assert_allclose(result.params, 0.01, rtol=1e-3)


def test_a_start_that_is_no_number_does_not_enter_the_state():
    tx, p = gc.trust_region(), jnp.array([-1.0])
    points, states = go(tx, p, lambda p: jnp.sum(p - jnp.log(p)), 2)
    np.testing.assert_array_equal(points, [[-1.0]] * 2)
    np.testing.assert_array_equal(entry(states)["radius"], 0.0)
    np.testing.assert_array_equal(entry(states)["grad"], 0.0)
    result = gc.minimize(lambda p: jnp.sum(p - jnp.log(p)), p, tx)
    assert result.status is gc.minimization.Status.NON_FINITE


@each
def test_a_stationary_saddle_is_left_as_it_is_and_its_neighbourhood_is_left(subproblem):
    saddle = lambda p: p[0] ** 2 - p[1] ** 2 + p[1] ** 4
    tx = gc.trust_region(subproblem)
    points, states = go(tx, jnp.zeros(2), saddle, 2)
    np.testing.assert_array_equal(points, np.zeros((2, 2)))
    chex.assert_tree_all_finite(states)
    result = gc.minimize(saddle, jnp.array([0.5, 1e-3]), tx, tol=1e-4)
    np.testing.assert_allclose(np.abs(result.params), [0.0, np.sqrt(0.5)], atol=1e-3)


@each
@pytest.mark.parametrize(("scale", "start"), [(1.0, 1e7), (1e-24, 0.0)])
def test_squares_of_the_gradient_may_be_too_large_or_small_for_their_dtype(
    subproblem, scale, start
):
    loss = lambda p: scale * jnp.sum((p - 1.0) ** 4 + (p - 1.0) ** 2)
    tx = gc.trust_region(subproblem, initial_radius=max(1.0, start))
    result = gc.minimize(loss, jnp.full(3, start), tx, tol=1e-3 * scale, max_steps=100)
    np.testing.assert_allclose(result.params, 1.0, atol=1e-2)


@each
def test_bounds_are_kept_and_the_others_go_on(subproblem):
    with jax.enable_x64(True):
        bounds = (np.array([-2.0, -0.5]), np.array([0.5, 2.0]))
        for start in ([-1.2, 1.0], [0.5, 2.0], [-2.0, -0.5]):
            x0 = np.array(start)
            found = gc.minimize(
                rosenbrock, x0, gc.trust_region(subproblem), bounds=bounds, tol=1e-9
            )
            assert found.status.is_success
            np.testing.assert_allclose(found.params, [0.5, 0.25], rtol=1e-8)
            far = gc.minimize(
                lambda x: jnp.sum((x - jnp.array([3.0, 1.0])) ** 2) + x[0] * x[1],
                x0,
                bounds=bounds,
            )
            near = gc.minimize(
                lambda x: jnp.sum((x - jnp.array([3.0, 1.0])) ** 2) + x[0] * x[1],
                x0,
                gc.trust_region(subproblem),
                bounds=bounds,
            )
            np.testing.assert_allclose(near.params, far.params, rtol=1e-6)


def test_trees_with_holes_complex_leaves_and_leaves_of_size_zero():
    with jax.enable_x64(True):
        start = {
            "a": jnp.array([3.0, -1.0]),
            "hole": None,
            "none": jnp.zeros((0, 2)),
            "c": jnp.array(2.0 - 3.0j),
        }
        for tx in (gc.trust_region(), gc.trust_region("dogleg")):
            result = gc.minimize(bowl, start, tx)
            assert result.params["hole"] is None
            np.testing.assert_allclose(result.params["a"], 1.0, atol=1e-6)
            np.testing.assert_allclose(result.params["c"], 1.0, atol=1e-6)


@each
@pytest.mark.parametrize(
    "tree", [{}, None, {"none": jnp.zeros((0, 2))}], ids=["empty", "hole", "size_zero"]
)
def test_a_tree_without_numbers_has_converged(tree, subproblem):
    result = gc.minimize(bowl, tree, gc.trust_region(subproblem))
    assert (result.status, int(result.steps)) == (gc.minimization.Status.CONVERGED_GRADIENT, 0)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_parameters_of_little_precision_go_as_far_as_it_lets_them(dtype):
    result = gc.minimize(bowl, jnp.array([3.0, -2.0], dtype), gc.trust_region(), max_steps=50)
    assert result.params.dtype == dtype
    np.testing.assert_allclose(
        np.asarray(result.params, float), 1.0, atol=2 * float(jnp.finfo(dtype).eps)
    )


def test_many_starts_at_once():
    with jax.enable_x64(True):
        starts = jnp.array([[-1.2, 1.0], [2.0, -3.0], [jnp.nan, 0.0]])
        together = jax.vmap(lambda x: gc.minimize(rosenbrock, x, gc.trust_region()))(starts)
        assert [s.is_success for s in together.status] == [True, True, False]
        alone = gc.minimize(rosenbrock, starts[1], gc.trust_region())
        np.testing.assert_allclose(together.params[1], alone.params, rtol=1e-8)
        assert together.steps[1] == alone.steps


def test_the_loss_is_evaluated_once_an_update_beside_the_products():
    seen = []
    tx, p = gc.trust_region(), jnp.array([-1.2, 1.0])

    def step(p, state, value, grads):
        def value_fn(q):
            is_here = jnp.all(q == p)  # where the Hessian is
            jax.debug.callback(lambda here: None if here else seen.append(1), is_here)
            return rosenbrock(q)

        return tx.step(grads, state, p, value=value, value_fn=value_fn)

    state, step = tx.init(p), jax.jit(step)
    for steps in range(1, 6):
        p, state = step(p, state, *jax.value_and_grad(rosenbrock)(p))
        jax.effects_barrier()
        assert len(seen) == entry(state)["evals"] == steps


def test_the_caller_may_evaluate():
    with jax.enable_x64(True):
        p = start = jnp.array([-1.2, 1.0])
        points, _ = go(gc.trust_region(), start, rosenbrock, 12)
        tx = gc.reverse_communication(gc.trust_region())
        state, value_and_grad = tx.init(p), jax.jit(jax.value_and_grad(rosenbrock))
        step, kept = (
            jax.jit(lambda *args, value: tx.step(*args, value=value, value_fn=rosenbrock)),
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
        tx = gc.groups([("fixed", gc.freeze())], default=gc.trust_region())
        p = {"fixed": jnp.array(0.5), "free": jnp.array(-1.2)}
        points, _ = go(tx, p, lambda p: rosenbrock(jnp.stack([p["fixed"], p["free"]])), 12)
        np.testing.assert_array_equal(points["fixed"], np.full(12, 0.5))
        np.testing.assert_allclose(points["free"][-1], 0.25, rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subproblem": "exact"}, r"subproblem must be one of 'steihaug', 'dogleg', not 'exact'"),
        ({"initial_radius": 0.0}, "initial_radius must be greater than 0, not 0.0"),
        ({"eta": 0.25}, r"eta must be in \[0, 0\.25\), not 0\.25"),
        ({"max_steps": 0}, "max_steps must be 1 or more, not 0"),
        (
            {"subproblem": "dogleg", "tol": 0.1},
            "tol and max_steps are for subproblem='steihaug'; leave them out",
        ),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        gc.trust_region(**arguments).init(jnp.ones(2))


def test_the_error_names_the_function_that_is_missing():
    tx, p = gc.trust_region(), jnp.ones(3)
    with pytest.raises(TypeError, match="value_fn"):
        tx.update(p, tx.init(p), p)
