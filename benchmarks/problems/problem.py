"""What a problem is: residuals, a standard start, and the minima that are known of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

Residuals = Callable[[jax.Array], jax.Array]

CLOSE = 1e-6  # how near to a minimum, relative to it, a value is that has reached it
ZERO = 1e-8  # below this a value has reached the minimum 0


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Minimize the sum of the squares of ``residuals``.

    Attributes:
        name: as the paper has it, in lower case.
        number: its number in the paper, 1 to 35.
        residuals: ``x -> f``, a vector of length n to one of length m, in the dtype of ``x``.
        start: the standard starting point, in float64.
        m: the number of residuals.
        minima: values of minima to reach: those of the paper, computed to more digits than it
            prints.
        published: the same as the paper prints them.
        others: values of further local minima: not in the paper, or listed there as approached at
            infinity.
        note: what one has to know.
    """

    name: str
    number: int
    residuals: Residuals
    start: np.ndarray
    m: int
    minima: tuple[float, ...]
    published: tuple[str, ...]
    others: tuple[float, ...] = ()
    note: str = ""

    @property
    def n(self) -> int:
        """The number of parameters."""
        return len(self.start)

    @property
    def title(self) -> str:
        """Its name, with the dimensions."""
        return f"{self.name} ({self.n}, {self.m})"

    def objective(self, x: jax.Array) -> jax.Array:
        """The sum of squares."""
        residuals = self.residuals(x)
        return jnp.sum(residuals * residuals)

    def reached(self, value: float) -> float | None:
        """The published minimum that ``value`` is at, if any."""
        return next((m for m in self.minima if abs(value - m) <= tolerance(m)), None)


def tolerance(minimum: float) -> float:
    """How far above a minimum a value may be to have reached it."""
    return CLOSE * abs(minimum) if minimum else ZERO


def like(x: jax.Array, values: float | Sequence[float] | np.ndarray) -> jax.Array:
    """Numbers of the paper as an array of the dtype of ``x``."""
    return jnp.asarray(values, x.dtype)


def counting(x: jax.Array, first: int, last: int) -> jax.Array:
    """The numbers from ``first`` to ``last``, both included."""
    return jnp.arange(first, last + 1, dtype=x.dtype)
