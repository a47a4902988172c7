"""A whole model as parameters: functions, strings, integers and keys are holes for every row."""

import re

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings

import gradchain as gc
from gradchain.tree.kinds import trainable_part
from tests.laws.samples import assert_identical, at, gradients, params
from tests.laws.table import ROWS
from tests.support.random_trees import full_trees, other_like

# Gradients of single examples have another shape.
OF_TREES = [row for row in ROWS if not row.make().facts.reduces_examples]
each_row = pytest.mark.parametrize("row", OF_TREES, ids=[row.name for row in OF_TREES])
ODD = {
    "function": jax.nn.relu,
    "string": "encoder",
    "int": 3,
    "bool": True,
    "ids": jnp.arange(3),
    "NumPy ids": np.arange(3),
    "text": np.array(["a"]),
    "key": jax.random.key(0),
    "dtype": jnp.dtype("float32"),
}
P = params(jnp.float32)
G = at(0, gradients(jnp.float32))
whole = lambda tree: {**tree, "zz": ODD}
hollow = lambda tree: {**tree, "zz": dict.fromkeys(ODD)}


@pytest.mark.rotated(20)
@each_row
def test_the_program_of_a_whole_model_is_that_of_its_arrays(row):
    seen = []

    def of_arrays(fun):
        return lambda p, *rest: (seen.append(p), fun(trainable_part(p), *rest))[1]

    is_function = lambda k, x: callable(x) and k in ("value_fn", "model_fn", "sampled_value_fn")
    extra = {k: of_arrays(x) if is_function(k, x) else x for k, x in row.extra.items()}

    def program(own, given):
        tx = row.make()
        state = tx.init(own(P))
        run = lambda g, s, p: tx.update(g, s, {**own(P), **p}, **given)
        return jax.make_jaxpr(run)(hollow(G), state, P), state

    (plain, state), (found, whole_state) = program(hollow, row.extra), program(whole, extra)
    assert_identical(jax.tree.leaves(whole_state), jax.tree.leaves(state))
    shown = lambda jaxpr: re.sub(r" at 0x\w+|0x\w+", "", str(jaxpr))
    assert shown(found) == shown(plain)
    assert all(p["zz"]["function"] is jax.nn.relu for p in seen if "zz" in p)


# ---------------------------------------------------------------------------------------- each lift


@gc.transform
def averaged_in_whole_models(decay: gc.Hyper = 0.5):
    def rule(g, s, p):
        return g + p, {"mean": decay * s["mean"] + g}

    return gc.elementwise(rule, mean=gc.slots.like_param)


@gc.transform
def normed_in_whole_models():
    rule = lambda g, s: (g * 0.5, {"sum": s["sum"] + jnp.sum(abs(g))})
    return gc.leafwise(rule, sum=gc.slots.scalar)


@gc.transform
def matrices_in_whole_models():
    rule = lambda g, s, p: (-g, {"last": g + p})
    return gc.matrixwise(rule, gc.ndim_at_least(2), last=gc.slots.like_param)


@gc.transform
def summed_in_whole_models():
    def rule(g, s, p):
        return jax.tree.map(lambda g, p: g + 2 * p, g, p), {"steps": s["steps"] + 1, "last": g}

    return gc.treewise(rule, steps=gc.slots.counter, last=gc.slots.like_param)


@gc.transform
def doubled_in_whole_models(inner: gc.GradientTransformation):
    def rule(g, s, p, inner):
        u, new = inner(g, s["inner"], p)
        return gc.tree.map_leaves(lambda x: 2 * x, u), {"inner": new}

    return gc.around(rule, inner=inner)


LIFTS = {
    "elementwise": averaged_in_whole_models(),
    "leafwise": normed_in_whole_models(),
    "matrixwise": matrices_in_whole_models(),
    "treewise": summed_in_whole_models(),
    "around": doubled_in_whole_models(averaged_in_whole_models()),
}


@pytest.mark.parametrize("lift", LIFTS)
@settings(deadline=None, max_examples=15, derandomize=True)
@given(tree=full_trees, data=st.data())
def test_odd_leaves_anywhere_are_holes_and_stay_as_they_are(lift, tree, data):
    tx, grads = LIFTS[lift], other_like(tree)
    odd = jax.tree.map(lambda _: data.draw(st.sampled_from(list(ODD.values()))), tree)
    beside = lambda tree, odd: jax.tree.map(lambda x, y: {"w": x, "odd": y}, tree, odd)
    none = lambda tree: jax.tree.map(lambda x: {"w": x, "odd": None}, tree)
    with jax.disable_jit():
        state = tx.init(none(tree))
        assert_identical(tx.init(beside(tree, odd)) if jax.tree.leaves(tree) else state, state)
        expected, expected_state = tx.step(none(grads), state, none(tree))
        made, new_state = tx.step(none(grads), state, beside(tree, odd))
    assert_identical(new_state, expected_state)
    assert_identical(trainable_part(made), expected)
    is_odd = lambda x: isinstance(x, dict) and x.keys() == {"w", "odd"}
    for new, old in zip(
        jax.tree.leaves(made, is_leaf=is_odd),
        jax.tree.leaves(beside(tree, odd), is_leaf=is_odd),
        strict=True,
    ):
        assert not is_odd(new) or new["odd"] is old["odd"]


@pytest.mark.parametrize("lift", LIFTS)
def test_it_compiles_itself_once_and_gives_odd_leaves_back(lift):
    tx, params = LIFTS[lift], {"w": jnp.ones((2, 2)), "odd": ODD}
    grads = {"w": jnp.ones((2, 2)), "odd": dict.fromkeys(ODD)}
    state, compilations = tx.init(params), []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: (
            compilations.append(name) if name.endswith("backend_compile_duration") else None
        )
    )
    params, state = tx.step(grads, state, params)
    n = len(compilations)
    for _ in range(3):
        params, state = tx.step(grads, state, params)
    assert len(compilations) == n
    assert all(params["odd"][name] is x for name, x in ODD.items())


# ------------------------------------------------------------------------------------------ Equinox

X = jnp.linspace(-1.0, 1.0, 16).reshape(8, 2)
Y = jnp.sum(X, axis=1)


def loss(model, x=X, y=Y):
    return jnp.mean((jax.vmap(model)(x)[:, 0] - y) ** 2)


@pytest.fixture
def mlp():
    return eqx.nn.MLP(2, 1, 8, 1, key=jax.random.key(0))


@pytest.mark.usefixtures("jax_as_users_have_it")
@pytest.mark.parametrize("make", [gc.sgd, gc.adam, lambda r: gc.chain(gc.clip(1.0), gc.adam(r))])
def test_the_frozen_layer_of_equinox_trains(make, mlp):
    """As its documentation has it: ``init`` is given the whole model."""
    tx, traces = make(0.03), []
    spec = jax.tree.map(lambda _: False, mlp)
    last = lambda model: (model.layers[-1].weight, model.layers[-1].bias)
    spec = eqx.tree_at(last, spec, replace=(True, True))

    @eqx.filter_jit
    def step(model, state):
        traces.append(model)

        @eqx.filter_value_and_grad
        def value_of(trained, frozen):
            return loss(eqx.combine(trained, frozen))

        value, grads = value_of(*eqx.partition(model, spec))
        updates, state = tx.update(grads, state)
        return value, eqx.apply_updates(model, updates), state

    model, state, values = mlp, tx.init(mlp), []
    for _ in range(10):
        value, model, state = step(model, state)
        values.append(float(value))
    assert values[-1] < values[0] and len(traces) == 1
    assert jnp.array_equal(model.layers[0].weight, mlp.layers[0].weight)


@pytest.mark.rotated(4)
@pytest.mark.usefixtures("jax_as_users_have_it")
@pytest.mark.parametrize(
    "tx",
    [
        gc.adamw(0.03, where=gc.ndim_at_least(2)),
        gc.lookahead(gc.sgd(0.1)),
        gc.groups([("layers/0/*", gc.freeze())], default=gc.adam(0.03)),
        gc.watch(gc.adam(0.03), every=1, by="path"),
        gc.skip_nonfinite(gc.accumulate(gc.sgd(0.1), every=2)),
        gc.sam(gc.sgd(0.1)),
    ],
    ids=lambda tx: tx.factory.name,
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_whole_module_trains_as_its_arrays_do(tx, compiled, mlp):
    def train(model, own):
        step = eqx.filter_jit(tx.step) if compiled else tx.step
        state = tx.init(own(model))
        extra = (
            {"value_fn": lambda p: loss(eqx.combine(p, mlp))} if "value_fn" in tx.extras else {}
        )
        for _ in range(2):
            model, state = step(eqx.filter_grad(loss)(model), state, own(model), **extra)
            model = eqx.combine(model, mlp)
        return eqx.filter(model, eqx.is_inexact_array), state

    arrays = lambda model: eqx.filter(model, eqx.is_inexact_array)
    found, expected = train(mlp, lambda model: model), train(mlp, arrays)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_functions_of_the_parameters_are_given_the_whole_module(mlp):
    tx = gc.sam(gc.sgd(0.1))
    grads = eqx.filter_grad(loss)(mlp)
    updates, _ = tx.update(grads, tx.init(mlp), mlp, value_fn=loss)
    assert jax.tree.structure(updates) == jax.tree.structure(grads)


def test_update_and_apply_updates_help_as_init_does(mlp):
    arrays = eqx.filter(mlp, eqx.is_inexact_array)
    tx = gc.adam(0.1)
    state = tx.init(mlp)
    help_ = r"'activation' is a .*, not an array.*eqx\.filter\(model, eqx\.is_inexact_array\)"
    for call in (
        lambda: tx.update(mlp, state, mlp),
        lambda: tx.update(mlp, state),
        lambda: tx.step(mlp, state, mlp),
        lambda: gc.apply_updates(mlp, mlp),
        lambda: gc.apply_updates(arrays, mlp),
    ):
        with pytest.raises(TypeError, match=help_):
            call()
    assert gc.apply_updates(mlp, arrays).activation is mlp.activation
    assert gc.describe(tx, mlp).leaves == len(jax.tree.leaves(arrays))
    assert not [x for x in gc.check(tx, mlp) if x.name == "does_not_fit"]
    _, report = gc.adopt_state(tx, state, mlp)
    assert not report.new and not report.dropped
    assert gc.eval_params(state, mlp).activation is mlp.activation
    assert gc.select(gc.ndim_at_least(2), mlp).activation is False


def test_gradients_of_integers_are_holes():
    params = {"w": jnp.ones(2), "n": jnp.array(3)}
    grads = jax.grad(lambda p: jnp.sum(p["w"]) * 2.0, allow_int=True)(params)
    tx = gc.adam(0.1)
    updates, state = tx.update(grads, tx.init(params), params)
    assert updates["n"] is None
    made, _ = tx.step(grads, state, params)
    assert made["n"] == 3
    assert gc.apply_updates(params, grads)["n"] == 3


def test_an_update_of_an_integer_is_refused():
    params = {"w": jnp.ones(2), "n": jnp.array(3)}
    tx = gc.sgd(0.1)
    grads = {"w": jnp.ones(2), "n": jnp.array(1.0)}
    for call in (
        lambda: tx.update(grads, tx.init(params), params),
        lambda: gc.apply_updates(params, grads),
    ):
        with pytest.raises(ValueError, match=r"'n': the update has dtype float32.*int32"):
            call()


def test_all_variables_of_a_module_of_nnx_may_be_given():
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(2, 1, rngs=rngs)
            self.dropout = nnx.Dropout(0.1, rngs=rngs)

    model, tx = Model(nnx.Rngs(0)), gc.adam(0.1)
    everything = nnx.state(model)
    state = tx.init(everything)
    assert len(jax.tree.leaves(state["scale_by_adam"]["mu"])) == 2
    grads = jax.tree.map(
        lambda x: x if jnp.issubdtype(x.dtype, jnp.inexact) else None, everything
    )
    made, _ = tx.step(grads, state, everything)
    assert jax.tree.structure(made) == jax.tree.structure(everything)
