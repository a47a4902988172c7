"""What a compiled loop tells the host."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.tree.mapping import is_traced

_CALLBACKS: dict[
    int, Callable
] = {}  # by number, so that another one does not compile the loop again

_NUMBERS = itertools.count(1)


def with_callback(callback: Callable | None, solve: Callable[[int], Any]) -> Any:
    """``solve(number)``, where ``number`` is that of a callback; what this raises is raised here.

    Where all is being traced to run later, the callback is kept, and what it raises is an error of
    the program.

    Args:
        callback: from a dict to whether to stop, or ``None``.
        solve: from the number to arrays.
    """
    if callback is None:
        return solve(0)
    number, raised, kept = next(_NUMBERS), [], []

    def call(told: dict) -> Any:
        try:
            return callback(told)
        except (
            BaseException
        ) as error:  # an interrupt as well: it ends the loop, which cannot be left in between
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


def tell_host(number: Any, is_told: Any, told: dict) -> jax.Array:
    """Call a registered callback, if a traced bool holds; whether it wants the loop to stop.

    Under ``vmap`` both branches of a condition are computed, so that it is asked here. The loop
    depends on the answer, so that no call is left out.
    """

    def call(number: Any, is_told: Any, told: dict) -> Any:
        if not is_told:
            return np.asarray(False)
        told = jax.tree.map(np.asarray, told)
        plain = {k: x.item() if k != "params" else x for k, x in told.items()}
        return np.asarray(bool(_CALLBACKS[int(number)](plain)))

    out = jax.ShapeDtypeStruct((), jnp.bool_)
    return jax.pure_callback(call, out, number, is_told, told, vmap_method="sequential")
