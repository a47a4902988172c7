"""The learning-rate range test on a problem whose rates are known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc

CURVATURE = jnp.array([1.0, 0.5])
P = {"w": jnp.array([2.0, -1.0])}


def loss(params, batch):
    return 0.5 * jnp.sum(batch * CURVATURE * params["w"] ** 2) + 1.0


def find(make=gc.sgd, batches=(1.0,), **arguments):
    return gc.schedules.find_learning_rate(jax.value_and_grad(loss), P, make, batches, **arguments)


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
        (dict(low=0.0), "low must be positive"),
        (dict(low=1.0, high=0.5), "low must be less than high"),
        (dict(steps=1), "steps must be 2 or more"),
        (dict(smoothing=1.0), "smoothing less than 1"),
        (dict(batches=()), "there are no batches"),
        (dict(batches=(jnp.inf,)), "the first loss is not finite"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        find(**arguments)
