"""``set_hyperparams``: in place in Flax NNX, by the shortest name, and all or nothing."""

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import gradchain as gc
from tests.support.hyperparameters import PARAMS, values

X = jnp.ones((4, 2))
COSINE = gc.warmup_cosine_decay_schedule(0.0, 0.1, warmup_steps=2, decay_steps=10)


@pytest.fixture(autouse=True)
def _as_flax_is_written(jax_as_users_have_it):
    """Flax's layers broadcast, and mix Python and NumPy numbers with arrays."""


def new(tx=None):
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    return model, nnx.Optimizer(model, tx or gc.tunable(gc.adam(0.1)), wrt=nnx.Param)


def held(optimizer):
    return optimizer.opt_state["tunable"]["hyperparams"]


def counted_step():
    traces = []

    @nnx.jit
    def step(model, optimizer):
        traces.append(1)
        optimizer.update(model, nnx.grad(lambda m: jnp.sum(m(X) ** 2))(model))

    return step, traces


PLACES = {
    "optimizer": lambda o: o,
    "opt_state": lambda o: o.opt_state,
    "pair": lambda o: {"optimizer": o, "epoch": 3},
}


@pytest.mark.parametrize("place", PLACES)
def test_it_writes_through_variables_in_place_and_nothing_is_traced_again(place):
    model, optimizer = new()
    step, traces = counted_step()
    step(model, optimizer)
    variable, before = held(optimizer)["learning_rate"], jax.tree.structure(nnx.state(optimizer))
    given = PLACES[place](optimizer)
    assert gc.set_hyperparams(given, learning_rate=0.0, b1=0.5) is given
    assert held(optimizer)["learning_rate"] is variable
    assert variable.get_value().dtype == jnp.float32
    assert jax.tree.structure(nnx.state(optimizer)) == before
    kernel = jnp.array(model.kernel[...])
    step(model, optimizer)
    assert len(traces) == 1
    assert jnp.array_equal(kernel, model.kernel[...])  # the rate is 0
    assert float(held(optimizer)["b1"][...]) == 0.5


def test_the_old_assignment_goes_on_as_well():
    model, optimizer = new()
    step, traces = counted_step()
    step(model, optimizer)
    optimizer.opt_state = gc.set_hyperparams(optimizer.opt_state, learning_rate=0.5)
    step(model, optimizer)
    assert len(traces) == 1
    assert float(gc.hyperparams(optimizer.tx, optimizer.opt_state)["learning_rate"]) == 0.5


def test_a_state_of_nnx_is_written_and_merged():
    _, optimizer = new()
    graph, state = nnx.split(optimizer)
    assert gc.set_hyperparams(state, learning_rate=0.25) is state
    assert float(held(nnx.merge(graph, state))["learning_rate"][...]) == 0.25
    pure = nnx.to_pure_dict(nnx.state(optimizer))
    other = gc.set_hyperparams(pure, learning_rate=0.75)
    assert other is not pure
    assert float(other["opt_state"]["tunable"]["hyperparams"]["learning_rate"]) == 0.75
    frozen = flax.core.freeze(gc.tunable(gc.sgd(0.1)).init(PARAMS))
    assert type(gc.set_hyperparams(frozen, learning_rate=0.5)) is type(frozen)


def test_it_writes_inside_a_compiled_function_of_nnx():
    _, optimizer = new()

    @nnx.jit
    def halve(optimizer):
        gc.set_hyperparams(optimizer, learning_rate=held(optimizer)["learning_rate"][...] / 2)

    halve(optimizer)
    assert float(held(optimizer)["learning_rate"][...]) == np.float32(0.05)


def test_a_run_whose_rate_was_set_goes_on_from_orbax(tmp_path):
    pairs = [new(), new()]
    step, _ = counted_step()
    step(*pairs[0])
    gc.set_hyperparams(pairs[0][1], learning_rate=0.01)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", nnx.state(pairs[0]))
        checkpointer.wait_until_finished()
        found = checkpointer.restore(tmp_path / "state", nnx.state(pairs[1]))
    nnx.update(pairs[1], found)
    assert float(held(pairs[1][1])["learning_rate"][...]) == np.float32(0.01)
    for pair in pairs:
        step(*pair)
    assert jnp.array_equal(pairs[0][0].kernel[...], pairs[1][0].kernel[...])


def test_no_value_is_set_if_one_is_refused():
    _, optimizer = new()
    for wrong in ({"lr": 1.0}, {"b1": float("nan")}, {"b1": "0.9"}, {"b1": jnp.ones(2)}):
        with pytest.raises((ValueError, TypeError), match="set_hyperparams"):
            gc.set_hyperparams(optimizer, learning_rate=0.5, **wrong)
        assert float(held(optimizer)["learning_rate"][...]) == np.float32(0.1)


@pytest.mark.parametrize(
    "value",
    [
        1j,
        {"a": 1.0},
        {},
        jax.random.key(0),
        jnp.array(True),
        True,
        "0.1",
        None,
        abs,
        jax.ShapeDtypeStruct((), jnp.float32),
    ],
    ids=str,
)
def test_what_is_no_number_is_named(value):
    with pytest.raises(TypeError, match="set_hyperparams: learning_rate must be a number, not "):
        gc.set_hyperparams(gc.tunable(gc.sgd(0.1)).init(PARAMS), learning_rate=value)


def test_a_state_of_mere_shapes_is_named():
    shapes = jax.eval_shape(gc.tunable(gc.sgd(0.1)).init, PARAMS)
    with pytest.raises(TypeError, match="holds a mere shape as learning_rate"):
        gc.set_hyperparams(shapes, learning_rate=0.5)


# ------------------------------------------------------------------------------------------- names

TWO_CLIPS = gc.chain(gc.clip(1.0), gc.sgd(COSINE, momentum=0.9), gc.clip(2.0))


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("peak_value", "learning_rate/peak_value"),
        ("learning_rate/peak_value", "learning_rate/peak_value"),
        ("momentum", "momentum"),
        ("clip_2/max_delta", "clip_2/max_delta"),
    ],
)
def test_the_end_of_a_name_is_enough_where_it_is_the_only_one(name, full):
    state = gc.set_hyperparams(gc.tunable(TWO_CLIPS).init(PARAMS), **{name: 0.5})
    assert float(values(state)[full]) == 0.5
    assert sum(float(x) == 0.5 for x in values(state).values()) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"max_delta": 0.5},
            r"'max_delta' is the end of 2 names.*'clip/max_delta', 'clip_2/max_.*'\*/max_delta'",
        ),
        ({"learning_rate": 0.5}, "'learning_rate'; .*is a schedule.*'learning_rate/peak_value'"),
        ({"value": 0.5}, "no tunable in this state has 'value'"),
        ({"peak_value": 0.5, "learning_rate/peak_value": 0.4}, "name one hyperparameter twice"),
        ({"*/max_delta": 0.5, "clip/max_delta": 0.4}, "name one hyperparameter twice"),
        ({"*/max_norm": 0.5}, r"no tunable in this state has '\*/max_norm'; there are '"),
    ],
)
def test_a_name_that_does_not_tell_is_refused(given, message):
    with pytest.raises(ValueError, match=f"set_hyperparams: .*{message}"):
        gc.set_hyperparams(gc.tunable(TWO_CLIPS).init(PARAMS), **given)


GROUPS = {
    "optimizers": gc.groups([("head/*", gc.sgd(0.1))], default=gc.adamw(0.1)),
    "changes": gc.groups([("head/*", {"learning_rate": 0.1})], default=gc.adamw(0.1)),
    "one rate": gc.groups([("head/*", {"weight_decay": 0.0})], default=gc.adamw(0.1)),
    "a tunable each": gc.groups(
        [("head/*", gc.tunable(gc.sgd(0.1)))], default=gc.tunable(gc.adamw(0.1))
    ),
    "labels": gc.partition(
        {"x": gc.sgd(0.1), "y": gc.adam(0.1)}, lambda path, x: "xy"[path.startswith("head")]
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_glob_sets_the_rates_of_all_groups(name):
    tx = GROUPS[name] if name == "a tunable each" else gc.tunable(GROUPS[name])
    state = gc.set_hyperparams(tx.init(PARAMS), **{"*/learning_rate": 0.25})
    rates = [x for k, x in gc.hyperparams(tx, state).items() if k.endswith("/learning_rate")]
    assert list(map(float, rates)) == [0.25, 0.25]
    others = [x for k, x in gc.hyperparams(tx, state).items() if k.endswith(("b1", "decay"))]
    assert others and 0.25 not in map(float, others)


def test_a_glob_that_is_a_name_is_that_name_alone():
    tx = gc.tunable(
        gc.chain(gc.scale_by_path({"*kernel": 2.0, "head/*kernel": 3.0}), gc.sgd(0.1))
    )
    state = gc.set_hyperparams(tx.init(PARAMS), **{"factors/*kernel": 0.5})
    assert [float(x) for x in values(state).values()].count(0.5) == 1


def test_parameters_called_so_are_not_taken_for_hyperparameters():
    params = {"hyperparams": {"learning_rate": jnp.ones(())}, "w": jnp.ones(2)}
    state = gc.tunable(gc.adam(0.1)).init(params)
    new_state = gc.set_hyperparams(state, learning_rate=0.5)
    assert float(values(new_state)["learning_rate"]) == 0.5
    mu = new_state["tunable"]["inner"]["scale_by_adam"]["mu"]
    assert float(mu["hyperparams"]["learning_rate"]) == 0.0


RISING = gc.warmup_cosine_decay_schedule(0.0, 3e-4, 100, 10_000)


@pytest.mark.parametrize(
    ("rate", "names", "name", "told"),
    [
        (RISING, "learning_rate/peak_value", "lr", "'learning_rate' is a schedule, of which"),
        (RISING, None, "learning_rate", "is a schedule, of which.*'learning_rate/end_value'"),
        (0.1, "learning_rate", "lr", "Is 'learning_rate' meant"),
        (
            0.1,
            "learning_rate",
            "weight_decay",
            r"those of tunable: names=\(..., 'weight_decay'\)",
        ),
        (0.1, "weight_decay", "lr", r"those of tunable: names=\(..., 'learning_rate'\)"),
        (0.1, "weight_decay", "nonsense", "there are 'weight_decay'.$"),
    ],
)
def test_a_name_that_no_tunable_has_is_led_to_one(rate, names, name, told):
    state = gc.tunable(gc.adamw(rate), names).init(jnp.ones(2))
    with pytest.raises(ValueError, match=told):
        gc.set_hyperparams(state, **{name: 0.1})


@pytest.mark.parametrize(
    ("rate", "name", "told"),
    [
        (RISING, "learning_rate", "'learning_rate' is a schedule, of which.*/peak_value'"),
        (RISING, "lr", "'learning_rate' is a schedule, of which.*/peak_value'"),
        (0.1, "lr", "Is 'learning_rate' meant"),
    ],
)
def test_tunable_leads_to_the_numbers_of_a_schedule(rate, name, told):
    with pytest.raises(ValueError, match=told):
        gc.tunable(gc.adamw(rate), name).init(jnp.ones(2))
