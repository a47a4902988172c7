"""Plans of small models on eight devices, against arrays that lie there and against formulas."""

import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec as P

import gradchain as gc
from gradchain.distributed import Collective, compare_plans, fsdp_specs, plan

ADAMW = gc.adamw(1e-3)
SHAPES = {
    "up": jax.ShapeDtypeStruct((64, 256), "float32"),
    "down": jax.ShapeDtypeStruct((256, 64), "float32"),
    "bias": jax.ShapeDtypeStruct((64,), "float32"),
}
BYTES = 4 * (2 * 64 * 256 + 64)


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))


@pytest.fixture(scope="module")
def plans(mesh):
    """Three ways to train on the eight devices."""
    return {
        "data parallel": plan(ADAMW, SHAPES, mesh),
        "zero": plan(ADAMW, SHAPES, mesh, policy="zero"),
        "fsdp": plan(ADAMW, SHAPES, mesh, fsdp_specs(SHAPES, mesh)),
    }


def state_of(found):
    return found.state_bytes - found.state_bytes % 16  # without clocks


def test_adamw_sends_as_the_ring_formula_says(plans):
    found = plans["data parallel"]
    assert found.wire_bytes == pytest.approx(2 * 7 / 8 * BYTES, rel=0.01)
    assert found.formula == (Collective("all-reduce", "float32", BYTES, 8),)


def test_the_bytes_of_a_device(plans):
    whole, zero, fsdp = plans.values()
    assert [p.parameter_bytes for p in plans.values()] == [BYTES, BYTES, BYTES // 8]
    assert {p.gradient_bytes for p in plans.values()} == {BYTES}
    assert state_of(whole) == 2 * BYTES
    assert state_of(zero) == state_of(fsdp) == 2 * BYTES // 8
    assert whole.peak_bytes == whole.argument_bytes + whole.temporary_bytes


def test_zero_gathers_parameters_and_fsdp_does_not(plans):
    kinds = {name: {c.kind for c in found.exchanges} for name, found in plans.items()}
    assert kinds["data parallel"] == {"all-reduce"}
    assert "all-gather" in kinds["zero"] and "all-gather" not in kinds["fsdp"]
    gathered = [c for c in plans["zero"].exchanges if c.kind == "all-gather"]
    assert sum(c.wire_bytes for c in gathered) == 7 * BYTES // 8
    assert plans["zero"].formula_wire_bytes == 2 * plans["fsdp"].formula_wire_bytes


def test_each_device_does_its_part_of_the_work(plans):
    whole, zero, fsdp = (found.operations for found in plans.values())
    assert zero < 0.3 * whole and fsdp < 0.3 * whole


@pytest.mark.parametrize("policy", ["like_params", "zero", "replicated"])
def test_a_plan_by_formula_has_the_sizes_of_a_compiled_one(mesh, policy):
    compiled = plan(ADAMW, SHAPES, mesh, policy=policy)
    far = plan(ADAMW, SHAPES, AbstractMesh((16,), ("data",)), policy=policy)
    near = plan(ADAMW, SHAPES, AbstractMesh((8,), ("data",)), policy=policy)
    assert near == compiled
    assert compiled.compiled_for == "cpu" and far.compiled_for is None
    assert far.temporary_bytes is None and far.operations is None
    assert far.wire_bytes == far.formula_wire_bytes
    halves = 1 if policy != "zero" else 2
    assert state_of(compiled) == halves * state_of(far)


def test_the_state_that_is_planned_is_the_state_that_is_made(mesh):
    specs = fsdp_specs(SHAPES, mesh)
    put = lambda x, spec: jax.device_put(jnp.zeros(x.shape), jax.NamedSharding(mesh, spec))
    state = gc.adamw(1e-3).init(jax.tree.map(put, SHAPES, specs))
    made = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
    assert plan(ADAMW, SHAPES, mesh, specs).state_bytes == made


def test_a_mesh_of_two_axes_sums_over_one(mesh):
    wide = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    specs = {"up": P(None, "model"), "down": P("model"), "bias": None}
    found = plan(ADAMW, SHAPES, wide, specs, policy="zero")
    assert found.parameter_bytes == 4 * (2 * 64 * 128 + 64)
    assert found.wire_bytes == pytest.approx(1.5 * found.formula_wire_bytes, rel=0.05)


def test_whole_matrices_are_counted(mesh):
    specs = fsdp_specs(SHAPES, mesh)
    found = plan(gc.muon(1e-3), SHAPES, mesh, specs)
    assert found.wire_bytes > 1.2 * plan(ADAMW, SHAPES, mesh, specs).wire_bytes


def test_further_arguments_are_compiled_too(mesh):
    tx = gc.polyak_sgd()
    found = plan(tx, SHAPES, mesh, value=jax.ShapeDtypeStruct((), "float32"))
    assert found.wire_bytes >= found.formula_wire_bytes > 0


def test_a_step_that_does_not_fit_is_planned_by_formula(mesh, monkeypatch):
    def too_large(*arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory on HBM.\nMore.")

    monkeypatch.setattr(sys.modules[plan.__module__], "compile_step", too_large)
    found = plan(ADAMW, SHAPES, mesh)
    assert found.origin == "does not fit" and found.temporary_bytes is None
    assert found.wire_bytes == found.formula_wire_bytes
    assert "\n\nRESOURCE_EXHAUSTED: Ran out of memory on HBM.\n\n" in str(found)


def test_plans_print_as_tables(plans):
    text = str(plans["zero"])
    assert text.splitlines()[0] == (
        "32,832 parameters on 8 devices (data 8), zero, compiled for cpu"
    )
    assert "\nsent in a step" in text and "\nall-gather" in text
    lines = compare_plans(plans).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == list(plans)
    assert all(line.endswith("compiled for cpu") for line in lines[1:])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"policy": "zero2"}, "policy must be one of like_params, zero, replicated, not 'zero2'"),
        ({"axis": "batch"}, "axis 'batch' is none of the mesh, which has data"),
        (
            {"param_specs": {"up": "data", "down": None, "bias": None}},
            "'data' for 'up' of shape .64, 256.: give a jax.sharding.PartitionSpec",
        ),
        (
            {"param_specs": {"up": P("model"), "down": None, "bias": None}},
            "splits 'up' over 'model', but the mesh has only data",
        ),
        (
            {"param_specs": {"up": P("data"), "down": None, "bias": P("data")}},
            "splits 'up' of shape .60, 256. by .*, into parts that are not equal",
        ),
    ],
    ids=["policy", "axis", "no spec", "no axis", "not equal"],
)
def test_wrong_calls_are_refused(mesh, changes, text):
    shapes = SHAPES
    if "not equal" in text:
        shapes = SHAPES | {"up": jax.ShapeDtypeStruct((60, 256), "float32")}
    with pytest.raises(ValueError, match=text):
        plan(ADAMW, shapes, mesh, **changes)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: gc.distributed.zero1(gc.adam(0.1)), "'zero1' is a layout"),
        (
            lambda: gc.chain(gc.distributed.exchange("int8"), gc.adam(0.1)),
            "what 'exchange' sends",
        ),
        (lambda: gc.distributed.diloco(gc.adam(0.1), gc.sgd(0.7), 4), "what 'diloco' sends"),
        (lambda: gc.distributed.owners(gc.orthogonalize()), "what 'owners' sends"),
    ],
    ids=["zero1", "exchange", "diloco", "owners"],
)
def test_members_that_lie_or_send_otherwise_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        gc.distributed.plan(make(), {"w": jnp.ones((8, 8))}, AbstractMesh((8,), ("data",)))


def test_parameters_that_no_gradient_moves_are_refused():
    for params in ({}, {"w": jnp.arange(8)}):
        with pytest.raises(ValueError, match="plan: params has no leaf that a gradient moves"):
            gc.distributed.plan(gc.adam(0.1), params, AbstractMesh((8,), ("data",)))


def test_a_number_is_no_tree_of_parameters():
    with pytest.raises(TypeError, match=r"not the number 7e\+09"):
        gc.distributed.plan(gc.adam(0.1), 7e9, AbstractMesh((8,), ("data",)))


def test_matrices_in_parts_send_more_than_the_formula():
    mesh, shapes = (
        AbstractMesh((256,), ("data",)),
        {"w": jax.ShapeDtypeStruct((512, 512), "float32")},
    )
    assert "above" in str(gc.distributed.plan(gc.muon(0.1), shapes, mesh, policy="zero"))
    assert "above" not in str(gc.distributed.plan(gc.muon(0.1), shapes, mesh))
    assert "above" not in str(gc.distributed.plan(gc.adam(0.1), shapes, mesh, policy="zero"))
