"""The classes of optax's states, by name and fields."""

from typing import Any, NamedTuple

import jax

from gradchain.as_optax.base import EmptyState
from gradchain.core.types import Params, Tree, Updates


class ScaleByAdamState(NamedTuple):
    """The state of Adam and its kin."""

    count: Any
    mu: Updates
    nu: Updates


class ScaleByAmsgradState(NamedTuple):
    """The state of ``scale_by_amsgrad``."""

    count: Any
    mu: Updates
    nu: Updates
    nu_max: Updates


class ScaleByBeliefState(NamedTuple):
    """The state of ``scale_by_belief`` and ``scale_by_acprop``."""

    count: Any
    mu: Updates
    nu: Updates


class ScaleByAdanState(NamedTuple):
    """The state of ``scale_by_adan``."""

    m: Updates
    v: Updates
    n: Updates
    g: Updates
    t: jax.Array


class ScaleByNovogradState(NamedTuple):
    """The state of ``scale_by_novograd``."""

    count: Any
    mu: Updates
    nu: Updates


class ScaleByLionState(NamedTuple):
    """The state of ``scale_by_lion``."""

    count: Any
    mu: Updates


class ScaleByRssState(NamedTuple):
    """The state of ``scale_by_rss``."""

    sum_of_squares: Updates


class ScaleByRmsState(NamedTuple):
    """The state of ``scale_by_rms``."""

    nu: Updates


class ScaleByRmsWithCountState(NamedTuple):
    """The state of ``scale_by_rms`` with correction of its bias."""

    count: Any
    nu: Updates


class ScaleByRStdDevState(NamedTuple):
    """The state of ``scale_by_stddev``."""

    mu: Updates
    nu: Updates


class ScaleByRStdDevWithCountState(NamedTuple):
    """The state of ``scale_by_stddev`` with correction of its bias."""

    count: Any
    mu: Updates
    nu: Updates


class ScaleByAdaDeltaState(NamedTuple):
    """The state of ``scale_by_adadelta``."""

    e_g: Updates
    e_x: Updates


class ScaleByRpropState(NamedTuple):
    """The state of ``scale_by_rprop``."""

    step_sizes: Updates
    prev_updates: Updates


class ScaleBySM3State(NamedTuple):
    """The state of ``scale_by_sm3``."""

    mu: Tree
    nu: Updates


class ScaleByScheduleState(NamedTuple):
    """The state of a scale that a schedule gives."""

    count: Any


class WeightDecaySchedule(NamedTuple):
    """The state of a weight decay that a schedule gives."""

    count: Any


class ScaleByOptimisticGradientState(NamedTuple):
    """The state of ``scale_by_optimistic_gradient``."""

    is_initial_step: jax.Array
    previous_gradient: Updates


class ScaleByDistanceOverGradientsState(NamedTuple):
    """The state of ``scale_by_distance_over_gradients``."""

    max_dist: Tree
    grad_sum_of_squares: Tree
    init_params: Params


class FactoredState(NamedTuple):
    """The state of ``scale_by_factored_rms``."""

    count: Any
    v_row: Tree
    v_col: Tree
    v: Tree


class ScaleByLBFGSState(NamedTuple):
    """The state of ``scale_by_lbfgs``."""

    count: Any
    params: Params
    updates: Updates
    diff_params_memory: Tree
    diff_updates_memory: Tree
    weights_memory: jax.Array


class TraceState(NamedTuple):
    """The state of ``trace``."""

    trace: Updates


class EmaState(NamedTuple):
    """The state of ``ema``."""

    count: Any
    ema: Updates


class ZeroNansState(NamedTuple):
    """The state of ``zero_nans``: whether there was one, by leaf."""

    found_nan: Tree


class AddNoiseState(NamedTuple):
    """The state of ``add_noise``."""

    count: Any
    rng_key: jax.Array


class ApplyEvery(NamedTuple):
    """The state of ``apply_every``."""

    count: Any
    grad_acc: Updates


class MaskedState(NamedTuple):
    """The state of ``masked``."""

    inner_state: Any


class PartitionState(NamedTuple):
    """The state of ``partition``, by label."""

    inner_states: dict[Any, Any]


MultiTransformState = PartitionState


class LookaheadState(NamedTuple):
    """The state of ``lookahead``."""

    fast_state: Any
    steps_since_sync: jax.Array


class MultiStepsState(NamedTuple):
    """The state of ``MultiSteps``."""

    mini_step: jax.Array
    gradient_step: jax.Array
    inner_opt_state: Any
    acc_grads: Updates
    skip_state: Any = ()


class InjectHyperparamsState(NamedTuple):
    """The state of hyperparameters without schedules' states.

    Optax keeps it for old programs. ``inject_hyperparams`` has ``InjectStatefulHyperparamsState``.
    """

    count: Any
    hyperparams: dict[str, Any]
    inner_state: Any


#: Members without a state have these names in optax.
AdaptiveGradClipState = EmptyState
AddDecayedWeightsState = EmptyState
ClipByGlobalNormState = EmptyState
ClipState = EmptyState
NonNegativeParamsState = EmptyState
NormalizeState = EmptyState
ScaleByTrustRatioState = EmptyState
ScaleState = EmptyState
