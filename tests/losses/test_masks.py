"""What a mask leaves out does not matter, whatever it is: no value, no slope, no share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain import losses
from tests.losses import twins
from tests.losses.cases import part

pytestmark = pytest.mark.rotated(3)  # they take long

RNG = np.random.default_rng(1)
ROWS, CLASSES = 5, 4
X = 2 * RNG.standard_normal((ROWS, CLASSES))
Y = RNG.dirichlet(np.ones(CLASSES), ROWS)
#: the second row is whole, the last two have nothing
MASK = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
LABELS = np.array([0, 3, 2, -1, -100])


def smooth(y, alpha=0.2):
    return (1 - alpha) * y + alpha / y.size


def kl(log_p, y):
    return np.sum(y * (np.log(y) - log_p))


one = lambda twin, *args: twin(*(a[None] for a in args))[0]
#: name: loss, arguments that are masked, the twin of one row
CASES = {
    "softmax_cross_entropy": (
        losses.softmax_cross_entropy,
        (X, Y),
        part(one, twins.cross_entropy),
    ),
    "poly_loss_cross_entropy": (
        part(losses.poly_loss_cross_entropy, epsilon=-0.5),
        (X, Y),
        part(one, lambda x, y: twins.poly(x, y, epsilon=-0.5)),
    ),
    "ranking_softmax_loss": (
        lambda x, y, w, where: losses.ranking_softmax_loss(
            x, y, weights=w, where=where, reduce_fn=None
        ),
        (X, Y, np.abs(X)),
        lambda x, y, w: one(twins.cross_entropy, x, w * y),
    ),
    "kl_divergence": (losses.kl_divergence, (X, Y), kl),
    "kl_divergence_with_log_targets": (
        losses.kl_divergence_with_log_targets,
        (X, np.log(Y)),
        lambda log_p, log_y: kl(log_p, np.exp(log_y)),
    ),
    "generalized_kl_divergence": (
        losses.generalized_kl_divergence,
        (X, Y),
        lambda log_p, y: kl(log_p, y) + np.sum(np.exp(log_p) - y),
    ),
    "cosine_similarity": (losses.cosine_similarity, (X, Y), part(one, twins.cosine)),
    "cosine_distance": (
        losses.cosine_distance,
        (X, Y),
        lambda x, y: 1 - one(twins.cosine, x, y),
    ),
    "softmax_cross_entropy_with_integer_labels": (
        lambda x, where: losses.softmax_cross_entropy_with_integer_labels(x, LABELS, where=where),
        (X,),
        None,
    ),
    "smooth_labels": (lambda y, where: losses.smooth_labels(y, 0.2, where=where), (Y,), None),
}
#: of a row without any element
OF_NOTHING = {"cosine_distance": 1.0}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def expected_of(name):
    _, args, twin = CASES[name]
    if name == "smooth_labels":
        made = np.zeros((ROWS, CLASSES))
        for i, mask in enumerate(MASK[:3]):
            made[i, mask] = smooth(Y[i, mask])
        return made
    rows = []
    for i, mask in enumerate(MASK):
        if not mask.any():
            rows.append(OF_NOTHING.get(name, 0.0))
        elif name == "softmax_cross_entropy_with_integer_labels":
            rows.append(-twins.log_softmax(X[i, mask])[mask[: LABELS[i]].sum()])
        else:
            rows.append(twin(*(a[i, mask] for a in args)))
    return np.array(rows)


def test_every_mask_has_a_case():
    public = [name for name in dir(losses) if callable(getattr(losses, name)) and name[0] != "_"]
    takes = lambda name: "where" in getattr(losses, name).__wrapped__.__code__.co_varnames
    masked = {name for name in public if hasattr(getattr(losses, name), "__wrapped__")}
    masked = {name for name in masked if takes(name)} | {
        "kl_divergence",
        "kl_divergence_with_log_targets",
    }
    assert masked == CASES.keys()


def with_garbage(args, garbage):
    return [np.where(MASK, a, np.resize(garbage, a.shape)) for a in args]


@pytest.mark.parametrize("name", CASES)
def test_nothing_outside_matters(name):
    loss, args, _ = CASES[name]
    weights = 1.0 + np.arange(ROWS * CLASSES).reshape(ROWS, CLASSES)

    def total(*args):
        made = loss(*args, where=jnp.asarray(MASK))
        return jnp.sum(made * (weights if made.ndim == 2 else weights[:, 0])), made

    slopes_of = jax.jit(jax.grad(total, argnums=tuple(range(len(args))), has_aux=True))
    plain, made = slopes_of(*args)
    np.testing.assert_allclose(made, expected_of(name), rtol=1e-10, atol=1e-12)
    garbage = [np.nan, np.inf, -np.inf, 1e300, 0.0]
    slopes, again = slopes_of(*with_garbage(args, garbage))
    np.testing.assert_array_equal(made, again)
    for slope, expected in zip(slopes, plain, strict=True):
        np.testing.assert_array_equal(slope, expected)
        assert np.all(np.asarray(slope)[~MASK] == 0) and np.all(np.isfinite(slope))
        assert np.any(np.asarray(slope)[MASK] != 0)


@pytest.mark.parametrize("name", CASES)
def test_a_mask_of_examples_leaves_whole_ones_out(name):
    loss, args, _ = CASES[name]
    whole = np.array([True, True, True, False, False])
    made = loss(*map(jnp.asarray, args), where=jnp.asarray(whole))
    wide = loss(*map(jnp.asarray, args), where=jnp.asarray(np.repeat(whole[:, None], CLASSES, 1)))
    np.testing.assert_array_equal(made, wide)
    nothing = np.broadcast_to(OF_NOTHING.get(name, 0.0), made[3:].shape)
    np.testing.assert_array_equal(made[3:], nothing)


def test_smoothing_gives_no_share_to_classes_that_there_are_not():
    y, where = jnp.array([1.0, 0.0, 0.0]), jnp.array([True, True, False])
    smoothed = losses.smooth_labels(y, 0.1, where=where)
    np.testing.assert_allclose(smoothed, [0.95, 0.05, 0.0])
    for masked in (-1e9, -jnp.inf):
        made = losses.softmax_cross_entropy(jnp.array([1.0, 2.0, masked]), smoothed)
        np.testing.assert_allclose(made, 1.2632616875)
    np.testing.assert_array_equal(losses.smooth_labels(y, 0.1, where=jnp.zeros(3, bool)), 0.0)


def test_a_label_that_the_mask_leaves_out_counts_nothing_like_its_one_hot_form():
    x, where = jnp.asarray(X[0]), jnp.asarray(MASK[0])
    of_label = lambda x: losses.softmax_cross_entropy_with_integer_labels(x, 1, where=where)
    one_hot = lambda x: losses.softmax_cross_entropy(x, jnp.eye(CLASSES)[1], where=where)
    for loss in (of_label, one_hot):
        value, slope = jax.value_and_grad(loss)(x)
        assert value == 0 and jnp.all(slope == 0)


def test_padded_frames_of_ctc_do_not_matter():
    logits = jnp.asarray(RNG.standard_normal((1, 4, 3)))
    padding, words = jnp.array([[0, 0, 0, 1]]), jnp.array([[1, -1, 77]])
    missing = jnp.array([[0, 1, 1]])
    loss = lambda x: losses.ctc_loss(x, padding, words, missing)[0]
    expected, slope = jax.value_and_grad(loss)(logits)
    value, slopes = jax.value_and_grad(loss)(logits.at[0, 3].set(jnp.nan))
    assert value == expected and jnp.all(slopes == slope) and jnp.all(slope[0, 3] == 0)
    short = losses.ctc_loss(logits[:, :3], padding[:, :3], words[:, :1], missing[:, :1])[0]
    np.testing.assert_allclose(value, short, rtol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (5, 1, 1), (5, 3), ()])
@pytest.mark.parametrize("name", ["softmax_cross_entropy", "kl_divergence", "cosine_similarity"])
def test_a_mask_of_another_shape_is_refused(name, shape):
    with pytest.raises(ValueError, match=r"where has shape .*: it must have that of the pred"):
        getattr(losses, name)(jnp.asarray(X), jnp.asarray(Y), where=jnp.ones(shape, bool))
