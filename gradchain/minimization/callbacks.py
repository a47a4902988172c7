"""Calls of the host from within a compiled loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief
from gradchain.core.types import Numeric, Tree
from gradchain.tree.mapping import is_traced

Callback = Callable[[dict[str, Any]], Any]
"""A function of the numbers of a step; if it returns something true, the loop stops."""

# By number, so that another one does not compile the loop again.
_CALLBACKS: dict[int, Callback] = {}

_NUMBERS = itertools.count(1)


def check_callback(caller: str, callback: object) -> None:
    """Refuse a callback that cannot be called."""
    if not (callback is None or callable(callback)):
        raise TypeError(
            f"{caller}: callback must be a function of the dict of a step, or None, not"
            f" {brief(callback)}."
        )


def with_callback(callback: Callback | None, solve: Callable[[int], Tree]) -> Tree:
    """Return ``solve(number)``, with the number of a callback.

    Errors of the callback are raised here. Where all is being traced to run later, the callback is
    kept, and its errors are errors of the program.

    Args:
        callback: from a dict to whether to stop, or ``None``.
        solve: from the number to arrays.
    """
    if callback is None:
        return solve(0)
    number, raised, kept = next(_NUMBERS), [], []

    def call(told: dict[str, Any]) -> Any:
        try:
            return callback(told)
        except BaseException as error:
            # An interrupt as well: the loop cannot be left in between, so it is asked to stop.
            raised.append(error)
            if kept:
                raise
            return True

    _CALLBACKS[number] = call
    try:
        result = solve(number)
        if is_traced(jax.tree.leaves(result)):
            kept.append(number)
        else:
            jax.block_until_ready(result)
    finally:
        if not kept:
            del _CALLBACKS[number]
    if raised:
        raise raised[0]
    return result


def tell_host(number: Numeric, is_told: jax.Array, told: dict[str, Tree]) -> jax.Array:
    """Call a registered callback; return whether to stop.

    It is called if the traced bool ``is_told`` holds. Under ``vmap`` both branches of a condition
    are computed, so that it is asked here. The loop depends on the answer, so that no call is left
    out.
    """

    def call(number: np.ndarray, is_told: np.ndarray, told: Tree) -> np.ndarray:
        if not is_told:
            return np.asarray(False)
        told = jax.tree.map(np.asarray, told)
        plain = {k: x.item() if k != "params" else x for k, x in told.items()}
        return np.asarray(bool(_CALLBACKS[int(number)](plain)))

    out = jax.ShapeDtypeStruct((), jnp.bool_)
    return jax.pure_callback(call, out, number, is_told, told, vmap_method="sequential")
