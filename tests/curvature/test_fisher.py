"""Fisher matrices against their definitions."""

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain import curvature, losses
from gradchain.curvature.vectors import to_vector
from tests.support.known_hessians import digits

pytestmark = pytest.mark.rotated(3)  # they take long

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((7, 3)), jnp.float32)
CLASSES = 4
NUMBERS = ("normal", "bernoulli", "poisson")
LIKELIHOODS = ("categorical", *NUMBERS)


def params_of(likelihood):
    width, rng = CLASSES if likelihood == "categorical" else 2, np.random.default_rng(1)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape) / 2, jnp.float32)
    return {"bias": draw(width), "hole": None, "kernel": draw(3, width)}


def model(p):
    return jnp.tanh(X @ p["kernel"] + p["bias"][None])


def fisher_twin(likelihood, params):
    """The definition, target by target where they can be counted: the mean over examples of E[g
    g^T], in float64.
    """
    start, to_tree = to_vector(params)
    outputs = np.asarray(model(params), np.float64)
    jacobian = np.asarray(jax.jacobian(lambda v: model(to_tree(v)))(start), np.float64)
    total = np.zeros((start.size, start.size))
    for z, j in zip(outputs, jacobian, strict=True):
        if likelihood == "categorical":
            shares = np.exp(z) / np.exp(z).sum()
            slopes = [(share, np.eye(CLASSES)[i] - shares) for i, share in enumerate(shares)]
            inner = sum(share * np.outer(slope, slope) for share, slope in slopes)
        elif likelihood == "bernoulli":
            yes = 1 / (1 + np.exp(-z))
            inner = np.diag(yes * (1 - yes) ** 2 + (1 - yes) * yes**2)
        elif likelihood == "poisson":
            counts = np.arange(60)
            factorials = np.array([np.prod(np.arange(1.0, k + 1)) for k in counts])
            rates = np.exp(z)[:, None]
            inner = np.diag(
                np.sum(np.exp(-rates) * rates**counts / factorials * (counts - rates) ** 2, 1)
            )
        else:
            inner = np.eye(len(z))
        total += j.T @ inner @ j
    return total / len(outputs)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_true_fisher_matrix(likelihood):
    params = params_of(likelihood)
    expected = fisher_twin(likelihood, params)
    found = curvature.dense(curvature.fisher_operator(model, params, likelihood), params)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    product = curvature.fisher_vector_product(model, params, params, likelihood)
    np.testing.assert_allclose(
        to_vector(product)[0], expected @ to_vector(params)[0], rtol=1e-4, atol=1e-5
    )
    diagonal = curvature.fisher_diagonal(model, params, likelihood)
    np.testing.assert_allclose(
        to_vector(diagonal.value)[0], np.diag(expected), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_targets_that_are_drawn(likelihood):
    params = params_of(likelihood)
    expected = fisher_twin(likelihood, params)
    draw = lambda key: curvature.dense(
        curvature.fisher_operator(model, params, likelihood, key=key, samples=5), params
    )
    found = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(KEY, 400)))
    error = found.std(0) / 20
    assert (np.abs(found.mean(0) - expected) <= 4.5 * error + 1e-6).all()
    assert (np.linalg.eigvalsh(found[0]) > -1e-4).all()
    for method in ("sampled", "hutchinson"):
        diagonal = jax.jit(
            lambda key, m=method: curvature.fisher_diagonal(
                model, params, likelihood, method=m, key=key, samples=3000
            )
        )(KEY)
        off = np.abs(to_vector(diagonal.value)[0] - np.diag(expected))
        assert (off < 4 * to_vector(diagonal.standard_error)[0]).all()


def test_for_a_linear_model_it_is_the_hessian_of_the_loss():
    labels = jnp.array([0, 1, 2, 3, 0, 1, 2])
    linear = lambda w: X @ w
    mean_loss = lambda w: losses.softmax_cross_entropy_with_integer_labels(
        linear(w), labels
    ).mean()
    w = jnp.ones((3, CLASSES)) * X[:3, :1]
    hessian = curvature.dense(curvature.hessian_operator(mean_loss, w), w)
    np.testing.assert_allclose(
        curvature.dense(curvature.fisher_operator(linear, w, "categorical"), w),
        hessian,
        atol=1e-5,
    )


def test_more_dimensions_belong_to_an_example():
    w = jnp.array([0.3, -0.2, 0.5])
    x = jnp.asarray(RNG.standard_normal((4, 5, 3)), jnp.float32)
    found = curvature.dense(curvature.fisher_operator(lambda w: x @ w, w, "normal"), w)
    np.testing.assert_allclose(found, np.einsum("nti,ntj->ij", x, x) / 4, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------ the empirical


def example_loss(p, x, targets):
    return jnp.sum((jnp.tanh(x @ p["kernel"] + p["bias"]) - targets["y"]) ** 2)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_the_empirical_fisher_matrix(chunk):
    params, targets = params_of("normal"), {"y": X[:, :2]}
    start, to_tree = to_vector(params)
    grads = np.stack(
        [
            jax.grad(lambda v, i=i: example_loss(to_tree(v), X[i], {"y": X[i, :2]}))(start)
            for i in range(7)
        ]
    )
    expected = grads.T @ grads / 7
    diagonal = curvature.empirical_fisher_diagonal(example_loss, params, X, targets, chunk=chunk)
    np.testing.assert_allclose(to_vector(diagonal)[0], np.diag(expected), rtol=1e-4)
    found = curvature.dense(
        curvature.empirical_fisher_operator(example_loss, params, X, targets), params
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    product = curvature.empirical_fisher_vector_product(example_loss, params, params, X, targets)
    np.testing.assert_allclose(to_vector(product)[0], expected @ start, rtol=1e-4, atol=1e-5)


def test_of_complex_parameters():
    loss = lambda p, x: jnp.abs(p * x.astype(p.dtype) - (1 + 2j)) ** 2
    p, x = jnp.complex64(0.5 - 1j), jnp.array([1.0, 3.0])
    u, v = 0.5 * x - 1, -x - 2  # of p x - (1 + 2j)
    grads = np.stack([2 * x * u, 2 * x * v], 1)
    operator = curvature.empirical_fisher_operator(loss, p, x)
    np.testing.assert_allclose(curvature.dense(operator, p), grads.T @ grads / 2, rtol=1e-5)
    diagonal = curvature.empirical_fisher_diagonal(loss, p, x)
    np.testing.assert_allclose([diagonal.real, diagonal.imag], np.mean(grads**2, 0), rtol=1e-5)


def test_with_a_model_of_linen_and_of_nnx():
    model, _, params = digits(64)
    found = jax.jit(lambda p: curvature.fisher_vector_product(model, p, p, "categorical"))(params)
    drawn = jax.jit(
        lambda p: curvature.fisher_vector_product(
            model, p, p, "categorical", key=KEY, samples=500
        )
    )(params)
    a, b = to_vector(found)[0], to_vector(drawn)[0]
    assert np.linalg.norm(a - b) < 0.1 * np.linalg.norm(a)
    graph, state = nnx.split(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    diagonal = curvature.fisher_diagonal(lambda p: nnx.merge(graph, p)(X), state, "normal").value
    np.testing.assert_allclose(nnx.to_pure_dict(diagonal)["bias"], 1.0, rtol=1e-6)


# ------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: curvature.fisher_operator(model, params_of("normal"), "gauss"),
            "likelihood must be one of 'categ",
        ),
        (
            lambda: curvature.fisher_operator(lambda p: p, jnp.ones(3), "categorical"),
            r"gives float32\[3\]; 'categorical'",
        ),
        (
            lambda: curvature.fisher_operator(lambda p: {"a": p}, jnp.ones(3), "normal"),
            "the model gives dict",
        ),
        (
            lambda: curvature.fisher_operator(lambda p: p, jnp.ones(3), "normal", samples=3),
            "samples=3 are drawn with a",
        ),
        (
            lambda: curvature.fisher_operator(
                lambda p: p, jnp.ones(3), "normal", key=KEY, samples=0
            ),
            "must be 1 or more",
        ),
        (
            lambda: curvature.fisher_diagonal(
                lambda p: p, jnp.ones(3), "normal", method="sampled"
            ),
            "give a key",
        ),
        (
            lambda: curvature.empirical_fisher_operator(example_loss, {}),
            "the batch holds nothing",
        ),
        (
            lambda: curvature.empirical_fisher_diagonal(
                example_loss, {}, jnp.ones(2), jnp.ones(3)
            ),
            r"\[2\], float32\[3\]",
        ),
        (
            lambda: curvature.empirical_fisher_diagonal(example_loss, {}, jnp.ones(())),
            "first dimension counts",
        ),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
