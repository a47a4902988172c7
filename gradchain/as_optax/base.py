"""Names of types, for annotations and for hand-written pairs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from gradchain.core.transformation import GradientTransformation as GradientTransformation
from gradchain.core.types import Params as Params, Tree, Updates as Updates

GradientTransformationExtraArgs = GradientTransformation
"""Any transformation may take extra arguments: there is one class."""

ArrayTree = Tree

OptState = Any

TransformInitFn = Callable[..., Any]

TransformUpdateFn = Callable[..., Any]

TransformUpdateExtraArgsFn = Callable[..., Any]

MaskOrFn = Any

Schedule = Callable[[Any], Any]

ScalarOrSchedule = float | jax.Array | Schedule


class EmptyState(NamedTuple):
    """The state of a hand-written pair that has none."""


class MaskedNode(NamedTuple):
    """A place without a leaf, in a user's trees.

    Transformations here leave ``None``.
    """


def init_empty_state(params: Params) -> EmptyState:
    """The ``init`` of a hand-written pair without a state."""
    return EmptyState()
