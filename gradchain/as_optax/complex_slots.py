"""Slots in complex numbers, whatever their parameters are."""

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.types import Dtype
from gradchain.precision.codec import codec


@codec(takes_complex=True)
def as_complex(dtype: str) -> tuple[Any, Any]:
    """Keep elements as complex numbers.

    Args:
        dtype: the name of their dtype.
    """

    def encode(x: jax.Array, key: jax.Array | None) -> jax.Array:
        return x.astype(dtype)

    def decode(kept: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
        is_complex = jnp.issubdtype(like.dtype, jnp.complexfloating)
        return kept if is_complex else kept.real

    return encode, decode


def codec_for(dtype: Dtype) -> Any:
    """How ``storage`` is told a dtype."""
    name = jnp.dtype(dtype).name
    return as_complex(name) if jnp.issubdtype(dtype, jnp.complexfloating) else name
