"""States lie as their parameters say, and are made and restored in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

import gradchain as gc
from gradchain.distributed import (
    IndivisibleWarning,
    abstract_state,
    init_sharded,
    state_sharding,
    state_specs,
)

PARAMS = {"w": jnp.arange(24 * 8.0).reshape(24, 8), "v": jnp.ones((8, 24)), "b": jnp.ones(24)}
SPECS = {"w": P("data"), "v": P(None, "data"), "b": None}
KINDS = [AxisType.Auto, AxisType.Explicit]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=["auto", "explicit"])


def mesh_of(number, kind=AxisType.Auto):
    return Mesh(np.array(jax.devices()[:number]), ("data",), axis_types=(kind,))


def specs_of(tree):
    named = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    return {name(path): tuple(x.sharding.spec) for path, x in named}


def test_slots_of_any_form_follow_their_parameter():
    found = specs_of(abstract_state(gc.scale_by_came(), PARAMS, SPECS, mesh_of(8)))
    assert found["scale_by_came/mu/w"] == ("data", None)
    assert found["scale_by_came/v_row/w"] == ("data",)
    assert found["scale_by_came/v_col/w"] == (None,)
    assert found["scale_by_came/v_col/v"] == ("data",)
    found = specs_of(abstract_state(gc.scale_by_lbfgs(), PARAMS, SPECS, mesh_of(8)))
    assert found["scale_by_lbfgs/s/w"] == (None, "data", None)


def test_factors_of_zero_are_never_split_on_their_own():
    found = specs_of(abstract_state(gc.scale_by_came(), PARAMS, None, mesh_of(8), "zero"))
    assert found["scale_by_came/v_row/w"] == ("data",)
    assert found["scale_by_came/v_col/w"] == (None,)  # 8 columns, which would fit


def test_replicated_states_are_whole():
    found = specs_of(abstract_state(gc.adam(0.1), PARAMS, SPECS, mesh_of(8), "replicated"))
    assert {axis for spec in found.values() for axis in spec} <= {None}


@each_kind
@pytest.mark.parametrize("policy", ["like_params", "zero", "replicated"])
def test_states_are_made_where_they_are_said_to_lie(policy, kind):
    tx = gc.storage(gc.adamw(1e-3), nu="uint8_log", least_size=8)
    mesh = mesh_of(8, kind)
    where = state_sharding(tx, PARAMS, SPECS, mesh, policy)
    made = init_sharded(tx, PARAMS, SPECS, mesh, policy)
    alike = jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), made, where)
    assert all(jax.tree.leaves(alike))
    jax.tree.map(np.testing.assert_array_equal, made, tx.init(PARAMS))


def test_nothing_is_made_whole():
    mesh = mesh_of(8)
    shape = jax.ShapeDtypeStruct((64, 64), jnp.float32, sharding=NamedSharding(mesh, P("data")))
    tx = gc.adam(0.1)
    where = state_sharding(tx, shape, P("data"), mesh)
    compiled = jax.jit(tx.init, out_shardings=where).lower(shape).compile()
    made = compiled.memory_analysis()
    assert made.output_size_in_bytes <= 2 * 64 * 64 * 4 / 8 + 256
    assert made.temp_size_in_bytes <= 64


def test_slots_in_the_memory_of_the_host_stay_there():
    tx = gc.storage(gc.adam(0.1), memory={"nu": "pinned_host"})
    where = state_sharding(tx, PARAMS, SPECS, mesh_of(8))["storage"]["inner"]["scale_by_adam"]
    assert where["nu"]["w"].memory_kind == "pinned_host"
    assert where["nu"]["w"].spec == P("data", None)
    assert where["mu"]["w"].memory_kind != "pinned_host"


def test_what_cannot_be_divided_is_named():
    with pytest.warns(IndivisibleWarning, match=r"'data': 7.*'w', 'v'|'v', 'w'"):
        found = specs_of(abstract_state(gc.adam(0.1), PARAMS, SPECS, mesh_of(7)))
    assert found["scale_by_adam/mu/w"] == (None, None)
    large = {"large": jax.ShapeDtypeStruct((100, 50), jnp.float32)}
    with pytest.warns(IndivisibleWarning, match="'large'"):
        abstract_state(gc.adam(0.1), large, None, mesh_of(7), "zero")


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="policy must be one of"):
        abstract_state(gc.adam(0.1), PARAMS, None, mesh_of(8), "fsdp")
    with pytest.raises(ValueError, match="axis 'batch' is none of the mesh"):
        abstract_state(gc.adam(0.1), PARAMS, None, mesh_of(8), "zero", axis="batch")


def numbered(state):
    """A state of other numbers in each place, which lies alike."""
    leaves, treedef = jax.tree.flatten(state)
    fill = lambda i, x: (np.arange(x.size).reshape(x.shape) + i).astype(x.dtype)
    rows = enumerate(leaves)
    return treedef.unflatten([jax.device_put(fill(i, x), x.sharding) for i, x in rows])


SAVED = {
    "adamw": lambda: gc.adamw(0.1),
    "came": lambda: gc.came(0.1),
    "muon": lambda: gc.muon(0.1),
    "soap": lambda: gc.soap(0.1),
    "int8": lambda: gc.storage(gc.adamw(0.1), "int8", least_size=0),
}


@pytest.mark.parametrize("policy", ["like_params", "zero"])
@pytest.mark.parametrize("name", SAVED)
def test_orbax_restores_on_other_numbers_of_devices(tmp_path, name, policy):
    tx = SAVED[name]()
    state = numbered(init_sharded(tx, PARAMS, SPECS, mesh_of(8), policy))
    with ocp.StandardCheckpointer() as saver:
        saver.save(tmp_path / "state", state)
    for number in (4, 2, 3, 1):
        target = abstract_state(tx, PARAMS, SPECS, mesh_of(number), policy)
        with ocp.StandardCheckpointer() as saver:
            back = saver.restore(tmp_path / "state", target)
        jax.tree.map(np.testing.assert_array_equal, back, state)
        assert specs_of(back) == specs_of(target)
        moments = [x for x in jax.tree.leaves(back) if x.shape == PARAMS["w"].shape]
        assert moments  # or their codes
        for x in moments:
            assert x.addressable_shards[0].data.size * number == x.size


@pytest.mark.parametrize("codec", ["int8", "int4"])
def test_blocks_that_shards_do_not_divide_lie_as_their_parameter(codec):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    params = {"w": jax.ShapeDtypeStruct((2, 11 * 256), jnp.float32)}
    tx = gc.storage(gc.sgd(0.1, 0.9), codec)
    state = abstract_state(tx, params, {"w": P(None, "data")}, mesh)
    kept = state["storage"]["inner"]["add_momentum"]["momentum"]["w"]
    assert kept["codes"].sharding.spec == P(None, "data")
    assert kept["scales"].sharding.spec == P(None, None)


@pytest.mark.parametrize("codec", [None, "int8"])
def test_a_state_that_shard_map_parts_otherwise_is_told_its_specs(codec):
    tx, mesh = gc.sgd(0.1, 0.9), mesh_of(4)
    tx = tx if codec is None else gc.storage(tx, codec, least_size=0)
    params = {"w": PARAMS["w"], "v": PARAMS["v"]}
    specs = {"w": P("data"), "v": P(None, "data")}
    state = tx.init(params)
    run = lambda of_state: jax.shard_map(
        tx.step, mesh=mesh, in_specs=(specs, of_state, specs), out_specs=(specs, of_state)
    )(params, state, params)
    with pytest.raises(ValueError, match=r"on each device\. .*distributed\.state_specs\(tx"):
        run(jax.tree.map(lambda x: P(), state))
    if codec is None:
        made, _ = run(state_specs(tx, params, specs, mesh))
        jax.tree.map(np.testing.assert_allclose, made, tx.step(params, state, params)[0])
