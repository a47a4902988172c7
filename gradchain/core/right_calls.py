"""Show the right call where arguments are wrong."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gradchain.core.messages import quote

P = ParamSpec("P")
T = TypeVar("T")


def called_as(right: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function show its call where arguments are wrong.

    A call that fits costs nothing more than one of Python.

    Args:
        right: the end of the error: a sentence with the right call.

    Example:
        >>> import gradchain as gc
        >>> gc.adam(1e-3).init()
        Traceback (most recent call last):
        TypeError: init: 'params' is missing. Call state = tx.init(params).
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                place = error.__traceback__
                if place is None or place.tb_next is not None:
                    raise  # from inside the function
                raise TypeError(f"{_fault(function, args, kwargs)} {right}") from None

        return call

    return decorate


def _fault(function: Callable[..., object], args: tuple, kwargs: dict[str, object]) -> str:
    """The fault of the arguments of a call."""
    parameters = inspect.signature(function).parameters
    kinds = inspect.Parameter
    by_place = []
    for p in parameters.values():
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD):
            by_place.append(p)
    is_method = "self" in parameters
    name = getattr(function, "__name__", "function")
    if len(args) > len(by_place):
        taken = len(by_place) - is_method
        given = len(args) - is_method
        return f"{name}: it takes {taken} by place, not {given}."
    strange = [k for k in kwargs if k not in parameters]
    is_open = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
    if strange and not is_open:
        return f"{name}: there is no argument {quote(strange)}."
    twice = [p.name for p in by_place[: len(args)] if p.name in kwargs]
    if twice:
        return f"{name}: {quote(twice)} is given twice, by place and by name."
    left = [p for p in by_place[len(args) :] if p.default is p.empty]
    missing = [p.name for p in left if p.name not in kwargs]
    is_or_are = "is" if len(missing) == 1 else "are"
    return f"{name}: {quote(missing)} {is_or_are} missing."
