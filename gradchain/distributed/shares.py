r"""Means of coded arrays, each share made by one replica.

With :math:`n` replicas an array is parted into :math:`n` shares. Each replica codes its own array
and sends to every other the share that this one is to average; it adds up what arrives in full
precision, codes the mean of its share, and sends that to all. So each replica sends twice the coded
array, however many there are, and nothing coded is ever added up:

.. math::
    \bar x = D(C(\tfrac1n \sum_i D(C(x_i))))

What the second coding loses counts as lost by the replica that made the mean, :math:`n` times:
then :math:`\bar x` is exactly the mean of what all have said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import core, lax
from jax.sharding import NamedSharding, PartitionSpec

from gradchain.core.meshes import placed
from gradchain.numerics.reductions import manual_axes
from gradchain.numerics.splits import split_like, whole

Encode = Callable[[jax.Array], Any]
Decode = Callable[[Any, jax.ShapeDtypeStruct], jax.Array]


def through_shares(encode: Encode, decode: Decode) -> Callable[..., Any]:
    """Send arrays as a codec of vectors makes them.

    Args:
        encode: arrays of a vector of real numbers.
        decode: the vector of these, and its shape.

    Returns:
        ``Way.send``.
    """

    def send(
        x: jax.Array,
        s: dict[str, Any],
        axis: str | None,
    ) -> tuple:
        replicas = 1 if axis is None else lax.axis_size(axis)
        shares = in_shares(x, replicas)
        like = jax.ShapeDtypeStruct(shares.shape[1:], shares.dtype)
        open_all = jax.vmap(lambda parts: decode(parts, like))
        # Else XLA takes a cast there and back for none, and a replica would keep too little.
        parts = lax.optimization_barrier(jax.vmap(encode)(shares))
        said = open_all(parts)
        average = jnp.mean(open_all(to_owners(parts, axis)), 0)
        coded = lax.optimization_barrier(encode(average))
        taken = decode(coded, like)
        lost = jnp.where(
            is_own(replicas, axis),
            average - taken,
            0,
        )
        whole = open_all(to_all(coded, axis))
        return of_shares(whole, x), of_shares(said - replicas * lost, x), s

    return send


def in_shares(x: jax.Array, replicas: int) -> jax.Array:
    """An array as real numbers, ``(replicas, length)``, padded.

    What explicit axes split is made whole: a share is of neighbours in the whole array.
    """
    flat = jnp.ravel(whole(x))
    if jnp.iscomplexobj(x):
        flat = jnp.concatenate([flat.real, flat.imag])
    length = max(-(-flat.size // replicas), 1)
    flat = jnp.pad(flat, (0, replicas * length - flat.size))
    return flat.reshape(replicas, length)


def of_shares(shares: jax.Array, like: jax.Array) -> jax.Array:
    """The array in shares, shaped and split like another."""
    flat = jnp.ravel(shares)
    own = flat[: like.size]
    if jnp.iscomplexobj(like):
        own = lax.complex(own, flat[like.size : 2 * like.size])
    return split_like(own.reshape(like.shape), like)


def laid_along(x: jax.Array, axis: str) -> jax.Array:
    """A new array whose rows an axis splits.

    That is on the mesh of ``jax.set_mesh``. Inside ``shard_map`` it is there already.
    """
    around = jax.sharding.get_abstract_mesh()
    if axis not in around.axis_names or axis in manual_axes():
        return x
    spec = PartitionSpec(axis)
    if not isinstance(x, core.Tracer):
        return placed(x, NamedSharding(jax.sharding.get_mesh(), spec))
    is_auto = axis in around.auto_axes
    return lax.with_sharding_constraint(x, spec) if is_auto else jax.sharding.reshard(x, spec)


def is_own(replicas: int, axis: str | None) -> jax.Array:
    """Which share is this replica's, ``(replicas, 1)``."""
    own = 0 if axis is None else lax.axis_index(axis)
    return (jnp.arange(replicas) == own)[:, None]


def to_owners(parts: Any, axis: str | None) -> Any:
    """Send each share to its replica, whose own then arrive."""
    if axis is None:
        return parts
    swap = lambda x: _by_bits(lambda bits: lax.all_to_all(bits, axis, 0, 0), x)
    return jax.tree.map(swap, parts)


def to_all(parts: Any, axis: str | None) -> Any:
    """Send a replica's own share to all."""
    if axis is None:
        return jax.tree.map(lambda x: x[None], parts)
    # The same on all: so it is typed in shard_map, which vmap has no types for.
    in_map = axis in manual_axes()
    kind = "invarying" if in_map else "varying"
    gather = lambda x: _by_bits(lambda bits: lax.all_gather(bits, axis, to=kind), x)
    return jax.tree.map(gather, parts)


def _by_bits(send: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Send narrow numbers as integers.

    Backends may widen others: the CPU's sends bfloat16 as float32.
    """
    width = x.dtype.itemsize
    if width > 2 or x.dtype == jnp.dtype(f"int{8 * width}"):
        return send(x)
    bits = lax.bitcast_convert_type(x, f"int{8 * width}")
    return lax.bitcast_convert_type(send(bits), x.dtype)
