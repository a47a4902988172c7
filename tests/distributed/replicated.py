"""Meshes of replicas for these tests, and what runs on them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec as P

import gradchain as gc

ways = gc.distributed


def mesh_of(replicas: int, axis: str = "data") -> Mesh:
    return jax.make_mesh((replicas,), (axis,), axis_types=(AxisType.Auto,))


def exchanged(tx: Any, params: Any, replicas: int, **options: Any) -> Any:
    """A compiled update of gradients that have a first dimension, one for each replica."""
    specs = ways.replica_specs(tx, params)

    def update(grads: Any, state: Any, params: Any) -> Any:
        return tx.update(jax.tree.map(lambda g: g[0], grads), state, params)

    mapped = jax.shard_map(
        update,
        mesh=mesh_of(replicas),
        in_specs=(P("data"), specs, P()),
        out_specs=(P(), specs),
        **options,
    )
    return jax.jit(mapped)


def states(tx: Any, params: Any, replicas: int) -> Any:
    return ways.set_replicas(tx, tx.init(params), replicas)


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, jnp.float32)
