"""Hyperparameters in the state: their names, what a change does, how precise they are, how they
last.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import gradchain as gc
from gradchain.core.walk import walk
from gradchain.wrappers.tunable import hyperparameter_names
from tests.laws import samples
from tests.laws.table import ROWS
from tests.support.checkpoints import through_msgpack, through_orbax
from tests.support.hyperparameters import ONES, PARAMS, RATE, run, values

# -------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("tx", "names"),
    [
        (gc.sgd(0.1), ["learning_rate"]),
        (gc.sgd(RATE, 0.9), ["learning_rate/init_value", "learning_rate/end_value", "momentum"]),
        (gc.chain(gc.clip(1.0), gc.sgd(0.1)), ["max_delta", "learning_rate"]),
        (
            gc.chain(gc.clip(1.0), gc.sgd(0.1), gc.clip(2.0)),
            ["clip/max_delta", "learning_rate", "clip_2/max_delta"],
        ),
        (
            gc.chain(gc.clip(1.0).named("a"), gc.clip(2.0).named("b")),
            ["a/max_delta", "b/max_delta"],
        ),
        (
            gc.partition({"x": gc.sgd(0.1), "y": gc.sgd(0.2)}, "x"),
            ["x/learning_rate", "y/learning_rate"],
        ),
        (
            gc.accumulate(gc.accumulate(gc.sgd(0.1), 2), 3),
            ["learning_rate", "accumulate/every", "every"],
        ),
        (
            gc.groups([("b", {"learning_rate": 0.2})], gc.sgd(0.1)),
            ["rules/0/1/learning_rate", "learning_rate"],
        ),
        (gc.aggmo(0.1), ["learning_rate", "decays/0", "decays/1", "decays/2"]),
        (gc.sgd(lambda step: 0.1), []),
        (gc.chain(optax.adam(0.1), gc.scale(-0.1)), ["step_size"]),
    ],
)
def test_names_are_those_of_arguments(tx, names):
    assert hyperparameter_names(tx) == names
    assert len(jax.tree.leaves(tx)) == len(names)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_names_are_different(row):
    names = hyperparameter_names(row.make())
    assert len(set(names)) == len(names) == len(jax.tree.leaves(row.make()))


def test_the_state_holds_them_by_name_and_nothing_else_moves():
    inner = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1))
    state = gc.tunable(inner).init(PARAMS)["tunable"]
    assert {k: round(float(v), 6) for k, v in state["hyperparams"].items()} == {
        "max_norm": 1.0,
        "clip_by_global_norm/eps": 0.0,
        "learning_rate": 0.1,
        "b1": 0.9,
        "b2": 0.999,
        "adamw/eps": 0.0,
        "eps_root": 0.0,
        "weight_decay": 0.0001,
    }
    samples.assert_identical(state["inner"], inner.init(PARAMS))


def test_some_of_them_are_chosen():
    tx = gc.tunable(gc.adamw(0.1), ("learning_rate", "b1"))
    assert list(values(tx.init(PARAMS))) == ["learning_rate", "b1"]
    assert list(values(gc.tunable(gc.adamw(0.1), names="b1").init(PARAMS))) == ["b1"]
    with pytest.raises(
        ValueError, match="no hyperparameter 'lr', only 'learning_rate', 'eps_root', 'b1'"
    ):
        gc.tunable(gc.adamw(0.1), ("lr",)).init(PARAMS)
    with pytest.raises(ValueError, match=r"identity\(\) has no hyperparameter"):
        gc.tunable(gc.identity()).init(PARAMS)
    with pytest.raises(ValueError, match="has no hyperparameter"):
        gc.tunable(optax.sgd(0.1)).init(PARAMS)


# ------------------------------------------------------------------------------------------ changed


def set_in_the_dict(state, **new):
    for name, value in new.items():
        values(state)[name] = jnp.float32(value)
    return state


@pytest.mark.parametrize("change", [gc.set_hyperparams, set_in_the_dict])
def test_a_change_is_as_if_the_code_had_changed_and_traces_nothing(change):
    before, after = gc.adamw(0.1), gc.adamw(0.01, b1=0.5, weight_decay=0.3)
    tx, traces = gc.tunable(before), []

    @jax.jit
    def step(params, state):
        traces.append(state)
        return tx.step(ONES, state, params)

    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(3):
        params, state = step(params, state)
    state = change(state, learning_rate=0.01, b1=0.5, weight_decay=0.3)
    for _ in range(3):
        params, state = step(params, state)
    assert len(traces) == 1

    expected, old = run(before, before.init(PARAMS), 3)
    expected, _ = run(after, old, 3, params=expected)
    samples.assert_close(params, expected, 1e-6)
    with pytest.raises(AssertionError):
        samples.assert_close(
            params, run(before, old, 3, params=run(before, before.init(PARAMS), 3)[0])[0], 1e-3
        )


def test_an_eager_loop_with_changes_compiles_once():
    tx, params = gc.tunable(gc.adam(0.1)), {"only in this test": jnp.ones((7, 3))}
    state, compilations = tx.init(params), []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: (
            compilations.append(name) if name.endswith("backend_compile_duration") else None
        )
    )
    for i in range(5):
        values(state)["learning_rate"] = np.float32(0.1 / (1 + i))
        params, state = tx.step(params, state, params)
    assert len(compilations) == 1


def test_many_steps_in_one_scan_with_a_rate_of_its_own_each():
    tx = gc.tunable(gc.sgd(1.0))

    def step(carry, rate):
        params, state = carry
        state = gc.set_hyperparams(state, learning_rate=rate)
        return tx.step(ONES, state, params), gc.hyperparams(tx, state)["learning_rate"]

    rates = jnp.array([0.5, 0.25, 0.125])
    (params, state), seen = jax.jit(lambda carry: jax.lax.scan(step, carry, rates))(
        (PARAMS, tx.init(PARAMS))
    )
    np.testing.assert_array_equal(params["head"]["kernel"], 1 - 0.875)
    np.testing.assert_array_equal(seen, rates)
    assert values(state)["learning_rate"] == 0.125


def test_a_population_in_one_state():
    tx, rates = gc.tunable(gc.adam(0.1)), jnp.array([0.1, 0.2, 0.3])
    stack = lambda tree: jax.tree.map(lambda x: jnp.stack([x] * 3), tree)
    state = gc.set_hyperparams(stack(tx.init(PARAMS)), learning_rate=rates)
    step = jax.jit(jax.vmap(lambda params, state: tx.step(ONES, state, params)))
    params = stack(PARAMS)
    for _ in range(3):
        params, state = step(params, state)
    for i, rate in enumerate(rates):
        one = gc.adam(rate)
        samples.assert_close(samples.at(i, params), run(one, one.init(PARAMS), 3)[0], 1e-6)
    np.testing.assert_array_equal(
        jax.vmap(lambda state: gc.hyperparams(tx, state))(state)["learning_rate"], rates
    )


def test_a_number_of_a_schedule_is_changed():
    tx = gc.tunable(gc.sgd(gc.warmup_cosine_decay_schedule(0.0, 1.0, 4, 100)))
    state = gc.set_hyperparams(tx.init(PARAMS), **{"learning_rate/peak_value": 2.0})
    _, state = run(tx, state, 2)
    assert gc.hyperparams(tx, state)["learning_rate"] == 1.0


def test_with_frozen_leaves_and_groups_inside():
    inner = gc.chain(
        gc.freeze("dense/*"),
        gc.clip_by_global_norm(1.0),
        gc.groups([("*bias", gc.freeze())], default=gc.sgd(0.5)),
    )
    tx, grads = (
        gc.tunable(inner),
        {**ONES, "dense": jax.tree.map(lambda x: 100 * x, ONES["dense"])},
    )
    state = gc.set_hyperparams(tx.init(PARAMS), learning_rate=0.25)
    updates, _ = tx.update(grads, state, PARAMS)
    np.testing.assert_allclose(updates["head"]["kernel"], -0.25 / 2**0.5, rtol=1e-6)
    assert not jnp.any(updates["dense"]["kernel"])
    assert tx.frozen(PARAMS)["dense"]["kernel"]


def test_a_tunable_in_each_group():
    tx = gc.groups(
        [("*bias", gc.tunable(gc.sgd(0.1)))], default=gc.tunable(gc.sgd(0.2, 0.9)).named("rest")
    )
    state = gc.set_hyperparams(tx.init(PARAMS), learning_rate=1.0, momentum=0.0)
    updates, _ = tx.update(ONES, state, PARAMS)
    samples.assert_close(updates, jax.tree.map(lambda x: -x, ONES), 0.0)
    state["groups"]["rest"]["tunable"]["hyperparams"]["learning_rate"] = jnp.float32(3.0)
    updates, _ = tx.update(ONES, state, PARAMS)
    assert updates["dense"]["bias"][0] == -1.0
    assert updates["head"]["kernel"][0, 0] == -3.0


def test_of_shapes_alone_the_members_are_those_of_the_code():
    tx = gc.tunable(gc.sgd(0.1))
    (_, part) = walk(tx, jax.eval_shape(tx.init, PARAMS))
    assert part.stage.numbers["learning_rate"] == 0.1


@pytest.mark.parametrize(
    "wrap", [gc.lookahead, lambda tx: gc.accumulate(tx, every=1), lambda tx: tx.named("it")]
)
def test_it_is_found_inside_wrappers(wrap):
    tx = wrap(gc.tunable(gc.sgd(0.1)))
    state = gc.set_hyperparams(tx.init(PARAMS), learning_rate=0.5)
    assert gc.hyperparams(tx, state)["learning_rate"] == 0.5
    assert tx.update(ONES, state, PARAMS)[0]["head"]["kernel"][0] == -0.5


def test_a_gradient_per_example_and_extra_arguments_go_in():
    tx = gc.tunable(gc.dpsgd(0.5, l2_norm_clip=1.0, noise_multiplier=0.0))
    grads = jax.tree.map(lambda x: jnp.stack([x, 3 * x]), PARAMS)
    expected, _ = gc.dpsgd(0.25, 1.0, 0.0).update(
        grads, gc.dpsgd(0.25, 1.0, 0.0).init(PARAMS), PARAMS
    )
    updates, _ = tx.update(grads, gc.set_hyperparams(tx.init(PARAMS), learning_rate=0.25), PARAMS)
    samples.assert_close(updates, expected, 1e-6)

    polyak = gc.tunable(gc.polyak_sgd(max_learning_rate=10.0))
    updates, _ = polyak.update(ONES, polyak.init(PARAMS), PARAMS, value=jnp.float32(20.0))
    np.testing.assert_allclose(
        updates["head"]["kernel"], -2.0, rtol=1e-5
    )  # 20 / |1|^2 of ten elements
    with pytest.raises(TypeError, match="Did you mean 'value'"):
        polyak.update(ONES, polyak.init(PARAMS), PARAMS, valeu=jnp.float32(1.0))


# ------------------------------------------------------------------------------------------ numbers


def test_it_follows_inject_hyperparams_of_optax():
    ours, theirs = (
        gc.tunable(gc.adamw(0.1, weight_decay=0.1)),
        optax.inject_hyperparams(optax.adamw)(0.1, weight_decay=0.1),
    )
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    ours_p = theirs_p = p
    state, opt_state = ours.init(p), theirs.init(p)
    for t in range(samples.STEPS):
        if t == 2:
            state = gc.set_hyperparams(state, learning_rate=0.01, b1=0.5)
            opt_state.hyperparams["learning_rate"] = jnp.float32(0.01)
            opt_state.hyperparams["b1"] = jnp.float32(0.5)
        ours_p, state = ours.step(samples.at(t, grads), state, ours_p)
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = theirs.update(samples.at(t, grads), opt_state, theirs_p)
            theirs_p = optax.apply_updates(theirs_p, updates)
    samples.assert_close(ours_p, theirs_p, 1e-6)
    assert {k: float(v) for k, v in opt_state.hyperparams.items() if k in values(state)} == {
        k: float(v) for k, v in values(state).items()
    }


@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64, jnp.complex64]
)
def test_they_are_never_below_float32(dtype):
    """In bfloat16 b2 = 0.999 would be 1 and the first update not a number."""
    with jax.enable_x64(dtype == jnp.float64):
        p = jax.tree.map(lambda x: x.astype(dtype), PARAMS)
        tx = gc.tunable(gc.adam(1e-3))
        state = tx.init(p)
        updates, new = tx.update(p, state, p)
        expected, _ = gc.adam(1e-3).update(p, gc.adam(1e-3).init(p), p)
        samples.assert_close(updates, expected, 1e-6)
        for held in (values(state), values(new)):
            assert {x.dtype for x in held.values()} == {
                jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)
            }
            assert float(held["b2"]) == pytest.approx(0.999, rel=1e-7)
        lowered = gc.set_hyperparams(new, b2=jnp.bfloat16(0.5))
        assert values(lowered)["b2"].dtype == values(new)["b2"].dtype


def test_a_number_that_was_put_in_without_an_array_is_taken():
    tx = gc.tunable(gc.sgd(0.1))
    for value in (0.5, 1, np.float32(0.5), jnp.bfloat16(0.5)):
        state = tx.init(PARAMS)
        values(state)["learning_rate"] = value
        assert float(gc.hyperparams(tx, state)["learning_rate"]) == value
        updates, new = jax.jit(tx.update)(ONES, state, PARAMS)
        assert float(updates["head"]["kernel"][0, 0]) == -value
        assert jax.typeof(values(new)["learning_rate"]) == jax.typeof(jnp.zeros((), jnp.float32))


# -------------------------------------------------------------------------------------------- saved


@pytest.mark.parametrize("save_and_restore", [through_orbax, through_msgpack])
def test_a_checkpoint_keeps_what_was_set(save_and_restore, tmp_path):
    rate = gc.linear_schedule(0.5, 0.1, 10)
    tx = gc.tunable(gc.chain(gc.clip(9.0), gc.adamw(rate), gc.clip(8.0)))
    changes = {"learning_rate/end_value": 0.2, "clip_2/max_delta": 0.05}
    params, state = run(tx, gc.set_hyperparams(tx.init(PARAMS), **changes), 2)
    restored = save_and_restore(state, tmp_path)
    samples.assert_identical(run(tx, restored, 3, params), run(tx, state, 3, params))
    again = gc.set_hyperparams(restored, b1=0.5)
    assert gc.hyperparams(tx, again)["b1"] == 0.5
    assert gc.hyperparams(tx, again)["clip_2/max_delta"] == np.float32(0.05)


def test_a_state_decides_in_a_tunable_and_the_code_everywhere_else(tmp_path):
    for old, new, expected in (
        (gc.sgd(0.1), gc.sgd(0.001), -0.001),
        (gc.tunable(gc.sgd(0.1)), gc.tunable(gc.sgd(0.001)), -0.1),
    ):
        restored = through_msgpack(old.init(PARAMS), tmp_path)
        assert new.update(ONES, restored, PARAMS)[0]["head"]["kernel"][0] == np.float32(expected)
        assert gc.hyperparams(new, restored)["learning_rate"] == pytest.approx(-expected)


def test_the_state_of_another_tunable_is_an_error():
    tx, other = gc.tunable(gc.adam(0.1)), gc.tunable(gc.adam(0.1), ("b1",))
    with pytest.raises(
        ValueError, match="state of 'tunable/hyperparams' has 'b1' but needs 'b1', 'b2', 'eps'"
    ):
        tx.update(ONES, other.init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match="'tunable/hyperparams' has 'b1' but needs"):
        gc.hyperparams(tx, other.init(PARAMS))
    with pytest.raises(ValueError, match="state of 'tunable' has none but needs 'hyperparams'"):
        tx.update(ONES, {}, PARAMS)
    state = tx.init(PARAMS)
    values(state)["b1"] = jnp.ones(1)
    for use in (lambda: tx.update(ONES, state, PARAMS), lambda: gc.hyperparams(tx, state)):
        with pytest.raises(
            ValueError,
            match=r"'b1' in the state of 'tunable' has shape \[1\], not \[\].*jax.vmap",
        ):
            use()


# ---------------------------------------------------------------------------------- set_hyperparams


def test_the_old_state_stays():
    state = gc.tunable(gc.sgd(0.1)).init(PARAMS)
    gc.set_hyperparams(state, learning_rate=5.0)
    assert values(state)["learning_rate"] == np.float32(0.1)


def test_dtype_and_sharding_stay():
    mesh = Mesh(np.array(jax.devices()), ("x",))
    state = jax.device_put(
        gc.tunable(gc.sgd(0.1)).init(PARAMS), NamedSharding(mesh, PartitionSpec())
    )
    new = values(gc.set_hyperparams(state, learning_rate=np.float64(0.5)))["learning_rate"]
    assert new.dtype == jnp.float32
    assert new.sharding == values(state)["learning_rate"].sharding
    assert new.committed
    plain = gc.set_hyperparams(gc.tunable(gc.sgd(0.1)).init(PARAMS), learning_rate=0.5)
    assert not values(plain)["learning_rate"].committed


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        (
            "lr",
            0.1,
            ValueError,
            "no tunable in this state has 'lr'; there are 'learning_rate', 'momentum'",
        ),
        ("momentum", jnp.ones(2), ValueError, r"momentum must have shape \[\], not \[2\]"),
        ("momentum", float("nan"), ValueError, "momentum must be in .*, not nan"),
        ("momentum", 1.5, ValueError, r"momentum must be in .*, not 1\.5"),
        ("momentum", "0.9", TypeError, "momentum must be a number, not '0.9'"),
        ("momentum", None, TypeError, "momentum must be a number, not None"),
        ("momentum", True, TypeError, "momentum must be a number, not True"),
        ("momentum", 1 + 0j, TypeError, r"momentum must be a number, not \(1\+0j\)"),
        ("momentum", b"1", TypeError, "momentum must be a number, not b'1'"),
        ("momentum", jax.random.key(0), TypeError, "momentum must be a number, not key"),
        ("momentum", 10**400, ValueError, "momentum must be in .*, not inf"),
        (
            "learning_rate",
            RATE,
            TypeError,
            "learning_rate must be a number, not linear_schedule.*value at this step",
        ),
    ],
)
def test_what_cannot_be_set(name, value, error, message):
    with pytest.raises(error, match=message):
        gc.set_hyperparams(gc.tunable(gc.sgd(0.1, 0.9)).init(PARAMS), **{name: value})


def test_the_names_in_a_state_tell_which_range_is_meant():
    state = gc.tunable(gc.adamw(0.1)).init(PARAMS)
    with pytest.raises(ValueError, match=r"b1 must be in \[0, 1\), not 1\.0"):
        gc.set_hyperparams(state, b1=1.0)
    averaging = gc.tunable(gc.schedule_free_sgd(0.1)).init(PARAMS)
    assert values(gc.set_hyperparams(averaging, b1=1.0))["b1"] == 1.0


def test_a_number_out_of_range_in_the_state_is_held_at_its_end():
    tx, g = gc.tunable(gc.clip(1.0)), jnp.ones(2)
    state = tx.init(g)
    state["tunable"]["hyperparams"]["max_delta"] = jnp.asarray(-1.0)
    assert (jax.jit(tx.update)(g, state, g)[0] == 0).all()


@pytest.mark.parametrize("decay", [1.0, 0.99999999, jnp.float32(1.0), 7, 10.0**300])
def test_a_number_at_an_end_outside_is_held_just_inside(decay):
    """A decay of 1 would divide by zero, in silence."""
    tx, g = gc.tunable(gc.adam(0.1)), jnp.ones(2)
    for name in ("b1", "b2"):
        state = tx.init(g)
        state["tunable"]["hyperparams"][name] = decay
        updates, state = tx.update(g, state, g)
        assert np.isfinite(updates).all()
        assert state["tunable"]["hyperparams"][name] >= 1.0  # as it was written


@pytest.mark.parametrize("wrong", [None, 1 + 0j, True, jax.random.key(0)])
def test_what_is_no_number_in_the_state_is_named(wrong):
    tx, g = gc.tunable(gc.adam(0.1)), jnp.ones(2)
    state = tx.init(g)
    state["tunable"]["hyperparams"]["b1"] = wrong
    for update in (tx.update, jax.jit(tx.update)):
        with pytest.raises(TypeError, match=r"'b1' in the state .* must be a number"):
            update(g, state, g)


def test_a_state_without_a_tunable():
    with pytest.raises(
        ValueError, match="'learning_rate' is not in this state, since no tunable is there"
    ):
        gc.set_hyperparams(gc.sgd(0.1).init(PARAMS), learning_rate=0.5)


def test_in_a_train_state_of_linen():
    tx = gc.chain(gc.clip(1.0), gc.tunable(gc.sgd(0.1)))
    state = gc.set_hyperparams(
        TrainState.create(apply_fn=None, params=PARAMS, tx=tx), learning_rate=0.5
    )
    assert state.apply_gradients(grads=ONES).params["head"]["kernel"][0] == 0.5
    chained = optax.chain(optax.clip(1.0), gc.tunable(gc.sgd(0.1)))
    assert gc.set_hyperparams(chained.init(PARAMS), learning_rate=0.5)[1]["tunable"][
        "hyperparams"
    ] == {"learning_rate": 0.5}


def test_in_an_optimizer_of_nnx():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, gc.tunable(gc.sgd(0.1)), wrt=nnx.Param)
    optimizer.opt_state["tunable"]["hyperparams"]["learning_rate"][...] = jnp.float32(0.5)
    before = model.bias[...]
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    np.testing.assert_allclose(before - model.bias[...], 0.5)
    now = gc.hyperparams(optimizer.tx, nnx.to_pure_dict(nnx.state(optimizer))["opt_state"])
    assert now["learning_rate"] == 0.5
