"""Rows of ``gradchain.core.refresh``."""

from collections.abc import Callable
from dataclasses import dataclass

import gradchain as gc
from gradchain.core.refresh import Refresh


@dataclass(frozen=True)
class PolicyRow:
    """A policy of refresh, and in which of the first steps six matrices are all due."""

    name: str
    make: Callable[[], Refresh]
    together: list[int] | None


POLICIES = [
    PolicyRow("every", lambda: gc.refresh.every(3), [0, 3, 6]),
    PolicyRow("every-staggered", lambda: gc.refresh.every(3, staggered=True), [0]),
    PolicyRow("every-scheduled", lambda: gc.refresh.every(gc.constant_schedule(3)), [0, 3, 6]),
    PolicyRow("with_probability", lambda: gc.refresh.with_probability(0.3), None),
    PolicyRow("fading", lambda: gc.refresh.fading(start=3), None),
    PolicyRow("when_stale", lambda: gc.refresh.when_stale(0.1), None),
]
