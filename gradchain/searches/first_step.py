"""Lengths of steps that nothing before them gives one.

They are in units of the parameters, whatever these and those of the loss are: with both scaled by
powers of two the steps are the same, scaled.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.types import Numeric, Params, Updates
from gradchain.numerics.arithmetic import safe_divide
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import largest_in, scaled_norm


def typical_length(params: Params, grad: Updates, value: Numeric | None = None) -> jax.Array:
    r"""How long parameters are, in their own units.

    It is the largest magnitude in them, of complex ones in a real or imaginary part. Where all are
    0 it is the length :math:`2 |f| / \lVert g \rVert` at which a parabola from the present slope
    has its minimum, if that is 0; and 1 without a value and a slope.

    Args:
        params: the parameters :math:`p`.
        grad: the gradient :math:`g` there.
        value: the loss :math:`f` there, if it is known.
    """
    size = largest_in(map_leaves(_sizes, params))
    fall = _length_of_fall(grad, value)
    fall = jnp.where(jnp.isfinite(fall), fall, 1.0).astype(size.dtype)
    return jnp.where((size > 0) & jnp.isfinite(size), size, fall)


def first_length(params: Params, grad: Updates, value: Numeric | None = None) -> jax.Array:
    r"""The length of a first step along the gradient.

    It is ``typical_length``, and no more than :math:`2 |f| / \lVert g \rVert`, where the loss is
    known and not 0: near a minimum of about 0 steps are short.

    Args:
        params: see there.
        grad: see there.
        value: see there.

    Source: for the second length Fletcher, "Practical Methods of Optimization", 1987, section 2.6.
    """
    typical = typical_length(params, grad, value)
    return jnp.minimum(typical, _length_of_fall(grad, value).astype(typical.dtype))


def _sizes(x: jax.Array) -> jax.Array:
    """Magnitudes; a complex number is two real ones."""
    if jnp.iscomplexobj(x):
        return jnp.maximum(jnp.abs(x.real), jnp.abs(x.imag))
    return jnp.abs(x)


def _length_of_fall(grad: Updates, value: Numeric | None) -> jax.Array:
    """How far a parabola from the slope falls to 0."""
    length = scaled_norm(grad)
    if value is None:
        return jnp.full_like(length, jnp.inf)
    fall = safe_divide(2 * jnp.abs(jnp.asarray(value, length.dtype)), length)
    is_known = (fall > 0) & jnp.isfinite(fall)
    return jnp.where(is_known, fall, jnp.inf)
