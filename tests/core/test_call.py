"""Transformations, schedules and selections are values."""

import copy
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES

PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.zeros(2)}
GRADS = jax.tree.map(lambda p: 0.1 + p, PARAMS)


def test_equal_calls_are_equal_and_hash_equal_however_they_were_written():
    assert gc.adam(1e-3) == gc.adam(learning_rate=1e-3, b1=0.9)
    assert hash(gc.adam(1e-3)) == hash(gc.adam(learning_rate=1e-3, b1=0.9))
    assert gc.adam(1e-3) != gc.adam(1e-2)
    assert gc.adam(1e-3) != gc.adamw(1e-3)
    assert gc.adam(1e-3) != "adam"


def test_schedules_and_selections_compare_too():
    make = lambda: gc.adamw(gc.linear_schedule(0.1, 0.0, 10), where=gc.ndim_at_least(2))
    assert make() == make()
    assert make() != make().replace(where=gc.ndim_at_least(1))


@pytest.mark.parametrize("number", [1, np.float32(1.0), np.array(1.0), np.int64(1)])
def test_a_number_of_python_or_numpy_is_kept_as_a_python_float(number):
    assert type(gc.sgd(number).arguments["learning_rate"]) is float
    assert gc.sgd(number) == gc.sgd(1.0)


@pytest.mark.parametrize(
    "wrong", ["one", None, jax.random.key(0), np.arange(2), jnp.arange(2)], ids=repr
)
def test_an_integer_is_asked_for_by_name(wrong):
    with pytest.raises(TypeError, match="add_noise: argument 'seed' must be an integer"):
        gc.add_noise(0.1, 0.5, wrong)
    assert gc.add_noise(0.1, 0.5, np.int64(3)) == gc.add_noise(0.1, 0.5, 3)


def test_a_tree_of_bools_is_part_of_the_structure():
    tx = gc.add_decayed_weights(0.1, {"w": True, "b": False})
    assert tx == gc.add_decayed_weights(0.1, {"b": False, "w": True})
    assert tx != gc.add_decayed_weights(0.1, {"b": True, "w": True})
    assert jax.tree.leaves(tx) == [0.1]
    assert hash(tx) == hash(gc.add_decayed_weights(0.1, {"w": True, "b": False}))


def test_numbers_in_containers_are_kept_as_python_numbers():
    flags = {"w": jnp.array(True), "b": np.bool_(False)}
    tx = gc.add_decayed_weights(0.1, flags)
    flags["b"] = True  # nothing that happens to the argument later changes the value
    assert tx == gc.add_decayed_weights(0.1, {"w": True, "b": False})
    params = {"w": jnp.ones(1), "b": jnp.ones(1)}
    assert tx.update(params, {}, params)[0]["b"] == 1.0
    by_rule = gc.groups([({"w": jnp.array(True), "b": False}, gc.freeze())], default=gc.sgd(1.0))
    assert by_rule.update(params, by_rule.init(params), params)[0] == {"w": 0.0, "b": -1.0}


def test_its_leaves_are_its_float_hyperparameters():
    tx = gc.chain(gc.clip(1.0), gc.sgd(gc.exponential_decay(0.5, 10, 0.9), momentum=0.8))
    assert jax.tree.leaves(tx) == [1.0, 0.5, 0.9, 0.8]
    assert jax.tree.map(lambda x: x, tx) == tx
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tx)]
    assert paths[1] == ".members[1].learning_rate.init_value"


def test_it_cannot_be_changed_in_place():
    with pytest.raises(AttributeError, match=r"immutable; use replace\(name=...\)"):
        gc.sgd(0.1).name = "x"


def test_replace_leaves_the_original_alone():
    tx = gc.sgd(0.1)
    assert tx.replace(learning_rate=0.2) == gc.sgd(0.2)
    assert tx == gc.sgd(0.1)


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_it_can_be_copied(clone):
    tx = gc.chain(gc.clip(1.0), gc.adamw(gc.linear_schedule(0.1, 0.0, 10)).named("inner"))
    assert clone(tx) == tx


def test_it_prints_so_that_it_can_be_pasted_back():
    tx = gc.partition({"a": gc.clip(float("inf")), "b": gc.chain()}, {"w": "a", "b": "b"})
    assert eval(repr(tx), vars(gc)) == tx
    assert (
        repr(gc.chain(gc.clip(1.0).named("soft"))) == "chain(clip(max_delta=1.0).named('soft'))"
    )


def test_a_long_one_is_shown_on_several_lines():
    tx = gc.chain(
        gc.clip_by_global_norm(1.0), gc.adamw(gc.linear_schedule(0.1, 0.0, 10)).named("x")
    )
    assert str(gc.clip(1.0)) == repr(gc.clip(1.0))
    assert str(tx).splitlines()[:2] == [
        "chain(",
        "    clip_by_global_norm(max_norm=1.0, eps=0.0),",
    ]
    assert max(map(len, str(tx).splitlines())) < 120
    assert eval(str(tx), vars(gc)) == tx


def test_three_equal_transformations_are_one_static_argument():
    traces = []

    @jax.jit
    def unrelated(x):
        return x

    def step(tx, params):
        traces.append(tx)
        return tx.step(GRADS, tx.init(params), params)[0]

    jitted = jax.jit(step, static_argnums=0)
    for _ in range(3):
        jitted(gc.adamw(1e-3), PARAMS)
    unrelated(1.0)
    assert len(traces) == 1


def test_as_an_argument_a_new_learning_rate_is_no_new_trace():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(tx, state, params):
        return tx.step(GRADS, state, params)

    state = gc.adamw(1.0).init(PARAMS)
    results = [
        step(gc.adamw(rate), state, PARAMS)[0]["b"][0] for rate in np.linspace(0.1, 1.0, 10)
    ]
    np.testing.assert_allclose(results, -np.linspace(0.1, 1.0, 10), rtol=1e-5)


def test_a_name_clash_raises():
    @gc.transform
    def taken_in_call():
        return gc.elementwise(lambda g: g)

    first = FACTORIES["taken_in_call"]
    with pytest.raises(
        ValueError, match=r"'taken_in_call' is registered already, by .*choose another"
    ):
        other_factory_called("taken_in_call")
    assert FACTORIES["taken_in_call"] is first


def other_factory_called(name):
    def rule_of_another_module():
        return gc.elementwise(lambda g: g)

    rule_of_another_module.__name__ = name
    return gc.transform(rule_of_another_module)


def test_the_same_definition_may_run_again():
    def define():
        @gc.transform
        def again_in_call(factor: gc.Hyper = 2.0):
            return gc.elementwise(lambda g: factor * g)

        return again_in_call

    define()
    tx = define()()
    assert tx.update(GRADS, tx.init(PARAMS))[0]["b"][0] == pytest.approx(0.2)


def test_a_factory_keeps_its_name_documentation_and_signature():
    assert gc.adam.__name__ == "adam"
    assert gc.adam.__doc__.startswith("Adam:")
    import inspect

    assert list(inspect.signature(gc.adam).parameters)[:2] == ["learning_rate", "b1"]
    assert "step" not in inspect.signature(gc.linear_schedule).parameters
