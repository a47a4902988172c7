"""Steps that stay in a box of bounds, for methods that make them from a model of the loss."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.trees import map_leaves


def free_part(tree: Any, p: Any, grad: Any, bounds: Any) -> Any:
    """A tree like the parameters ``p``, with zeros where a bound holds a parameter against the gradient."""
    if bounds is None:
        return tree

    def free(x: jax.Array, p: jax.Array, g: jax.Array, low: Any, high: Any) -> jax.Array:
        low, high = _like(low, p), _like(high, p)
        return jnp.where(((p <= low) & (g > 0)) | ((p >= high) & (g < 0)), jnp.zeros_like(x), x)

    return map_leaves(free, tree, p, grad, *bounds)


def cut(u: Any, p: Any, bounds: Any) -> Any:
    """As much of a step ``u`` from ``p`` as stays in the box, parameter by parameter."""
    if bounds is None:
        return u
    stay = lambda u, p, low, high: jnp.clip(p + u, _like(low, p), _like(high, p)) - p
    return map_leaves(stay, u, p, *bounds)


def _like(bound: Any, p: jax.Array) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(bound).astype(p.dtype), p.shape)
