"""A loss that is 0 or more never goes below by rounding, and keeps its slopes near 0."""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from gradchain import losses
from tests.losses.cases import CASES, REACHED_BY_OTHERS
from tests.losses.hard import ANY_SIGN, ARGUMENTS

pytestmark = pytest.mark.rotated(3)  # they take long

DTYPES = ["float16", "bfloat16", "float32", "float64"]
NAMES = [name for name in CASES if name.split(",")[0] in ARGUMENTS]
SIZES = [1e-3, 1.0, 20.0, 1e4]
#: whose numbers are differences of others of this size, or sums of them
OF_LARGE_NUMBERS = {
    "kl_divergence",
    "kl_divergence_with_log_targets",
    "generalized_kl_divergence",
    "ctc_loss",
    "multiclass_sparsemax_loss",
    "triplet_margin_loss",
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_every_loss_has_a_sign():
    signed = ARGUMENTS.keys() | ANY_SIGN
    assert not ARGUMENTS.keys() & ANY_SIGN
    assert (
        signed | REACHED_BY_OTHERS == {name.split(",")[0] for name in CASES} | REACHED_BY_OTHERS
    )


@functools.cache
def compiled(name):
    loss = CASES[name][0]
    total = lambda x, *rest: jnp.sum(loss(x, *rest).astype(jnp.float64))
    return jax.jit(lambda *args: (loss(*args), jax.grad(total)(*args)))


def drawn(name, seed, size, dtype):
    """Hard arguments, rounded to a dtype, and the same as float64."""
    size = min(size, 1e3) if dtype == "float16" else size  # whose largest number is 65504
    args = ARGUMENTS[name.split(",")[0]](np.random.default_rng(seed), size)
    is_float = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
    cast = lambda x, dtype: jnp.asarray(x, dtype) if is_float(x) else jnp.asarray(x)
    narrow = [cast(x, dtype) for x in args]
    return narrow, [np.asarray(cast(x, np.float64)) for x in narrow]


@pytest.mark.rotated(10)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10**6), size=st.sampled_from(SIZES))
def test_it_is_never_below_zero(name, dtype, seed, size):
    args, exact = drawn(name, seed, size, dtype)
    made, slopes = compiled(name)(*args)
    assert made.dtype == dtype and jnp.all(made >= 0), made
    # Distributions that are rounded need not sum to 1: the formula may be negative then.
    expected = np.maximum(CASES[name][1](*exact), 0.0)
    with np.errstate(over="ignore"):  # a square may be beyond float16: infinity is right there
        expected = np.asarray(jnp.asarray(expected, dtype), np.float64)
    eps = float(jnp.finfo(dtype).eps)
    wide = min(eps, float(jnp.finfo(jnp.float32).eps))
    scale = size if name in OF_LARGE_NUMBERS else 1.0
    near = dict(rtol=4 * eps, atol=30 * wide * max(scale, 1.0))
    np.testing.assert_allclose(np.asarray(made, np.float64), expected, **near)
    _, exact_slopes = compiled(name)(*map(jnp.asarray, exact))
    largest = max(float(jnp.max(jnp.abs(exact_slopes))), 1.0)
    difference = jnp.abs(slopes.astype(jnp.float64) - exact_slopes.astype(dtype).astype(float))
    assert jnp.all(difference <= (2 * eps + 30 * wide) * largest), (slopes, exact_slopes)


NEARLY_PERFECT = {
    "kl_divergence": (jnp.log(jnp.array([0.7, 0.2, 0.1])), jnp.array([0.7, 0.2, 0.1])),
    "cosine_distance": (jnp.array([0.3, 0.4, 0.5]), jnp.array([0.6, 0.8, 1.0])),
    "ctc_loss": (
        jnp.array([[[0.0, 17.0], [0.0, 17.0]]]),
        jnp.zeros((1, 2)),
        jnp.array([[1]]),
        jnp.zeros((1, 1)),
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["kl_divergence", "kl_divergence_with_log_targets"])
def test_divergences_of_many_classes_are_not_below_zero(name, dtype):
    x = 5 * np.random.default_rng(0).standard_normal((20, 1000))
    log_p = jax.nn.log_softmax(jnp.asarray(x, dtype))
    made = losses.kl_divergence_with_log_targets(log_p, log_p)
    if name == "kl_divergence":
        made = losses.kl_divergence(log_p, jax.nn.softmax(jnp.asarray(x, dtype)))
    assert jnp.all(made >= 0) and jnp.all(made <= 30 * jnp.finfo(dtype).eps), made


def test_measures_of_different_sums_have_the_divergence_of_the_formula():
    log_p, y = jnp.log(jnp.array([0.5, 0.4])), jnp.array([0.5, 0.3])
    np.testing.assert_allclose(losses.kl_divergence(log_p, y), 0.3 * np.log(0.3 / 0.4), rtol=1e-6)
    whole = jnp.log(jnp.array([0.5, 0.4, 0.1])), jnp.array([0.5, 0.3, 0.2])
    made = losses.kl_divergence(*whole, where=jnp.array([True, True, False]))
    np.testing.assert_allclose(made, 0.3 * np.log(0.3 / 0.4), rtol=1e-6)


def test_the_slope_of_a_perfect_prediction_is_not_lost():
    log_p, y = NEARLY_PERFECT["kl_divergence"]
    slope = jax.grad(losses.kl_divergence)(log_p, y)
    np.testing.assert_allclose(slope, -y, rtol=1e-6)
    logits, *rest = NEARLY_PERFECT["ctc_loss"]
    for x in (logits, logits.astype(jnp.float32)):
        value, slope = jax.value_and_grad(lambda x: losses.ctc_loss(x, *rest).sum())(x)
        assert value >= 0 and jnp.all(jnp.isfinite(slope))


def test_forward_probabilities_are_at_most_one():
    args = ARGUMENTS["ctc_loss"](np.random.default_rng(0), 17.0)
    logits, *rest = (jnp.asarray(x) for x in args)
    for log_p in losses.ctc_loss_with_forward_probs(logits.astype(jnp.float32), *rest)[1:]:
        assert jnp.all(log_p <= 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cosine_is_no_more_than_one(dtype):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((500, 7)), dtype)
    cosine = jax.jit(losses.cosine_similarity)
    assert jnp.all(cosine(x, x) <= 1) and jnp.all(cosine(x, -3 * x) >= -1)
