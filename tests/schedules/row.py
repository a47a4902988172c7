"""What a row of the table says of a schedule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradchain as gc


@dataclass(frozen=True)
class ScheduleRow:
    """What the tests have to know of a schedule: the arguments, and who else takes them.

    ``tolerance`` is how many times the usual rounding it may be off, with a comment that says why.
    """

    name: str
    arguments: dict[str, Any]
    twin: Callable[..., float]
    optax: Callable[..., Any] | None = None
    tolerance: float = 1.0

    def make(self) -> gc.Schedule:
        return getattr(gc.schedules, self.name.split("-")[0])(**self.arguments)
