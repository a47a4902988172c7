"""Sophia and AdaHessian: what their estimates are, when they are made, and what they are good
for.
"""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.training.train_state import TrainState
from sklearn.datasets import load_digits

import gradchain as gc
from gradchain import losses
from gradchain.tree.random import rademacher_like
from tests.support.jaxprs import named_primitives

pytestmark = pytest.mark.rotated(3)  # they take long


def tangled(params):
    """A function whose Hessian has numbers beside its diagonal."""
    return jnp.sum(jnp.tanh(params["a"]) * params["b"] ** 2) + jnp.sum(
        jnp.outer(params["a"], params["b"]) ** 2
    )


PARAMS = {"a": jnp.array([0.5, -1.0]), "b": jnp.array([0.3, 2.0])}
GRADS = jax.grad(tangled)(PARAMS)


def diagonal_of(fun, params):
    hessian = jax.hessian(fun)(params)
    return {k: jnp.diag(hessian[k][k]) for k in params}


def slot(state):
    ((_, entry),) = state.items()
    return entry["hessian"] if "hessian" in entry else entry["nu"]


TRANSFORMATIONS = [
    (gc.scale_by_sophia(), {"value_fn": tangled}),
    (
        gc.scale_by_sophia(estimator="gauss_newton_bartlett", batch_size=2),
        {"sampled_value_fn": lambda p, key: tangled(p)},
    ),
    (gc.scale_by_adahessian(update_every=10), {"value_fn": tangled}),
]


@pytest.mark.parametrize(
    ("tx", "extra"), TRANSFORMATIONS, ids=["hutchinson", "sampled", "adahessian"]
)
def test_the_loss_is_differentiated_inside_a_conditional_only(tx, extra):
    program = jax.make_jaxpr(lambda g, s, p: tx.update(g, s, p, **extra))(
        GRADS, tx.init(PARAMS), PARAMS
    )
    places = {inside for name, inside in named_primitives(program.jaxpr) if name == "tanh"}
    assert places == {True}


@pytest.mark.parametrize(
    ("tx", "extra"), TRANSFORMATIONS, ids=["hutchinson", "sampled", "adahessian"]
)
def test_an_estimate_is_made_every_so_many_steps(tx, extra):
    tx, state, changed = tx.replace(update_every=3), tx.init(PARAMS), []
    for _ in range(8):
        old = slot(state)
        _, state = tx.update(GRADS, state, PARAMS, **extra)
        changed.append(bool(jnp.any(slot(state)["a"] != old["a"])))
    assert changed == [True, False, False, True, False, False, True, False]


def test_the_estimate_is_unbiased():
    tx = gc.scale_by_sophia(b2=0.0)
    one = lambda key: slot(
        tx.update(GRADS, tx.init(PARAMS), PARAMS, value_fn=tangled, key=key)[1]
    )
    samples = jax.vmap(one)(jax.random.split(jax.random.key(0), 2000))
    for name, exact in diagonal_of(tangled, PARAMS).items():
        error = samples[name].std(0) / 2000**0.5
        assert jnp.all(error > 0.0)  # it is random
        assert jnp.all(jnp.abs(samples[name].mean(0) - exact) < 4 * error)


def test_sampled_labels_estimate_the_gauss_newton_diagonal():
    x = jax.random.normal(jax.random.key(1), (8, 3))
    params = {"kernel": jax.random.normal(jax.random.key(2), (3, 4))}

    def sampled_value_fn(params, key):
        logits = x @ params["kernel"]
        labels = jax.random.categorical(key, jax.lax.stop_gradient(logits))
        return losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def value_fn(
        flat,
    ):  # linear in its logits: its Hessian, which no label is in, is the Gauss-Newton matrix
        logits = x @ flat.reshape(3, 4)
        return losses.softmax_cross_entropy_with_integer_labels(logits, jnp.zeros(8, int)).mean()

    tx = gc.scale_by_sophia(b2=0.0, estimator="gauss_newton_bartlett", batch_size=8)
    one = lambda key: slot(
        tx.update(params, tx.init(params), params, sampled_value_fn=sampled_value_fn, key=key)[1]
    )
    samples = jax.vmap(one)(jax.random.split(jax.random.key(0), 4000))["kernel"]
    exact = jnp.diag(jax.hessian(value_fn)(params["kernel"].ravel())).reshape(3, 4)
    assert jnp.all(samples >= 0)
    assert jnp.all(jnp.abs(samples.mean(0) - exact) < 4 * samples.std(0) / 4000**0.5)


def test_signs_do_not_depend_on_precision_or_on_other_leaves():
    key, shape = jax.random.key(3), (4, 3)
    signs = rademacher_like(key, {"a": jnp.zeros(shape)})["a"]
    assert set(np.unique(signs)) == {-1.0, 1.0}
    more = rademacher_like(
        key, {"0": jnp.zeros(2), "a": jnp.zeros(shape, jnp.bfloat16), "hole": None}
    )
    np.testing.assert_array_equal(more["a"].astype(jnp.float32), signs)
    assert more["hole"] is None
    both = rademacher_like(key, jnp.zeros(1000, jnp.complex64))
    assert len(np.unique(both)) == 4
    assert not jnp.all(both.real == both.imag)


def test_an_estimate_that_is_not_finite_leaves_the_average():
    tx = gc.scale_by_sophia(b2=0.5, update_every=1)
    value_fn = lambda p: p[0] ** 2 + p[1] ** 1.5  # without curvature at 0
    _, state = tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2), value_fn=value_fn)
    updates, new = tx.update(jnp.ones(2), state, jnp.array([1.0, 0.0]), value_fn=value_fn)
    assert slot(new)[0] == 1.5
    assert slot(new)[1] == slot(state)[1] > 0
    assert jnp.all(jnp.isfinite(updates))


@pytest.mark.parametrize(
    ("average", "dims"),
    [("spatial", (0, 1)), ("spatial_last", (2, 3)), (None, ())],
    ids=["spatial", "last", "none"],
)
def test_adahessian_averages_over_the_space_of_a_kernel(average, dims):
    params = {
        "kernel": jax.random.normal(jax.random.key(0), (3, 3, 2, 4)),
        "stack": jnp.ones((3, 2, 4)),
    }
    value_fn = lambda p: sum(jnp.sum(x**4) / 12.0 for x in p.values())
    tx = gc.scale_by_adahessian(b2=0.0, average=average)
    nu = slot(tx.update(params, tx.init(params), params, value_fn=value_fn)[1])
    mean = jnp.mean(params["kernel"] ** 2, dims, keepdims=True) if dims else params["kernel"] ** 2
    np.testing.assert_allclose(
        nu["kernel"], jnp.broadcast_to(mean**2, nu["kernel"].shape), rtol=1e-5
    )
    np.testing.assert_allclose(nu["stack"], 1.0, rtol=1e-6)


def test_each_group_differentiates_the_whole_loss():
    alone, extra = (
        gc.scale_by_sophia(b1=0.0, b2=0.0, gamma=1.0),
        {"value_fn": lambda p: p["a"] ** 2 * p["b"] ** 2},
    )
    tx = gc.groups([("a", alone)], default=gc.sgd(1.0))
    params = {"a": jnp.array(2.0), "b": jnp.array(3.0)}
    updates, _ = tx.update(
        {"a": jnp.array(9.0), "b": jnp.array(1.0)}, tx.init(params), params, **extra
    )
    assert updates["a"] == 0.5  # the gradient over 2 b^2
    assert updates["b"] == -1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: gc.scale_by_sophia(update_every=0).init({}),
            "update_every must be 1 or more, not 0",
        ),
        (
            lambda: gc.scale_by_sophia(estimator="exact").init({}),
            "estimator must be one of .*, not 'exact'",
        ),
        (
            lambda: gc.scale_by_sophia(batch_size=8).init({}),
            "batch_size=8; .* 'hutchinson' has no use for one",
        ),
        (
            lambda: gc.sophia(0.1, estimator="gauss_newton_bartlett").init({}),
            "batch_size=None; .* needs the number",
        ),
        (
            lambda: gc.scale_by_adahessian(average="all").init({}),
            "average must be one of .*, not 'all'",
        ),
        (
            lambda: gc.adahessian(0.1, update_every=0).init({}),
            "update_every must be 1 or more, not 0",
        ),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("tx", "name"),
    [
        (gc.scale_by_sophia(), "value_fn"),
        (gc.scale_by_sophia(estimator="gauss_newton_bartlett", batch_size=1), "sampled_value_fn"),
        (gc.adahessian(0.1), "value_fn"),
    ],
)
def test_the_function_that_is_missing_is_named(tx, name):
    with pytest.raises(TypeError, match=re.escape(f"needs the extra argument {name!r}")):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)


# -------------------------------------------------------------------------------- what they are for


SCALES = jnp.array([1e-2, 1.0, 1e2])
START = jnp.array([1e2, 1.0, 1e-2])


def badly_scaled(params):
    """Curvatures that are ten thousand times apart, along directions that are not quite those of
    the parameters.
    """
    return 0.5 * jnp.sum(SCALES * params**2) + 0.05 * jnp.sum(jnp.sqrt(SCALES) * params) ** 2


def steps_until_small(tx):
    """How many steps bring the loss to a ten thousandth of its start."""

    def step(carry):
        t, params, state = carry
        params, state = tx.step(
            jax.grad(badly_scaled)(params), state, params, value_fn=badly_scaled
        )
        return t + 1, params, state

    goes_on = lambda carry: (
        (carry[0] < 2000) & (badly_scaled(carry[1]) > 1e-4 * badly_scaled(START))
    )
    return int(
        jax.jit(
            lambda: jax.lax.while_loop(goes_on, step, (jnp.array(0), START, tx.init(START)))[0]
        )()
    )


def test_curvature_saves_steps_on_a_badly_scaled_problem():
    fewest = lambda make: min(steps_until_small(make(rate)) for rate in (0.3, 1.0, 3.0))
    adamw = fewest(lambda rate: gc.adamw(rate, weight_decay=0.0))
    assert (
        fewest(lambda rate: gc.sophia(rate, b1=0.9, b2=0.5, weight_decay=0.0, gamma=1.0))
        < adamw
        < 2000
    )
    assert fewest(lambda rate: gc.adahessian(rate, weight_decay=0.0)) < adamw


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.tanh(nn.Dense(16)(x)))


@pytest.mark.parametrize("name", ["sophia", "sophia-sampled", "adahessian"])
def test_a_flax_network_learns_digits(name):
    """The example of a training step, in Flax Linen."""
    images, labels = (jnp.asarray(x[:256]) for x in load_digits(return_X_y=True))
    images = images.astype(jnp.float32) / 16
    sampled = {"estimator": "gauss_newton_bartlett", "batch_size": len(images)}
    tx = {
        "sophia": gc.sophia(0.01, where=gc.ndim_at_least(2)),
        "sophia-sampled": gc.sophia(0.01, gamma=0.05, **sampled),
        "adahessian": gc.adahessian(0.1),
    }[name]
    network = Network()
    state = TrainState.create(
        apply_fn=network.apply,
        params=network.init(jax.random.key(0), images[:1])["params"],
        tx=tx,
    )

    def value_fn(params):
        logits = network.apply({"params": params}, images)
        return losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def sampled_value_fn(params, key):
        logits = network.apply({"params": params}, images)
        drawn = jax.random.categorical(key, jax.lax.stop_gradient(logits))
        return losses.softmax_cross_entropy_with_integer_labels(logits, drawn).mean()

    extra = (
        {"sampled_value_fn": sampled_value_fn}
        if name == "sophia-sampled"
        else {"value_fn": value_fn}
    )

    @jax.jit
    def train_step(state):
        value, grads = jax.value_and_grad(value_fn)(state.params)
        updates, opt_state = state.tx.update(grads, state.opt_state, state.params, **extra)
        params = gc.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state), value

    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
    ):  # Flax's layers broadcast
        seen = []
        for _ in range(60):
            state, value = train_step(state)
            seen.append(float(value))
    assert seen[-1] < 0.25 * seen[0]
