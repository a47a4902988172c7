"""The shapes of a transformer of a given size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.types import Tree

VOCABULARY = 32_768  # words
SLENDERNESS = 100  # width over depth, as in published models of 1 to 70 billion parameters


def transformer_shapes(parameters: float, dtype: Any = "float32") -> Tree:
    r"""The shapes of a transformer of about so many parameters.

    With width :math:`d`, a multiple of 64, :math:`L \approx d / 100` layers and a vocabulary of
    :math:`V = 32768`, it has :math:`V d + L (12 d^2 + 2 d) + d` parameters: an embedding that the
    output shares, in each layer attention (:math:`4 d^2`), a feed-forward net (:math:`8 d^2`) and
    two norms, and a norm at the end. The layers are stacked, as ``jax.lax.scan`` takes them.

    Args:
        parameters: how many, ten million at least; the count found is within a few percent.
        dtype: that of all leaves.

    Raises:
        ValueError: if there are fewer.

    Example:
        >>> shapes = transformer_shapes(7e9, "bfloat16")
        >>> print(shapes["layers"]["up"])
        ShapeDtypeStruct(shape=(39, 3840, 15360), dtype=bfloat16)
    """
    if not 1e7 <= parameters < float("inf"):
        raise ValueError(
            f"transformer_shapes: parameters must be 10,000,000 or more, not {parameters!r}."
        )
    width = 64
    while 12 * (width + 64) ** 3 / SLENDERNESS + VOCABULARY * (width + 64) <= parameters:
        width += 64
    depth = max(
        round((parameters - VOCABULARY * width) / (12 * width**2)),
        1,
    )
    shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, jnp.dtype(dtype))
    layers = {
        "attention": shape(depth, width, 3 * width),
        "attention_out": shape(depth, width, width),
        "up": shape(depth, width, 4 * width),
        "down": shape(depth, 4 * width, width),
        "norms": shape(depth, 2, width),
    }
    return {"embedding": shape(VOCABULARY, width), "layers": layers, "norm": shape(width)}
