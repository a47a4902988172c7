"""Averages are sums over the history, and the weights to evaluate with are found wherever they are
kept.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws import samples, user_transforms
from tests.laws.samples import assert_close, at, gradients, named
from tests.optimizers.sgd import Sgd
from tests.wrappers.averaging import Average


def train(tx, params, steps, grads=None):
    """The parameters, the state, and the weights to evaluate with after each step."""
    grads = gradients(jnp.float32, steps) if grads is None else grads
    state, kept = tx.init(params), []
    step = jax.jit(tx.step)
    for t in range(steps):
        params, state = step(at(t, grads), state, params)
        kept.append(gc.eval_params(state, params))
    return params, state, kept


# ------------------------------------------------------------------------------------ what they are


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"start": 4},
        {"start": 3, "every": 2},
        {"decay": 0.7},
        {"decay": 0.999},
        {"decay": 0.7, "start": 4, "every": 3},
        {"power": 0.0},
        {"power": 2.5},
        {"power": 6.94, "start": 2},
    ],
    ids=str,
)
def test_an_average_is_the_weighted_sum_of_all_parameters_that_count(arguments):
    with jax.enable_x64(True):
        params, grads = samples.params(jnp.float64), gradients(jnp.float64, 12)
        _, _, kept = train(gc.average_weights(gc.sgd(0.3), **arguments), params, 12, grads)
        twin, p, g = Average(Sgd(0.3), **arguments), named(params), named(grads)
        twin.init(p)
        for t in range(12):
            u = twin.update({k: x[t] for k, x in g.items()}, p)
            p = {k: p[k] + u[k] for k in p}
            expected = twin.average()
            for name, x in named(kept[t]).items():
                np.testing.assert_allclose(
                    x, expected[name], rtol=1e-12, err_msg=f"step {t + 1}, {name}"
                )


def test_the_weights_of_a_power_average_are_powers():
    # Karras et al.: the contribution of the i-th is proportional to i^gamma, nearly.
    tx, n = gc.average_weights(gc.sgd(1.0), power=2.0), 60
    weight_of = []
    for i in (20, 40):
        grads = jnp.zeros((n, 1)).at[i].set(-1.0)
        weight_of.append(float(train(tx, jnp.zeros(1), n, grads)[2][-1][0]))
    # An impulse at step i + 1 is in all parameters from there on: the sum of i^2 / sum of all, (n^3
    # - i^3) / n^3.
    np.testing.assert_allclose(weight_of, [1 - (i / n) ** 3 for i in (20, 40)], atol=0.02)


def test_a_biased_average_starts_as_a_copy_of_the_parameters():
    tx, params = gc.average_weights(gc.sgd(1.0), 0.75, debias=False), jnp.array([4.0])
    params, state = tx.step(jnp.array([4.0]), tx.init(params), params)
    np.testing.assert_allclose(gc.eval_params(state, params), 3.0, rtol=1e-6)


def test_a_decay_may_be_scheduled():
    decay = lambda step: jnp.array([0.5, 0.9, 0.0, 0.8])[step.astype(int)]
    params = samples.params(jnp.float32)
    _, _, kept = train(gc.average_weights(gc.sgd(0.5), decay), params, 4)
    _, _, each = train(gc.sgd(0.5), params, 4)
    assert_close(kept[2], each[2], 1e-6)  # with a decay of 0 all before is forgotten
    assert_close(kept[3], jax.tree.map(lambda a, b: 0.8 * a + 0.2 * b, each[2], each[3]), 1e-6)


def test_two_kinds_of_average_at_once_are_refused():
    with pytest.raises(ValueError, match="decay and power are two kinds"):
        gc.average_weights(gc.sgd(0.1), 0.9, power=1.0).init(jnp.ones(2))
    with pytest.raises(ValueError, match="average_weights: start must be 1 or more, not 0"):
        gc.average_weights(gc.sgd(0.1), start=0).init(jnp.ones(2))


def test_an_average_of_bfloat16_parameters_is_kept_in_float32():
    tx, params = gc.average_weights(gc.sgd(1.0), 0.999, debias=False), jnp.ones(2, jnp.bfloat16)
    state = tx.init(params)
    for _ in range(3):
        params, state = tx.step(jnp.full(2, -1.0, jnp.bfloat16), state, params)
    average = state["average_weights"]["average_params"]
    assert average.dtype == jnp.float32
    np.testing.assert_allclose(average, 1 + 0.001 * (1 + 2 + 3), rtol=1e-4)
    assert gc.eval_params(state, params).dtype == jnp.bfloat16


# ----------------------------------------------------------------------------------- where they are

AVERAGE = lambda inner: gc.average_weights(inner, 0.9)
KEEPERS = {
    "average": AVERAGE,
    "slow": lambda inner: gc.lookahead(inner, 2),
    "schedule_free": lambda inner: gc.schedule_free(inner, 0.1),
}
PLACES = {
    "alone": lambda tx: tx,
    "named": lambda tx: tx.named("it"),
    "chain": lambda tx: gc.chain(gc.clip_by_global_norm(1e6), tx),
    "chain of its name": lambda tx: gc.chain(gc.clip_by_global_norm(1e6), tx).named("both"),
    "after an average of updates": lambda tx: gc.chain(gc.average_updates(0.0), tx),
    "beside a plateau": lambda tx: gc.chain(tx, gc.identity()),
    "in a wrapper": lambda tx: gc.mars(tx, 0.0, max_norm=None),
    "in two": lambda tx: gc.grokfast(gc.mars(tx, 0.0, max_norm=None), lamb=0.0),
    "group of all": lambda tx: gc.partition({"all": tx}, lambda path, x: "all"),
}


@pytest.mark.rotated(2)
@pytest.mark.parametrize("keeper", KEEPERS)
@pytest.mark.parametrize("place", PLACES)
def test_the_weights_to_evaluate_with_are_found(place, keeper):
    params = samples.params(jnp.float32)
    tx = KEEPERS[keeper](gc.sgd(0.1))
    trained, _, expected = train(tx, params, 3)
    _, _, found = train(PLACES[place](tx), params, 3)
    assert_close(found[-1], expected[-1], 1e-6)
    with pytest.raises(AssertionError):
        assert_close(expected[-1], trained, 1e-3)


def test_a_bare_array_has_weights_too():
    for keeper in KEEPERS.values():
        params = jnp.full(2, 3.0)
        tx = keeper(gc.sgd(0.1))
        trained, state, found = train(tx, params, 3, jnp.ones((3, 2)))
        assert found[-1].shape == (2,)
        assert np.all(found[-1] > trained)
        scalar, state = tx.step(jnp.float32(1.0), tx.init(jnp.float32(3.0)), jnp.float32(3.0))
        assert gc.eval_params(state, scalar).shape == ()


def test_leaves_that_have_no_average_are_the_parameters():
    params = samples.params(jnp.float32)
    groups = gc.partition(
        {"matrices": AVERAGE(gc.sgd(0.1)), "rest": gc.sgd(0.1)}, user_transforms.group_of
    )
    trained, _, kept = train(groups, params, 3)
    expected = train(AVERAGE(gc.sgd(0.1)), params, 3)[2][-1]
    for name, x in named(kept[-1]).items():
        np.testing.assert_allclose(x, named(expected if x.ndim > 1 else trained)[name], rtol=1e-6)
    masked = gc.masked(AVERAGE(gc.sgd(0.1)), gc.ndim_at_least(2), gc.freeze())
    _, _, kept = train(masked, params, 3)
    np.testing.assert_array_equal(kept[-1]["dense"]["bias"], params["dense"]["bias"])
    assert_close(kept[-1]["dense"]["kernel"], expected["dense"]["kernel"], 1e-6)


def test_two_groups_have_averages_of_their_own():
    params = samples.params(jnp.float32)
    groups = gc.partition(
        {"matrices": AVERAGE(gc.sgd(0.1)), "rest": gc.lookahead(gc.sgd(0.1), 2)},
        user_transforms.group_of,
    )
    _, _, kept = train(groups, params, 3)
    average, slow = (
        train(AVERAGE(gc.sgd(0.1)), params, 3)[2][-1],
        train(gc.lookahead(gc.sgd(0.1), 2), params, 3)[2][-1],
    )
    for name, x in named(kept[-1]).items():
        np.testing.assert_allclose(x, named(average if x.ndim > 1 else slow)[name], rtol=1e-6)


def test_without_an_average_they_are_the_parameters():
    params = samples.params(jnp.float32)
    for tx in (gc.adamw(0.1), gc.chain(), gc.chain(gc.average_updates(), gc.sgd(0.1))):
        trained, _, kept = train(tx, params, 3)
        samples.assert_identical(kept[-1], trained)


def test_parameters_may_be_called_as_slots_are():
    params = {
        "average_params": {"slow_params": jnp.ones(2)},
        "z": jnp.ones(2),
        "b1": jnp.ones(()),
        "slow_params": jnp.ones(2),
    }
    grads = jax.tree.map(lambda x: jnp.stack([x] * 3), params)
    trained, _, kept = train(gc.adamw(0.1), params, 3, grads)
    samples.assert_identical(kept[-1], trained)
    _, state, kept = train(AVERAGE(gc.adam(0.1)), params, 3, grads)
    samples.assert_identical(kept[-1], state["average_weights"]["average_params"])


def test_of_an_average_in_another_the_outer_one_is_taken():
    params = samples.params(jnp.float32)
    for outer, inner in (
        (AVERAGE, KEEPERS["slow"]),
        (KEEPERS["slow"], AVERAGE),
        (AVERAGE, KEEPERS["schedule_free"]),
    ):
        tx = outer(inner(gc.sgd(0.1)))
        _, state, kept = train(tx, params, 3)
        (entry,) = state.values()
        samples.assert_identical(
            kept[-1], entry["average_params" if outer is AVERAGE else "slow_params"]
        )
        assert_close(
            gc.eval_params(entry["inner"], params),
            train(inner(gc.sgd(0.1)), params, 3)[2][-1],
            np.inf,
        )


def test_two_averages_side_by_side_are_refused():
    params = {"w": jnp.ones(2)}
    tx = gc.chain(AVERAGE(gc.sgd(0.1)), gc.lookahead(gc.scale(1.0), 2))
    with pytest.raises(ValueError, match="two averages of 'w' side by side"):
        gc.eval_params(tx.init(params), params)


@pytest.mark.parametrize("keeper", KEEPERS)
def test_they_are_found_in_a_foreign_wrapper(keeper):
    params, tx = {"w": jnp.full(2, 3.0)}, KEEPERS[keeper](gc.sgd(0.1))
    grads = jax.tree.map(lambda x: jnp.ones((3, 2)), params)
    _, _, expected = train(tx, params, 3, grads)
    foreign = optax.apply_if_finite(
        optax.chain(optax.clip(9.0), optax.GradientTransformation(tx.init, tx.update)), 2
    )
    state, update = foreign.init(params), jax.jit(foreign.update)
    for t in range(3):
        updates, state = update(at(t, grads), state, params)
        params = optax.apply_updates(params, updates)
    assert_close(gc.eval_params(state, params), expected[-1], 1e-6)
    with pytest.raises(AssertionError):
        assert_close(params, expected[-1], 1e-3)


def test_schedule_free_of_optax_keeps_the_same():
    theirs, params = optax.contrib.schedule_free(optax.sgd(0.1), 0.1), {"w": jnp.full(2, 3.0)}
    state = theirs.init(params)
    for _ in range(3):
        updates, state = theirs.update({"w": jnp.ones(2)}, state, params)
        params = optax.apply_updates(params, updates)
    expected = optax.contrib.schedule_free_eval_params(state, params)
    assert_close(gc.eval_params(state, params), expected, 1e-6)


def test_a_slot_that_is_merely_slow_is_not_taken():
    @gc.transform
    def slow_momentum_in_averaging():
        return gc.elementwise(
            lambda g, s: (g, {"slow": gc.numerics.ema(g, s["slow"], 0.9)}),
            slow=gc.slots.like_param,
        )

    trained, _, kept = train(
        gc.chain(slow_momentum_in_averaging(), gc.sgd(0.1)), samples.params(jnp.float32), 3
    )
    samples.assert_identical(kept[-1], trained)


def test_the_average_of_asgd_is_found():
    params, _, kept = train(gc.asgd(0.1, t0=1.0), samples.params(jnp.float32), 8)
    with pytest.raises(AssertionError):
        assert_close(kept[-1], params, 1e-3)


def test_they_are_found_under_jit_and_in_a_state_that_was_restored():
    params, tx = samples.params(jnp.float32), KEEPERS["schedule_free"](gc.sgd(0.1))
    trained, state, kept = train(tx, params, 3)
    assert_close(jax.jit(gc.eval_params)(state, trained), kept[-1], 1e-6)
    restored = {
        "schedule_free": state["schedule_free"] | {"z": dict(state["schedule_free"]["z"])}
    }
    restored["schedule_free"]["z"]["stack"] = dict(
        zip("01", state["schedule_free"]["z"]["stack"], strict=True)
    )
    samples.assert_identical(gc.eval_params(restored, trained), kept[-1])


def test_an_average_of_another_shape_is_not_one_of_parameters():
    tx, params = gc.low_rank(gc.average_weights(gc.sgd(0.1)), rank=1), jnp.ones((3, 2))
    grads = jnp.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])
    params, state = tx.step(grads, tx.init(params), params)
    assert state["low_rank"]["inner"]["average_weights"]["average_params"].shape == (1, 2)
    np.testing.assert_array_equal(gc.eval_params(state, params), params)


def test_an_average_inside_a_switch_is_refused_and_one_around_it_is_found():
    params = {"w": jnp.ones(2)}
    inside = gc.switch(gc.sgd(0.1), at=2, then=AVERAGE(gc.sgd(0.1)))
    with pytest.raises(
        ValueError, match=r"inside a switch, in its 'then'.*Put the average around"
    ):
        gc.eval_params(inside.init(params), params)
    around = AVERAGE(gc.switch(gc.sgd(0.1), at=2, then=gc.adam(0.1)))
    np.testing.assert_allclose(gc.eval_params(around.init(params), params)["w"], 1.0)


def test_the_weights_behind_ema_nesterov_are_found():
    tx, p = gc.ema_nesterov(gc.sgd(1.0), 0.5, 0.5), jnp.zeros(1)
    state = tx.init(p)
    np.testing.assert_array_equal(gc.eval_params(state, p), p)
    theta, e = 0.0, 0.0
    for _ in range(4):
        g = p - 1.0
        moved = p - g
        p, state = tx.step(g, state, p)
        e, theta = 0.5 * e + 0.5 * (moved - theta), moved
        np.testing.assert_allclose(p, theta + 0.5 * e, rtol=1e-6)
        np.testing.assert_allclose(gc.eval_params(state, p), theta, rtol=1e-6)
