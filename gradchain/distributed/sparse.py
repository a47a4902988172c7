"""Wires of few elements: the largest, or largest cosines."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.ranges import StaticPositiveInt
from gradchain.distributed.shares import through_shares
from gradchain.distributed.wires import Way, wire


@wire
def top_k(one_in: StaticPositiveInt = 100, block: StaticPositiveInt | None = 1024) -> Way:
    """Send the largest elements of each block.

    The rest counts as zero. A value is sent in bfloat16, its place in 16 bits: one element in 100
    makes 1/100 of the bytes. It wants error feedback, which sends in time what was left out.

    Args:
        one_in: how many elements there are for each that is sent; of a block at least one is.
        block: how many neighbouring elements share their places; ``None``: one replica's whole
            share of an array, whose places take 32 bits if it has more than 65,536 elements.

    Source: Stich, Cordonnier & Jaggi, "Sparsified SGD with Memory", 2018,
    https://arxiv.org/abs/1809.07599

    Example:
        >>> import gradchain as gc
        >>> tx = gc.distributed.exchange(gc.distributed.top_k(one_in=3))
        >>> print(tx.update(jnp.array([3.0, -4.0, 0.5]), {})[0])
        [ 0. -4.  0.]
    """

    def encode(x: jax.Array) -> dict[str, jax.Array]:
        return largest_of(in_blocks(x, block), one_in)

    def decode(parts: dict[str, jax.Array], like: jax.ShapeDtypeStruct) -> jax.Array:
        size = size_of_blocks(like.shape[0], block)
        return spread(parts, size, like).reshape(-1)[: like.shape[0]]

    return Way(through_shares(encode, decode))


@wire
def dct(one_in: StaticPositiveInt = 32, block: StaticPositiveInt = 64) -> Way:
    r"""Send the largest cosines of each block: DeMo's transform.

    Each block of neighbouring elements is turned by the orthonormal cosine transform, and of its
    amplitudes the largest are sent. What neighbours have in common so goes first. DeMo is
    ``chain(exchange(dct(), error_feedback=0.999), scale_by_sign(), ...)``: its momentum is what was
    not sent yet.

    Args:
        one_in: see ``top_k``.
        block: how many elements are turned together.

    Source: Peng, Quesnelle & Kingma, "Decoupled Momentum Optimization", 2024,
    https://arxiv.org/abs/2411.19870

    Example:
        >>> import gradchain as gc
        >>> tx = gc.distributed.exchange(gc.distributed.dct(one_in=4, block=4))
        >>> print(tx.update(jnp.full(4, 0.75), {})[0])
        [0.75 0.75 0.75 0.75]
    """

    def turn(size: int, dtype: jnp.dtype) -> jax.Array:
        return jnp.asarray(cosines(size), dtype)

    def encode(x: jax.Array) -> dict[str, jax.Array]:
        own = in_blocks(x, block)
        return largest_of(_product(own, turn(own.shape[1], own.dtype).T), one_in)

    def decode(parts: dict[str, jax.Array], like: jax.ShapeDtypeStruct) -> jax.Array:
        size = size_of_blocks(like.shape[0], block)
        own = spread(
            parts,
            size,
            like,
        )
        return _product(own, turn(size, like.dtype)).reshape(-1)[: like.shape[0]]

    return Way(through_shares(encode, decode))


def size_of_blocks(length: int, block: int | None) -> int:
    """The length of the blocks of a vector."""
    return min(block or length, length)


def in_blocks(x: jax.Array, block: int | None) -> jax.Array:
    """A vector as blocks, the last filled up with zeros."""
    size = size_of_blocks(x.shape[0], block)
    number = -(-x.shape[0] // size)
    return jnp.pad(x, (0, number * size - x.shape[0])).reshape(number, size)


def largest_of(blocks: jax.Array, one_in: int) -> dict[str, jax.Array]:
    """The largest elements of each block, and their places."""
    size = blocks.shape[1]
    _, places = lax.top_k(jnp.abs(blocks), max(size // one_in, 1))
    values = jnp.take_along_axis(
        blocks,
        places,
        1,
    )
    narrow = jnp.uint16 if size <= 1 << 16 else jnp.int32
    return {"values": values.astype(jnp.bfloat16), "places": places.astype(narrow)}


def spread(
    parts: dict[str, jax.Array],
    size: int,
    like: jax.ShapeDtypeStruct,
) -> jax.Array:
    """Blocks with elements at their places, and zeros elsewhere."""
    values, places = parts["values"].astype(like.dtype), parts["places"].astype(jnp.int32)
    zeros = jnp.zeros((values.shape[0], size), like.dtype)
    return jnp.put_along_axis(
        zeros,
        places,
        values,
        1,
        inplace=False,
    )


def cosines(size: int) -> np.ndarray:
    """The orthonormal cosine transform, a cosine a row."""
    places, waves = np.arange(size) + 0.5, np.arange(size)
    turned = np.cos(np.pi / size * waves[:, None] * places) * np.sqrt(2 / size)
    turned[0] /= np.sqrt(2)
    return turned


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(
        a,
        b,
        precision=lax.Precision.HIGHEST,
    )
