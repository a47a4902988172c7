"""Hyperparameters at run time: read from a chain, passed as arguments, swept and differentiated."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws import samples
from tests.laws.table import ROWS
from tests.support.hyperparameters import ONES, PARAMS, RATE, run

# --------------------------------------------------------------------------------- what is in force


def test_every_number_of_a_chain_has_a_name():
    tx = gc.chain(gc.clip_by_global_norm(2.0), gc.adamw(RATE, weight_decay=0.1))
    _, state = run(tx, tx.init(PARAMS), 3)
    now = gc.hyperparams(tx, state)
    assert {k: round(float(v), 6) for k, v in now.items()} == {
        "step": 3,
        "clip_by_global_norm/max_norm": 2.0,
        "clip_by_global_norm/eps": 0.0,
        "scale_by_adam/step": 3,
        "scale_by_adam/b1": 0.9,
        "scale_by_adam/b2": 0.999,
        "scale_by_adam/eps": 0.0,  # 1e-8
        "scale_by_adam/eps_root": 0.0,
        "add_decayed_weights/weight_decay": 0.1,
        "scale_by_learning_rate/step": 3,
        "scale_by_learning_rate/learning_rate": 0.7,
    }
    assert now["learning_rate"] == now["scale_by_learning_rate/learning_rate"]
    assert now["weight_decay"] == 0.1
    assert now["scale_by_adam/b1"] == now["b1"] == 0.9


@pytest.mark.parametrize(
    ("tx", "name"),
    [
        (gc.sgd(RATE), "scale_by_learning_rate/learning_rate"),
        (gc.sgd(lambda step: 1.0 / (1.0 + step.astype(float))), "learning_rate"),
        (
            gc.accumulate(gc.sgd(RATE), every=2),
            "accumulate/inner/scale_by_learning_rate/learning_rate",
        ),
        (
            gc.accumulate(gc.sgd(RATE).named("it"), every=2),
            "accumulate/inner/it/scale_by_learning_rate/learning_rate",
        ),
        (
            gc.average_weights(gc.sgd(RATE), 0.9),
            "average_weights/inner/scale_by_learning_rate/learning_rate",
        ),
        (gc.chain(gc.sgd(RATE)).named("all"), "all/scale_by_learning_rate/learning_rate"),
        (
            gc.masked(gc.sgd(RATE), "*", gc.freeze()),
            "masked/inner/scale_by_learning_rate/learning_rate",
        ),
        (
            gc.partition({"a": gc.sgd(RATE)}, lambda *_: "a"),
            "partition/a/scale_by_learning_rate/learning_rate",
        ),
        (gc.groups([("head/*", gc.sgd(RATE))], default=gc.freeze()), "learning_rate"),
        (gc.tunable(gc.sgd(RATE)), "tunable/inner/scale_by_learning_rate/learning_rate"),
        (gc.tunable(gc.sgd(0.5)), "tunable/inner/scale_by_learning_rate/learning_rate"),
        (gc.chain(optax.clip(3.0), gc.sgd(RATE)), "learning_rate"),
    ],
    ids=lambda x: x if isinstance(x, str) else x.factory.name,
)
def test_it_is_what_the_next_update_uses(tx, name):
    """Of a gradient of 1 the update is the learning rate."""
    params, state, seen = PARAMS, tx.init(PARAMS), 0
    for _ in range(6):
        rate = gc.hyperparams(tx, state)[name]
        updates, state = tx.update(ONES, state, params)
        params = gc.apply_updates(params, updates)
        if jnp.any(
            updates["head"]["kernel"] != 0
        ):  # which it is not while micro-batches are collected
            np.testing.assert_allclose(updates["head"]["kernel"], -rate, rtol=1e-6)
            seen += 1
    assert seen == (3 if tx.factory.name == "accumulate" else 6)


def test_a_clock_counts_the_steps_that_were_made():
    tx = gc.accumulate(gc.adam(RATE), every=3)
    _, state = run(tx, tx.init(PARAMS), 7)
    now = gc.hyperparams(tx, state)
    assert {k: int(v) for k, v in now.items() if k.endswith("step")} == {
        "step": 2,
        "accumulate/step": 2,
        "accumulate/inner/scale_by_adam/step": 2,
        "accumulate/inner/scale_by_learning_rate/step": 2,
    }
    assert now["accumulate/every"] == 3.0
    assert float(now["learning_rate"]) == pytest.approx(0.8)


def test_each_group_has_its_own():
    tx = gc.groups(
        [("*bias", {"learning_rate": 0.5}), ("head/*", gc.freeze())], default=gc.adamw(RATE)
    )
    now = gc.hyperparams(tx, tx.init(PARAMS))
    assert now["adamw/scale_by_learning_rate/learning_rate"] == 1.0
    assert now["groups/adamw_2/scale_by_learning_rate/learning_rate"] == 0.5
    with pytest.raises(
        KeyError,
        match=r"'learning_rate' is the end of 2 names.*groups/adamw_2/scale_by_.*; or all of them",
    ):
        now["learning_rate"]
    with pytest.raises(
        KeyError,
        match=r"no hyperparameter is called 'lr'; there are 'groups/adamw_2/.*/learning_rate', .*"
        r" and 9 more\. Is 'learning_rate' meant",
    ):
        now["lr"]


def test_numbers_in_tuples_and_of_constraints_have_names_too():
    tx = gc.chain(
        gc.aggmo(0.1, decays=(0.0, 0.5)),
        gc.project(gc.constraints.l2_ball(RATE)),
        gc.prox(gc.penalties.elastic_net(0.1, 0.2), 0.5),
    )
    now = gc.hyperparams(tx, run(tx, tx.init(PARAMS), 2)[1])
    assert now["scale_by_aggmo/decays/1"] == 0.5
    assert float(now["project/constraint/scale"]) == pytest.approx(0.8)
    assert now["prox/penalty/l2"] == 0.2


def test_what_is_not_a_number_in_force_has_no_name():
    tx = gc.chain(
        gc.lookahead(gc.sgd(0.1), sync_period=3),
        gc.apply_when(gc.constant_schedule(1.0), gc.clip(1.0)),
    )
    now = gc.hyperparams(tx, tx.init(PARAMS))
    assert not [k for k in now if "condition" in k or "sync_period" in k]
    assert now["slow_step_size"] == 0.5
    assert gc.hyperparams(gc.chain(optax.adam(0.1)), gc.chain(optax.adam(0.1)).init(PARAMS)) == {}


def test_it_works_under_jit_and_leaves_it():
    tx = gc.chain(gc.clip(1.0), gc.adam(RATE))
    _, state = run(tx, tx.init(PARAMS), 2)
    inside, outside = jax.jit(gc.hyperparams)(tx, state), gc.hyperparams(tx, state)
    assert list(inside) == list(outside)
    samples.assert_close(dict(inside), dict(outside), 1e-7)
    assert inside["learning_rate"] == outside["learning_rate"]

    @jax.jit
    def step(params, state):
        return *tx.step(ONES, state, params), gc.hyperparams(tx, state)["learning_rate"]

    assert float(step(PARAMS, state)[2]) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            gc.sgd(0.1).init(PARAMS),
            "no 'scale_by_adam/count': it belongs to another transformation",
        ),
        ({}, "no 'scale_by_adam/count'"),
    ],
)
def test_the_state_of_another_is_an_error(state, message):
    with pytest.raises(ValueError, match=message):
        gc.hyperparams(gc.adam(0.1), state)
    with pytest.raises(ValueError, match="hyperparams"):
        gc.hyperparams(gc.tunable(gc.sgd(0.1)), {"tunable": state or {"inner": {}}})


def test_a_state_is_a_dict():
    with pytest.raises(TypeError, match="the state is a tuple, not the dict"):
        gc.hyperparams(gc.adam(0.1), (1, 2))


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_any_transformation_can_be_read(row):
    p = samples.params(jnp.float32, {"kernel": (3, 2), "bias": (2,), "scale": (2,)})
    tx = row.make()
    now = gc.hyperparams(tx, tx.init(p))
    assert all(jnp.shape(x) == () and not jnp.isnan(x) for x in now.values()), now
    assert not [k for k in now if k.startswith("/") or "//" in k]


# ------------------------------------------------------------------- the transformation as argument

X = jnp.linspace(-1.0, 1.0, 24).reshape(12, 2)
Y = jnp.sin(3.0 * X[:, :1])
TRAINING, HELD_OUT = (X[:8], Y[:8]), (X[8:], Y[8:])
START = {
    "kernel": jnp.array([[0.3, -0.2, 0.5], [0.1, 0.4, -0.3]]),
    "head": jnp.array([[0.2], [-0.5], [0.4]]),
}


def fit_loss(params, x, y):
    x, y = (data.astype(params["head"].dtype) for data in (x, y))
    return jnp.mean((jnp.tanh(x @ params["kernel"]) @ params["head"] - y) ** 2)


def fit(tx, params, steps=8):
    """The parameters after a few steps of training, and the loss at each."""

    def step(carry, _):
        params, state = carry
        loss, grads = jax.value_and_grad(fit_loss)(params, *TRAINING)
        return tx.step(grads, state, params), loss

    (params, _), losses = jax.lax.scan(step, (params, tx.init(params)), length=steps)
    return params, losses


def test_ten_rates_one_trace():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def train(tx, params):
        return fit(tx, params)

    final = {float(train(gc.adamw(rate), START)[1][-1]) for rate in np.geomspace(1e-3, 1e-1, 10)}
    assert len(final) == 10


def test_a_population_is_a_vmap_over_transformations():
    rates, b1s = jnp.array([0.01, 0.1, 0.3]), jnp.array([0.5, 0.9, 0.0])
    population = jax.vmap(
        lambda rate, b1: gc.chain(gc.clip_by_global_norm(1.0), gc.adam(rate, b1))
    )(rates, b1s)
    swept, losses = jax.jit(jax.vmap(fit, in_axes=(0, None)))(population, START)
    assert losses.shape == (3, 8)
    for i in range(3):
        one = gc.chain(gc.clip_by_global_norm(1.0), gc.adam(float(rates[i]), float(b1s[i])))
        params, loss = jax.jit(fit)(one, START)
        samples.assert_close(samples.at(i, swept), params, 1e-5)
        np.testing.assert_allclose(losses[i], loss, rtol=1e-5)


def test_the_gradient_of_a_validation_loss_with_respect_to_hyperparameters():
    with jax.enable_x64(True):
        start = jax.tree.map(lambda x: x.astype(jnp.float64), START)

        @jax.jit
        def validation(tx):
            return fit_loss(fit(tx, start)[0], *HELD_OUT)

        tx = gc.adam(0.05, b1=0.8)
        slopes = jax.grad(validation)(tx)
        for name in ("learning_rate", "b1"):
            value, h = tx.arguments[name], 1e-5
            up, down = (validation(tx.replace(**{name: value + d})) for d in (h, -h))
            assert abs(up - down) / (2 * h) > 1e-3  # there is a slope
            np.testing.assert_allclose(slopes.arguments[name], (up - down) / (2 * h), rtol=1e-6)


def test_a_part_of_a_name_between_slashes_is_no_end_of_it():
    tx = gc.sgd(0.5)
    now = gc.hyperparams(tx, tx.init(PARAMS))
    assert now["learning_rate"] == 0.5
    with pytest.raises(KeyError, match="no hyperparameter is called 'rate'"):
        now["rate"]


def test_a_number_of_a_schedule_is_found_in_the_state():
    rate = gc.linear_schedule(0.5, 0.0, 100)
    tx = gc.accumulate(gc.tunable(gc.sgd(rate), "learning_rate/init_value"), every=2)
    state = tx.init(jnp.ones(2))
    with pytest.raises(KeyError) as error:
        gc.hyperparams(tx, state)["init_value"]
    place = re.search(r"It is (state\S+);", error.value.args[0])
    assert place and eval(place[1], {"state": state}) == 0.5


def test_the_clock_of_a_watch_is_no_hyperparameter():
    tx = gc.accumulate(gc.watch(gc.chain(gc.watch(gc.sgd(0.1)), gc.scale(1.0))), every=2)
    found = gc.hyperparams(tx, tx.init(jnp.ones(2)))
    assert not [name for name in found if "watch" in name]
    assert found["accumulate/step"] == found["step"] == 0
