"""What watch measures is right, costs nothing where it is not, and changes nothing of what it
watches.
"""

import re

import chex
import flax.linen as nn
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from hypothesis import given

import gradchain as gc
from gradchain.core.walk import walk
from tests.laws import samples
from tests.laws.samples import at, named
from tests.laws.table import ROWS
from tests.laws.twins import norm
from tests.support import hlo
from tests.support.random_trees import few
from tests.support.watched import GRADS, PARAMS, after, measured

pytestmark = pytest.mark.rotated(1)  # they take long

RATE = gc.linear_schedule(1.0, 0.0, 10)


def same(a, b):
    """Equal bit for bit, NaN included."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


# ------------------------------------------------------------------------------- it changes nothing


def check_that_nothing_changes(row, steps=3):
    tx = row.make()
    shapes = {"dense": {"bias": (3,), "kernel": (3, 2)}, "hole": None, "stack": [(3,), (2, 3, 2)]}
    params, grads = (
        samples.params(jnp.float32, shapes),
        samples.gradients(jnp.float32, shapes=shapes),
    )
    for watched in (gc.watch(tx, every=1, by="path"), gc.watch(tx, every=2)):
        state, expected_state = watched.init(params), tx.init(params)
        assert state["watch"].get("inner", {}).keys() == expected_state.keys()
        types = jax.eval_shape(lambda state=state: state)
        for t in range(steps):
            updates, state = watched.update(at(t, grads), state, params, **row.extra)
            expected, expected_state = tx.update(
                at(t, grads), expected_state, params, **row.extra
            )
            same(updates, expected)
            same(state["watch"].get("inner", {}), expected_state)
            assert jax.eval_shape(lambda state=state: state) == types


usable = [row for row in ROWS if "takes_trees_of_every_kind" not in row.reasons]
of_first_order = [row for row in usable if not row.is_second_order]


@pytest.mark.slow
@few
@given(st.sampled_from(of_first_order))
def test_updates_and_states_of_any_row_are_the_same_bit_for_bit(row):
    with jax.disable_jit():
        check_that_nothing_changes(row, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("row", usable, ids=[row.name for row in usable])
def test_updates_and_states_of_every_row_are_the_same_bit_for_bit(row):
    with jax.disable_jit():
        check_that_nothing_changes(row)


@pytest.mark.parametrize("every", [1, 2, 100])
def test_compiled_updates_are_the_same_bit_for_bit(every):
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.accumulate(gc.adamw(RATE, weight_decay=0.1), 2))
    params, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    updates, p, state = samples.compiled_run(gc.watch(tx, every), params, grads)
    same((updates, p, state["watch"]["inner"]), samples.compiled_run(tx, params, grads))


def test_a_wrapper_that_hides_its_members_is_measured_as_one():
    @gc.transform
    def hiding(inner: gc.GradientTransformation):
        return inner.init, inner.update

    found = measured(gc.watch(gc.chain(hiding(gc.sgd(0.5)), optax.scale(2.0))))
    assert {k for k in found if k.endswith("norm_in")} == {
        "hiding/norm_in",
        "update_fn/norm_in",
    } or "scale/norm_in" in found
    np.testing.assert_allclose(found["hiding/norm_out"], 0.5 * found["hiding/norm_in"], rtol=1e-6)
    np.testing.assert_allclose(found["update_norm"], found["gradient_norm"], rtol=1e-6)


def test_groups_that_replace_a_whole_member_are_measured():
    tx = gc.groups(
        [("b", {"scale_by_adam": gc.scale(2.0)})],
        default=gc.chain(gc.scale_by_adam(), gc.scale(-1.0)),
    )
    found = measured(gc.watch(tx))
    assert found["groups/chain_2/scale/norm_out"] == 8.0


def test_what_a_wrapper_makes_for_itself_is_not_measured():
    tx = gc.watch(gc.apply_when(lambda step: step > 0, gc.sgd(0.1)))
    assert "apply_when/inner/scale_by_learning_rate/norm_in" in measured(tx)


# -------------------------------------------------------------------------------------- the numbers


def test_norms_are_those_of_a_slow_count():
    tx = gc.chain(
        gc.clip_by_global_norm(2.0), gc.scale_by_adam(), gc.add_decayed_weights(0.1), gc.sgd(RATE)
    )
    found = measured(gc.watch(tx, every=1), steps=3)
    state, u = after(tx, steps=2), GRADS
    for name, member in tx.members.items():
        np.testing.assert_allclose(found[f"{name}/norm_in"], norm(named(u)), rtol=2e-5)
        u, _ = member.update(u, {k: v for k, v in state.items() if k == name}, PARAMS)
        np.testing.assert_allclose(
            found[f"{name}/norm_out"], norm(named(u)), rtol=2e-5
        )  # b2 is in float32
    length, weights = norm(named(GRADS)), norm(named(PARAMS))
    expected = {
        "step": 3.0,
        "gradient_norm": length,
        "update_norm": norm(named(u)),
        "parameter_norm": weights,
        "update_ratio": norm(named(u)) / weights,
        "clip_by_global_norm/clip_factor": 2.0 / length,
        "clip_by_global_norm/max_norm": 2.0,
        "scale_by_learning_rate/learning_rate": 0.8,
        "scale_by_adam/b2": 0.999,
        "vanishing": 0.0,
        "exploding": 0.0,
    }
    assert expected.keys() <= found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, err_msg=name)


def test_members_of_wrappers_chains_and_groups_are_measured():
    rules = [("b", gc.freeze()), ("*bias", gc.scale(2.0))]
    tx = gc.chain(
        gc.accumulate(gc.groups(rules, default=gc.sgd(0.5)), 1),
        gc.chain(gc.scale(-3.0)).named("end"),
    )
    found = measured(gc.watch(tx))
    assert {k.removesuffix("/norm_out") for k in found if k.endswith("/norm_out")} == {
        "accumulate",
        "accumulate/inner/groups",
        "accumulate/inner/groups/freeze/freeze",
        "accumulate/inner/groups/scale/scale",
        "accumulate/inner/groups/sgd/scale_by_learning_rate",
        "end",
        "end/scale",
    }
    np.testing.assert_allclose(
        found["accumulate/inner/groups/scale/scale/norm_out"], 2 * 0.5**0.5, rtol=1e-6
    )
    np.testing.assert_allclose(
        found["accumulate/inner/groups/sgd/scale_by_learning_rate/norm_out"], 1.5, rtol=1e-6
    )
    np.testing.assert_allclose(found["end/scale/norm_in"], (2.0 + 2.25) ** 0.5, rtol=1e-6)
    assert found["accumulate/inner/groups/freeze/freeze/norm_in"] == 0.0


def test_a_clip_that_does_nothing_has_the_factor_one():
    assert (
        measured(gc.watch(gc.clip_by_global_norm(100.0)))["clip_by_global_norm/clip_factor"]
        == 1.0
    )
    zero = jax.tree.map(jnp.zeros_like, GRADS)
    assert measured(gc.watch(gc.clip(1.0)), grads=zero)["clip/clip_factor"] == 1.0
    assert measured(gc.watch(gc.scale(0.5).named("my_clip")))["my_clip/clip_factor"] == 0.5


def test_the_gradient_of_examples_is_measured_as_their_mean():
    examples = jax.tree.map(lambda g: jnp.stack([g, 3 * g]), GRADS)
    tx = gc.watch(gc.dpsgd(0.1, 1e6, 0.0))
    found = measured(tx, grads=examples)
    np.testing.assert_allclose(found["gradient_norm"], 2 * norm(named(GRADS)), rtol=1e-6)
    assert "differentially_private_aggregate/norm_in" not in found
    np.testing.assert_allclose(
        found["differentially_private_aggregate/norm_out"], found["gradient_norm"], rtol=1e-6
    )


def test_numbers_have_the_precision_of_the_computation():
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (PARAMS, GRADS))
    found = measured(gc.watch(gc.adamw(0.1)), params=low[0], grads=low[1])
    assert {x.dtype for x in found.values()} == {np.dtype(np.float32)}
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(jnp.float64), (PARAMS, GRADS))
        found = measured(gc.watch(gc.adamw(0.1)), params=wide[0], grads=wide[1])
        np.testing.assert_allclose(found["gradient_norm"], norm(named(GRADS)), rtol=1e-15)


def test_complex_gradients():
    grads, params = {"w": jnp.array([3 + 4j])}, {"w": jnp.array([0 + 5j])}
    found = measured(gc.watch(gc.sgd(0.1), by="path"), grads=grads, params=params)
    assert found["gradient_norm"] == found["parameter_norm/w"] == 5.0


# -------------------------------------------------------------------------------------------- every


def test_the_first_step_and_each_nth_are_measured():
    tx, state, found = gc.watch(gc.sgd(RATE), every=3), None, []
    state = tx.init(PARAMS)
    assert all(x == 0 for x in gc.metrics(state).values())
    for t in range(7):
        grads = jax.tree.map(lambda g, t=t: (t + 1.0) * g, GRADS)
        _, state = tx.update(grads, state, PARAMS)
        now = gc.metrics(state)
        found.append(
            (float(now["step"]), float(now["learning_rate"]), float(now["gradient_norm"]))
        )
    length = norm(named(GRADS))
    expected = [(s, 1.1 - 0.1 * s, s * length) for s in (1, 1, 3, 3, 3, 6, 6)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_inside_accumulate_it_counts_the_steps_that_are_made():
    state = after(gc.accumulate(gc.watch(gc.sgd(RATE), every=2), 3), steps=13)
    found = gc.metrics(state)
    assert found["accumulate/inner/step"] == 4.0
    np.testing.assert_allclose(found["learning_rate"], 0.7, rtol=1e-6)


def test_around_accumulate_a_step_that_is_made_is_measured_where_the_periods_meet():
    found = [
        measured(gc.watch(gc.accumulate(gc.sgd(1.0), 2), every=3), steps=t)["update_norm"]
        for t in (1, 3, 6)
    ]
    np.testing.assert_allclose(found, [0.0, 0.0, norm(named(GRADS))], rtol=1e-6)


def test_a_scan_of_a_hundred_steps_returns_the_metrics_of_each():
    tx = gc.watch(gc.chain(gc.clip_by_global_norm(1.0), gc.adam(RATE)), every=10, by="path")

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = tx.step(carry[0], carry[1], carry[0])
            return (params, state), gc.metrics(state)

        return jax.lax.scan(step, (params, tx.init(params)), length=100)

    (_, state), stacked = train(PARAMS)
    assert {x.shape for x in stacked.values()} == {(100,)}
    same(at(-1, dict(stacked)), dict(gc.metrics(state)))
    expected = [t if t == 1 or t % 10 == 0 else max(t // 10 * 10, 1) for t in range(1, 101)]
    np.testing.assert_array_equal(stacked["step"], expected)


# ------------------------------------------------------------------------------------ what it costs


def compiled(tx, **options):
    step = jax.jit(lambda g, s, p: tx.step(g, s, p), **options)
    return step.lower(GRADS, tx.init(PARAMS), PARAMS).compile().as_text()


def instructions(program):
    """All that is computed, without where in the source it was said."""
    return {
        name: [re.sub(r", metadata=\{.*?\}", "", x) for x in lines]
        for name, lines in hlo.computations(program).items()
    }


def test_what_is_not_watched_compiles_to_the_same_program():
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(RATE))
    before = compiled(tx)
    watched = gc.watch(tx)
    assert instructions(before)["ENTRY"]
    assert instructions(compiled(watched["watch"].arguments["inner"])) == instructions(before)
    assert instructions(compiled(watched)) != instructions(before)


def test_between_measurements_nothing_is_summed():
    program = compiled(gc.watch(gc.adamw(RATE), by="path"))
    assert hlo.places(compiled(gc.adamw(RATE)), "reduce") == []
    sums = set(hlo.places(program, "reduce"))
    assert sums
    assert sums <= hlo.below(program, "conditional")


def test_every_step_there_is_one_run():
    """It stands in no branch: what does are sums of squares that were out of range."""
    program = compiled(gc.watch(gc.adamw(RATE), every=1))
    in_branches = lambda program: (
        set(hlo.places(program, "sqrt", "power", "divide", "exponential"))
        & hlo.below(program, "conditional")
    )
    assert not in_branches(program)
    assert in_branches(compiled(gc.watch(gc.adamw(RATE), every=10)))  # the search can fail
    roots = lambda tx: len(hlo.places(compiled(tx), "sqrt"))
    assert len(hlo.places(program, "power", "expm1", "exponential-minus-one")) == len(
        hlo.places(compiled(gc.adamw(RATE)), "power", "expm1", "exponential-minus-one")
    )
    assert roots(gc.watch(gc.adamw(RATE), every=10)) > roots(gc.adamw(RATE))


def test_no_donated_buffer_is_copied_for_it():
    copies = lambda tx: len(
        re.findall(r"f32\[[\d,]+\]\S* copy\(", compiled(tx, donate_argnums=(1, 2)))
    )
    assert copies(gc.watch(gc.adamw(RATE))) <= copies(gc.adamw(RATE))


def test_an_equal_watch_adds_no_trace_and_a_rate_no_compilation():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(tx, state):
        return gc.metrics(tx.update(GRADS, state, PARAMS)[1])

    for rate in (0.1, 0.1, 0.2):
        tx = gc.watch(gc.adam(rate))
        found = update(tx, tx.init(PARAMS))
        np.testing.assert_allclose(found["learning_rate"], rate, rtol=1e-6)


# ------------------------------------------------------------------------------------------ reading


def test_skipped_steps_are_counted_with_a_watch_and_without():
    bad = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), GRADS)
    plain = gc.accumulate(gc.sgd(0.1), 2)
    counts = {"accumulate/dropped": 1, "accumulate/dropped_in_a_row": 1}
    assert dict(gc.metrics(after(plain, grads=bad))) == counts
    found = gc.metrics(after(gc.watch(plain, every=100), steps=3, grads=bad))
    assert found["accumulate/dropped"] == found["dropped_in_a_row"] == 3
    guarded = gc.watch(gc.skip_nonfinite(gc.adam(0.1)), every=100)
    found = gc.metrics(after(guarded, steps=3, grads=bad))
    assert found["skip_nonfinite/skipped"] == found["skipped_in_a_row"] == 3


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_a_guard_counts_is_a_metric(row):
    state = jax.eval_shape(row.make().init, samples.params(jnp.float32))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    paths = {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves}
    counts = {path for path in paths if path.endswith(("_in_a_row", "skipped", "dropped"))}
    assert counts <= gc.metrics(state).keys()


def test_parameters_that_are_called_like_counters_are_none():
    params = {"skipped": jnp.ones(2), "dropped": {"metrics": jnp.ones(2), "count": jnp.ones(2)}}
    assert gc.metrics(gc.adam(0.1).init(params)) == {}


def test_several_watches_have_names_of_their_own():
    tx = gc.chain(
        gc.watch(gc.scale(2.0)), gc.watch(gc.scale(3.0)), gc.watch(gc.scale(5.0)).named("third")
    )
    found = measured(tx)
    for prefix, factor in (("", 2.0), ("watch_2/", 6.0), ("third/", 30.0)):
        np.testing.assert_allclose(
            found[f"{prefix}update_norm"] / found["gradient_norm"], factor, rtol=1e-6
        )


def test_a_watch_in_a_watch_measures_what_it_holds_itself():
    found = measured(gc.watch(gc.chain(gc.scale(2.0), gc.watch(gc.scale(3.0)).named("inner"))))
    assert found["inner/norm_in"] == found["inner/scale/norm_in"] == found["inner/gradient_norm"]
    np.testing.assert_allclose(found["update_norm"], 6 * found["gradient_norm"], rtol=1e-6)


def test_the_end_of_a_name_will_do():
    found = gc.metrics(after(gc.watch(gc.chain(gc.clip(1.0), gc.sgd(0.25)))))
    assert found["learning_rate"] == 0.25
    with pytest.raises(KeyError):
        found["norm_in"]


def test_in_nnx_optimizer_train_state_and_optax():
    tx = gc.watch(gc.adam(0.1), by="path")
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    found = gc.metrics(optimizer.opt_state)
    np.testing.assert_allclose(found["gradient_norm"], 3.0, rtol=1e-6)
    np.testing.assert_allclose(found["gradient_norm/kernel"], 6**0.5, rtol=1e-6)
    assert isinstance(found["step"], jax.Array)

    linen = nn.Dense(3)
    params = linen.init(jax.random.key(0), jnp.ones((1, 2)))["params"]
    state = TrainState.create(apply_fn=linen.apply, params=params, tx=tx)
    state = state.apply_gradients(grads=jax.tree.map(jnp.ones_like, params))
    np.testing.assert_allclose(gc.metrics(state.opt_state)["gradient_norm"], 3.0, rtol=1e-6)

    both = optax.chain(optax.clip(0.5), tx)
    state = both.update(GRADS, both.init(PARAMS), PARAMS)[1]
    np.testing.assert_allclose(gc.metrics(state)["1/gradient_norm"], 1.5**0.5, rtol=1e-6)


def test_vmapped_transformations_have_metrics_each():
    rates = jnp.array([0.1, 0.2])
    run = lambda rate: gc.metrics(after(gc.watch(gc.sgd(rate)), steps=1))
    found = jax.vmap(run)(rates)
    np.testing.assert_allclose(found["update_norm"], rates * norm(named(GRADS)), rtol=1e-6)


def test_walk_sees_what_is_watched():
    names = [part.name for part in walk(gc.watch(gc.chain(gc.clip(1.0), gc.sgd(0.1))))]
    assert names == ["watch", "watch/inner/clip", "watch/inner/scale_by_learning_rate"]


# -------------------------------------------------------------------------------------- wrong calls


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="watch: every must be 1 or more, not 0"):
        gc.watch(gc.sgd(0.1), every=0).init(PARAMS)
    with pytest.raises(
        ValueError, match="watch: by must be 'path', 'group', a function of path and leaf"
    ):
        gc.watch(gc.sgd(0.1), by="layer").init(PARAMS)
    with pytest.raises(ValueError, match="by='group' needs groups"):
        gc.watch(gc.sgd(0.1), by="group").init(PARAMS)
    with pytest.raises(TypeError, match="for 'a/bias' it gave 2"):
        gc.watch(gc.sgd(0.1), by=lambda path, leaf: len(leaf.shape) + 1).init(PARAMS)
    with pytest.raises(TypeError, match=r"'healthy' must be a tuple, a list .*not 0\.5"):
        gc.watch(gc.sgd(0.1), healthy=0.5)
    for wrong in ((0.5,), (1e-3, 1.0, 1e3)):
        with pytest.raises(
            ValueError, match=r"healthy must be a pair, the least and the largest"
        ):
            gc.watch(gc.sgd(0.1), healthy=wrong).init(PARAMS)
    with pytest.raises(ValueError, match=r"watch: healthy: largest must be 1000\.0 or more"):
        gc.watch(gc.sgd(0.1), healthy=(1e3, 1e-3)).init(PARAMS)
    tx = gc.watch(gc.sgd(0.1))
    with pytest.raises(TypeError, match="update: 'watch' needs params"):
        tx.update(GRADS, tx.init(PARAMS))
    with pytest.raises(
        ValueError, match=r"no metrics of single layers; say watch\(..., by='path'\)"
    ):
        gc.telemetry.unhealthy_layers(gc.metrics(after(gc.watch(gc.sgd(0.1)))))


@pytest.mark.parametrize("guard", [gc.skip_nonfinite, gc.skip_spikes])
def test_a_norm_that_overflows_inside_a_guard_is_no_reason_to_skip(guard):
    tx = guard(gc.chain(gc.clip(1.0), gc.sgd(0.1)))
    params, huge = {"a": jnp.ones(3)}, {"a": jnp.full(3, 1e25)}
    expected, _ = tx.update(huge, tx.init(params), params, value=1.0)
    watched = gc.watch(tx, every=1)
    found, _ = watched.update(huge, watched.init(params), params, value=1.0)
    assert jnp.all(found["a"] == expected["a"]) and jnp.all(expected["a"] < 0)
