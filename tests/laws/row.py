"""What a row of the table says of a transformation, and what rows have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import optax

import gradchain as gc
from tests.laws.twins import Twin
from tests.schedules import twins as schedules

SECOND_ORDER = ("gradchain.optimizers.second_order", "gradchain.searches")


@dataclass(frozen=True)
class Row:
    """What the laws have to know of a transformation.

    Attributes:
        name: the name of the factory, and after a dash the variant.
        make: makes the value, anew at each call.
        twin: makes its twin.
        optax: makes its counterpart in optax, where the definitions agree.
        needs_params: whether ``update`` has to be given ``params``.
        extra: the extra arguments that ``update`` needs; they can be hashed.
        tolerance: how many times the usual rounding it may be off, with a comment that says why.
        float64: how far it may be off its twin in float64, with a comment that says why.
        reasons: from the name of a law that does not apply to why.
    """

    name: str
    make: Callable[[], gc.GradientTransformation]
    twin: Callable[[], Twin]
    optax: Callable[[], Any] | None = None
    needs_params: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1.0
    float64: float = 1e-12
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> dict[str, Any]:
        """What ``samples.run`` has to be given beside trees."""
        return {"extra": tuple(self.extra.items())} if self.extra else {}

    @property
    def is_second_order(self) -> bool:
        """Whether it is of second order: its loops take seconds to compile."""
        return self.make().factory.function.__module__.startswith(SECOND_ORDER)


NO_NUMBERS = dict.fromkeys(
    ["takes_traced_numbers", "can_be_vmapped", "can_be_differentiated", "takes_schedules"],
    "it has no numbers",
)
NO_OWN_NUMBERS = {
    "takes_schedules": "its numbers are its members'; a member of this row is scheduled"
}
FUNCTION = dict.fromkeys(
    ["prints_as_its_recipe", "survives_json"], "it holds a function, which has no text"
)

warm_up = lambda: gc.linear_schedule(0.1, 0.3, 10)
warm_up_twin = lambda t: schedules.linear(t, 0.1, 0.3, 10)
warm_up_optax = lambda: (
    lambda step: optax.linear_schedule(0.1, 0.3, 10)(step.astype(float))
)  # else it is in float32
matrices = gc.ndim_at_least(2)
is_matrix = lambda name, x: x.ndim >= 2
