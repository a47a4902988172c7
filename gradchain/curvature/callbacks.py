"""What a compiled loop tells the host."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

_CALLBACKS: dict[int, Callable] = {}  # by number, so that another one does not compile the loop again
_NUMBERS = itertools.count(1)


@contextlib.contextmanager
def registered(callback: Callable | None, *, forever: bool) -> Iterator[int]:
    """The number of a callback; ``forever``: for a loop that is being traced and runs later."""
    number = next(_NUMBERS)
    if callback is not None:
        _CALLBACKS[number] = callback
    try:
        yield number
    finally:
        if not forever:
            _CALLBACKS.pop(number, None)


def tell_host(number: Any, told: dict) -> jax.Array:
    """Call a registered callback; whether it wants the loop to stop."""

    def call(number: Any, told: dict) -> Any:
        callback = _CALLBACKS[int(number)]
        plain = {k: x.item() if k != "params" and np.ndim(x) == 0 else x for k, x in told.items()}
        return np.asarray(bool(callback(plain)))

    return io_callback(call, jax.ShapeDtypeStruct((), jnp.bool_), number, told)
