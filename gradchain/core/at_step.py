"""A function of the step, evaluated at one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.intervals import is_number


def value_at(where: str, function: Callable[[Any], Any], step: Any) -> Any:
    """The number that a function gives at a step.

    A condition counts as 0 or 1.

    Raises:
        TypeError: if it cannot be traced, takes no step, or gives no number.
        ValueError: if it gives more than one number.
    """
    of = lambda: f"{where}: the schedule {_named(function)}".removeprefix(": ")
    try:
        value = function(step)
    except Exception as error:
        explained = _explained(of(), function, error)
        raise explained from None if explained is error else error
    if not is_number(value):
        raise TypeError(f"{of()} must give a number at a step, not {value!r}.")
    if np.shape(value) not in ((), np.shape(step)):
        shape = list(np.shape(value))
        raise ValueError(f"{of()} must give one number at a step, not an array of shape {shape}.")
    is_condition = jnp.issubdtype(jnp.result_type(value), np.bool_)
    return jnp.asarray(value, jnp.result_type(float)) if is_condition else value


def _explained(of: str, function: Callable[[Any], Any], error: Exception) -> Exception:
    """A schedule's error, with its name and the way out."""
    if isinstance(error, RecursionError):  # the stack was full before
        return error
    if isinstance(error, jax.errors.JAXTypeError) or _is_used_as_key(error):
        return TypeError(
            f"{of} looks at the step's value in Python (if, math, NumPy, an index, a key), which a"
            " compiled program has not. Use jax.numpy, for example jnp.where(step < 10, 0.1, 0.01),"
            " or a schedule of gradchain.schedules."
        )
    if "the schedule " in str(error):  # of a schedule in it, which is named already
        return error
    if isinstance(error, TypeError) and not _takes_a_step(function):
        return TypeError(
            f"{of} must take one argument, the step: {error}. If it makes a schedule, call it."
        )
    kinds = (TypeError, ValueError, RuntimeError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), RuntimeError)
    return kind(f"{of} raises {type(error).__name__}: {error}")


def _is_used_as_key(error: Exception) -> bool:
    """Whether a dict or set was asked for the step."""
    return re.search(r"unhashable type: '[\w.]*(Tracer|Array)", str(error)) is not None


def _named(function: Callable[[Any], Any]) -> str:
    if (code := getattr(function, "__code__", None)) is None:
        return repr(function)
    return f"{function.__qualname__} ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def _takes_a_step(function: Callable[[Any], Any]) -> bool:
    try:
        inspect.signature(function).bind(0)
    except (TypeError, ValueError):
        return False
    return True
