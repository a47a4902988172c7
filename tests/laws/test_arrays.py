"""An array given as a hyperparameter stays one: compared by its number, and not compiled anew."""

import copy
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import gradchain as gc
from gradchain.core.call import is_call
from tests.laws.samples import at, gradients, params
from tests.laws.table import ROWS

each_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
P = params(jnp.float32)
G = at(0, gradients(jnp.float32))


def with_arrays(call):
    """The call with an array for each number, given as a user gives it; and how many there are."""
    found = 0
    for name, value in call.arguments.items():
        kind = call.factory.kinds[name]
        if kind.is_hyper and not kind.is_integer and isinstance(value, float):
            call = call.replace(**{name: jnp.float32(value)})
            assert isinstance(call.arguments[name], jax.Array)
            with pytest.raises(ValueError, match=f"{name} must be"):
                call.replace(**{name: jnp.float32(jnp.nan)})
            found += 1
        elif is_call(value):
            made, n = with_arrays(value)
            call = call.of(call.factory, {**call.arguments, name: made}, call.name)
            found += n
    return call, found


@pytest.mark.rotated(10)
@each_row
def test_arrays_stay_in_every_argument_that_takes_a_number(row):
    (a, n), (b, _) = with_arrays(row.make()), with_arrays(row.make())
    if not n:
        pytest.skip("it has no numbers of its own")
    assert a == b and hash(a) == hash(b) and repr(a) == repr(b)
    assert a != row.make()
    assert copy.deepcopy(a) == a
    if "survives_json" not in row.reasons:
        assert pickle.loads(pickle.dumps(a)) == a
        numbers = jax.tree.leaves(gc.to_config(a))
        assert not any(isinstance(x, jax.Array) for x in numbers)
        assert gc.from_config(gc.to_config(a)).arguments.keys() == a.arguments.keys()
    state = a.init(P)
    if not a.facts.reduces_examples:
        run = lambda g, s, p: a.update(g, s, p, **row.extra)
        expected = jax.eval_shape(lambda: (G, state))
        made = jax.eval_shape(run, G, state, P)
        assert jax.tree.map(lambda x: x.shape, made) == jax.tree.map(lambda x: x.shape, expected)


NUMBERS = {
    "float": (0.1, float),
    "int": (1, float),
    "NumPy": (np.float32(0.1), float),
    "NumPy array": (np.array(0.1), float),
    "NumPy int": (np.int64(1), float),
    "float32": (jnp.float32(0.1), jnp.float32),
    "bfloat16": (jnp.bfloat16(0.1), jnp.bfloat16),
    "int32": (jnp.int32(1), jnp.float32),
    "weak": (jnp.asarray(0.1), jnp.float32),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_arrays_of_jax_stay_and_others_become_python_numbers(kind):
    number, expected = NUMBERS[kind]
    rate = gc.sgd(number).arguments["learning_rate"]
    if expected is float:
        assert type(rate) is float
    else:
        assert isinstance(rate, jax.Array) and rate.dtype == expected
    p = {"w": jnp.ones(2)}
    made, _ = gc.sgd(number).step(p, gc.sgd(number).init(p), p)
    np.testing.assert_allclose(made["w"], 1 - float(number), rtol=1e-6)


def test_arrays_are_equal_by_number_dtype_and_nothing_else():
    make = lambda x: gc.adam(gc.linear_schedule(x, 0.0, 10), b1=jnp.float32(0.5))
    assert make(jnp.float32(0.1)) == make(jnp.float32(0.1))
    assert make(jnp.float32(0.1)) != make(jnp.float32(0.2))
    assert make(jnp.float32(0.5)) != make(jnp.bfloat16(0.5))
    assert make(jnp.float32(0.5)) != make(0.5)
    assert len({make(jnp.float32(0.1)), make(jnp.float32(0.1)), make(0.1)}) == 2


def test_an_array_prints_as_one():
    assert "learning_rate=Array(0.1, dtype=float32)" in repr(gc.sgd(jnp.float32(0.1)))
    again = eval(repr(gc.sgd(jnp.float32(0.1))), vars(gc) | {"Array": jnp.array, "float32": "f4"})
    assert again == gc.sgd(jnp.float32(0.1))


def test_counts_and_flags_are_no_arrays():
    assert gc.accumulate(gc.sgd(0.1), jnp.int32(2)) == gc.accumulate(gc.sgd(0.1), 2)
    assert gc.accumulate(gc.sgd(0.1), jnp.float32(2)) == gc.accumulate(gc.sgd(0.1), 2)
    assert gc.add_noise(0.1, 0.5, jnp.int32(3)) == gc.add_noise(0.1, 0.5, 3)
    with pytest.raises(TypeError, match="must be an integer"):
        gc.accumulate(gc.sgd(0.1), jnp.float32(2.5))


@pytest.mark.parametrize(
    "wrong", [{"b1": jnp.float32(1.0)}, {"eps": jnp.float32(-1.0)}, {"b2": jnp.float32(jnp.inf)}]
)
def test_the_ranges_hold_for_arrays(wrong):
    with pytest.raises(ValueError, match=f"adam: {next(iter(wrong))} must be"):
        gc.adam(0.1, **wrong)


def test_a_mistake_in_an_array_is_found():
    for rate in (-0.1, jnp.float32(-0.1)):
        assert [x.name for x in gc.check(gc.sgd(rate))] == ["negative_learning_rate"]


# -------------------------------------------------------------------------------- who compiles what

MAKERS = {
    "adam": gc.adam,
    "schedule": lambda r: gc.adamw(gc.cosine_decay_schedule(r, 10)),
    "groups": lambda r: gc.groups([("bias", gc.sgd(r))], default=gc.adam(r)),
    "wrapper": lambda r: gc.lookahead(gc.chain(gc.clip(1.0), gc.sgd(r))),
}


@pytest.mark.usefixtures("jax_as_users_have_it")
@pytest.mark.parametrize("name", MAKERS)
def test_equinox_compiles_once_for_all_arrays(name):
    make, traces = MAKERS[name], []
    p = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    state = make(0.1).init(p)

    @eqx.filter_jit
    def step(tx, state, p):
        traces.append(tx)
        return tx.step(p, state, p)[0]

    made = [step(make(jnp.asarray(r)), state, p)["bias"] for r in (0.1, 0.2, 0.4)]
    assert len(traces) == 1
    assert made[0][0] != made[1][0] != made[2][0]
    step(make(0.1), state, p)
    step(make(0.2), state, p)
    assert len(traces) == 3  # Python numbers are static there


@pytest.mark.usefixtures("jax_as_users_have_it")
@pytest.mark.parametrize("name", MAKERS)
def test_an_nnx_optimizer_takes_arrays_and_compiles_once_for_equal_ones(name):
    make, traces = MAKERS[name], []

    @nnx.jit
    def step(model, optimizer):
        traces.append(1)
        optimizer.update(model, nnx.grad(lambda m: jnp.sum(m(jnp.ones((1, 2))) ** 2))(model))

    kernels = []
    for rate in (jnp.float32(0.1), jnp.float32(0.1)):
        model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, make(rate), wrt=nnx.Param)
        assert optimizer.tx == make(rate)
        assert any(isinstance(x, jax.Array) for x in jax.tree.leaves(optimizer.tx))
        step(model, optimizer)
        kernels.append(model.kernel[...])
    assert len(traces) == 1
    assert jnp.array_equal(*kernels)
    assert not jnp.array_equal(kernels[0], nnx.Linear(2, 1, rngs=nnx.Rngs(0)).kernel[...])


def test_nnx_split_and_merge_keep_an_array():
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, gc.adam(jnp.float32(0.1)), wrt=nnx.Param)
    merged = nnx.merge(*nnx.split(optimizer))
    assert merged.tx == optimizer.tx == gc.adam(jnp.float32(0.1))
    assert jax.tree.structure(merged) == jax.tree.structure(optimizer)


def test_a_train_state_takes_arrays_and_compiles_once_for_equal_ones():
    p, traces = {"w": jnp.ones(2)}, []

    @jax.jit
    def step(state):
        traces.append(1)
        return state.apply_gradients(grads=state.params)

    for _ in range(2):
        tx = gc.adam(jnp.float32(0.1))
        step(TrainState.create(apply_fn=None, params=p, tx=tx))
    assert len(traces) == 1


def test_a_slope_goes_through_an_array():
    def final(tx, p):
        return jnp.sum(tx.step(p, tx.init(p), p)[0])

    slope = jax.grad(final)(gc.chain(gc.sgd(jnp.float32(0.1))), jnp.ones(2))
    assert float(jax.tree.leaves(slope)[0]) == -2.0
