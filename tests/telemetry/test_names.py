"""``metrics`` and ``hyperparams`` name the same thing alike, wherever a ``watch`` stands."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

P = {"a": jnp.ones((2, 2)), "b": jnp.ones(2)}
RATE = gc.linear_schedule(0.1, 0.0, 10)
WATCHED = {
    "outermost": gc.watch(gc.chain(gc.clip(1.0), gc.adam(RATE)), every=1),
    "around a wrapper": gc.watch(gc.lookahead(gc.adam(RATE)), every=1),
    "in a wrapper": gc.accumulate(gc.watch(gc.adam(RATE), every=1), every=1),
    "in a chain": gc.chain(gc.clip(1.0), gc.watch(gc.adam(RATE), every=1)),
    "with a name": gc.watch(gc.adam(RATE), every=1).named("seen"),
    "in a group": gc.groups([("a", gc.watch(gc.sgd(RATE), every=1))], gc.adam(0.1)),
    "around groups": gc.watch(gc.groups([("a", gc.sgd(RATE))], gc.adam(0.1)), every=1),
    "around a chain with a name": gc.watch(gc.chain(gc.adam(RATE)).named("own"), every=1),
    "around tunable": gc.watch(gc.tunable(gc.adam(RATE)), every=1),
}


@pytest.mark.parametrize("name", WATCHED)
def test_what_is_in_both_has_one_name_and_one_value(name):
    tx = WATCHED[name]
    state = tx.init(P)
    before = gc.hyperparams(tx, state)  # which the update uses, and shows
    _, state = tx.update(P, state, P)
    shown = gc.metrics(state)
    own = ("norm", "norm_in", "norm_out", "factor", "step", "ratio", "vanishing", "exploding")
    numbers = {k for k in shown if not any(f"{k}".endswith(x) for x in own)}
    assert any(k.endswith("learning_rate") for k in numbers)
    assert numbers - {k for k in numbers if "_norm" in k or "dropped" in k} <= before.keys()
    for k in numbers & before.keys():
        np.testing.assert_allclose(shown[k], before[k], rtol=1e-6)


def test_two_watches_of_one_name_keep_their_full_paths():
    tx = gc.chain(gc.watch(gc.scale(2.0), every=1), gc.scale(3.0))
    found = gc.hyperparams(tx, tx.init(P))
    assert (found["watch/inner/scale/step_size"], found["scale/step_size"]) == (2.0, 3.0)


def test_two_metrics_of_one_name_are_refused():
    tx = gc.watch(gc.scale(2.0).named("gradient_norm"), by=lambda path, x: "norm_in")
    with pytest.raises(ValueError, match="watch: two metrics are called 'gradient_norm/norm_in'"):
        tx.init(P)
