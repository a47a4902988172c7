"""Casts: slots in a dtype of their own."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.precision.codec import codec

DTYPES = ("float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")


@codec
def cast(dtype: str):
    """Keep a slot in a dtype.

    What is too large becomes the largest finite number, an infinity stays one.

    Args:
        dtype: its name: ``"float32"``, ``"bfloat16"``, ``"float16"``, ``"float8_e4m3fn"`` or
            ``"float8_e5m2"``.

    Raises:
        ValueError: if it is another.

    Example:
        >>> print(cast("float16").encode(jnp.array([1e-3, 1e9])))
        [1.00e-03 6.55e+04]
    """
    check_one_of("cast", DTYPES, dtype=dtype)
    narrow = jnp.dtype(dtype)
    largest = float(jnp.finfo(narrow).max)

    def encode(x, key):
        if largest < float(jnp.finfo(x.dtype).max):
            x = jnp.where(
                jnp.isfinite(x),
                jnp.clip(x, -largest, largest),
                x,
            )
        if key is None or jnp.finfo(x.dtype).nmant <= jnp.finfo(narrow).nmant:
            return x.astype(narrow)
        if dtype == "bfloat16":
            return stochastic_bfloat16(x.astype(jnp.float32), key)
        return one_of_two(x, narrow, key)

    return encode, lambda parts, like: parts.astype(like.dtype)


def stochastic_bfloat16(x: jax.Array, key: jax.Array) -> jax.Array:
    """Round float32 to bfloat16, by chance, right on average."""
    # Beyond the sixteen bits that are cut off, a random number of sixteen bits carries as often as
    # they say.
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    noise = jax.random.bits(
        key,
        x.shape,
        jnp.uint16,
    ).astype(jnp.uint32)
    cut = (bits + noise) & jnp.uint32(0xFFFF0000)
    made = jax.lax.bitcast_convert_type(cut, jnp.float32)
    largest = float(jnp.finfo(jnp.bfloat16).max)
    made = jnp.where(
        jnp.isfinite(x),
        jnp.clip(made, -largest, largest),
        x,
    )
    return made.astype(jnp.bfloat16)


def one_of_two(x: jax.Array, narrow: jnp.dtype, key: jax.Array) -> jax.Array:
    """Round to a neighbour in a narrow dtype.

    It is by chance, right on average. What is not finite stays, and no finite number may be beyond
    the largest.
    """
    near = x.astype(narrow)
    wide = near.astype(x.dtype)
    error = x - wide
    bits = jax.lax.bitcast_convert_type(near, f"uint{8 * narrow.itemsize}")
    # Patterns of bits grow with magnitudes.
    by_one = (error != 0).astype(bits.dtype)
    beside = jnp.where(
        jnp.abs(x) > jnp.abs(wide),
        bits + by_one,
        bits - by_one,
    )
    other = jax.lax.bitcast_convert_type(beside, narrow)
    gap = jnp.abs(other.astype(x.dtype) - wide)
    is_other = jax.random.uniform(
        key,
        x.shape,
        x.dtype,
    ) * gap < jnp.abs(error)
    return jnp.where(is_other, other, near)
