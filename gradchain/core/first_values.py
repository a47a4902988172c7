"""The first values of slots."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.grams import identity
from gradchain.core.meshes import laid_like_param, placed, sharding_of_slot
from gradchain.core.slots import Slot
from gradchain.core.types import Dtype, Shape
from gradchain.numerics.arithmetic import compute_dtype, real_dtype
from gradchain.numerics.splits import whole
from gradchain.tree.paths import Leaf


def first_value(
    slot: Slot,
    param: Leaf,
    lead: Shape = (),
    matrix: tuple[int, int] | None = None,
    seen: Callable[[jax.Array], jax.Array] = lambda x: x,
) -> jax.Array | None:
    """The first value of a slot, or ``None`` without one.

    Args:
        slot: the slot.
        param: the parameter, or its shape.
        lead: the dimensions that count the matrices of ``param``.
        matrix: rows and columns of each; without them the parameter is seen as it is.
        seen: brings the parameter into the form in which it is seen.
    """
    own = slot.shape(jnp.shape(param) if matrix is None else matrix)
    if own is None or (slot.narrow and not is_narrow(param)):
        return None
    dtype = compute_dtype(jnp.result_type(param))
    if slot.real or slot.relation == "scalar":
        dtype = real_dtype(dtype)
    if slot.integer:
        dtype = jnp.dtype(jnp.int32)
    if slot.dtype is not None:
        dtype = jnp.dtype(jnp.result_type(param) if slot.dtype == "own" else slot.dtype)
    if slot.copy:
        return jnp.array(param, dtype, copy=True)
    shape = whole_shape(slot, jnp.shape(param), lead, own)
    is_number = slot.relation == "scalar" or jnp.ndim(param) > 0
    if slot.start is None and is_number and not shape:  # of no shard: the same on each device
        return jnp.full(own, slot.fill, dtype)
    return laid_like_param(_start(slot, param, shape, own, dtype, seen), slot, param)


def _start(
    slot: Slot,
    param: Leaf,
    shape: Shape,
    own: Shape,
    dtype: Dtype,
    seen: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """The first value of an array, where its parameter lies."""
    sharding = sharding_of_slot(slot, param, shape)
    if slot.start is not None:
        wide = jnp.asarray(param, compute_dtype(jnp.result_type(param)))
        made = slot.start(seen(whole(wide))).astype(dtype).reshape(shape)
        return made if sharding is None else placed(made, sharding)
    if isinstance(slot.fill, float) and slot.fill == 0:  # the fast way, out of jit
        return jnp.zeros_like(param, dtype=dtype, shape=shape, device=sharding)
    if slot.relation == "gram":
        zeros = jnp.zeros_like(param, dtype=dtype, shape=shape, device=sharding)
        return zeros + jnp.broadcast_to(slot.fill * identity(own, dtype), shape)
    return jnp.full_like(param, slot.fill, dtype=dtype, shape=shape, device=sharding)


def whole_shape(slot: Slot, param: Shape, lead: Shape, own: Shape) -> Shape:
    """The shape of a slot for all matrices.

    A slot of the shape of a parameter keeps it, however its matrices are folded.
    """
    return param if is_like_param(slot) else lead + own


def is_narrow(param: Leaf) -> bool:
    """Whether numbers of a parameter have 16 bits or fewer."""
    return jnp.result_type(param).itemsize <= 2


def is_like_param(slot: Slot) -> bool:
    """Whether a slot has the shape of its parameter."""
    return slot.relation == "like_param"
