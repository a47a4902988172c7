"""What a rule looks at, and what it finds.

A rule is a function of a ``Case`` that yields severity, member and message of what it finds. Two
members that come from one recipe of this library are as its authors meant them: rules on order
leave them alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.schedule import Schedule
from gradchain.core.stage import PairBody
from gradchain.core.transformation import GradientTransformation
from gradchain.core.walk import STEPS, PlacedMember, is_ours


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something in a chain that is seldom meant.

    Attributes:
        severity: ``mistake`` if it is almost surely wrong, ``warning`` if it is seldom right,
            ``note`` if it is good to know.
        name: the name of the rule.
        stage: the path of the member; empty for the whole.
        message: what is the matter, and the way out.
    """

    severity: str
    name: str
    stage: str
    message: str

    def __str__(self) -> str:
        at = f" at {self.stage}" if self.stage else ""
        return f"{self.severity}: {self.name}{at}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Case:
    """What the rules look at: see ``check``."""

    tx: GradientTransformation
    parts: list[PlacedMember]
    params: Any
    steps: int | None
    passes: Collection[str]


Found = Iterator[tuple[str, str, str]]

CLIPS = {"clip", "clip_by_norm", "clip_by_block_rms", "clip_by_global_norm", "adaptive_grad_clip"}
CLIPS |= {"clip_by_history", "clip_by_zscore"}

GLOBAL_CLIPS = {"clip_by_global_norm", "clip_by_history", "clip_by_zscore"}

DOWNHILL = STEPS - {"scale_by_learning_rate"}  # directions that are whole steps downhill

MOMENTA = {"add_momentum", "average_updates", "scale_by_aggmo", "scale_by_qhm", "scale_by_lion"}

#: Directions that undo any scale of a gradient, element by element.
ADAPTIVE = {
    "scale_by_adam",
    "scale_by_amsgrad",
    "scale_by_adamax",
    "scale_by_nadam",
    "scale_by_radam",
}
ADAPTIVE |= {
    "scale_by_belief",
    "scale_by_yogi",
    "scale_by_diffgrad",
    "scale_by_adabound",
    "scale_by_padam",
}
ADAPTIVE |= {
    "scale_by_laprop",
    "scale_by_acprop",
    "scale_by_adan",
    "scale_by_adopt",
    "scale_by_ademamix",
}
ADAPTIVE |= {
    "scale_by_simplified_ademamix",
    "scale_by_rss",
    "scale_by_rms",
    "scale_by_stddev",
    "scale_by_adadelta",
}
ADAPTIVE |= {
    "scale_by_qhadam",
    "scale_by_adam_mini",
    "scale_by_factored_rms",
    "scale_by_came",
    "scale_by_sm3",
}
ADAPTIVE |= {
    "scale_by_apollo",
    "scale_by_novograd",
    "scale_by_stable_adam",
    "scale_by_spam",
    "scale_by_stable_spam",
}
ADAPTIVE |= {"scale_by_lion", "scale_by_sign"}

#: What has to see updates as they are added to the parameters, and what may come after it all the
#: same.
FINAL_WRAPPERS = {"average_weights", "lookahead", "schedule_free", "mechanize"}

FINAL_STEPS = {"project", "prox", "correct_growth"}

HARMLESS = {"identity", "freeze"}

#: Wrappers of which each member makes an update of its own.
ALTERNATIVES = {"apply_when", "switch", "parallel"}

# --------------------------------------------------------------------------------- what a member is


def is_unknown(part: PlacedMember) -> bool:
    """Whether nothing is known of what it does to the sign and the size of an update."""
    if part.call.factory.composite:
        return False  # a chain with a name of its own
    opaque = isinstance(part.body, PairBody) and not part.body.members
    return opaque or not is_ours(part.call) or part.factory == "stateless"


def first_value(value: Any) -> float | None:
    """A hyperparameter as a number, that of a schedule where it is first not zero; ``None`` if it
    is traced.
    """
    if callable(value):
        return next((v for v in values(value, (0, 1, 100, 10_000)) if v), 0.0)
    return float(value) if isinstance(value, int | float) else None


def values(function: Callable, steps: Sequence[int]) -> list[float]:
    """A function of the step at some steps; nothing if its values are traced."""
    steps = [min(step, np.iinfo(np.int32).max) for step in steps]
    try:
        if isinstance(function, Schedule):
            return np.broadcast_to(
                np.asarray(function(np.asarray(steps)), np.float64), len(steps)
            ).tolist()
        return [float(function(jnp.asarray(step, jnp.int32))) for step in steps]
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return []


def rates(part: PlacedMember) -> Iterator[tuple[str, Any]]:
    """The learning rates among the arguments of a member, numbers or schedules."""
    if not part.call.factory.composite:
        yield from (
            (k, v) for k, v in part.call.arguments.items() if k in ("learning_rate", "step_size_fn")
        )


def argument(part: PlacedMember, *names: str) -> float | None:
    """The first of some hyperparameters that a member has, as a number."""
    return next((first_value(v) for k, v in part.call.arguments.items() if k in names), None)


def has_rate(part: PlacedMember) -> bool:
    """Whether it makes a step of a direction."""
    return part.factory in STEPS


def flips(part: PlacedMember) -> bool:
    """Whether it turns the sign of an update."""
    if part.factory in ("scale", "scale_by_schedule"):
        return (argument(part, "step_size", "step_size_fn") or 0.0) < 0
    return part.factory in DOWNHILL or (
        part.factory == "scale_by_learning_rate" and not is_negative_rate(part)
    )


def is_negative_rate(part: PlacedMember) -> bool:
    """Whether it is a learning rate below zero."""
    return part.factory == "scale_by_learning_rate" and (argument(part, "learning_rate") or 0.0) < 0


def has_momentum(part: PlacedMember) -> bool:
    """Whether it remembers past gradients."""
    return part.factory in MOMENTA or (part.factory in ADAPTIVE and bool(argument(part, "b1")))


def pairs(
    case: Case, first: Callable[[PlacedMember], bool], then: Callable[[PlacedMember], bool]
) -> Iterator[tuple[PlacedMember, PlacedMember]]:
    """Members that updates go through one after the other, unless a recipe of this library put both
    there.
    """
    for b in filter(then, case.parts):
        for a in filter(first, case.parts):
            if a.precedes(b) and (a.recipe is None or a.recipe != b.recipe):
                yield a, b
                break
