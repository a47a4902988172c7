"""Where slots are kept, and what a step needs beside them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradchain as gc

PARAMS = {"w": jnp.ones((64, 128)), "b": jnp.ones(128)}
GRADS = jax.tree.map(lambda x: 0.1 * x, PARAMS)
POLICIES = {
    "all": {"memory": "pinned_host"},
    "by slot": {"mu": "bfloat16", "nu": "int8_log", "memory": {"nu": "pinned_host"}},
    "by path": {"memory": {"*/w": "pinned_host"}},
}


def kinds(tree):
    """The memory of each leaf."""
    return jax.tree.map(lambda x: x.sharding.memory_kind, tree)


@pytest.mark.parametrize("name", POLICIES)
def test_slots_stay_in_the_memory_of_the_host(name):
    tx, bare = gc.storage(gc.adamw(1e-2), **POLICIES[name]), gc.adamw(1e-2)
    state = tx.init(PARAMS)
    own = kinds(state)["storage"]["inner"]["scale_by_adam"]
    assert own["count"] == "device"
    assert set(jax.tree.leaves(own["nu"]["w"])) == {"pinned_host"}
    assert jax.tree.leaves(own["mu"]["b"]) == ["pinned_host" if name == "all" else "device"]
    assert kinds(jax.jit(tx.init)(PARAMS)) == kinds(state)
    for step in (tx.step, jax.jit(tx.step)):
        params, new = step(GRADS, tx.init(PARAMS), PARAMS)
        assert kinds(new) == kinds(state)
        if "mu" not in POLICIES[name]:
            expected = bare.step(GRADS, bare.init(PARAMS), PARAMS)[0]
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-6), params, expected)


def test_slots_in_the_memory_of_the_host_are_split_as_parameters_are():
    mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
    place = lambda x: jax.device_put(x, NamedSharding(mesh, P("d")))
    params, grads = jax.tree.map(place, PARAMS), jax.tree.map(place, GRADS)
    tx = gc.storage(gc.adamw(1e-2), "int8_dynamic", memory="pinned_host")
    step = jax.jit(tx.step)
    made, state = step(grads, tx.init(params), params)
    kept = state["storage"]["inner"]["scale_by_adam"]["mu"]["w"]
    assert {x.sharding.memory_kind for x in kept.values()} == {"pinned_host"}
    assert {s.data.shape for s in kept["codes"].addressable_shards} == {(8, 128)}
    expected = tx.step(GRADS, tx.init(PARAMS), PARAMS)[0]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-6), made, expected)
    text = step.lower(grads, state, params).compile().as_text()
    assert not any(f"{word}(" in text for word in ("all-gather", "all-to-all"))


def test_an_unknown_memory_names_those_that_there_are():
    tx = gc.storage(gc.adamw(1e-2), memory="hbm")
    with pytest.raises(ValueError, match=r"one of 'device', 'pinned_host', not 'hbm'; cpu has"):
        tx.init(PARAMS)


@pytest.mark.parametrize(
    ("policy", "leaves"),
    [({"default": "bfloat16"}, 1), ({"mu": "int8", "nu": "int8_log"}, 4)],
    ids=str,
)
def test_transients_are_of_one_leaf_and_not_of_the_tree(policy, leaves):
    shapes = {f"{i}": jax.ShapeDtypeStruct((256, 512), jnp.float32) for i in range(12)}
    tx = gc.storage(gc.adamw(1e-3), **policy)
    state = jax.eval_shape(tx.init, shapes)
    step = jax.jit(tx.step, donate_argnums=(1, 2)).lower(shapes, state, shapes).compile()
    assert step.memory_analysis().temp_size_in_bytes <= leaves * 256 * 512 * 4


def test_an_estimate_of_slots_in_host_memory():
    shapes = {"w": jax.ShapeDtypeStruct((64, 128), jnp.float32)}
    tx = gc.storage(gc.adamw(1e-3), nu="uint8_log", memory={"nu": "pinned_host"})
    assert gc.inspection.estimate(tx, shapes).transient_bytes >= 0
