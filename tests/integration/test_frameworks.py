"""Transformations where others expect optax's, and optax's in our chains; Flax has
``tests/integration/test_flax.py``.
"""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import optimistix
import pytest
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.optim import optax_to_numpyro

import gradchain as gc

TARGET = jnp.array([1.0, -2.0])
PARAMS = {"kernel": jnp.zeros(2), "bias": jnp.zeros(2)}
OTHERS_FREEZE = gc.groups([("bias", gc.freeze())], default=gc.adamw(0.1, weight_decay=0.0))


@pytest.fixture(autouse=True)
def _as_they_are_written():
    """Others mix Python and NumPy numbers with arrays."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def loss(params):
    return jnp.sum((params["kernel"] - TARGET) ** 2) + jnp.sum((params["bias"] - 0.5) ** 2)


def train(tx, steps=100, params=PARAMS, apply=optax.apply_updates, **extra):
    """A loop as optax's documentation has it."""
    state = tx.init(params)

    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state, params, **extra)
        return apply(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params, state


# -------------------------------------------------------------------------------------------- optax

MEMBERS = {
    "clip_by_global_norm": lambda: (optax.clip_by_global_norm(0.5), gc.clip_by_global_norm(0.5)),
    "adam": lambda: (optax.scale_by_adam(), gc.scale_by_adam()),
    "learning_rate": lambda: (optax.scale_by_learning_rate(0.1), gc.scale_by_learning_rate(0.1)),
    "schedule": lambda: (
        optax.scale_by_schedule(optax.linear_schedule(1.0, 0.1, 50)),
        gc.scale_by_schedule(gc.linear_schedule(1.0, 0.1, 50)),
    ),
    "weight decay": lambda: (optax.add_decayed_weights(0.01), gc.add_decayed_weights(0.01)),
}


@pytest.mark.parametrize("chain", [optax.chain, gc.chain], ids=["in optax.chain", "in our chain"])
@pytest.mark.parametrize("theirs", range(2**3))
def test_any_mixture_in_either_chain_is_the_same(chain, theirs):
    order = ["clip_by_global_norm", "adam", "weight decay", "schedule", "learning_rate"]
    flags = [theirs >> i & 1 for i in (0, 1, 2)] + [theirs & 1, theirs >> 1 & 1]
    expected, _ = train(optax.chain(*(MEMBERS[name]()[0] for name in order)))
    mixed, _ = train(
        chain(*(MEMBERS[name]()[1 - flag] for name, flag in zip(order, flags, strict=True)))
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), mixed, expected
    )


def test_a_frozen_leaf_leaves_the_norm_of_their_clip_too():
    tx = gc.chain(optax.clip_by_global_norm(1.0), gc.freeze("bias"))
    grads = {"kernel": jnp.array([6.0, 8.0]), "bias": jnp.full(2, 100.0)}
    updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["kernel"], [0.6, 0.8], rtol=1e-6)


def test_their_optimizer_is_a_group_and_may_be_wrapped():
    tx = gc.groups([("bias", optax.sgd(0.1))], default=gc.lookahead(optax.adam(0.1)))
    params, state = train(tx, steps=200)
    assert loss(params) < 1e-3
    assert list(state["groups"]) == ["GradientTransformation", "lookahead"]


@pytest.mark.parametrize("jitted", [False, True])
def test_multi_steps_of_optax_takes_ours(jitted):
    tx = optax.MultiSteps(
        gc.chain(gc.clip_by_global_norm(1.0), OTHERS_FREEZE), every_k_schedule=2
    )
    params, state = PARAMS, tx.init(PARAMS)
    update = jax.jit(tx.update) if jitted else tx.update
    seen = []
    for _ in range(4):
        updates, state = update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params)
    assert jnp.array_equal(seen[0]["kernel"], PARAMS["kernel"])
    assert not jnp.array_equal(seen[1]["kernel"], PARAMS["kernel"])
    assert jnp.array_equal(seen[3]["bias"], PARAMS["bias"])
    assert int(state.inner_opt_state["groups"]["adamw"]["scale_by_adam"]["count"]) == 2


@pytest.mark.parametrize("jitted", [False, True])
def test_apply_if_finite_of_optax_takes_ours(jitted):
    tx = optax.apply_if_finite(OTHERS_FREEZE, max_consecutive_errors=5)
    state = tx.init(PARAMS)
    update = jax.jit(tx.update) if jitted else tx.update
    bad = {**PARAMS, "kernel": jnp.array([jnp.nan, 1.0])}
    updates, state = update(bad, state, PARAMS)
    assert not any(x.any() for x in jax.tree.leaves(updates))
    updates, state = update(jax.grad(loss)(PARAMS), state, PARAMS)
    assert updates["kernel"].all()
    assert not updates["bias"].any()
    assert int(state.total_notfinite) == 1


def test_wrappers_of_optax_take_ours():
    slow_and_fast = optax.lookahead(gc.sgd(0.1), sync_period=5, slow_step_size=0.5)
    params = optax.LookaheadParams.init_synced(PARAMS)
    state = slow_and_fast.init(params)
    for _ in range(100):
        updates, state = slow_and_fast.update(jax.grad(loss)(params.fast), state, params)
        params = optax.apply_updates(params, updates)
    assert loss(params.slow) < 1e-3
    masked, _ = train(optax.masked(gc.adam(0.1), {"kernel": True, "bias": True}))
    assert loss(masked) < 0.1
    labelled, _ = train(
        optax.multi_transform({"a": gc.sgd(0.1), "b": gc.freeze()}, {"kernel": "a", "bias": "b"})
    )
    np.testing.assert_allclose(labelled["kernel"], TARGET, atol=1e-3)
    assert jnp.array_equal(labelled["bias"], PARAMS["bias"])


def test_extra_arguments_pass_through_chains_of_optax():
    ours = gc.sam(gc.sgd(0.1))
    with pytest.raises(TypeError, match="'sam' needs the extra argument 'value_fn'"):
        train(
            optax.chain(optax.scale(1.0), ours), value_fn=loss
        )  # handed on to members of one class only
    tx = optax.chain(optax.scale(1.0), optax.GradientTransformationExtraArgs(*ours))
    assert loss(train(tx, value_fn=loss)[0]) < 0.1
    tx = gc.chain(gc.sgd(1.0), optax.contrib.reduce_on_plateau(factor=0.1, patience=1))
    state = tx.init(PARAMS)
    for _ in range(5):
        updates, state = tx.update(jax.grad(loss)(PARAMS), state, PARAMS, value=1.0)
    assert 0.0 < float(updates["bias"][0]) < 0.5  # the gradient is -1


def test_line_search_of_optax_in_our_chain():
    tx = gc.chain(optax.lbfgs())
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(5):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grads, state, params, value=value, grad=grads, value_fn=loss)
        params = gc.apply_updates(params, updates)
    assert loss(params) < 1e-6


def test_line_search_of_optax_sees_frozen_parameters():
    tx = gc.chain(optax.lbfgs(), gc.freeze("bias"))
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(5):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grads, state, params, value=value, grad=grads, value_fn=loss)
        params = gc.apply_updates(params, updates)
    np.testing.assert_allclose(params["kernel"], TARGET, atol=1e-3)
    assert jnp.array_equal(params["bias"], PARAMS["bias"])


# ------------------------------------------------------------------------------ optimistix, numpyro


@pytest.mark.parametrize(
    "tx",
    [
        gc.adam(0.1),
        gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(0.2, momentum=0.5)),
        gc.lookahead(gc.adam(0.1)),
    ],
    ids=["adam", "chain", "lookahead"],
)
def test_optimistix_minimises_with_ours(tx):
    solver = optimistix.OptaxMinimiser(tx, rtol=1e-5, atol=1e-5)
    solution = optimistix.minimise(lambda y, args: loss(y), solver, PARAMS, max_steps=2000)
    np.testing.assert_allclose(solution.value["kernel"], TARGET, atol=1e-3)
    np.testing.assert_allclose(solution.value["bias"], 0.5, atol=1e-3)
    assert solution.result == optimistix.RESULTS.successful


def test_optimistix_hands_the_loss_to_who_asks_and_leaves_frozen_leaves():
    tx = gc.groups([("bias", gc.freeze())], default=gc.sam(gc.adam(0.1), rho=0.01))
    solver = optimistix.OptaxMinimiser(tx, rtol=1e-4, atol=1e-4)
    solution = optimistix.minimise(
        lambda y, args: loss(y), solver, PARAMS, max_steps=2000, throw=False
    )
    np.testing.assert_allclose(solution.value["kernel"], TARGET, atol=0.02)
    assert jnp.array_equal(solution.value["bias"], PARAMS["bias"])


@pytest.mark.parametrize("run", ["run", "update"])
def test_numpyro_infers_with_ours(run):
    data = jnp.array([2.5, 3.0, 3.5, 3.2, 2.8])

    def model(data):
        mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        numpyro.sample("obs", dist.Normal(mean, 1.0), obs=data)

    guide = AutoNormal(model)
    tx = gc.chain(gc.clip_by_global_norm(10.0), gc.adam(gc.cosine_decay_schedule(0.1, 500)))
    svi = SVI(model, guide, optax_to_numpyro(tx), Trace_ELBO(num_particles=4))
    if run == "run":
        result = svi.run(jax.random.key(0), 500, data, progress_bar=False)
        params, losses = result.params, result.losses
        _, (_, opt_state) = result.state.optim_state
        assert int(opt_state["scale_by_adam"]["count"]) == 500
    else:
        state, update, losses = svi.init(jax.random.key(0), data), jax.jit(svi.update), []
        for _ in range(500):
            state, value = update(state, data)
            losses.append(float(value))
        params = svi.get_params(state)
    assert losses[-1] < losses[0]
    assert guide.median(params)["mean"] == pytest.approx(float(data.sum()) / 5.01, abs=0.1)


# ------------------------------------------------------------------------------------------ Equinox

X = jax.random.normal(jax.random.key(1), (16, 2))
Y = jnp.sum(X**2, axis=1)


def mean_square(model, x=X, y=Y):
    return jnp.mean((jax.vmap(model)(x)[:, 0] - y) ** 2)


@pytest.mark.parametrize("apply", [eqx.apply_updates, gc.apply_updates])
def test_equinox_trains_under_filter_jit(apply):
    model = eqx.nn.MLP(2, 1, 8, 1, key=jax.random.key(0))
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.freeze("layers/0/*"), gc.adamw(0.03))
    state, first = tx.init(eqx.filter(model, eqx.is_inexact_array)), model
    traces = []

    @eqx.filter_jit
    def step(model, state):
        traces.append(model)
        value, grads = eqx.filter_value_and_grad(mean_square)(model)
        updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return apply(model, updates), state, value

    values = []
    for _ in range(50):
        model, state, value = step(model, state)
        values.append(float(value))
    assert values[-1] < 0.7 * values[0]
    assert len(traces) == 1
    assert jnp.array_equal(model.layers[0].weight, first.layers[0].weight)
    assert not jnp.array_equal(model.layers[1].weight, first.layers[1].weight)
    assert state["scale_by_adam"]["mu"].layers[0].weight is None


def test_a_transformation_is_a_field_and_an_argument_of_equinox():
    class Trainer(eqx.Module):
        tx: gc.GradientTransformation
        model: eqx.nn.Linear

    @eqx.filter_jit
    @chex.assert_max_traces(n=1)
    def first_updates(trainer):
        params = eqx.filter(trainer.model, eqx.is_array)
        return trainer.tx.update(params, trainer.tx.init(params), params)[0]

    linear = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    for rate in (0.1, 0.1):
        made = first_updates(Trainer(gc.sgd(rate), linear))
        np.testing.assert_allclose(made.weight, -rate * linear.weight, rtol=1e-6)


@pytest.mark.parametrize(
    "tx", [gc.adam(0.1), gc.lookahead(gc.groups([("a", {"b1": 0.8})], default=gc.adam(0.1)))]
)
def test_a_mask_of_a_transformation_is_a_tree_of_the_same_structure(tx):
    """Equinox cuts whatever it is given into arrays and the rest, and puts it together again."""
    mask = jax.tree.map(eqx.is_array, tx)
    assert jax.tree.structure(mask) == jax.tree.structure(tx)
    assert eqx.combine(*eqx.partition(tx, mask)) == tx
    assert eqx.combine(*eqx.partition(tx, eqx.is_inexact_array_like)) == tx
