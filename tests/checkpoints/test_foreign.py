"""A run that begins with another library and goes on with this one is where the other's own run
would be.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.checkpoints.test_adopt import assert_accounts_for_all
from tests.laws import samples
from tests.laws.table import ROWS
from tests.laws.test_parity_optax import in_optax

SHAPES = {"dense": {"bias": (3,), "kernel": (3, 2)}, "scale": ()}
RATE, RATE_OPTAX = gc.cosine_decay_schedule(0.1, 30), optax.cosine_decay_schedule(0.1, 30)
IS_MATRIX = gc.ndim_at_least(2)


def labels(tree):
    return jax.tree.map(lambda x: "matrices" if x.ndim > 1 else "rest", tree)


PAIRS = {
    "adamw, clip, schedule": (
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(RATE_OPTAX)),
        gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(RATE)),
    ),
    "sgd": (optax.sgd(RATE_OPTAX, momentum=0.9), gc.sgd(RATE, momentum=0.9)),
    "nesterov": (
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        gc.sgd(0.1, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (optax.rmsprop(RATE_OPTAX, momentum=0.9), gc.rmsprop(RATE, momentum=0.9)),
    "rmsprop, centered": (optax.rmsprop(0.01, centered=True), gc.rmsprop(0.01, centered=True)),
    "lion": (optax.lion(RATE_OPTAX, weight_decay=0.1), gc.lion(RATE, weight_decay=0.1)),
    "adagrad": (optax.adagrad(RATE_OPTAX), gc.adagrad(RATE)),
    "nadam": (optax.nadam(RATE_OPTAX), gc.nadam(RATE)),
    "amsgrad": (optax.amsgrad(RATE_OPTAX), gc.amsgrad(RATE)),
    "two of a kind": (
        optax.chain(
            optax.trace(0.5), optax.chain(optax.trace(0.9), optax.ema(0.9)), optax.scale(-0.1)
        ),
        gc.chain(
            gc.add_momentum(0.5), gc.add_momentum(0.9), gc.average_updates(0.9), gc.scale(-0.1)
        ),
    ),
    "MultiSteps": (  # of two: it divides in float32, which is exact by powers of two
        optax.MultiSteps(optax.adamw(RATE_OPTAX), every_k_schedule=2).gradient_transformation(),
        gc.accumulate(gc.adamw(RATE), every=2),
    ),
    "inject_hyperparams": (optax.inject_hyperparams(optax.adamw)(RATE_OPTAX), gc.adamw(RATE)),
    "inject_hyperparams, tunable": (
        optax.inject_hyperparams(optax.adam)(0.01),
        gc.tunable(gc.adam(0.01)),
    ),
    "apply_if_finite": (
        optax.apply_if_finite(optax.adam(RATE_OPTAX), 3),
        gc.skip_nonfinite(gc.adam(RATE)),
    ),
    "masked": (
        optax.chain(
            optax.masked(optax.scale_by_adam(), lambda t: jax.tree.map(lambda x: x.ndim > 1, t)),
            optax.scale(-0.1),
        ),
        gc.chain(gc.masked(gc.scale_by_adam(), IS_MATRIX), gc.scale(-0.1)),
    ),
    "multi_transform": (
        optax.multi_transform(
            {"matrices": optax.adam(RATE_OPTAX), "rest": optax.sgd(0.1, momentum=0.9)}, labels
        ),
        gc.groups([(IS_MATRIX, gc.adam(RATE))], default=gc.sgd(0.1, momentum=0.9)),
    ),
    "the same in optax's chain": (
        optax.chain(optax.clip(1.0), optax.adam(0.1)),
        optax.chain(optax.clip(1.0), gc.adam(0.1)),
    ),
}


def run(tx, params, state, grads, extra=()):
    """All steps, and the parameters and state after them."""

    def body(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params, **dict(extra))
        return (optax.apply_updates(params, updates), state), None

    with in_optax():
        return jax.jit(lambda *carry: jax.lax.scan(body, carry, grads)[0])(params, state)


def assert_goes_on(theirs, ours, tolerance=1e-12, extra=(), before=7, after=5):
    """``before`` steps with theirs, then ``after`` with each."""
    with jax.enable_x64(True):
        params, grads = (
            samples.params(jnp.float64, SHAPES),
            samples.gradients(jnp.float64, before + after, SHAPES),
        )
        grads = jax.tree.map(
            lambda g: jnp.round(g * 256.0) / 256.0, grads
        )  # of few digits, see MultiSteps
        first, later = (
            jax.tree.map(lambda g, part=part: g[part], grads)
            for part in (slice(before), slice(before, None))
        )
        with in_optax():
            state = theirs.init(params)
        params, state = run(theirs, params, state, first, extra)
        tx = ours if isinstance(ours, gc.GradientTransformation) else gc.chain(ours)
        adopted, report = gc.adopt_state(tx, state, params)
        assert_accounts_for_all(report, state, adopted)
        expected, _ = run(theirs, params, state, later, extra)
        found, _ = run(tx, params, adopted, later, extra)
        samples.assert_close(found, expected, tolerance)
    return report


@pytest.mark.rotated(3)
@pytest.mark.parametrize("name", PAIRS)
def test_a_run_of_optax_goes_on(name):
    report = assert_goes_on(*PAIRS[name])
    assert not report.reshaped


# A pair of functions calls its slots as it likes.
BOTH = [row for row in ROWS if row.optax is not None and row.name != "GradientTransformation"]
each_row = pytest.mark.parametrize("row", BOTH, ids=lambda row: row.name)


@pytest.mark.slow
@each_row
def test_every_transformation_that_both_have_goes_on(row):
    assert_goes_on(row.optax(), row.make(), extra=tuple(row.extra.items()))


@pytest.mark.parametrize("name", PAIRS)
def test_a_state_of_optax_in_our_chain_stays_as_it_is(name):
    """Where a member of optax goes on, nothing is translated."""
    with in_optax():
        params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
        before, after = (
            gc.chain(PAIRS[name][0]),
            gc.chain(gc.clip(1.0), PAIRS[name][0], gc.add_noise()),
        )
        state = before.init(params)
        leaves = [np.full(x.shape, i + 2, x.dtype) for i, x in enumerate(jax.tree.leaves(state))]
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
        new, report = gc.adopt_state(after, state, params)
    assert_accounts_for_all(report, state, new)
    assert report.new == ["add_noise/count"] and not report.dropped
    del new["add_noise"]
    samples.assert_identical(new, state)


@pytest.mark.filterwarnings("ignore:adopt_state. nothing of the old state")
def test_of_an_unknown_class_the_fields_are_slots():
    params = {"w": jnp.ones(2)}
    state = optax.scale_by_rprop(0.1).init(params)
    _, report = gc.adopt_state(gc.sgd(0.1, momentum=0.9), state, params)
    assert report.dropped == ["step_sizes/w", "prev_updates/w"]


def test_a_member_of_optax_keeps_its_state_in_another_chain():
    params = {"w": jnp.ones(2)}
    before = gc.chain(optax.scale_by_adam(), gc.scale_by_learning_rate(0.1))
    after = gc.accumulate(
        gc.chain(gc.clip(1.0), optax.scale_by_adam(), gc.scale_by_learning_rate(RATE)), every=2
    )
    with in_optax():
        _, state = before.step(params, before.init(params), params)
    new, report = gc.adopt_state(after, state, params)
    np.testing.assert_array_equal(
        new["accumulate"]["inner"]["scale_by_adam"].mu["w"], state["scale_by_adam"].mu["w"]
    )
    assert new["accumulate"]["inner"]["scale_by_adam"].count == 1
    assert not report.dropped
    back, _ = gc.adopt_state(gc.adam(0.1), new, params)  # and as a member of ours
    np.testing.assert_array_equal(
        back["scale_by_adam"]["mu"]["w"], state["scale_by_adam"].mu["w"]
    )
