"""Hyperparameters: numbers or functions of the step, and their ranges.

A factory says the range of an argument in its annotation, by a name or as an interval:
``b1: Decay``, ``eta: Annotated[Hyper, "(0, 0.25)"]``. Annotations are read as text, so that a
factory of a user's own is understood like those of the library.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.types import StepFunction

Hyper: TypeAlias = Annotated[float | jax.Array | StepFunction, "Hyper"]
"""A number: a float, a 0-d array, a tracer, or a function of the step (0-based) that gives one."""

Decay: TypeAlias = Annotated[Hyper, "[0, 1)"]
"""The share that a moving average keeps: a ``Hyper`` in [0, 1)."""

Fraction: TypeAlias = Annotated[Hyper, "[0, 1]"]
"""A share of a whole: a ``Hyper`` in [0, 1]."""

NonNegative: TypeAlias = Annotated[Hyper, "[0, inf)"]
"""A finite ``Hyper`` of 0 or more, for example ``eps`` or a weight decay."""

Positive: TypeAlias = Annotated[Hyper, "(0, inf)"]
"""A finite ``Hyper`` above 0."""

Limit: TypeAlias = Annotated[Hyper, "[0, inf]"]
"""A ``Hyper`` that bounds a size: 0 or more, and infinite for no bound."""

PositiveInt: TypeAlias = Annotated[int, "[1, inf)"]
"""An integer of 1 or more; a whole float is taken for one."""

NonNegativeInt: TypeAlias = Annotated[int, "[0, inf)"]
"""An integer of 0 or more; a whole float is taken for one."""

_INTERVALS = {  # by the name that stands in annotations
    "Decay": "[0, 1)",
    "Fraction": "[0, 1]",
    "NonNegative": "[0, inf)",
    "Positive": "(0, inf)",
    "Limit": "[0, inf]",
    "PositiveInt": "[1, inf)",
    "NonNegativeInt": "[0, inf)",
}
_INTEGERS = {"int", "PositiveInt", "NonNegativeInt", "Axes"}
_HYPERS = {"Hyper"} | _INTERVALS.keys() - _INTEGERS
_END = r"\s*(-?(?:inf|\d[\d.]*(?:e-?\d+)?))\s*"
_INTERVAL = re.compile(rf"([\[(]){_END},{_END}([\])])")


@dataclass(frozen=True)
class Range:
    """An interval of numbers, with or without its ends.

    ``Range.of("[0, 1)")`` has the end 0, and not the end 1. It never holds NaN.
    """

    low: float
    high: float
    has_low: bool = True
    has_high: bool = True

    @classmethod
    def of(cls, interval: str) -> Range:
        """The range that is written like ``[0, 1)``."""
        found = _INTERVAL.fullmatch(interval)
        if found is None:
            raise ValueError(f"An interval is written like [0, 1) or (0, inf], not {interval!r}.")
        opening, low, high, closing = found.groups()
        return cls(float(low), float(high), opening == "[", closing == "]")

    def __contains__(self, x: float) -> bool:
        above = x >= self.low if self.has_low else x > self.low
        return above and (x <= self.high if self.has_high else x < self.high)

    def __str__(self) -> str:
        opening, closing = "(["[self.has_low], ")]"[self.has_high]
        return f"{opening}{self.low:g}, {self.high:g}{closing}"

    def words(self) -> str:
        """The range in a sentence, for example ``0 or more``."""
        if self == EVERY:
            return "a number"
        if self.low == -math.inf or self.high < math.inf:
            return f"in {self}"
        return f"{self.low:g} or more" if self.has_low else f"greater than {self.low:g}"

    def held(self, x: Any) -> Any:
        """A schedule's value, held at the ends of the range.

        Ends that do not belong to the range hold nothing.
        """
        if self.has_low and self.low > -math.inf:
            x = jnp.maximum(x, self.low)
        if self.has_high and self.high < math.inf:
            x = jnp.minimum(x, self.high)
        return x


#: What is asked of every hyperparameter.
EVERY = Range(-math.inf, math.inf)


@dataclass(frozen=True)
class ArgumentKind:
    """The numbers that an argument takes, by its annotation.

    Attributes:
        is_hyper: whether it takes a function of the step in the place of a number.
        is_integer: whether its numbers are whole.
        is_count: whether it takes one whole number and nothing else.
        may_be_none: whether ``None`` leaves it out.
        range: the range of its numbers; ``None`` if it takes none.
    """

    is_hyper: bool
    is_integer: bool
    is_count: bool
    may_be_none: bool
    range: Range | None

    @classmethod
    def of(cls, annotation: object) -> ArgumentKind:
        """The kind that an annotation, or its text, says."""
        text = annotation if isinstance(annotation, str) else _text(annotation)
        interval = _INTERVAL.search(text)
        words = set(re.findall(r"[A-Za-z]\w*", text)) - {"Annotated", "inf"}
        is_hyper = not words.isdisjoint(_HYPERS)
        is_integer = not words.isdisjoint(_INTEGERS) and "float" not in words
        is_count = is_integer and words <= (_INTEGERS | {"None"}) - {"Axes"}
        named = [_INTERVALS[word] for word in words & _INTERVALS.keys()]
        found = interval.group() if interval else named[0] if named else "[-inf, inf]"
        is_number = is_hyper or is_integer or interval is not None
        numbers = Range.of(found) if is_number else None
        return cls(is_hyper, is_integer, is_count, "None" in words, numbers)

    def admit(self, where: str, value: Any) -> Any:
        """The number, whole or float as it should be.

        Traced numbers, arrays and functions of the step pass.

        Raises:
            TypeError: for a number that is not whole where it should be.
            ValueError: for a number out of range.
        """
        if self.range is None or isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if self.is_integer and not float(value).is_integer():
            raise TypeError(f"{where} must be an integer, not {value!r}.")
        value = int(value) if self.is_integer else float(value)
        if value not in self.range:
            finite = " and finite" if value == math.inf else ""
            raise ValueError(f"{where} must be {self.range.words()}{finite}, not {value!r}.")
        return value

    def at(self, where: str, function: Callable[[Any], Any], step: Any) -> Any:
        """The number at a step, held in the range.

        Raises:
            TypeError: if it cannot be traced, takes no step, or gives no number.
            ValueError: if it gives more than one number.
        """
        of = f"{where}: the schedule {_named(function)}"
        try:
            value = function(step)
        except jax.errors.JAXTypeError as error:
            raise TypeError(
                f"{of} looks at the step's value in Python (if, math, NumPy), which a compiled"
                " program has not. Use jax.numpy, for example jnp.where(step < 10, 0.1, 0.01),"
                " or a schedule of gradchain.schedules."
            ) from error
        except TypeError as error:
            if _takes_a_step(function):
                raise
            raise TypeError(f"{of} must take one argument, the step: {error}.") from error
        if not isinstance(value, int | float | jax.Array | np.ndarray | np.generic):
            raise TypeError(f"{of} must give a number at a step, not {value!r}.")
        if np.shape(value) not in ((), np.shape(step)):
            shape = list(np.shape(value))
            raise ValueError(f"{of} must give one number at a step, not an array of shape {shape}.")
        return value if self.range is None else self.range.held(value)


def _named(function: Callable[[Any], Any]) -> str:
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(function)
    return f"{function.__qualname__} ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def _takes_a_step(function: Callable[[Any], Any]) -> bool:
    try:
        inspect.signature(function).bind(0)
    except (TypeError, ValueError):
        return False
    return True


def _text(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else repr(annotation)
