"""The losses: their numbers against twins and against optax, their slopes, their shapes and their
extremes.
"""

import warnings

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest

from gradchain import losses
from tests.losses import twins
from tests.losses.cases import (
    CASES,
    REACHED_BY_OTHERS,
    bits,
    ctc_args,
    log_probabilities,
    normal,
    part,
    probabilities,
)

pytestmark = pytest.mark.rotated(3)  # they take long


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


each_case = pytest.mark.parametrize("name", CASES)


def arrays(name, dtype):
    cast = lambda x: (
        jnp.asarray(x, dtype) if np.issubdtype(x.dtype, np.floating) else jnp.asarray(x)
    )
    loss, twin, args = CASES[name]
    if name == "make_fenchel_young_loss":
        return (
            (lambda x, y: loss(x, jax.nn.one_hot(y, 3, dtype=dtype))),
            twin,
            [cast(a) for a in args],
        )
    return loss, twin, [cast(a) for a in args]


def test_every_loss_has_a_case():
    public = {
        name
        for name in dir(losses)
        if callable(getattr(losses, name)) and not name.startswith("_")
    }
    assert public - REACHED_BY_OTHERS == {name.split(",")[0] for name in CASES}


@pytest.mark.rotated(2)
@each_case
def test_has_the_numbers_of_its_twin(name):
    loss, twin, args = arrays(name, jnp.float64)
    expected = twin(*CASES[name][2])
    made = loss(*args)
    assert made.dtype == jnp.float64
    np.testing.assert_allclose(made, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(jax.jit(loss)(*args), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.rotated(8)
@each_case
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_keeps_the_dtype(name, dtype):
    loss, _, args = arrays(name, dtype)
    wide = arrays(name, jnp.float32)[0](
        *[x.astype(jnp.float32) if x.dtype == dtype else x for x in args]
    )
    made = loss(*args)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, wide.astype(dtype))  # computed in float32, rounded once


@pytest.mark.rotated(5)
@each_case
def test_slopes_are_those_of_its_numbers(name):
    if name == "make_fenchel_young_loss":
        pytest.skip("its slopes are those of the function that it is given")
    loss, _, (x, *rest) = arrays(name, jnp.float64)
    jax.test_util.check_grads(lambda x: loss(x, *rest), (x,), order=1, modes=["rev"], rtol=1e-5)


@pytest.mark.rotated(4)
@each_case
def test_equals_optax(name):
    loss, _, args = CASES[name]
    theirs = getattr(optax.losses, name.split(",")[0])
    if name == "make_fenchel_young_loss":
        theirs, args = theirs(jax.nn.logsumexp), (args[0], np.eye(3)[args[1]])
    elif name == "ranking_softmax_loss":
        theirs, args = lambda x, y, w: optax.losses.ranking_softmax_loss(x, y, weights=w), args
    keywords = loss.keywords if isinstance(loss, part) else {}
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        if name == "triplet_margin_loss":  # optax's odd powers keep the sign of a difference
            keywords = keywords | {"norm_degree": 2}
            loss = part(losses.triplet_margin_loss, **keywords)
        expected = theirs(*map(jnp.asarray, args), **keywords)
    np.testing.assert_allclose(loss(*map(jnp.asarray, args)), expected, rtol=1e-9, atol=1e-12)


FAR = {
    "softmax_cross_entropy": ([1e4, -1e4, 0.0], [0.0, 1.0, 0.0]),
    "softmax_cross_entropy_with_integer_labels": ([1e4, -1e4, 0.0], 1),
    "poly_loss_cross_entropy": ([1e4, -1e4, 0.0], [0.0, 1.0, 0.0]),
    "sigmoid_binary_cross_entropy": ([1e4, -1e4, 0.0, -0.0], [0.0, 1.0, 1.0, 0.0]),
    "sigmoid_focal_loss": ([1e4, -1e4, 1e4, -1e4], [0.0, 1.0, 1.0, 0.0]),
    "squared_error": ([1e4, 0.0], [0.0, 0.0]),
    "huber_loss": ([1e30, 0.0, -1e30], [0.0, 0.0, 0.0]),
    "log_cosh": ([1e4, -1e4, 0.0, 1e-30], [0.0, 0.0, 0.0, 0.0]),
    "cosine_similarity": ([0.0, 0.0], [1e30, 1e30]),
    "cosine_distance": ([1e30, -1e30], [1e-30, 1e-30]),
    "kl_divergence": ([-1e4, 0.0], [1.0, 0.0]),
    "generalized_kl_divergence": ([-1e4, 0.0], [1.0, 0.0]),
    "kl_divergence_with_log_targets": ([-1e4, 0.0], [0.0, -jnp.inf]),
    "hinge_loss": ([1e4, -1e4, 1.0], [1.0, 1.0, 1.0]),
    "sparsemax_loss": ([1e4, -1e4, 0.0], [0.0, 1.0, 1.0]),
    "multiclass_sparsemax_loss": ([1e6, 0.0, 1e6], 1),
    "multiclass_hinge_loss": ([1e6, 0.0, 1e6], 1),
    "ranking_softmax_loss": ([1e4, -1e4], [0.0, 1.0]),
    "triplet_margin_loss": ([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    "binary_dice_loss": ([[1e4, -1e4]], [[0.0, 0.0]]),
}


@pytest.mark.rotated(6)
@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_is_finite_far_out(name, dtype):
    x, *rest = FAR[name]
    rest = [jnp.asarray(r, dtype) if not isinstance(r, int) else jnp.asarray(r) for r in rest]
    loss = lambda x: jnp.sum(getattr(losses, name)(x, *rest))
    value, slope = jax.value_and_grad(loss)(jnp.asarray(x, dtype))
    assert jnp.isfinite(value) and jnp.all(jnp.isfinite(slope)), (value, slope)


def test_log_cosh_has_all_digits_near_zero_and_far():
    x = jnp.array([1e-4, 0.5, 1.5, 1e4], jnp.float32)
    expected = [
        np.log1p(2 * np.sinh(v / 2) ** 2) if v < 100 else v - np.log(2) for v in np.float64(x)
    ]
    np.testing.assert_allclose(losses.log_cosh(x), expected, rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(lambda x: losses.log_cosh(x).sum())(x), np.tanh(np.float64(x)), rtol=1e-6
    )


def test_a_sure_prediction_costs_its_last_digits():
    x = jnp.array([20.0, -20.0], jnp.float32)
    np.testing.assert_allclose(
        losses.sigmoid_binary_cross_entropy(x, jnp.array([1, 0])), np.exp(-20.0), rtol=1e-6
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_slopes_are_numbers_for_any_power(gamma):
    x = jnp.array([-200.0, -1.0, 0.0, 200.0])
    for y in (0.0, 1.0, 0.5):
        slope = jax.grad(
            lambda x, y=y: losses.sigmoid_focal_loss(x, jnp.full(4, y), gamma=gamma).sum()
        )(x)
        assert jnp.all(jnp.isfinite(slope)), (gamma, y, slope)


def test_what_is_impossible_and_did_not_happen_counts_nothing():
    x, y = jnp.array([-jnp.inf, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.5])
    value, slope = jax.value_and_grad(losses.softmax_cross_entropy)(x, y)
    np.testing.assert_allclose(value, np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(slope, 0.0, atol=1e-7)
    assert losses.softmax_cross_entropy(x, jnp.array([0.5, 0.5, 0.0])) == jnp.inf


def test_a_zero_vector_has_no_direction():
    value, slope = jax.value_and_grad(losses.cosine_similarity)(jnp.zeros(2), jnp.ones(2))
    assert value == 0 and jnp.all(slope == 0)


def test_slopes_of_kl_are_numbers_at_zero_probability():
    slope = jax.grad(losses.kl_divergence, argnums=1)(
        jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.0, 0.0])
    )
    assert jnp.all(jnp.isfinite(slope))


@pytest.mark.parametrize(
    "name",
    [
        "softmax_cross_entropy",
        "poly_loss_cross_entropy",
        "kl_divergence",
        "generalized_kl_divergence",
    ],
)
def test_a_mask_leaves_elements_out(name):
    loss = getattr(losses, name)
    x, y = jnp.asarray(log_probabilities(5)), jnp.asarray(probabilities(5))
    mask = jnp.array([True, False, True, True, False])
    np.testing.assert_allclose(loss(x, y, where=mask), loss(x[mask], y[mask]), rtol=1e-12)
    np.testing.assert_allclose(
        loss(x.at[1].set(jnp.nan), y, where=mask), loss(x[mask], y[mask]), rtol=1e-12
    )


@pytest.mark.parametrize(
    "name", ["softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels"]
)
def test_an_empty_mask_costs_nothing_and_has_no_slope(name):
    y = jnp.array([0, 1]) if name.endswith("labels") else jnp.eye(2)
    loss = lambda x: getattr(losses, name)(x, y, where=jnp.array([True, False]))
    x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    assert loss(x)[1] == 0
    slope = jax.grad(lambda x: loss(x).sum())(x)
    assert jnp.all(jnp.isfinite(slope)) and jnp.all(slope[1] == 0)


@pytest.mark.parametrize("axis", [0, 1, (0, 2), None])
def test_axes_are_the_last_after_moving(axis):
    x, y = jnp.asarray(normal(2, 3, 4)), jnp.asarray(probabilities(2, 3, 4))
    axes = range(3) if axis is None else (axis,) if isinstance(axis, int) else axis
    flat = lambda a: (m := jnp.moveaxis(a, axes, range(-len(axes), 0))).reshape(
        *m.shape[: 3 - len(axes)], -1
    )
    for loss in (losses.softmax_cross_entropy, losses.kl_divergence, losses.cosine_similarity):
        np.testing.assert_allclose(loss(x, y, axis=axis), loss(flat(x), flat(y)), rtol=1e-12)


def test_labels_over_several_axes_count_through_them():
    x = jnp.asarray(normal(2, 3, 4))
    made = losses.softmax_cross_entropy_with_integer_labels(x, jnp.array([5, 11]), axis=(1, 2))
    np.testing.assert_allclose(
        made, twins.integer_cross_entropy(np.reshape(x, (2, 12)), np.array([5, 11])), rtol=1e-12
    )


def test_ranking_leaves_lists_and_items_out():
    x, y = jnp.asarray(normal(2, 3)), jnp.asarray(bits(2, 3))
    mask = jnp.array([[True, True, False], [False, False, False]])
    made = losses.ranking_softmax_loss(x, y, where=mask)
    np.testing.assert_allclose(made, twins.cross_entropy(x[:1, :2], y[:1, :2])[0], rtol=1e-12)
    per_list = losses.ranking_softmax_loss(x, y, where=mask, reduce_fn=None)
    assert per_list.shape == (2,) and per_list[1] == 0
    assert losses.ranking_softmax_loss(x, y, where=jnp.zeros_like(mask)) == 0


@pytest.mark.parametrize(
    "name", ["squared_error", "l2_loss", "huber_loss", "log_cosh", "hinge_loss"]
)
def test_nothing_is_broadcast_to_a_matrix(name):
    with pytest.raises(ValueError, match=r"\[3, 1\], the predictions \[3\]"):
        getattr(losses, name)(jnp.zeros(3), jnp.zeros((3, 1)))


def test_a_number_is_a_target_for_all():
    np.testing.assert_array_equal(losses.squared_error(jnp.array([1.0, 3.0]), 1.0), [0.0, 4.0])


def test_integers_are_no_predictions():
    with pytest.raises(TypeError, match="predictions must be of a floating dtype, not int"):
        losses.l2_loss(jnp.array([1]))


def test_labels_are_integers():
    with pytest.raises(TypeError, match="labels must be integers"):
        losses.softmax_cross_entropy_with_integer_labels(jnp.zeros((2, 3)), jnp.zeros(2))


def test_as_many_labels_as_embeddings():
    with pytest.raises(ValueError, match="3 labels for 2 embeddings"):
        losses.ntxent(jnp.zeros((2, 3)), jnp.zeros(3, int))


def test_without_pairs_or_without_others_there_is_nothing_to_tell():
    z = jnp.asarray(normal(3, 2))
    for y in ([0, 1, 2], [0, 0, 0]):
        value, slope = jax.value_and_grad(losses.ntxent)(z, jnp.array(y))
        assert value == 0 and jnp.all(slope == 0)


@pytest.mark.parametrize(
    ("logits", "paddings", "words", "missing"),
    [
        ((2, 5), (2, 5), (2, 3), (2, 3)),
        ((2, 5, 3), (2, 4), (2, 3), (2, 3)),
        ((2, 5, 3), (2, 5), (1, 3), (1, 3)),
    ],
)
def test_ctc_refuses_shapes_that_do_not_fit(logits, paddings, words, missing):
    with pytest.raises(ValueError, match="ctc_loss"):
        losses.ctc_loss(
            jnp.zeros(logits), jnp.zeros(paddings), jnp.zeros(words, int), jnp.zeros(missing)
        )


def test_ctc_probabilities_equal_those_of_optax():
    args = [jnp.asarray(a) for a in ctc_args]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = optax.losses.ctc_loss_with_forward_probs(*args)
    for made, theirs in zip(losses.ctc_loss_with_forward_probs(*args), expected, strict=True):
        possible = theirs > -1e4
        np.testing.assert_allclose(made[possible], theirs[possible], rtol=1e-9)
        assert made.shape == theirs.shape and jnp.all(made[~possible] < -1e4)


def test_dice_wants_probabilities_where_it_is_told_so():
    with pytest.raises(ValueError, match="valid probability distributions"):
        losses.dice_loss(jnp.full((1, 4, 2), 0.9), jnp.ones((1, 4, 2)), apply_softmax=False)
    losses.binary_dice_loss(jnp.full((1, 4), 0.9), jnp.ones((1, 4)), apply_sigmoid=False)
    with pytest.raises(ValueError, match="reduction"):
        losses.dice_loss(jnp.zeros((1, 4, 2)), jnp.ones((1, 4, 2)), reduction="median")
