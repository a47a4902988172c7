"""Newton's directions on functions: quadratic convergence, saddles, negative curvature, what is no
number.
"""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.curvature import dense, hessian_operator
from gradchain.curvature.vectors import to_vector

pytestmark = pytest.mark.rotated(3)  # they take long


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def saddle(x):
    """Minima of -1/4 at (0, 1) and (0, -1); a saddle at zero."""
    return x[0] ** 2 + 0.25 * x[1] ** 4 - 0.5 * x[1] ** 2


def direction(tx, fun, params, **extra):
    grads = jax.tree.map(jnp.conj, jax.grad(fun)(params))
    return tx.update(grads, tx.init(params), params, value_fn=fun, **extra)[0]


def descend(tx, fun, params, steps):
    """The gradient's norm at each step, and the last point."""
    state, norms = tx.init(params), []
    step = jax.jit(lambda p, state: tx.step(jax.grad(fun)(p), state, p, value_fn=fun))
    for _ in range(steps):
        params, state = step(params, state)
        norms.append(float(gc.global_norm(jax.grad(fun)(params))))
    return norms, params


METHODS = [
    gc.scale_by_newton(),
    gc.scale_by_newton_cg(),
    gc.scale_by_newton_cg(preconditioner="hutchinson"),
]
each_method = pytest.mark.parametrize(
    "tx", METHODS, ids=["newton", "newton_cg", "newton_cg-hutchinson"]
)


@each_method
def test_converges_faster_than_linearly_with_steps_of_one(tx):
    with jax.enable_x64(True):
        fun = lambda x: jnp.sum(jnp.cosh(x - 1)) + 0.3 * x[0] * x[1]
        norms, _ = descend(gc.chain(tx, gc.scale(-1.0)), fun, jnp.zeros(3), 12)
        assert norms[-1] < 1e-12
        near = [n for n in norms if 1e-12 < n < 1e-1]
        assert all(b < 5 * a**1.4 for a, b in itertools.pairwise(near))


def test_newtons_error_is_squared_at_each_step():
    with jax.enable_x64(True):
        tx = gc.chain(gc.scale_by_newton(), gc.scale(-1.0))
        norms, _ = descend(tx, lambda x: jnp.sum(jnp.exp(x) - 2 * x), jnp.array([1.5, 0.2]), 6)
        near = [n for n in norms if n > 1e-12]
        assert len(near) >= 4
        assert all(b < 0.6 * a**2 for a, b in itertools.pairwise(near))


@each_method
def test_leaves_a_saddle(tx):
    with jax.enable_x64(True):
        start = jnp.array([0.3, 1e-6])
        _, x = descend(gc.chain(tx, gc.scale(-0.5)), saddle, start, 60)
        np.testing.assert_allclose(jnp.abs(x), [0.0, 1.0], atol=1e-6)


@each_method
def test_goes_downhill_where_the_hessian_is_indefinite(tx):
    rng = np.random.default_rng(0)
    for _ in range(5):
        m = rng.standard_normal((6, 6)).astype(np.float32)
        fun = lambda x, m=m: 0.5 * x @ (m + m.T) @ x + jnp.sum(x)
        x = jnp.asarray(rng.standard_normal(6), jnp.float32)
        u, g = direction(tx, fun, x), jax.grad(fun)(x)
        assert u @ g > 0
        assert fun(x - 1e-3 * u / jnp.linalg.norm(u)) < fun(x)


def test_newton_solves_with_magnitudes_of_eigenvalues():
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        params = {
            "a": jnp.asarray(rng.standard_normal((2, 2))),
            "b": [jnp.asarray(rng.standard_normal(3)), None],
        }
        fun = lambda p: jnp.sum(jnp.sin(p["a"] @ p["a"])) + jnp.sum(p["b"][0] ** 3) * p["a"][0, 0]
        values, vectors = np.linalg.eigh(dense(hessian_operator(fun, params), params))
        assert values[0] < -0.1
        g = to_vector(jax.grad(fun)(params))[0]
        expected = vectors @ ((vectors.T @ g) / (np.abs(values) + 0.3))
        found = to_vector(direction(gc.scale_by_newton(0.3), fun, params))[0]
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_newton_cg_without_truncation_is_newton():
    with jax.enable_x64(True):
        x = jnp.array([-1.2, 1.0, 0.7, 1.1])
        fun = lambda x: rosenbrock(x) + 50 * jnp.sum((x - 1) ** 2)
        expected = jnp.linalg.solve(jax.hessian(fun)(x), jax.grad(fun)(x))
        np.testing.assert_allclose(direction(gc.scale_by_newton(), fun, x), expected, rtol=1e-9)
        np.testing.assert_allclose(
            direction(gc.scale_by_newton_cg(tol=0.0), fun, x), expected, rtol=1e-9
        )


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_truncation_is_as_fine_as_the_gradient_has_become_small_in_any_unit_of_the_loss(unit):
    with jax.enable_x64(True):
        scales = jnp.geomspace(1.0, 100.0, 30)
        fun, tx = lambda x: 0.5 * unit * jnp.sum(scales * x**2), gc.scale_by_newton_cg()
        state = tx.init(jnp.ones(30))
        for share, accuracy in ((1.0, 0.5), (1e-2, 0.1), (1e-6, 1e-3)):
            x = share * jnp.ones(30) / scales  # the gradient shrinks to this share
            u, state = tx.update(jax.grad(fun)(x), state, x, value_fn=fun)
            residual = float(jnp.linalg.norm(scales * (u - x)) / jnp.linalg.norm(scales * x))
            assert 0.01 * accuracy < residual <= accuracy


def test_a_gradient_that_is_not_finite_is_not_the_first_one():
    x, tx = jnp.ones(4), gc.scale_by_newton_cg()
    _, state = tx.update(jnp.full(4, jnp.inf), tx.init(x), x, value_fn=rosenbrock)
    assert state["scale_by_newton_cg"]["first_norm"] == 0


def test_complex_parameters_are_pairs():
    with jax.enable_x64(True):
        fun = lambda z: jnp.sum(gc.numerics.abs2(z - (1 + 2j)) + 0.1 * gc.numerics.abs2(z) ** 2)
        pair = lambda x: fun(jax.lax.complex(x[0], x[1]))
        z = jnp.array([0.3 - 0.2j, 1.0 + 0.5j])
        x = jnp.stack([z.real, z.imag])
        for tx in (gc.scale_by_newton(), gc.scale_by_newton_cg(tol=0.0)):
            u = direction(tx, fun, z)
            expected = direction(tx, pair, x)
            np.testing.assert_allclose(jnp.stack([u.real, u.imag]), expected, rtol=1e-9)


@each_method
def test_where_the_curvature_is_nothing_or_no_number_it_is_the_gradient(tx):
    for fun in (
        lambda x: 3.0 * jnp.sum(x),
        lambda x: jnp.sum(x * jnp.sqrt(jnp.abs(x))),
    ):  # linear; infinite at zero
        x, g = jnp.zeros(2), jnp.array([3.0, -1.0])
        u, _ = tx.update(g, tx.init(x), x, value_fn=fun)
        np.testing.assert_allclose(u, g, rtol=1e-6)


@each_method
def test_a_gradient_of_zero_stays(tx):
    x = jnp.zeros(2)
    assert not np.any(direction(tx, saddle, x))


def test_hutchinson_helps_where_scales_differ():
    with jax.enable_x64(True):
        scales = jnp.geomspace(1.0, 1e6, 40)
        fun = lambda x: 0.5 * jnp.sum(scales * x**2) + 0.05 * jnp.sum(x) ** 2
        x = jnp.ones(40)
        exact = jnp.linalg.solve(jax.hessian(fun)(x), jax.grad(fun)(x))
        error = {}
        for name in (None, "hutchinson"):
            u = direction(
                gc.scale_by_newton_cg(tol=0.0, max_steps=8, preconditioner=name), fun, x
            )
            error[name] = float(jnp.linalg.norm(u - exact) / jnp.linalg.norm(exact))
        assert error["hutchinson"] < 1e-6
        assert error[None] > 0.1


def test_hutchinsons_vectors_depend_on_seed_step_and_key():
    x, fun = jnp.array([-1.2, 1.0, 0.5]), rosenbrock
    tx = lambda seed: gc.scale_by_newton_cg(
        tol=0.0, max_steps=1, preconditioner="hutchinson", seed=seed
    )
    g = jax.grad(fun)(x)
    first, state = tx(0).update(g, tx(0).init(x), x, value_fn=fun)
    again, _ = tx(0).update(g, tx(0).init(x), x, value_fn=fun)
    np.testing.assert_array_equal(first, again)
    second, _ = tx(0).update(g, state, x, value_fn=fun)
    keyed = direction(tx(0), fun, x, key=jax.random.key(7))
    others = [direction(tx(1), fun, x), second, keyed]
    assert all(np.any(other != first) for other in others)
    np.testing.assert_array_equal(keyed, direction(tx(1), fun, x, key=jax.random.key(7)))


def test_a_preconditioner_is_made_at_the_parameters():
    with jax.enable_x64(True):
        fun = lambda x: jnp.sum(x**4)
        inverse = lambda p: lambda r: r / (12 * p**2)
        x = jnp.array([1.0, 2.0, 30.0])
        u = direction(gc.scale_by_newton_cg(tol=0.0, max_steps=1, preconditioner=inverse), fun, x)
        np.testing.assert_allclose(u, x / 3, rtol=1e-12)


def test_it_is_compiled_once_for_other_numbers():
    x = jnp.ones(3)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(tx, x):
        return tx.update(jax.grad(rosenbrock)(x), tx.init(x), x, value_fn=rosenbrock)[0]

    for damping in (0.1, 0.2):
        update(gc.scale_by_newton_cg(damping=damping), x + damping)


def test_a_group_of_its_own_leaves_the_other_leaves_where_they_are():
    with jax.enable_x64(True):
        params = {"w": jnp.array([1.0, 2.0]), "b": jnp.array([3.0])}
        fun = lambda p: jnp.sum(p["w"] ** 2 * p["b"]) + jnp.sum(p["b"] ** 2)
        tx = gc.groups([("w", gc.newton(line_search=gc.scale(1.0)))], default=gc.sgd(0.1))
        grads = jax.grad(fun)(params)
        new, _ = tx.step(grads, tx.init(params), params, value_fn=fun)
        np.testing.assert_allclose(new["w"], 0.0, atol=1e-12)
        np.testing.assert_allclose(new["b"], params["b"] - 0.1 * grads["b"])


def test_shards_are_refused_by_what_makes_a_whole_matrix():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    tx, x, spec = gc.scale_by_newton(), jnp.ones(8), jax.sharding.PartitionSpec("x")
    fun = lambda x: gc.numerics.total(x**2)
    update = lambda x: tx.update(x, {}, x, value_fn=fun)[0]
    with pytest.raises(ValueError, match="inside shard_map it is given shards"):
        jax.shard_map(update, mesh=mesh, in_specs=spec, out_specs=spec)(x)


@pytest.mark.parametrize("tx", [gc.newton(), gc.newton_cg(tol=1e-3)], ids=["newton", "newton_cg"])
def test_with_a_line_search_it_minimizes_rosenbrocks_function(tx):
    with jax.enable_x64(True):
        result = gc.minimize(rosenbrock, jnp.array([-1.2, 1.0]), tx)
        np.testing.assert_allclose(result.params, 1.0, atol=1e-6)
        assert result.steps < 40


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gc.scale_by_newton(-1.0), "damping must be 0 or more"),
        (lambda: gc.scale_by_newton_cg(tol=-1.0), "tol must be 0 or more"),
        (lambda: gc.scale_by_newton_cg(max_steps=0), "max_steps must be 1 or more"),
        (
            lambda: gc.scale_by_newton_cg(preconditioner="jacobi"),
            "preconditioner must be one of 'hutchinson'",
        ),
    ],
)
def test_wrong_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make().init(jnp.ones(2))


def test_without_the_loss_it_says_how_to_give_it():
    tx = gc.scale_by_newton()
    with pytest.raises(TypeError, match="value_fn="):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2))
