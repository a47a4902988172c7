"""Whole floats for the integers of plain functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gradchain.core.advice import wrong_call
from gradchain.core.ranges import ArgumentKind

P = ParamSpec("P")
T = TypeVar("T")


def takes_whole_floats(function: Callable[P, T]) -> Callable[P, T]:
    """Let a plain function take whole floats as its integers."""
    signature = inspect.signature(function)
    kinds = ((p.name, ArgumentKind.of(p.annotation)) for p in signature.parameters.values())
    counts = {name: kind for name, kind in kinds if kind.is_count}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                wrong_call(
                    function.__name__,
                    signature,
                    error,
                    kwargs,
                )
            ) from None
        for name in counts.keys() & bound.arguments.keys():
            where = f"{function.__name__}: {name}"
            bound.arguments[name] = counts[name].admit(where, bound.arguments[name])
            counts[name].check(where, bound.arguments[name])
        return function(*bound.args, **bound.kwargs)

    return call
