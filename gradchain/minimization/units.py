"""Parameters in units of their own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.types import Params, Tree
from gradchain.minimization.callbacks import Callback, check_callback
from gradchain.minimization.implicit import Data
from gradchain.numerics.arithmetic import power_of_two
from gradchain.searches.bounds import Bounds, as_bounds, numbers_like
from gradchain.tree.mapping import is_traced, map_leaves
from gradchain.tree.paths import named_leaves


@dataclasses.dataclass(frozen=True)
class InUnits:
    """A function of parameters that are given in units.

    Two of the same function are equal, so that nothing is compiled twice.

    Attributes:
        fun: a function of the parameters.
        place: how many arguments stand before the parameters.
    """

    fun: Callable[..., Tree]
    place: int

    def __call__(self, *args: Tree, parameter_units: Params, **named: Tree) -> Tree:
        """The function at the parameters themselves."""
        before, (params, *after) = args[: self.place], args[self.place :]
        return self.fun(*before, times(params, parameter_units), *after, **named)


def in_units(fun: Callable[..., Tree], units: Params) -> Callable[..., Tree]:
    """Let ``fun`` take its parameters in units.

    The units are data, so that for others nothing is compiled again.
    """
    if isinstance(fun, functools.partial):
        new = InUnits(fun.func, len(fun.args))
        return functools.partial(new, *fun.args, **fun.keywords, parameter_units=units)
    return functools.partial(InUnits(fun, 0), parameter_units=units)


def as_units(caller: str, x_scale: Tree, x0: Params) -> Params:
    """Scales as a tree of powers of two.

    To multiply by them changes no digit.

    Raises:
        ValueError: if the scales do not fit the parameters, or one is not a number above 0.
    """
    full = numbers_like(f"{caller}: x_scale", x_scale, x0, 1.0)
    for path, x in named_leaves(full):
        if x is not None and not is_traced([x]) and not np.all((x > 0) & np.isfinite(x)):
            where = f" at {path!r}" if path else ""
            raise ValueError(
                f"{caller}: x_scale{where} is {np.asarray(x).tolist()!r}. Scales are the sizes that"
                " parameters typically have, finite numbers above 0."
            )
    return jax.tree.map(power_of_two, full)


def times(params: Params, units: Params) -> Params:
    """Parameters in units, as numbers."""
    return map_leaves(jnp.multiply, params, units)


def over(params: Params, units: Params) -> Params:
    """Parameters as numbers, in units."""
    return map_leaves(jnp.divide, params, units)


def bounds_in_units(
    caller: str, bounds: tuple[Tree, Tree] | None, x0: Params, units: Params
) -> Bounds:
    """Bounds as numbers, in units; ``None`` stays ``None``."""
    full = as_bounds(caller, bounds, x0)
    return None if full is None else (over(full[0], units), over(full[1], units))


def history_in_numbers(history: dict[str, Tree] | None, units: Params) -> dict[str, Tree] | None:
    """A history with its points as numbers."""
    if history is None or "params" not in history:
        return history
    points = jax.tree.map(lambda x, unit: x * unit[None], history["params"], units)
    return history | {"params": points}


def drop_named(data: Data, name: str) -> tuple[Data, Tree]:
    """Data without a named argument, and that argument."""
    args, first, named = data
    others = {k: x for k, x in named.items() if k != name}
    return (args, first, others), named[name]


def callback_in_units(caller: str, callback: Callback | None, units: Params) -> Callback | None:
    """A callback that is told of the parameters themselves."""
    check_callback(caller, callback)
    if callback is None:
        return None

    def call(told: dict[str, Any]) -> bool:
        params = jax.tree.map(np.multiply, told["params"], known)
        return bool(callback(told | {"params": params}))

    known = jax.tree.map(np.asarray, units)
    return call
