"""Chains: their names, their members, how they run, and foreign pairs among them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc

PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.zeros(2)}
GRADS = jax.tree.map(lambda p: 0.1 + p, PARAMS)


@pytest.fixture
def standard_promotion():
    """Peers and users mix integers and floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def paths(state):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(state)
    }


def test_nested_chains_and_recipes_are_seen_through():
    flat = gc.chain(gc.clip(1.0), gc.scale_by_adam(), gc.scale_by_learning_rate(0.1))
    nested = gc.chain(gc.chain(gc.clip(1.0)), gc.chain(gc.adam(0.1), gc.chain()))
    assert list(nested.members) == list(flat.members)
    assert paths(nested.init(PARAMS)) == paths(flat.init(PARAMS))
    jax.tree.map(
        np.testing.assert_array_equal,
        nested.step(GRADS, nested.init(PARAMS), PARAMS),
        flat.step(GRADS, flat.init(PARAMS), PARAMS),
    )


def test_an_empty_chain_changes_nothing():
    updates, state = gc.chain().update(GRADS, gc.chain().init(PARAMS))
    assert state == {}
    jax.tree.map(np.testing.assert_array_equal, updates, GRADS)


def test_members_without_a_state_leave_no_entry():
    tx = gc.chain(gc.clip(1.0), gc.add_momentum(0.9), gc.scale(-0.1))
    assert list(tx.init(PARAMS)) == ["add_momentum"]
    assert list(tx.update(GRADS, tx.init(PARAMS))[1]) == ["add_momentum"]


def test_a_repeated_member_gets_a_number_and_a_named_one_its_name():
    tx = gc.chain(gc.add_momentum(0.9), gc.add_momentum(0.5), gc.add_momentum(0.1).named("slow"))
    assert list(tx.members) == ["add_momentum", "add_momentum_2", "slow"]
    assert set(tx.init(PARAMS)) == {"add_momentum", "add_momentum_2", "slow"}


def test_a_name_keeps_a_chain_together():
    tx = gc.chain(gc.adam(0.1).named("fast"), gc.scale(1.0))
    state = tx.init(PARAMS)
    assert paths(state) >= {"fast/scale_by_adam/count", "fast/scale_by_adam/mu/w"}
    plain = gc.adam(0.1)
    jax.tree.map(
        np.testing.assert_array_equal,
        tx.step(GRADS, state, PARAMS)[0],
        plain.step(GRADS, plain.init(PARAMS), PARAMS)[0],
    )


def test_a_clip_before_adamw_moves_no_path():
    tx = gc.adamw(1e-3)
    assert paths(gc.chain(gc.clip_by_global_norm(1.0), tx).init(PARAMS)) == paths(tx.init(PARAMS))


def test_a_schedule_in_the_place_of_a_constant_rate_moves_no_path():
    assert paths(gc.sgd(0.1).init(PARAMS)) == paths(
        gc.sgd(gc.linear_schedule(0.1, 0.0, 10)).init(PARAMS)
    )


def test_replace_reaches_into_the_members():
    tx = gc.chain(gc.clip(1.0), gc.adam(0.1, b1=0.8))
    assert tx.replace(learning_rate=0.2, b1=0.7) == gc.chain(gc.clip(1.0), gc.adam(0.2, b1=0.7))


def test_replace_takes_a_member_by_name():
    tx = gc.chain(gc.clip(1.0), gc.scale(2.0)).replace(clip=gc.identity())
    assert list(tx.members) == ["identity", "scale"]


def test_insert_before_puts_a_member_in():
    tx = gc.adamw(0.1).insert_before("add_decayed_weights", gc.clip(1.0))
    assert list(tx.members) == [
        "scale_by_adam",
        "clip",
        "add_decayed_weights",
        "scale_by_learning_rate",
    ]
    with pytest.raises(KeyError, match="no member named 'clip'"):
        gc.adamw(0.1).insert_before("clip", gc.clip(1.0))


@pytest.mark.parametrize(
    ("tx", "locality"),
    [
        (gc.chain(), "element"),
        (gc.adamw(0.1), "element"),
        (gc.chain(gc.adamw(0.1), gc.clip_by_global_norm(1.0)), "tree"),
        (gc.masked(gc.scale_by_adam(), "w"), "element"),
        (gc.chain(optax.scale(1.0)), "tree"),
    ],
)
def test_the_locality_is_the_widest_of_the_members(tx, locality):
    assert tx.locality == locality


def test_step_is_update_then_apply():
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1))
    state = tx.init(PARAMS)
    updates, after = tx.update(GRADS, state, PARAMS)
    jax.tree.map(
        np.testing.assert_array_equal,
        tx.step(GRADS, state, PARAMS),
        (gc.apply_updates(PARAMS, updates), after),
    )


def test_an_eager_loop_with_a_changing_learning_rate_compiles_twice():
    params = {"only here": jnp.ones(3), "and here": jnp.ones((5, 7))}
    state = gc.adamw(1.0).init(params)
    compilations = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: (
            compilations.append(name) if name.endswith("backend_compile_duration") else None
        )
    )
    for step in range(100):
        updates, state = gc.adamw(1e-3 * (step + 1)).update(params, state, params)
        params = gc.apply_updates(params, updates)
    assert 1 <= len(compilations) <= 2


def test_disable_jit_shows_concrete_arrays_to_a_rule():
    seen = []

    @gc.transform
    def spying_in_core():
        def rule(g):
            seen.append(type(g))
            return g

        return gc.elementwise(rule)

    tx = spying_in_core()
    with jax.disable_jit():
        tx.update(GRADS, {})
    assert seen == [type(GRADS["w"])] * 2


def test_the_step_saturates():
    tx = gc.scale_by_adam()
    top = jnp.iinfo(jnp.int32).max
    state = tx.init(PARAMS)
    state["scale_by_adam"]["count"] = jnp.asarray(top, jnp.int32)
    updates, state = tx.update(GRADS, state)
    assert state["scale_by_adam"]["count"] == top
    assert all(bool(jnp.isfinite(u).all()) for u in jax.tree.leaves(updates))


@pytest.mark.usefixtures("standard_promotion")
def test_any_function_of_the_step_is_a_schedule():
    tx = gc.sgd(lambda step: 0.5 / (step + 1))
    params, state = tx.step(GRADS, tx.init(PARAMS), PARAMS)
    np.testing.assert_allclose(params["b"], -0.05, rtol=1e-6)
    params, state = tx.step(GRADS, state, params)
    np.testing.assert_allclose(params["b"], -0.075, rtol=1e-6)


def test_constants_never_enter_the_state():
    old = gc.adam(0.1).init(PARAMS)
    params, _ = gc.adam(0.001).step(GRADS, old, PARAMS)
    np.testing.assert_allclose(params["b"], -0.001, rtol=1e-5)


# Foreign pairs


@pytest.mark.usefixtures("standard_promotion")
def test_optax_members_run_in_a_chain():
    tx = gc.chain(optax.clip_by_global_norm(1.0), gc.adam(0.01), optax.scale(0.5))
    twin = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01), optax.scale(0.5))
    state, twin_state, params, twin_params = tx.init(PARAMS), twin.init(PARAMS), PARAMS, PARAMS
    for _ in range(3):
        params, state = tx.step(GRADS, state, params)
        updates, twin_state = twin.update(GRADS, twin_state, twin_params)
        twin_params = optax.apply_updates(twin_params, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), params, twin_params)


@pytest.mark.usefixtures("standard_promotion")
def test_ours_run_in_optax_chain():
    tx = optax.chain(gc.clip(0.05), optax.adam(0.1), gc.scale_by_schedule(lambda step: 1.0))
    state = tx.init(PARAMS)
    updates, state = jax.jit(tx.update)(GRADS, state, PARAMS)
    assert jax.tree.structure(updates) == jax.tree.structure(PARAMS)


@pytest.mark.usefixtures("standard_promotion")
def test_an_optax_optimizer_as_the_only_member_is_itself():
    tx, twin = gc.chain(optax.adamw(0.1)), optax.adamw(0.1)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    expected, _ = twin.update(GRADS, twin.init(PARAMS), PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), updates, expected)


@pytest.mark.parametrize(
    "wrong",
    [None, (), [gc.adam(0.1)], {"a": gc.adam(0.1)}, 3],
    ids=lambda x: type(x).__name__,
)
@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda x: gc.accumulate(x, 2), "accumulate: argument 'inner'"),
        (gc.chain, "chain: argument 'members'"),
    ],
)
def test_what_is_no_member_is_refused_where_it_is_written(make, where, wrong):
    with pytest.raises(TypeError, match=f"{where} must be a transformation"):
        make(wrong)
    with pytest.raises(TypeError, match=f"{where} is the function adam itself.* Call it"):
        make(gc.adam)


def test_a_hand_written_pair_is_wrapped():
    pair = (
        lambda params: {"seen": jnp.zeros(())},
        lambda g, s, p=None: (g, {"seen": s["seen"] + 1}),
    )
    tx = gc.chain(gc.GradientTransformation(*pair).named("mine"), pair)
    _, state = tx.update(GRADS, tx.init(PARAMS))
    assert [float(entry["seen"]) for entry in state.values()] == [1.0, 1.0]
    init, update = gc.GradientTransformation(*pair)
    assert callable(init) and callable(update)


def test_a_pair_of_two_arguments_gets_no_params():
    tx = gc.chain((lambda params: (), lambda g, s: (jax.tree.map(jnp.negative, g), s)))
    assert tx.update(GRADS, tx.init(PARAMS), PARAMS)[0]["b"][0] == pytest.approx(-0.1)


def test_a_pair_of_two_arguments_may_name_an_extra_one():
    tx = gc.chain(
        (lambda params: (), lambda g, s, *, value: (jax.tree.map(lambda x: value * x, g), s))
    )
    assert tx.update(GRADS, tx.init(PARAMS), PARAMS, value=2.0)[0]["b"][0] == pytest.approx(0.2)


def test_extra_arguments_reach_whoever_names_them():
    @gc.transform
    def scale_by_value_in_core():
        return gc.elementwise(lambda g, value: g * value)

    foreign = (
        lambda params: (),
        lambda g, s, p=None, *, boost=1.0: (jax.tree.map(lambda x: x * boost, g), s),
    )
    tx = gc.chain(gc.masked(scale_by_value_in_core(), "b"), gc.clip(100.0), foreign)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0, boost=2.0)
    assert updates["b"][0] == pytest.approx(0.6) and updates["w"][0, 0] == pytest.approx(2.2)
    with pytest.raises(TypeError, match="Did you mean 'boost'"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0, bost=2.0)


def test_a_schedule_follows_the_clock_of_its_own_member():
    tx = gc.chain(gc.scale(gc.linear_schedule(0.0, 1.0, 4)), gc.scale(2.0))
    state = tx.init(PARAMS)
    seen = []
    for _ in range(6):
        updates, state = tx.update({"x": jnp.ones(1)}, state)
        seen.append(float(updates["x"][0]))
    assert seen == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.0])
    assert list(itertools.chain(*state.values())) == ["count"]


def test_a_pair_that_takes_all_by_place_is_given_params():
    pull = lambda *given: (jax.tree.map(jnp.add, given[0], given[2]), given[1])
    tx = gc.chain((lambda params: {}, pull))
    assert tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.full(2, 3.0))[0].tolist() == [
        4.0,
        4.0,
    ]


def test_an_empty_entry_of_a_state_stays():
    """As a hand-written state may have: what a scan carries keeps its structure."""
    tx = gc.chain(gc.scale(2.0), gc.add_momentum(0.9))
    state = {"scale": {}, **tx.init(jnp.ones(2))}
    _, new = tx.update(jnp.ones(2), state, jnp.ones(2))
    assert jax.tree.structure(new) == jax.tree.structure(state)
