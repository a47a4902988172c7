"""Intervals of numbers, and how others are brought into them."""

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
_ARRAYS = jax.Array | np.ndarray | np.generic
_EPS = float(np.finfo(np.float32).eps)
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
            right = "[0, 1) or (0, inf]"
            raise ValueError(f"An interval is written like {right}, not {interval!r}.")
        opening, low, high, closing = found.groups()
        return cls(
            float(low),
            float(high),
            opening == "[",
            closing == "]",
        )

    def __contains__(self, x: float) -> bool:
        above = x >= self.low if self.has_low else x > self.low
        below = x <= self.high if self.has_high else x < self.high
        return above and below

    def __str__(self) -> str:
        opening = "[" if self.has_low else "("
        closing = "]" if self.has_high else ")"
        return f"{opening}{self.low:g}, {self.high:g}{closing}"

    def words(self) -> str:
        """The range in a sentence, for example ``0 or more``."""
        if self == EVERY:
            return "a number"
        if self.low == -math.inf and self.high == math.inf:
            lowest = " or -inf" if self.has_low else ""
            highest = " or inf" if self.has_high else ""
            return f"a finite number{lowest}{highest}"
        if self.low == -math.inf:
            if self.has_high:
                return f"{self.high:g} or less"
            return f"less than {self.high:g}"
        if self.high < math.inf:
            return f"in {self}"
        if self.has_low:
            return f"{self.low:g} or more"
        return f"greater than {self.low:g}"

    @functools.cached_property
    def single(self) -> Range:
        """The numbers that are in the range in float32 too.

        Of [0, 1) it has no 0.99999999, which is 1 in float32.
        """
        low, high = self.low, self.high
        if not self.has_low:
            low = max(low, _last_rounded(low, math.inf))
        if not self.has_high:
            high = min(high, _last_rounded(high, -math.inf))
        return Range(
            low,
            high,
            self.has_low,
            self.has_high,
        )

    def held(self, x: Any) -> Any:
        """A scheduled or traced number, held in the range.

        At an end that does not belong to the range it is held at a number just inside; infinite
        ends hold nothing, and NaN stays NaN. A value at an end of the range has its whole slope.
        """
        number = float
        dtype = jnp.result_type(x)
        if jnp.issubdtype(dtype, jnp.integer):
            if self._has_whole_ends:
                number = int
            else:
                x = jnp.asarray(x, jnp.result_type(float))
        if self.low > -math.inf:
            least = number(self._least)
            is_below = x < least if self.has_low else x <= self.single.low
            x = jnp.where(is_below, least, x)
        if self.high < math.inf:
            most = number(self._most)
            is_above = x > most if self.has_high else x >= self.single.high
            x = jnp.where(is_above, most, x)
        return x

    @functools.cached_property
    def _least(self) -> float:
        return self.low if self.has_low else _beside(self.low, 1)

    @functools.cached_property
    def _most(self) -> float:
        return self.high if self.has_high else _beside(self.high, -1)

    @functools.cached_property
    def _has_whole_ends(self) -> bool:
        """Whether its finite ends are integers in it."""
        ends = {
            self.low: self.has_low,
            self.high: self.has_high,
        }
        finite = filter(math.isfinite, ends)
        return all(x.is_integer() and ends[x] for x in finite)

    def check_each(self, where: str, values: jax.Array | np.ndarray) -> None:
        """Refuse an array with an element out of the range.

        Traced arrays pass.

        Raises:
            ValueError: naming the place of the first.
        """
        if is_traced([values]):
            return
        if not getattr(values, "is_fully_addressable", True):
            return
        numbers = np.asarray(values, np.float64)
        is_above = np.greater_equal if self.has_low else np.greater
        is_below = np.less_equal if self.has_high else np.less
        is_in = is_above(numbers, self.low) & is_below(numbers, self.high)
        wrong = np.argwhere(~is_in)
        if len(wrong):
            place = wrong[0].tolist()
            x = float(numbers[tuple(place)])
            raise ValueError(
                f"{where} must be {self.words()} at each place, not {x!r} at {place}."
            )


#: What is asked of every hyperparameter.
EVERY = Range(-math.inf, math.inf)


def _last_rounded(end: float, towards: float) -> float:
    """The last number that float32 rounds to an end."""
    if math.isinf(end):  # where 2^128 would be the next number
        return math.copysign(2.0**128 - 2.0**103, end)
    single = np.float32(end)
    following = np.nextafter(single, np.float32(towards))
    return 0.5 * (float(single) + float(following))


def _beside(end: float, sign: int) -> float:
    """A float32 beside an end, in the direction of ``sign``."""
    gap = abs(end) * _EPS
    return end + sign * max(gap, _TINY)


def refuse_inverted(where: str, **bounds: Any) -> None:
    """Refuse a known lower bound above a known upper one.

    Raises:
        ValueError: naming both.
    """
    (low, lower), (high, upper) = bounds.items()
    least, most = concrete_number(lower), concrete_number(upper)
    if least is None or most is None:
        return
    if least > most:
        wanted = f"{least!r} or more, as {low} is"
        raise ValueError(f"{where}: {high} must be {wanted}, not {most!r}.")


def is_number(x: Any) -> bool:
    """Whether it is a real number, or an array."""
    if not isinstance(x, _ARRAYS):
        return isinstance(x, int | float)
    return _is_real(x.dtype) or jnp.issubdtype(x.dtype, np.bool_)


def are_numbers(x: Any) -> bool:
    """Whether it is a number, or an array of some.

    They are real, and no bools. Lists of them are arrays too.
    """
    if isinstance(x, list | tuple):
        return all(map(are_numbers, x))
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return _is_real(x.dtype)
    return isinstance(x, int | float) and not isinstance(x, bool)


def _is_real(dtype: Any) -> bool:
    is_integer = jnp.issubdtype(dtype, jnp.integer)
    return is_integer or jnp.issubdtype(dtype, jnp.floating)


def as_float(x: float) -> float:
    """A number as a float, infinite if too large."""
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def concrete_number(x: Any) -> float | int | bool | None:
    """A known number as a Python number; else ``None``."""
    if isinstance(x, bool | int | float):
        return x
    if not isinstance(x, _ARRAYS):
        return None
    if x.ndim or is_traced([x]) or not is_number(x):
        return None
    is_here = getattr(x, "is_fully_replicated", True)
    return x.item() if is_here else None


def in_single(number: float) -> str:
    """A number in float32, with the way out for float64."""
    rounded = np.float64(_rounded(number))
    text = f"and {number!r} is {rounded:g} in float32"
    is_double = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    if is_double:
        return f"{text}; for float64 give it as jnp.float64({number!r})"
    return text


def _rounded(number: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(number)
