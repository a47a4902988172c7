"""Intervals of numbers: what is in them, and how others are brought into them."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.tree.mapping import is_traced

_END = r"\s*(-?(?:inf|\d[\d.]*(?:e-?\d+)?))\s*"
INTERVAL = re.compile(rf"([\[(]){_END},{_END}([\])])")
_TINY = float(np.finfo(np.float32).tiny)  # a smaller number is zero to many a compiler


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
        found = INTERVAL.fullmatch(interval)
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
            infinite = " or -inf" * self.has_low + " or inf" * self.has_high
            return "a number" if self == EVERY else f"a finite number{infinite}"
        if self.low == -math.inf:
            return f"{self.high:g} or less" if self.has_high else f"less than {self.high:g}"
        if self.high < math.inf:
            return f"in {self}"
        return f"{self.low:g} or more" if self.has_low else f"greater than {self.low:g}"

    @functools.cached_property
    def single(self) -> Range:
        """The numbers that are in the range in float32 too.

        Of [0, 1) it has no 0.99999999, which is 1 in float32.
        """
        low = self.low if self.has_low else max(self.low, _last_rounded(self.low, math.inf))
        high = self.high if self.has_high else min(self.high, _last_rounded(self.high, -math.inf))
        return Range(low, high, self.has_low, self.has_high)

    def held(self, x: Any) -> Any:
        """A number that comes at run time, held in the range.

        It is of a schedule, for example, or traced. At an end that does not belong to the range it
        is held at a number just inside; infinite ends hold nothing, and NaN stays NaN. A value at
        an end of the range has its whole slope.
        """
        number = float
        if jnp.issubdtype(jnp.result_type(x), jnp.integer):
            number = int if self._has_whole_ends else float
            x = x if number is int else jnp.asarray(x, jnp.result_type(float))
        if self.low > -math.inf:
            if self.has_low:
                x = jnp.where(x < number(self.low), number(self.low), x)
            else:
                x = jnp.where(x <= self.single.low, _just_inside(self.low, 1), x)
        if self.high < math.inf:
            if self.has_high:
                x = jnp.where(x > number(self.high), number(self.high), x)
            else:
                x = jnp.where(x >= self.single.high, _just_inside(self.high, -1), x)
        return x

    @property
    def _has_whole_ends(self) -> bool:
        """Whether its finite ends are integers in it."""
        ends = {self.low: self.has_low, self.high: self.has_high}
        return all(x.is_integer() and is_in for x, is_in in ends.items() if math.isfinite(x))

    def check_each(self, where: str, values: jax.Array | np.ndarray) -> None:
        """Refuse a known array with an element out of the range.

        Raises:
            ValueError: naming the place of the first.
        """
        if is_traced([values]) or not getattr(values, "is_fully_addressable", True):
            return
        numbers = np.asarray(values, np.float64)
        above = numbers >= self.low if self.has_low else numbers > self.low
        below = numbers <= self.high if self.has_high else numbers < self.high
        wrong = np.argwhere(~(above & below))
        if len(wrong):
            place, x = list(map(int, wrong[0])), float(numbers[tuple(wrong[0])])
            raise ValueError(f"{where} must be {self.words()} at each place, not {x!r} at {place}.")


#: What is asked of every hyperparameter.
EVERY = Range(-math.inf, math.inf)


def _last_rounded(end: float, towards: float) -> float:
    """The last number beyond an end that is the end in float32."""
    if math.isinf(end):  # where 2^128 would be the next number
        return math.copysign(2.0**128 - 2.0**103, end)
    single = np.float32(end)
    return 0.5 * (float(single) + float(np.nextafter(single, np.float32(towards))))


def _just_inside(end: float, sign: int) -> float:
    """A float32 beside an end, in the direction of ``sign``."""
    return end + sign * max(abs(end) * float(np.finfo(np.float32).eps), _TINY)


def refuse_inverted(where: str, **bounds: Any) -> None:
    """Refuse a known lower bound above a known upper one.

    Raises:
        ValueError: naming both.
    """
    (low, lower), (high, upper) = bounds.items()
    known = concrete_number(lower), concrete_number(upper)
    if known[0] is not None and known[1] is not None and known[0] > known[1]:
        least = f"{known[0]!r} or more, as {low} is"
        raise ValueError(f"{where}: {high} must be {least}, not {known[1]!r}.")


def is_number(x: Any) -> bool:
    """Whether it is a real number, or an array."""
    if not isinstance(x, jax.Array | np.ndarray | np.generic):
        return isinstance(x, int | float)
    return any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.integer, jnp.floating, np.bool_))


def are_numbers(x: Any) -> bool:
    """Whether it is a real number and no bool, or an array or a list of some."""
    if isinstance(x, list | tuple):
        return all(map(are_numbers, x))
    if not (hasattr(x, "dtype") and hasattr(x, "shape")):
        return isinstance(x, int | float) and not isinstance(x, bool)
    return any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.integer, jnp.floating))


def as_float(x: float) -> float:
    """A number as a float; infinite where an integer is too large for one."""
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def concrete_number(x: Any) -> float | int | bool | None:
    """A known number as a Python number; else ``None``."""
    if isinstance(x, bool | int | float):
        return x
    is_scalar = isinstance(x, jax.Array | np.ndarray | np.generic) and x.ndim == 0
    if not is_scalar or is_traced([x]) or not getattr(x, "is_fully_replicated", True):
        return None
    return x.item() if is_number(x) else None
