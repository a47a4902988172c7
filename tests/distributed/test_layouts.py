"""Where slots lie, found from shapes: as their parameters are split."""

import jax
import optax
import pytest
from jax.sharding import AbstractMesh, PartitionSpec as P

import gradchain as gc
from gradchain.core.transformation import as_transformation
from gradchain.distributed import abstract_state, fsdp_specs
from gradchain.distributed.layouts import shard_bytes, zero_spec
from gradchain.distributed.planned_step import layout_of

SIZES = {"data": 4, "model": 2}
MESH = AbstractMesh((4, 2), ("data", "model"))
SHAPES = {
    "layer": {"w": jax.ShapeDtypeStruct((16, 24), "float32")},
    "b": jax.ShapeDtypeStruct((3,), "float32"),
}
SPECS = {"layer": {"w": P("model", "data")}, "b": P()}


def specs_of(tx, policy="like_params"):
    tx = as_transformation(tx, "tx")
    layout = layout_of(tx, SHAPES, MESH, SPECS, policy, "data")
    leaves = jax.tree_util.tree_leaves_with_path(layout.state_specs)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): s for path, s in leaves}


@pytest.mark.parametrize("make", [gc.soap, gc.came, gc.adamw])
def test_plans_of_zero_have_the_layout_that_zero_has(make):
    state = abstract_state(make(1e-3), SHAPES, SPECS, MESH, "zero")
    where = [x.sharding.spec for x in jax.tree.leaves(state)]
    assert list(specs_of(make(1e-3), "zero").values()) == where


def test_moments_lie_as_their_parameters():
    found = specs_of(gc.adamw(1e-3))
    assert found["scale_by_adam/mu/layer/w"] == P("model", "data")
    assert found["scale_by_adam/nu/b"] == P(None)
    assert found["scale_by_adam/count"] == P()


def test_factors_lose_the_dimension_that_they_lack():
    found = specs_of(gc.scale_by_factored_rms(min_dim_size_to_factor=8))
    assert {k: v for k, v in found.items() if k.endswith("layer/w")} == {
        "scale_by_factored_rms/v_row/layer/w": P("model"),
        "scale_by_factored_rms/v_col/layer/w": P("data"),
    }


def test_a_foreign_pair_is_found_by_its_paths():
    found = specs_of(optax.adamw(1e-3))
    assert P("model", "data") in found.values()
    assert len([s for s in found.values() if s == P("model", "data")]) == 2


def test_slots_inside_wrappers_and_storage_lie_so_too():
    found = specs_of(gc.storage(gc.adamw(1e-3), "bfloat16"))
    assert [s for k, s in found.items() if "/mu/layer/w" in k] == [P("model", "data")]


@pytest.mark.parametrize(
    ("shape", "spec", "expected"),
    [
        ((8, 12), P(), P(None, "data")),
        ((8, 12), P(None, "model"), P("data", "model")),  # parts of 8, and of 6
        ((3, 8), P(None, "model"), P(None, ("model", "data"))),
        ((8,), P("data"), P("data")),
        ((3, 5), P(), P()),
        ((), P(), P()),
    ],
    ids=["largest", "largest part", "twice", "already", "none", "number"],
)
def test_zero_splits_the_largest_dimension(shape, spec, expected):
    assert zero_spec(shape, spec, "data", SIZES) == expected


def test_fsdp_splits_each_parameter():
    both = {"layer": {"w": P("model", "data")}, "b": P()}
    assert fsdp_specs(SHAPES, MESH, {"layer": {"w": P("model")}, "b": None}) == both
    assert fsdp_specs(SHAPES, MESH) == {"layer": {"w": P(None, "data")}, "b": P()}
    with pytest.raises(
        ValueError, match="axis 'batch' is none of the mesh, which has data, model"
    ):
        fsdp_specs(SHAPES, MESH, axis="batch")


def test_a_part_that_is_not_full_counts_whole():
    assert shard_bytes(jax.ShapeDtypeStruct((9, 2), "bfloat16"), P("data"), SIZES) == 3 * 2 * 2


EIGHT = jax.sharding.AbstractMesh((8,), ("data",))
TWO = {
    "w": jax.ShapeDtypeStruct((16, 8), "float32"),
    "b": jax.ShapeDtypeStruct((8,), "float32"),
}


@pytest.mark.parametrize(
    ("specs", "mesh", "kind", "says"),
    [
        (EIGHT, None, TypeError, "abstract_state: mesh must be a jax.sharding.Mesh, .* not None"),
        ({"w": P()}, EIGHT, ValueError, "param_specs must be a tree like the parameters"),
        (
            {"w": P("model"), "b": P()},
            EIGHT,
            ValueError,
            "splits 'w' over 'model', but",
        ),
        ({"w": P(), "b": P(None, "data")}, EIGHT, ValueError, r"for 'b' of shape \[8\]: give a"),
        ({"w": P("data", "data"), "b": P()}, EIGHT, ValueError, "for 'w'.* stands there twice"),
    ],
    ids=["order", "missing", "axis", "length", "twice"],
)
def test_specs_that_do_not_fit_are_named(specs, mesh, kind, says):
    with pytest.raises(kind, match=says):
        gc.distributed.abstract_state(gc.adam(0.1), TWO, specs, mesh)


def test_a_state_needs_a_transformation_and_arrays_need_devices():
    with pytest.raises(TypeError, match=r"abstract_state: tx must be a transformation.* not 0.1"):
        gc.distributed.abstract_state(0.1, TWO, None, EIGHT)
    params = {"w": jax.numpy.ones((16, 8))}
    with pytest.raises(TypeError, match="init_sharded: arrays need a mesh of devices"):
        gc.distributed.init_sharded(gc.adam(0.1), params, None, EIGHT)
