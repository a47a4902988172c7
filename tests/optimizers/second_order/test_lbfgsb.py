"""L-BFGS-B finds what SciPy's finds, in as many steps; other chains stay in the box by
projection.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gradchain as gc
from gradchain.searches.first_step import first_length

pytestmark = pytest.mark.rotated(3)  # they take long


def valley(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def bowl(x):
    """A quadratic with coupled numbers, whose minimum lies outside of the boxes here."""
    r = np.random.default_rng(0)
    a = r.normal(size=(x.size, x.size))
    matrix = a @ a.T / x.size + 0.1 * np.eye(x.size)
    return 0.5 * x @ (matrix @ x) - r.normal(size=x.size) @ x


CASES = {
    "valley": (valley, np.full(6, -1.0), -1.5, 0.8),
    "bowl": (bowl, np.zeros(20), -0.3, 0.3),
    "one side": (valley, np.full(6, -1.0), -np.inf, 0.8),
    "free": (valley, np.full(6, -1.0), -np.inf, np.inf),
    "held": (bowl, np.zeros(20), 0.0, np.linspace(0.0, 0.2, 20)),  # the first cannot move at all
}


@pytest.mark.parametrize("name", CASES)
def test_it_finds_what_scipy_finds(name):
    fun, start, low, high = CASES[name]
    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(fun))
        box = list(
            zip(
                np.broadcast_to(low, start.shape), np.broadcast_to(high, start.shape), strict=True
            )
        )
        options = {"ftol": 0, "gtol": 1e-7}
        # its first model is the identity, in whatever units: in these it is the one here
        slope = jax.grad(fun)(jnp.asarray(start))
        unit = float(first_length(start, slope, fun(start)) / jnp.linalg.norm(slope))
        options["gtol"] *= unit
        call = lambda x: tuple(unit * np.asarray(y) for y in both(x))
        expected = scipy.optimize.minimize(
            call, start, jac=True, method="L-BFGS-B", bounds=box, options=options
        )
        found = gc.minimize(fun, jnp.asarray(start), gc.lbfgsb(), bounds=(low, high), tol=1e-7)
        assert found.success
        assert np.abs(np.asarray(found.params) - expected.x).max() < 1e-6
        assert jnp.all((found.params >= low) & (found.params <= high))
        assert int(found.evals) <= 1.25 * expected.nfev + 2


@pytest.mark.parametrize(
    "tx", [gc.lbfgs(), gc.nonlinear_cg(), gc.adam(0.02)], ids=lambda tx: tx.factory.name
)
def test_other_chains_are_projected(tx):
    fun, start, low, high = CASES["bowl"]
    with jax.enable_x64(True):
        expected = gc.minimize(fun, jnp.asarray(start), gc.lbfgsb(), bounds=(low, high), tol=1e-8)
        found = gc.minimize(
            fun, jnp.asarray(start), tx, bounds=(low, high), tol=1e-6, max_steps=3000
        )
        assert found.success
        assert jnp.abs(found.params - expected.params).max() < 1e-4
        assert jnp.all((found.params >= low) & (found.params <= high))


def test_trees_prefixes_and_sides_without_a_bound():
    loss = lambda p: jnp.sum((p["a"] - 3.0) ** 2) + (p["b"] + 2.0) ** 2
    start = {"a": jnp.ones(3), "b": jnp.array(0.0)}
    found = gc.minimize(
        loss,
        start,
        gc.lbfgsb(),
        bounds=({"a": None, "b": -1.0}, {"a": jnp.array([1.0, 2.0, 9.0]), "b": None}),
    )
    assert found.success
    assert jnp.allclose(found.params["a"], jnp.array([1.0, 2.0, 3.0]), atol=1e-4)
    assert jnp.allclose(found.params["b"], -1.0, atol=1e-4)


def test_in_a_chain_of_ones_own_the_box_is_an_extra_argument():
    tx = gc.chain(gc.scale_by_lbfgsb(3), gc.scale(-1.0))
    params, box = jnp.array([0.5, 0.5]), (jnp.zeros(2), jnp.ones(2))
    fun = lambda p: jnp.sum((p - jnp.array([2.0, 0.25])) ** 2)
    state = tx.init(params)
    for _ in range(5):
        params, state = tx.step(jax.grad(fun)(params), state, params, bounds=box)
    assert jnp.allclose(params, jnp.array([1.0, 0.25]), atol=1e-5)


@pytest.mark.parametrize(
    ("bounds", "error", "says"),
    [
        ((jnp.zeros(3), 1.0), ValueError, "shape .3., the parameters there .2."),
        ([0.0, 1.0], ValueError, "a pair"),
    ],
)
def test_bounds_that_do_not_fit(bounds, error, says):
    with pytest.raises(error, match=says):
        gc.minimize(lambda p: jnp.sum(p**2), jnp.ones(2), bounds=bounds)


def test_complex_parameters_have_no_order():
    with pytest.raises(TypeError, match="no order"):
        gc.minimize(
            lambda p: jnp.sum(gc.numerics.abs2(p)), jnp.ones(2, jnp.complex64), bounds=(0.0, 1.0)
        )


def test_without_a_box_it_is_the_direction_of_lbfgs():
    with jax.enable_x64(True):
        ours, other = gc.scale_by_lbfgsb(4), gc.scale_by_lbfgs(4)
        p = jnp.full(6, -1.0)
        state, other_state = ours.init(p), other.init(p)
        for _ in range(12):  # the memory is full three times over
            g = jax.grad(valley)(p)
            u, state = ours.update(g, state, p)
            expected, other_state = other.update(g, other_state, p)
            assert jnp.abs(u - expected).max() < 1e-8 * jnp.abs(expected).max()
            p = p - 0.1 * expected
