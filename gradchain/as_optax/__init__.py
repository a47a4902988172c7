"""The dialect of optax: existing code runs with ``import gradchain.as_optax as optax``.

Names and arguments are those of optax 0.2.8; the transformations are gradchain's, and so are their
states.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from gradchain.as_optax import (
    absent as _absent,
    assignment as assignment,
    contrib as contrib,
    experimental as experimental,
    losses as losses,
    microbatching as microbatching,
    perturbations as perturbations,
    projections as projections,
    schedules as schedules,
    second_order as second_order,
    transforms as transforms,
    tree as tree,
    tree_utils as tree_utils,
)
from gradchain.as_optax.adam_family import (
    adabelief as adabelief,
    adam as adam,
    adamax as adamax,
    adamaxw as adamaxw,
    adamw as adamw,
    adan as adan,
    amsgrad as amsgrad,
    lamb as lamb,
    nadam as nadam,
    nadamw as nadamw,
    novograd as novograd,
    optimistic_adam as optimistic_adam,
    optimistic_adam_v2 as optimistic_adam_v2,
    radam as radam,
    yogi as yogi,
)
from gradchain.as_optax.adapters import with_extra_args_support as with_extra_args_support
from gradchain.as_optax.base import (
    ArrayTree as ArrayTree,
    EmptyState as EmptyState,
    MaskedNode as MaskedNode,
    MaskOrFn as MaskOrFn,
    OptState as OptState,
    Params as Params,
    ScalarOrSchedule as ScalarOrSchedule,
    Schedule as Schedule,
    TransformInitFn as TransformInitFn,
    TransformUpdateExtraArgsFn as TransformUpdateExtraArgsFn,
    TransformUpdateFn as TransformUpdateFn,
    Updates as Updates,
    init_empty_state as init_empty_state,
)
from gradchain.as_optax.combining import (
    chain as chain,
    freeze as freeze,
    masked as masked,
    multi_transform as multi_transform,
    named_chain as named_chain,
    partition as partition,
    selective_transform as selective_transform,
)
from gradchain.as_optax.dialect import (
    GradientTransformation as GradientTransformation,
    GradientTransformationExtraArgs as GradientTransformationExtraArgs,
)
from gradchain.as_optax.distributions import multi_normal as multi_normal
from gradchain.as_optax.injecting import (
    InjectStatefulHyperparamsState as InjectStatefulHyperparamsState,
    WrappedSchedule as WrappedSchedule,
    inject_hyperparams as inject_hyperparams,
    inject_stateful_hyperparams as inject_stateful_hyperparams,
)
from gradchain.as_optax.line_search import (
    ScaleByBacktrackingLinesearchState as ScaleByBacktrackingLinesearchState,
    ScaleByZoomLinesearchState as ScaleByZoomLinesearchState,
    ZoomLinesearchInfo as ZoomLinesearchInfo,
    scale_by_backtracking_linesearch as scale_by_backtracking_linesearch,
    scale_by_zoom_linesearch as scale_by_zoom_linesearch,
    value_and_grad_from_state as value_and_grad_from_state,
)
from gradchain.as_optax.linear_algebra import (
    matrix_inverse_pth_root as matrix_inverse_pth_root,
    nnls as nnls,
    power_iteration as power_iteration,
)
from gradchain.as_optax.losses import (
    convex_kl_divergence as convex_kl_divergence,
    cosine_distance as cosine_distance,
    cosine_similarity as cosine_similarity,
    ctc_loss as ctc_loss,
    ctc_loss_with_forward_probs as ctc_loss_with_forward_probs,
    generalized_kl_divergence as generalized_kl_divergence,
    hinge_loss as hinge_loss,
    huber_loss as huber_loss,
    kl_divergence as kl_divergence,
    l2_loss as l2_loss,
    log_cosh as log_cosh,
    ntxent as ntxent,
    safe_softmax_cross_entropy as safe_softmax_cross_entropy,
    sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy,
    sigmoid_focal_loss as sigmoid_focal_loss,
    smooth_labels as smooth_labels,
    softmax_cross_entropy as softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
    squared_error as squared_error,
)
from gradchain.as_optax.microbatching import microbatch as microbatch
from gradchain.as_optax.numerics import (
    bias_correction as bias_correction,
    safe_increment as safe_increment,
    safe_int32_increment as safe_int32_increment,
    safe_norm as safe_norm,
    safe_root_mean_squares as safe_root_mean_squares,
    scale_gradient as scale_gradient,
    tree_map_params as tree_map_params,
    update_infinity_moment as update_infinity_moment,
    update_moment as update_moment,
    update_moment_per_elem_norm as update_moment_per_elem_norm,
)
from gradchain.as_optax.optimizers import (
    adadelta as adadelta,
    adafactor as adafactor,
    adagrad as adagrad,
    fromage as fromage,
    lars as lars,
    lion as lion,
    noisy_sgd as noisy_sgd,
    optimistic_gradient_descent as optimistic_gradient_descent,
    polyak_sgd as polyak_sgd,
    rmsprop as rmsprop,
    rprop as rprop,
    sgd as sgd,
    sign_sgd as sign_sgd,
    signum as signum,
    sm3 as sm3,
)
from gradchain.as_optax.quasi_newton import (
    ScaleByLBFGSState as ScaleByLBFGSState,
    lbfgs as lbfgs,
    scale_by_lbfgs as scale_by_lbfgs,
)
from gradchain.as_optax.scale_by import (
    centralize as centralize,
    identity as identity,
    normalize_by_update_norm as normalize_by_update_norm,
    scale as scale,
    scale_by_adadelta as scale_by_adadelta,
    scale_by_adam as scale_by_adam,
    scale_by_adamax as scale_by_adamax,
    scale_by_adan as scale_by_adan,
    scale_by_amsgrad as scale_by_amsgrad,
    scale_by_belief as scale_by_belief,
    scale_by_distance_over_gradients as scale_by_distance_over_gradients,
    scale_by_factored_rms as scale_by_factored_rms,
    scale_by_learning_rate as scale_by_learning_rate,
    scale_by_lion as scale_by_lion,
    scale_by_novograd as scale_by_novograd,
    scale_by_optimistic_gradient as scale_by_optimistic_gradient,
    scale_by_param_block_norm as scale_by_param_block_norm,
    scale_by_param_block_rms as scale_by_param_block_rms,
    scale_by_polyak as scale_by_polyak,
    scale_by_radam as scale_by_radam,
    scale_by_rms as scale_by_rms,
    scale_by_rprop as scale_by_rprop,
    scale_by_rss as scale_by_rss,
    scale_by_schedule as scale_by_schedule,
    scale_by_sign as scale_by_sign,
    scale_by_sm3 as scale_by_sm3,
    scale_by_stddev as scale_by_stddev,
    scale_by_trust_ratio as scale_by_trust_ratio,
    scale_by_yogi as scale_by_yogi,
    set_to_zero as set_to_zero,
    stateless as stateless,
    stateless_with_tree_map as stateless_with_tree_map,
)
from gradchain.as_optax.schedules import (
    constant_schedule as constant_schedule,
    cosine_decay_schedule as cosine_decay_schedule,
    cosine_onecycle_schedule as cosine_onecycle_schedule,
    exponential_decay as exponential_decay,
    join_schedules as join_schedules,
    linear_onecycle_schedule as linear_onecycle_schedule,
    linear_schedule as linear_schedule,
    piecewise_constant_schedule as piecewise_constant_schedule,
    piecewise_interpolate_schedule as piecewise_interpolate_schedule,
    polynomial_schedule as polynomial_schedule,
    sgdr_schedule as sgdr_schedule,
    warmup_constant_schedule as warmup_constant_schedule,
    warmup_cosine_decay_schedule as warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
from gradchain.as_optax.states import (
    AdaptiveGradClipState as AdaptiveGradClipState,
    AddDecayedWeightsState as AddDecayedWeightsState,
    AddNoiseState as AddNoiseState,
    ApplyEvery as ApplyEvery,
    ClipByGlobalNormState as ClipByGlobalNormState,
    ClipState as ClipState,
    EmaState as EmaState,
    FactoredState as FactoredState,
    InjectHyperparamsState as InjectHyperparamsState,
    LookaheadState as LookaheadState,
    MaskedState as MaskedState,
    MultiStepsState as MultiStepsState,
    MultiTransformState as MultiTransformState,
    NonNegativeParamsState as NonNegativeParamsState,
    PartitionState as PartitionState,
    ScaleByAdaDeltaState as ScaleByAdaDeltaState,
    ScaleByAdamState as ScaleByAdamState,
    ScaleByAdanState as ScaleByAdanState,
    ScaleByAmsgradState as ScaleByAmsgradState,
    ScaleByBeliefState as ScaleByBeliefState,
    ScaleByDistanceOverGradientsState as ScaleByDistanceOverGradientsState,
    ScaleByLionState as ScaleByLionState,
    ScaleByNovogradState as ScaleByNovogradState,
    ScaleByOptimisticGradientState as ScaleByOptimisticGradientState,
    ScaleByRmsState as ScaleByRmsState,
    ScaleByRmsWithCountState as ScaleByRmsWithCountState,
    ScaleByRpropState as ScaleByRpropState,
    ScaleByRssState as ScaleByRssState,
    ScaleByRStdDevState as ScaleByRStdDevState,
    ScaleByRStdDevWithCountState as ScaleByRStdDevWithCountState,
    ScaleByScheduleState as ScaleByScheduleState,
    ScaleBySM3State as ScaleBySM3State,
    ScaleByTrustRatioState as ScaleByTrustRatioState,
    ScaleState as ScaleState,
    TraceState as TraceState,
    WeightDecaySchedule as WeightDecaySchedule,
    ZeroNansState as ZeroNansState,
)
from gradchain.as_optax.transforms import (
    ApplyIfFiniteState as ApplyIfFiniteState,
    ConditionallyMaskState as ConditionallyMaskState,
    ConditionallyTransformState as ConditionallyTransformState,
    MonitorState as MonitorState,
    MultiSteps as MultiSteps,
    ShouldSkipUpdateFunction as ShouldSkipUpdateFunction,
    SnapshotState as SnapshotState,
    adaptive_grad_clip as adaptive_grad_clip,
    add_decayed_weights as add_decayed_weights,
    add_noise as add_noise,
    apply_if_finite as apply_if_finite,
    clip as clip,
    clip_by_block_rms as clip_by_block_rms,
    clip_by_global_norm as clip_by_global_norm,
    conditionally_mask as conditionally_mask,
    conditionally_transform as conditionally_transform,
    ema as ema,
    flatten as flatten,
    keep_params_nonnegative as keep_params_nonnegative,
    measure_with_ema as measure_with_ema,
    monitor as monitor,
    per_example_global_norm_clip as per_example_global_norm_clip,
    per_example_layer_norm_clip as per_example_layer_norm_clip,
    skip_large_updates as skip_large_updates,
    skip_not_finite as skip_not_finite,
    snapshot as snapshot,
    trace as trace,
    zero_nans as zero_nans,
)
from gradchain.as_optax.updates import (
    apply_updates as apply_updates,
    global_norm as global_norm,
    incremental_update as incremental_update,
    periodic_update as periodic_update,
)
from gradchain.as_optax.wrappers import (
    LookaheadParams as LookaheadParams,
    apply_every as apply_every,
    lookahead as lookahead,
)

__version__ = "0.2.8"
"""The version of optax whose dialect this is."""

if not _TYPE_CHECKING:  # a checker would take it for leave to ask for anything
    __getattr__ = _absent.asked_of("")

    for _name, _module in _absent.MODULES.items():
        _module.__getattr__ = _absent.asked_of(_name)
