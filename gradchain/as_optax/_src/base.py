"""Types, pairs and their least members."""

from gradchain.as_optax.adapters import (
    with_extra_args_support as with_extra_args_support,
)
from gradchain.as_optax.base import (
    NO_PARAMS_MSG as NO_PARAMS_MSG,
    ArrayTree as ArrayTree,
    EmptyState as EmptyState,
    OptState as OptState,
    Params as Params,
    PRNGKey as PRNGKey,
    PyTree as PyTree,
    ScalarOrSchedule as ScalarOrSchedule,
    Schedule as Schedule,
    ScheduleState as ScheduleState,
    Shape as Shape,
    TransformInitFn as TransformInitFn,
    TransformUpdateExtraArgsFn as TransformUpdateExtraArgsFn,
    TransformUpdateFn as TransformUpdateFn,
    Updates as Updates,
    init_empty_state as init_empty_state,
)
from gradchain.as_optax.dialect import (
    GradientTransformation as GradientTransformation,
    GradientTransformationExtraArgs as GradientTransformationExtraArgs,
)
from gradchain.as_optax.injecting import (
    StatefulSchedule as StatefulSchedule,
)
from gradchain.as_optax.scale_by import (
    identity as identity,
    set_to_zero as set_to_zero,
    stateless as stateless,
    stateless_with_tree_map as stateless_with_tree_map,
)
