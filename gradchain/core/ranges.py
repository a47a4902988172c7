"""Hyperparameters: numbers or functions of the step, and their ranges.

A factory says the range of an argument in its annotation, by a name or as an interval:
``b1: Decay``, ``eta: Annotated[Hyper, "(0, 0.25)"]``, ``decays: Annotated[tuple, "[0, 1)"]`` for
each of several numbers. The docstring, the error at the call, ``check`` and ``set_hyperparams``
follow from it. Annotations are read as text, so that a factory of a user's own is understood like
those of the library.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief
from gradchain.core.annotations import ROWS, Annotation
from gradchain.core.at_step import value_at
from gradchain.core.intervals import (
    EVERY as EVERY,
    INTERVAL,
    Range,
    as_float,
    concrete_number,
    in_single,
    is_number,
)
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
    "StaticInt",
    "StaticNonNegativeInt",
    "StaticPositiveInt",
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

StaticInt: TypeAlias = Annotated[int, "[-inf, inf]"]
"""An integer that is known when a program is compiled, for example a dimension."""

StaticPositiveInt: TypeAlias = Annotated[int, "[1, inf)"]
"""An integer of 1 or more that is known when a program is compiled, for example a length."""

StaticNonNegativeInt: TypeAlias = Annotated[int, "[0, inf)"]
"""An integer of 0 or more that is known when a program is compiled."""

_INTERVALS = {  # by the name that stands in annotations
    "Decay": "[0, 1)",
    "Fraction": "[0, 1]",
    "NonNegative": "[0, inf)",
    "Positive": "(0, inf)",
    "Finite": "(-inf, inf)",
    "Limit": "[0, inf]",
    "PositiveInt": "[1, inf)",
    "NonNegativeInt": "[0, inf)",
    "StaticInt": "[-inf, inf]",
    "StaticPositiveInt": "[1, inf)",
    "StaticNonNegativeInt": "[0, inf)",
}
_STATIC = {"StaticInt", "StaticPositiveInt", "StaticNonNegativeInt"}
_INTEGERS = {"int", "PositiveInt", "NonNegativeInt"} | _STATIC
_HYPERS = {"Hyper"} | _INTERVALS.keys() - _INTEGERS
_NUMBERS = {"float", "Numeric"}


@dataclass(frozen=True)
class ArgumentKind:
    """The kind of an argument, by its annotation.

    Attributes:
        is_hyper: whether it takes a function of the step in the place of a number.
        is_integer: whether its numbers are whole.
        is_count: whether it takes one whole number and nothing else.
        is_bool: whether it takes ``True`` or ``False`` and nothing else.
        is_static: whether its integer must be known when a program is compiled.
        is_text: whether it takes strings, or rows of them, and nothing else.
        is_row: whether it takes several, in a tuple, a list or a dict.
        is_tree: whether it takes numbers and arrays in any containers.
        takes_others: whether it takes other things too, for example a string or a function.
        takes_schedule: whether a function of the step may stand for its whole number.
        may_be_none: whether ``None`` leaves it out.
        range: the range of its numbers; ``None`` if it takes none.
        keys: what the keys of its dict are, ``"int"`` or ``"str"``; empty for any.
        parts: the kind of each value of a row, or the one of all.
        length: how many values a row has; ``None`` for any number.
    """

    is_hyper: bool
    is_integer: bool
    is_count: bool
    is_bool: bool
    is_static: bool
    is_text: bool
    is_row: bool
    is_tree: bool
    takes_others: bool
    takes_schedule: bool
    may_be_none: bool
    range: Range | None
    keys: str = ""
    parts: tuple[ArgumentKind, ...] = ()
    length: int | None = None

    @classmethod
    def of(cls, annotation: object) -> ArgumentKind:
        """The kind that an annotation, or its text, says."""
        text = annotation.__name__ if isinstance(annotation, type) else repr(annotation)
        return _kind(annotation if isinstance(annotation, str) else text)

    @property
    def has_whole_keys(self) -> bool:
        """Whether the keys of its dict are whole numbers."""
        return self.keys == "int"

    def words(self) -> str:
        """The numbers that it takes, in a sentence."""
        assert self.range is not None
        of = "each " if self.is_row and not self.is_integer else ""
        if not self.is_integer:
            return of + self.range.words()
        integer = "integers" if self.is_row else "an integer"
        return integer if self.range == EVERY else f"{integer}, {self.range.words()}"

    @functools.cached_property
    def _plain(self) -> Range | None:
        if self.range is None or self.is_integer or not self.is_hyper:
            return None
        return self.range.single

    def is_plain(self, value: Any) -> bool:
        """Whether it is a float or bool, kept as given."""
        if type(value) is float:
            return self._plain is not None and value in self._plain
        return self.is_bool and type(value) is bool

    def admit(self, where: str, value: Any) -> Any:
        """The number, whole or float as it should be.

        Functions of the step and all that is no number pass; a traced number is held in the range;
        an array that is no integer stays one.

        Raises:
            TypeError: for a number that is not whole where it should be.
            ValueError: for a number out of range, or out of it in float32.
        """
        given, numbers = concrete_number(value), self.range
        if given is None or numbers is None:
            return value if numbers is None else self._admit_array(where, value, numbers)
        is_whole = isinstance(given, int) or given.is_integer()
        if self.is_integer and (isinstance(given, bool) or not is_whole):
            raise TypeError(f"{where} must be an integer, not {given!r}.")
        if isinstance(given, bool):
            return value
        number = int(given) if self.is_integer and not self.is_hyper else as_float(given)
        if number not in numbers:
            shown = given if self.is_hyper and given == number else number
            finite = " and finite" if number == math.inf and numbers.low > -math.inf else ""
            raise ValueError(f"{where} must be {numbers.words()}{finite}, not {shown!r}.")
        is_float = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
        is_double = is_float and value.dtype == jnp.float64
        if not (self.is_integer or is_double or number in numbers.single):
            raise ValueError(f"{where} must be {numbers.words()}, {in_single(number)}.")
        return value if is_float and not self.is_integer else number

    def _admit_array(self, where: str, value: Any, numbers: Range) -> Any:
        """An array with its elements in the range; others pass."""
        if not isinstance(value, jax.Array | np.ndarray) or not is_number(value):
            return value
        if is_traced([value]):
            return numbers.held(value)
        if self.is_tree:
            numbers.check_each(where, value)
        return value

    def admit_keys(self, where: str, values: dict[Any, Any]) -> dict[Any, Any]:
        """A dict whose keys are admitted."""
        if self.keys == "int":
            return {_whole(f"{where}: each key", k): v for k, v in values.items()}
        for k in values if self.keys == "str" else ():
            if not isinstance(k, str):
                raise TypeError(f"{where}: each key must be text, not {k!r}.")
        return values

    def admit_each(self, where: str, values: Any) -> Any:
        """A container whose keys, numbers and other values are admitted.

        Raises:
            TypeError: for a value of another kind.
            ValueError: for a number out of range, or another number of values.
        """
        if not self.parts:
            return values
        if not self.is_row:
            path_of, is_leaf = jax.tree_util.keystr, lambda x: x is None or hasattr(x, "factory")
            admit = lambda path, x: self._admit_part(where + path_of(path), x, 0)
            return jax.tree_util.tree_map_with_path(admit, values, is_leaf=is_leaf)
        n, found = self.length, len(values)
        if n is not None and (isinstance(values, dict) or found != n):
            was = (
                f"{found} as in {brief(values)}" if isinstance(values, tuple | list) else "a dict"
            )
            raise ValueError(f"{where} must hold {n} values, not {was}.")
        if isinstance(values, dict):
            values = self.admit_keys(where, values)
            return {k: self._admit_part(f"{where}[{k!r}]", x, 0) for k, x in values.items()}
        made = [self._admit_part(f"{where}[{i}]", x, i) for i, x in enumerate(values)]
        return made if isinstance(values, list) else tuple(made)

    def _admit_part(self, where: str, value: Any, i: int) -> Any:
        part = self.parts[i % len(self.parts)]
        value = part.admit(where, value)
        part.check(where, value)
        return value

    def check(self, where: str, value: Any) -> None:
        """Refuse all but numbers and, for a ``Hyper``, functions.

        Raises:
            TypeError: for anything else, also in the place of a bool or a string.
        """
        if not self._may_be(value):
            found = brief(value)
            if is_traced([value]) and (self.is_bool or self.is_static):
                found += ", which is traced: it must be known when the program is compiled"
            if self.is_hyper and getattr(value, "ndim", 0) and is_number(value):
                found += ". An optimizer for each number is jax.vmap(gc.adam)(rates)"
            raise TypeError(f"{where} must be {self._wanted()}, not {found}.")

    def _may_be(self, value: Any) -> bool:
        """Whether it takes values of this type."""
        if value is None and self.may_be_none:
            return True
        if self.is_bool:
            return isinstance(value, bool)
        if (self.is_row or self.is_tree) and isinstance(value, tuple | list | dict):
            return True
        if self.is_text:
            return isinstance(value, str)
        if self.range is None or (self.takes_others and not self.is_hyper):
            return True
        if isinstance(value, int | float):
            return not isinstance(value, bool)
        if is_traced([value]) and not self.is_hyper:
            return not self.is_static
        if (self.is_hyper or self.takes_schedule) and callable(value):
            return True
        if not (isinstance(value, jax.Array | np.ndarray) and is_number(value)):
            return False
        return value.ndim == 0 or self.is_tree

    def _wanted(self) -> str:
        """The values that it takes, in an error."""
        if self.is_bool:
            return "True or False"
        if self.is_text:
            return "a string, or several of them" if self.is_row else "a string"
        if self.is_hyper:
            return "a number or a function of the step"
        arrays = ", an array or a tree of them" if self.is_tree else ""
        other = " or a function of the step" if self.takes_schedule else ""
        return f"an integer{other}" if self.is_integer else f"a number{arrays}"

    def at(self, where: str, function: Callable[[Any], Any], step: Any) -> Any:
        """The number at a step, held in the range.

        Raises:
            TypeError: if it cannot be traced, takes no step, or gives no number.
            ValueError: if it gives more than one number.
        """
        value = value_at(where, function, step)
        return value if self.range is None else self.range.held(value)

    def held(self, value: Any) -> Any:
        """An argument with its traced arrays held in the range.

        A float that is traced has no dtype of its own: it was admitted at the call.
        """
        if self.range is None or self.range == EVERY or isinstance(value, float | int | str):
            return value
        if type(value) in (tuple, list):
            return type(value)(map(self.held, value))
        if type(value) is dict:
            return {k: self.held(x) for k, x in value.items()}
        is_own = is_traced([value]) and is_number(value) and not value.weak_type
        return self.range.held(value) if is_own else value


@functools.cache  # few annotations stand at many arguments
def _kind(text: str) -> ArgumentKind:
    interval, said = INTERVAL.search(text), Annotation.of(text)
    words = said.words
    named = [_INTERVALS[word] for word in words & _INTERVALS.keys()]
    is_row = said.has_row
    has_hyper = bool(words & _HYPERS)
    is_integer = bool(words & _INTEGERS) and "float" not in words
    is_number = has_hyper or is_integer or interval is not None
    is_tree = is_number and words == {"Tree"}
    takes_schedule = is_integer and not has_hyper and "StepFunction" in words
    known = (
        _INTEGERS | _HYPERS | _NUMBERS | ROWS | ({"StepFunction"} if takes_schedule else set())
    )
    takes_others = not (words <= known or is_tree)
    found = interval.group() if interval else named[0] if named else "[-inf, inf]"
    kind = ArgumentKind(
        is_hyper=has_hyper and not is_row,
        is_integer=is_integer,
        is_count=is_integer and not (is_row or has_hyper or takes_others or takes_schedule),
        is_bool=words == {"bool"} and not said.may_be_none,
        is_static=bool(words & _STATIC),
        is_text=words - ROWS == {"str"},
        is_row=is_row,
        is_tree=is_tree,
        takes_others=takes_others,
        takes_schedule=takes_schedule,
        may_be_none=said.may_be_none,
        range=Range.of(found) if is_number else None,
        keys=said.keys,
        parts=_parts(said, interval.group() if interval else None) if is_row else (),
        length=len(said.parts) if said.is_fixed else None,
    )
    is_deep = is_tree or (is_number and takes_others and not is_row)
    return dataclasses.replace(kind, parts=(kind,)) if is_deep else kind


def _parts(said: Annotation, interval: str | None) -> tuple[ArgumentKind, ...]:
    """The kinds of the values of a row.

    An interval around it is that of each.
    """
    texts = said.parts or ("Hyper",) * (interval is not None)
    if interval is not None and not any(map(INTERVAL.search, texts)):
        texts = (f"Annotated[{text}, {interval!r}]" for text in texts)
    return tuple(map(_kind, texts))


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


def _whole(where: str, key: Any) -> Any:
    kind = ArgumentKind.of("int")
    # JSON has no keys but text.
    number = int(key) if isinstance(key, str) and key.isdecimal() else kind.admit(where, key)
    kind.check(where, number)
    return number
