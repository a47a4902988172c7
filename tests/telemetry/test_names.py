"""``metrics`` and ``hyperparams`` name the same thing alike, wherever a ``watch`` stands."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.laws import samples
from tests.laws.table import ROWS

P = {"a": jnp.ones((2, 2)), "b": jnp.ones(2)}
RATE = gc.linear_schedule(0.1, 0.0, 10)
WATCHED = {
    "outermost": gc.watch(gc.chain(gc.clip(1.0), gc.adam(RATE)), every=1),
    "around a wrapper": gc.watch(gc.lookahead(gc.adam(RATE)), every=1),
    "in a wrapper": gc.accumulate(gc.watch(gc.adam(RATE), every=1), every=1),
    "in a chain": gc.chain(gc.clip(1.0), gc.watch(gc.adam(RATE), every=1)),
    "with a name": gc.watch(gc.adam(RATE), every=1).named("seen"),
    "in a group": gc.groups([("a", gc.watch(gc.sgd(RATE), every=1))], gc.adam(0.1)),
    "around a rule with a name": gc.watch(
        gc.groups([("a", gc.scale_by_learning_rate(RATE).named("own"))], gc.adam(0.1)), every=1
    ),
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


@pytest.mark.parametrize("name", WATCHED)
def test_what_a_watch_compares_with_is_no_hyperparameter(name):
    tx = gc.watch(WATCHED[name], healthy=(0.25, 4.0))
    shown = {**gc.hyperparams(tx, tx.init(P)), **gc.metrics(tx.init(P))}
    kept = gc.tunable(tx).init(P)["tunable"]["hyperparams"]
    assert shown and kept and not [k for k in (*shown, *kept) if "healthy" in k]


MANY = {f"layer_{i}": jnp.ones(1) for i in range(40)}
MANY_GROUPS = gc.groups([(name, gc.adam(0.1).named(name)) for name in MANY])


def history():
    made = gc.telemetry.History()
    made.write(1, gc.metrics(gc.watch(gc.adam(0.1), by="path").init(MANY)))
    return made


ASKED = {
    "metrics": lambda name: gc.metrics(gc.watch(MANY_GROUPS).init(MANY))[name],
    "hyperparams": lambda name: gc.hyperparams(MANY_GROUPS, MANY_GROUPS.init(MANY))[name],
    "tunable": lambda name: gc.tunable(MANY_GROUPS, name).init(MANY),
    "set_hyperparams": lambda name: gc.set_hyperparams(
        gc.tunable(MANY_GROUPS).init(MANY), **{name: 0.1}
    ),
    "history": lambda name: history()[name],
}


@pytest.mark.parametrize("name", ["learnig_rate", "learning_rate"])
@pytest.mark.parametrize("way", ASKED)
def test_an_error_shows_the_names_that_are_near_and_no_long_list(way, name):
    """No name is so, or many end so; a history has one that does."""
    if (way, name) == ("history", "learning_rate"):
        name = "norm_inn"
    with pytest.raises((KeyError, ValueError)) as caught:
        ASKED[way](name)
    message = str(caught.value)
    shown = re.findall(r"'([^']*/[^']*)'", message)
    assert " more" in message and len(shown) <= 10
    assert shown[0].endswith(("learning_rate", "norm_in"))


BARE = [row for row in ROWS if not row.name.startswith("watch")]


@pytest.mark.filterwarnings("ignore::gradchain.core.idle.IdlePatternWarning")
@pytest.mark.parametrize("row", BARE, ids=[row.name for row in BARE])
def test_a_watch_adds_nothing_to_a_name(row):
    params = samples.params(jnp.float32, {"kernel": (3, 2), "bias": (2,), "scale": (2,)})
    tx = row.make()
    plain, watched = gc.hyperparams(tx, tx.init(params)), gc.watch(tx)
    state = watched.init(params)
    assert gc.hyperparams(watched, state).keys() == plain.keys() | {"step"}
    numbers = {k for k in plain if not f"/{k}".endswith("/step")}
    assert numbers <= gc.metrics(state).keys()


def test_two_watches_of_one_name_keep_their_full_paths():
    tx = gc.chain(gc.watch(gc.scale(2.0), every=1), gc.scale(3.0))
    found = gc.hyperparams(tx, tx.init(P))
    assert (found["watch/inner/scale/step_size"], found["scale/step_size"]) == (2.0, 3.0)


def test_two_metrics_of_one_name_are_refused():
    tx = gc.watch(gc.scale(2.0).named("gradient_norm"), by=lambda path, x: "norm_in")
    with pytest.raises(ValueError, match="watch: two metrics are called 'gradient_norm/norm_in'"):
        tx.init(P)
