"""When a minimization has converged."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import jax

from gradchain.core.plain import Numbers
from gradchain.core.types import Numeric


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tolerance:
    """When a minimization has converged.

    Attributes:
        grad: by gradient: the largest magnitude in it is at most this.
        value: by value: a step changes the value by at most this times its magnitude, though no
            radius of a trust region cuts the step short, and the gradient is about as small as it
            is where the value is this close to a minimum: at most ten times the largest gradient
            per root of a decrease so far, times the root of this share of the value. ``None``: by
            twice the rounding of its dtype, where the next step promises no more than rounding
            either; only after steps of a search, since others may be small because their rate is.
    """

    grad: Annotated[Numeric, "[0, inf]"] = 1e-6
    value: Annotated[Numeric | None, "[0, inf]"] = None


def as_tolerance(caller: str, tol: Numeric | Tolerance) -> Tolerance:
    """A ``Tolerance`` whose numbers are admitted; a number becomes one.

    Raises:
        TypeError: naming the argument, if it is neither, or holds anything but numbers.
        ValueError: naming it, for a number out of range.
    """
    is_number = not isinstance(tol, Tolerance)
    whole = Tolerance(tol) if is_number else tol

    def admitted(field: dataclasses.Field) -> Any:
        name = "tol" if is_number else f"tol.{field.name}"
        numbers = Numbers.of(field.type)
        return numbers.admit(f"{caller}: {name}", getattr(whole, field.name))

    return Tolerance(**{field.name: admitted(field) for field in dataclasses.fields(whole)})
