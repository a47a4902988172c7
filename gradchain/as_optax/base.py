"""Names of types for annotations, and states without arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from gradchain.core.types import Params as Params, Tree, Updates as Updates

ArrayTree = Tree

OptState = Any

TransformInitFn = Callable[..., Any]

TransformUpdateFn = Callable[..., Any]

TransformUpdateExtraArgsFn = Callable[..., Any]

MaskOrFn = Any

Schedule = Callable[[Any], Any]

ScheduleState = Any

PRNGKey = jax.Array

PyTree = Any

Shape = Sequence[int]

NO_PARAMS_MSG = "The parameters are needed: call update(updates, state, params)."

ScalarOrSchedule = float | jax.Array | Schedule


class EmptyState(NamedTuple):
    """The state of a transformation that has none."""


class MaskedNode(NamedTuple):
    """A place without a leaf, in states and trees."""


def init_empty_state(params: Params) -> EmptyState:
    """The ``init`` of a hand-written pair without a state."""
    return EmptyState()
