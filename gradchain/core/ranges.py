"""Hyperparameters: numbers or functions of the step, and their ranges.

A factory says the range of an argument in its annotation, by a name or as an interval:
``b1: Decay``, ``eta: Annotated[Hyper, "(0, 0.25)"]``, ``decays: Annotated[tuple, "[0, 1)"]`` for
each of several numbers. The docstring, the error at the call, ``check`` and ``set_hyperparams``
follow from it. Annotations are read as text, so that a factory of a user's own is understood like
those of the library.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief
from gradchain.core.types import StepFunction
from gradchain.tree.mapping import is_traced

__all__ = [
    "Decay",
    "Finite",
    "Fraction",
    "Hyper",
    "Limit",
    "NonNegative",
    "NonNegativeInt",
    "Positive",
    "PositiveInt",
    "Range",
]

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

Finite: TypeAlias = Annotated[Hyper, "(-inf, inf)"]
"""A finite ``Hyper`` of either sign, for example a bound of a loss."""

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
    "Finite": "(-inf, inf)",
    "Limit": "[0, inf]",
    "PositiveInt": "[1, inf)",
    "NonNegativeInt": "[0, inf)",
}
_INTEGERS = {"int", "PositiveInt", "NonNegativeInt"}
_HYPERS = {"Hyper"} | _INTERVALS.keys() - _INTEGERS
_NUMBERS = {"float", "Numeric"}
_ROWS = {"tuple", "list", "dict", "Sequence", "Mapping"}
_GRAMMAR = {
    "Annotated",
    "Optional",
    "Union",
    "typing",
    "None",
    "NoneType",
}  # and no type of its own
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
        if self.low == -math.inf and self.high == math.inf:
            return "a number" if self == EVERY else "a finite number"
        if self.low == -math.inf:
            return f"{self.high:g} or less" if self.has_high else f"less than {self.high:g}"
        if self.high < math.inf:
            return f"in {self}"
        return f"{self.low:g} or more" if self.has_low else f"greater than {self.low:g}"

    def held(self, x: Any) -> Any:
        """A schedule's value, held at the ends of the range.

        Ends that do not belong to the range hold nothing. A value at an end has its whole slope.
        """
        if self.has_low and self.low > -math.inf:
            x = jnp.where(x < self.low, self.low, x)
        if self.has_high and self.high < math.inf:
            x = jnp.where(x > self.high, self.high, x)
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
        is_row: whether it takes several, in a tuple, a list or a dict.
        has_whole_keys: whether the keys of its dict are whole numbers.
        takes_others: whether it takes other things too, for example a string or a function.
        may_be_none: whether ``None`` leaves it out.
        range: the range of its numbers; ``None`` if it takes none.
    """

    is_hyper: bool
    is_integer: bool
    is_count: bool
    is_row: bool
    has_whole_keys: bool
    takes_others: bool
    may_be_none: bool
    range: Range | None

    @classmethod
    def of(cls, annotation: object) -> ArgumentKind:
        """The kind that an annotation, or its text, says."""
        return _kind(annotation if isinstance(annotation, str) else _text(annotation))

    def words(self) -> str:
        """The numbers that it takes, in a sentence."""
        assert self.range is not None
        of = "each " if self.is_row and not self.is_integer else ""
        if not self.is_integer:
            return of + self.range.words()
        integer = "integers" if self.is_row else "an integer"
        return integer if self.range == EVERY else f"{integer}, {self.range.words()}"

    def is_plain(self, value: Any) -> bool:
        """Whether it is a float that needs no other form."""
        is_float = type(value) is float and self.is_hyper and not self.is_integer
        return is_float and self.range is not None and value in self.range

    def admit(self, where: str, value: Any) -> Any:
        """The number, whole or float as it should be.

        Traced numbers, functions of the step, and all that is no number pass; an array that is no
        integer stays one.

        Raises:
            TypeError: for a number that is not whole where it should be.
            ValueError: for a number out of range.
        """
        number, numbers = concrete_number(value), self.range
        if number is None or numbers is None:
            return value
        is_whole = isinstance(number, int) or number.is_integer()
        if self.is_integer and (isinstance(number, bool) or not is_whole):
            raise TypeError(f"{where} must be an integer, not {number!r}.")
        if isinstance(number, bool):
            return value
        number = int(number) if self.is_integer and not self.is_hyper else _float(number)
        if number not in numbers:
            finite = " and finite" if number == math.inf else ""
            raise ValueError(f"{where} must be {numbers.words()}{finite}, not {number!r}.")
        is_float = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
        return value if is_float and not self.is_integer else number

    def admit_each(self, where: str, values: Any) -> Any:
        """A container whose numbers and keys are admitted."""
        if self.has_whole_keys and isinstance(values, dict):
            values = {_whole(f"{where}: each key", k): v for k, v in values.items()}
        if self.range is None:
            return values
        is_leaf = lambda x: hasattr(x, "factory")
        admit = lambda path, x: self.admit(where + jax.tree_util.keystr(path), x)
        values = jax.tree_util.tree_map_with_path(admit, values, is_leaf=is_leaf)
        if self.is_integer and not self.takes_others:
            for path, x in jax.tree_util.tree_leaves_with_path(values):
                if not isinstance(x, int) and not is_traced([x]):
                    place = jax.tree_util.keystr(path)
                    raise TypeError(f"{where}{place} must be an integer, not {x!r}.")
        return values

    def check(self, where: str, value: Any) -> None:
        """Refuse all but numbers and, for a ``Hyper``, functions.

        Raises:
            TypeError: for anything else.
        """
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_array = isinstance(value, jax.Array) and value.ndim == 0 and _is_number(value)
        is_left_out = value is None and self.may_be_none
        if is_number or is_array or is_left_out or is_traced([value]):
            return
        if self.is_hyper and not callable(value):
            found = brief(value)
            raise TypeError(f"{where} must be a number or a function of the step, not {found}.")
        if self.is_hyper or self.takes_others or self.range is None:
            return
        if not (self.is_row and isinstance(value, tuple | list | dict)):
            wanted = "an integer" if self.is_integer else "a number"
            raise TypeError(f"{where} must be {wanted}, not {brief(value)}.")

    def at(self, where: str, function: Callable[[Any], Any], step: Any) -> Any:
        """The number at a step, held in the range.

        Raises:
            TypeError: if it cannot be traced, takes no step, or gives no number.
            ValueError: if it gives more than one number.
        """
        of = f"{where}: the schedule {_named(function)}".removeprefix(": ")
        try:
            value = function(step)
        except Exception as error:
            explained = _explained(of, function, error)
            raise explained from None if explained is error else error
        if not _is_number(value):
            raise TypeError(f"{of} must give a number at a step, not {value!r}.")
        if np.shape(value) not in ((), np.shape(step)):
            shape = list(np.shape(value))
            raise ValueError(f"{of} must give one number at a step, not an array of shape {shape}.")
        return value if self.range is None else self.range.held(value)


@functools.cache  # few annotations stand at many arguments
def _kind(text: str) -> ArgumentKind:
    interval = _INTERVAL.search(text)
    without_keys = re.sub(r"\b(dict|Mapping)\[\s*int\s*,", "dict[", text)
    all_words = set(re.findall(r"[A-Za-z]\w*", _INTERVAL.sub("", without_keys)))
    words = all_words - _GRAMMAR
    named = [_INTERVALS[word] for word in words & _INTERVALS.keys()]
    is_row = bool(words & _ROWS)
    has_hyper = bool(words & _HYPERS)
    is_integer = bool(words & _INTEGERS) and "float" not in words
    takes_others = not words <= _INTEGERS | _HYPERS | _NUMBERS | _ROWS
    found = interval.group() if interval else named[0] if named else "[-inf, inf]"
    is_number = has_hyper or is_integer or interval is not None
    return ArgumentKind(
        is_hyper=has_hyper and not is_row,
        is_integer=is_integer,
        is_count=is_integer and not (is_row or has_hyper or takes_others),
        is_row=is_row,
        has_whole_keys=without_keys != text,
        takes_others=takes_others,
        may_be_none=bool(all_words & {"None", "NoneType", "Optional"}),
        range=Range.of(found) if is_number else None,
    )


def with_ranges(doc: str | None, kinds: Mapping[str, ArgumentKind]) -> str | None:
    """A docstring, with the ranges of arguments at its end."""
    names_in: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if kind.range is not None:
            names_in.setdefault(kind.words(), []).append(f"``{name}``")
    if doc is None or not names_in:
        return doc
    said = "; ".join(f"{', '.join(names)} {words}" for words, names in names_in.items())
    # Indented as docstrings are. The blank line ends an example before it.
    paragraph = textwrap.indent(textwrap.fill(f"Ranges: {said}.", 92), "    ")
    return f"{doc.rstrip()}\n\n{paragraph}\n    "


def _float(x: float) -> float:
    try:
        return float(x)
    except OverflowError:  # of an integer
        return math.inf if x > 0 else -math.inf


def _whole(where: str, key: Any) -> Any:
    kind = ArgumentKind.of("int")
    # JSON has no keys but text.
    number = int(key) if isinstance(key, str) and key.isdecimal() else kind.admit(where, key)
    kind.check(where, number)
    return number


def concrete_number(x: Any) -> float | int | bool | None:
    """A known number as a Python number; else ``None``."""
    if isinstance(x, bool | int | float):
        return x
    is_scalar = isinstance(x, jax.Array | np.ndarray | np.generic) and x.ndim == 0
    if not is_scalar or is_traced([x]) or not getattr(x, "is_fully_replicated", True):
        return None
    return x.item() if _is_number(x) else None


def _is_number(x: Any) -> bool:
    """Whether it is a real number, or an array."""
    if not isinstance(x, jax.Array | np.ndarray | np.generic):
        return isinstance(x, int | float)
    return any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.integer, jnp.floating, np.bool_))


def _explained(of: str, function: Callable[[Any], Any], error: Exception) -> Exception:
    """A schedule's error, with its name and the way out."""
    if isinstance(error, jax.errors.JAXTypeError):
        return TypeError(
            f"{of} looks at the step's value in Python (if, math, NumPy, an index), which a"
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


def _text(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else repr(annotation)
