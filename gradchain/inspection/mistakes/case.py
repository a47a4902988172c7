"""A case for the searches for mistakes, and their findings.

A search is a function of a ``Case``, called like the mistake, that yields severity, member and
message of each finding. Two members that come from one recipe of this library are as its authors
meant them: searches for mistakes of order leave them alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.ranges import concrete_number
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params
from gradchain.core.walk import PlacedMember, is_ours


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something in a chain that is seldom meant.

    Attributes:
        severity: ``mistake`` if it is almost surely wrong, ``warning`` if it is seldom right,
            ``note`` if it is good to know.
        name: the name of the mistake.
        member: the path of the member; empty for the whole.
        message: the matter, and the way out.
    """

    severity: str
    name: str
    member: str
    message: str

    def __str__(self) -> str:
        at = f" at {self.member}" if self.member else ""
        return f"{self.severity}: {self.name}{at}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Case:
    """A transformation and facts about its run; see ``check``."""

    tx: GradientTransformation
    parts: list[PlacedMember]
    params: Params | None
    steps: int | None
    passes: Collection[str]


Found: TypeAlias = Iterator[tuple[str, str, str]]
"""Severity, path of the member, and message of each finding."""

Search: TypeAlias = Callable[[Case], Found]
"""A search for one kind of mistake."""

# ------------------------------------------------------------------------------- what a member is


def has_role(role: str) -> Callable[[PlacedMember], bool]:
    """A function that says whether a member has a role."""
    return lambda part: role in part.roles


has_rate = has_role("step")
is_adaptive = has_role("adaptive")
is_clip = has_role("clip")


def is_unknown(part: PlacedMember) -> bool:
    """Whether nothing is known of its effect on updates."""
    if part.call.factory.composite or part.roles:
        return False  # a chain with a name of its own; or it has said what it is
    return part.body.is_opaque or not is_ours(part.call)


def first_value(value: Any) -> float | None:
    """A hyperparameter as a number; ``None`` if it is traced.

    Of a schedule it is the first value that is not zero.
    """
    if callable(value):
        return next((v for v in values(value, (0, 1, 100, 10_000)) if v), 0.0)
    number = concrete_number(value)
    return None if number is None else float(number)


def values(function: Callable[[Any], Any], steps: Sequence[int]) -> list[float]:
    """The values of a schedule at steps; none if traced."""
    steps = [min(step, np.iinfo(np.int32).max) for step in steps]
    try:
        if isinstance(function, Schedule):
            found = np.asarray(function(np.asarray(steps)), np.float64)
            return np.broadcast_to(found, len(steps)).tolist()
        return [float(function(jnp.asarray(step, jnp.int32))) for step in steps]
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return []


def rates(part: PlacedMember) -> Iterator[tuple[str, Any]]:
    """The learning rates among a member's arguments, numbers or schedules."""
    arguments = {} if part.call.factory.composite else part.call.arguments
    yield from ((k, v) for k, v in arguments.items() if k in ("learning_rate", "step_size_fn"))


def argument(part: PlacedMember, *names: str) -> float | None:
    """The first hyperparameter of these names, as a number."""
    return next((first_value(v) for k, v in part.call.arguments.items() if k in names), None)


def flips(part: PlacedMember) -> bool:
    """Whether it turns the sign of an update."""
    if has_rate(part):
        return not is_negative_rate(part)
    return (argument(part, "step_size", "step_size_fn") or 0.0) < 0


def is_negative_rate(part: PlacedMember) -> bool:
    """Whether it is a learning rate below zero."""
    return has_rate(part) and (argument(part, "learning_rate") or 0.0) < 0


def has_momentum(part: PlacedMember) -> bool:
    """Whether it remembers past gradients, which ``b1`` may switch off."""
    is_on = "b1" not in part.call.arguments or bool(argument(part, "b1"))
    return is_on and "momentum" in part.roles


def is_added_decay(part: PlacedMember) -> bool:
    """Whether it adds a decay to a direction."""
    return "decay" in part.roles and "final" not in part.roles


def pairs(
    case: Case,
    first: Callable[[PlacedMember], bool],
    then: Callable[[PlacedMember], bool],
) -> Iterator[tuple[PlacedMember, PlacedMember]]:
    """Members that updates go through one after the other.

    Those that a recipe of this library put there both are left out.
    """
    for b in filter(then, case.parts):
        for a in filter(first, case.parts):
            if a.precedes(b) and (a.recipe is None or a.recipe != b.recipe):
                yield a, b
                break
