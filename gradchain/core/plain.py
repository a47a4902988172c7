"""Plain functions, whose numbers are admitted like those of factories."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import brief, wrong_call
from gradchain.core.intervals import EVERY, Range, concrete_number
from gradchain.core.ranges import ArgumentKind, with_ranges
from gradchain.tree.mapping import is_traced

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Numbers:
    """The numbers that an argument of a plain function takes.

    A known one that is out of range is an error, a traced one is held in the range, as the value of
    a schedule is. ``Number`` in an annotation takes whole arrays, of which each element is in the
    range.

    Attributes:
        kind: what the annotation says of one number.
        takes_arrays: whether it takes arrays of several.
    """

    kind: ArgumentKind
    takes_arrays: bool

    @classmethod
    def of(cls, annotation: object) -> Numbers:
        """The numbers that an annotation says."""
        text = str(annotation)
        one = re.sub(r"\bNumber\b", "Numeric", text)
        is_text = isinstance(annotation, str)
        kind = ArgumentKind.of(one if is_text else annotation)
        return cls(kind, is_text and one != text)

    def admit(self, where: str, value: Any) -> Any:
        """The value as the function is given it.

        Raises:
            TypeError: for another value, and a number that is not whole where it should be.
            ValueError: for a number out of range.
        """
        kind, numbers = self.kind, self.kind.range
        assert numbers is not None
        is_double = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
        usual = numbers if is_double else numbers.single
        if type(value) is float and value in usual and not kind.is_integer:
            return value
        if value is None and kind.may_be_none:
            return value
        if kind.is_row and isinstance(value, Sequence) and not isinstance(value, str):
            return kind.admit_each(where, tuple(value))
        if isinstance(value, jax.Array | np.ndarray | np.generic):
            return self._admit_array(where, value, numbers)
        if isinstance(value, int | float) and not isinstance(value, bool):
            admitted = kind.admit(where, value)
            is_as_given = isinstance(value, int) and not math.isinf(admitted)
            return value if is_as_given else admitted
        if isinstance(value, bool) or not kind.takes_others:
            self._refuse(where, value)
        return value

    def _admit_array(self, where: str, value: Any, numbers: Range) -> Any:
        is_real = any(jnp.issubdtype(value.dtype, of) for of in (jnp.integer, jnp.floating))
        if not is_real or (value.ndim and not self.takes_arrays):
            self._refuse(where, value)
        if not (value.ndim or is_traced([value])):
            return self.kind.admit(where, value)
        numbers.check_each(where, value)
        return numbers.held(value) if is_traced([value]) else value

    def _refuse(self, where: str, value: object) -> NoReturn:
        wanted = "an integer" if self.kind.is_integer else "a number"
        others = " or an array of numbers" if self.takes_arrays else ""
        raise TypeError(f"{where} must be {wanted}{others}, not {brief(value)}.")


@dataclass(frozen=True)
class PlainSignature:
    """The arguments of a plain function, and their kinds.

    Attributes:
        name: the name of the function, without underscores at the front.
        signature: its arguments.
        numbers: by argument, the numbers that it takes.
        words: the kinds of the arguments that take a bool or a string and nothing else.
    """

    name: str
    signature: inspect.Signature
    numbers: dict[str, Numbers]
    words: dict[str, ArgumentKind]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> PlainSignature:
        """The arguments that a function takes."""
        signature = inspect.signature(function)
        found = {k: Numbers.of(p.annotation) for k, p in signature.parameters.items()}
        numbers = {k: x for k, x in found.items() if x.kind.range is not None}
        words = {k: x.kind for k, x in found.items() if x.kind.is_bool or x.kind.is_text}
        return cls(getattr(function, "__name__", "it").lstrip("_"), signature, numbers, words)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments of a call, admitted.

        Raises:
            TypeError: naming the function, if they do not fit its signature; naming the argument,
                for a value of another kind.
            ValueError: naming it, for a number out of range.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            text = wrong_call(self.name, self.signature, error, kwargs)
            raise TypeError(text) from None
        for k, value in bound.arguments.items():
            if k in self.numbers:
                bound.arguments[k] = self.numbers[k].admit(f"{self.name}: {k}", value)
            elif k in self.words and not isinstance(value, bool | str):
                known = concrete_number(value)  # of NumPy, for example
                bound.arguments[k] = value if known is None else known
            if k in self.words:
                self.words[k].check(f"{self.name}: {k}", bound.arguments[k])
        return bound

    def documented(self, doc: str | None) -> str | None:
        """A docstring, with the ranges of arguments at its end."""
        kinds = {k: x.kind for k, x in self.numbers.items() if x.kind.range != EVERY}
        return with_ranges(doc, kinds)


def checks_numbers(function: Callable[P, T]) -> Callable[P, T]:
    """Let a plain function refuse numbers out of its ranges.

    Whole floats become integers; see ``Numbers``.
    """
    own = PlainSignature.of(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = own.bind(args, kwargs)
        return function(*bound.args, **bound.kwargs)

    call.__doc__ = own.documented(function.__doc__)
    call.of_plain = own  # pyright: ignore[reportAttributeAccessIssue]
    return call
