"""What the rows do not say of the wrappers: their signs, their company, and optax beside them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from gradchain.wrappers.cautious import points_downhill
from tests import own, samples


def run(tx, params, grads):
    state = tx.init(params)
    for t in range(samples.STEPS):
        params, state = tx.step(samples.at(t, grads), state, params)
    return params, state


# ----------------------------------------------------------------------------------- up or downhill


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (gc.scale_by_adam(), False),
        (gc.chain(gc.add_momentum(), gc.scale(-0.1)), False),
        (gc.adam(0.1), True),
        (gc.chain(gc.clip(1.0), gc.adam(0.1)), True),
        (gc.adam(0.1).named("fast"), True),
        (gc.chain(gc.clip(1.0), gc.adam(0.1).named("fast")).named("all"), True),
        (gc.lookahead(gc.sgd(0.1)), True),
        (gc.chain(gc.cautious(gc.scale_by_adam()), gc.clip(1.0)), False),
        (gc.partition({"matrices": gc.adam(0.1), "rest": gc.freeze()}, own.group_of), True),
        (gc.GradientTransformation(own.init_sum, own.add_to_sum), False),
    ],
)
def test_an_optimizer_is_known_by_the_learning_rate_in_it(tx, expected):
    assert points_downhill(tx) is expected


@pytest.mark.parametrize("wrap", [gc.cautious, gc.grams])
def test_a_direction_and_its_optimizer_are_changed_alike(wrap):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    inside = run(wrap(gc.sgd(0.1, 0.9)), p, grads)[0]
    outside = run(gc.chain(wrap(gc.add_momentum(0.9)), gc.scale_by_learning_rate(0.1)), p, grads)[0]
    samples.assert_close(inside, outside, 1e-6)
    with pytest.raises(AssertionError):
        samples.assert_close(inside, run(gc.sgd(0.1, 0.9), p, grads)[0], 1e-2)


@pytest.mark.parametrize("wrap", [gc.cautious, gc.grams])
def test_of_a_foreign_optimizer_the_sign_is_said(wrap):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    ours = run(wrap(gc.sgd(0.1, 0.9)), p, grads)[0]
    with jax.numpy_dtype_promotion("standard"):
        p, grads = ({k: v for k, v in tree.items() if k != "hole"} for tree in (p, grads))
        theirs = run(wrap(optax.sgd(0.1, 0.9), downhill=True), p, grads)[0]
    samples.assert_close(ours, theirs, 1e-6)


def test_cautious_keeps_a_leaf_of_agreeing_updates_nearly_and_drops_a_leaf_of_others():
    tx = gc.cautious(gc.scale(-1.0))
    g = {"a": jnp.array([1.0, -2.0, 3.0])}
    np.testing.assert_array_equal(tx.update(g, tx.init(g))[0]["a"], 0.0)
    tx = gc.cautious(gc.scale(2.0))
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0]["a"], 0.75 * 2.0 * g["a"], rtol=1e-6)
    tx = gc.cautious(gc.scale(2.0), floor=1e-3)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0]["a"], 2.0 * g["a"], rtol=1e-6)


def test_cautious_judges_gradients_whose_product_is_too_small_for_a_number():
    g = jnp.array([1e-30, -1e-30])
    tx = gc.cautious(gc.scale(1.0), floor=0.5)
    np.testing.assert_array_equal(tx.update(g, tx.init(g))[0], g)


# --------------------------------------------------------------------------------------- in company

WRAPPERS = {
    "cautious": gc.cautious,
    "grams": gc.grams,
    "mars": gc.mars,
    "grokfast": lambda inner: gc.grokfast(inner, 0.5, 1.0),
    "grokfast_window": lambda inner: gc.grokfast_window(inner, 2),
    "lookahead": lambda inner: gc.lookahead(inner, 2),
    "schedule_free": lambda inner: gc.schedule_free(inner, 0.1),
    "average_weights": gc.average_weights,
    "sam": gc.sam,
    "asam": gc.asam,
    "looksam": lambda inner: gc.looksam(inner, every=2),
}


def bowl(params):
    return sum(jnp.sum((x - 1.0) ** 2) for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "inner", [gc.sgd(0.05), gc.adamw(0.05), gc.lion(0.02)], ids=lambda tx: tx.factory.name
)
@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_trains_with_any_optimizer(name, inner):
    tx = WRAPPERS[name](inner)
    params = {"a": jnp.zeros(3), "b": 3.0 * jnp.ones((2, 2))}

    @jax.jit
    def train(params, state):
        def step(carry, _):
            params, state = carry
            return tx.step(jax.grad(bowl)(params), state, params, value_fn=bowl), None

        return jax.lax.scan(step, (params, state), length=200)[0]

    trained, state = train(params, tx.init(params))
    assert bowl(gc.eval_params(state, trained)) < 0.1 * bowl(params)
    assert list(state) == [name]
    assert state[name]["inner"].keys() == inner.init(params).keys()


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize(
    "name", ["cautious", "mars", "lookahead", "schedule_free", "average_weights", "sam"]
)
def test_wrappers_go_around_each_other(name, outer):
    tx = WRAPPERS[outer](WRAPPERS[name](gc.adamw(0.1)))
    params = {"a": jnp.zeros(3), "b": 3.0 * jnp.ones((2, 2))}
    state = jax.eval_shape(tx.init, params)
    new, new_state = jax.eval_shape(lambda p, s: tx.step(p, s, p, value_fn=bowl), params, state)
    assert new == jax.eval_shape(lambda: params)
    assert new_state == state
    assert list(state[outer]["inner"]) == [name]


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_takes_a_pair_of_optax(name):
    params = {"a": jnp.zeros(3), "b": 3.0 * jnp.ones((2, 2))}
    grads = jax.grad(bowl)(params)
    arguments = {"downhill": True} if name in ("cautious", "grams") else {}
    with jax.numpy_dtype_promotion("standard"):
        theirs = WRAPPERS[name](optax.sgd(0.1)).replace(**arguments)
        updates, _ = theirs.update(grads, theirs.init(params), params, value_fn=bowl)
    ours = WRAPPERS[name](gc.sgd(0.1))
    expected, _ = ours.update(grads, ours.init(params), params, value_fn=bowl)
    samples.assert_close(updates, expected, 1e-6)


def test_wrappers_work_in_groups():
    tx = gc.partition(
        {"matrices": gc.lookahead(gc.adamw(0.1), 2), "rest": gc.cautious(gc.sgd(0.1))}, own.group_of
    )
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    _, state = run(tx, p, grads)
    assert set(state["partition"]) == {"matrices", "rest"}
    assert state["partition"]["matrices"]["lookahead"]["slow_params"]["dense"]["bias"] is None


# ------------------------------------------------------------------------------ lookahead and graft


def test_what_lookahead_starts_anew_starts_where_the_parameters_are():
    tx, params = (
        gc.lookahead(gc.average_weights(gc.sgd(1.0), 0.5, debias=False), 2, reset_state=True),
        jnp.zeros(1),
    )
    state = tx.init(params)
    for _ in range(2):
        params, state = tx.step(jnp.array([-1.0]), state, params)
    np.testing.assert_allclose(params, 1.0)
    np.testing.assert_allclose(
        state["lookahead"]["inner"]["average_weights"]["average_params"], 1.0
    )


@pytest.mark.parametrize("reset_state", [False, True])
def test_lookahead_is_that_of_optax_without_its_pairs_of_parameters(reset_state):
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32, 12)
    p, grads = ({k: v for k, v in tree.items() if k != "hole"} for tree in (p, grads))
    ours, theirs = (
        gc.lookahead(gc.adam(0.1), 3, 0.7, reset_state),
        optax.lookahead(optax.adam(0.1), 3, 0.7, reset_state),
    )
    fast, state = p, ours.init(p)
    with jax.numpy_dtype_promotion("standard"):
        both = optax.LookaheadParams.init_synced(p)
        their_state = theirs.init(both)
    for t in range(12):
        g = samples.at(t, grads)
        fast, state = ours.step(g, state, fast)
        with jax.numpy_dtype_promotion("standard"):
            updates, their_state = theirs.update(g, their_state, both)
            both = optax.apply_updates(both, updates)
        samples.assert_close(fast, both.fast, 1e-5)
        samples.assert_close(gc.eval_params(state, fast), both.slow, 1e-5)


def test_lookahead_that_starts_anew_leaves_the_state_of_a_hole():
    tx = gc.lookahead(gc.add_momentum(0.5), 1, 0.5, reset_state=True)
    p = {"a": jnp.ones(2), "b": jnp.ones(2)}
    state = tx.init(p)
    state["lookahead"]["inner"]["add_momentum"]["momentum"]["b"] = jnp.full(2, 7.0)
    _, state = tx.update({"a": jnp.ones(2), "b": None}, state, p)
    np.testing.assert_array_equal(state["lookahead"]["inner"]["add_momentum"]["momentum"]["a"], 0.0)
    np.testing.assert_array_equal(state["lookahead"]["inner"]["add_momentum"]["momentum"]["b"], 7.0)


def test_lookahead_refuses_a_period_of_nothing():
    with pytest.raises(ValueError, match="sync_period must be 1 or more, not 0"):
        gc.lookahead(gc.sgd(0.1), 0).init(jnp.ones(2))


def test_graft_has_the_norms_of_one_and_the_directions_of_the_other():
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    g = samples.at(0, grads)
    update = lambda tx: tx.update(g, tx.init(p), p)[0]
    m, d = update(gc.sgd(0.3)), update(gc.adam(0.1))
    for name, u in samples.named(update(gc.graft(gc.sgd(0.3), gc.adam(0.1)))).items():
        length = np.linalg.norm(samples.named(m)[name])
        np.testing.assert_allclose(np.linalg.norm(u), length, rtol=1e-5)
        direction = samples.named(d)[name]
        np.testing.assert_allclose(
            np.vdot(u, direction), length * np.linalg.norm(direction), rtol=1e-5
        )
    u = update(gc.graft(gc.sgd(0.3), gc.adam(0.1), per_leaf=False))
    np.testing.assert_allclose(gc.global_norm(u), gc.global_norm(m), rtol=1e-5)
    samples.assert_close(
        gc.tree.map_leaves(lambda x: x * (gc.global_norm(d) / gc.global_norm(u)), u), d, 1e-5
    )


def test_grokfast_over_a_window_waits_until_it_is_full():
    tx, params = gc.grokfast_window(gc.identity(), 3, 1.0), jnp.zeros(1)
    state, seen = tx.init(params), []
    for g in (1.0, 2.0, 3.0, 4.0):
        u, state = tx.update(jnp.array([g]), state)
        seen.append(float(u[0]))
    assert seen == [1.0, 2.0, 5.0, 7.0]
