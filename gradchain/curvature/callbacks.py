"""What a compiled loop tells the host."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_CALLBACKS: dict[int, Callable] = {}  # by number, so that another one does not compile the loop again
_NUMBERS = itertools.count(1)


@contextlib.contextmanager
def registered(callback: Callable | None, *, forever: bool) -> Iterator[int]:
    """The number of a callback, until the block ends; what it raises is raised there.

    Args:
        callback: from a dict to whether to stop, or ``None``.
        forever: for a loop that is being traced and runs later: then the callback is kept, and what it raises is an
            error of the program.
    """
    if callback is None:
        yield 0
        return
    number, raised = next(_NUMBERS), []

    def call(told: dict) -> Any:
        try:
            return callback(told)
        except BaseException as error:  # an interrupt as well: it ends the loop, which cannot be left in between
            raised.append(error)
            return True

    _CALLBACKS[number] = callback if forever else call
    try:
        yield number
    finally:
        if not forever:
            del _CALLBACKS[number]
    if raised:
        raise raised[0]


def tell_host(number: Any, is_told: Any, told: dict) -> jax.Array:
    """Call a registered callback, if a traced bool holds; whether it wants the loop to stop.

    Under ``vmap`` both branches of a condition are computed, so that it is asked here. The loop depends on the answer,
    so that no call is left out.
    """

    def call(number: Any, is_told: Any, told: dict) -> Any:
        if not is_told:
            return np.asarray(False)
        told = jax.tree.map(np.asarray, told)
        plain = {k: x.item() if k != "params" else x for k, x in told.items()}
        return np.asarray(bool(_CALLBACKS[int(number)](plain)))

    out = jax.ShapeDtypeStruct((), jnp.bool_)
    return jax.pure_callback(call, out, number, is_told, told, vmap_method="sequential")
