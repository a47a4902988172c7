"""Bounds on parameters, and gradients at the bounds."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradchain.core.advice import brief
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Params, State, Tree, Updates
from gradchain.numerics.arithmetic import cast
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import path_name
from gradchain.tree.prefixes import spread

Bounds: TypeAlias = tuple[Params, Params] | None
"""Lower and upper bounds, two trees like the parameters; ``None`` if there are none."""


def as_bounds(caller: str, bounds: tuple[Tree, Tree] | None, params: Params) -> Bounds:
    """Bounds as two trees like ``params``.

    ``None`` stays ``None``.

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
    pairs = _pairs_of_scipy(bounds) if jax.tree_util.all_leaves([params]) else ""
    pairs = pairs or _pairs_by_name(bounds)
    if not isinstance(bounds, tuple) or len(bounds) != 2 or pairs:
        raise ValueError(
            f"{caller}: bounds are a pair (lower, upper) of numbers or trees, not"
            f" {brief(bounds)}.{pairs}"
        )
    if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(params)):
        raise TypeError(
            f"{caller}: complex parameters have no order, so there can be no bounds on them."
        )
    low, high = bounds
    lower = numbers_like(f"{caller}: the lower bound", low, params, -jnp.inf)
    return lower, numbers_like(f"{caller}: the upper bound", high, params, jnp.inf)


def _pairs_of_scipy(bounds: Any) -> str:
    """The bounds that are meant by pairs as in SciPy."""
    lower, upper = [], []
    for pair in bounds if isinstance(bounds, tuple | list) else ():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            return ""
        if not all(x is None or isinstance(x, int | float) for x in pair):
            return ""
        low, high = pair
        lower.append("-jnp.inf" if low is None else str(float(low)))
        upper.append("jnp.inf" if high is None else str(float(high)))
    if not lower:
        return ""
    arrays = [f"jnp.array([{', '.join(row)}])" for row in (lower, upper)]
    return f" SciPy's pairs are here ({', '.join(arrays)})."


def _pairs_by_name(bounds: Any) -> str:
    """The bounds that are meant by a dict of pairs."""
    if not isinstance(bounds, dict) or not bounds:
        return ""
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in bounds.values()):
        return ""
    lower, upper = ({name: pair[i] for name, pair in bounds.items()} for i in (0, 1))
    return f" These are ({brief(lower)}, {brief(upper)}), with a number or None for every name."


def numbers_like(noun: str, given: Tree, params: Params, fill: float) -> Params:
    """A real number for each parameter, from a prefix.

    Args:
        noun: the name of the prefix, which begins an error.
        given: the prefix, of numbers and arrays; ``None`` stands for ``fill``.
        params: a tree of arrays.
        fill: the number where nothing is given.

    Raises:
        ValueError: naming the place, if the prefix or the shape of an array does not fit.
        TypeError: naming the place, if something is no number.
    """
    is_none = lambda x: x is None
    full = jax.tree.map(lambda x: fill if x is None else x, given, is_leaf=is_none)
    full = spread(noun, full, params, "None")

    def number(path: tuple[Any, ...], p: jax.Array, x: ArrayLike) -> jax.Array:
        where = f"{noun} at {path_name(path)!r}" if path else noun
        dtype = jnp.finfo(p.dtype).dtype
        try:
            x = jnp.asarray(x, dtype)
        except (TypeError, ValueError):
            text = f"{where} must be a number or an array, not {brief(x)}."
            raise TypeError(text) from None
        if x.shape in ((), p.shape):
            return jnp.broadcast_to(x, p.shape)
        own, others = list(x.shape), list(p.shape)
        raise ValueError(
            f"{where} has shape {own}, the parameters there {others}: it is one number or an array"
            " like them."
        )

    return jax.tree.map_with_path(number, params, full)


def is_infeasible(bounds: Bounds) -> jax.Array:
    """Whether a lower bound exceeds its upper, or is NaN."""
    if bounds is None:
        return jnp.array(False)
    pairs = zip(*map(jax.tree.leaves, bounds), strict=True)
    wrong = [jnp.any(~(low <= high)) for low, high in pairs]
    return jnp.any(jnp.stack(wrong)) if wrong else jnp.array(False)


def projected(params: Params, bounds: Bounds) -> Params:
    """The point of the box that is next to ``params``."""
    if bounds is None:
        return params
    return map_leaves(jnp.clip, params, *in_dtypes_of(params, bounds))


def free_part(tree: Updates, params: Params, grad: Updates, bounds: Bounds) -> Updates:
    """Set to zero where a bound holds a parameter.

    It holds a parameter that stands on it and that the negative gradient pushes out of the box.
    """
    if bounds is None:
        return tree

    def free(
        x: jax.Array, p: jax.Array, g: jax.Array, low: jax.Array, high: jax.Array
    ) -> jax.Array:
        is_held = ((p <= low) & (g > 0)) | ((p >= high) & (g < 0))
        return jnp.where(is_held, jnp.zeros_like(x), x)

    return map_leaves(free, tree, params, grad, *in_dtypes_of(params, bounds))


def stands_at_bound(params: Params, bounds: tuple[Params, Params]) -> Tree:
    """Which parameters stand at a bound."""
    stands = lambda p, low, high: (p <= low) | (p >= high)
    return map_leaves(stands, params, *in_dtypes_of(params, bounds))


def cut(u: Updates, params: Params, bounds: Bounds) -> Updates:
    """Cut a step at the bounds, parameter by parameter."""
    if bounds is None:
        return u
    stay = lambda u, p, low, high: jnp.clip(p + u, low, high) - p
    return map_leaves(stay, u, params, *in_dtypes_of(params, bounds))


def projected_gradient(grad: Updates, params: Params, bounds: Bounds) -> Updates:
    """The projected gradient, ``p - clip(p - g)``.

    It says how far a step along the negative gradient goes before it leaves the box. Gradients that
    stay inside are as they are: added to the parameters small ones would be rounded away.
    """
    if bounds is None:
        return grad
    within = lambda g, p, low, high: jnp.clip(g, p - high, p - low)
    return map_leaves(within, grad, params, *in_dtypes_of(params, bounds))


def in_dtypes_of(
    params: Params,
    bounds: tuple[Params, Params],
) -> tuple[Params, Params]:
    """Bounds in the dtypes of ``params``.

    These may be wider than the dtypes that the bounds were given in.
    """
    fit = lambda p, b: cast(jnp.asarray(b), p.dtype)
    low, high = bounds
    return map_leaves(fit, params, low), map_leaves(fit, params, high)


def off_bounds(grad: Updates, params: Params, bounds: Bounds) -> Updates:
    """Set to zero where a bound is in the way.

    It is so up to rounding. Unlike the projected gradient it does not compare gradients with
    parameters.
    """
    if bounds is None:
        return grad

    def off(g: jax.Array, p: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
        rounding = 8 * jnp.finfo(p.dtype).eps * jnp.abs(p)
        is_held = ((p - low <= rounding) & (g > 0)) | ((high - p <= rounding) & (g < 0))
        return jnp.where(is_held, jnp.zeros_like(g), g)

    return map_leaves(off, grad, params, *in_dtypes_of(params, bounds))


def kept_in_box(tx: GradientTransformation) -> GradientTransformation:
    """Keep the direction of a search off the bounds.

    Parameters that their bounds hold stay there. The chain has to end in a search.
    """

    def hold(
        updates: Updates,
        state: State,
        params: Params,
        *,
        bounds: tuple[Params, Params],
        grad: Updates,
    ) -> tuple[Updates, State]:
        # The gradient of those that are held is zero: ``free_part`` has seen to that.
        stays = lambda p, g, low, high: ((p <= low) | (p >= high)) & (g == 0)
        free = lambda u, *at: jnp.where(stays(*at), jnp.zeros_like(u), u)
        low, high = in_dtypes_of(params, bounds)
        return map_leaves(free, updates, params, grad, low, high), state

    *others, search = tx.members.values()
    return chain(*others, GradientTransformation(lambda params: {}, hold), search)
