"""Replicas: wrappers that each has for itself or all have in common, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradchain as gc
from tests.distributed.replicated import ways

REPLICAS = 2
each_kind = pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
each_guard = pytest.mark.parametrize(
    "guard",
    [
        lambda tx: gc.skip_nonfinite(tx),
        lambda tx: gc.skip_spikes(tx),
        lambda tx: gc.dynamic_loss_scale(tx, initial_scale=1.0),
        lambda tx: gc.accumulate(tx, every=1),
    ],
    ids=["skip_nonfinite", "skip_spikes", "dynamic_loss_scale", "accumulate"],
)


def mesh_of(kind=AxisType.Auto):
    return jax.make_mesh((REPLICAS,), ("replica",), axis_types=(kind,))


def trained(tx, grads, kind=AxisType.Auto):
    """Parameters and state of all replicas, from zero, after steps of given gradients."""
    mesh, params = mesh_of(kind), jnp.zeros(3)
    step = jax.jit(ways.on_replicas(tx.step, mesh))
    params, state = ways.stack_replicas((params, tx.init(params)), REPLICAS)
    over = NamedSharding(mesh, P("replica"))
    params, state = jax.device_put((params, state), over)
    for g in grads:
        each = jnp.broadcast_to(jnp.array(g)[:, None], (REPLICAS, 3))
        params, state = step(jax.device_put(each, over), state, params)
    return params, state


def numbers(state, name):
    """A slot of all replicas, however deep it is."""
    named = jax.tree_util.tree_leaves_with_path(state)
    found = [x for path, x in named if getattr(path[-1], "key", None) == name]
    return np.asarray(found[0]).tolist()


@each_kind
def test_inside_each_replica_skips_by_itself(kind):
    tx = ways.local_sgd(gc.skip_nonfinite(gc.sgd(1.0)), every=2)
    params, state = trained(tx, [(-1.0, jnp.nan), (-1.0, -4.0)], kind)
    np.testing.assert_allclose(params, (2.0 + 4.0) / 2)
    assert numbers(state, "skipped") == [0, 1]


@each_guard
def test_outside_all_replicas_skip_together(guard):
    """A replica that skipped alone would miss the meeting, and the others wait for it forever."""
    tx = guard(ways.local_sgd(gc.sgd(1.0), every=2))
    grads = [(-1.0, -2.0), (-1.0, jnp.nan), (-1.0, -2.0)]
    params, state = trained(tx, grads)
    np.testing.assert_allclose(params, 3.0)
    assert numbers(state, "count") == [2, 2]
