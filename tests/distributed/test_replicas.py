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


@each_kind
@pytest.mark.parametrize("is_set", [False, True], ids=["given", "set"])
def test_each_replica_has_its_copy_and_splits_it_as_before(kind, is_set):
    mesh = jax.make_mesh((2, 2), ("replica", "model"), axis_types=(kind,) * 2)
    over = jax.device_put(jnp.arange(4.0), NamedSharding(mesh, P("model")))
    tree = {"w": over, "b": jnp.ones(()), "hole": None}
    if is_set:
        with jax.set_mesh(mesh):
            found = ways.stack_replicas(tree, 2)
    else:
        found = ways.stack_replicas(tree, 2, mesh)
    assert found["w"].sharding.shard_shape((2, 4)) == (1, 2)
    assert found["b"].sharding.shard_shape((2,)) == (1,)
    np.testing.assert_array_equal(found["w"], [range(4)] * 2)


def test_another_number_of_replicas_is_refused():
    step = ways.on_replicas(lambda g, state: g, mesh_of())
    with pytest.raises(ValueError, match=r"argument 2 at 'mu/w' has shape \[3, 4\].*has 2 along"):
        step(jnp.ones((2, 4)), {"mu": {"w": jnp.ones((3, 4))}})
    with pytest.raises(ValueError, match=r"argument 1 has shape \[\].*stack_replicas\(tree, 2\)"):
        step(jnp.ones(()), {})
    with pytest.raises(
        ValueError, match="replicas=3, but the mesh has 2 devices along 'replica'"
    ):
        ways.stack_replicas(jnp.ones(3), 3, mesh_of())
    with pytest.raises(ValueError, match="stack_replicas: axis='data' is no axis"):
        ways.stack_replicas(jnp.ones(3), 2, mesh_of(), "data")
    with pytest.raises(TypeError, match=r"replicas must be an integer.* not 2\.0"):
        ways.set_replicas(gc.sgd(0.1), {}, 2.0)


def test_residuals_of_another_number_of_replicas_are_refused():
    tx = ways.exchange("int8", error_feedback=1.0)
    state = ways.set_replicas(tx, tx.init(jnp.zeros(3)), 4)
    with pytest.raises(ValueError, match=r"'residual' is of 4 replicas, but there are 1 here"):
        tx.update(jnp.ones(3), state)


@pytest.mark.parametrize(
    "make",
    [ways.exchange, lambda wire: ways.local_sgd(gc.sgd(0.1), 2, wire=wire)],
    ids=["exchange", "local_sgd"],
)
def test_wires_that_do_not_exist_are_refused_at_once(make):
    with pytest.raises(ValueError, match=r"argument 'wire' must be .*'int8'.*, not 'int9'"):
        make("int9")
    with pytest.raises(TypeError, match=r"argument 'wire' must be .* not 3"):
        make(3)
