"""A label of no class is refused, or where it is traced its loss is NaN and has no slope."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain import losses

pytestmark = pytest.mark.rotated(3)  # they take long

X = jnp.asarray(np.random.default_rng(2).standard_normal((4, 3)), jnp.float32)
OF_CLASSES = [
    "softmax_cross_entropy_with_integer_labels",
    "multiclass_hinge_loss",
    "multiclass_perceptron_loss",
    "multiclass_sparsemax_loss",
    "ctc_loss",
]
OF_TWO = {  # right labels, and wrong ones
    "sigmoid_binary_cross_entropy": ([0, 1, 1, 0], [-1, 2, -100]),
    "sigmoid_focal_loss": ([0, 1, 1, 0], [-1, 2, -100]),
    "sparsemax_loss": ([0, 1, 1, 0], [-1, 2, -100]),
    "hinge_loss": ([-1, 1, 1, -1], [0, 2, -100]),
    "perceptron_loss": ([-1, 1, 1, -1], [0, 2, -100]),
}


def of_classes(name):
    """The loss of scores and labels, with one label for each example."""
    loss = getattr(losses, name)
    if name != "ctc_loss":
        return loss
    none = lambda labels: jnp.zeros((len(labels), 1))
    frames = lambda x: jnp.stack([x, 0.5 * x], 1)
    return lambda x, labels: loss(
        frames(x), jnp.zeros((len(x), 2)), labels[:, None], none(labels)
    )


def check_traced(loss, x, labels, right):
    """Only the losses of the wrong labels are NaN, and no slope is."""
    total = lambda x, y: jnp.nansum(loss(x, y))
    made, slopes = jax.jit(lambda x, y: (loss(x, y), jax.grad(total)(x, y)))(x, labels)
    is_wrong = np.asarray(labels != right)
    assert is_wrong.any()
    np.testing.assert_array_equal(jnp.isnan(made), is_wrong)
    expected, expected_slopes = loss(x, right), jax.grad(total)(x, right)
    np.testing.assert_allclose(made[~is_wrong], expected[~is_wrong], rtol=1e-6)
    np.testing.assert_allclose(
        slopes[~is_wrong], expected_slopes[~is_wrong], rtol=1e-5, atol=1e-7
    )
    assert jnp.all(slopes[is_wrong] == 0)


@pytest.mark.rotated(4)
@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("label", [-1, -100, 3, 2**31 - 1])
def test_a_label_of_no_class_is_refused(name, label):
    right = jnp.array([1, 2, 2, 1])
    labels = right.at[2].set(label)
    loss = of_classes(name)
    with pytest.raises(ValueError, match=f"{name}: label {label} is none of the classes 0 to 2"):
        loss(X, labels)
    check_traced(loss, X, labels, right)


@pytest.mark.rotated(4)
@pytest.mark.parametrize("name", OF_CLASSES[:-1])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int64])
def test_labels_are_of_any_integer_dtype(name, dtype):
    right = np.array([1, 2, 0, 1])
    loss = getattr(losses, name)
    expected = loss(X, right)
    np.testing.assert_array_equal(loss(X, right.astype(dtype)), expected)
    np.testing.assert_array_equal(jax.jit(loss)(X, right.astype(dtype)), expected)
    wide = jnp.tile(X, (1, 200))  # more classes than int8 can count
    np.testing.assert_allclose(jax.jit(loss)(wide, right.astype(dtype)), loss(wide, right), 1e-6)
    far = np.array([1, 2, 2**32 + 1 if dtype is np.int64 else 100, 1]).astype(dtype)
    with pytest.raises(ValueError, match="like 1 of 4 labels"):
        loss(X, far)


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("labels", [np.zeros(4), np.zeros(4, bool)])
def test_labels_are_integers(name, labels):
    with pytest.raises(TypeError, match=f"{name}: labels must be integers, not {labels.dtype}"):
        of_classes(name)(X, labels)


@pytest.mark.parametrize("label", [-1, -100, 255])
def test_a_mask_leaves_out_examples_without_a_label(label):
    labels = jnp.array([1, label, 2, label])
    loss = losses.softmax_cross_entropy_with_integer_labels
    expected = loss(X[::2], labels[::2])
    with pytest.raises(ValueError, match=rf"pass where=\(labels != {label}\)"):
        loss(X, labels)
    for compiled in (loss, jax.jit(loss)):
        made = compiled(X, labels, where=labels != label)
        np.testing.assert_array_equal(made[1::2], 0.0)
        np.testing.assert_allclose(made[::2], expected, rtol=1e-6)
    # To leave them out afterwards is right too, inside jit.
    total = lambda x, y: jnp.sum(jnp.where(y != label, loss(x, y), 0.0))
    masked = lambda x, y: jnp.sum(loss(x, y, where=y != label))
    slopes, expected = jax.jit(jax.grad(total))(X, labels), jax.grad(masked)(X, labels)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)


@pytest.mark.parametrize("name", OF_CLASSES[1:4])
def test_without_a_mask_the_error_names_the_way(name):
    labels = jnp.array([1, -1, 2, -1])
    loss = getattr(losses, name)
    with pytest.raises(ValueError, match=r"jnp.where\(labels == -1, 0, losses\)"):
        loss(X, labels)
    made = jnp.where(labels == -1, 0.0, loss(X, jnp.where(labels == -1, 0, labels)))
    np.testing.assert_allclose(made[::2], loss(X[::2], labels[::2]), rtol=1e-6)


@pytest.mark.rotated(4)
@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("dtype", [int, float])
def test_a_label_of_another_pair_is_refused(name, dtype):
    right, wrong = OF_TWO[name]
    loss = getattr(losses, name)
    right = jnp.array(right, dtype)
    loss(X[:, 0], right)
    for label in wrong:
        labels = right.at[2].set(label)
        with pytest.raises(ValueError, match=rf"{name}: \w+ are -?[01] or 1, not {label}"):
            loss(X[:, 0], labels)
        check_traced(loss, X[:, 0], labels, right)


@pytest.mark.parametrize("name", ["hinge_loss", "sparsemax_loss", "sigmoid_binary_cross_entropy"])
def test_the_error_names_the_other_convention(name):
    labels = np.array(OF_TWO[name][0])
    other = (labels + 1) // 2 if name == "hinge_loss" else 2 * labels - 1
    loss = functools.partial(getattr(losses, name), X[:, 0])
    with pytest.raises(ValueError, match="To leave elements out") as error:
        loss(other)
    way = "2 * {} - 1" if name == "hinge_loss" else "({} + 1) / 2"
    argument = "targets" if name == "hinge_loss" else "labels"
    assert way.format(argument) in str(error.value)
    np.testing.assert_array_equal(loss(eval(way.format("other"))), loss(labels))


def test_probabilities_and_bools_are_labels_of_two_classes():
    x = X[:, 0]
    loss = losses.sigmoid_binary_cross_entropy
    np.testing.assert_array_equal(loss(x, x > 0), loss(x, (x > 0).astype(float)))
    soft = jnp.array([0.1, 0.5, 0.9, 1.0])
    np.testing.assert_array_equal(jax.jit(loss)(x, soft), loss(x, soft))


def test_ctc_wants_labels_other_than_the_blank_and_padding_at_the_end():
    x, frames = jnp.zeros((1, 4, 3)), jnp.zeros((1, 4))
    loss = lambda words, missing, **other: losses.ctc_loss(
        x, frames, jnp.array([words]), jnp.array([missing]), **other
    )
    with pytest.raises(ValueError, match="a label is 0, the blank"):
        loss([1, 0], [0, 0])
    traced = jax.jit(lambda words: losses.ctc_loss(x, frames, words, 0 * words))
    assert jnp.isnan(traced(jnp.array([[1, 0]])))
    with pytest.raises(ValueError, match="a label is 2, the blank"):
        loss([1, 2], [0, 0], blank_id=-1)
    with pytest.raises(ValueError, match="blank_id 3 is none of the classes 0 to 2"):
        loss([1, 2], [0, 0], blank_id=3)
    with pytest.raises(ValueError, match="a padding stands before a label"):
        loss([1, 2], [1, 0])
    np.testing.assert_array_equal(loss([1, 0], [0, 1]), loss([1, -5], [0, 1]))


NUMBERS = [  # name, argument, numbers that it refuses
    ("poly_loss_cross_entropy", "epsilon", [np.nan, np.inf]),
    ("sigmoid_focal_loss", "alpha", [-0.1, 1.1, np.nan]),
    ("sigmoid_focal_loss", "gamma", [-1.0, np.nan, np.inf]),
    ("huber_loss", "delta", [0.0, -1.0, np.nan]),
    ("cosine_similarity", "epsilon", [-1.0, np.nan]),
    ("cosine_distance", "epsilon", [-1.0, np.nan]),
    ("smooth_labels", "alpha", [-0.1, 1.5, np.nan]),
    ("ntxent", "temperature", [0.0, -1.0, np.nan]),
    ("triplet_margin_loss", "norm_degree", [0.5, 0, np.inf]),
    ("triplet_margin_loss", "margin", [-1.0, np.nan]),
    ("triplet_margin_loss", "eps", [-1.0, np.nan]),
    ("dice_loss", "smooth", [-1.0, np.nan]),
    ("dice_loss", "alpha", [-1.0, np.nan]),
    ("dice_loss", "beta", [-1.0, np.nan]),
    ("multiclass_generalized_dice_loss", "smooth", [-1.0, np.nan]),
    ("binary_dice_loss", "smooth", [-1.0, np.nan]),
    ("ctc_loss_with_forward_probs", "log_epsilon", [0.0, 1.0, -np.inf]),
    ("ctc_loss", "log_epsilon", [0.0, 1.0, -np.inf]),
]


@pytest.mark.parametrize(("name", "argument", "wrong"), NUMBERS)
def test_numbers_out_of_their_range_are_refused(name, argument, wrong):
    like = dict.fromkeys(["triplet_margin_loss", "cosine_similarity", "cosine_distance"], (X, X))
    others = (like | {"smooth_labels": ()}).get(name, (jnp.ones(4, int),))
    others = others[:1] if name.startswith("cosine") else others
    if name.startswith("ctc"):
        others = (jnp.zeros((1, 4)), jnp.ones((1, 1), int), jnp.zeros((1, 1)))
    for number in wrong:
        with pytest.raises(ValueError, match=f"{name}: {argument} must be"):
            getattr(losses, name)(X, *others, **{argument: number})
    assert f"``{argument}``" in getattr(losses, name).__doc__


def test_every_number_of_a_loss_has_a_range():
    declared = {(name, argument) for name, argument, _ in NUMBERS}
    found = set()
    for name in dir(losses):
        loss = getattr(losses, name)
        notes = getattr(loss, "__annotations__", {}) if name[0] != "_" else {}
        found |= {(name, argument) for argument, note in notes.items() if "Number" in str(note)}
    assert found == declared
