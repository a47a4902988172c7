"""Gauss-Newton and natural gradient directions on least squares and on a model of digits;
Hessian-free optimization.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import gradchain as gc
from gradchain import losses
from gradchain.curvature import dense, fisher_operator, gauss_newton_operator
from tests.support.exponential import half_square, residuals, start, vector

pytestmark = pytest.mark.rotated(3)  # they take long


def direction(tx, grads, params, **extra):
    return tx.update(grads, tx.init(params), params, **extra)[0]


BOTH = {
    "cg": gc.scale_by_gauss_newton(tol=0.0),
    "dense": gc.scale_by_gauss_newton(solver="dense"),
}
each_solver = pytest.mark.parametrize("solver", BOTH)


@each_solver
def test_is_the_least_squares_solution_of_the_linear_model(solver):
    with jax.enable_x64(True):
        p = start()
        jacobian = np.stack(
            [np.asarray(x) for x in jax.tree.leaves(jax.jacobian(residuals)(p))], axis=1
        )
        expected = np.linalg.lstsq(jacobian, np.asarray(residuals(p)))[0]
        found = direction(BOTH[solver], jax.grad(half_square)(p), p, model_fn=residuals)
        np.testing.assert_allclose(vector(found), expected, rtol=1e-7)


@each_solver
def test_fits_an_exponential_in_a_few_steps(solver):
    with jax.enable_x64(True):
        tx, p = gc.chain(BOTH[solver], gc.scale(-1.0)), start()
        state = tx.init(p)
        for _ in range(8):
            p, state = tx.step(jax.grad(half_square)(p), state, p, model_fn=residuals)
        np.testing.assert_allclose(vector(p), [-1.5, 0.5, 2.0], rtol=1e-9)


@each_solver
def test_a_singular_matrix_is_solved_with_damping(solver):
    """Two parameters of which only the sum matters."""
    with jax.enable_x64(True):
        model = lambda p: jnp.stack([p[0] + p[1] - 3.0, 2.0 * (p[0] + p[1])])
        tx = BOTH[solver].replace(damping=0.1)
        p = jnp.array([1.0, 5.0])
        g = jax.grad(lambda p: 0.5 * jnp.sum(model(p) ** 2))(p)
        expected = np.linalg.solve(5.0 * np.ones((2, 2)) + 0.1 * np.eye(2), g)
        np.testing.assert_allclose(direction(tx, g, p, model_fn=model), expected, rtol=1e-9)


@each_solver
def test_without_damping_a_singular_matrix_still_gives_the_shortest_solution(solver):
    with jax.enable_x64(True):
        model = lambda p: jnp.stack([p[0] + p[1] - 3.0])
        p = jnp.array([1.0, 5.0])
        g = jax.grad(lambda p: 0.5 * jnp.sum(model(p) ** 2))(p)
        np.testing.assert_allclose(
            direction(BOTH[solver], g, p, model_fn=model), [1.5, 1.5], rtol=1e-6
        )


@pytest.mark.parametrize("damping", [0.0, 1e-34])
def test_sizes_far_apart_do_not_make_a_matrix_singular(damping):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        units = jnp.array([1e-12, 1.0, 1e12])
        matrix, p = jnp.asarray(rng.standard_normal((5, 3))) / units[None], units
        model = lambda p: matrix @ p - 1.0
        g = jax.grad(lambda p: 0.5 * jnp.sum(model(p) ** 2))(p)
        expected = np.linalg.lstsq(np.asarray(matrix * units[None]), np.asarray(model(p)))[0]
        tx = gc.scale_by_gauss_newton(damping, solver="dense")
        found = direction(tx, g, p, model_fn=model)
        np.testing.assert_allclose(found / units, expected, rtol=1e-7)


@each_solver
def test_another_loss_weighs_the_outputs(solver):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, y = (
            jnp.asarray(rng.standard_normal((20, 3))),
            jnp.asarray(rng.integers(0, 2, 20).astype(float)),
        )
        model = lambda w: x @ w
        loss = lambda z: jnp.mean(jax.nn.softplus(z) - y * z)
        w = jnp.asarray(rng.standard_normal(3))
        fun = lambda w: loss(model(w))
        expected = np.linalg.solve(
            jax.hessian(fun)(w), jax.grad(fun)(w)
        )  # of a linear model it is the Hessian
        found = direction(BOTH[solver], jax.grad(fun)(w), w, model_fn=model, loss_fn=loss)
        np.testing.assert_allclose(found, expected, rtol=1e-8)


@each_solver
def test_where_the_model_is_flat_or_no_number_it_is_the_gradient(solver):
    for model in (lambda p: jnp.zeros(3), lambda p: jnp.sqrt(jnp.abs(p) - 1.0)):
        p, g = jnp.zeros(2), jnp.array([3.0, -1.0])
        np.testing.assert_allclose(direction(BOTH[solver], g, p, model_fn=model), g, rtol=1e-6)


def test_a_preconditioner_by_name_takes_fewer_steps():
    with jax.enable_x64(True):
        scales = jnp.geomspace(1.0, 1e3, 30)
        model = lambda p: jnp.concatenate([scales * p, 0.1 * jnp.sum(p)[None]])
        p = jnp.ones(30)
        g = jax.grad(lambda p: 0.5 * jnp.sum(model(p) ** 2))(p)
        exact = direction(BOTH["dense"], g, p, model_fn=model)
        error = {}
        for name in (None, "hutchinson"):
            tx = gc.scale_by_gauss_newton(tol=0.0, max_steps=6, preconditioner=name)
            error[name] = float(jnp.linalg.norm(direction(tx, g, p, model_fn=model) - exact))
        assert error["hutchinson"] < 1e-3 * error[None]


def test_a_group_of_its_own_sees_the_model_with_the_others_where_they_are():
    with jax.enable_x64(True):
        p = start()
        tx = gc.partition(
            {"fit": gc.gauss_newton(tol=0.0, line_search=gc.scale(1.0)), "rest": gc.freeze()},
            {"rate": "rest", "rest": "fit", "size": "fit"},
        )
        new, _ = tx.step(jax.grad(half_square)(p), tx.init(p), p, model_fn=residuals)
        jacobian = jax.jacobian(residuals)(p)
        linear = np.stack([jacobian["rest"], jacobian["size"]], axis=1)
        expected = np.linalg.lstsq(linear, np.asarray(residuals(p)))[0]
        assert new["rate"] == p["rate"]
        np.testing.assert_allclose(
            [p["rest"] - new["rest"], p["size"] - new["size"]], expected, rtol=1e-8
        )


NEGATIVE_LOG_LIKELIHOODS = {
    "categorical": lambda z, y: -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(y)), y]),
    "normal": lambda z, y: 0.5 * jnp.mean(jnp.sum((z - y[:, None].astype(z.dtype)) ** 2, -1)),
    "bernoulli": lambda z, y: jnp.mean(
        jnp.sum(jax.nn.softplus(z) - jnp.sign(y)[:, None].astype(z.dtype) * z, -1)
    ),
    "poisson": lambda z, y: jnp.mean(jnp.sum(jnp.exp(z) - y[:, None].astype(z.dtype) * z, -1)),
}


def generalised_linear():
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.standard_normal((40, 3))), jnp.asarray(rng.integers(0, 3, 40))
    return x, y, jnp.asarray(0.3 * rng.standard_normal((3, 3)))


@pytest.mark.parametrize("likelihood", NEGATIVE_LOG_LIKELIHOODS)
def test_solves_with_the_fisher_matrix(likelihood):
    with jax.enable_x64(True):
        x, y, w = generalised_linear()
        model = lambda w: jnp.tanh(x @ w)
        g = jax.grad(lambda w: NEGATIVE_LOG_LIKELIHOODS[likelihood](model(w), y))(w)
        fisher = dense(fisher_operator(model, w, likelihood), w)
        expected = np.linalg.solve(fisher + 0.01 * np.eye(9), g.ravel())
        tx = gc.scale_by_natural_gradient(likelihood, 0.01, tol=0.0)
        np.testing.assert_allclose(
            direction(tx, g, w, model_fn=model).ravel(), expected, rtol=1e-8
        )


@pytest.mark.parametrize("likelihood", ["normal", "bernoulli", "poisson"])
def test_for_a_generalised_linear_model_it_is_newtons_method(likelihood):
    with jax.enable_x64(True):
        x, y, w = generalised_linear()
        loss = lambda w: NEGATIVE_LOG_LIKELIHOODS[likelihood](x @ w, y)
        tx = gc.natural_gradient(1.0, likelihood, damping=0.0, tol=0.0)
        state = tx.init(w)
        for _ in range(8):
            w, state = tx.step(jax.grad(loss)(w), state, w, model_fn=lambda w: x @ w)
        assert gc.global_norm(jax.grad(loss)(w)) < 1e-10


@gc.transform
def plain_descent():
    """Gradient descent that takes a model and has no use for it."""
    return gc.elementwise(lambda g, model_fn: -0.3 * g)


def test_does_not_depend_on_the_parameterisation():
    """Models f(w) and f(A v), with w = A v, go on alike; under gradient descent they do not."""
    with jax.enable_x64(True):
        x, y, w = generalised_linear()
        change = jnp.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.0, 0.1]])
        model, loss = lambda w: jnp.sin(x @ w), NEGATIVE_LOG_LIKELIHOODS["poisson"]

        def after(tx, model, p):
            state = tx.init(p)
            for _ in range(3):
                g = jax.grad(lambda p: loss(model(p), y))(p)
                p, state = tx.step(g, state, p, model_fn=model)
            return model(p)

        def gap(tx):
            one = after(tx, model, w)
            return float(
                jnp.max(
                    jnp.abs(
                        one - after(tx, lambda v: model(change @ v), jnp.linalg.solve(change, w))
                    )
                )
            )

        assert gap(gc.natural_gradient(0.3, "poisson", damping=0.0, tol=0.0)) < 1e-8
        assert gap(plain_descent()) > 0.1


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.tanh(nn.Dense(16)(x)))


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images[:300] / 16.0, jnp.float32), jnp.asarray(labels[:300])
    params = Network().init(jax.random.key(0), x)
    loss_fn = lambda z: losses.softmax_cross_entropy_with_integer_labels(z, y).mean()
    return params, lambda p: Network().apply(p, x), loss_fn


def train(tx, digits, steps):
    """The loss after each step on the full batch."""
    params, model_fn, loss_fn = digits
    value_fn = lambda p: loss_fn(model_fn(p))

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(value_fn)(params)
        known = {"model_fn": model_fn, "loss_fn": loss_fn, "value_fn": value_fn, "value": value}
        extra = {k: v for k, v in known.items() if k in tx.extras or k in ("value", "value_fn")}
        return tx.step(grads, state, params, **extra)

    state, found = tx.init(params), []
    for _ in range(steps):
        params, state = step(params, state)
        found.append(float(value_fn(params)))
    return found, state


@pytest.fixture(scope="module")
def descended(digits):
    """The loss after 45 steps of gradient descent, at the best of three rates.

    At a rate of 3 it would be chaotic, and its end would depend on the machine.
    """
    return min(train(gc.sgd(rate), digits, 45)[0][-1] for rate in (0.5, 1.0, 2.0))


@pytest.mark.parametrize(
    "tx",
    [
        gc.gauss_newton(0.01, tol=0.01, max_steps=30),
        gc.natural_gradient(1.0, "categorical", damping=0.1, max_steps=30),
        gc.hessian_free(max_steps=30),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_learns_digits_in_fewer_steps_than_gradient_descent(tx, digits, descended):
    curved, _ = train(tx, digits, 15)
    assert np.all(np.isfinite(curved))
    assert min(curved) < descended


def test_the_matrix_of_the_digits_is_never_negative(digits):
    params, model_fn, loss_fn = digits
    found = gc.curvature.extreme_eigenvalues(
        gauss_newton_operator(model_fn, loss_fn, params), params, key=jax.random.key(0), steps=20
    )
    assert found.smallest > -1e-5 * found.largest


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gc.scale_by_gauss_newton(-1.0), "damping must be 0 or more"),
        (lambda: gc.scale_by_gauss_newton(solver="qr"), "solver must be one of 'cg', 'dense'"),
        (lambda: gc.scale_by_gauss_newton(solver="dense", tol=0.1), "only|leave them out"),
        (lambda: gc.scale_by_natural_gradient("gamma"), "likelihood must be one of"),
        (lambda: gc.scale_by_hessian_free(decay=-0.1), "decay must be 0 or more"),
        (lambda: gc.scale_by_hessian_free(max_steps=0), "max_steps must be 1 or more"),
    ],
)
def test_wrong_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make().init(jnp.ones(2))


def test_a_preconditioner_is_a_name_or_a_function():
    with pytest.raises(
        TypeError, match="preconditioner must be None, 'hutchinson' or a function, not 3"
    ):
        gc.scale_by_gauss_newton(preconditioner=3).init(jnp.ones(2))  # pyright: ignore[reportArgumentType]


def test_without_a_model_it_says_how_to_give_it():
    tx = gc.scale_by_gauss_newton()
    with pytest.raises(TypeError, match="model_fn="):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2))
