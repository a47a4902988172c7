"""How far a minimization has come, in its own units."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core.types import Numeric, Params, State, Tree
from gradchain.curvature.vectors import to_vector
from gradchain.searches.search import where_tree
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.norms import largest_in

FAR = 1e8  # from the start, as a multiple of its size, where a value falls without bound

# A gradient at a minimum is about as small as rounding of the value hides; at a kink it is not.
SLACK = 10.0


class Height(NamedTuple):
    """Value and norm of the gradient at a point."""

    value: jax.Array
    grad_norm: jax.Array


class Descent(NamedTuple):
    """The scales that a minimization has met on its way."""

    first: Height  # at the start
    length: jax.Array  # the largest parameter there; 1 at least
    depth: jax.Array  # the magnitude of the value there, or its fall along that length
    steepness: jax.Array  # the largest gradient per root of the decrease that its step brought


def started(height: Height, params: Params) -> Descent:
    """The descent at its start."""
    length = jnp.maximum(largest_in(params).astype(height.value.dtype), 1.0)
    depth = jnp.maximum(jnp.abs(height.value), length * height.grad_norm)
    return Descent(height, length, depth, jnp.zeros_like(depth))


def continued(
    descent: Descent, last: Height, now: Height, params: Params, is_first: jax.Array
) -> Descent:
    """The descent after a step, or at its start.

    Only steps count that brought a hundredth of the whole decrease, and more than rounding: short
    ones at a kink have steep gradients and small decreases.
    """
    decrease = last.value - now.value
    whole = descent.first.value - now.value
    noise = 1e3 * jnp.finfo(decrease.dtype).eps * jnp.abs(last.value)
    counts = (decrease >= 0.01 * whole) & (decrease > noise)
    steepness = last.grad_norm / jnp.sqrt(jnp.where(counts, decrease, 1.0))
    steepness = jnp.where(counts, steepness, 0.0)
    old = descent._replace(steepness=jnp.maximum(descent.steepness, steepness))
    return where_tree(is_first, started(now, params), old)


def has_flattened(descent: Descent, now: Height, least: Numeric) -> jax.Array:
    r"""Whether the gradient has fallen as at a minimum.

    On a parabola :math:`\lVert g \rVert^2` is in proportion to the height above the minimum. So
    where this height is no more than ``least`` times the value, the gradient is small too, in the
    proportion of a step that brought much; at a kink it stays large. Without such a step nothing
    is known, and it holds.
    """
    rounding = 2 * jnp.finfo(now.value.dtype).eps
    noise = jnp.sqrt(jnp.maximum(least, rounding)) * jnp.sqrt(jnp.abs(now.value))
    is_small = now.grad_norm <= SLACK * descent.steepness * noise
    return is_small | (descent.steepness == 0)


def is_endless(
    descent: Descent, base: Params, last: Height, params: Params, now: Height
) -> jax.Array:
    """Whether the value falls without bound.

    It does if one step, or all together, went a hundred million times as far as parameters and
    value are large, to where it is as steep as before.

    Args:
        descent: the descent up to this step.
        base: where the step began.
        last: value and norm of the gradient there.
        params: where it ended.
        now: value and norm of the gradient there.
    """
    moved = largest_in(map_leaves(jnp.subtract, params, base))
    in_one = moved > FAR * jnp.maximum(descent.length, largest_in(base))
    in_one &= now.value < -FAR * jnp.maximum(descent.depth, jnp.abs(last.value))
    in_one &= now.grad_norm > 0.99 * last.grad_norm
    return in_one | is_far_below(descent, params, now)


def is_far_below(descent: Descent, params: Params, now: Height) -> jax.Array:
    """Whether all steps together went as far downhill."""
    is_far = largest_in(params).astype(descent.length.dtype) > FAR * descent.length
    is_deep = now.value < -FAR * descent.depth
    return is_far & is_deep & (now.grad_norm > 0.999 * descent.first.grad_norm)


def is_better(now: Height, best: Height) -> jax.Array:
    """Whether a point is better than the best so far.

    Its value is lower, or no higher than rounding makes it and the gradient smaller.
    """
    noise = 4 * jnp.finfo(now.value.dtype).eps * jnp.abs(best.value)
    noise = jnp.where(jnp.isfinite(noise), noise, 0.0)
    top = best.value + noise
    is_level = (now.value <= top) & (now.grad_norm < best.grad_norm)
    is_lower = (now.value < best.value) & jnp.isfinite(now.grad_norm)
    return jnp.isfinite(now.value) & (is_lower | is_level)


def all_equal(a: Tree, b: Tree) -> jax.Array:
    """Whether two trees hold the same numbers."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    same = [jnp.all(x == y) for x, y in pairs]
    return jnp.all(jnp.stack(same)) if same else jnp.array(True)


def rounding_of(params: Params) -> float:
    """The relative rounding of the coarsest parameters."""
    return max((float(jnp.finfo(x.dtype).eps) for x in jax.tree.leaves(params)), default=0.0)


def is_growing(entry: State, before: State) -> jax.Array:
    """Whether a radius lets the next step be longer."""
    if "radius" not in entry:
        return jnp.array(False)
    moved, update = map_leaves(jnp.subtract, entry["kept"], before["base"]), entry["update"]
    if "scales" in entry:  # of each parameter, so that their units do not matter
        scales, update, moved = (
            to_vector(upcast(x))[0] for x in (entry["scales"], update, moved)
        )
        update, moved = scales * update, scales * moved
    return largest_in(update) > 1.5 * largest_in(moved)
