"""Show the right call where arguments are missing, or too many."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gradchain.core.messages import quote

P = ParamSpec("P")
T = TypeVar("T")


def called_as(right: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function show its call where its arguments are not those.

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
    """What is wrong with the arguments of a call."""
    name, known = getattr(function, "__name__", "function"), inspect.signature(function).parameters
    by_place = [p for p in known.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    strange = [k for k in kwargs if k not in known]
    is_open = any(p.kind is p.VAR_KEYWORD for p in known.values())
    if strange and not is_open:
        return f"{name}: there is no argument {quote(strange)}."
    if len(args) > len(by_place):
        own = "self" in known
        taken, given = len(by_place) - own, len(args) - own
        return f"{name}: it takes {taken} by place, not {given}."
    if twice := [p.name for p in by_place[: len(args)] if p.name in kwargs]:
        return f"{name}: {quote(twice)} is given twice, by place and by name."
    left = [p.name for p in by_place[len(args) :] if p.default is p.empty and p.name not in kwargs]
    is_or_are = "is" if len(left) == 1 else "are"
    return f"{name}: {quote(left)} {is_or_are} missing."
