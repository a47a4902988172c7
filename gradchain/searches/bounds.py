"""Boxes: bounds on parameters, and what stays of a gradient at them."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Params, State, Tree, Updates
from gradchain.numerics.arithmetic import cast
from gradchain.tree.mapping import map_leaves

Bounds: TypeAlias = tuple[Params, Params] | None
"""Lower and upper bounds, two trees like the parameters; ``None`` if there are none."""


def as_bounds(caller: str, bounds: Any, params: Any) -> Any:
    """The bounds of each parameter, two trees like ``params``; ``None`` if there are none.

    Args:
        caller: the function that errors name.
        bounds: ``(lower, upper)``, each a number, ``None``, or a tree that may be a prefix of
            ``params``.
        params: a tree of real arrays.

    Raises:
        ValueError: if the bounds are no pair, or do not fit the parameters.
        TypeError: for complex parameters, which have no order.
    """
    if bounds is None:
        return None
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        raise ValueError(
            f"{caller}: bounds are a pair (lower, upper) of numbers or trees, not {bounds!r}."
        )
    if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(params)):
        raise TypeError(
            f"{caller}: complex parameters have no order, so there can be no bounds on them."
        )
    return tuple(
        _per_leaf(caller, b, params, fill)
        for b, fill in zip(bounds, (-jnp.inf, jnp.inf), strict=True)
    )


def _per_leaf(caller: str, bound: Any, params: Any, fill: float) -> Any:
    full = jax.tree.map(lambda x: fill if x is None else x, bound, is_leaf=lambda x: x is None)
    try:
        full = jax.tree.broadcast(full, params)
        return jax.tree.map(_filled, params, full)
    except ValueError as error:
        raise ValueError(f"{caller}: the bounds do not fit the parameters: {error}") from None


def _filled(p: jax.Array, bound: Any) -> jax.Array:
    bound = jnp.asarray(bound, p.dtype)
    if bound.shape not in ((), p.shape):
        raise ValueError(f"one of shape {bound.shape} for parameters of shape {p.shape}.")
    return jnp.broadcast_to(bound, p.shape)


def is_infeasible(bounds: Any) -> jax.Array:
    """Whether any lower bound is above its upper bound, or is not a number."""
    if bounds is None:
        return jnp.array(False)
    wrong = [
        jnp.any(~(low <= high)) for low, high in zip(*map(jax.tree.leaves, bounds), strict=True)
    ]
    return jnp.any(jnp.stack(wrong)) if wrong else jnp.array(False)


def projected(params: Any, bounds: Any) -> Any:
    """The point of the box that is next to ``params``."""
    return params if bounds is None else map_leaves(jnp.clip, params, *in_dtypes_of(params, bounds))


def free_part(tree: Any, params: Any, grad: Any, bounds: Any) -> Any:
    """A tree like the parameters, with zeros where a bound holds a parameter against the gradient."""
    if bounds is None:
        return tree

    def free(
        x: jax.Array, p: jax.Array, g: jax.Array, low: jax.Array, high: jax.Array
    ) -> jax.Array:
        return jnp.where(((p <= low) & (g > 0)) | ((p >= high) & (g < 0)), jnp.zeros_like(x), x)

    return map_leaves(free, tree, params, grad, *in_dtypes_of(params, bounds))


def cut(u: Any, params: Any, bounds: Any) -> Any:
    """As much of a step as stays in the box, parameter by parameter."""
    if bounds is None:
        return u
    stay = lambda u, p, low, high: jnp.clip(p + u, low, high) - p
    return map_leaves(stay, u, params, *in_dtypes_of(params, bounds))


def projected_gradient(grad: Any, params: Any, bounds: Any) -> Any:
    """How far a step along the negative gradient goes before it is out of the box: ``p - clip(p -
    g)``.
    """
    return map_leaves(jnp.negative, cut(map_leaves(jnp.negative, grad), params, bounds))


def in_dtypes_of(params: Any, bounds: Any) -> Any:
    """Bounds in the dtypes of ``params``, which may be wider than those that they were given in."""
    return tuple(map_leaves(lambda p, b: cast(jnp.asarray(b), p.dtype), params, b) for b in bounds)


def kept_in_box(tx: GradientTransformation) -> GradientTransformation:
    """A chain that ends in a search, whose direction leaves parameters on the bounds that hold
    them.
    """

    def hold(updates: Any, state: Any, params: Any, *, bounds: Any, grad: Any) -> tuple[Any, Any]:
        stays = lambda p, g, low, high: (
            ((p <= low) | (p >= high)) & (g == 0)
        )  # as ``free_part`` leaves it
        free = lambda u, *at: jnp.where(stays(*at), jnp.zeros_like(u), u)
        return map_leaves(free, updates, params, grad, *in_dtypes_of(params, bounds)), state

    *others, search = tx.members.values()
    return chain(*others, GradientTransformation(lambda params: {}, hold), search)
