"""Arrays in blocks that share a scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.types import Shape
from gradchain.numerics.arithmetic import compute_dtype, safe_divide
from gradchain.numerics.splits import shards_along, split_like, whole_along
from gradchain.precision.casts import one_of_two

#: Along a shorter last dimension blocks would be small, and scales many.
LEAST = 64


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How an array is parted along one dimension.

    Attributes:
        axis: the dimension.
        length: its length.
        size: the length of a block; the last one may be shorter.
    """

    axis: int
    length: int
    size: int

    @classmethod
    def of(cls, shape: Shape, size: int | None, axis: int | None) -> Blocks:
        """The blocks of an array.

        Args:
            shape: that of the array.
            size: the length of a block; ``None`` for one along the whole dimension.
            axis: the dimension; ``None`` for the last, or the longest where the last is short.

        Raises:
            ValueError: if there is no such dimension.
        """
        if axis is None:
            longest = max(range(len(shape)), key=lambda i: (shape[i], i))
            axis = len(shape) - 1 if shape[-1] >= LEAST else longest
        if not -len(shape) <= axis < len(shape):
            raise ValueError(
                f"storage: blocks along axis {axis} need an array that has it, not one of shape"
                f" {list(shape)}. Choose a codec by slot and path, or leave axis=None."
            )
        length = shape[axis]
        return cls(axis % len(shape), length, max(min(size or length, length), 1))

    @property
    def number(self) -> int:
        """How many there are along the dimension."""
        return -(-self.length // self.size)

    def open(self, x: jax.Array) -> jax.Array:
        """The array with each block along the last dimension.

        In the rest of the last one are zeros.
        """
        rest = self.number * self.size - self.length
        if rest or self.number % shards_along(x, self.axis):  # no whole blocks on each device
            x = whole_along(x, (self.axis,))
        x = jnp.moveaxis(x, self.axis, -1)
        if rest:
            x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, rest)])
        return x.reshape(*x.shape[:-1], self.number, self.size)

    def close(self, x: jax.Array) -> jax.Array:
        """The array whose blocks are ``x``."""
        x = x.reshape(*x.shape[:-2], self.number * self.size)[..., : self.length]
        return jnp.moveaxis(x, -1, self.axis)


def blockwise(
    block: int | None,
    axis: int | None,
    to_code: Callable[[jax.Array], jax.Array],
    from_code: Callable[[jax.Array], jax.Array],
    dtype: Any,
    bits: int = 8,
    *,
    keeps_least: bool = False,
) -> tuple[Callable[..., Any], Callable[..., jax.Array]]:
    """A codec of shares of each block's largest.

    Args:
        block: the length of a block, along dimension ``axis``; see ``Blocks.of``.
        axis: that dimension.
        to_code: makes codes of shares in [-1, 1], before they are rounded.
        from_code: makes shares of codes.
        dtype: that of codes, of integers or floats.
        bits: those of a code; two codes of four stand in one byte.
        keeps_least: whether what is above zero has a code above zero.
    """
    is_whole = not jnp.issubdtype(dtype, jnp.floating)

    def encode(x: jax.Array, key: jax.Array | None) -> dict[str, jax.Array]:
        x = jnp.atleast_1d(x)
        blocks = Blocks.of(x.shape, block, axis)
        own = blocks.open(x.astype(compute_dtype(x.dtype)))
        scales = jnp.max(jnp.abs(own), -1, keepdims=True)
        # The compiler multiplies by reciprocals, and those of huge numbers are zero.
        down = jnp.where(scales > 1, 2.0**-32, 1.0).astype(own.dtype)
        shares = safe_divide(own * down, scales * down)
        codes = to_code(shares)
        if is_whole:
            codes = rounded(codes, shares, from_code, key)
        elif key is not None:
            codes = one_of_two(codes, jnp.dtype(dtype), key)
        codes = jnp.maximum(codes, (shares > 0).astype(codes.dtype)) if keeps_least else codes
        codes = blocks.close(codes.astype(dtype))
        codes = split_like(_packed(codes, blocks.axis) if bits == 4 else codes, x)
        # What is not finite is seen in all that it may have spoiled.
        scales = jnp.where(jnp.isfinite(scales), scales, jnp.nan)
        return {"codes": codes, "scales": jnp.moveaxis(scales[..., 0], -1, blocks.axis)}

    def decode(parts: dict[str, jax.Array], like: jax.ShapeDtypeStruct) -> jax.Array:
        shape = like.shape or (1,)
        blocks = Blocks.of(shape, block, axis)
        codes, scales = parts["codes"], jnp.moveaxis(parts["scales"], blocks.axis, -1)
        if bits == 4:
            codes = _unpacked(codes, blocks.axis, blocks.length)
        shares = from_code(blocks.open(codes)).astype(like.dtype)
        made = blocks.close(shares * scales[..., None].astype(like.dtype))
        return split_like(made, parts["codes"]).reshape(like.shape)

    return encode, decode


def rounded(
    code: jax.Array,
    share: jax.Array,
    from_code: Callable[[jax.Array], jax.Array],
    key: jax.Array | None,
) -> jax.Array:
    """To whole numbers, the nearest or one by chance.

    By chance it is one of the two around ``code``, such that ``share`` is right on average.
    """
    if key is None:
        return jnp.round(code)
    low = jnp.floor(code)
    below, above = (from_code(x).astype(share.dtype) for x in (low, low + 1))
    part = safe_divide(share - below, above - below)
    is_above = jax.random.uniform(key, share.shape, share.dtype) < part
    return low + is_above.astype(low.dtype)


def _packed(codes: jax.Array, axis: int) -> jax.Array:
    """Codes of -8 to 7, two in a byte.

    The first half of the dimension is in the lower bits, the second in the upper ones.
    """
    codes = jnp.moveaxis(whole_along(codes, (axis,)), axis, -1).astype(jnp.uint8) & 15
    half = -(-codes.shape[-1] // 2)
    high = codes[..., half:]
    short = [(0, 0)] * (codes.ndim - 1) + [(0, 2 * half - codes.shape[-1])]
    return jnp.moveaxis(codes[..., :half] | (jnp.pad(high, short) << 4), -1, axis)


def _unpacked(packed: jax.Array, axis: int, length: int) -> jax.Array:
    """The codes of bytes, as integers of -8 to 7."""
    packed = jnp.moveaxis(whole_along(packed, (axis,)), axis, -1)
    codes = jnp.concatenate([packed & 15, packed >> 4], -1)[..., :length].astype(jnp.int8)
    return jnp.moveaxis(jnp.where(codes > 7, codes - 16, codes), -1, axis)
