"""The dialect of optax: what code reads and sets in a state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
import gradchain.as_optax as spoken
from tests.support.dialect import GRADS, PARAMS, assert_close, evaluate

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


def test_hyperparameters_are_read_and_set_in_the_state():
    tx = spoken.inject_hyperparams(spoken.sgd)(learning_rate=0.5, momentum=None)
    state = tx.init(PARAMS)
    assert (
        set(state.hyperparams) == {"learning_rate"} and state.hyperparams["learning_rate"] == 0.5
    )
    state.hyperparams["learning_rate"] = jnp.array(0.25)
    updates, state = jax.jit(tx.update)(GRADS[0], state, PARAMS)
    assert_close(updates, jax.tree.map(lambda g: -0.25 * g, GRADS[0]), rtol=1e-6)
    assert spoken.tree.get(state, "momentum") is None


def test_the_rate_of_a_schedule_is_found_among_arrays():
    tx = spoken.inject_hyperparams(spoken.sgd)(learning_rate=lambda step: 1.0 / (step + 1))
    state = tx.init(PARAMS)
    _, state = tx.update(GRADS[0], state, PARAMS)
    _, state = tx.update(GRADS[1], state, PARAMS)
    is_array = lambda path, value: isinstance(value, jax.Array)
    assert spoken.tree.get(state, "learning_rate", filtering=is_array) == 0.5


def test_multi_steps_tells_whether_it_made_a_step():
    tx = spoken.MultiSteps(spoken.sgd(0.1), 2)
    state, seen = tx.init(PARAMS), []
    for grads in GRADS:
        _, state = tx.update(grads, state, PARAMS)
        seen.append(bool(tx.has_updated(state)))
    assert seen == [False, True, False, True] and state.gradient_step == 2


def test_multi_steps_leaves_out_what_is_not_finite():
    tx = spoken.MultiSteps(spoken.sgd(1.0), 2, should_skip_update_fn=spoken.skip_not_finite)
    state, bad = tx.init(PARAMS), jax.tree.map(lambda g: g * jnp.nan, GRADS[0])
    for grads in (GRADS[0], bad, GRADS[1]):
        updates, state = tx.update(grads, state, PARAMS)
    assert state.gradient_step == 1
    assert_close(updates, jax.tree.map(lambda a, b: -(a + b) / 2, *GRADS[:2]), rtol=1e-6)


def test_trees_and_states_are_searched_and_set():
    state = spoken.chain(spoken.trace(0.9), spoken.scale_by_adam()).init(PARAMS)
    assert spoken.tree.get(state, "nu") is state[1].nu
    assert spoken.tree.get(state, "nothing", default=3) == 3
    with pytest.raises(KeyError, match="multiple"):
        spoken.tree.get(
            spoken.named_chain(("a", spoken.adam(0.1)), ("b", spoken.adam(0.1))).init(PARAMS),
            "mu",
        )
    new = spoken.tree.set(state, count=jnp.array(7))
    assert new[1].count == 7 and jax.tree.structure(new) == jax.tree.structure(state)
    with pytest.raises(KeyError, match="no values"):
        spoken.tree.set(state, nothing=1)


@pytest.mark.parametrize("call", ["optax.adam(0.1)", "optax.masked(optax.sgd(0.1, 0.9), MASK)"])
def test_what_a_state_holds_for_parameters_is_mapped(call):
    tx = evaluate(call, spoken)
    state = tx.init(PARAMS)
    made = spoken.tree.map_params(
        tx, lambda x: x + 1, state, transform_non_params=lambda x: x - 1
    )
    slots = {"mu", "nu", "trace"}
    for path, leaf in jax.tree_util.tree_leaves_with_path(made):
        assert jnp.all(
            leaf == (1 if any(getattr(k, "name", None) in slots for k in path) else -1)
        )


@pytest.mark.parametrize(
    "name",
    [
        "ApplyIfFiniteState",
        "ConditionallyMaskState",
        "ConditionallyTransformState",
        "InjectStatefulHyperparamsState",
        "MonitorState",
        "SnapshotState",
        "contrib.ReduceLROnPlateauState",
    ],
)
def test_states_that_are_named_tuples_have_the_fields_of_optax(name):
    assert evaluate(f"optax.{name}", spoken)._fields == evaluate(f"optax.{name}", optax)._fields


def test_errors_in_a_row_are_read_from_the_state():
    tx = spoken.apply_if_finite(spoken.adam(0.1), max_consecutive_errors=5)
    state, bad = tx.init(PARAMS), jax.tree.map(lambda g: g * jnp.inf, GRADS[0])
    for grads in (GRADS[0], bad, bad):
        _, state = jax.jit(tx.update)(grads, state, PARAMS)
    assert (int(state.notfinite_count), bool(state.last_finite), int(state.total_notfinite)) == (
        2,
        False,
        2,
    )
    assert state.inner_state[0].count == 1
    assert isinstance(
        spoken.chain(tx, spoken.scale(2.0)).init(PARAMS)[0], spoken.ApplyIfFiniteState
    )


@pytest.mark.parametrize("name", ["conditionally_transform", "conditionally_mask"])
def test_a_condition_on_the_step_and_on_extra_arguments(name):
    should = lambda step, loss, **extra: (step > 0) & (loss < 2.0)
    made = []
    for module in (spoken, optax):
        tx = getattr(module, name)(module.trace(0.9), should, forward_extra_args=True)
        state, updates = tx.init(PARAMS), []
        for grads, loss in zip(GRADS, (1.0, 1.0, 3.0, 1.0), strict=True):
            u, state = tx.update(grads, state, PARAMS, loss=jnp.array(loss))
            updates.append(u)
        assert int(state.step) == 4
        made.append(updates)
    assert_close(*made, rtol=1e-6)


def test_a_plateau_is_seen_in_the_state():
    values = (3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0)
    for arguments in (
        {"patience": 2, "cooldown": 1},
        {"patience": 1, "accumulation_size": 2, "factor": 0.5},
    ):
        made = []
        for module in (spoken, optax):
            tx = module.contrib.reduce_on_plateau(**arguments)
            state, seen = tx.init(PARAMS), []
            for value in values:
                updates, state = tx.update(GRADS[0], state, PARAMS, value=jnp.array(value))
                seen.append(
                    (updates, state.scale, state.plateau_count, state.cooldown_count, state.count)
                )
            made.append(seen)
        assert_close(*made, rtol=1e-6)


def test_a_plateau_goes_on_from_a_state_of_optax():
    pair = [module.contrib.reduce_on_plateau(patience=2) for module in (spoken, optax)]
    state = theirs = pair[1].init(PARAMS)  # whose best value is infinity
    state = spoken.contrib.ReduceLROnPlateauState(*state)
    for value in (3.0, 2.0, 2.0, 2.5):
        _, state = pair[0].update(GRADS[0], state, PARAMS, value=jnp.array(value))
        _, theirs = pair[1].update(GRADS[0], theirs, PARAMS, value=jnp.array(value))
    assert state.best_value == 2.0
    assert_close(tuple(state), tuple(theirs), rtol=1e-6)


def monitored(module):
    return module.chain(
        module.snapshot("before", module.tree.norm),
        module.clip_by_global_norm(1.0),
        module.monitor(
            {
                "after": module.tree.norm,
                "is_large": module.measure_with_ema(
                    lambda u: module.tree.norm(u) > 0.9, decay=0.8
                ),
                "biased": module.measure_with_ema(module.tree.norm, decay=0.8, debias=False),
            }
        ),
        module.sgd(0.1),
    )


def test_measurements_are_found_by_name():
    made = []
    for module in (spoken, optax):
        tx, seen = monitored(module), []
        state = tx.init(PARAMS)
        for grads in GRADS:
            _, state = tx.update(grads, state, PARAMS)
            seen.append(
                [
                    module.tree.get(state, name)
                    for name in ("before", "after", "is_large", "biased")
                ]
            )
        made.append(seen)
    assert_close(*made, rtol=1e-5)


def test_measurements_run_in_a_scan():
    tx = monitored(spoken)
    state = tx.init(PARAMS)
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *GRADS)

    def step(state, grads):
        _, state = tx.update(grads, state)
        return state, spoken.tree.get(state, "after")

    end, seen = jax.lax.scan(step, state, stacked)
    assert jax.tree.structure(end) == jax.tree.structure(state)
    assert seen.shape == (len(GRADS),)
    assert np.all(seen <= 1.0 + 1e-6)


def test_a_state_from_before_storage_is_carried_over():
    tx, p = spoken.adam(0.1, mu_dtype="bfloat16"), {"w": jnp.ones(2)}
    state = tx.native.init(p)
    old = {
        "stored_as": jax.tree.map(lambda x: x + jnp.ones((), x.dtype), state["storage"]["inner"])
    }
    found, report = gc.adopt_state(tx.native, old, p)
    assert not (report.new or report.dropped)
    assert jax.tree.map(jnp.result_type, found) == jax.tree.map(jnp.result_type, state)
    assert jax.tree.all(
        jax.tree.map(jnp.array_equal, found["storage"]["inner"], old["stored_as"])
    )
