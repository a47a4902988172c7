"""Spikes: which steps are left out, and what the statistics take in."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.laws.samples import assert_identical
from tests.optimizers.sgd import Sgd
from tests.support.guards import counts, own, run
from tests.wrappers.spikes import SkipSpikes

INF, NAN = float("inf"), float("nan")


def norms(*sizes):
    return [jnp.array([0.6, 0.8]) * size for size in sizes]


def skips(tx, grads):
    """For each gradient whether its step was left out."""
    return [bool(counts(state)[1]) for _, state in run(tx, grads, jnp.zeros(2))]


def test_a_spike_is_left_out_and_does_not_move_the_statistics():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=4)
    usual = norms(1.0, 1.1, 0.9, 1.05, 0.95)
    assert skips(tx, [*usual, *norms(30.0, 1.0, 1.7, 4.0)]) == [False] * 5 + [
        True,
        False,
        False,
        True,
    ]
    without = run(tx, usual, jnp.zeros(2))[-1][1]
    after = run(tx, [*usual, *norms(30.0)], jnp.zeros(2))[-1][1]
    for slot in ("mean", "variance", "taken"):
        assert_identical(own(after)[slot], own(without)[slot])


def test_nothing_finite_is_a_spike_in_the_warm_up():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=3)
    grads = [*norms(1.0, 1000.0), jnp.full(2, NAN), *norms(1e-3), jnp.full(2, INF)]
    assert skips(tx, grads) == [False, False, True, False, True]


def test_a_new_level_is_taken_on_after_so_many_skips():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=3, max_skips_in_a_row=4)
    grads = norms(*[1.0] * 5, *[100.0] * 12, 1e4)
    assert skips(tx, grads) == [False] * 5 + [True] * 4 + [False] * 8 + [True]


def test_a_gradient_of_zero_changes_no_statistic():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=2)
    assert skips(tx, norms(1.0, 0.0, 1.1, 0.0, 1.2, 0.0, 50.0, 1.0)) == [False] * 6 + [
        True,
        False,
    ]
    for state in [state for _, state in run(tx, norms(0.0, 0.0), jnp.zeros(2))]:
        assert int(own(state)["taken"]) == 0


def test_a_smaller_norm_is_no_spike_and_a_shrinking_one_is_followed():
    sizes = [0.9**i for i in range(100)]
    assert not any(skips(gc.skip_spikes(gc.sgd(0.1), warmup_steps=5), norms(*sizes, 1e-9)))


@pytest.mark.parametrize("seed", range(3))
def test_its_choices_are_those_of_its_twin(seed):
    rng = np.random.default_rng(seed)
    sizes = np.exp(
        0.3 * rng.standard_normal(200)
        + 3.0 * (rng.random(200) < 0.1)
        + 2.0 * (np.arange(200) > 120)
    )
    arguments = {"threshold": 3.0, "decay": 0.95, "warmup_steps": 10, "max_skips_in_a_row": 3}
    twin, zero = SkipSpikes(Sgd(0.1), **arguments), {"": np.zeros(2)}
    twin.init(zero)
    for size in sizes:
        twin.update({"": np.array([0.6, 0.8]) * size}, zero)
    assert skips(gc.skip_spikes(gc.sgd(0.1), **arguments), norms(*sizes)) == [
        not made for made in twin.made
    ]
    assert 5 < sum(not made for made in twin.made) < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warmup_steps": 0}, "warmup_steps must be 1 or more, not 0"),
        ({"max_skips_in_a_row": 0}, "max_skips_in_a_row must be 1 or more, not 0"),
        ({"threshold": 0.0}, "threshold must be greater than 0, not 0.0"),
        ({"min_deviation": -1.0}, "min_deviation must be greater than 0, not -1.0"),
    ],
)
def test_arguments_of_spikes_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=f"skip_spikes: {message}"):
        gc.skip_spikes(gc.sgd(0.1), **arguments).init(jnp.ones(1))
