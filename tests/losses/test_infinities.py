"""Infinite arguments have the limit of large ones: 0 times infinity is never NaN."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain import losses
from tests.losses.cases import part

pytestmark = pytest.mark.rotated(3)  # they take long

INFINITE = np.array(list(itertools.product([-np.inf, -1.0, 0.5, np.inf], repeat=3)))
NUMBERS = INFINITE.reshape(-1)
N = len(INFINITE)
ONE_HOT = np.eye(3)[np.arange(N) % 3]
SOFT = np.array([[0.2, 0.3, 0.5], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
SOFT = SOFT[np.arange(N) % 4]
LABELS = np.arange(N) % 3
HALVES = np.array([0.0, 0.5, 1.0])[np.arange(NUMBERS.size) // 4 % 3]
BITS = np.arange(NUMBERS.size) // 4 % 2 * 1.0
#: log probabilities are never plus infinity
UNLIKELY = np.where(np.isposinf(INFINITE), -2.0, INFINITE)
WORDS = np.array([[1, 2], [2, 2], [1, 1]])[np.arange(N) % 3]

#: name: loss, the argument that may be infinite, the others
CASES = {
    "softmax_cross_entropy": (losses.softmax_cross_entropy, INFINITE, ONE_HOT),
    "softmax_cross_entropy, soft": (losses.softmax_cross_entropy, INFINITE, SOFT),
    "softmax_cross_entropy, masked": (
        part(losses.softmax_cross_entropy, where=jnp.array([[True, True, False]])),
        INFINITE[~np.isinf(INFINITE[:, :2]).all(-1)],
        SOFT[~np.isinf(INFINITE[:, :2]).all(-1)],
    ),
    "softmax_cross_entropy_with_integer_labels": (
        losses.softmax_cross_entropy_with_integer_labels,
        INFINITE,
        LABELS,
    ),
    "poly_loss_cross_entropy": (losses.poly_loss_cross_entropy, INFINITE, SOFT),
    "poly_loss_cross_entropy, detection": (
        part(losses.poly_loss_cross_entropy, epsilon=-1.0),
        INFINITE,
        SOFT,
    ),
    "ranking_softmax_loss": (
        part(losses.ranking_softmax_loss, reduce_fn=None),
        INFINITE,
        ONE_HOT,
    ),
    "sigmoid_binary_cross_entropy": (losses.sigmoid_binary_cross_entropy, NUMBERS, HALVES),
    "sigmoid_focal_loss": (part(losses.sigmoid_focal_loss, alpha=0.0), NUMBERS, HALVES),
    "sigmoid_focal_loss, 0": (part(losses.sigmoid_focal_loss, gamma=0.0), NUMBERS, HALVES),
    "sigmoid_focal_loss, 1/2": (part(losses.sigmoid_focal_loss, gamma=0.5), NUMBERS, HALVES),
    "squared_error": (losses.squared_error, NUMBERS, HALVES),
    "l2_loss": (losses.l2_loss, NUMBERS, HALVES),
    "huber_loss": (losses.huber_loss, NUMBERS, HALVES),
    "log_cosh": (losses.log_cosh, NUMBERS, HALVES),
    "cosine_similarity": (losses.cosine_similarity, INFINITE, SOFT),
    "cosine_distance": (losses.cosine_distance, INFINITE, SOFT),
    "kl_divergence": (losses.kl_divergence, UNLIKELY, SOFT),
    "kl_divergence_with_log_targets": (
        losses.kl_divergence_with_log_targets,
        UNLIKELY,
        np.log(SOFT, out=np.full(SOFT.shape, -np.inf), where=SOFT > 0),
    ),
    "generalized_kl_divergence": (losses.generalized_kl_divergence, INFINITE, SOFT),
    "hinge_loss": (losses.hinge_loss, NUMBERS, 2 * BITS - 1),
    "perceptron_loss": (losses.perceptron_loss, NUMBERS, 2 * BITS - 1),
    "sparsemax_loss": (losses.sparsemax_loss, NUMBERS, BITS),
    "multiclass_hinge_loss": (losses.multiclass_hinge_loss, INFINITE, LABELS),
    "multiclass_perceptron_loss": (losses.multiclass_perceptron_loss, INFINITE, LABELS),
    "multiclass_sparsemax_loss": (losses.multiclass_sparsemax_loss, INFINITE, LABELS),
    "make_fenchel_young_loss": (
        losses.make_fenchel_young_loss(jax.nn.logsumexp),
        UNLIKELY[~np.all(np.isinf(UNLIKELY), -1)],
        SOFT[~np.all(np.isinf(UNLIKELY), -1)],
    ),
    "dice_loss": (part(losses.dice_loss, reduction="none"), INFINITE[:, None], ONE_HOT[:, None]),
    "multiclass_generalized_dice_loss": (
        losses.multiclass_generalized_dice_loss,
        INFINITE[:, None],
        ONE_HOT[:, None],
    ),
    "binary_dice_loss": (losses.binary_dice_loss, INFINITE, ONE_HOT),
    "ntxent": (part(losses.ntxent, temperature=0.5), INFINITE[::2], np.arange(N // 2) // 3),
    "triplet_margin_loss": (
        lambda x, y: losses.triplet_margin_loss(y, x, y + 1.0),
        INFINITE,
        SOFT,
    ),
}
#: infinite numbers are no arguments of theirs
FINITE = {"smooth_labels", "ctc_loss", "ctc_loss_with_forward_probs"}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_every_loss_has_a_limit():
    public = {name for name in dir(losses) if callable(getattr(losses, name)) and name[0] != "_"}
    assert public - FINITE == {name.split(",")[0] for name in CASES}


def value_and_slopes(loss, x, y):
    total = lambda x: jnp.sum(loss(x, y))
    return jax.jit(lambda x: (loss(x, y), jax.grad(total)(x)))(jnp.asarray(x))


@pytest.mark.rotated(2)
@pytest.mark.parametrize("name", CASES)
def test_infinity_is_the_limit_of_large_numbers(name):
    loss, x, y = CASES[name]
    y = jnp.asarray(y)
    made, slopes = value_and_slopes(loss, x, y)
    far = np.clip(x, -1e9, 1e9)
    expected, expected_slopes = value_and_slopes(loss, far, y)
    assert not jnp.any(jnp.isnan(made)) and not jnp.any(jnp.isnan(slopes)), (x, made, slopes)
    is_large = expected > 1e6
    np.testing.assert_array_equal(made > 1e6, is_large)
    finite = np.where(is_large, 0.0, made)
    np.testing.assert_allclose(finite, np.where(is_large, 0.0, expected), atol=1e-8)
    if jnp.ndim(made):
        # Where the loss is finite, so are its slopes; equal infinite scores have none.
        rows = np.asarray(is_large).reshape(len(x), -1).any(-1)
        top = x.max(-1, keepdims=True) if x.ndim > 1 else np.zeros(1)
        rows |= (np.isinf(top) & (np.sum(x == top, -1, keepdims=True) > 1)).reshape(-1)
        keep = ~rows.reshape(-1, *[1] * (x.ndim - 1))
        made, expected = np.where(keep, slopes, 0.0), np.where(keep, expected_slopes, 0.0)
        np.testing.assert_allclose(made, expected, atol=1e-6)


def test_the_right_infinite_logit_costs_nothing():
    inf = jnp.inf
    for loss in (losses.sigmoid_binary_cross_entropy, losses.sigmoid_focal_loss):
        value, slope = jax.vmap(jax.value_and_grad(loss))(
            jnp.array([inf, -inf]), jnp.array([1, 0])
        )
        assert jnp.all(value == 0) and jnp.all(slope == 0)
        assert jnp.all(loss(jnp.array([inf, -inf]), jnp.array([0, 1])) == inf)
    x = jnp.array([inf, 0.0, -inf])
    for label, expected in enumerate([0.0, inf, inf]):
        assert losses.softmax_cross_entropy_with_integer_labels(x, label) == expected
        assert losses.softmax_cross_entropy(x, jnp.eye(3)[label]) == expected
        assert losses.multiclass_hinge_loss(x, label) == expected
        assert losses.multiclass_sparsemax_loss(x, label) == expected


def test_equal_infinite_logits_share_the_probability():
    for x in ([jnp.inf, jnp.inf, 0.0], [-jnp.inf, -jnp.inf, -jnp.inf]):
        classes = sum(a == x[0] for a in x)
        made = losses.softmax_cross_entropy_with_integer_labels(jnp.array(x), 0)
        np.testing.assert_allclose(made, np.log(classes))


def test_a_huber_loss_without_end_is_quadratic():
    value, slope = jax.value_and_grad(losses.huber_loss)(jnp.array(3.0), delta=jnp.inf)
    assert (value, slope) == (4.5, 3.0)


def test_a_tiny_probability_is_no_impossibility():
    log_p = jnp.array([0.0, -jnp.inf], jnp.float32)
    value = losses.kl_divergence_with_log_targets(log_p, jnp.array([0.0, -200.0], jnp.float32))
    assert value == jnp.inf
    assert losses.kl_divergence_with_log_targets(log_p, log_p) == 0


@pytest.mark.parametrize("size", [1e6, 1e20, 1e30])
def test_ctc_tells_the_unlikely_from_the_impossible(size):
    logits = jnp.array([[[0.0, 0.0, size], [0.0, size, 0.0]]], jnp.float32)
    words, none = jnp.array([[1, 2]]), jnp.zeros((1, 2))
    loss = lambda x: losses.ctc_loss(x, none, words, none)[0]
    value, slope = jax.value_and_grad(loss)(logits)
    np.testing.assert_allclose(value, 2 * size, rtol=1e-6)  # of the only alignment, 1 2
    np.testing.assert_allclose(slope, [[[0, -1, 1], [0, 1, -1]]], atol=1e-6)


def test_ctc_takes_infinite_logits():
    inf = jnp.inf
    words, none = jnp.array([[1, 2]]), jnp.zeros((1, 2))
    loss = lambda x: losses.ctc_loss(jnp.array([x]), none, words, none)[0]
    assert loss([[0.0, inf, 0.0], [-inf, -inf, 0.0]]) == 0
    assert loss([[-inf, 0.0, 0.0], [0.0, -inf, 0.0]]) == pytest.approx(2 * np.log(2.0))
    # Log_epsilon stands for minus infinity.
    assert loss([[0.0, -inf, 0.0], [0.0, 0.0, 0.0]]) > 9e4
    slope = jax.grad(loss)([[-inf, 0.0, 0.0], [0.0, -inf, 0.0]])
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("size", [1e-42, 1e-37, 1e-30, 1e30, 8e37])
@pytest.mark.parametrize("epsilon", [0.0, 1e-8])
def test_directions_have_no_size(size, epsilon):
    a, b = jnp.array([3.0, -4.0], jnp.float32), jnp.array([1.0, 0.0], jnp.float32)
    loss = lambda a: losses.cosine_similarity(a, b, epsilon=epsilon)
    value, slope = jax.value_and_grad(loss)(a * size)
    assert jnp.isfinite(value) and not jnp.any(jnp.isnan(slope))
    if size >= 1e30:
        assert value == pytest.approx(0.6, rel=1e-6)
    if 1e-37 <= size <= 1e-30 and epsilon:
        np.testing.assert_allclose(slope, [1e4, 0.0], rtol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-10, 1.0, 1e25, 1e37])
@pytest.mark.parametrize("degree", [1, 2, 3.5])
def test_distances_have_the_units_of_vectors(size, degree):
    a, p, n = (jnp.asarray(x, jnp.float32) for x in ([0.1, 0.2], [0.4, 0.2], [0.2, 0.3]))
    loss = lambda a, size: losses.triplet_margin_loss(
        a * size, p * size, n * size, norm_degree=degree, margin=0.0, eps=0.0
    )
    value, slope = jax.value_and_grad(loss)(a, size)
    expected, expected_slope = jax.value_and_grad(loss)(a, 1.0)
    np.testing.assert_allclose(value / size, expected, rtol=1e-5)
    np.testing.assert_allclose(slope / size, expected_slope, rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda a: losses.triplet_margin_loss(a, a, n, eps=0.0))(a)
    assert jnp.all(jnp.isfinite(slope))


def test_nothing_and_nothing_predicted_overlap():
    nothing = jnp.zeros((1, 4, 2)).at[..., 0].set(1.0)
    loss = lambda p: losses.dice_loss(
        p, nothing, smooth=0.0, apply_softmax=False, reduction="none"
    )
    np.testing.assert_array_equal(loss(nothing), [[0.0, 0.0]])
    slope = jax.grad(lambda x: jax.jit(loss)(x).sum())(nothing)
    assert jnp.all(jnp.isfinite(slope))
