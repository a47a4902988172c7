"""Transformations around others."""

from gradchain.as_optax.base import (
    MaskedNode as MaskedNode,
)
from gradchain.as_optax.combining import (
    masked as masked,
)
from gradchain.as_optax.conditional import (
    ConditionFn as ConditionFn,
)
from gradchain.as_optax.states import (
    MaskedState as MaskedState,
    MultiStepsState as MultiStepsState,
)
from gradchain.as_optax.transforms import (
    ApplyIfFiniteState as ApplyIfFiniteState,
    ConditionallyMaskState as ConditionallyMaskState,
    ConditionallyTransformState as ConditionallyTransformState,
    MultiSteps as MultiSteps,
    ShouldSkipUpdateFunction as ShouldSkipUpdateFunction,
    apply_if_finite as apply_if_finite,
    conditionally_mask as conditionally_mask,
    conditionally_transform as conditionally_transform,
    flatten as flatten,
    skip_large_updates as skip_large_updates,
    skip_not_finite as skip_not_finite,
)
