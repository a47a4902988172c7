"""The learning-rate range test on a problem whose rates are known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from gradchain.schedules import range_test

pytestmark = pytest.mark.rotated(3)  # they take long

CURVATURE = jnp.array([1.0, 0.5])
P = {"w": jnp.array([2.0, -1.0])}


def loss(params, batch):
    return 0.5 * jnp.sum(batch * CURVATURE * params["w"] ** 2) + 1.0


def find(make=gc.sgd, batches=(1.0,), **arguments):
    return gc.schedules.find_learning_rate(
        jax.value_and_grad(loss), P, make, batches, **arguments
    )


def test_it_trains_with_rates_that_grow_by_a_factor():
    found = find(low=1e-3, high=1.0, steps=31, smoothing=0.0)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 1.0, 31), rtol=1e-6)
    w, expected = np.array([2.0, -1.0]), []
    for rate in found.rates:
        expected.append(0.5 * np.sum(np.asarray(CURVATURE) * w**2) + 1.0)
        w = w * (1 - rate * np.asarray(CURVATURE))
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)
    np.testing.assert_allclose(found.smoothed, found.losses)
    assert found.diverged is None
    assert found.decade_below is None
    slopes = np.gradient(np.array(expected), np.log(found.rates))
    np.testing.assert_allclose(found.steepest, found.rates[np.argmin(slopes)])


def test_it_stops_where_the_loss_diverges():
    found = find(low=1e-2, high=1e4, steps=200)
    assert 2.0 < found.diverged < 20.0  # gradient descent diverges at 2 over the curvature
    assert found.decade_below == found.diverged / 10
    assert found.rates[-1] < found.diverged
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 200
    assert np.all(np.isfinite(found.losses))
    assert 0.01 < found.steepest < 2.0
    assert found.smoothed[-1] <= found.smoothed.min() + 3 * found.losses[0]


def test_it_stops_at_a_loss_that_is_not_finite():
    steps = itertools.chain([1.0] * 5, [jnp.nan])
    found = find(batches=steps, steps=20, low=1e-3, high=1.0)
    assert len(found.losses) == 5
    np.testing.assert_allclose(found.diverged, np.geomspace(1e-3, 1.0, 20)[5])


def test_the_average_has_no_pull_towards_zero():
    found = find(low=1e-9, high=1e-8, steps=5, smoothing=0.9)
    np.testing.assert_allclose(found.smoothed, found.losses[0], rtol=1e-5)


def test_batches_start_anew_and_one_step_is_compiled():
    traces = []

    def counted(params, batch):
        traces.append(batch)
        return loss(params, batch)

    batches = iter([1.0, 2.0, 3.0])
    found = gc.schedules.find_learning_rate(
        jax.value_and_grad(counted), P, gc.adam, batches, low=1e-9, high=1e-8, steps=7
    )
    sizes = [float(loss(P, b)) for b in (1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0)]
    np.testing.assert_allclose(found.losses, sizes, rtol=1e-5)
    assert len(traces) == 1


@pytest.mark.parametrize(
    "make",
    [
        optax.sgd,
        lambda rate: gc.chain(gc.clip(1.0), gc.sgd(rate)),
        lambda r: gc.chain(gc.sgd(r), gc.reduce_on_plateau()),
        lambda r: gc.sam(gc.sgd(r), 0.01),
    ],
    ids=["optax", "chain", "needs the value", "needs the loss"],
)
def test_it_takes_any_optimizer(make):
    assert find(make, low=1e-3, high=1.0, steps=5).losses[-1] < find(steps=5).losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(low=0.0), "find_learning_rate: low must be greater than 0"),
        (dict(low=1.0, high=0.5), "low must be less than high"),
        (dict(steps=1), "steps must be 2 or more"),
        (dict(smoothing=1.0), r"smoothing must be in \[0, 1\), not 1.0"),
        (dict(batches=()), "there are no batches"),
        (dict(batches=(jnp.inf,)), "the first loss is not finite"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        find(**arguments)


def regression(seed, size, level=lambda i, rng: 0.0):
    """Batches of a linear regression that are above each other by ``level``, and all as one."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40 * size, 6))
    y = x @ rng.standard_normal(6) + rng.standard_normal(len(x))
    x, y = np.float32(x), np.float32(y)
    parts = [(x[i::40], y[i::40], np.float32(level(i, rng))) for i in range(40)]
    return parts, [(x, y, np.float32(0.0))]


def squares(w, batch):
    x, y, level = batch
    return jnp.mean((x @ w - y) ** 2) + level


def suggested(batches, make=gc.sgd, of=squares, **arguments):
    start = jnp.zeros(6)
    given = dict(low=1e-4, high=10.0) | arguments
    return gc.schedules.find_learning_rate(jax.value_and_grad(of), start, make, batches, **given)


LEVELS = {
    "none": lambda i, rng: 0.0,
    "far apart": lambda i, rng: 100.0 * rng.random(),
    "negative": lambda i, rng: -50.0 * rng.random(),
    "falling": lambda i, rng: -1.0 * i,
    "rising": lambda i, rng: 1.0 * i,
    "two": lambda i, rng: 30.0 * (i % 2),
    "one outlier": lambda i, rng: 1e3 * (i == 7),
}


@pytest.mark.rotated(3)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("level", LEVELS)
def test_batches_may_differ_in_level_and_order(level, seed):
    batches, (whole,) = regression(seed, 16, LEVELS[level])
    expected = suggested([whole])
    found = suggested(batches)
    assert expected.steepest / 3 < found.steepest < 3 * expected.steepest
    # Without the levels the course is the same.
    plain = suggested([(x, y, np.float32(0.0)) for x, y, _ in batches])
    assert plain.steepest / 1.3 < found.steepest < 1.3 * plain.steepest
    assert plain.diverged / 2 < found.diverged < 2 * plain.diverged
    backwards = suggested(batches[::-1])
    assert expected.steepest / 3 < backwards.steepest < 3 * expected.steepest


@pytest.mark.parametrize("make", [gc.sgd, gc.adam])
@pytest.mark.parametrize(("size", "largest"), [(4, 20), (64, 5)])
def test_batches_may_be_noisy(make, size, largest):
    """Most of all the median: with four examples in a batch a single run is chaotic."""
    ratios = []
    for seed in range(5):
        batches, whole = regression(seed, size)
        ratios.append(suggested(batches, make).steepest / suggested(whole, make).steepest)
    assert 1 / 2.5 < np.median(ratios) < 2.5, ratios
    assert min(ratios) > 1 / largest and max(ratios) < largest, ratios


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_suggested_trains(order):
    """Six batches of one curve, of which the first are above the others."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 5, 60).astype("f")
    y = (2.5 * np.exp(-0.8 * x) + 0.3 + 0.05 * rng.standard_normal(60)).astype("f")
    loss = lambda p, b: jnp.mean((p["a"] * jnp.exp(-p["k"] * b[0]) + p["c"] - b[1]) ** 2)
    start = {"a": 1.0, "k": 0.1, "c": 0.0}
    batches = [(x[i::6], y[i::6]) for i in range(6)][::order]
    found = gc.schedules.find_learning_rate(
        jax.value_and_grad(loss), start, gc.adam, batches, low=1e-4, high=10.0
    )
    assert 0.02 < found.steepest < 0.2


def test_the_course_overlays_the_losses():
    batches, _ = regression(0, 16, LEVELS["far apart"])
    found = suggested(batches, high=1e-3)
    level = np.mean([b[2] for b in batches])
    fitted = np.mean(found.losses - found.smoothed)
    assert abs(fitted) < 0.2 * np.std(found.losses)
    assert np.ptp(found.smoothed) < 0.1 * np.ptp(found.losses)
    assert abs(np.mean(found.smoothed) - level) < 0.5 * level


def test_coming_back_from_a_height_is_no_descent():
    course, before = range_test._Course(smoothing=0.0), 10.0
    for loss in (10.0, 9.9, 9.0, 8.0, 7.9, 30.0, 8.0, 7.8):
        assert course.goes_on(10.0, before, loss, divergence=100.0)
        before = loss
    # Nor is a fall that leaves the loss above where it was.
    assert course.goes_on(10.0, 500.0, 12.0, divergence=100.0)
    rates = np.geomspace(1.0, 256.0, 9)
    assert range_test._steepest(rates, course) == rates[2]
