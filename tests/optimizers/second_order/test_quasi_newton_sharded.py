"""L-BFGS with parameters that are split over 8 devices: its history is split too, and the points
stay the same.
"""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import gradchain as gc
from tests.laws.samples import assert_close
from tests.support.hlo import places
from tests.support.quadratics import fixed_steps

SPECS = {"bias": P("b"), "kernel": P("a", "b"), "scale": P()}


def mesh_and_params() -> tuple[Mesh, dict]:
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    return mesh, {
        "bias": jnp.linspace(-1, 1, 8),
        "kernel": jnp.linspace(-2, 1, 32).reshape(8, 4),
        "scale": jnp.ones(()),
    }


def chained(p):
    """A loss that sees each leaf alone, so that shards need no others: of all shards inside
    ``shard_map``.
    """
    wave = lambda x: gc.numerics.total(jnp.sqrt(1 + (x - 0.5) ** 2) + 0.1 * x**4)
    return sum(wave(x) for x in jax.tree.leaves(p))


@pytest.mark.parametrize("form", ["two_loop", "compact"])
def test_split_under_jit_the_history_is_split_and_the_points_are_the_same(form):
    mesh, p = mesh_and_params()
    tx = gc.scale_by_lbfgs(4, form)
    expected, _ = fixed_steps(tx, chained, p, 20, 0.5)
    split = {k: jax.device_put(x, NamedSharding(mesh, SPECS[k])) for k, x in p.items()}
    step = jax.jit(partial(_step, tx))
    state = tx.init(split)
    for _ in range(20):
        split, state = step(split, state)
    assert_close(split, jax.tree.map(lambda x: x[-1], expected), 1e-6)
    for slot in ("s", "y"):
        for name, ring in state["scale_by_lbfgs"][slot].items():
            assert ring.sharding.is_equivalent_to(
                NamedSharding(mesh, P(None, *SPECS[name])), ring.ndim
            ), name
    kernel = state["scale_by_lbfgs"]["s"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(4, 2, 2)}
    program = step.lower(split, state).compile().as_text()
    assert not places(program, "all-gather", "all-to-all", "collective-permute")


def _step(tx, p, state):
    u, state = tx.update(jax.grad(chained)(p), state, p)
    return jax.tree.map(lambda x, u: x - 0.5 * u, p, u), state


@pytest.mark.parametrize("form", ["two_loop", "compact"])
def test_split_under_shard_map_the_points_are_the_same(form):
    mesh, p = mesh_and_params()
    tx = gc.scale_by_lbfgs(4, form)
    expected, whole = fixed_steps(tx, chained, p, 20, 0.5)
    rings = {k: P(None, *spec) for k, spec in SPECS.items()}
    like = {"params": SPECS, "grad": SPECS, "s": rings, "y": rings}
    specs = {"scale_by_lbfgs": {k: like.get(k, P()) for k in whole["scale_by_lbfgs"]}}
    run = lambda p: fixed_steps(tx, chained, p, 20, 0.5)
    points = {k: P(None, *spec) for k, spec in SPECS.items()}
    split = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(SPECS,), out_specs=(points, specs)))
    made, state = split(p)
    assert_close(made, expected, 1e-6)
    assert state["scale_by_lbfgs"]["pairs"] == whole["scale_by_lbfgs"]["pairs"]
    assert_close(state["scale_by_lbfgs"]["s"], whole["scale_by_lbfgs"]["s"], 1e-5)


def test_the_compact_form_reduces_as_often_whatever_the_memory():
    mesh, p = mesh_and_params()
    split = {k: jax.device_put(x, NamedSharding(mesh, SPECS[k])) for k, x in p.items()}

    def reductions(memory_size):
        tx = gc.scale_by_lbfgs(memory_size, "compact")
        program = jax.jit(partial(_step, tx)).lower(split, tx.init(split)).compile().as_text()
        return len(places(program, "all-reduce", "all-reduce-start"))

    assert 0 < reductions(3) == reductions(20)


@pytest.mark.parametrize("make", [gc.scale_by_bfgs, gc.scale_by_dfp])
def test_a_dense_matrix_refuses_shards(make):
    mesh, p = mesh_and_params()
    run = jax.shard_map(
        lambda p: fixed_steps(make(), chained, p, 2, 0.5)[0],
        mesh=mesh,
        in_specs=(SPECS,),
        out_specs=P(),
    )
    with pytest.raises(ValueError, match="inside shard_map it is given shards"):
        jax.eval_shape(run, p)
